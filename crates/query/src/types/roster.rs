//! Which devices are of which type, and what those of a type have sent: kept from one statement to the next, so that a statement is
//! planned without looking at each device.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use record::{DeviceId, Facts, TenantId};
use registry::{Depth, DeviceEntry, Devices};
use series::Result;
use series::scan::{Moments, SeriesMark};

use crate::facts::fault;

/// Most devices with a type that are kept, of all tenants together: some 50 MB. A tenant with more of them is looked through again for
/// each statement that names a type.
const DEVICES: usize = 1 << 19;

/// Devices of the registry that are read at a time.
const PAGE: usize = 8192;

/// The tenants whose types were asked for.
#[derive(Default)]
pub(super) struct Rosters {
    by_tenant: Mutex<HashMap<TenantId, Kept>>,
}

#[derive(Default)]
struct Kept {
    roster: Arc<Mutex<Roster>>,
    devices: usize,
}

impl Rosters {
    /// That of a tenant, as of now.
    pub(super) fn of(
        &self,
        tenant: &TenantId,
        devices: &Devices,
        moments: &dyn Moments,
    ) -> Result<Arc<Mutex<Roster>>> {
        // There at once, so that who asks while it is made waits for it, and does not make another.
        let roster = Arc::clone(&self.by_tenant.lock().entry(tenant.clone()).or_default().roster);
        let mut of_tenant = roster.lock();
        of_tenant.follow(tenant, devices, moments)?;
        let devices = of_tenant.devices.len();
        drop(of_tenant);
        let mut all = self.by_tenant.lock();
        all.insert(tenant.clone(), Kept { roster: Arc::clone(&roster), devices });
        if all.values().map(|kept| kept.devices).sum::<usize>() > DEVICES {
            all.retain(|of, _| of == tenant && devices <= DEVICES);
        }
        Ok(roster)
    }
}

/// What devices have in common: those of one type that send the same are mostly many.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Model {
    device_type: Arc<str>,
    /// What they have sent.
    metrics: BTreeSet<Arc<str>>,
    /// The keys of their tags.
    tags: BTreeSet<Arc<str>>,
}

/// The devices of a tenant that have a type.
#[derive(Default)]
pub(super) struct Roster {
    devices: BTreeMap<Box<str>, Arc<Model>>,
    /// How many devices are of each model, by type.
    types: BTreeMap<Arc<str>, BTreeMap<Arc<Model>, usize>>,
    /// Each name once.
    names: HashSet<Arc<str>>,
    /// Up to which change of facts it is true, and which series are in it.
    facts: Option<u64>,
    series: SeriesMark,
}

impl Roster {
    /// The types that there are devices of, by name.
    pub(super) fn types(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(|device_type| &**device_type)
    }

    pub(super) fn has(&self, device_type: &str) -> bool {
        self.types.contains_key(device_type)
    }

    /// What the devices of a type have sent, and the keys of their tags.
    pub(super) fn columns(&self, device_type: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let models = || self.types.get(device_type).into_iter().flat_map(BTreeMap::keys);
        let names = |of: fn(&Model) -> &BTreeSet<Arc<str>>| {
            models().flat_map(|model| of(model)).map(|name| name.to_string()).collect()
        };
        (names(|model| &model.metrics), names(|model| &model.tags))
    }

    /// The devices of a type, of those that are named.
    pub(super) fn devices(&self, device_type: &str, named: Option<&BTreeSet<String>>) -> BTreeSet<String> {
        let is_of_it = |model: &Model| *model.device_type == *device_type;
        match named {
            Some(named) => {
                let is_one = |name: &&String| self.devices.get(name.as_str()).is_some_and(|of| is_of_it(of));
                named.iter().filter(is_one).cloned().collect()
            }
            None => {
                let of_type = self.devices.iter().filter(|(_, model)| is_of_it(model));
                of_type.map(|(device, _)| device.to_string()).collect()
            }
        }
    }

    /// Looks at what changed since the last time.
    fn follow(&mut self, tenant: &TenantId, devices: &Devices, moments: &dyn Moments) -> Result<()> {
        let failed = |error| fault(&error);
        let now = moments.mark()?;
        if now < self.series {
            // Somebody looked with a later snapshot, which this one cannot add to.
            return Ok(());
        }
        let changes = devices.changes(tenant, self.facts).map_err(failed)?;
        match changes.devices {
            Some(changed) if now.erasure == self.series.erasure => {
                for device in changed {
                    let found = DeviceId::parse(&device).ok().map(|id| devices.find(tenant, &id));
                    let entry = found.transpose().map_err(failed)?.flatten();
                    self.change(&device, entry.as_ref(), moments)?;
                }
            }
            _ => self.begin(tenant, devices).map_err(failed)?,
        }
        self.facts = Some(changes.mark);
        self.read_series(moments)?;
        self.series = now;
        Ok(())
    }

    /// All devices that have a type, as if they had sent nothing.
    fn begin(&mut self, tenant: &TenantId, devices: &Devices) -> std::result::Result<(), registry::Error> {
        *self = Self::default();
        let mut after: Option<String> = None;
        loop {
            let page = devices.list(tenant, after.as_deref(), PAGE, Depth::Whole)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.as_str().to_owned());
            for entry in &page {
                self.place(entry.id.as_str(), &entry.facts(), BTreeSet::new());
            }
        }
    }

    /// What is known of a device is something else now.
    fn change(&mut self, device: &str, entry: Option<&DeviceEntry>, moments: &dyn Moments) -> Result<()> {
        let known = self.remove(device).map(|model| model.metrics.clone());
        let Some(entry) = entry else { return Ok(()) };
        let facts = entry.facts();
        if facts.device_type.is_none() {
            return Ok(());
        }
        let metrics = match known {
            Some(metrics) => metrics,
            None => moments.metrics_of(device)?.iter().map(|metric| self.name(metric)).collect(),
        };
        self.place(device, &facts, metrics);
        Ok(())
    }

    /// Series that are new. Those of devices without a type are read when they get one.
    fn read_series(&mut self, moments: &dyn Moments) -> Result<()> {
        let mut sent: BTreeMap<Box<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        moments.series(self.series, &mut |device, metric| {
            if self.devices.contains_key(device) {
                let metric = self.name(metric);
                sent.entry(device.into()).or_default().insert(metric);
            }
        })?;
        for (device, metrics) in sent {
            let Some(before) = self.remove(&device) else { continue };
            let metrics = before.metrics.union(&metrics).cloned().collect();
            let (device_type, tags) = (Arc::clone(&before.device_type), before.tags.clone());
            self.insert(&device, Model { device_type, metrics, tags });
        }
        Ok(())
    }

    fn place(&mut self, device: &str, facts: &Facts, metrics: BTreeSet<Arc<str>>) {
        let Some(device_type) = &facts.device_type else { return };
        let device_type = self.name(device_type);
        let tags = facts.tags.keys().map(|key| self.name(key)).collect();
        self.insert(device, Model { device_type, metrics, tags });
    }

    fn insert(&mut self, device: &str, model: Model) {
        let models = self.types.entry(Arc::clone(&model.device_type)).or_default();
        let model = match models.get_key_value(&model) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(model),
        };
        *models.entry(Arc::clone(&model)).or_default() += 1;
        self.devices.insert(device.into(), model);
    }

    fn remove(&mut self, device: &str) -> Option<Arc<Model>> {
        let model = self.devices.remove(device)?;
        let models = self.types.get_mut(&model.device_type)?;
        if let Some(count) = models.get_mut(&model) {
            *count -= 1;
            if *count == 0 {
                models.remove(&model);
            }
        }
        if models.is_empty() {
            self.types.remove(&model.device_type);
        }
        Some(model)
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}
