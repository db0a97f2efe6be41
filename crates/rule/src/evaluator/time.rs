//! What time alone does: silence, and conditions that have held long enough.

use record::Timestamp;

use super::device::{Active, Device};
use super::judge::{Instant, look_at, raise};
use super::{Evaluator, Output};
use crate::limits::TIMERS_PER_DEVICE;
use crate::set::Tenant;

impl Evaluator {
    /// Lets the server's time pass. `now` is a time up to which all messages that arrived have been given: then it makes no difference
    /// when and how often this is called, but for how soon a thing is told.
    pub fn tick(&mut self, now: Timestamp, out: &mut Output) {
        self.now = self.now.max(now.nanos());
        let first = out.transitions.len();
        while let Some(std::cmp::Reverse((due, place))) = self.timers.peek().copied()
            && due <= self.now
        {
            self.timers.pop();
            let Some(device) = self.live.get_mut(place).filter(|device| device.armed == due) else {
                continue;
            };
            let tenant = &self.tenants[device.tenant as usize].tenant;
            device.armed = i64::MAX;
            advance(tenant, device, self.now, false, &mut self.scratch.touched, out);
            self.arm(place);
        }
        // Timers of one instant come in no order that a restart would keep.
        out.transitions[first..].sort_by(|a, b| (&a.tenant, &a.device).cmp(&(&b.tenant, &b.device)));
    }

    /// The server was not there for so long, and heard nobody: that time says nothing of who is silent. What is raised stays so.
    pub fn was_away(&mut self, nanos: i64) {
        let places: Vec<u32> = self.live.places().map(|(place, _)| place).collect();
        for place in places {
            let Some(device) = self.live.get_mut(place) else { continue };
            if is_silent(device) {
                continue;
            }
            device.times.heard = device.times.heard.saturating_add(nanos);
            for slot in &mut device.slots {
                slot.heard = slot.heard.saturating_add(nanos);
            }
            (device.armed, device.idle_until) = (i64::MAX, i64::MIN);
            self.arm(place);
        }
    }

    /// Sets a device's timer to what comes next.
    pub(super) fn arm(&mut self, place: u32) {
        let Some(device) = self.live.get_mut(place) else { return };
        // One that is set earlier comes first, and sets the next.
        if device.armed <= device.idle_until {
            return;
        }
        device.idle_until = next_due(&self.tenants[device.tenant as usize].tenant, device);
        if device.armed <= device.idle_until {
            return;
        }
        device.armed = device.idle_until;
        self.timers.push(std::cmp::Reverse((device.armed, place)));
        if self.timers.len() > 1024 + self.live.len() * TIMERS_PER_DEVICE {
            let armed = self.live.places().filter(|(_, device)| device.armed != i64::MAX);
            self.timers = armed.map(|(place, device)| std::cmp::Reverse((device.armed, place))).collect();
        }
    }
}

/// Does what is due for a device up to a time of the server's clock, in its order.
pub(super) fn advance(
    tenant: &Tenant,
    device: &mut Device,
    to: i64,
    retrospective: bool,
    touched: &mut Vec<u32>,
    out: &mut Output,
) {
    if device.idle_until > to {
        device.times.clock = device.times.clock.max(to);
        return;
    }
    device.idle_until = loop {
        let due = next_due(tenant, device);
        if due > to {
            break due;
        }
        let instant = Instant { at: i64::MIN, now: due, retrospective };
        device.times.clock = device.times.clock.max(due);
        raise(tenant, device, instant, out);
        silences_of(device, |at, rules| {
            if at == due {
                touched.extend_from_slice(rules)
            }
        });
        if !touched.is_empty() {
            look_at(tenant, device, touched, Instant { at: due, ..instant }, out);
        }
    };
    device.times.clock = device.times.clock.max(to);
}

/// Whether a rule that waits for silence is raised.
fn is_silent(device: &Device) -> bool {
    let mut silent = false;
    silences_of(device, |_, rules| {
        silent |= rules.iter().any(|rule| matches!(device.active(*rule), Some(Active::Raised { .. })));
    });
    silent
}

/// When time alone does something to a device next; the largest time there is when never.
fn next_due(tenant: &Tenant, device: &Device) -> i64 {
    let pending = device.active.iter().filter_map(|(rule, active)| match active {
        Active::Pending { due, .. } if (*rule as usize) < tenant.rules.len() => Some(*due),
        _ => None,
    });
    let mut next = pending.min().unwrap_or(i64::MAX);
    let clock = device.times.clock;
    silences_of(device, |at, _| {
        if at > clock {
            next = next.min(at)
        }
    });
    next
}

/// When the silences that rules wait for are long enough, and which rules.
pub(super) fn silences_of(device: &Device, mut each: impl FnMut(i64, &[u32])) {
    let Some(cohort) = &device.cohort else { return };
    for (metric, nanos, rules) in &cohort.plan.silences {
        let heard = match metric {
            None => Some(device.times.heard),
            Some(metric) => device.slot(*metric).map(|slot| slot.heard),
        };
        if let Some(heard) = heard {
            each(heard.saturating_add(*nanos), rules);
        }
    }
}
