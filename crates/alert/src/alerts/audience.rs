//! The people, escalation lists and mutes of a tenant: kept, changed, and held in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::{Change, Metadata, Row, Table};
use parking_lot::MutexGuard;
use record::{Facts, TenantId, Timestamp};

use super::Alerts;
use super::onset::unknown;
use crate::core::inbox::{Inbox, Sums};
use crate::people::{CheckedMute, CheckedPerson, Escalation, Mute, Person};
use crate::rows::{Work, put, read};
use crate::{Error, Result};

/// Most people of a tenant: each is asked for each alert.
pub(super) const PEOPLE: usize = 1000;
/// Most mutes of a tenant, for the same reason.
pub(super) const MUTES: usize = 500;
/// Most escalation lists of a tenant.
pub(super) const ESCALATIONS: usize = 200;
/// Before the ids of people, in [`Table::People`].
const PERSON: &str = "person/";
/// Before the ids of escalation lists, in [`Table::People`].
const ESCALATION: &str = "escalation/";

/// Who is there to be told, and what keeps alerts from them.
#[derive(Default)]
pub(super) struct Audience {
    people: Vec<Arc<CheckedPerson>>,
    escalations: BTreeMap<String, Arc<Escalation>>,
    mutes: Vec<Arc<CheckedMute>>,
}

impl Audience {
    /// What cannot be read is left out: it must not keep alerts from everybody else.
    pub(super) fn read(metadata: &dyn Metadata, tenant: &TenantId) -> Result<Self> {
        let mut audience = Self::default();
        metadata.scan(Table::People, Some(tenant.as_str()), &mut |row| {
            let outcome = audience.take_row(&row);
            if let Err(reason) = outcome {
                tracing::error!(tenant = tenant.as_str(), id = row.id, reason, "who is told cannot be read");
            }
            true
        })?;
        metadata.scan(Table::Mutes, Some(tenant.as_str()), &mut |row| {
            let mute = read::<Mute>(Table::Mutes, &row).map_err(|error| error.to_string());
            match mute.and_then(|mute| mute.check(&row.id)) {
                Ok(mute) => audience.mutes.push(Arc::new(mute)),
                Err(reason) => {
                    tracing::error!(tenant = tenant.as_str(), id = row.id, reason, "a mute cannot be read");
                }
            }
            true
        })?;
        Ok(audience)
    }

    fn take_row(&mut self, row: &Row) -> std::result::Result<(), String> {
        let told = |error: Error| error.to_string();
        if let Some(id) = row.id.strip_prefix(PERSON) {
            let person = read::<Person>(Table::People, row).map_err(told)?.check(id)?;
            self.people.push(Arc::new(person));
        } else if let Some(id) = row.id.strip_prefix(ESCALATION) {
            let list = read::<Escalation>(Table::People, row).map_err(told)?;
            list.check(id)?;
            self.escalations.insert(id.to_owned(), Arc::new(list));
        }
        Ok(())
    }

    /// All people.
    pub(super) fn people(&self) -> &[Arc<CheckedPerson>] {
        &self.people
    }

    pub(super) fn person(&self, id: &str) -> Option<&Arc<CheckedPerson>> {
        let at = self.people.binary_search_by(|person| person.id.as_str().cmp(id)).ok()?;
        self.people.get(at)
    }

    pub(super) fn escalation(&self, name: &str) -> Option<&Arc<Escalation>> {
        self.escalations.get(name)
    }

    fn has_mute(&self, id: &str) -> bool {
        self.mutes.iter().any(|mute| mute.id == id)
    }

    /// The mute that an alert falls under now, and until when: of several the one that lasts longest.
    pub(super) fn muting(
        &self,
        rule: &str,
        device: &str,
        facts: &Facts,
        now_ms: i64,
    ) -> Option<(&CheckedMute, i64)> {
        let all =
            self.mutes.iter().filter_map(|mute| Some((&**mute, mute.until(rule, device, facts, now_ms)?)));
        all.max_by_key(|(_, until_ms)| *until_ms)
    }
}

impl Alerts {
    /// All people of a tenant, by id.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn people(&self, tenant: &TenantId) -> Result<Vec<(String, Person)>> {
        let _changing = self.changing.lock();
        let audience = self.audience(tenant)?;
        Ok(audience.people.iter().map(|person| (person.id.clone(), person.document.clone())).collect())
    }

    /// Adds a person or replaces what is known of them.
    ///
    /// # Errors
    /// [`Error::Refused`] names what is not possible; [`Error::Metadata`].
    pub fn put_person(&self, tenant: &TenantId, id: &str, person: &Person) -> Result<()> {
        let refused = |reason| Error::Refused { what: "person", reason };
        person.clone().check(id).map_err(refused)?;
        let _changing = self.changing.lock();
        let audience = self.audience(tenant)?;
        if audience.person(id).is_none() && audience.people.len() >= PEOPLE {
            return Err(refused(format!("there are {PEOPLE} already: remove one")));
        }
        self.change(tenant, &[put(Table::People, tenant.as_str(), &format!("{PERSON}{id}"), person)])
    }

    /// Removes a person. What was gathered for them and not told is forgotten; what waits for delivery is delivered.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Metadata`].
    pub fn remove_person(&self, tenant: &TenantId, id: &str) -> Result<()> {
        let _changing = self.changing.lock();
        self.audience(tenant)?.person(id).ok_or_else(|| unknown("person", id))?;
        self.change(
            tenant,
            &[
                delete(Table::People, tenant, &format!("{PERSON}{id}")),
                delete(Table::AlertState, tenant, &format!("{PERSON}{id}")),
            ],
        )
    }

    /// How often a person was told, and how many alerts are gathered for them and not told yet.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`].
    pub fn sums(&self, tenant: &TenantId, person: &str) -> Result<(Sums, u64)> {
        let row = self.metadata.get(Table::AlertState, tenant.as_str(), &format!("{PERSON}{person}"))?;
        let inbox = row.map(|row| read::<Inbox>(Table::AlertState, &row)).transpose()?.unwrap_or_default();
        Ok((inbox.sums, inbox.pending()))
    }

    /// All escalation lists of a tenant, by name.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn escalations(&self, tenant: &TenantId) -> Result<Vec<(String, Escalation)>> {
        let _changing = self.changing.lock();
        let audience = self.audience(tenant)?;
        Ok(audience.escalations.iter().map(|(name, list)| (name.clone(), (**list).clone())).collect())
    }

    /// Adds or replaces an escalation list. The one called `default` is for rules that name none.
    ///
    /// # Errors
    /// [`Error::Refused`] names what is not possible; [`Error::Metadata`].
    pub fn put_escalation(&self, tenant: &TenantId, name: &str, list: &Escalation) -> Result<()> {
        let refused = |reason| Error::Refused { what: "escalation list", reason };
        list.check(name).map_err(refused)?;
        let _changing = self.changing.lock();
        let audience = self.audience(tenant)?;
        if audience.escalation(name).is_none() && audience.escalations.len() >= ESCALATIONS {
            return Err(refused(format!("there are {ESCALATIONS} already: remove one")));
        }
        self.change(tenant, &[put(Table::People, tenant.as_str(), &format!("{ESCALATION}{name}"), list)])
    }

    /// Removes an escalation list. What waits for its next step is told nobody else.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Metadata`].
    pub fn remove_escalation(&self, tenant: &TenantId, name: &str) -> Result<()> {
        let _changing = self.changing.lock();
        self.audience(tenant)?.escalation(name).ok_or_else(|| unknown("escalation list", name))?;
        self.change(tenant, &[delete(Table::People, tenant, &format!("{ESCALATION}{name}"))])
    }

    /// All mutes of a tenant, by id.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn mutes(&self, tenant: &TenantId) -> Result<Vec<(String, Mute)>> {
        let _changing = self.changing.lock();
        let audience = self.audience(tenant)?;
        Ok(audience.mutes.iter().map(|mute| (mute.id.clone(), mute.document.clone())).collect())
    }

    /// Adds or replaces a mute. What the one before kept from people is told.
    ///
    /// # Errors
    /// [`Error::Refused`] names what is not possible; [`Error::Metadata`], [`Error::Row`].
    pub fn mute(&self, tenant: &TenantId, id: &str, mute: &Mute, now: Timestamp) -> Result<()> {
        let refused = |reason| Error::Refused { what: "mute", reason };
        let mute = &mute.clone().set_at(now);
        mute.clone().check(id).map_err(refused)?;
        let (changing, work) = self.begin();
        let audience = self.audience(tenant)?;
        if audience.mutes.len() >= MUTES && !audience.has_mute(id) {
            return Err(refused(format!("there are {MUTES} already: remove one")));
        }
        let change = put(Table::Mutes, tenant.as_str(), id, mute);
        self.change_mute((changing, work), tenant, id, change, now)
    }

    /// Removes a mute. What it kept from people is told, with the next tick.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Metadata`], [`Error::Row`].
    pub fn unmute(&self, tenant: &TenantId, id: &str, now: Timestamp) -> Result<()> {
        let begun = self.begin();
        if !self.audience(tenant)?.has_mute(id) {
            return Err(unknown("mute", id));
        }
        self.change_mute(begun, tenant, id, delete(Table::Mutes, tenant, id), now)
    }

    fn change_mute(
        &self,
        (_changing, mut work): (MutexGuard<'_, ()>, Work<'_>),
        tenant: &TenantId,
        id: &str,
        change: Change,
        now: Timestamp,
    ) -> Result<()> {
        self.tell_muted(&mut work, tenant, id, now.millis())?;
        work.changes.push(change);
        self.commit(work)?;
        self.audiences.lock().remove(tenant);
        Ok(())
    }

    fn change(&self, tenant: &TenantId, changes: &[Change]) -> Result<()> {
        self.metadata.commit(changes)?;
        self.audiences.lock().remove(tenant);
        Ok(())
    }
}

fn delete(table: Table, tenant: &TenantId, id: &str) -> Change {
    Change::Delete { table, tenant: tenant.to_string(), id: id.to_owned() }
}
