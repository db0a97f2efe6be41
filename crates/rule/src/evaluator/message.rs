//! A message: its readings by time, each judged live, in the past, or put into windows only.

use std::sync::Arc;

use record::{CleanReading, DeviceId, Timestamp};

use super::device::{Active, Device};
use super::judge::{Instant, end, lies_ahead};
use super::step::{Ground, step, take_aside};
use super::table::Table;
use super::time::advance;
use super::{Evaluator, Message, Output, Rules};
use crate::set::{Cohorts, Tenant};

impl Evaluator {
    /// Takes a message. Messages of a partition are given in the order of its log, history where it is read.
    ///
    /// Readings are judged by time, the earliest first. What is older than what the device was judged at, later than allowed behind the
    /// watermark, or history, changes nothing live but windows that hold its time; rules that are `retrospective` judge it by itself.
    pub fn message(&mut self, message: &Message<'_>, out: &mut Output) {
        let Some(arrival) = message.readings.iter().map(|reading| reading.when.arrived_at.nanos()).max()
        else {
            return;
        };
        if let Some(tenant) = self.place(message.tenant) {
            self.judge(tenant, message, arrival, out);
        }
        if !message.is_history {
            let bounded = message
                .readings
                .iter()
                .map(|reading| reading.when.time.nanos().min(reading.when.arrived_at.nanos()));
            self.watermark = self.watermark.max(bounded.max().unwrap_or(i64::MIN));
        }
    }

    /// The newest event time of live readings that were given, each bounded by its arrival; `None` before the first.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        (self.watermark != i64::MIN).then(|| Timestamp::from_nanos(self.watermark))
    }

    /// The server's time up to which everything is done; `None` before the first tick.
    #[must_use]
    pub fn clock(&self) -> Option<Timestamp> {
        (self.now != i64::MIN).then(|| Timestamp::from_nanos(self.now))
    }

    fn judge(&mut self, tenant: u32, message: &Message<'_>, arrival: i64, out: &mut Output) {
        let mut found = self.live.find(tenant, message.device);
        let first = message.readings[0].when.time.nanos();
        if message.readings.iter().all(|reading| reading.when.time.nanos() == first) {
            let readings = message.readings.iter();
            self.moment(tenant, message, &mut found, (first, arrival), readings, out);
        } else {
            let mut moments = std::mem::take(&mut self.scratch.moments);
            moments.clear();
            let numbered = message.readings.iter().enumerate();
            moments.extend(numbered.map(|(place, reading)| {
                (
                    reading.when.time.nanos(),
                    u32::try_from(place).expect("a message has fewer readings than 2^32"),
                )
            }));
            moments.sort_unstable();
            for moment in moments.chunk_by(|a, b| a.0 == b.0) {
                let readings = moment.iter().map(|(_, place)| &message.readings[*place as usize]);
                self.moment(tenant, message, &mut found, (moment[0].0, arrival), readings, out);
            }
            moments.shrink_to(record::limits::READINGS_KEPT);
            self.scratch.moments = moments;
        }
        if let Some(place) = found {
            self.arm(place);
            self.live.weigh(place);
        }
        if self.live.is_heavy() {
            self.forget(false, out);
        }
    }

    fn moment<'r>(
        &mut self,
        tenant: u32,
        message: &Message<'_>,
        found: &mut Option<u32>,
        (at, arrival): (i64, i64),
        readings: impl Iterator<Item = &'r CleanReading<'r>> + Clone,
        out: &mut Output,
    ) {
        let is_late = at < self.watermark.saturating_sub(self.settings.allowed_lateness.nanos());
        let seen = found.and_then(|place| self.live.get(place)).map_or(i64::MIN, |device| device.times.seen);
        if message.is_history || is_late || at < seen {
            self.aside(tenant, message, *found, (at, arrival), readings, out);
            return;
        }
        *found = found.or_else(|| self.add(tenant, message.device, false, out));
        let Some(device) = found.and_then(|place| self.live.get_mut(place)) else { return };
        let Rules { tenant, live, open, .. } = &mut self.tenants[tenant as usize];
        let (detectors, priors) = (&*self.settings.detectors, &self.priors);
        let ground = Ground { tenant, open: Some(&open.windows), detectors, priors };
        let touched = &mut self.scratch.touched;
        advance(tenant, device, arrival, false, touched, out);
        let instant = Instant { at, now: device.times.clock, retrospective: false };
        sort_in(ground, live, device, message, instant, out);
        device.hear(arrival);
        step(ground, device, readings, instant, touched, out);
    }

    /// What is not live: it goes into windows, and before the rules that judge the past.
    fn aside<'r>(
        &mut self,
        tenant: u32,
        message: &Message<'_>,
        live: Option<u32>,
        (at, arrival): (i64, i64),
        readings: impl Iterator<Item = &'r CleanReading<'r>> + Clone,
        out: &mut Output,
    ) {
        let rules = Arc::clone(&self.tenants[tenant as usize].tenant);
        if let Some(device) = live.and_then(|place| self.live.get_mut(place)) {
            // What fell due before it came is judged without it.
            advance(&rules, device, arrival, false, &mut self.scratch.touched, out);
            readings.clone().for_each(|reading| take_aside(&rules, device, reading));
        }
        if !rules.judges_past {
            return;
        }
        let place = self.past.find(tenant, message.device);
        let place = place.or_else(|| self.add(tenant, message.device, true, out));
        let Some(place) = place else { return };
        self.past_moment(&rules, message, (place, at), readings, out);
        self.past.weigh(place);
        if self.past.is_heavy() {
            self.forget(true, out);
        }
    }

    fn past_moment<'r>(
        &mut self,
        rules: &Arc<Tenant>,
        message: &Message<'_>,
        (place, at): (u32, i64),
        readings: impl Iterator<Item = &'r CleanReading<'r>>,
        out: &mut Output,
    ) {
        let Some(device) = self.past.get_mut(place) else { return };
        if at < device.times.seen.saturating_sub(self.settings.allowed_lateness.nanos()) {
            restart(rules, device, out);
        }
        if at < device.times.seen {
            readings.for_each(|reading| take_aside(rules, device, reading));
            return;
        }
        let tenant = device.tenant;
        let (detectors, priors) = (&*self.settings.detectors, &self.priors);
        let ground = Ground { tenant: rules, open: None, detectors, priors };
        let touched = &mut self.scratch.touched;
        // The past has no clock but its own.
        advance(rules, device, at, true, touched, out);
        let instant = Instant { at, now: at, retrospective: true };
        sort_in(ground, &mut self.tenants[tenant as usize].past, device, message, instant, out);
        device.hear(at);
        step(ground, device, readings, instant, touched, out);
    }

    /// Adds a device; if there are too many, some are forgotten, and what is raised of them ends.
    pub(super) fn add(&mut self, tenant: u32, id: &str, is_past: bool, out: &mut Output) -> Option<u32> {
        let id = DeviceId::parse(id).ok()?;
        if self.table(is_past).is_full() {
            self.forget(is_past, out);
        }
        Some(self.table(is_past).add(Device::new(tenant, id)))
    }

    fn table(&mut self, is_past: bool) -> &mut Table {
        if is_past { &mut self.past } else { &mut self.live }
    }

    /// Forgets those who were heard least recently. What is raised of them ends.
    fn forget(&mut self, is_past: bool, out: &mut Output) {
        let why = "the device was forgotten: too much is to be remembered of those heard after it";
        for device in self.table(is_past).forget() {
            let tenant = &self.tenants[device.tenant as usize].tenant;
            let instant = Instant { at: device.times.seen, now: device.times.clock, retrospective: is_past };
            out.transitions.extend(device.active.iter().filter_map(|(rule, active)| {
                let (id, version, _) = &tenant.rules[*rule as usize];
                end(&tenant.id, (id, *version), &device, *active, instant, why)
            }));
        }
    }
}

/// History that goes on much earlier than it was is another one.
fn restart(tenant: &Tenant, device: &mut Device, out: &mut Output) {
    let instant = Instant { at: device.times.seen, now: device.times.seen, retrospective: true };
    out.transitions.extend(device.active.iter().filter_map(|(rule, active)| {
        let (id, version, _) = &tenant.rules[*rule as usize];
        end(&tenant.id, (id, *version), device, *active, instant, "history goes on at an earlier time")
    }));
    // The table goes on from what it was told.
    let kept_bytes = device.kept_bytes;
    *device = Device { kept_bytes, ..Device::new(device.tenant, device.id.clone()) };
}

/// Puts a device into the cohort that its facts make it a member of. What is raised by rules that are not for it any more ends.
fn sort_in(
    ground: Ground<'_>,
    cohorts: &mut Cohorts,
    device: &mut Device,
    message: &Message<'_>,
    instant: Instant,
    out: &mut Output,
) {
    if device.has_print(cohorts.print(message.facts)) {
        return;
    }
    let tenant = ground.tenant;
    let cohort = cohorts.of(tenant, message.device, message.facts);
    let active = std::mem::take(&mut device.active);
    for (rule, active) in active {
        let is_to_come = match active {
            Active::Raised { cause, taken_over: true } => lies_ahead(tenant.rule(rule), cause, instant),
            _ => false,
        };
        if is_to_come || cohort.has(tenant, rule) {
            device.active.push((rule, active));
            continue;
        }
        let (id, version, _) = &tenant.rules[rule as usize];
        let why = "what is known of the device has changed: the rule is not for it any more";
        out.transitions.extend(end(&tenant.id, (id, *version), device, active, instant, why));
    }
    device.set_cohort(tenant, cohort);
}
