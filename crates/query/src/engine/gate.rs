//! How many questions run at a time: in all, and of one tenant, so that none takes every place.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use record::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Limits, Result};

/// Questions that run at a time. Each may take [`Limits::memory`].
const IN_ALL: usize = 8;

/// Of these, of one tenant.
const OF_A_TENANT: usize = 4;

pub(super) struct Gate {
    all: Arc<Semaphore>,
    tenants: Arc<Mutex<HashMap<TenantId, Arc<Semaphore>>>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(IN_ALL)), tenants: Arc::default() }
    }
}

/// A right to run, given back when dropped.
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    own: Option<OwnedSemaphorePermit>,
    tenant: TenantId,
    tenants: Arc<Mutex<HashMap<TenantId, Arc<Semaphore>>>>,
}

impl Gate {
    /// A place, when one is free within [`Limits::wait`].
    pub(super) fn enter(
        &self,
        tenant: &TenantId,
        limits: Limits,
    ) -> impl Future<Output = Result<Place>> + use<> {
        let (all, tenants, tenant) = (Arc::clone(&self.all), Arc::clone(&self.tenants), tenant.clone());
        async move {
            let of_tenant = {
                let mut known = tenants.lock();
                Arc::clone(
                    known.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(OF_A_TENANT))),
                )
            };
            let both = async {
                let own = of_tenant.acquire_owned().await.expect("the semaphore is never closed");
                (own, all.acquire_owned().await.expect("the semaphore is never closed"))
            };
            match tokio::time::timeout(limits.wait, both).await {
                Ok((own, all)) => Ok(Place { _all: all, own: Some(own), tenant, tenants }),
                Err(_) => Err(Error::Busy(format!(
                    "more than {OF_A_TENANT} statements of the tenant, or {IN_ALL} in all, are running: ask again later, \
                     or ask fewer at a time"
                ))),
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.tenants.lock();
        self.own.take();
        // Only tenants that ask are kept. One that waits holds the semaphore too.
        if tenants.get(&self.tenant).is_some_and(|own| Arc::strong_count(own) == 1) {
            tenants.remove(&self.tenant);
        }
    }
}
