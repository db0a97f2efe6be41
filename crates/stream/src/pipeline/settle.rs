//! The end of a step: windows that are over, windows to be computed again, devices out of use.

use std::sync::Arc;

use record::{DeviceId, MetricName, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use series::WindowKey;

use crate::devices::SeriesName;
use crate::output::{Output, Revision};
use crate::revise;
use crate::window::{Published, Stale};

use super::Pipeline;
use super::pending::Touched;
use super::state::Books;

/// How many windows of a partition a step without records publishes: as many as are looked at together anyway. A minute's
/// windows of a large fleet are many, at some microseconds each, and a live reading that comes meanwhile waits.
const PER_TICK: usize = 64;

/// Windows that are over are published at once where they are not more than these.
const AT_ONCE: usize = 256;

/// Of more, readings bring so many at a time to be published, for each so many readings: a step takes longer for them by a part
/// of itself, however large it is. Where steps had to publish more than these at least, they took longer for them than for their
/// readings, were made shorter for that, and a fleet's readings stood still until all windows of the minute were published.
const WINDOWS: usize = 64;
const READINGS_FOR_THEM: u64 = 2048;

/// For half as many readings each time that windows have been over for so long, event time, nanoseconds: they must not be over
/// faster than they are published. Eight windows for each reading at last: no more kinds of windows are expected.
const HALVED_EACH: i64 = 4_000_000_000;
const HALVED_MOST: i64 = 8;

/// No more than a commit can take.
const PER_STEP: usize = 4096;

/// What readings have brought, for windows to be published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Credit {
    /// Readings since windows were published last, each counted twice for each time they are halved.
    readings: u64,
}

impl Credit {
    /// How many windows a step of so many readings publishes; `waiting`: since when the first of those has been over that an
    /// earlier step left.
    fn share(&mut self, readings: u64, waiting: Option<i64>) -> usize {
        let Some(overdue) = waiting else {
            *self = Self::default();
            return AT_ONCE;
        };
        let halved = (overdue / HALVED_EACH).clamp(0, HALVED_MOST) as u32;
        self.readings = self.readings.saturating_add(readings.saturating_mul(1 << halved));
        let times = self.readings / READINGS_FOR_THEM;
        self.readings %= READINGS_FOR_THEM;
        usize::try_from(times).unwrap_or(PER_STEP).saturating_mul(WINDOWS).clamp(WINDOWS, PER_STEP)
    }
}

/// What kind of step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// One of records.
    Records,
    /// One in which time passed.
    Tick,
}

impl Pipeline {
    /// Publishes windows whose readings can no longer come in time: not all at once, where they are many.
    pub(super) fn close_windows(&mut self, ending: Ending, output: &mut Output) {
        self.state.warm_up(&self.settings);
        let readings = std::mem::take(&mut self.memory.readings);
        let most = match ending {
            Ending::Tick => PER_TICK,
            Ending::Records => {
                let waiting = self.state.books.has_more_to_close.then(|| self.state.windows.overdue());
                self.state.books.credit.share(readings, waiting)
            }
        };
        let mut published = std::mem::take(&mut self.memory.published);
        let watermark = self.state.books.watermark.at();
        self.state.books.has_more_to_close = self.state.windows.close(watermark, most, &mut published);
        self.publish(&mut published, output);
        self.memory.published = published;
    }

    fn publish(&mut self, published: &mut Vec<Published>, output: &mut Output) {
        for window in published.drain(..) {
            match window {
                Published::Closed(closed) => {
                    let name = self.state.books.devices.series_name(closed.series);
                    let key = self.key_of(name, closed.window, closed.start);
                    let end = Timestamp::from_nanos(closed.end);
                    output.window(revise::row(key, end, &closed.aggregate));
                }
                Published::Stale(Stale { series, window, start, end }) => {
                    self.state.books.pending.add(Touched { series, window, start, end });
                }
                Published::Few => {}
            }
        }
    }

    /// Names windows whose time has come to be computed again, `most` at most.
    pub(super) fn revisions(&mut self, now: Timestamp, most: usize, output: &mut Output) {
        let Books { pending, devices, .. } = &mut self.state.books;
        for window in pending.take_due(now, most, &|series| devices.device_of_series(series)) {
            let name = self.state.books.devices.series_name(window.series);
            output.revisions.push(self.revision(name, window));
        }
    }

    fn revision(&self, name: SeriesName<'_>, window: Touched) -> Revision {
        Revision {
            key: self.key_of(name, window.window, window.start),
            end: Timestamp::from_nanos(window.end),
            gap_nanos: self.settings.gap_nanos(window.window),
            least: self.settings.least(window.window),
        }
    }

    fn key_of(&self, name: SeriesName<'_>, window: u16, start: i64) -> WindowKey {
        WindowKey {
            tenant: TenantId::parse(name.tenant).expect("a tenant was checked when its record was read"),
            device: DeviceId::parse(name.device).expect("a device was checked when its record was read"),
            metric: MetricName::parse(name.metric).expect("a metric was checked when its record was read"),
            window: Arc::clone(&self.settings.window_names[usize::from(window)]),
            start: Timestamp::from_nanos(start),
        }
    }

    /// Lets go devices and series that were not heard of for long. Their windows are over, whatever the watermark says.
    pub(super) fn sweep(&mut self, output: &mut Output) {
        let Some(newest) = self.state.books.newest_arrival else { return };
        let evicted = self.state.books.devices.sweep(Timestamp::from_nanos(newest), &self.settings.devices);
        let mut stale = Vec::new();
        for (&series, name) in evicted.series.iter().zip(&evicted.names) {
            self.state.windows.forget(series, &mut stale);
            let touched = self.state.books.pending.take_series(series);
            for Stale { series, window, start, end } in stale.drain(..) {
                output.revisions.push(self.revision(name.as_ref(), Touched { series, window, start, end }));
            }
            output.revisions.extend(touched.into_iter().map(|window| self.revision(name.as_ref(), window)));
        }
        self.state.forget(&evicted);
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, Credit, HALVED_EACH, PER_STEP, READINGS_FOR_THEM, WINDOWS};

    /// So many windows that wait are published in `steps` of so many readings.
    fn published(steps: u64, readings: u64, overdue: i64) -> usize {
        let mut credit = Credit::default();
        (0..steps).map(|_| credit.share(readings, Some(overdue))).sum()
    }

    #[test]
    fn a_few_are_published_at_once() {
        let mut credit = Credit::default();
        assert_eq!([(); 3].map(|()| credit.share(1, None)), [AT_ONCE; 3]);
    }

    #[test]
    fn of_many_a_step_publishes_by_its_readings_and_some_at_least() {
        for times in [1, 3, 20] {
            assert_eq!(published(64, times * READINGS_FOR_THEM, 0), 64 * times as usize * WINDOWS);
        }
        assert_eq!(published(64, 1, 0), 64 * WINDOWS);
        assert_eq!(
            published(2, READINGS_FOR_THEM * 3 / 2, 0),
            3 * WINDOWS,
            "what is over is kept for the next"
        );
    }

    #[test]
    fn the_longer_windows_are_over_the_more_are_published() {
        let of = |overdue| published(64, READINGS_FOR_THEM / 16, overdue);
        assert_eq!(of(HALVED_EACH - 1), 64 * WINDOWS);
        assert_eq!(of(5 * HALVED_EACH), 2 * of(0));
        assert_eq!(of(i64::MAX), 16 * of(0));
        assert!(
            of(i64::MAX) >= 4 * (64 * READINGS_FOR_THEM / 16) as usize,
            "of each reading those of several kinds"
        );
    }

    #[test]
    fn a_step_publishes_no_more_than_a_commit_can_take() {
        assert_eq!(Credit::default().share(u64::MAX, Some(i64::MAX)), PER_STEP);
    }
}
