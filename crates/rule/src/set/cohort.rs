//! Devices with the same facts.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};
use record::Facts;

use super::plan::Plan;
use super::tenant::Tenant;
use crate::language::{Datum, Fact, Func, Seen};

/// Devices with the same facts, for whom the same rules apply.
#[derive(Debug)]
pub(crate) struct Cohort {
    /// What rules can know of the facts.
    pub(crate) facts: Facts,
    /// See [`Cohorts::print`].
    pub(crate) print: u64,
    /// The facts that rules name, by number.
    values: Vec<Option<Box<str>>>,
    /// The rules that are for devices of some ids, and for those of this cohort.
    for_id: Vec<u32>,
    pub(crate) plan: Arc<Plan>,
}

/// The cohorts and plans of a tenant that are in use.
#[derive(Debug, Default)]
pub(crate) struct Cohorts {
    /// Whether only rules are in them that judge the past.
    of_past: bool,
    /// Seeded at random.
    hasher: DefaultHashBuilder,
    /// Most rules in all plans.
    most: usize,
    cohorts: HashMap<u64, Vec<Arc<Cohort>>>,
    /// How many were made since those out of use were looked for.
    made: usize,
    /// How many cohorts there may be before those out of use are looked for.
    look_at: usize,
    plans: HashMap<u64, Vec<Arc<Plan>>>,
    /// Rules in all plans.
    planned: usize,
    common: Option<Arc<Plan>>,
}

/// The facts that rules can look at: where a device stands is none of them.
fn known(facts: &Facts) -> Facts {
    Facts { coordinates: None, place: None, ..facts.clone() }
}

impl Cohort {
    /// Whether rules see the same in these facts.
    pub(crate) fn fits(&self, facts: &Facts) -> bool {
        let own = &self.facts;
        own.device_type == facts.device_type
            && own.site == facts.site
            && own.firmware == facts.firmware
            && own.tags == facts.tags
    }

    pub(crate) fn value(&self, fact: u32) -> Datum<'_> {
        self.values.get(fact as usize).and_then(|value| value.as_deref()).map_or(Datum::Null, Datum::Text)
    }

    /// Whether a rule is for its devices.
    pub(crate) fn has(&self, tenant: &Tenant, rule: u32) -> bool {
        if self.plan.rules.binary_search(&rule).is_err() {
            return false;
        }
        let is_for_id =
            || self.for_id.binary_search(&rule).is_ok() || tenant.for_all.binary_search(&rule).is_ok();
        !self.plan.is_common
            || (is_for_id() && tenant.rule(rule).applies(&self.facts, &OfFacts(&self.values)))
    }
}

impl Cohorts {
    pub(crate) fn new(of_past: bool, most: usize) -> Self {
        Self { of_past, most, look_at: 1024, ..Self::default() }
    }

    /// A print of what rules can know of facts: where it is the same, so is that. Two that differ have the same one once in 2^64 times,
    /// by a seed that nobody knows.
    pub(crate) fn print(&self, facts: &Facts) -> u64 {
        self.hasher.hash_one((&facts.device_type, &facts.site, &facts.firmware, &facts.tags))
    }

    /// The cohort of a device.
    pub(crate) fn of(&mut self, tenant: &Tenant, id: &str, facts: &Facts) -> Arc<Cohort> {
        let for_id = for_id(tenant, id);
        let print = self.print(facts);
        let key = self.hasher.hash_one((print, &for_id));
        let found = self.cohorts.get(&key).and_then(|cohorts| {
            cohorts.iter().find(|cohort| cohort.for_id == for_id && cohort.fits(facts)).map(Arc::clone)
        });
        if let Some(cohort) = found {
            return cohort;
        }
        if self.cohorts.len() >= self.look_at {
            self.forget_unused();
        }
        self.made += 1;
        let facts = known(facts);
        let values: Vec<_> = tenant.names.facts().iter().map(|fact| value_of(&facts, fact)).collect();
        let plan = self.plan(tenant, &facts, &values, &for_id);
        let cohort = Arc::new(Cohort { facts, print, values, for_id, plan });
        self.cohorts.entry(key).or_default().push(Arc::clone(&cohort));
        cohort
    }

    fn plan(
        &mut self,
        tenant: &Tenant,
        facts: &Facts,
        values: &[Option<Box<str>>],
        for_id: &[u32],
    ) -> Arc<Plan> {
        let is_for = |rule: &u32| {
            let compiled = tenant.rule(*rule);
            (!self.of_past || (compiled.retrospective && compiled.route.is_none()))
                && compiled.applies(facts, &OfFacts(values))
        };
        let of_type = facts.device_type.as_ref().and_then(|device_type| tenant.for_types.get(device_type));
        let asked = of_type.into_iter().flatten().chain(&tenant.for_some).chain(for_id);
        let mut rules = tenant.for_everyone.clone();
        if self.of_past {
            rules.retain(is_for);
        }
        rules.extend(asked.copied().filter(is_for));
        rules.sort(); // a few runs in order
        let key = self.hasher.hash_one(&rules);
        if let Some(plan) =
            self.plans.get(&key).and_then(|plans| plans.iter().find(|plan| plan.rules == rules))
        {
            return Arc::clone(plan);
        }
        if self.planned + rules.len() > self.most && self.made > self.cohorts.len() / 2 {
            self.forget_unused();
        }
        if self.planned + rules.len() > self.most {
            return self.common(tenant);
        }
        let plan = Arc::new(Plan::new(tenant, rules, false));
        self.planned += plan.size();
        self.plans.entry(key).or_default().push(Arc::clone(&plan));
        plan
    }

    /// The plan of all rules.
    fn common(&mut self, tenant: &Tenant) -> Arc<Plan> {
        let of_past = self.of_past;
        let all = || {
            let is_for = |rule: &u32| {
                !of_past || (tenant.rule(*rule).retrospective && tenant.rule(*rule).route.is_none())
            };
            let count = u32::try_from(tenant.rules.len()).expect("a tenant has at most 10 000 rules");
            Arc::new(Plan::new(tenant, (0..count).filter(is_for).collect(), true))
        };
        Arc::clone(self.common.get_or_insert_with(all))
    }

    fn forget_unused(&mut self) {
        self.made = 0;
        for cohorts in self.cohorts.values_mut() {
            cohorts.retain(|cohort| Arc::strong_count(cohort) > 1);
        }
        self.cohorts.retain(|_, cohorts| !cohorts.is_empty());
        for plans in self.plans.values_mut() {
            plans.retain(|plan| Arc::strong_count(plan) > 1);
        }
        self.plans.retain(|_, plans| !plans.is_empty());
        self.planned = self.plans.values().flatten().map(|plan| plan.size()).sum();
        self.look_at = (self.cohorts.len() * 2).max(1024);
    }
}

/// The rules that are for devices of some ids, and for this one; sorted.
fn for_id(tenant: &Tenant, id: &str) -> Vec<u32> {
    let mut rules: Vec<u32> = tenant.for_ids.get(id).into_iter().flatten().copied().collect();
    rules
        .extend(tenant.for_patterns.iter().filter(|(pattern, _)| pattern.matches(id)).map(|(_, rule)| *rule));
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn value_of(facts: &Facts, fact: &Fact) -> Option<Box<str>> {
    match fact {
        Fact::Type => facts.device_type.clone(),
        Fact::Site => facts.site.clone(),
        Fact::Firmware => facts.firmware.clone(),
        Fact::Tag(key) => facts.tags.get(key).cloned(),
    }
}

/// Facts, and nothing else.
struct OfFacts<'a>(&'a [Option<Box<str>>]);

impl Seen for OfFacts<'_> {
    fn metric(&self, _: u32) -> Datum<'_> {
        Datum::Null
    }

    fn fact(&self, fact: u32) -> Datum<'_> {
        self.0.get(fact as usize).and_then(|value| value.as_deref()).map_or(Datum::Null, Datum::Text)
    }

    fn device_id(&self) -> &str {
        ""
    }

    fn track(&self, _: u32, _: Func) -> Datum<'_> {
        Datum::Null
    }

    fn changed(&self, _: u32) -> Datum<'_> {
        Datum::Null
    }

    fn silent(&self, _: Option<u32>, _: i64) -> Datum<'_> {
        Datum::Null
    }
}
