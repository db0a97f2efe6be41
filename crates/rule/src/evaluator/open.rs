//! What is raised, and agreement about it with those who keep the book.

use record::{DeviceId, TenantId, Timestamp};

use super::device::{Active, Device};
use super::{Evaluator, Output};
use crate::{Kind, RuleId, Transition};

/// A cause that began and has not ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenCause {
    /// Whose.
    pub tenant: TenantId,
    /// Of which device.
    pub device: DeviceId,
    /// Of which rule.
    pub rule: RuleId,
    /// Its version.
    pub version: u32,
    /// Since when the condition held.
    pub cause: Timestamp,
}

impl Evaluator {
    /// What is raised live, in order.
    #[must_use]
    pub fn open(&self) -> Vec<OpenCause> {
        let mut open: Vec<_> = self.live.places().flat_map(|(_, device)| self.open_of(device)).collect();
        open.sort_unstable();
        open
    }

    fn open_of(&self, device: &Device) -> impl Iterator<Item = OpenCause> {
        let tenant = &self.tenants[device.tenant as usize].tenant;
        device.active.iter().filter_map(move |(rule, active)| {
            let Active::Raised { cause, .. } = *active else { return None };
            let (id, version, _) = &tenant.rules[*rule as usize];
            Some(OpenCause {
                tenant: tenant.id.clone(),
                device: device.id.clone(),
                rule: id.clone(),
                version: *version,
                cause: Timestamp::from_nanos(cause),
            })
        })
    }

    /// Makes what is raised exactly this: what the book has open for the devices of this partition. To be called after a crash, before
    /// messages are given again from the checkpoint on.
    ///
    /// What the book does not know is raised no more, but stays on its way: the next message or tick raises it again, with the same cause. If the
    /// book has closed that already, it knows it by its cause; if it never heard of it, nothing is lost. What the book knows and we do not is
    /// taken over; readings from before its cause do not end it. What belongs to a rule or version that is not evaluated ends.
    pub fn reconcile(&mut self, open: &[OpenCause], out: &mut Output) {
        let known: hashbrown::HashSet<&OpenCause> = open.iter().collect();
        let unknown: Vec<OpenCause> =
            self.open().into_iter().filter(|cause| !known.contains(cause)).collect();
        for cause in &unknown {
            self.set_back(cause);
        }
        for cause in open {
            if !self.take_over(cause, out) {
                let why = self.set.why_gone(cause.tenant.as_str(), &cause.rule);
                out.transitions.push(Transition {
                    tenant: cause.tenant.clone(),
                    device: cause.device.clone(),
                    rule: cause.rule.clone(),
                    version: cause.version,
                    kind: Kind::Ended,
                    cause: cause.cause,
                    at: cause.cause.max(Timestamp::from_nanos(self.watermark)),
                    retrospective: false,
                    why: why.to_owned(),
                });
            }
        }
        let places: Vec<u32> = self.live.places().map(|(place, _)| place).collect();
        places.into_iter().for_each(|place| self.arm(place));
    }

    fn set_back(&mut self, open: &OpenCause) {
        let Some((place, rule)) = self.find(open) else { return };
        let cause = open.cause.nanos();
        let Some(tenant) = self.live.get(place).map(|device| device.tenant) else { return };
        let at = self.tenants[tenant as usize].tenant.rule(rule).raised_at(cause).unwrap_or(cause);
        if let Some(device) = self.live.get_mut(place) {
            device.set_active(rule, Some(Active::Pending { cause, at, due: i64::MIN }));
        }
    }

    fn take_over(&mut self, open: &OpenCause, out: &mut Output) -> bool {
        let Some(tenant) = self.place(open.tenant.as_str()) else { return false };
        let rules = &self.tenants[tenant as usize].tenant;
        let Some(&rule) = rules.by_id.get(&open.rule) else { return false };
        if rules.rules[rule as usize].1 != open.version {
            return false;
        }
        let found = self.live.find(tenant, open.device.as_str());
        let Some(place) = found.or_else(|| self.add(tenant, open.device.as_str(), false, out)) else {
            return false;
        };
        let Some(device) = self.live.get_mut(place) else { return false };
        let cause = open.cause.nanos();
        let is_ours = matches!(device.active(rule), Some(Active::Raised { cause: own, .. }) if own == cause);
        if !is_ours {
            device.set_active(rule, Some(Active::Raised { cause, taken_over: true }));
        }
        true
    }

    /// The device's place and the rule's number.
    fn find(&self, open: &OpenCause) -> Option<(u32, u32)> {
        let tenant = *self.tenant_places.get(open.tenant.as_str())?;
        let rule = *self.tenants[tenant as usize].tenant.by_id.get(&open.rule)?;
        Some((self.live.find(tenant, open.device.as_str())?, rule))
    }
}
