//! The shell round the state machines: everything that follows from a call is one commit of the metadata.

mod audience;
mod deadlines;
mod deliveries;
mod forget;
mod forward;
mod halves;
mod list;
mod onset;
mod settle;
mod steps;
mod take;
mod tell;

pub use deadlines::Ticked;
pub(crate) use deliveries::Attempt;
pub use forward::Forward;
pub use list::{COUNTED, Counts, Filter, Page};
pub use onset::{Raise, Raised};
pub use steps::{STEPS_WAITING, Waiting};
pub use take::{OpenCause, Taken};

use std::collections::HashMap;
use std::sync::Arc;

use metadata::{Metadata, Table};
use parking_lot::{Mutex, MutexGuard};
use record::{DeviceId, Facts, TenantId};
use rule::RuleId;
use tokio::sync::Notify;

use crate::config::Settings;
use crate::counters::{Counters, Tally};
use crate::outbox::{Delivery, OUTBOX_ROWS, Queue};
use crate::rows::Work;
use crate::terms::{Directory, Terms};
use crate::{Error, Result};
use audience::Audience;
use steps::Numbering;

/// Most tenants whose people and mutes are kept in memory at once; of more they are read again.
const AUDIENCES: usize = 256;

/// Alerts: raised, told, acknowledged, resolved. One per installation: it alone changes its tables.
///
/// All methods block for disk accesses; async callers use a blocking thread. Times are given, no clock is read.
pub struct Alerts {
    metadata: Arc<dyn Metadata>,
    directory: Arc<dyn Directory>,
    settings: Settings,
    /// Held from the reading of rows to their writing.
    changing: Mutex<()>,
    audiences: Mutex<HashMap<TenantId, Arc<Audience>>>,
    queue: Mutex<Queue>,
    /// Something new waits for delivery.
    wake: Notify,
    numbering: Mutex<Numbering>,
    /// Something new waits for the topic.
    stepped: Notify,
    counters: Counters,
}

impl Alerts {
    /// Over these tables. Reads what is still to be delivered; a row that cannot be read is said to the operator and left.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`] of the number of the next step.
    pub fn open(
        metadata: Arc<dyn Metadata>,
        directory: Arc<dyn Directory>,
        settings: Settings,
    ) -> Result<Self> {
        let mut queue = Queue::default();
        metadata.scan(Table::Outbox, None, &mut |row| {
            match crate::rows::read::<Delivery>(Table::Outbox, &row) {
                Ok(delivery) => {
                    queue.add(&delivery.address.destination(), delivery.next_attempt_ms, &row.tenant, &row.id)
                }
                Err(error) => tracing::error!(%error, "a message will not be delivered"),
            }
            true
        })?;
        let numbering = Mutex::new(Numbering::read(&*metadata)?);
        Ok(Self {
            metadata,
            directory,
            settings,
            changing: Mutex::default(),
            audiences: Mutex::default(),
            queue: Mutex::new(queue),
            wake: Notify::new(),
            numbering,
            stepped: Notify::new(),
            counters: Counters::default(),
        })
    }

    /// For how long an alert stands for those that follow, milliseconds, unless its rule says otherwise.
    #[must_use]
    pub const fn suppress_ms(&self) -> i64 {
        self.settings.suppress_ms
    }

    /// What happened since the start.
    #[must_use]
    pub fn counters(&self) -> Tally {
        self.counters.now()
    }

    /// How many deliveries wait or are under way.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.queue.lock().len()
    }

    fn begin(&self) -> (MutexGuard<'_, ()>, Work<'_>) {
        (self.changing.lock(), Work::new(&*self.metadata))
    }

    /// Writes everything, then counts it and lets it be delivered.
    fn commit(&self, mut work: Work<'_>) -> Result<()> {
        let numbered = self.number(&mut work)?;
        let tally = work.tally;
        let (changes, outgoing) = work.into_changes();
        if changes.is_empty() {
            self.counters.add(tally);
            return Ok(());
        }
        self.metadata.commit(&changes).inspect_err(|_| self.not_numbered())?;
        self.numbered(numbered);
        self.counters.add(tally);
        if !outgoing.is_empty() {
            let mut queue = self.queue.lock();
            for (tenant, delivery) in &outgoing {
                queue.add(&delivery.address.destination(), delivery.next_attempt_ms, tenant, &delivery.id);
            }
            drop(queue);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Whether there is room for messages that wait for delivery.
    fn has_room(&self, work: &Work<'_>) -> bool {
        self.outbox_len() + work.outgoing.len() < OUTBOX_ROWS
    }

    fn terms(&self, tenant: &TenantId, rule: &RuleId, version: u32) -> Result<Terms> {
        let terms = self.directory.terms(tenant, rule, version).map_err(|reason| Error::Directory {
            what: format!("rule {}", rule.0),
            tenant: tenant.to_string(),
            reason,
        })?;
        Ok(terms.unwrap_or_else(|| Terms::of(rule)))
    }

    fn facts(&self, tenant: &TenantId, device: &DeviceId) -> Result<Facts> {
        self.directory.facts(tenant, device).map_err(|reason| Error::Directory {
            what: format!("device {device}"),
            tenant: tenant.to_string(),
            reason,
        })
    }

    /// The people, lists and mutes of a tenant. Called with `changing` held: what was read before a change must not be kept after it.
    fn audience(&self, tenant: &TenantId) -> Result<Arc<Audience>> {
        if let Some(known) = self.audiences.lock().get(tenant) {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(Audience::read(&*self.metadata, tenant)?);
        let mut audiences = self.audiences.lock();
        if audiences.len() >= AUDIENCES {
            audiences.clear();
        }
        audiences.insert(tenant.clone(), Arc::clone(&read));
        Ok(read)
    }
}
