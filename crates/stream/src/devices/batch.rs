//! From the numbers of a batch to those of the table.

use record::{DeviceNo, MetricNo, Readings};

/// No number yet.
const NONE: u32 = u32::MAX;

/// Which numbers of the table the names of one tenant's [`Readings`] have, looked up once each. Working memory, not state.
#[derive(Debug, Default)]
pub struct Translation {
    pub(super) tenant: Option<u32>,
    pub(super) sweeps: u64,
    devices: Vec<u32>,
    metrics: Vec<u32>,
}

impl Translation {
    /// Empty; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn clear(&mut self, readings: &Readings) {
        self.devices.clear();
        self.devices.resize(readings.devices().len(), NONE);
        self.metrics.clear();
        self.metrics.resize(readings.metrics().len(), NONE);
    }

    /// Makes room for names that have joined the batch since.
    pub fn extend(&mut self, readings: &Readings) {
        self.devices.resize(readings.devices().len(), NONE);
        self.metrics.resize(readings.metrics().len(), NONE);
    }

    /// Forgets a metric's number: it may have left the table.
    pub fn forget_metric(&mut self, no: MetricNo) {
        self.metrics[no.0 as usize] = NONE;
    }

    #[inline]
    pub(super) fn device(&self, no: DeviceNo) -> Option<u32> {
        self.devices.get(no.0 as usize).copied().filter(|&number| number != NONE)
    }

    pub(super) fn set_device(&mut self, no: DeviceNo, number: u32) {
        self.devices[no.0 as usize] = number;
    }

    #[inline]
    pub(super) fn metric(&self, no: MetricNo) -> Option<u32> {
        self.metrics.get(no.0 as usize).copied().filter(|&number| number != NONE)
    }

    pub(super) fn set_metric(&mut self, no: MetricNo, number: u32) {
        self.metrics[no.0 as usize] = number;
    }
}
