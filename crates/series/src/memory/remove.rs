//! What is removed on purpose, without a disk.

use record::{DeviceId, MetricName, TenantId, Timestamp};

use super::{Memory, State};
use crate::{Counts, Expiring, MetricSet, Old, Removal, Result, SeriesRemove};

impl SeriesRemove for Memory {
    fn erase(&self, tenant: &TenantId, device: &DeviceId, reason: &str, at: Timestamp) -> Result<Removal> {
        let mut state = self.state.write();
        let mut removal = Removal::of_device(device, reason, at);
        let goes = Goes { tenant, device: Some(device), metrics: &MetricSet::all(), before: None };
        let removed = &mut removal.removed;
        *removed = state.remove(&goes);
        removed.windows = state.remove_windows(&goes);
        let key = (tenant.clone(), device.clone());
        state.devices.remove(&key);
        state.clocks.remove(&key);
        state.dead.retain(|_, message| {
            let goes = message.tenant == tenant.as_str() && message.device == device.as_str();
            removed.dead_letters += if goes { message.letters.len() as u64 } else { 0 };
            !goes
        });
        Ok(state.keep_removal(tenant, removal))
    }

    fn expire(&self, tenant: &TenantId, old: &Old, at: Timestamp) -> Result<Option<Removal>> {
        let mut state = self.state.write();
        let goes = Goes { tenant, device: None, metrics: &old.metrics, before: Some(old.before) };
        let removed = match old.what {
            Expiring::Readings => state.remove(&goes),
            Expiring::Windows => Counts { windows: state.remove_windows(&goes), ..Counts::default() },
        };
        if removed.is_zero() {
            return Ok(None);
        }
        let removal = Removal { removed, ..Removal::of_old(old, at) };
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

    fn expired_before(&self, tenant: &TenantId, metric: &MetricName) -> Result<Option<Timestamp>> {
        let state = self.state.read();
        let of_tenant = state.removals.iter().filter(|(of, _)| of == tenant).map(|(_, removal)| removal);
        let by_age = of_tenant.filter(|removal| removal.reason == Expiring::Readings.reason());
        let of_metric = by_age.filter(|removal| removal.metrics.holds(metric.as_str()));
        Ok(of_metric.filter_map(|removal| removal.before).max())
    }
}

/// Of whom what goes: of a device, or of all; of some metrics; everything, or what is from before a time.
struct Goes<'a> {
    tenant: &'a TenantId,
    device: Option<&'a DeviceId>,
    metrics: &'a MetricSet,
    before: Option<Timestamp>,
}

impl Goes<'_> {
    fn is_of(&self, tenant: &TenantId, device: &DeviceId, metric: &MetricName) -> bool {
        tenant == self.tenant
            && self.device.is_none_or(|wanted| wanted == device)
            && self.metrics.holds(metric.as_str())
    }

    fn is_old(&self, time: Timestamp) -> bool {
        self.before.is_none_or(|before| time < before)
    }
}

impl State {
    /// Readings, and the lists of them.
    fn remove(&mut self, goes: &Goes<'_>) -> Counts {
        let mut removed = Counts::default();
        for ((tenant, id), (_, metrics)) in &mut self.devices {
            for (_, series) in metrics.iter_mut().filter(|(metric, _)| goes.is_of(tenant, id, metric)) {
                let kept = series.by_time.clone().into_iter().filter(|&(time, ..)| !goes.is_old(time));
                series.by_time = kept.collect();
                let count = series.cells.len();
                series.cells.retain(|_, cell| !goes.is_old(cell.when.time));
                removed.readings += (count - series.cells.len()) as u64;
            }
        }
        self.superseded.retain(|(tenant, superseded)| {
            let reading = &superseded.reading;
            let goes = goes.is_of(tenant, &reading.device, &reading.metric) && goes.is_old(reading.when.time);
            removed.superseded += u64::from(goes);
            !goes
        });
        self.late.retain(|(tenant, device, metric, _), late| {
            let goes = goes.is_of(tenant, device, metric) && goes.is_old(late.reading.when.time);
            removed.late += if goes { late.times } else { 0 };
            !goes
        });
        removed
    }

    fn remove_windows(&mut self, goes: &Goes<'_>) -> u64 {
        let count = self.windows.len();
        self.windows
            .retain(|key, row| !(goes.is_of(&key.tenant, &key.device, &key.metric) && goes.is_old(row.end)));
        (count - self.windows.len()) as u64
    }

    fn keep_removal(&mut self, tenant: &TenantId, removal: Removal) -> Removal {
        let removal = Removal { no: self.removals.len() as u64 + 1, ..removal };
        self.removals.push((tenant.clone(), removal.clone()));
        removal
    }
}
