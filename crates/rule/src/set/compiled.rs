//! One rule, compiled.

use record::{Facts, Timestamp};

use crate::document::{Document, Route, Scope};
use crate::error::CompileError;
use crate::language::{
    Compare, Condition, Expr, Fact, Names, Seen, Side, Signal, build, interest, needs, parse,
};
use crate::schedule::Hours;

/// One rule, compiled over the names of its tenant.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) when: Condition,
    pub(crate) clear: Option<Condition>,
    /// How long it must hold, nanoseconds.
    pub(crate) hold: i64,
    pub(crate) hours: Option<Hours>,
    pub(crate) retrospective: bool,
    pub(crate) route: Option<Route>,
    scope: Scope,
    /// Of the condition, what must hold of the facts alone.
    facts: Vec<Expr>,
    /// The metrics that make it be looked at, and when.
    pub(crate) watches: Vec<(u32, Watch)>,
    /// Where the watch is [`Watch::Levels`]: what must be crossed.
    pub(crate) thresholds: Vec<(Signal, f64)>,
    /// What must be so of signals for `when` to hold.
    pub(crate) needs: Vec<(Signal, Side, f64)>,
    pub(crate) tracks: Vec<u32>,
    pub(crate) silences: Vec<(Option<u32>, i64)>,
    /// Whether any reading of the device may change it from false to true.
    pub(crate) wakes: bool,
}

/// When a metric's reading makes a rule be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// When it crosses one of the rule's thresholds: nothing else can change the condition.
    Levels,
    /// When its value is another one.
    Change,
    /// Always.
    Always,
}

impl Compiled {
    /// Compiles a document. Names that it needs are added to `names`, also if it fails.
    pub(crate) fn new(document: &Document, names: &mut Names) -> Result<Self, CompileError> {
        document.check()?;
        let when = build(&parse("when", &document.when)?, names)?;
        let clear = document
            .clear_when
            .as_deref()
            .map(|text| build(&parse("clear_when", text)?, names))
            .transpose()?;
        let hours = document.schedule.as_ref().map(|schedule| schedule.hours()).transpose();
        let hours = hours.map_err(|reason| CompileError::about("schedule", reason))?;
        let both = || std::iter::once(&when).chain(&clear);
        let silences = united(both().flat_map(|condition| &condition.silences));
        if document.route.is_some() && !silences.is_empty() {
            let message =
                "takes readings, and a device that is silent has none: leave no_data out".to_owned();
            return Err(CompileError::about("route", message));
        }
        let mut rule = Self {
            hold: document.hold.nanos(),
            hours,
            retrospective: document.retrospective,
            route: document.route.clone(),
            scope: document.scope.clone(),
            facts: of_facts(&when.expr),
            watches: Vec::new(),
            thresholds: Vec::new(),
            needs: needs(&when.expr),
            tracks: united(both().flat_map(|condition| &condition.tracks)),
            wakes: both()
                .any(|condition| !rises_with_silence(&condition.expr) || looks_back(&condition.expr)),
            silences,
            when,
            clear,
        };
        rule.watch(names);
        Ok(rule)
    }

    /// Finds out when it must be looked at.
    fn watch(&mut self, names: &Names) {
        let both = || std::iter::once(&self.when).chain(&self.clear);
        let metrics: Vec<u32> = united(both().flat_map(|condition| &condition.metrics));
        let found = interest(both());
        // What a track says may be another thing although its metric's value is the same: such a metric cannot be loose.
        let is_still = |track: &u32| {
            let track = &names.tracks()[*track as usize];
            track.is_still() && !found.loose.iter().any(|metric| track.is_of(*metric))
        };
        let is_steady = self.tracks.iter().all(is_still) && !found.loose_tracks && !found.restless;
        let is_single =
            metrics.len() == 1 && found.loose.is_empty() && !found.loose_tracks && !found.restless;
        let watch = |metric: u32| match () {
            () if self.route.is_some() => Watch::Always,
            () if is_single || (is_steady && !found.loose.contains(&metric)) => Watch::Levels,
            () if is_steady => Watch::Change,
            () => Watch::Always,
        };
        self.watches = metrics.iter().map(|metric| (*metric, watch(*metric))).collect();
        self.thresholds = found.thresholds;
    }

    /// Whether a device with these facts, whatever its id, is in its scope, and fulfils what the condition wants of facts.
    pub(crate) fn applies(&self, facts: &Facts, seen: &impl Seen) -> bool {
        let is = |wanted: &Option<String>, found: &Option<Box<str>>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found.as_deref())
        };
        is(&self.scope.device_type, &facts.device_type)
            && is(&self.scope.site, &facts.site)
            && self
                .scope
                .tags
                .iter()
                .all(|(key, value)| facts.tags.get(key.as_str()).is_some_and(|tag| **tag == **value))
            && self.facts.iter().all(|expr| expr.truth(seen) == Some(true))
    }

    /// Whether its scope and facts let every device in.
    pub(super) fn is_for_everyone(&self) -> bool {
        let Scope { device_type, site, tags, .. } = &self.scope;
        device_type.is_none() && site.is_none() && tags.is_empty() && self.facts.is_empty()
    }

    /// The one type of devices that it can be for, if its scope or its condition says so.
    pub(super) fn only_type(&self, names: &Names) -> Option<&str> {
        let is_type =
            |expr: &Expr| matches!(expr, Expr::Fact(fact) if names.facts()[*fact as usize] == Fact::Type);
        let of_facts = self.facts.iter().find_map(|expr| match expr {
            Expr::Compare(Compare::Equal, of) => match &**of {
                [fact, Expr::Text(text)] | [Expr::Text(text), fact] if is_type(fact) => Some(&**text),
                _ => None,
            },
            _ => None,
        });
        self.scope.device_type.as_deref().or(of_facts)
    }

    /// When what holds since `cause` is raised, ns: once it has held for long enough, within the schedule. Never, if that has no day
    /// any more.
    pub(crate) fn raised_at(&self, cause: i64) -> Option<i64> {
        let held = cause.saturating_add(self.hold);
        match &self.hours {
            None => Some(held),
            Some(hours) => Some(hours.next_open(Timestamp::from_nanos(held))?.nanos()),
        }
    }

    /// Whether a reading of any metric can change it.
    pub(crate) fn hears_all(&self) -> bool {
        self.silences.iter().any(|(metric, _)| metric.is_none())
    }
}

/// Each once.
fn united<'a, T: Clone + PartialEq + 'a>(all: impl Iterator<Item = &'a T>) -> Vec<T> {
    let mut found: Vec<T> = Vec::new();
    for one in all {
        if !found.contains(one) {
            found.push(one.clone());
        }
    }
    found
}

/// The parts joined by AND that look at facts alone. The id is none of them: facts are what devices share.
fn of_facts(expr: &Expr) -> Vec<Expr> {
    if let Expr::And(parts) = expr {
        return parts.iter().flat_map(of_facts).collect();
    }
    let is_other = |part: &Expr| {
        matches!(
            part,
            Expr::Metric(_)
                | Expr::DeviceId
                | Expr::Track(..)
                | Expr::Changed(_)
                | Expr::Silent(..)
                | Expr::Distance(..)
        )
    };
    if expr.any(&is_other) { Vec::new() } else { vec![expr.clone()] }
}

/// Whether the end of a device's silence cannot make it true: `no_data` stands under AND and OR only.
fn rises_with_silence(expr: &Expr) -> bool {
    match expr {
        Expr::Silent(..) => true,
        Expr::And(parts) | Expr::Or(parts) => parts.iter().all(rises_with_silence),
        _ => !expr.any(&|part| matches!(part, Expr::Silent(None, _))),
    }
}

/// Whether it can become another one with a message that brings no metric it names.
fn looks_back(expr: &Expr) -> bool {
    expr.any(&|part| matches!(part, Expr::Track(..) | Expr::Changed(_)))
}
