//! The rows that a call works on: read when they are first needed, written together at its end.

use std::collections::BTreeMap;

use metadata::{Change, Metadata, Row, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::core::inbox::Inbox;
use crate::core::pair::Pair;
use crate::id::forwards;
use crate::outbox::Delivery;
use crate::step::AlertStep;
use crate::{Error, Result};

/// What is to be done later, as it is kept in [`Table::AlertDue`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Due {
    /// A suppression is over; does the condition of the one that waits still hold?
    Outlast {
        /// Whose.
        tenant: String,
        /// Of which rule.
        rule: String,
        /// And device.
        device: String,
    },
    /// Has anybody acknowledged an alert?
    Escalate {
        /// Whose.
        tenant: String,
        /// Which.
        alert: String,
        /// By which list.
        list: String,
        /// Its step, from 0.
        step: usize,
    },
    /// Something that was gathered for a person goes out.
    Inbox {
        /// Whose.
        tenant: String,
        /// Who.
        person: String,
    },
    /// A mute may have ended.
    Mute {
        /// Whose.
        tenant: String,
        /// Which.
        mute: String,
    },
}

/// The cause that holds now of a rule and device, as it is kept in [`Table::AlertCauses`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CauseRow {
    pub(crate) rule: String,
    pub(crate) device: String,
    pub(crate) version: u32,
    pub(crate) cause_ns: i64,
}

/// What a mute kept from people, as it is kept in [`Table::AlertState`] under `mute/<id>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Muted {
    pub(crate) until_ms: i64,
    /// By person, at most as many as a tenant has.
    pub(crate) people: BTreeMap<String, MutedFor>,
}

/// What a mute kept from one person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MutedFor {
    pub(crate) severity: rule::Severity,
    /// By name of the rule; those that have no room are in `others`.
    pub(crate) by_rule: BTreeMap<String, u64>,
    pub(crate) others: u64,
}

/// Rows of one kind.
pub(crate) struct Rows<T> {
    table: Table,
    prefix: &'static str,
    /// By tenant and id, without the prefix.
    rows: BTreeMap<(String, String), Held<T>>,
}

struct Held<T> {
    row: Option<T>,
    changed: bool,
}

/// Everything that a call works on.
pub(crate) struct Work<'a> {
    pub(crate) metadata: &'a dyn Metadata,
    pub(crate) alerts: Rows<Alert>,
    pub(crate) pairs: Rows<Pair>,
    pub(crate) causes: Rows<CauseRow>,
    pub(crate) inboxes: Rows<Inbox>,
    pub(crate) muted: Rows<Muted>,
    /// New deliveries, by tenant.
    pub(crate) outgoing: Vec<(String, Delivery)>,
    /// New steps in the life of alerts.
    pub(crate) steps: Vec<AlertStep>,
    /// Everything else.
    pub(crate) changes: Vec<Change>,
    /// What is counted when the commit succeeded.
    pub(crate) tally: crate::counters::Tally,
}

impl<T: DeserializeOwned + Serialize> Rows<T> {
    const fn new(table: Table, prefix: &'static str) -> Self {
        Self { table, prefix, rows: BTreeMap::new() }
    }

    /// A row, to look at.
    pub(crate) fn get(&mut self, from: &dyn Metadata, tenant: &str, id: &str) -> Result<Option<&T>> {
        Ok(self.held(from, tenant, id)?.row.as_ref())
    }

    /// A row, to change.
    pub(crate) fn get_mut(&mut self, from: &dyn Metadata, tenant: &str, id: &str) -> Result<Option<&mut T>> {
        let held = self.held(from, tenant, id)?;
        held.changed |= held.row.is_some();
        Ok(held.row.as_mut())
    }

    /// A row, to change; a new one where there is none.
    pub(crate) fn get_or_new(&mut self, from: &dyn Metadata, tenant: &str, id: &str) -> Result<&mut T>
    where
        T: Default,
    {
        let held = self.held(from, tenant, id)?;
        held.changed = true;
        Ok(held.row.get_or_insert_with(T::default))
    }

    /// Replaces a row.
    pub(crate) fn put(&mut self, tenant: &str, id: &str, row: T) {
        let held = Held { row: Some(row), changed: true };
        self.rows.insert((tenant.to_owned(), id.to_owned()), held);
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, tenant: &str, id: &str) {
        self.rows.insert((tenant.to_owned(), id.to_owned()), Held { row: None, changed: true });
    }

    /// The rows that are to be written, by tenant and id.
    pub(crate) fn changed(&mut self) -> impl Iterator<Item = (&str, &str, &mut T)> {
        self.rows
            .iter_mut()
            .filter(|(_, held)| held.changed)
            .filter_map(|((tenant, id), held)| Some((tenant.as_str(), id.as_str(), held.row.as_mut()?)))
    }

    fn held(&mut self, from: &dyn Metadata, tenant: &str, id: &str) -> Result<&mut Held<T>> {
        use std::collections::btree_map::Entry;
        match self.rows.entry((tenant.to_owned(), id.to_owned())) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let row = from.get(self.table, tenant, &format!("{}{id}", self.prefix))?;
                let row = row.map(|row| read(self.table, &row)).transpose()?;
                Ok(new.insert(Held { row, changed: false }))
            }
        }
    }

    fn into_changes(self, changes: &mut Vec<Change>) {
        let (table, prefix) = (self.table, self.prefix);
        for ((tenant, id), held) in self.rows.into_iter().filter(|(_, held)| held.changed) {
            let id = format!("{prefix}{id}");
            changes.push(match held.row {
                Some(row) => put(table, &tenant, &id, &row),
                None => Change::Delete { table, tenant, id },
            });
        }
    }
}

impl<'a> Work<'a> {
    pub(crate) fn new(metadata: &'a dyn Metadata) -> Self {
        Self {
            metadata,
            alerts: Rows::new(Table::Alerts, ""),
            pairs: Rows::new(Table::AlertPairs, ""),
            causes: Rows::new(Table::AlertCauses, ""),
            inboxes: Rows::new(Table::AlertState, "person/"),
            muted: Rows::new(Table::AlertState, "mute/"),
            outgoing: Vec::new(),
            steps: Vec::new(),
            changes: Vec::new(),
            tally: crate::counters::Tally::default(),
        }
    }

    /// To be done at `at_ms`.
    pub(crate) fn later(&mut self, at_ms: i64, due: &Due) {
        self.changes.push(put(Table::AlertDue, "", &due.id(at_ms), due));
    }

    /// What is to be written, in one commit.
    pub(crate) fn into_changes(mut self) -> (Vec<Change>, Vec<(String, Delivery)>) {
        self.note_deadlines();
        let mut changes = self.changes;
        self.alerts.into_changes(&mut changes);
        self.pairs.into_changes(&mut changes);
        self.causes.into_changes(&mut changes);
        self.inboxes.into_changes(&mut changes);
        self.muted.into_changes(&mut changes);
        changes.extend(
            self.outgoing.iter().map(|(tenant, delivery)| put(Table::Outbox, tenant, &delivery.id, delivery)),
        );
        (changes, self.outgoing)
    }

    /// Each inbox has one deadline, its next.
    fn note_deadlines(&mut self) {
        for (tenant, person, inbox) in self.inboxes.changed() {
            let due_ms = inbox.due_ms();
            if due_ms == inbox.noted_due_ms {
                continue;
            }
            let due = Due::Inbox { tenant: tenant.to_owned(), person: person.to_owned() };
            if let Some(before) = inbox.noted_due_ms {
                let id = due.id(before);
                self.changes.push(Change::Delete { table: Table::AlertDue, tenant: String::new(), id });
            }
            if let Some(at_ms) = due_ms {
                self.changes.push(put(Table::AlertDue, "", &due.id(at_ms), &due));
            }
            inbox.noted_due_ms = due_ms;
        }
    }
}

impl Due {
    /// Its row's id: sorted by time.
    pub(crate) fn id(&self, at_ms: i64) -> String {
        let at = forwards(at_ms);
        match self {
            Self::Outlast { tenant, rule, device } => format!("{at}/outlast/{tenant}/{rule}/{device}"),
            Self::Escalate { tenant, alert, step, .. } => format!("{at}/escalate/{tenant}/{alert}/{step}"),
            Self::Inbox { tenant, person } => format!("{at}/inbox/{tenant}/{person}"),
            Self::Mute { tenant, mute } => format!("{at}/mute/{tenant}/{mute}"),
        }
    }
}

/// A row as it is written.
pub(crate) fn put<T: Serialize>(table: Table, tenant: &str, id: &str, row: &T) -> Change {
    let body = serde_json::to_vec(row).expect("rows have text keys and finite numbers");
    Change::Put(table, Row { tenant: tenant.to_owned(), id: id.to_owned(), body })
}

/// A row as it was written.
pub(crate) fn read<T: DeserializeOwned>(table: Table, row: &Row) -> Result<T> {
    serde_json::from_slice(&row.body).map_err(|error| Error::Row {
        table: table.name(),
        tenant: row.tenant.clone(),
        id: row.id.clone(),
        reason: error.to_string(),
    })
}
