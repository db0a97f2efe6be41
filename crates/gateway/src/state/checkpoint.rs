//! Writing down what changed, together with how far the log was read.

use std::sync::Arc;

use metadata::{Change, Row, Table};

use super::book::Book;
use super::rows;

/// The id of the row in [`Table::Offsets`]; its tenant is empty.
pub(super) const OFFSETS_ID: &str = "gateway";

/// What has to be written, in one commit. Dropping it without either of the two calls loses nothing but has the rows
/// written only when they change again: say how it went.
#[derive(Debug)]
#[must_use = "commit its changes and call `Book::checkpoint_failed` if that fails"]
pub struct Checkpoint {
    /// The rows and, last, the offsets that they contain.
    pub changes: Vec<Change>,
}

impl Book {
    /// Whether anything changed since the last checkpoint that a later start could not do without. (Offsets alone do
    /// not count: an idle gateway writes nothing. But they bound the replay, so a checkpoint is due now and then
    /// while messages flow.)
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !(self.dirty.is_empty() && self.gone.is_empty() && self.dirty_retained.is_empty())
    }

    /// Takes everything that changed since the last checkpoint. To be committed in one go: rows and offsets belong
    /// together. Rows are complete, so checkpoints must be committed in the order they were taken, one at a time.
    pub fn checkpoint(&mut self) -> Checkpoint {
        let mut changes = Vec::new();
        for (tenant, client_id) in std::mem::take(&mut self.gone) {
            if self.slots.find(&tenant, &client_id).is_none() {
                changes.push(delete(Table::Sessions, &tenant, &client_id));
            }
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        for key in dirty {
            let Some(session) = self.slots.get_mut(key).filter(|session| session.dirty) else { continue };
            session.dirty = false;
            if session.logged {
                let body = rows::session(session);
                changes.push(put(Table::Sessions, &session.tenant, &session.client_id, body));
            }
        }
        for (tenant, topic) in std::mem::take(&mut self.dirty_retained) {
            changes.push(match self.retained.get(&tenant, &topic) {
                Some(kept) => put(Table::Retained, &tenant, &topic, rows::retained(kept)),
                None => delete(Table::Retained, &tenant, &topic),
            });
        }
        changes.push(put(Table::Offsets, "", OFFSETS_ID, rows::offsets(&self.positions)));
        Checkpoint { changes }
    }

    /// The checkpoint could not be committed: its rows are due again.
    pub fn checkpoint_failed(&mut self, checkpoint: Checkpoint) {
        for change in checkpoint.changes {
            let (table, tenant, id) = match change {
                Change::Put(table, row) => (table, row.tenant, row.id),
                Change::Delete { table, tenant, id } => (table, tenant, id),
            };
            match table {
                Table::Sessions => match self.slots.find(&tenant, &id) {
                    Some(session) => self.touch(session),
                    None => {
                        self.gone.insert((Arc::from(tenant), Arc::from(id)));
                    }
                },
                Table::Retained => {
                    self.dirty_retained.insert((Arc::from(tenant), Arc::from(id)));
                }
                _ => {}
            }
        }
    }
}

fn put(table: Table, tenant: &str, id: &str, body: Vec<u8>) -> Change {
    Change::Put(table, Row { tenant: tenant.into(), id: id.into(), body })
}

fn delete(table: Table, tenant: &str, id: &str) -> Change {
    Change::Delete { table, tenant: tenant.into(), id: id.into() }
}
