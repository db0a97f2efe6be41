//! The devices and series of a partition, as small numbers.
//!
//! ```text
//!   (tenant, device id) ─▶ device number ─▶ slot 0  slot 1  slot 2 …      slot: the metric's number within the device
//!                                             │       │       │
//!                                           series  series  series        dense numbers, mostly side by side
//! ```
//!
//! What is kept per device or series elsewhere is a vector by these numbers. Numbers of what was evicted are given out
//! again, so whoever keeps something by number drops it when [`Devices::sweep`] says so.
//!
//! A batch's own numbers are translated once per batch ([`Translation`]). A device mostly sends the same metrics in the same
//! order, so the slot of the next row is guessed to be the one after the last.

mod batch;
mod evict;
mod names;
mod numbers;
#[cfg(test)]
mod tests;

pub use batch::Translation;
pub use evict::{Evicted, Limits, OwnedName};

use std::hash::BuildHasher as _;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};
use record::{DeviceNo, MetricNo, Readings, Timestamp};
use serde::{Deserialize, Serialize};

use names::Names;
use numbers::Numbers;

/// Up to here a walk finds a metric's slot quicker than a search.
const WALKED: usize = 32;

/// The devices and series of a partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "State")]
pub struct Devices {
    state: State,
    /// By tenant and id. Never walked: its order is by chance.
    #[serde(skip)]
    index: HashTable<u32>,
    #[serde(skip)]
    hasher: DefaultHashBuilder,
    #[serde(skip)]
    sweeps: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    tenants: Names,
    metrics: Names,
    devices: Vec<Option<Device>>,
    device_numbers: Numbers,
    device_count: u32,
    /// Of each series in use: its device.
    series: Vec<Option<u32>>,
    series_numbers: Numbers,
    series_count: u32,
    /// When it was last looked for what is out of use.
    swept_at: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Device {
    tenant: u32,
    id: Box<str>,
    /// When something of it last arrived.
    used: Tick,
    slots: Vec<Slot>,
    /// The slots by rising metric number, once there are more than [`WALKED`]. Made when needed.
    #[serde(skip)]
    by_metric: Vec<u32>,
    is_whole: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    metric: u32,
    series: u32,
    used: Tick,
}

/// A time of arrival in units of 2³⁰ ns, just over a second: short, and written once a second only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Tick(u32);

impl Tick {
    #[inline]
    fn of(time: Timestamp) -> Self {
        Self(u32::try_from(time.nanos().max(0) >> 30).unwrap_or(u32::MAX)) // 2262 is 2^33 of them: saturates in 2116
    }
}

/// A row's series: its slot within the device and its number within the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// The slot; [`Series::MISSING`] has the highest number.
    pub slot: u32,
    /// The number.
    pub number: u32,
}

impl Series {
    /// No series yet: the device has never sent this metric.
    pub const MISSING: Self = Self { slot: u32::MAX, number: u32::MAX };

    /// Whether it is [`Series::MISSING`].
    #[must_use]
    pub fn is_missing(self) -> bool {
        self == Self::MISSING
    }
}

/// The names behind a series number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesName<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The device.
    pub device: &'a str,
    /// The metric.
    pub metric: &'a str,
}

impl Devices {
    /// None. Allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `translation` ready for `readings`, all of them `tenant`'s. It holds until the next sweep.
    pub fn begin(&self, tenant: &str, readings: &Readings, translation: &mut Translation) {
        translation.clear(readings);
        translation.tenant = self.state.tenants.find(tenant);
        translation.sweeps = self.sweeps;
    }

    /// The number of a device of the batch, if it is in the table.
    #[must_use]
    #[inline]
    pub fn find(&self, readings: &Readings, no: DeviceNo, translation: &mut Translation) -> Option<u32> {
        debug_assert_eq!(translation.sweeps, self.sweeps, "a translation does not outlast a sweep");
        if let Some(number) = translation.device(no) {
            return Some(number);
        }
        let number = self.find_name(translation.tenant?, readings.device_name(no))?;
        translation.set_device(no, number);
        Some(number)
    }

    /// Adds a device that [`Devices::find`] did not find, and says its number. `is_whole` says that the device is
    /// known to have no series but those it gets here: either it is new altogether, or all its series that are stored are now
    /// added ([`Devices::add_series_named`]).
    pub fn add(
        &mut self,
        tenant: &str,
        readings: &Readings,
        no: DeviceNo,
        arrived_at: Timestamp,
        is_whole: bool,
        translation: &mut Translation,
    ) -> u32 {
        let tenant = self.state.tenants.use_name(tenant);
        translation.tenant = Some(tenant);
        let number = self.state.device_numbers.take();
        if self.state.devices.len() <= number as usize {
            self.state.devices.push(None);
        }
        let id = readings.device_name(no).into();
        let used = Tick::of(arrived_at);
        self.state.devices[number as usize] =
            Some(Device { tenant, id, used, slots: Vec::new(), by_metric: Vec::new(), is_whole });
        self.state.device_count += 1;
        self.put_in_index(number);
        translation.set_device(no, number);
        number
    }

    /// The series of `rows`, all of `device`, appended to `out`, [`Series::MISSING`] where there is none yet. Returns how
    /// many are missing. Marks what it finds as used.
    pub fn series(
        &mut self,
        device: u32,
        readings: &Readings,
        rows: Range<usize>,
        arrived_at: Timestamp,
        translation: &mut Translation,
        out: &mut Vec<Series>,
    ) -> usize {
        let State { devices, metrics, .. } = &mut self.state;
        let device = devices[device as usize].as_mut().expect("a device number in use");
        let used = Tick::of(arrived_at);
        device.used = device.used.max(used);
        let (mut missing, mut guess) = (0, 0);
        for &no in &readings.metric_column()[rows] {
            let found = match translation.metric(no) {
                Some(metric) => device.slot_of(metric, guess),
                None => metrics.find(readings.metric_name(no)).and_then(|metric| {
                    translation.set_metric(no, metric);
                    device.slot_of(metric, guess)
                }),
            };
            let Some(slot) = found else {
                missing += 1;
                out.push(Series::MISSING);
                continue;
            };
            guess = slot + 1;
            let entry = &mut device.slots[slot];
            if entry.used < used {
                entry.used = used;
            }
            out.push(Series { slot: slot as u32, number: entry.series });
        }
        missing
    }

    /// The series of a metric of a device, added if it is not there.
    pub fn add_series(
        &mut self,
        device: u32,
        readings: &Readings,
        no: MetricNo,
        arrived_at: Timestamp,
        translation: &mut Translation,
    ) -> Series {
        let series = self.add_series_named(device, readings.metric_name(no), arrived_at);
        let slots = &self.device(device).slots;
        translation.set_metric(no, slots[series.slot as usize].metric);
        series
    }

    /// Takes back a series that was just added to a device: there is no room for it.
    pub fn remove_series(&mut self, device: u32, series: Series) {
        let of_device = self.state.devices[device as usize].as_mut().expect("a device number in use");
        debug_assert_eq!(
            series.slot as usize + 1,
            of_device.slots.len(),
            "only the last one can be taken back"
        );
        of_device.by_metric = Vec::new();
        let Some(slot) = of_device.slots.pop() else { return };
        self.state.metrics.drop_use(slot.metric);
        self.state.series[slot.series as usize] = None;
        self.state.series_numbers.give_back(slot.series);
        self.state.series_count -= 1;
    }

    /// The series of a metric of a device, added if it is not there.
    pub fn add_series_named(&mut self, device: u32, metric: &str, arrived_at: Timestamp) -> Series {
        let state = &mut self.state;
        let of_device = state.devices[device as usize].as_mut().expect("a device number in use");
        let known = state.metrics.find(metric).and_then(|metric| of_device.slot_of(metric, 0));
        if let Some(slot) = known {
            return Series { slot: slot as u32, number: of_device.slots[slot].series };
        }
        let metric = state.metrics.use_name(metric);
        let number = state.series_numbers.take();
        if state.series.len() <= number as usize {
            state.series.push(None);
        }
        state.series[number as usize] = Some(device);
        state.series_count += 1;
        let slot = of_device.slots.len() as u32;
        of_device.push(Slot { metric, series: number, used: Tick::of(arrived_at) });
        Series { slot, number }
    }

    /// Whether the device has no stored series that is not in the table; if not, only the store knows whether a
    /// missing one is new.
    #[must_use]
    pub fn is_whole(&self, device: u32) -> bool {
        self.device(device).is_whole
    }

    /// Says that all series of the device that are stored are in the table now.
    pub fn set_whole(&mut self, device: u32) {
        self.state.devices[device as usize].as_mut().expect("a device number in use").is_whole = true;
    }

    /// How many series of the device are in the table.
    #[must_use]
    pub fn series_of(&self, device: u32) -> usize {
        self.device(device).slots.len()
    }

    /// Tenant and id of a device.
    #[must_use]
    pub fn device_name(&self, device: u32) -> (&str, &str) {
        let device = self.device(device);
        (self.state.tenants.get(device.tenant), &device.id)
    }

    /// The device of a series in use.
    #[must_use]
    pub fn device_of_series(&self, series: u32) -> u32 {
        self.state.series[series as usize].expect("a series number in use")
    }

    /// The names of a series in use.
    #[must_use]
    pub fn series_name(&self, series: u32) -> SeriesName<'_> {
        let device = self.device(self.device_of_series(series));
        let slot = device.slots.iter().find(|slot| slot.series == series).expect("the series of a device");
        SeriesName {
            tenant: self.state.tenants.get(device.tenant),
            device: &device.id,
            metric: self.state.metrics.get(slot.metric),
        }
    }

    /// Calls `each` with every series in use, by device.
    pub fn each_series(&self, mut each: impl FnMut(u32, SeriesName<'_>)) {
        for device in self.state.devices.iter().flatten() {
            for slot in &device.slots {
                let metric = self.state.metrics.get(slot.metric);
                let tenant = self.state.tenants.get(device.tenant);
                each(slot.series, SeriesName { tenant, device: &device.id, metric });
            }
        }
    }

    /// How many devices there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.device_count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many series there are.
    #[must_use]
    pub fn series_len(&self) -> usize {
        self.state.series_count as usize
    }

    fn device(&self, number: u32) -> &Device {
        self.state.device(number)
    }

    fn find_name(&self, tenant: u32, id: &str) -> Option<u32> {
        let is_it = |&number: &u32| {
            let device = self.device(number);
            device.tenant == tenant && *device.id == *id
        };
        self.index.find(self.hasher.hash_one((tenant, id)), is_it).copied()
    }

    fn put_in_index(&mut self, number: u32) {
        let (state, hasher) = (&self.state, &self.hasher);
        let hash = |&number: &u32| {
            let device = state.device(number);
            hasher.hash_one((device.tenant, &*device.id))
        };
        self.index.insert_unique(hash(&number), number, hash);
    }
}

impl State {
    fn device(&self, number: u32) -> &Device {
        self.devices[number as usize].as_ref().expect("a device number in use")
    }
}

impl Device {
    fn push(&mut self, slot: Slot) {
        if self.by_metric.len() == self.slots.len() && !self.slots.is_empty() {
            let place = self.by_metric.partition_point(|&at| self.slots[at as usize].metric < slot.metric);
            self.by_metric.insert(place, self.slots.len() as u32);
        }
        self.slots.push(slot);
    }

    #[inline]
    fn slot_of(&mut self, metric: u32, guess: usize) -> Option<usize> {
        match self.slots.get(guess) {
            Some(slot) if slot.metric == metric => Some(guess),
            _ if self.slots.len() <= WALKED => self.slots.iter().position(|slot| slot.metric == metric),
            _ => self.search(metric),
        }
    }

    fn search(&mut self, metric: u32) -> Option<usize> {
        let slots = &self.slots;
        let metric_at = |&slot: &u32| slots[slot as usize].metric;
        if self.by_metric.len() != slots.len() {
            self.by_metric = (0..slots.len() as u32).collect();
            self.by_metric.sort_unstable_by_key(metric_at);
        }
        let found = self.by_metric.binary_search_by_key(&metric, metric_at).ok()?;
        Some(self.by_metric[found] as usize)
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        (self.tenant, &self.id, self.used, &self.slots, self.is_whole)
            == (other.tenant, &other.id, other.used, &other.slots, other.is_whole)
    }
}

impl From<State> for Devices {
    fn from(state: State) -> Self {
        let in_use: Vec<u32> = (0..)
            .zip(&state.devices)
            .filter(|(_, device)| device.is_some())
            .map(|(number, _)| number)
            .collect();
        let mut devices = Self { state, ..Self::default() };
        in_use.into_iter().for_each(|number| devices.put_in_index(number));
        devices
    }
}

impl PartialEq for Devices {
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state
    }
}
