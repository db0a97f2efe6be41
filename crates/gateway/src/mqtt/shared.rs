//! What all workers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use record::Timestamp;
use registry::{Authenticator, Identity, Presented, Refusal};
use tokio::sync::mpsc::UnboundedSender;
use wire::mqtt::session;

use super::route::Rules;
use crate::Config;
use crate::admission::Gate;
use crate::dispatch::{Command, SessionKey, ToWorker, WorkerPort};
use crate::metrics::Metrics;
use crate::topics::{FullTenants, Subscriptions};

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) session_limits: session::Limits,
    pub(crate) log: Arc<dyn log::Log>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) subscriptions: Arc<Subscriptions<SessionKey>>,
    pub(crate) full_tenants: FullTenants,
    /// Replaced as a whole when the configuration is read again.
    pub(crate) rules: ArcSwap<Rules>,
    pub(crate) authenticator: Arc<Authenticator>,
    /// The identity of everybody in open mode, shared.
    pub(crate) anyone: Arc<Identity>,
    pub(crate) commands: UnboundedSender<Command>,
    pub(crate) ports: Box<[WorkerPort]>,
    /// Bytes of QoS 0 messages on their way to the dispatcher.
    pub(crate) direct: Gauge,
    /// Bytes handed to the log and not yet durable, of all workers.
    pub(crate) in_flight: Gauge,
    /// Who may come in.
    pub(crate) gate: Arc<Gate>,
    /// Clients that are being told to come back later.
    pub(crate) told_busy: AtomicUsize,
    pub(crate) shutting_down: AtomicBool,
    pub(crate) assigned: AtomicU64,
    pub(crate) started_at: Timestamp,
}

/// An amount that several threads raise and lower.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicUsize);

impl Gauge {
    /// Adds unless it would pass `limit` and something is there already: one large thing alone always fits.
    pub(crate) fn try_add(&self, n: usize, limit: usize) -> bool {
        let before = self.0.fetch_add(n, Ordering::Relaxed);
        if before > 0 && before + n > limit {
            self.sub(n);
            return false;
        }
        true
    }

    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: usize) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Tells the dispatcher. It outlives the workers; when it is gone all the same, so is everything.
    pub(crate) fn command(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::debug!("the dispatcher has stopped");
        }
    }

    /// Tells a worker.
    pub(crate) fn to_worker(&self, index: usize, order: ToWorker) {
        self.ports[index].send(order);
    }

    /// The way to a worker.
    pub(crate) fn port(&self, index: u16) -> WorkerPort {
        self.ports[usize::from(index)].clone()
    }

    /// Whether so much waits for the log that what may be shed is shed.
    pub(crate) fn is_crowded(&self) -> bool {
        self.in_flight.get() > self.config.limits.in_flight_bytes / 2
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Relaxed)
    }

    pub(crate) fn authenticate(
        &self,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<Arc<Identity>, Refusal> {
        let identity = self.authenticator.authenticate(presented, now)?;
        if identity.method == registry::Method::Open {
            return Ok(Arc::clone(&self.anyone));
        }
        Ok(Arc::new(identity))
    }

    /// A client id that no other client has (MQTT-3.1.3-6): the identity's own name before it, where it has one,
    /// because it may use no other.
    pub(crate) fn assign_client_id(&self, identity: &Identity) -> String {
        let number = self.assigned.fetch_add(1, Ordering::Relaxed);
        let start = self.started_at.nanos();
        match &identity.client_id {
            registry::ClientIdRule::Any => format!("auto-{start:x}-{number:x}"),
            registry::ClientIdRule::Own(name) => format!("{name}/auto-{start:x}-{number:x}"),
        }
    }
}
