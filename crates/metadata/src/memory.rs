//! The backend for tests: gone with the process.

use std::collections::BTreeMap;

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
}

impl Metadata for Memory {
    fn get(&self, table: Table, tenant: &str, id: &str) -> Result<Option<Row>> {
        let key = (table, tenant.to_owned(), id.to_owned());
        let body = self.rows.read().get(&key).cloned();
        Ok(body.map(|body| Row { tenant: key.1, id: key.2, body }))
    }

    fn scan(&self, table: Table, tenant: Option<&str>, visit: &mut dyn FnMut(Row) -> bool) -> Result<()> {
        // Copied first, so that `visit` may commit.
        let from = (table, tenant.unwrap_or_default().to_owned(), String::new());
        let rows: Vec<Row> = self
            .rows
            .read()
            .range(from..)
            .take_while(|(key, _)| key.0 == table && tenant.is_none_or(|tenant| key.1 == tenant))
            .map(|(key, body)| Row { tenant: key.1.clone(), id: key.2.clone(), body: body.clone() })
            .collect();
        for row in rows {
            if !visit(row) {
                break;
            }
        }
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
