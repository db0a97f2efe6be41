//! One moment of a device: readings of one time are taken, and the rules that they concern are looked at.

use std::sync::Arc;

use hashbrown::HashSet;
use record::CleanReading;

use super::Output;
use super::device::{Active, Device, Held, Interest, Level, NOWHERE, Slot};
use super::judge::{Instant, look_at, raise};
use super::kept::{Keeping, Kept};
use super::score::{Detectors, Series};
use crate::detectors::Priors;
use crate::language::{Func, Track};
use crate::set::{MetricPlan, Tenant};
use crate::window::Totals;

/// Reused from message to message.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Rules to look at.
    pub(super) touched: Vec<u32>,
    /// Readings of a message by time: the time, and the place in the message.
    pub(super) moments: Vec<(i64, u32)>,
}

/// What does not change from moment to moment.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) tenant: &'a Arc<Tenant>,
    /// Windows that wait for what was stored; of the past, none.
    pub(super) open: Option<&'a HashSet<u32>>,
    pub(super) detectors: &'a dyn Detectors,
    pub(super) priors: &'a Priors,
}

/// Takes the readings of a moment, which is not before the last one, and looks at the rules that they concern.
pub(super) fn step<'r>(
    ground: Ground<'_>,
    device: &mut Device,
    readings: impl Iterator<Item = &'r CleanReading<'r>>,
    instant: Instant,
    touched: &mut Vec<u32>,
    out: &mut Output,
) {
    if !device.active.is_empty() {
        raise(ground.tenant, device, instant, out);
    }
    device.times.seen = device.times.seen.max(instant.at);
    let mut hint = 0;
    let mut has_changed = false;
    for reading in readings {
        has_changed |= take(ground, device, reading, instant, &mut hint, touched);
    }
    if (device.brief.wakes || device.is_fresh)
        && let Some(cohort) = &device.cohort
    {
        touched.extend_from_slice(&cohort.plan.wakes);
        if std::mem::take(&mut device.is_fresh) {
            let of_device = cohort.plan.silences.iter().filter(|(metric, ..)| metric.is_none());
            of_device.for_each(|(_, _, rules)| touched.extend_from_slice(rules));
        }
    }
    let hears_all = |(rule, _): &&(u32, Active)| ground.tenant.rule(*rule).hears_all();
    touched.extend(device.active.iter().filter(hears_all).map(|(rule, _)| *rule));
    if !touched.is_empty() {
        look_at(ground.tenant, device, touched, instant, out);
    }
    if has_changed {
        device.slots.iter_mut().for_each(|slot| slot.changed = false);
    }
}

/// Puts readings that are not in order into the windows that hold their time.
pub(super) fn take_aside(tenant: &Tenant, device: &mut Device, reading: &CleanReading<'_>) {
    let Some(value) = reading.value.as_f64().filter(|value| !value.is_nan()) else { return };
    let Some(metric) = tenant.names.find_metric(reading.metric) else { return };
    let newest = device.times.seen;
    for kept in &mut device.kept {
        let track = &tenant.names.tracks()[kept.track as usize];
        if track.metric == metric {
            kept.state.take_aside(track, reading.when.time.nanos(), value, newest);
        }
    }
}

/// Takes a reading, and adds the rules that it concerns. Says whether it differs from the one before it.
#[inline]
fn take(
    ground: Ground<'_>,
    device: &mut Device,
    reading: &CleanReading<'_>,
    instant: Instant,
    hint: &mut usize,
    touched: &mut Vec<u32>,
) -> bool {
    let Some((place, is_new)) = slot_of(ground.tenant, device, reading, instant, hint) else { return false };
    let slot = &mut device.slots[place];
    slot.heard = slot.heard.max(instant.now);
    if let Some(value) = reading.value.as_f64()
        && slot.interest != Interest::Planned
        && slot.level.is_quiet(value)
        && let Held::Number(held) = &mut slot.value
    {
        // Nearly every reading: a number that crosses no threshold.
        let differs = *held != value;
        (*held, slot.level.value) = (value, value);
        slot.changed |= differs;
        if slot.interest == Interest::Kept {
            keep(ground, device, place, instant.at, value, touched);
        }
        return differs;
    }
    let differs = !is_new && !slot.value.is(reading.value);
    if differs {
        slot.value = Held::of(reading.value);
        slot.changed = true;
    }
    if slot.place != NOWHERE {
        concern(ground, device, place, differs, instant, touched);
    }
    differs
}

/// The place of the metric's slot, and whether it is new. Messages of a device mostly have the same metrics in the same order, so the
/// one after the last is tried first.
fn slot_of(
    tenant: &Tenant,
    device: &mut Device,
    reading: &CleanReading<'_>,
    instant: Instant,
    hint: &mut usize,
) -> Option<(usize, bool)> {
    if let Some(slot) = device.slots.get(*hint)
        && *tenant.names.metrics()[slot.metric as usize] == *reading.metric
    {
        *hint += 1;
        return Some((*hint - 1, false));
    }
    let metric = tenant.names.find_metric(reading.metric)?;
    if let Some(place) = device.slots.iter().position(|slot| slot.metric == metric) {
        *hint = place + 1;
        return Some((place, false));
    }
    // Remembered also where no rule is for this device: what is known of it may change, and then a rule is not to depend on others.
    let mut slot = Slot::new(metric, Held::of(reading.value), instant.now);
    if let Some(cohort) = &device.cohort {
        slot.set_place(cohort);
    }
    device.slots.reserve_exact(1); // a device has as many metrics as it has
    device.slots.push(slot);
    *hint = device.slots.len();
    Some((device.slots.len() - 1, true))
}

/// Adds the rules that a slot's new value concerns.
fn concern(
    ground: Ground<'_>,
    device: &mut Device,
    place: usize,
    differs: bool,
    instant: Instant,
    touched: &mut Vec<u32>,
) {
    let Some(cohort) = device.cohort.as_ref().map(Arc::clone) else { return };
    let slot = &mut device.slots[place];
    let plan = cohort.plan.at(slot.place);
    let is_stale = slot.level.is_stale();
    let value = slot.value.number();
    slot.level.go(value, &plan.levels, touched);
    if is_stale {
        touched.extend_from_slice(&plan.first);
        touched.extend(
            device
                .active
                .iter()
                .map(|(rule, _)| *rule)
                .filter(|rule| ground.tenant.rule(*rule).watches.iter().any(|(of, _)| *of == slot.metric)),
        );
    } else if differs {
        touched.extend_from_slice(&plan.change);
    }
    touched.extend_from_slice(&plan.always);
    if !plan.tracks.is_empty() {
        track(ground, device, (place, plan), instant.at, value, touched);
    }
}

/// Keeps what rules want to have kept of a value, and adds those for whom it crosses a threshold.
fn track(
    ground: Ground<'_>,
    device: &mut Device,
    (place, plan): (usize, &MetricPlan),
    at: i64,
    value: f64,
    touched: &mut Vec<u32>,
) {
    let (metric, tracks) = (device.slots[place].metric, ground.tenant.names.tracks());
    if !value.is_nan() {
        for &number in &plan.tracks {
            let track = &tracks[number as usize];
            let found = device.kept.iter().position(|kept| kept.track == number);
            if found.is_none() && ground.open.is_some_and(|open| open.contains(&number)) {
                continue;
            }
            let place = found.unwrap_or_else(|| begin(ground, device, number, track));
            device.kept[place].state.take(track, metric, at, value);
        }
    }
    let (mut totals, seen) = (None, device.times.seen);
    for (number, func, levels) in &plan.signals {
        let value = device.kept(*number).map_or(f64::NAN, |kept| ask(tracks, kept, *func, seen, &mut totals));
        let place = device.signals.iter().position(|signal| (signal.0, signal.1) == (*number, *func));
        let place = place.unwrap_or_else(|| {
            device.signals.reserve_exact(1);
            device.signals.push((*number, *func, Level::STALE));
            device.signals.len() - 1
        });
        let level = &mut device.signals[place].2;
        level.go(value, levels, touched);
    }
    let is_kept = |number: &u32| tracks[*number as usize].is_of_one() && device.kept(*number).is_some();
    if plan.is_quiet() && plan.tracks.iter().all(is_kept) {
        device.slots[place].interest = Interest::Kept;
    }
}

/// As [`track`] does, of a metric that [`Interest::Kept`] is in: the plan is read only when a threshold is crossed.
fn keep(ground: Ground<'_>, device: &mut Device, place: usize, at: i64, value: f64, touched: &mut Vec<u32>) {
    let (slot, tracks, seen) = (&device.slots[place], ground.tenant.names.tracks(), device.times.seen);
    for kept in &mut device.kept {
        let track = &tracks[kept.track as usize];
        if track.metric != slot.metric {
            continue;
        }
        kept.state.take(track, slot.metric, at, value);
        let mut totals = None;
        let signals = device.signals.iter_mut().filter(|(number, ..)| *number == kept.track);
        for (number, func, level) in signals {
            let value = ask(tracks, kept, *func, seen, &mut totals);
            if level.is_quiet(value) {
                level.value = value;
            } else if let Some(cohort) = &device.cohort
                && let Some(levels) = cohort.plan.at(slot.place).signal(*number, *func)
            {
                level.go(value, levels, touched);
            }
        }
    }
}

/// Begins to keep a track of a device, and says where.
fn begin(ground: Ground<'_>, device: &mut Device, number: u32, track: &Track) -> usize {
    let Ground { tenant, detectors, priors, .. } = ground;
    let device_type = device.cohort.as_ref().and_then(|cohort| cohort.facts.device_type.as_deref());
    let state = Keeping::new(track, |asked| {
        let (metric, tenant) = (tenant.names.metric_of(track), tenant.id.as_str());
        detectors.start(&Series { asked, tenant, metric, device_type, priors })
    });
    device.kept.reserve_exact(1);
    device.kept.push(Kept { track: number, state });
    device.kept.len() - 1
}

/// What a track says now; the totals of the last window that was asked are kept for the next function of it.
fn ask(tracks: &[Track], kept: &Kept, func: Func, seen: i64, last: &mut Option<(u32, Totals)>) -> f64 {
    let Keeping::Panes(panes) = &kept.state else {
        let said = kept.state.ask(&tracks[kept.track as usize], func, seen);
        return said.as_number().unwrap_or(f64::NAN);
    };
    let totals = match last {
        Some((of, totals)) if *of == kept.track => *totals,
        _ => panes.totals(seen),
    };
    *last = Some((kept.track, totals));
    totals.ask(func).unwrap_or(f64::NAN)
}
