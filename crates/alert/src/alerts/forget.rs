//! What is old is removed.

use metadata::{Change, Table};
use record::{TenantId, Timestamp};

use super::Alerts;
use crate::Result;
use crate::alert::Alert;
use crate::core::pair::Pair;
use crate::id::backwards;
use crate::rows::read;

/// Most rows that one call removes of each table: so much is in one commit.
const AT_ONCE: usize = 1000;
/// Most rows that one call looks at: alerts that are still open are passed over.
const LOOKED_AT: usize = 20_000;

impl Alerts {
    /// Removes alerts of a tenant that are over and older than `keep_days`, and what became of messages as old. Returns how
    /// many rows went; call again while it is not 0. Called about every hour.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`], [`crate::Error::Row`].
    pub fn forget(&self, tenant: &TenantId, now: Timestamp) -> Result<usize> {
        let _changing = self.changing.lock();
        let before_ms = now.millis().saturating_sub(self.settings.keep_ms);
        let before = format!("{}~", backwards(Timestamp::from_millis(before_ms).unwrap_or_default()));
        let (mut changes, mut failed, mut looked_at) = (Vec::new(), None, 0);
        let mut pairs = Vec::new();
        self.metadata.scan_after(Table::Alerts, tenant.as_str(), &before, &mut |row| {
            looked_at += 1;
            match read::<Alert>(Table::Alerts, &row) {
                // Whose condition holds is known by its row, so that it is not raised again.
                Ok(alert) if !alert.is_open() && alert.resolved_at_ms.is_some() => {
                    pairs.push((format!("{}/{}", alert.rule_id, alert.device_id), row.id.clone()));
                    changes.push(Change::Delete { table: Table::Alerts, tenant: row.tenant, id: row.id });
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
            failed.is_none() && changes.len() < AT_ONCE && looked_at < LOOKED_AT
        })?;
        failed.map_or(Ok(()), Err)?;
        self.forget_pairs(tenant, pairs, &mut changes)?;
        self.forget_deliveries(tenant, &before, &mut changes)?;
        self.metadata.commit(&changes)?;
        Ok(changes.len())
    }

    /// What stood for others and is gone stands for none.
    fn forget_pairs(
        &self,
        tenant: &TenantId,
        pairs: Vec<(String, String)>,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        for (pair, alert) in pairs {
            let row = self.metadata.get(Table::AlertPairs, tenant.as_str(), &pair)?;
            let known = row.map(|row| read::<Pair>(Table::AlertPairs, &row)).transpose()?;
            if known.is_some_and(|known| known.alert == alert) {
                let (table, tenant) = (Table::AlertPairs, tenant.to_string());
                changes.push(Change::Delete { table, tenant, id: pair });
            }
        }
        Ok(())
    }

    fn forget_deliveries(&self, tenant: &TenantId, before: &str, changes: &mut Vec<Change>) -> Result<()> {
        let most = changes.len() + AT_ONCE;
        self.metadata.scan_after(Table::Deliveries, tenant.as_str(), before, &mut |row| {
            changes.push(Change::Delete { table: Table::Deliveries, tenant: row.tenant, id: row.id });
            changes.len() < most
        })?;
        Ok(())
    }
}
