//! What the worker remembers of the readings of the devices that are being filled.

use std::collections::HashMap;
use std::sync::Arc;

use record::{CleanRecord, DeviceId, Timestamp};
use rule::{Filled, OpenWindows};

use super::Stored;

/// Most readings that are remembered of a page, 32 MB. A page takes a second or so; of more the windows begin empty.
const REMEMBERED: usize = 1_000_000;

/// See the module.
pub(in crate::evaluate) struct Watch {
    open: Arc<OpenWindows>,
    devices: HashMap<DeviceId, Vec<Remembered>>,
    count: usize,
}

/// A reading, and the record of the raw topic that it came in.
struct Remembered {
    lane: u8,
    offset: u64,
    metric: u32,
    at: Timestamp,
    value: f64,
}

impl Watch {
    pub(in crate::evaluate) fn new(open: Arc<OpenWindows>, devices: Vec<DeviceId>) -> Self {
        let devices = devices.into_iter().map(|device| (device, Vec::new())).collect();
        Self { open, devices, count: 0 }
    }

    /// Remembers what of a record may belong into a window.
    pub(in crate::evaluate) fn see(&mut self, record: &CleanRecord<'_>) {
        if record.tenant != self.open.tenant().as_str() || self.count >= REMEMBERED {
            return;
        }
        let Ok(device) = DeviceId::parse(record.device) else { return };
        let Some(remembered) = self.devices.get_mut(&device) else { return };
        for reading in &record.readings {
            let metric = self.open.metrics().iter().position(|metric| **metric == *reading.metric);
            let (Some(metric), Some(value)) = (metric, reading.value.as_f64()) else { continue };
            let metric = u32::try_from(metric).expect("rules name fewer metrics than 2^32");
            let (lane, offset) = (record.source.lane as u8, record.source.offset);
            remembered.push(Remembered { lane, offset, metric, at: reading.when.time, value });
            self.count += 1;
        }
    }

    /// Puts what is remembered of a device behind what was stored of it. `Err`: it has to be read again, because it cannot be said
    /// whether a reading is among what was stored.
    pub(in crate::evaluate) fn complete(&mut self, stored: Stored) -> Result<Option<Filled>, DeviceId> {
        let Stored { mut filled, cut, old, recent, .. } = stored;
        let Some(remembered) = self.devices.remove(&filled.device) else { return Ok(None) };
        if self.count >= REMEMBERED {
            tracing::warn!(device = %filled.device, "too much came while windows of rules were filled: they begin empty");
            return Ok(None);
        }
        let lane = |of: &Remembered| usize::from(of.lane);
        let is_doubtful =
            |of: &Remembered| of.at < cut && of.offset >= old[lane(of)] && of.offset < recent[lane(of)];
        if remembered.iter().any(is_doubtful) {
            return Err(filled.device);
        }
        for of in remembered.iter().filter(|of| of.offset >= recent[lane(of)]) {
            filled.windows.take(of.metric as usize, of.at, of.value);
        }
        Ok(Some(filled))
    }
}
