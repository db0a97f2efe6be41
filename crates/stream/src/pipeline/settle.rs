//! The end of a step: windows that are over, windows to be computed again, devices out of use.

use std::sync::Arc;

use record::{DeviceId, MetricName, TenantId, Timestamp};
use series::WindowKey;

use crate::devices::SeriesName;
use crate::output::{Output, Revision};
use crate::revise;
use crate::window::{Published, Stale};

use super::Pipeline;
use super::pending::Touched;
use super::state::Books;

/// How many windows of a partition a step without records publishes: a minute's windows of a large fleet are many, at some ten
/// microseconds each, and live readings wait for the steps of all partitions that have any.
const PER_TICK: usize = 100;
/// How many a step with records publishes: so many for each, or windows would be over faster than they are published; some
/// where there are few records; and no more than a commit can take.
const PER_RECORD: u64 = 16;
const PER_STEP: (u64, u64) = (200, 20_000);

/// How many windows a step publishes.
pub(super) fn share(records: u64) -> usize {
    match records {
        0 => PER_TICK,
        records => records.saturating_mul(PER_RECORD).clamp(PER_STEP.0, PER_STEP.1) as usize,
    }
}

impl Pipeline {
    /// Publishes windows whose readings can no longer come in time, `most` at most.
    pub(super) fn close_windows(&mut self, most: usize, output: &mut Output) {
        self.state.warm_up(&self.settings);
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
