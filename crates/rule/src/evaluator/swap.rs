//! Other rules for the devices that are known.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use record::Facts;

use super::device::{Active, Device};
use super::fill::{Open, windows};
use super::judge::{Instant, end, look_at};
use super::kept::Keeping;
use super::table::Table;
use super::time::silences_of;
use super::{Evaluator, Output, Rules};
use crate::detectors::Asked;
use crate::language::TrackKind;
use crate::set::{Cohorts, Tenant};
use crate::{RuleId, RuleSet};

/// What numbers stood for.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    pub(super) metrics: Vec<Box<str>>,
    /// Metric and kind.
    pub(super) tracks: Vec<(u32, TrackKind)>,
    /// Id and version.
    pub(super) rules: Vec<(RuleId, u32)>,
}

/// From the numbers of some rules to those of others.
pub(super) struct Swap {
    old: Numbers,
    new: Arc<Tenant>,
    metrics: Vec<Option<u32>>,
    tracks: Vec<Option<u32>>,
    rules: Vec<Option<u32>>,
    /// Of the new rules, which were there before.
    stays: Vec<bool>,
    /// Windows, by their new number, that devices had to give up because more is to be summed up in them now.
    outgrown: RefCell<HashSet<u32>>,
}

impl Numbers {
    pub(super) fn of(tenant: &Tenant) -> Self {
        Self {
            metrics: tenant.names.metrics().to_vec(),
            tracks: tenant.names.tracks().iter().map(|track| (track.metric, track.kind.clone())).collect(),
            rules: tenant.rules.iter().map(|(id, version, _)| (id.clone(), *version)).collect(),
        }
    }
}

impl Swap {
    pub(super) fn new(old: Numbers, new: &Arc<Tenant>) -> Self {
        let metrics: Vec<_> = old.metrics.iter().map(|name| new.names.find_metric(name)).collect();
        let track = |(metric, kind): &(u32, TrackKind)| {
            new.names.find_track((*metrics.get(*metric as usize)?)?, kind)
        };
        let tracks = old.tracks.iter().map(track).collect();
        let rule = |(id, version): &(RuleId, u32)| {
            new.by_id.get(id).copied().filter(|number| new.rules[*number as usize].1 == *version)
        };
        let rules: Vec<_> = old.rules.iter().map(rule).collect();
        let mut stays = vec![false; new.rules.len()];
        rules.iter().flatten().for_each(|number| stays[*number as usize] = true);
        Self { new: Arc::clone(new), metrics, tracks, rules, stays, outgrown: RefCell::default(), old }
    }

    /// Whether nothing is another one.
    fn is_nothing(&self) -> bool {
        let is_same = |(place, new): (usize, &Option<u32>)| *new == u32::try_from(place).ok();
        self.old.rules.len() == self.new.rules.len() && self.rules.iter().enumerate().all(is_same)
    }

    /// What of the new rules was not kept before, or, of the old ones, waited in `open`.
    pub(super) fn open(&self, open: &Open) -> Open {
        let is_kept = |(old, new): (u32, &Option<u32>)| new.filter(|_| !open.windows.contains(&old));
        let kept: HashSet<u32> = (0..).zip(&self.tracks).filter_map(is_kept).collect();
        let new_silence = |metric: &u32| !self.metrics.contains(&Some(*metric));
        let mut silences = self.new.rules.iter().flat_map(|(.., rule)| &rule.silences);
        Open {
            windows: windows(&self.new).filter(|number| !kept.contains(number)).collect(),
            silence: open.silence || silences.any(|(metric, _)| metric.as_ref().is_some_and(new_silence)),
        }
    }

    /// Windows that devices had to give up, by number.
    pub(super) fn outgrown(&self) -> HashSet<u32> {
        self.outgrown.take()
    }

    /// Gives a device the new numbers. What is raised by rules that are gone ends.
    pub(super) fn device(
        &self,
        device: &mut Device,
        cohorts: &mut Cohorts,
        set: &RuleSet,
        is_past: bool,
        out: &mut Output,
    ) {
        let number = |numbers: &[Option<u32>], old: u32| numbers.get(old as usize).copied().flatten();
        device
            .slots
            .retain_mut(|slot| number(&self.metrics, slot.metric).map(|new| slot.metric = new).is_some());
        device.kept.retain_mut(|kept| {
            let Some(new) = number(&self.tracks, kept.track) else { return false };
            kept.track = new;
            let track = &self.new.names.tracks()[new as usize];
            let serves = match (&kept.state, &track.kind) {
                (Keeping::Panes(panes), TrackKind::Window(nanos)) => panes.serves(*nanos, track.parts),
                _ => true,
            };
            if !serves {
                self.outgrown.borrow_mut().insert(new);
            }
            serves
        });
        let instant = Instant { at: device.times.seen, now: device.times.clock, retrospective: is_past };
        let active = std::mem::take(&mut device.active);
        for (old, active) in active {
            match number(&self.rules, old) {
                Some(new) => device.set_active(new, Some(active)),
                None => self.end(device, old, active, set, instant, out),
            }
        }
        device.active.sort_unstable_by_key(|(rule, _)| *rule);
        device.armed = i64::MAX;
        if let Some(cohort) = device.cohort.take() {
            let cohort = cohorts.of(&self.new, device.id.as_str(), &cohort.facts);
            device.set_cohort(&self.new, cohort);
        }
        self.catch_up(device, is_past, out);
    }

    /// Lets rules that are new have the silences that were long enough before they came, each as of its own time.
    fn catch_up(&self, device: &mut Device, is_past: bool, out: &mut Output) {
        let clock = device.times.clock;
        let mut due = Vec::new();
        silences_of(device, |at, rules| {
            if at <= clock {
                let new = rules.iter().filter(|rule| !self.stays[**rule as usize]);
                due.extend(new.map(|rule| (at, *rule)));
            }
        });
        due.sort_unstable();
        for (at, rule) in due {
            let instant = Instant { at, now: at, retrospective: is_past };
            look_at(&self.new, device, &mut vec![rule], instant, out);
        }
    }

    /// Gives a device that was saved with the old numbers the new ones.
    pub(super) fn restored(
        &self,
        device: &mut Device,
        facts: Option<&Facts>,
        cohorts: &mut Cohorts,
        set: &RuleSet,
        is_past: bool,
        out: &mut Output,
    ) {
        self.device(device, cohorts, set, is_past, out);
        if let Some(facts) = facts {
            let cohort = cohorts.of(&self.new, device.id.as_str(), facts);
            device.set_cohort(&self.new, cohort);
            self.catch_up(device, is_past, out);
        }
    }

    /// The detector that a track of the old numbers asks.
    pub(super) fn detector(&self, track: u32) -> Option<&Asked> {
        match self.old.tracks.get(track as usize) {
            Some((_, TrackKind::Score(asked))) => Some(asked),
            _ => None,
        }
    }

    fn end(
        &self,
        device: &Device,
        old: u32,
        active: Active,
        set: &RuleSet,
        instant: Instant,
        out: &mut Output,
    ) {
        let Some((id, version)) = self.old.rules.get(old as usize) else { return };
        let why = set.why_gone(self.new.id.as_str(), id);
        out.transitions.extend(end(&self.new.id, (id, *version), device, active, instant, why));
    }
}

impl Evaluator {
    /// Goes on with other rules. A rule of the same version keeps its state; what is raised by one that was changed, disabled or removed
    /// ends. Windows that a rule names anew begin empty, or wait ([`Settings::fills`](super::Settings::fills)); a metric's last value is known if
    /// some rule named it before.
    pub fn replace(&mut self, set: Arc<RuleSet>, out: &mut Output) {
        self.set = set;
        let first = out.transitions.len();
        let mut swaps = HashMap::new();
        for (place, rules) in self.tenants.iter_mut().enumerate() {
            let gone = || Arc::new(Tenant::new(&rules.tenant.id));
            let new = self.set.tenant(rules.tenant.id.as_str()).map_or_else(gone, Arc::clone);
            let swap = Swap::new(Numbers::of(&rules.tenant), &new);
            if !swap.is_nothing() {
                let open = if self.settings.fills { swap.open(&rules.open) } else { Open::default() };
                *rules = Rules::new(new, open, self.settings.indexed_rules);
                swaps.insert(u32::try_from(place).expect("there are fewer tenants than 2^32"), swap);
            }
        }
        let mut changed = swap_all(&mut self.live, &mut self.tenants, &swaps, &self.set, false, out);
        swap_all(&mut self.past, &mut self.tenants, &swaps, &self.set, true, out);
        changed.drain(..).for_each(|place| self.arm(place));
        for (place, swap) in swaps.iter().filter(|_| self.settings.fills) {
            self.tenants[*place as usize].open.windows.extend(swap.outgrown());
        }
        out.transitions[first..]
            .sort_by(|a, b| (&a.tenant, &a.device, &a.rule).cmp(&(&b.tenant, &b.device, &b.rule)));
    }
}

/// Swaps the rules of devices; those of tenants without any go. Says which are there and have others.
fn swap_all(
    table: &mut Table,
    tenants: &mut [Rules],
    swaps: &HashMap<u32, Swap>,
    set: &RuleSet,
    is_past: bool,
    out: &mut Output,
) -> Vec<u32> {
    let has_others = |(place, device): (u32, &Device)| swaps.contains_key(&device.tenant).then_some(place);
    let mut places: Vec<u32> = table.places().filter_map(has_others).collect();
    places.retain(|place| {
        let Some(device) = table.get_mut(*place) else { return false };
        let rules = &mut tenants[device.tenant as usize];
        let cohorts = if is_past { &mut rules.past } else { &mut rules.live };
        swaps[&device.tenant].device(device, cohorts, set, is_past, out);
        let stays = !rules.tenant.rules.is_empty();
        if stays {
            table.weigh(*place);
        } else {
            table.remove(*place);
        }
        stays
    });
    places
}
