//! Writing down what changed, together with how far the log was read.

use std::sync::Arc;

use log::Position;
use metadata::{Change, Row, Table};

use super::book::Book;
use super::marks::Mark;
use super::rows::{self, Note};
use super::session::SessionKey;

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
            if self.logged(&tenant, &client_id).is_none() {
                changes.push(delete(Table::Sessions, &tenant, &client_id));
            }
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        for key in dirty {
            let Some(session) = self.slots.get_mut(key).filter(|session| session.dirty) else { continue };
            session.dirty = false;
            // What arrived in a life whose Opened record is still unread lies before the offsets: it must be kept.
            let holds = !(session.durable.arrived.is_empty() && session.durable.outgoing.is_empty());
            if session.logged || holds {
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
        let notes = self.marks.iter().filter_map(|(message, mark)| self.note(message, mark));
        changes.push(put(Table::Offsets, "", OFFSETS_ID, rows::offsets(&self.positions, notes)));
        Checkpoint { changes }
    }

    /// A mark as the checkpoint holds it; `None`: it is about a life that is over.
    fn note(&self, message: Position, mark: &Mark) -> Option<Note<'_>> {
        let what = mark.what;
        let Some((key, life)) = mark.session else { return Some(Note { message, session: None, what }) };
        let held = self.slots.get(key).filter(|held| held.life == life)?;
        Some(Note { message, session: Some((&held.tenant, &held.client_id)), what })
    }

    /// The session of that name, unless all there is to it is that a client is opening it.
    fn logged(&self, tenant: &str, client_id: &str) -> Option<SessionKey> {
        let session = self.slots.find(tenant, client_id)?;
        self.slots.get(session).filter(|held| held.logged).map(|_| session)
    }

    /// The checkpoint could not be committed: its rows are due again.
    pub fn checkpoint_failed(&mut self, checkpoint: Checkpoint) {
        for change in checkpoint.changes {
            let (table, tenant, id) = match change {
                Change::Put(table, row) => (table, row.tenant, row.id),
                Change::Delete { table, tenant, id } => (table, tenant, id),
            };
            match table {
                Table::Sessions => match self.logged(&tenant, &id) {
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
