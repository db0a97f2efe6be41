//! What is removed on purpose, without a disk.

use record::{DeviceId, TenantId, Timestamp};

use super::{Memory, State};
use crate::{Counts, Expiring, Removal, Result, SeriesRemove};

impl SeriesRemove for Memory {
    fn erase(&self, tenant: &TenantId, device: &DeviceId, reason: &str, at: Timestamp) -> Result<Removal> {
        let mut state = self.state.write();
        let mut removed = state.remove(tenant, Some(device), None);
        removed.windows = state.remove_windows(tenant, Some(device), None);
        let key = (tenant.clone(), device.clone());
        state.devices.remove(&key);
        state.clocks.remove(&key);
        state.dead.retain(|_, message| {
            let goes = message.tenant == tenant.as_str() && message.device == device.as_str();
            removed.dead_letters += if goes { message.letters.len() as u64 } else { 0 };
            !goes
        });
        let (device, reason) = (Some(device.clone()), reason.to_owned());
        let removal = Removal { no: 0, device, before: None, reason, at, removed };
        Ok(state.keep_removal(tenant, removal))
    }

    fn expire(
        &self,
        tenant: &TenantId,
        what: Expiring,
        before: Timestamp,
        at: Timestamp,
    ) -> Result<Option<Removal>> {
        let mut state = self.state.write();
        let removed = match what {
            Expiring::Readings => state.remove(tenant, None, Some(before)),
            Expiring::Windows => {
                Counts { windows: state.remove_windows(tenant, None, Some(before)), ..Counts::default() }
            }
        };
        if removed.is_zero() {
            return Ok(None);
        }
        let reason = what.reason().to_owned();
        let removal = Removal { no: 0, device: None, before: Some(before), reason, at, removed };
        Ok(Some(state.keep_removal(tenant, removal)))
    }

    fn tenants(&self) -> Result<Vec<TenantId>> {
        let mut tenants: Vec<TenantId> =
            self.state.read().devices.keys().map(|(tenant, _)| tenant.clone()).collect();
        tenants.dedup();
        Ok(tenants)
    }

    fn removals(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Removal>> {
        let state = self.state.read();
        let of_tenant = state.removals.iter().rev().filter(|(of, _)| of == tenant);
        Ok(of_tenant.take(limit as usize).map(|(_, removal)| removal.clone()).collect())
    }
}

impl State {
    /// Readings of a device, or of all, every one or those from before a time, and the lists of them.
    fn remove(&mut self, tenant: &TenantId, device: Option<&DeviceId>, before: Option<Timestamp>) -> Counts {
        let mut removed = Counts::default();
        let of =
            |owner: &TenantId, id: &DeviceId| owner == tenant && device.is_none_or(|device| device == id);
        let old = |time: Timestamp| before.is_none_or(|before| time < before);
        for ((owner, id), (_, metrics)) in &mut self.devices {
            for series in metrics.values_mut().filter(|_| of(owner, id)) {
                let kept = series.by_time.clone().into_iter().filter(|&(time, ..)| !old(time));
                series.by_time = kept.collect();
                let count = series.cells.len();
                series.cells.retain(|_, cell| !old(cell.when.time));
                removed.readings += (count - series.cells.len()) as u64;
            }
        }
        self.superseded.retain(|(owner, superseded)| {
            let goes = of(owner, &superseded.reading.device) && old(superseded.reading.when.time);
            removed.superseded += u64::from(goes);
            !goes
        });
        self.late.retain(|(owner, id, ..), late| {
            let goes = of(owner, id) && old(late.reading.when.time);
            removed.late += if goes { late.times } else { 0 };
            !goes
        });
        removed
    }

    fn remove_windows(
        &mut self,
        tenant: &TenantId,
        device: Option<&DeviceId>,
        before: Option<Timestamp>,
    ) -> u64 {
        let count = self.windows.len();
        self.windows.retain(|key, row| {
            let of = key.tenant == *tenant && device.is_none_or(|device| *device == key.device);
            !of || before.is_some_and(|before| row.end >= before)
        });
        (count - self.windows.len()) as u64
    }

    fn keep_removal(&mut self, tenant: &TenantId, removal: Removal) -> Removal {
        let removal = Removal { no: self.removals.len() as u64 + 1, ..removal };
        self.removals.push((tenant.clone(), removal.clone()));
        removal
    }
}
