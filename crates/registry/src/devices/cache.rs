//! What is known of devices, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use record::{Facts, Known, Learned, TenantId};

use super::Changes;

/// Devices of a generation: more than a tenant has by default, for a fleet that speaks in turn finds only what fits
/// into one. Two of them are kept, at about 200 bytes for a device: some 50 MB at most where devices have few facts. Of a
/// larger fleet those that speak least are read from disk when they do.
const GENERATION: usize = 128 << 10;

/// Changes of facts that are remembered, for those who follow them: some 1 MB. Who asks more seldom reads all facts again,
/// which is then no more work.
const CHANGES: usize = 16 << 10;

type Generation = HashMap<TenantId, HashMap<Box<str>, Arc<Known>>>;

/// Those asked for lately, and those asked for before.
pub(super) struct Cache {
    young: Generation,
    young_len: usize,
    old: Generation,
    nothing: Arc<Known>,
    /// The mark of the table when it was looked at.
    mark: Option<Vec<u8>>,
    pub(super) looked_at: Option<Instant>,
    /// Another one whenever something is forgotten because it changed.
    epoch: u64,
    /// Devices whose facts changed, the latest last.
    changed: VecDeque<(TenantId, Box<str>)>,
    /// The number of the first of them.
    first_change: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            young_len: 0,
            old: HashMap::new(),
            nothing: Arc::new(Known::new(Facts::default(), Learned::default())),
            mark: None,
            looked_at: None,
            epoch: 0,
            changed: VecDeque::new(),
            first_change: 0,
        }
    }
}

impl Cache {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What is known of a device of which nothing is.
    pub(super) fn nothing(&self) -> Arc<Known> {
        Arc::clone(&self.nothing)
    }

    pub(super) fn get(&mut self, tenant: &TenantId, device: &str) -> Option<Arc<Known>> {
        if let Some(known) = self.young.get(tenant).and_then(|devices| devices.get(device)) {
            return Some(Arc::clone(known));
        }
        let known = self.old.get_mut(tenant)?.remove(device)?;
        self.insert(tenant, device, Arc::clone(&known));
        Some(known)
    }

    /// Takes what was read from disk, unless something changed since `epoch`: it may have been read before that.
    pub(super) fn put(&mut self, epoch: u64, tenant: &TenantId, device: &str, known: &Arc<Known>) {
        if self.epoch == epoch {
            self.insert(tenant, device, Arc::clone(known));
        }
    }

    fn insert(&mut self, tenant: &TenantId, device: &str, known: Arc<Known>) {
        if self.young_len >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.young_len = 0;
        }
        let devices = self.young.entry(tenant.clone()).or_default();
        self.young_len += usize::from(devices.insert(device.into(), known).is_none());
    }

    /// The devices of a tenant whose facts changed since a mark was told.
    pub(super) fn changes(&self, tenant: &TenantId, since: Option<u64>) -> Changes {
        let from = since.and_then(|since| since.checked_sub(self.first_change));
        let of_tenant = |from: u64| {
            let later = self.changed.iter().skip(usize::try_from(from).unwrap_or(usize::MAX));
            later.filter(|(of, _)| of == tenant).map(|(_, device)| device.clone()).collect()
        };
        Changes { mark: self.first_change + self.changed.len() as u64, devices: from.map(of_tenant) }
    }

    fn note(&mut self, tenant: &TenantId, device: &str) {
        if self.changed.len() >= CHANGES {
            self.changed.pop_front();
            self.first_change += 1;
        }
        self.changed.push_back((tenant.clone(), device.into()));
    }

    /// The device changed.
    pub(super) fn forget(&mut self, tenant: &TenantId, device: &str) {
        self.epoch += 1;
        self.note(tenant, device);
        let removed = self.young.get_mut(tenant).and_then(|devices| devices.remove(device));
        self.young_len -= usize::from(removed.is_some());
        self.old.get_mut(tenant).and_then(|devices| devices.remove(device));
    }

    /// The device said something of itself; what is registered is as it was.
    pub(super) fn learn(&mut self, tenant: &TenantId, device: &str, learned: &Learned) {
        self.note(tenant, device);
        match self.get(tenant, device) {
            Some(before) => {
                let known = Known::new(before.registered.clone(), learned.clone());
                self.insert(tenant, device, Arc::new(known));
            }
            // It may be on its way from disk.
            None => self.epoch += 1,
        }
    }

    /// The table has this mark; if that is news, nothing in memory counts any more.
    pub(super) fn marked(&mut self, mark: Option<Vec<u8>>) {
        if mark != self.mark {
            self.mark = mark;
            self.epoch += 1;
            // Whatever number was told before lies before the first one now.
            self.first_change += self.changed.len() as u64 + 1;
            self.changed.clear();
            self.young.clear();
            self.old.clear();
            self.young_len = 0;
        }
    }

    /// The table got this mark from us: what changed is forgotten already.
    pub(super) fn expect(&mut self, mark: Vec<u8>) {
        self.mark = Some(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_two_generations_and_those_that_are_asked_for() {
        let (mut cache, tenant) = (Cache::default(), TenantId::default_tenant());
        let known = cache.nothing();
        for n in 0..GENERATION * 3 {
            cache.put(0, &tenant, &n.to_string(), &known);
            assert!(cache.get(&tenant, "0").is_some(), "{n}");
            assert!(cache.young_len <= GENERATION);
        }
        let held: usize = [&cache.young, &cache.old].iter().map(|g| g[&tenant].len()).sum();
        assert!(held <= 2 * GENERATION, "{held}");
        assert!(cache.get(&tenant, "1").is_none(), "long not asked for");
    }

    #[test]
    fn changes_are_told_once_to_who_follows_and_not_for_ever() {
        let (mut cache, tenant) = (Cache::default(), TenantId::default_tenant());
        let Changes { mark: start, devices: all } = cache.changes(&tenant, None);
        assert_eq!(all, None, "who asks for the first time knows nothing");
        cache.forget(&tenant, "d1");
        cache.learn(&TenantId::parse("other").unwrap(), "d9", &Learned::default());
        cache.learn(&tenant, "d2", &Learned::default());
        let Changes { mark, devices } = cache.changes(&tenant, Some(start));
        assert_eq!(devices, Some(vec!["d1".into(), "d2".into()]));
        assert_eq!(cache.changes(&tenant, Some(mark)), Changes { mark, devices: Some(Vec::new()) });
        cache.marked(Some(vec![1]));
        let Changes { mark, devices } = cache.changes(&tenant, Some(mark));
        assert_eq!(devices, None, "another process changed something");
        for n in 0..=CHANGES {
            cache.forget(&tenant, &n.to_string());
        }
        assert_eq!(cache.changes(&tenant, Some(mark)).devices, None);
        let later = cache.changes(&tenant, Some(mark + 1)).devices;
        assert_eq!(later.map(|devices| devices.len()), Some(CHANGES));
        assert_eq!(cache.changed.len(), CHANGES);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let (mut cache, tenant) = (Cache::default(), TenantId::default_tenant());
        let (known, epoch) = (cache.nothing(), cache.epoch());
        cache.forget(&tenant, "d1");
        cache.put(epoch, &tenant, "d1", &known);
        assert!(cache.get(&tenant, "d1").is_none());
        cache.put(cache.epoch(), &tenant, "d1", &known);
        assert!(cache.get(&tenant, "d1").is_some());
        cache.marked(Some(vec![1]));
        assert!(cache.get(&tenant, "d1").is_none());
    }
}
