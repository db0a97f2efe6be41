//! The subscriptions of all tenants.

use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;
use record::Qos;
use wire::mqtt::SubscribeOptions;

use super::matches::{Audience, Matches};
use super::tree::{Interest, Tree};

/// How many subscriptions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionLimits {
    /// Of one tenant. Each costs about 100 bytes.
    pub per_tenant: usize,
    /// Different placements of wildcards in one tenant's filters. Each costs every message of the tenant one
    /// look-up, so this bounds what a tenant can make the dispatcher do for one message.
    pub shapes_per_tenant: usize,
}

impl Default for SubscriptionLimits {
    fn default() -> Self {
        Self { per_tenant: 10_000_000, shapes_per_tenant: 1024 }
    }
}

/// The tenant has as many subscriptions as it may have (answered 0x97, quota exceeded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Too many subscriptions.
    #[error("the tenant has {0} subscriptions, its limit")]
    Subscriptions(usize),
    /// Too many different placements of wildcards.
    #[error("the tenant's filters place their wildcards in {0} different ways, its limit")]
    Shapes(usize),
}

/// Who subscribed to what, by tenant. Several threads match at the same time (workers for QoS 0, the dispatcher for
/// the rest); subscribing is rare and short.
///
/// One lock for readers and writers per tenant: a read lock costs two atomic operations, which is small beside the
/// look-ups, and a write is constant time. A copy-on-write tree would make a SUBSCRIBE cost what the tree costs.
#[derive(Debug)]
pub struct Subscriptions<K> {
    limits: SubscriptionLimits,
    tenants: RwLock<HashMap<Box<str>, RwLock<Tree<K>>>>,
    total: AtomicUsize,
}

impl<K: Copy + Ord + Hash> Subscriptions<K> {
    /// None yet.
    #[must_use]
    pub fn new(limits: SubscriptionLimits) -> Self {
        Self { limits, tenants: RwLock::default(), total: AtomicUsize::new(0) }
    }

    /// Adds a subscription, or replaces the options and identifier of the one with the same filter
    /// (MQTT-3.8.4-3). `filter` as the client wrote it, `$share/{group}/` included, its form checked when the packet
    /// was decoded. Returns whether it is new.
    ///
    /// # Errors
    /// [`Full`]; nothing has changed then.
    pub fn insert(
        &self,
        tenant: &str,
        filter: &str,
        subscriber: K,
        options: &SubscribeOptions,
        id: u32,
    ) -> Result<bool, Full> {
        loop {
            let tenants = self.tenants.read();
            if let Some(tree) = tenants.get(tenant) {
                let mut tree = tree.write();
                if !tree.holds(filter, subscriber) {
                    self.check_room(&tree, filter)?;
                }
                let new = tree.insert(filter, subscriber, options, id);
                self.total.fetch_add(usize::from(new), Ordering::Relaxed);
                return Ok(new);
            }
            drop(tenants);
            self.tenants.write().entry(tenant.into()).or_default();
        }
    }

    /// Takes a subscription out; whether it was there.
    pub fn remove(&self, tenant: &str, filter: &str, subscriber: K) -> bool {
        let tenants = self.tenants.read();
        let removed = tenants.get(tenant).is_some_and(|tree| tree.write().remove(filter, subscriber));
        self.total.fetch_sub(usize::from(removed), Ordering::Relaxed);
        removed
    }

    /// Finds who gets a message: each subscriber once, share groups with one member. `out` is emptied first.
    /// Deterministic: the same calls in the same order give the same answers.
    pub fn matching(
        &self,
        tenant: &str,
        topic: &str,
        qos: Qos,
        audience: &impl Audience<K>,
        out: &mut Matches<K>,
    ) {
        out.clear();
        if let Some(tree) = self.tenants.read().get(tenant) {
            tree.read().matching(topic, qos, audience, out);
        }
    }

    /// Shows every subscription that fits, members of share groups one by one.
    pub fn visit(&self, tenant: &str, topic: &str, mut visit: impl FnMut(Interest<K>)) {
        if let Some(tree) = self.tenants.read().get(tenant) {
            tree.read().visit(topic, &mut visit);
        }
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `tenant` has none: a message of it needs no work.
    #[must_use]
    pub fn has_none(&self, tenant: &str) -> bool {
        self.is_empty() || self.tenants.read().get(tenant).is_none_or(|tree| tree.read().len() == 0)
    }

    /// How many there are, of all tenants.
    #[must_use]
    pub fn len(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    fn check_room(&self, tree: &Tree<K>, filter: &str) -> Result<(), Full> {
        if tree.len() >= self.limits.per_tenant {
            return Err(Full::Subscriptions(tree.len()));
        }
        if tree.shapes() >= self.limits.shapes_per_tenant && tree.is_new_shape(filter) {
            return Err(Full::Shapes(tree.shapes()));
        }
        Ok(())
    }
}
