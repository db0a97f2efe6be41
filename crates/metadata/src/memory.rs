//! The backend for tests: gone with the process.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;

use crate::{Change, Metadata, Result, Row, Table};

/// Metadata in memory. Keeps every promise of [`Metadata`] except durability.
#[derive(Debug, Default)]
pub struct Memory {
    rows: RwLock<BTreeMap<Key, Vec<u8>>>,
}

/// Table, tenant, id: the order in which `scan` visits.
type Key = (Table, String, String);

impl Memory {
    /// Without any row.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows are copied first, so that `visit` may commit and does not see what it commits.
    fn visit_from(
        &self,
        from: Bound<Key>,
        belongs: impl Fn(&Key) -> bool,
        visit: &mut dyn FnMut(Row) -> bool,
    ) {
        let rows: Vec<Row> = self
            .rows
            .read()
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| belongs(key))
            .map(|(key, body)| Row { tenant: key.1.clone(), id: key.2.clone(), body: body.clone() })
            .collect();
        for row in rows {
            if !visit(row) {
                break;
            }
        }
    }
}

impl Metadata for Memory {
    fn get(&self, table: Table, tenant: &str, id: &str) -> Result<Option<Row>> {
        let key = (table, tenant.to_owned(), id.to_owned());
        let body = self.rows.read().get(&key).cloned();
        Ok(body.map(|body| Row { tenant: key.1, id: key.2, body }))
    }

    fn scan(&self, table: Table, tenant: Option<&str>, visit: &mut dyn FnMut(Row) -> bool) -> Result<()> {
        let from = Bound::Included((table, tenant.unwrap_or_default().to_owned(), String::new()));
        self.visit_from(from, |key| key.0 == table && tenant.is_none_or(|tenant| key.1 == tenant), visit);
        Ok(())
    }

    fn scan_after(
        &self,
        table: Table,
        tenant: &str,
        after: &str,
        visit: &mut dyn FnMut(Row) -> bool,
    ) -> Result<()> {
        let from = Bound::Excluded((table, tenant.to_owned(), after.to_owned()));
        self.visit_from(from, |key| key.0 == table && key.1 == tenant, visit);
        Ok(())
    }

    fn commit(&self, changes: &[Change]) -> Result<()> {
        let mut rows = self.rows.write();
        for change in changes {
            match change {
                Change::Put(table, row) => {
                    rows.insert((*table, row.tenant.clone(), row.id.clone()), row.body.clone());
                }
                Change::Delete { table, tenant, id } => {
                    rows.remove(&(*table, tenant.clone(), id.clone()));
                }
            }
        }
        Ok(())
    }
}
