//! The devices that are remembered.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use record::DeviceId;

use super::device::Device;
use crate::limits::DEVICES_FORGOTTEN_AT_ONCE;

/// The devices that are remembered: at most so many, those heard least recently go first.
#[derive(Debug)]
pub(super) struct Table {
    devices: Vec<Option<Device>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    most: usize,
    /// What is kept of readings, of all devices, bytes.
    kept_bytes: usize,
    most_kept_bytes: usize,
}

impl Table {
    pub(super) fn new(most: usize, most_kept_bytes: usize) -> Self {
        let hasher = DefaultHashBuilder::default();
        Self {
            devices: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher,
            most: most.max(1),
            kept_bytes: 0,
            most_kept_bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether one more is too many.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.most
    }

    /// Whether more is kept of readings than may be.
    pub(super) fn is_heavy(&self) -> bool {
        self.kept_bytes > self.most_kept_bytes
    }

    /// Takes note of what is kept of a device's readings now.
    pub(super) fn weigh(&mut self, place: u32) {
        let Some(device) = self.devices.get_mut(place as usize).and_then(Option::as_mut) else { return };
        let before = device.kept_bytes;
        if before == 0 && device.kept.is_empty() {
            return;
        }
        device.kept_bytes = device.kept.iter().map(|kept| kept.state.held_bytes()).sum();
        self.kept_bytes = self.kept_bytes + device.kept_bytes - before;
    }

    pub(super) fn find(&self, tenant: u32, id: &str) -> Option<u32> {
        let is_it = |place: &u32| {
            self.devices[*place as usize]
                .as_ref()
                .is_some_and(|device| device.tenant == tenant && device.id.as_str() == id)
        };
        self.index.find(self.hasher.hash_one((tenant, id)), is_it).copied()
    }

    pub(super) fn get(&self, place: u32) -> Option<&Device> {
        self.devices.get(place as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Device> {
        self.devices.get_mut(place as usize)?.as_mut()
    }

    /// Adds a device that is not there. Room was made for it.
    pub(super) fn add(&mut self, device: Device) -> u32 {
        let hash = self.hasher.hash_one((device.tenant, device.id.as_str()));
        let place = self.free.pop().unwrap_or_else(|| {
            self.devices.push(None);
            u32::try_from(self.devices.len() - 1).expect("there are fewer devices than 2^32")
        });
        self.devices[place as usize] = Some(device);
        let (devices, hasher) = (&self.devices, &self.hasher);
        self.index.insert_unique(hash, place, |place| {
            let device = devices[*place as usize].as_ref().expect("what the index names is there");
            hasher.hash_one((device.tenant, device.id.as_str()))
        });
        place
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<Device> {
        let device = self.devices.get_mut(place as usize)?.take()?;
        let hash = self.hasher.hash_one((device.tenant, device.id.as_str()));
        if let Ok(entry) = self.index.find_entry(hash, |found| *found == place) {
            entry.remove();
        }
        self.free.push(place);
        self.kept_bytes -= device.kept_bytes;
        Some(device)
    }

    /// Takes out those who were heard least recently, a sixteenth of all, in an order that depends on nothing else.
    pub(super) fn forget(&mut self) -> Vec<Device> {
        let mut all: Vec<(i64, &DeviceId, u32, u32)> = self
            .places()
            .map(|(place, device)| (device.times.heard, &device.id, device.tenant, place))
            .collect();
        let count = (all.len() / DEVICES_FORGOTTEN_AT_ONCE).max(1).min(all.len());
        all.sort_unstable();
        let places: Vec<u32> = all[..count].iter().map(|(.., place)| *place).collect();
        places.into_iter().filter_map(|place| self.remove(place)).collect()
    }

    /// All, in the order of their places.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, &Device)> {
        let numbered = self.devices.iter().enumerate();
        numbered.filter_map(|(place, device)| Some((u32::try_from(place).ok()?, device.as_ref()?)))
    }

    /// About how much memory it takes, bytes.
    pub(super) fn bytes(&self) -> usize {
        let devices: usize = self.places().map(|(_, device)| device.bytes()).sum();
        let empty = (self.devices.capacity() - self.len()) * size_of::<Option<Device>>();
        devices + empty + self.index.capacity() * 5 + self.free.capacity() * 4
    }
}
