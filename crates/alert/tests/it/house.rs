//! A small installation: rules, devices, people, and a clock in the test's hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::{Memory, Metadata, Table};
use parking_lot::Mutex;
use penstock_alert::{
    Address, Alert, AlertId, Alerts, Body, Class, Config, Delivery, Directory, Outcome, Person, Taken, Terms,
};
use record::{DeviceId, Facts, TenantId, Timestamp};
use rule::{Kind, RuleId, Severity, Transition};

/// 2026-01-01T00:00:00Z, milliseconds.
pub(crate) const START: i64 = 1_767_225_600_000;

/// `seconds` after [`START`].
pub(crate) fn at(seconds: i64) -> Timestamp {
    at_ms(seconds * 1000)
}

/// Milliseconds after [`START`].
pub(crate) fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_millis(START + ms).unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

pub(crate) fn rule(name: &str) -> RuleId {
    RuleId(name.into())
}

/// What rules want, by id; the facts of devices, by id.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) terms: Mutex<BTreeMap<String, Terms>>,
    pub(crate) facts: Mutex<BTreeMap<String, Facts>>,
    pub(crate) broken: Mutex<bool>,
}

impl Rules {
    /// Changes what a rule wants.
    pub(crate) fn set(&self, name: &str, change: impl FnOnce(&mut Terms)) {
        let mut all = self.terms.lock();
        change(all.entry(name.to_owned()).or_insert_with(|| Terms::of(&rule(name))));
    }
}

impl Directory for Rules {
    fn terms(&self, _: &TenantId, rule: &RuleId, _: u32) -> Result<Option<Terms>, String> {
        if *self.broken.lock() {
            return Err("the rules cannot be read".into());
        }
        Ok(self.terms.lock().get(&*rule.0).cloned())
    }

    fn facts(&self, _: &TenantId, device: &DeviceId) -> Result<Facts, String> {
        Ok(self.facts.lock().get(device.as_str()).cloned().unwrap_or_default())
    }
}

pub(crate) struct House {
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) metadata: Arc<dyn Metadata>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) config: Config,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(Config::default(), Arc::new(Memory::new()))
    }

    pub(crate) fn with(config: Config, metadata: Arc<dyn Metadata>) -> Self {
        let rules = Arc::new(Rules::default());
        rules.set("hot", |terms| terms.name = "Too hot".into());
        let alerts = open(&config, &metadata, &rules);
        Self { alerts, metadata, rules, config }
    }

    /// As after a crash: all that is in memory is gone.
    pub(crate) fn reopen(&mut self) {
        self.alerts = open(&self.config, &self.metadata, &self.rules);
    }

    pub(crate) fn person(&self, id: &str, change: impl FnOnce(&mut Person)) {
        let mut person = ann();
        change(&mut person);
        self.alerts.put_person(&tenant(), id, &person).unwrap();
    }

    pub(crate) fn take(&self, transitions: &[Transition], now: Timestamp) -> Taken {
        self.alerts.take(transitions, &[], now).unwrap()
    }

    /// Everything that is due until `now`, in steps of a second.
    pub(crate) fn pass(&self, from_s: i64, to_s: i64) {
        for second in from_s..=to_s {
            while self.alerts.tick(at(second)).unwrap().more {}
        }
    }

    pub(crate) fn alert(&self, transition: &Transition) -> Alert {
        self.alerts.get(&tenant(), &id_of(transition)).unwrap().unwrap()
    }

    /// The deliveries that wait, by id.
    pub(crate) fn outbox(&self) -> Vec<Delivery> {
        let mut all = Vec::new();
        self.metadata
            .scan(Table::Outbox, None, &mut |row| {
                let delivery: Delivery = serde_json::from_slice(&row.body).unwrap();
                assert_eq!(delivery.outcome, Outcome::Pending);
                all.push(Delivery { id: row.id, ..delivery });
                true
            })
            .unwrap();
        all
    }

    /// The bodies of the webhooks that wait for a person, in the order they were written.
    pub(crate) fn bodies(&self, person: &str) -> Vec<Body> {
        let mut all: Vec<Delivery> =
            self.outbox().into_iter().filter(|delivery| delivery.person == person).collect();
        all.sort_by_key(|delivery| delivery.created_at_ms);
        all.iter().map(|delivery| serde_json::from_str(&delivery.content).unwrap()).collect()
    }
}

fn open(config: &Config, metadata: &Arc<dyn Metadata>, rules: &Arc<Rules>) -> Arc<Alerts> {
    let settings = config.validate().unwrap();
    Arc::new(Alerts::open(Arc::clone(metadata), Arc::clone(rules) as _, settings).unwrap())
}

/// With a webhook, who hears of everything.
pub(crate) fn ann() -> Person {
    let hook = Address::Webhook { url: "https://hooks.example.com/ann".into() };
    serde_json::from_value(serde_json::json!({"name": "Ann", "channels": {"hook": hook}})).unwrap()
}

pub(crate) fn batched(terms: &mut Terms) {
    terms.class = Class::Batched;
}

pub(crate) fn critical(terms: &mut Terms) {
    terms.severity = Severity::Critical;
}

/// Rule `rule` began to hold for `device` at `seconds`.
pub(crate) fn began(rule_id: &str, device_id: &str, seconds: i64) -> Transition {
    Transition {
        tenant: tenant(),
        device: device(device_id),
        rule: rule(rule_id),
        version: 1,
        kind: Kind::Began,
        cause: at(seconds),
        at: at(seconds),
        retrospective: false,
        why: "temperature 81 over 80".into(),
    }
}

/// What began ended.
pub(crate) fn ended(began: &Transition, seconds: i64) -> Transition {
    Transition { kind: Kind::Ended, at: at(seconds), ..began.clone() }
}

pub(crate) fn id_of(transition: &Transition) -> AlertId {
    AlertId::of(&transition.tenant, &transition.rule, &transition.device, transition.cause)
}
