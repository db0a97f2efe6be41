//! What a partition remembers, and its form in a checkpoint (`docs/formats/stream-state.md`).

use std::sync::Arc;

use record::{Timestamp, When};
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Rules};
use crate::dedup::Recent;
use crate::devices::{Devices, Evicted, SeriesName};
use crate::sample::Sample;
use crate::settings::Settings;
use crate::validate::Validator;
use crate::window::{self, Stale, Watermark, Windows};

use super::pending::{Pending, Touched};
use super::settle::Credit;

/// The version of the state. In 2 an integer has the digest of the float of its size; in 3 windows are computed again in
/// steps of their own; in 4 values of many wait before they are added to sums; in 5 windows are published as readings come; in
/// 6 windows say from how many readings on they are kept.
const VERSION: u16 = 6;

/// Smaller changes of a clock's skew are not told, nanoseconds: a row of the store for each breath of the network helps nobody.
const WORTH_TELLING_NANOS: u64 = 1_000_000_000;

const NANOS_PER_S: i64 = 1_000_000_000;
/// How many moments are looked at to find the windows that were open: all of a second or longer, at the default lateness.
const MOMENTS: i64 = 30;

/// Everything a partition's outcome depends on beside its input.
pub(super) struct State {
    pub(super) books: Books,
    pub(super) windows: Windows,
    /// By series number. From the configuration, not part of a checkpoint.
    pub(super) samples: Vec<Sample>,
}

/// The state but for the windows, which read themselves back differently.
#[derive(Serialize, Deserialize)]
pub(super) struct Books {
    version: u16,
    pub(super) watermark: Watermark,
    pub(super) devices: Devices,
    /// By device number.
    of_device: Vec<Option<OfDevice>>,
    pub(super) validator: Validator,
    pub(super) pending: Pending,
    /// When the newest record arrived, nanoseconds.
    pub(super) newest_arrival: Option<i64>,
    /// The latest time that went into the windows, no later than it arrived, nanoseconds.
    pub(super) newest_event: i64,
    /// Windows are over that were not published yet: one step publishes so many and no more.
    pub(super) has_more_to_close: bool,
    pub(super) credit: Credit,
    /// The state began anew and no live reading has come since.
    is_cold: bool,
}

/// What is remembered of a device.
#[derive(Default, Serialize, Deserialize)]
struct OfDevice {
    recent: Recent,
    clock: Clock,
    /// Skew (nanoseconds) and suspicion as the store has them.
    told: Option<(i64, bool)>,
}

/// Why the bytes of a checkpoint are no state.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error("the state has version {0}, this build reads version {VERSION}")]
    Version(u16),
    #[error("the state cannot be read: {0}")]
    Damaged(String),
}

impl State {
    pub(super) fn new(settings: &Settings) -> Self {
        let books = Books {
            version: VERSION,
            watermark: Watermark::new(),
            devices: Devices::new(),
            of_device: Vec::new(),
            validator: Validator::new(),
            pending: Pending::default(),
            newest_arrival: None,
            newest_event: i64::MIN,
            has_more_to_close: false,
            credit: Credit::default(),
            is_cold: false,
        };
        Self { books, windows: settings.windows(), samples: Vec::new() }
    }

    pub(super) fn cold(settings: &Settings) -> Self {
        let mut state = Self::new(settings);
        state.books.is_cold = true;
        state.windows.distrust(i64::MIN, i64::MAX);
        state
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(&(&self.books, &self.windows))
            .expect("the state has no part that postcard cannot hold")
    }

    pub(super) fn decode(bytes: &[u8], settings: &Settings) -> Result<Self, RestoreError> {
        let damaged = |error: postcard::Error| RestoreError::Damaged(error.to_string());
        let (version, _) = postcard::take_from_bytes::<u16>(bytes).map_err(damaged)?;
        if version != VERSION {
            return Err(RestoreError::Version(version));
        }
        let (books, held): (Books, window::Held) = postcard::from_bytes(bytes).map_err(damaged)?;
        let books = Books { pending: books.pending.restored(), ..books };
        let restored = Windows::restore(
            Arc::clone(&settings.plan),
            settings.allowed_lateness_nanos,
            settings.window_bytes,
            held,
        );
        let mut state = match restored {
            Ok(windows) => Self { books, windows, samples: Vec::new() },
            Err(window::RestoreError::OtherPlan) => Self::with_other_plan(books, settings),
        };
        state.bind_policies(settings);
        Ok(state)
    }

    /// The configuration names other windows now: they begin anew, and those that hold readings from before are computed
    /// from the store.
    fn with_other_plan(books: Books, settings: &Settings) -> Self {
        let mut windows = settings.windows();
        books.devices.each_series(|series, name| windows.register(series, name.metric));
        let until = books.newest_event.saturating_add(settings.longest_window_nanos);
        windows.distrust(i64::MIN, until);
        let mut books = Books { pending: Pending::default(), ..books };
        name_open_windows(&mut books, &mut windows, settings);
        Self { books, windows, samples: Vec::new() }
    }

    /// After a cold start, from the first watermark on, it is known up to where windows may hold readings from before.
    pub(super) fn warm_up(&mut self, settings: &Settings) {
        let watermark = self.books.watermark.at();
        if self.books.is_cold && watermark > i64::MIN {
            self.books.is_cold = false;
            let mut windows = settings.windows();
            self.books.devices.each_series(|series, name| windows.register(series, name.metric));
            windows.distrust(i64::MIN, watermark.saturating_add(settings.longest_window_nanos));
            self.windows = windows;
        }
    }

    /// What is known of a device's keys.
    pub(super) fn recent(&mut self, device: u32) -> &mut Recent {
        &mut self.of(device).recent
    }

    /// Takes in the latest time that a message claims.
    pub(super) fn observe_clock(&mut self, device: u32, claimed: Timestamp, arrived_at: Timestamp) {
        self.of(device).clock.observe(claimed, arrived_at);
    }

    /// The reading's time, as far as its device's clock is to be believed.
    pub(super) fn time(&mut self, device: u32, rules: &Rules, claimed: When) -> When {
        rules.apply(claimed, self.of(device).clock.estimate())
    }

    /// What is new of a device's clock since it was told last: its skew, and whether it is further off than allowed.
    pub(super) fn clock_news(&mut self, device: u32, rules: &Rules) -> Option<(i64, bool)> {
        let of = self.of(device);
        let estimate = of.clock.estimate()?;
        let (now, suspect) = (estimate.skew_ns, rules.is_suspect(Some(estimate)));
        let is_new = match of.told {
            None => estimate.is_confident,
            Some((before, was_suspect)) => {
                was_suspect != suspect || now.abs_diff(before) > WORTH_TELLING_NANOS
            }
        };
        is_new.then(|| *of.told.insert((now, suspect)))
    }

    fn of(&mut self, device: u32) -> &mut OfDevice {
        self.books.of_device[device as usize].as_mut().expect("a device in the table is remembered")
    }

    /// A device has joined the table; `newest` is the latest time it claimed, if the store holds anything of it.
    pub(super) fn remember_device(&mut self, device: u32, newest: Option<i64>) {
        let recent = match newest {
            None => Recent::new(),
            Some(newest) => Recent::within(Timestamp::from_nanos(i64::MIN), Timestamp::from_nanos(newest)),
        };
        let at = device as usize;
        if self.books.of_device.len() <= at {
            self.books.of_device.resize_with(at + 1, || None);
        }
        self.books.of_device[at] = Some(OfDevice { recent, ..OfDevice::default() });
    }

    /// A series has joined the table.
    pub(super) fn remember_series(&mut self, settings: &Settings, series: u32) {
        let name = self.books.devices.series_name(series);
        self.windows.register(series, name.metric);
        self.books.validator.bind(&settings.limits, series, name.tenant, name.metric);
        bind_sample(&mut self.samples, settings, series, name);
    }

    /// What the configuration says of each series there is.
    fn bind_policies(&mut self, settings: &Settings) {
        let Self { books: Books { devices, validator, .. }, samples, .. } = self;
        devices.each_series(|series, name| {
            validator.bind(&settings.limits, series, name.tenant, name.metric);
            bind_sample(samples, settings, series, name);
        });
    }

    /// Drops what was kept by numbers that are free now.
    pub(super) fn forget(&mut self, evicted: &Evicted) {
        evicted.series.iter().for_each(|&series| self.books.validator.unbind(series));
        for &device in &evicted.devices {
            self.books.of_device[device as usize] = None;
        }
        for &device in &evicted.renumbered {
            self.recent(device).forget();
        }
    }
}

fn bind_sample(samples: &mut Vec<Sample>, settings: &Settings, series: u32, name: SeriesName<'_>) {
    if settings.sampling.is_empty() {
        return;
    }
    let at = series as usize;
    if samples.len() <= at {
        samples.resize(at + 1, Sample::ALL);
    }
    samples[at] = settings.sampling.of(name.tenant, name.device, name.metric);
}

/// The windows that were open when the plan changed: a series that falls silent then would name them no more.
fn name_open_windows(books: &mut Books, windows: &mut Windows, settings: &Settings) {
    let newest = books.newest_event;
    if newest == i64::MIN {
        return;
    }
    let mut stale = Vec::new();
    let from = newest.saturating_sub(settings.allowed_lateness_nanos);
    let step = (settings.allowed_lateness_nanos / MOMENTS).max(NANOS_PER_S);
    let mut at = newest;
    while at >= from {
        books.devices.each_series(|series, _| windows.revise(series, at, &mut stale));
        at = at.saturating_sub(step);
    }
    for Stale { series, window, start, end } in stale {
        books.pending.add(Touched { series, window, start, end });
    }
}
