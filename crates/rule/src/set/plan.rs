//! The rules for devices with the same facts, arranged by what makes them be looked at.

use crate::language::{Func, Side, Signal};

use super::compiled::Watch;
use super::tenant::Tenant;

/// The rules for devices with the same facts, arranged by what makes them be looked at. All lists of rules are sorted.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// All of them.
    pub(crate) rules: Vec<u32>,
    /// By the number of the metric.
    metrics: Vec<(u32, MetricPlan)>,
    /// What becomes true by time alone: silence of which metric, of how many nanoseconds, and the rules.
    pub(crate) silences: Vec<(Option<u32>, i64, Vec<u32>)>,
    /// Rules that any reading may make true.
    pub(crate) wakes: Vec<u32>,
    /// Whether scopes and facts must be looked at each time: it is the plan of devices for which there is no room for one of their own.
    pub(crate) is_common: bool,
}

/// What a reading of a metric makes be looked at.
#[derive(Debug, Default)]
pub(crate) struct MetricPlan {
    /// When the value crosses a threshold.
    pub(crate) levels: Levels,
    /// When the value is another one.
    pub(crate) change: Vec<u32>,
    /// Always.
    pub(crate) always: Vec<u32>,
    /// What is kept of its readings.
    pub(crate) tracks: Vec<u32>,
    /// When what a track says crosses a threshold.
    pub(crate) signals: Vec<(u32, Func, Levels)>,
    /// Rules that may hold whatever the value is, looked at when nothing is known of what came before.
    pub(crate) first: Vec<u32>,
}

/// Thresholds in order, each with its rule.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    at: Vec<f64>,
    rules: Vec<u32>,
    /// Thresholds that must be passed upwards for the rule to hold, in order.
    above: Vec<(f64, u32)>,
    /// And downwards.
    below: Vec<(f64, u32)>,
}

impl Levels {
    fn new(group: &[Threshold]) -> Self {
        let in_order = |mut thresholds: Vec<(f64, u32)>| {
            thresholds.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            thresholds.dedup();
            thresholds
        };
        let that_need = |side: Side| {
            let of_side = group.iter().filter(|threshold| threshold.needs == Some(side));
            in_order(of_side.map(|threshold| (threshold.at, threshold.rule)).collect())
        };
        let all = in_order(group.iter().map(|threshold| (threshold.at, threshold.rule)).collect());
        Self {
            at: all.iter().map(|(at, _)| *at).collect(),
            rules: all.iter().map(|(_, rule)| *rule).collect(),
            above: that_need(Side::Above),
            below: that_need(Side::Below),
        }
    }

    /// The rules that need the value to be where it is, one way or the other.
    pub(crate) fn first(&self, value: f64, touched: &mut Vec<u32>) {
        let above = self.above.partition_point(|(at, _)| *at <= value);
        touched.extend(self.above[..above].iter().map(|(_, rule)| *rule));
        let below = self.below.partition_point(|(at, _)| *at < value);
        touched.extend(self.below[below..].iter().map(|(_, rule)| *rule));
        touched.extend_from_slice(self.between(value, value));
    }

    /// The thresholds next to a value, below and above: strictly between them it can move without crossing any. A value that is
    /// on one has no room.
    pub(crate) fn around(&self, value: f64) -> (f64, f64) {
        let above = self.at.partition_point(|at| *at < value);
        let next = self.at.get(above).copied().unwrap_or(f64::INFINITY);
        if next == value {
            return (value, value);
        }
        let last = above.checked_sub(1).map_or(f64::NEG_INFINITY, |below| self.at[below]);
        (last, next)
    }

    /// The rules of all thresholds from one value to another, both included.
    pub(crate) fn between(&self, a: f64, b: f64) -> &[u32] {
        let from = self.at.partition_point(|at| *at < a.min(b));
        let to = self.at.partition_point(|at| *at <= a.max(b));
        &self.rules[from..to]
    }

    /// The rules of all thresholds.
    pub(crate) fn all(&self) -> &[u32] {
        &self.rules
    }
}

impl MetricPlan {
    /// Whether no rule is looked at but because a threshold is crossed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.change.is_empty() && self.always.is_empty()
    }

    /// The thresholds of a signal.
    pub(crate) fn signal(&self, track: u32, func: Func) -> Option<&Levels> {
        self.signals.iter().find(|(of, by, _)| (*of, *by) == (track, func)).map(|(.., levels)| levels)
    }
}

impl Plan {
    /// Arranges rules of a tenant; `rules` is sorted.
    pub(super) fn new(tenant: &Tenant, rules: Vec<u32>, is_common: bool) -> Self {
        let mut plan = Self { is_common, ..Self::default() };
        let mut thresholds: Vec<Threshold> = Vec::new();
        for &number in &rules {
            let rule = tenant.rule(number);
            for &(metric, watch) in &rule.watches {
                plan.watch(tenant, metric, number, watch, &mut thresholds);
            }
            plan.note_silences(tenant, number);
        }
        plan.set_levels(thresholds);
        plan.rules = rules;
        plan
    }

    /// What a reading of the metric makes be looked at, and where that stands.
    pub(crate) fn metric(&self, metric: u32) -> Option<(u32, &MetricPlan)> {
        let place = self.metrics.binary_search_by_key(&metric, |(metric, _)| *metric).ok()?;
        Some((u32::try_from(place).expect("rules name fewer metrics than 2^32"), &self.metrics[place].1))
    }

    /// The metric that stands there.
    pub(crate) fn at(&self, place: u32) -> &MetricPlan {
        &self.metrics[place as usize].1
    }

    /// The shortest silence that some rule waits for, nanoseconds; the largest number where none does.
    pub(crate) fn shortest_silence(&self) -> i64 {
        self.silences.iter().map(|(_, nanos, _)| *nanos).min().unwrap_or(i64::MAX)
    }

    /// How many rules stand in it.
    pub(super) fn size(&self) -> usize {
        self.rules.len() + 1
    }

    /// Puts a rule where readings of the metric find it.
    fn watch(
        &mut self,
        tenant: &Tenant,
        metric: u32,
        number: u32,
        watch: Watch,
        thresholds: &mut Vec<Threshold>,
    ) {
        let place = match self.metrics.binary_search_by_key(&metric, |(metric, _)| *metric) {
            Ok(place) => place,
            Err(place) => {
                self.metrics.insert(place, (metric, MetricPlan::default()));
                place
            }
        };
        let plan = &mut self.metrics[place].1;
        match watch {
            Watch::Levels => {
                let of_rule = thresholds_of(tenant, metric, number);
                if of_rule.iter().all(|threshold| threshold.needs.is_none()) {
                    plan.first.push(number);
                }
                thresholds.extend(of_rule);
            }
            Watch::Change => {
                plan.change.push(number);
                plan.first.push(number);
            }
            Watch::Always => plan.always.push(number),
        }
        for &track in &tenant.rule(number).tracks {
            if tenant.names.tracks()[track as usize].is_of(metric) && !plan.tracks.contains(&track) {
                plan.tracks.push(track);
            }
        }
    }

    fn note_silences(&mut self, tenant: &Tenant, number: u32) {
        let rule = tenant.rule(number);
        for &(metric, nanos) in &rule.silences {
            match self.silences.iter_mut().find(|known| (known.0, known.1) == (metric, nanos)) {
                Some(known) => known.2.push(number),
                None => self.silences.push((metric, nanos, vec![number])),
            }
        }
        if rule.hears_all() && rule.wakes {
            self.wakes.push(number);
        }
    }

    /// Puts thresholds to their metrics and signals.
    fn set_levels(&mut self, mut thresholds: Vec<Threshold>) {
        thresholds.sort_by_key(Threshold::key);
        for group in thresholds.chunk_by(|a, b| a.key() == b.key()) {
            let levels = Levels::new(group);
            let metric = group[0].metric;
            let Ok(place) = self.metrics.binary_search_by_key(&metric, |(metric, _)| *metric) else {
                continue;
            };
            match group[0].of_track {
                None => self.metrics[place].1.levels = levels,
                Some((track, func)) => self.metrics[place].1.signals.push((track, func, levels)),
            }
        }
    }
}

/// A threshold of a rule.
struct Threshold {
    metric: u32,
    /// Of what a track says; `None`: of the metric's value.
    of_track: Option<(u32, Func)>,
    at: f64,
    rule: u32,
    /// Where the signal must be for the rule to hold. Of a rule's thresholds one says so, or none can.
    needs: Option<Side>,
}

impl Threshold {
    fn key(&self) -> (u32, Option<(u32, u8)>) {
        (self.metric, self.of_track.map(|(track, func)| (track, func as u8)))
    }
}

/// A rule's thresholds of a metric, and of what tracks say of it.
fn thresholds_of(tenant: &Tenant, metric: u32, number: u32) -> Vec<Threshold> {
    let rule = tenant.rule(number);
    let of_metric = |signal: Signal| match signal {
        Signal::Metric(of) => (of == metric).then_some(None),
        Signal::Track(track, func) => {
            tenant.names.tracks()[track as usize].is_of(metric).then_some(Some((track, func)))
        }
    };
    let mut need = rule.needs.iter().find(|(signal, ..)| of_metric(*signal).is_some());
    let threshold = |(signal, at): &(Signal, f64)| {
        let of_track = of_metric(*signal)?;
        let needs = need.take_if(|(of, _, needed)| of == signal && needed == at).map(|(_, side, _)| *side);
        Some(Threshold { metric, of_track, at: *at, rule: number, needs })
    };
    rule.thresholds.iter().filter_map(threshold).collect()
}
