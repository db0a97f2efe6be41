//! What is out of use leaves the table.

use record::Timestamp;

use super::{Device, Devices, SeriesName, Tick};

/// How much the table may hold. Beyond it, what was used longest ago leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a device or series stays after something of it arrived, nanoseconds. Must be longer than any window is open.
    pub ttl_ns: i64,
    /// How many devices.
    pub max_devices: usize,
    /// How many series.
    pub max_series: usize,
}

impl Default for Limits {
    /// A day; a million devices and twelve million series, at some 2.3 KB and 100 bytes each.
    fn default() -> Self {
        Self { ttl_ns: 86_400_000_000_000, max_devices: 1_000_000, max_series: 12_000_000 }
    }
}

/// What left the table. The numbers may be given out again at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Devices, by rising number.
    pub devices: Vec<u32>,
    /// Series, those of the devices among them.
    pub series: Vec<u32>,
    /// Their names, in the same order: the table does not know them any more.
    pub names: Vec<OwnedName>,
    /// Devices that stay but have lost series: their slots are numbered anew, and what was remembered by slot is void
    /// ([`crate::dedup::Recent::forget`]).
    pub renumbered: Vec<u32>,
}

/// The names behind a series that has left the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedName {
    /// The tenant.
    pub tenant: Box<str>,
    /// The device.
    pub device: Box<str>,
    /// The metric.
    pub metric: Box<str>,
}

impl OwnedName {
    /// The same, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> SeriesName<'_> {
        SeriesName { tenant: &self.tenant, device: &self.device, metric: &self.metric }
    }
}

impl Evicted {
    /// Whether nothing left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.series.is_empty()
    }
}

/// A look at all devices frees at least this part of the limit, so that it is rare.
const ROOM: usize = 16;

impl Devices {
    /// Lets go what was not used for [`Limits::ttl_ns`] before `now` (an arrival time, which must not depend on anything
    /// but the log and the notes), and the least recently used beyond the limits. Translations made before are void.
    ///
    /// Cheap when there is nothing to do: the table is looked through 16 times per `ttl_ns`, and when it is too large.
    pub fn sweep(&mut self, now: Timestamp, limits: &Limits) -> Evicted {
        let mut evicted = Evicted::default();
        let due = match self.state.swept_at {
            None => {
                self.state.swept_at = Some(now.nanos());
                false
            }
            Some(at) => now.nanos().saturating_sub(at) >= limits.ttl_ns / ROOM as i64,
        };
        if due {
            self.state.swept_at = Some(now.nanos());
            let before = Tick::of(Timestamp::from_nanos(now.nanos().saturating_sub(limits.ttl_ns)));
            self.evict_unused(before, &mut evicted);
        }
        if self.len() > limits.max_devices || self.series_len() > limits.max_series {
            self.evict_oldest(limits, &mut evicted);
        }
        if !evicted.is_empty() {
            self.sweeps += 1;
            evicted.devices.sort_unstable();
        }
        evicted
    }

    fn evict_unused(&mut self, before: Tick, evicted: &mut Evicted) {
        for number in 0..self.state.devices.len() as u32 {
            match &self.state.devices[number as usize] {
                Some(device) if device.used < before => self.evict(number, evicted),
                Some(device) if device.slots.iter().any(|slot| slot.used < before) => {
                    self.evict_slots(number, before, evicted);
                }
                _ => {}
            }
        }
    }

    /// Devices in the order of their last use, until there is room again.
    fn evict_oldest(&mut self, limits: &Limits, evicted: &mut Evicted) {
        let by_use = (0..).zip(&self.state.devices);
        let mut by_use: Vec<(Tick, u32)> =
            by_use.filter_map(|(number, device)| Some((device.as_ref()?.used, number))).collect();
        by_use.sort_unstable();
        let (devices, series) = (room(limits.max_devices), room(limits.max_series));
        for (_, number) in by_use {
            if self.len() <= devices && self.series_len() <= series {
                break;
            }
            self.evict(number, evicted);
        }
    }

    fn evict(&mut self, number: u32, evicted: &mut Evicted) {
        let device = self.state.devices[number as usize].take().expect("a device number in use");
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, (device.tenant, &*device.id));
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
        for slot in &device.slots {
            self.free_series((device.tenant, &device.id, slot.metric), slot.series, evicted);
        }
        self.state.tenants.drop_use(device.tenant);
        self.state.device_numbers.give_back(number);
        self.state.device_count -= 1;
        evicted.devices.push(number);
    }

    fn evict_slots(&mut self, number: u32, before: Tick, evicted: &mut Evicted) {
        let device: &mut Device =
            self.state.devices[number as usize].as_mut().expect("a device number in use");
        device.is_whole = false;
        device.by_metric = Vec::new();
        let (tenant, id) = (device.tenant, device.id.clone());
        let mut gone = Vec::new();
        device.slots.retain(|slot| {
            let stays = slot.used >= before;
            if !stays {
                gone.push((slot.metric, slot.series));
            }
            stays
        });
        for (metric, series) in gone {
            self.free_series((tenant, &id, metric), series, evicted);
        }
        evicted.renumbered.push(number);
    }

    fn free_series(&mut self, (tenant, id, metric): (u32, &str, u32), series: u32, evicted: &mut Evicted) {
        evicted.names.push(OwnedName {
            tenant: self.state.tenants.get(tenant).into(),
            device: id.into(),
            metric: self.state.metrics.get(metric).into(),
        });
        self.state.metrics.drop_use(metric);
        self.state.series[series as usize] = None;
        self.state.series_numbers.give_back(series);
        self.state.series_count -= 1;
        evicted.series.push(series);
    }
}

fn room(limit: usize) -> usize {
    limit - limit / ROOM
}
