//! The books of the store without a disk.

use std::collections::BTreeMap;
use std::ops::Range;

use record::{DeviceId, MetricName, TenantId, Timestamp};

use super::{Memory, State};
use crate::{
    AccountEntry, Amounts, Audit, ClockRow, Covered, Figures, LateReading, Result, SeriesAudit, Superseded,
    TenantAudit, WindowRow,
};

impl SeriesAudit for Memory {
    fn account(&self, tenant: Option<&str>, minutes: Range<Timestamp>) -> Result<Vec<AccountEntry>> {
        let state = self.state.read();
        let wanted = state.account.iter().filter(|(key, _)| {
            tenant.is_none_or(|tenant| key.tenant == tenant) && minutes.contains(&key.minute)
        });
        Ok(wanted.map(|(key, &amounts)| AccountEntry { key: key.clone(), amounts }).collect())
    }

    fn audit(&self) -> Result<Audit> {
        let state = self.state.read();
        let mut tenants: BTreeMap<&str, TenantAudit> = BTreeMap::new();
        for (key, &amounts) in &state.account {
            let audit = tenants.entry(&key.tenant).or_default();
            audit.account += amounts;
            audit.uneven_lines += u64::from(amounts.residue() != 0);
        }
        for ((tenant, _), (_, metrics)) in &state.devices {
            let points = metrics.values().map(|series| series.cells.len() as u64);
            tenants.entry(tenant.as_str()).or_default().points += points.sum::<u64>();
        }
        for ((tenant, ..), late) in &state.late {
            tenants.entry(tenant.as_str()).or_default().late += late.times;
        }
        for (tenant, _) in &state.superseded {
            tenants.entry(tenant.as_str()).or_default().superseded += 1;
        }
        for message in state.dead.values() {
            tenants.entry(&message.tenant).or_default().dead_letters += message.letters.len() as u64;
        }
        for (tenant, removal) in &state.removals {
            tenants.entry(tenant.as_str()).or_default().removed += removal.removed;
        }
        let named = |(tenant, audit): (&str, TenantAudit)| TenantAudit { tenant: tenant.to_owned(), ..audit };
        Ok(Audit { tenants: tenants.into_iter().map(named).collect(), partitions: state.covered() })
    }

    fn figures(&self) -> Result<Figures> {
        let state = self.state.read();
        let uneven = state.account.values().map(Amounts::residue).filter(|&residue| residue != 0);
        let (uneven_lines, residue) =
            uneven.fold((0, 0), |(lines, sum), residue| (lines + 1, sum + residue.unsigned_abs()));
        let dead_messages = state.dead.len() as u64;
        Ok(Figures { partitions: state.covered(), uneven_lines, residue, dead_messages })
    }

    fn series(&self, tenant: &TenantId, visit: &mut dyn FnMut(&str, &str) -> bool) -> Result<()> {
        let state = self.state.read();
        let of_tenant = state.devices.iter().filter(|((owner, _), _)| owner == tenant);
        let mut pairs = of_tenant
            .flat_map(|((_, device), (_, metrics))| metrics.keys().map(move |metric| (device, metric)));
        pairs.all(|(device, metric)| visit(device.as_str(), metric.as_str()));
        Ok(())
    }

    fn windows(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        starts: Range<Timestamp>,
    ) -> Result<Vec<WindowRow>> {
        let state = self.state.read();
        let wanted = state.windows.values().filter(|row| {
            let key = &row.key;
            (&key.tenant, &key.device, &key.metric) == (tenant, device, metric) && starts.contains(&key.start)
        });
        Ok(wanted.cloned().collect())
    }

    fn late(&self, tenant: &TenantId, limit: u32) -> Result<Vec<LateReading>> {
        let state = self.state.read();
        let of_tenant = state.late.iter().filter(|((owner, ..), _)| owner == tenant).map(|(_, late)| late);
        Ok(of_tenant.take(limit as usize).cloned().collect())
    }

    fn superseded(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Superseded>> {
        let state = self.state.read();
        let of_tenant = state.superseded.iter().filter(|(owner, _)| owner == tenant).map(|(_, old)| old);
        let mut all: Vec<_> = of_tenant.cloned().collect();
        all.sort_by(|a, b| {
            // stable: the order of replacement stays
            let key = |old: &Superseded| {
                let reading = &old.reading;
                (reading.device.clone(), reading.metric.clone(), reading.when.claimed, reading.when.seq)
            };
            key(a).cmp(&key(b))
        });
        all.truncate(limit as usize);
        Ok(all)
    }

    fn clocks(&self, tenant: &TenantId) -> Result<Vec<ClockRow>> {
        let state = self.state.read();
        let of_tenant = state.clocks.iter().filter(|((owner, _), _)| owner == tenant).map(|(_, row)| row);
        Ok(of_tenant.cloned().collect())
    }
}

impl State {
    fn covered(&self) -> Vec<Covered> {
        let positions = self.positions.iter();
        positions.map(|(&source, &(first, next))| Covered { source, first, next }).collect()
    }
}
