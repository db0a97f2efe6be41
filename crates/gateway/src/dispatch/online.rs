//! Which connection a client id belongs to.

use std::sync::Arc;

use hashbrown::HashMap;
use record::{Envelope, TenantId};

use super::command::{ConnRef, Open};
use crate::state::{Book, SessionKey};
use crate::topics::{Audience, Standing};

/// A session with a connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) tenant: TenantId,
    pub(super) client_id: Arc<str>,
    pub(super) conn: ConnRef,
    pub(super) logged: bool,
    /// A connection that waits for this one to let go.
    pub(super) next: Option<Box<Open>>,
}

/// The sessions that have a connection, by number and by name.
#[derive(Debug, Default)]
pub(super) struct Online {
    clients: Vec<Option<Box<Client>>>,
    by_name: HashMap<(TenantId, Arc<str>), SessionKey>,
}

impl Online {
    pub(super) fn find(&mut self, tenant: &TenantId, client_id: &Arc<str>) -> Option<&mut Client> {
        let key = *self.by_name.get(&(tenant.clone(), Arc::clone(client_id)))?;
        self.clients.get_mut(key.0 as usize)?.as_deref_mut()
    }

    pub(super) fn get(&self, key: SessionKey) -> Option<&Client> {
        self.clients.get(key.0 as usize)?.as_deref()
    }

    pub(super) fn insert(&mut self, key: SessionKey, client: Client) {
        let at = key.0 as usize;
        if self.clients.len() <= at {
            self.clients.resize_with(at + 1, || None);
        }
        self.by_name.insert((client.tenant.clone(), Arc::clone(&client.client_id)), key);
        self.clients[at] = Some(Box::new(client));
    }

    pub(super) fn remove(&mut self, key: SessionKey) -> Option<Box<Client>> {
        let client = self.clients.get_mut(key.0 as usize)?.take()?;
        self.by_name.remove(&(client.tenant.clone(), Arc::clone(&client.client_id)));
        Some(client)
    }

    /// The tenants that have anybody connected.
    pub(super) fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self.by_name.keys().map(|(tenant, _)| tenant.clone()).collect();
        tenants.sort();
        tenants.dedup();
        tenants
    }
}

/// The subscribers, as matching a message sees them. The book matches while it is borrowed, so who is away is known by not being
/// here: the tree names nobody who is gone.
pub(super) struct Present<'a> {
    pub(super) online: &'a Online,
    /// The message as it lies in the log. Few ask who published it.
    pub(super) record: &'a [u8],
}

impl Audience<SessionKey> for Present<'_> {
    fn standing(&self, subscriber: SessionKey) -> Standing {
        match self.online.get(subscriber) {
            Some(_) => Standing::Connected,
            None => Standing::Away,
        }
    }

    fn is_publisher(&self, subscriber: SessionKey) -> bool {
        let origin = Envelope::decode(self.record).ok().and_then(|message| message.origin);
        let publisher = origin.map(|origin| origin.client_id);
        self.online.get(subscriber).is_some_and(|client| publisher == Some(&*client.client_id))
    }
}

/// What the log calls a session.
pub(super) fn name_of(book: &Book, key: SessionKey) -> Option<(Arc<str>, Arc<str>)> {
    book.name(key).map(|(tenant, client_id)| (Arc::clone(tenant), Arc::clone(client_id)))
}
