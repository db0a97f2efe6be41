//! What is old is removed.

use metadata::{Change, Table};
use record::{TenantId, Timestamp};

use super::Alerts;
use crate::alert::Alert;
use crate::core::pair::Pair;
use crate::id::backwards;
use crate::rows::{CauseRow, read};
use crate::{Error, Result};

/// Most rows that one call removes of each table: so much is in one commit.
const AT_ONCE: usize = 1000;
/// Most rows that one call looks at: alerts that are still open are passed over.
const LOOKED_AT: usize = 20_000;

impl Alerts {
    /// Removes alerts of a tenant that are over and older than `keep_days`, and what became of messages as old. Returns how
    /// many rows went; call again while it is not 0. Called about every hour.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn forget(&self, tenant: &TenantId, now: Timestamp) -> Result<usize> {
        let _changing = self.changing.lock();
        let before_ms = now.millis().saturating_sub(self.settings.keep_ms);
        let before = format!("{}~", backwards(Timestamp::from_millis(before_ms).unwrap_or_default()));
        let mut changes = Vec::new();
        for (id, alert) in self.over(tenant, &before)? {
            let pair = format!("{}/{}", alert.rule_id, alert.device_id);
            let row = self.metadata.get(Table::AlertPairs, tenant.as_str(), &pair)?;
            let known = row.map(|row| read::<Pair>(Table::AlertPairs, &row));
            // What stood for others and is gone stands for none; one that cannot be read stays for whoever repairs it.
            if known.is_some_and(|known| known.is_ok_and(|known| known.alert == id)) {
                changes.push(delete(Table::AlertPairs, tenant, pair));
            }
            changes.push(delete(Table::Alerts, tenant, id));
        }
        let most = changes.len() + AT_ONCE;
        self.metadata.scan_after(Table::Deliveries, tenant.as_str(), &before, &mut |row| {
            changes.push(delete(Table::Deliveries, tenant, row.id));
            changes.len() < most
        })?;
        self.metadata.commit(&changes)?;
        Ok(changes.len())
    }

    /// The tenants that have alerts. Looks at all of them: for what is done once an hour.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn tenants(&self) -> Result<Vec<TenantId>> {
        let mut tenants: Vec<TenantId> = Vec::new();
        self.metadata.scan(Table::Alerts, None, &mut |row| {
            if tenants.last().is_none_or(|last| last.as_str() != row.tenant) {
                tenants.extend(TenantId::parse(&row.tenant).ok());
            }
            true
        })?;
        Ok(tenants)
    }

    /// Alerts behind an id that are over. One that cannot be read is told and stays: it must not keep all others.
    fn over(&self, tenant: &TenantId, behind: &str) -> Result<Vec<(String, Alert)>> {
        let (mut over, mut failed, mut looked_at) = (Vec::new(), None, 0);
        self.metadata.scan_after(Table::Alerts, tenant.as_str(), behind, &mut |row| {
            looked_at += 1;
            let alert = read::<Alert>(Table::Alerts, &row);
            match alert.and_then(|alert| Ok((!alert.is_open() && !self.holds(tenant, &alert)?, alert))) {
                Ok((true, alert)) => over.push((row.id, alert)),
                Ok((false, _)) => {}
                Err(error @ Error::Row { .. }) => tracing::error!(%error, "an old alert is not removed"),
                Err(error) => failed = Some(error),
            }
            failed.is_none() && over.len() < AT_ONCE && looked_at < LOOKED_AT
        })?;
        failed.map_or(Ok(over), Err)
    }

    /// Whether the condition still holds: then its alert's row is how the cause is known, so that nobody raises it again.
    fn holds(&self, tenant: &TenantId, alert: &Alert) -> Result<bool> {
        let pair = format!("{}/{}", alert.rule_id, alert.device_id);
        let row = self.metadata.get(Table::AlertCauses, tenant.as_str(), &pair)?;
        let cause = row.map(|row| read::<CauseRow>(Table::AlertCauses, &row)).transpose()?;
        Ok(cause.is_some_and(|cause| cause.cause_ns == alert.cause_ns))
    }
}

fn delete(table: Table, tenant: &TenantId, id: String) -> Change {
    Change::Delete { table, tenant: tenant.to_string(), id }
}
