//! Rules, evaluated over the messages of one partition.

mod device;
mod explain;
mod fill;
mod fleet;
mod judge;
mod kept;
mod look;
mod message;
mod open;
mod score;
mod settings;
mod state;
mod step;
mod swap;
mod table;
mod time;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashMap;
use record::{CleanReading, DeviceId, Facts, MetricName, TenantId, Timestamp, Value};

pub use explain::{Explanation, Part, Phase};
pub use fill::{Filled, Filling, OpenWindows};
pub use open::OpenCause;
pub use score::{Detector, Detectors, NoDetectors, Score, Series};
pub use settings::Settings;
pub use state::StateError;

use crate::detectors::Priors;
use crate::set::{Cohorts, Tenant};
use crate::{Route, RuleId, RuleSet, Transition};
use fill::Open;
use step::Scratch;
use table::Table;

/// A message of a device, in the order of its partition.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// Of which device.
    pub device: &'a str,
    /// What is known of the device.
    pub facts: &'a Facts,
    /// Whether it came in the backfill lane.
    pub is_history: bool,
    /// Its readings.
    pub readings: &'a [CleanReading<'a>],
}

/// What came of messages and of time. Appended to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Conditions that began to hold, or ended; those of a device in their order.
    pub transitions: Vec<Transition>,
    /// What routing rules pass on.
    pub routed: Vec<Routed>,
}

/// Readings of one time of a device for which a routing rule's condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// Whose.
    pub tenant: TenantId,
    /// Of which device.
    pub device: DeviceId,
    /// By which rule. A crash can have the same passed on again: tenant, device, rule and `at` tell it apart.
    pub rule: RuleId,
    /// Its version.
    pub version: u32,
    /// Where to.
    pub route: Route,
    /// The event time.
    pub at: Timestamp,
    /// The metrics that the rule names, with their last known values.
    pub values: Vec<(MetricName, Value)>,
}

/// Rules, evaluated over the messages of one partition, in their order. Neither does I/O nor reads a clock.
#[derive(Debug)]
pub struct Evaluator {
    set: Arc<RuleSet>,
    settings: Settings,
    /// By name, the place in `tenants`.
    tenant_places: HashMap<Box<str>, u32>,
    tenants: Vec<Rules>,
    live: Table,
    past: Table,
    /// The newest event time of live readings, each bounded by its arrival; ns.
    watermark: i64,
    /// The server's time up to which all is done, ns.
    now: i64,
    /// When which device's time comes; those that are out of date are passed over.
    timers: BinaryHeap<Reverse<(i64, u32)>>,
    scratch: Scratch,
    /// What series begin with that are new.
    priors: Arc<Priors>,
}

/// A tenant's rules, and what of them is in use.
#[derive(Debug)]
struct Rules {
    tenant: Arc<Tenant>,
    /// What waits for what was stored.
    open: Open,
    live: Cohorts,
    past: Cohorts,
}

impl Evaluator {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(set: Arc<RuleSet>, settings: Settings) -> Self {
        let table = |devices: usize| Table::new(devices, settings.kept_bytes);
        let (live, past) = (table(settings.devices), table(settings.past_devices));
        Self {
            set,
            settings,
            tenant_places: HashMap::new(),
            tenants: Vec::new(),
            live,
            past,
            watermark: i64::MIN,
            now: i64::MIN,
            timers: BinaryHeap::new(),
            scratch: Scratch::default(),
            priors: Arc::default(),
        }
    }

    /// The rules that are evaluated.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.set
    }

    /// How many devices are remembered, the past of some counted again.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.live.len() + self.past.len()
    }

    /// About how much memory the state of devices takes, bytes. Looks at each of them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.live.bytes() + self.past.bytes() + self.timers.capacity() * size_of::<Reverse<(i64, u32)>>()
    }

    /// The place of a tenant's rules, if it has some.
    fn place(&mut self, tenant: &str) -> Option<u32> {
        if let Some(place) = self.tenant_places.get(tenant) {
            return Some(*place);
        }
        let rules = Arc::clone(self.set.tenant(tenant)?);
        let place = u32::try_from(self.tenants.len()).expect("there are fewer tenants than 2^32");
        let open = if self.settings.fills { Open::of_new(&rules) } else { Open::default() };
        self.tenants.push(Rules::new(rules, open, self.settings.indexed_rules));
        self.tenant_places.insert(tenant.into(), place);
        Some(place)
    }
}

impl Rules {
    fn new(tenant: Arc<Tenant>, open: Open, indexed_rules: usize) -> Self {
        let (live, past) = (Cohorts::new(false, indexed_rules), Cohorts::new(true, indexed_rules));
        Self { tenant, open, live, past }
    }
}
