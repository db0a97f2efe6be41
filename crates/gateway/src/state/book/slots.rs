//! The numbers of sessions, and the persistent ones by name.

use std::sync::Arc;

use hashbrown::HashMap;

use super::super::session::{Session, SessionKey};

#[derive(Debug)]
enum Slot {
    Free,
    Transient,
    Stored(Box<Session>),
}

#[derive(Debug, Default)]
pub(in crate::state) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    lives: u32,
    names: HashMap<Arc<str>, HashMap<Arc<str>, SessionKey>>,
}

impl Slots {
    pub(in crate::state) fn find(&self, tenant: &str, client_id: &str) -> Option<SessionKey> {
        self.names.get(tenant)?.get(client_id).copied()
    }

    pub(in crate::state) fn find_or_add(&mut self, tenant: &str, client_id: &str) -> SessionKey {
        if let Some(known) = self.find(tenant, client_id) {
            return known;
        }
        let tenant: Arc<str> = match self.names.get_key_value(tenant) {
            Some((shared, _)) => Arc::clone(shared),
            None => tenant.into(),
        };
        let client_id: Arc<str> = client_id.into();
        let session = Session::new(Arc::clone(&tenant), Arc::clone(&client_id), self.new_life());
        let key = self.place(Slot::Stored(Box::new(session)));
        self.names.entry(tenant).or_default().insert(client_id, key);
        key
    }

    /// Wraps after four billion; what is noted lives for milliseconds, in a replay for seconds.
    pub(in crate::state) fn new_life(&mut self) -> u32 {
        self.lives = self.lives.wrapping_add(1);
        self.lives
    }

    pub(in crate::state) fn get(&self, key: SessionKey) -> Option<&Session> {
        match self.slots.get(key.0 as usize) {
            Some(Slot::Stored(session)) => Some(session),
            _ => None,
        }
    }

    pub(in crate::state) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        match self.slots.get_mut(key.0 as usize) {
            Some(Slot::Stored(session)) => Some(session),
            _ => None,
        }
    }

    pub(in crate::state) fn remove(&mut self, key: SessionKey) -> Option<Session> {
        let slot = self.slots.get_mut(key.0 as usize).filter(|slot| matches!(slot, Slot::Stored(_)))?;
        let Slot::Stored(session) = std::mem::replace(slot, Slot::Free) else { return None };
        self.free.push(key.0);
        if let Some(names) = self.names.get_mut(&session.tenant) {
            names.remove(&session.client_id);
        }
        Some(*session)
    }

    pub(in crate::state) fn transient(&mut self) -> SessionKey {
        self.place(Slot::Transient)
    }

    pub(in crate::state) fn release_transient(&mut self, key: SessionKey) {
        if let Some(slot @ Slot::Transient) = self.slots.get_mut(key.0 as usize) {
            *slot = Slot::Free;
            self.free.push(key.0);
        }
    }

    pub(in crate::state) fn stored(&self) -> impl Iterator<Item = (SessionKey, &Session)> {
        (0_u32..).zip(&self.slots).filter_map(|(at, slot)| match slot {
            Slot::Stored(session) => Some((SessionKey(at), &**session)),
            Slot::Free | Slot::Transient => None,
        })
    }

    fn place(&mut self, slot: Slot) -> SessionKey {
        match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                SessionKey(at)
            }
            None => {
                let at = u32::try_from(self.slots.len()).expect("connections are limited far below 2^32");
                self.slots.push(slot);
                SessionKey(at)
            }
        }
    }
}
