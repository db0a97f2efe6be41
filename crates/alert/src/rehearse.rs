//! What a rule would have done (R9.6): the same evaluation over what is stored, device by device, in event time.
//!
//! It differs from what happened live in two things: readings are there in the order of their times, however they came, and facts of
//! devices are those of now.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use record::{CleanReading, DeviceId, MetricName, TenantId, Timestamp, Value, When};
use rule::{Evaluator, Kind, Message, Output, Rule, RuleSet};
use series::SeriesReader;

use crate::{Directory, Error, Result};

/// What of a device is in memory at once.
const SLICE_NANOS: i64 = 24 * HOUR_NANOS;
const HOUR_NANOS: i64 = 3600 * 1_000_000_000;
/// Most episodes that are listed; all are counted.
pub const EPISODES: usize = 10_000;
/// Devices on a page.
const PAGE: u32 = 1000;

/// What a rehearsal stands on. Calls block.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// What happened.
    pub history: &'a dyn SeriesReader,
    /// What is known of devices.
    pub directory: &'a dyn Directory,
    /// How rules are evaluated.
    pub settings: &'a rule::Settings,
    /// For how long an alert stands for those that follow, milliseconds, unless the rule says otherwise.
    pub suppress_ms: i64,
}

/// From when to when a rule's condition would have held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Of which device.
    pub device: DeviceId,
    /// Since when the condition held.
    pub cause: Timestamp,
    /// When it would have become an alert.
    pub began: Timestamp,
    /// When it ended, if it did.
    pub ended: Option<Timestamp>,
    /// In words.
    pub why: String,
    /// Whether an alert before it would have stood for it.
    pub suppressed: bool,
}

/// What a rule would have done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rehearsal {
    /// Devices that were looked at.
    pub devices: u64,
    /// Devices with an alert.
    pub concerned: u64,
    /// Readings that were looked at.
    pub readings: u64,
    /// Alerts, suppressed ones not counted.
    pub alerts: u64,
    /// Suppressed ones.
    pub suppressed: u64,
    /// Alerts by the hour in which they began, nanoseconds since 1970.
    pub by_hour: BTreeMap<i64, u64>,
    /// The first [`EPISODES`], by device and time.
    pub episodes: Vec<Episode>,
    /// Whether it was broken off, because it took too long.
    pub is_partial: bool,
}

/// What is different between two rehearsals of the same time. Episodes of a device that overlap are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Alerts that both have.
    pub both: u64,
    /// What only the first has.
    pub only_before: Vec<Episode>,
    /// What only the second has.
    pub only_after: Vec<Episode>,
}

/// Evaluates a rule over what was stored in a range of event times. `goes_on` is asked before each device, with how many are done.
///
/// # Errors
/// [`Error::Rule`] when it does not compile; [`Error::History`], [`Error::Directory`].
pub fn rehearse(
    stage: Stage<'_>,
    rule: &Rule,
    range: &Range<Timestamp>,
    goes_on: &dyn Fn(u64) -> bool,
) -> Result<Rehearsal> {
    rule.check()?;
    rule.document.compile_for(&*stage.settings.detectors)?;
    let rule = Rule { enabled: true, ..rule.clone() };
    let (set, _) = RuleSet::compile(std::slice::from_ref(&rule));
    let (set, mut rehearsal, mut after) = (Arc::new(set), Rehearsal::default(), None::<String>);
    loop {
        let page = stage.history.devices(&rule.tenant, after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(rehearsal) };
        after = Some(last.id.as_str().to_owned());
        for device in &page {
            if !goes_on(rehearsal.devices) {
                rehearsal.is_partial = true;
                return Ok(rehearsal);
            }
            let found = of_device(stage, &rule, &set, &device.id, range, &mut rehearsal.readings)?;
            let suppress =
                rule.document.suppress.map_or(stage.suppress_ms * 1_000_000, rule::Duration::nanos);
            rehearsal.add(found, suppress);
        }
    }
}

/// The transitions of one device.
fn of_device(
    stage: Stage<'_>,
    rule: &Rule,
    set: &Arc<RuleSet>,
    device: &DeviceId,
    range: &Range<Timestamp>,
    readings: &mut u64,
) -> Result<Output> {
    let tenant = &rule.tenant;
    let facts = stage.directory.facts(tenant, device);
    let facts = facts.map_err(|reason| Error::Directory {
        what: format!("device {device}"),
        tenant: tenant.to_string(),
        reason,
    })?;
    let metrics = metrics(stage, set, tenant, device)?;
    let mut evaluator = Evaluator::new(Arc::clone(set), stage.settings.clone());
    let (mut out, mut from) = (Output::default(), range.start);
    while from < range.end && !metrics.is_empty() {
        let to = Timestamp::from_nanos(from.nanos().saturating_add(SLICE_NANOS)).min(range.end);
        let mut points: Vec<(Timestamp, usize, Value)> = Vec::new();
        stage.history.device_points(tenant, device, &metrics, from..to, &mut |metric, at, value| {
            points.push((at, metric, value.to_value()));
        })?;
        points.sort_by_key(|(at, metric, _)| (*at, *metric));
        *readings += points.len() as u64;
        for moment in points.chunk_by(|a, b| a.0 == b.0) {
            let at = moment[0].0;
            // What there is of silence between two readings is found when the second comes.
            let readings: Vec<CleanReading<'_>> = moment
                .iter()
                .map(|(_, metric, value)| CleanReading {
                    metric: metrics[*metric].as_str(),
                    when: When::by_device(at, at),
                    value: value.as_ref(),
                })
                .collect();
            let (tenant, device) = (tenant.as_str(), device.as_str());
            let message = Message { tenant, device, facts: &facts, is_history: false, readings: &readings };
            evaluator.message(&message, &mut out);
        }
        from = to;
    }
    evaluator.tick(range.end, &mut out);
    Ok(out)
}

/// What a rule looks at of a device that the device has sent.
fn metrics(stage: Stage<'_>, set: &RuleSet, tenant: &TenantId, device: &DeviceId) -> Result<Vec<MetricName>> {
    let Some(wants) = set.wants(tenant.as_str()) else { return Ok(Vec::new()) };
    let sent = stage.history.latest(tenant, device)?.into_iter().map(|reading| reading.metric);
    Ok(sent
        .filter(|metric| wants.any || wants.metrics.iter().any(|named| **named == *metric.as_str()))
        .collect())
}

impl Rehearsal {
    /// What was found of a device.
    fn add(&mut self, found: Output, suppress: i64) {
        self.devices += 1;
        let (mut stands, mut alerts) = (None::<i64>, 0);
        let mut episodes: Vec<Episode> = Vec::new();
        for transition in found.transitions {
            match transition.kind {
                Kind::Began => {
                    let at = transition.at.nanos();
                    let suppressed = stands.is_some_and(|stands| at < stands.saturating_add(suppress));
                    if !suppressed {
                        stands = Some(at);
                        alerts += 1;
                        *self.by_hour.entry(at - at.rem_euclid(HOUR_NANOS)).or_default() += 1;
                    }
                    self.suppressed += u64::from(suppressed);
                    episodes.push(Episode {
                        device: transition.device,
                        cause: transition.cause,
                        began: transition.at,
                        ended: None,
                        why: transition.why,
                        suppressed,
                    });
                }
                Kind::Ended => {
                    let ended = episodes.iter_mut().rfind(|episode| episode.cause == transition.cause);
                    if let Some(ended) = ended {
                        ended.ended = Some(transition.at);
                    }
                }
            }
        }
        self.concerned += u64::from(alerts > 0);
        self.alerts += alerts;
        episodes.truncate(EPISODES.saturating_sub(self.episodes.len()));
        self.episodes.append(&mut episodes);
    }
}

/// What is different: `before` and `after` are of the same history.
#[must_use]
pub fn difference(before: &Rehearsal, after: &Rehearsal) -> Difference {
    let mut by_device: BTreeMap<&DeviceId, Vec<&Episode>> = BTreeMap::new();
    for episode in before.episodes.iter().filter(|episode| !episode.suppressed) {
        by_device.entry(&episode.device).or_default().push(episode);
    }
    let mut difference = Difference::default();
    for episode in after.episodes.iter().filter(|episode| !episode.suppressed) {
        let others = by_device.get_mut(&episode.device);
        let same = others.and_then(|others| {
            let at = others.iter().position(|other| overlap(other, episode))?;
            Some(others.remove(at))
        });
        match same {
            Some(_) => difference.both += 1,
            None => difference.only_after.push(episode.clone()),
        }
    }
    difference.only_before = by_device.into_values().flatten().cloned().collect();
    difference
}

fn overlap(one: &Episode, other: &Episode) -> bool {
    let end = |of: &Episode| of.ended.unwrap_or(Timestamp::from_nanos(i64::MAX));
    // One that begins where another ends is another.
    one.cause < end(other) && other.cause < end(one)
}
