//! Whose a client id is: the sessions of this process, connected or away.

use std::sync::Arc;

use hashbrown::HashMap;
use log::Position;
use record::TenantId;
use slab::Slab;
use wire::mqtt::session::{Durable, Outgoing};

use super::command::{ConnRef, Open, SessionKey};
use crate::topics::{Audience, Standing};

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) tenant: TenantId,
    pub(super) client_id: Arc<str>,
    pub(super) place: Place,
    /// A connection that waits for the one before it to let go.
    pub(super) next: Option<Box<Open>>,
}

/// Where a session is.
#[derive(Debug)]
pub(super) enum Place {
    /// With a connection.
    Connected(ConnRef),
    /// Its connection has ended; what matches until the worker gives it back.
    Leaving(Vec<Outgoing<Position>>),
    /// Here.
    Away(Box<Durable<Position>>),
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: Slab<Session>,
    by_client: HashMap<(TenantId, Arc<str>), SessionKey>,
}

impl Sessions {
    pub(super) fn find(&self, tenant: &TenantId, client_id: &Arc<str>) -> Option<SessionKey> {
        self.by_client.get(&(tenant.clone(), Arc::clone(client_id))).copied()
    }

    pub(super) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.all.get_mut(key.0 as usize)
    }

    pub(super) fn get(&self, key: SessionKey) -> Option<&Session> {
        self.all.get(key.0 as usize)
    }

    pub(super) fn insert(&mut self, session: Session) -> SessionKey {
        let name = (session.tenant.clone(), Arc::clone(&session.client_id));
        let key =
            SessionKey(u32::try_from(self.all.insert(session)).expect("sessions are limited far below 2^32"));
        self.by_client.insert(name, key);
        key
    }

    pub(super) fn remove(&mut self, key: SessionKey) -> Option<Session> {
        let session = self.all.try_remove(key.0 as usize)?;
        self.by_client.remove(&(session.tenant.clone(), Arc::clone(&session.client_id)));
        Some(session)
    }
}

/// The subscribers, as matching one message sees them.
pub(super) struct Present<'a> {
    pub(super) sessions: &'a Sessions,
    /// The client id of the publisher, empty if there is none.
    pub(super) publisher: &'a str,
}

impl Audience<SessionKey> for Present<'_> {
    fn standing(&self, subscriber: SessionKey) -> Standing {
        match self.sessions.get(subscriber).map(|s| &s.place) {
            Some(Place::Connected(_)) => Standing::Connected,
            Some(Place::Leaving(_) | Place::Away(_)) => Standing::Away,
            None => Standing::Gone,
        }
    }

    fn is_publisher(&self, subscriber: SessionKey) -> bool {
        self.sessions.get(subscriber).is_some_and(|s| *s.client_id == *self.publisher)
    }
}
