//! What is done with readings, as configured and checked.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;
use crate::window::{Plan, WindowKind, Windows};
use crate::{clock, devices, sample, validate};

/// What the stream does with readings. [`Settings::default`] is what an absent `[stream]` stands for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How far behind the watermark a live reading is in time, nanoseconds.
    pub allowed_lateness_nanos: i64,
    /// A partition without live records for so long lets time pass by the clock, nanoseconds.
    pub idle_after_nanos: i64,
    /// What is done with clocks that are off.
    pub clock: clock::Rules,
    /// What values may be.
    pub limits: validate::Limits,
    /// Which readings are left out.
    pub sampling: sample::Sampling,
    /// How many devices and series tenants may have, and how many they have.
    pub budget: Arc<Budget>,
    /// Which windows there are.
    pub plan: Arc<Plan>,
    /// Their names, in the plan's order.
    pub(crate) window_names: Vec<Arc<str>>,
    pub(crate) longest_window_nanos: i64,
    /// What the open windows of all partitions may take, bytes. Beyond it windows are computed from the stored readings.
    pub window_bytes: usize,
    /// Moments of a device whose keys are remembered.
    pub recent_keys: usize,
    /// Devices and series that are remembered, of all partitions.
    pub devices: devices::Limits,
    /// Whether readings also go, enriched, into `iot-telemetry-clean`.
    pub clean: bool,
    /// How often partitions are asked whether time has to pass for them: windows are published about this late.
    pub tick_every: Duration,
    /// How often each partition's state is made durable: what a start after a crash does again at most.
    pub checkpoint_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        crate::config::Config::default().validate().expect("the defaults are valid")
    }
}

impl Settings {
    /// The same with other windows.
    #[must_use]
    pub fn with_plan(mut self, plan: Plan) -> Self {
        self.window_names = plan.windows().iter().map(|window| window.name().into()).collect();
        let length = |kind| match kind {
            WindowKind::Grid { size, .. } => size,
            WindowKind::Session { gap } => gap,
        };
        self.longest_window_nanos =
            plan.windows().iter().map(|window| length(window.kind())).max().unwrap_or_default();
        self.plan = Arc::new(plan);
        self
    }

    /// What one of so many partitions may take of what is there for all.
    pub(crate) fn per_partition(mut self, partitions: u16) -> Self {
        let share = usize::from(partitions.max(1));
        self.window_bytes /= share;
        // Devices are spread by hash: some partitions get a few more.
        self.devices.max_devices = (self.devices.max_devices / share).max(1) * 5 / 4;
        self.devices.max_series = (self.devices.max_series / share).max(1) * 5 / 4;
        self
    }

    pub(crate) fn windows(&self) -> Windows {
        Windows::new(Arc::clone(&self.plan), self.allowed_lateness_nanos, self.window_bytes)
    }

    /// From how many readings on a window's results are kept.
    pub(crate) fn least(&self, window: u16) -> u64 {
        self.plan.windows()[usize::from(window)].least().into()
    }

    /// The gap of a session window.
    pub(crate) fn gap_nanos(&self, window: u16) -> Option<i64> {
        match self.plan.windows()[usize::from(window)].kind() {
            WindowKind::Session { gap } => Some(gap),
            WindowKind::Grid { .. } => None,
        }
    }
}
