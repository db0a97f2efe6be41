//! Starting and stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use record::Timestamp;
use registry::{Acl, AuthConfig, Authenticator, Identity};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle as Task;
use wire::mqtt::session;

use super::handshakes::Handshakes;
use super::listen::{self, Transport};
use super::pace::Pace;
use super::route::Rules;
use super::shared::{Gauge, Shared};
use super::worker::Worker;
use crate::Config;
use crate::admission::{self, Gate};
use crate::dispatch::{Command, Dispatcher, ToWorker, WorkerPort};
use crate::metrics::Metrics;
use crate::schemas::Schemas;
use crate::state;
use crate::tls::{self, Tls};
use crate::websocket;

/// What the gateway stands on.
#[derive(Clone)]
pub struct Parts {
    /// Where every message goes before it is acknowledged.
    pub log: Arc<dyn log::Log>,
    /// Where the checkpoint of sessions and retained messages is kept.
    pub metadata: Arc<dyn metadata::Metadata>,
    /// Who is let in; `None`: everybody, under the default tenant.
    pub authenticator: Option<Arc<Authenticator>>,
    /// What explains and checks payloads.
    pub schemas: Schemas,
}

impl Parts {
    /// Open mode: every client is let in, under the default tenant.
    #[must_use]
    pub fn new(log: Arc<dyn log::Log>, metadata: Arc<dyn metadata::Metadata>) -> Self {
        Self { log, metadata, authenticator: None, schemas: Schemas::default() }
    }

    /// With an authenticator.
    #[must_use]
    pub fn with_authenticator(mut self, authenticator: Arc<Authenticator>) -> Self {
        self.authenticator = Some(authenticator);
        self
    }

    /// With schemas.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Schemas) -> Self {
        self.schemas = schemas;
        self
    }
}

/// Why the gateway did not start, or not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread of the gateway: {0}")]
    Thread(std::io::Error),
    /// A thread ended with a panic; its message is in the log of the process.
    #[error("the gateway's {0} thread failed")]
    Failed(String),
    /// The topic templates or the rules over them are wrong.
    #[error("gateway.topics.templates: {0}")]
    Templates(String),
    /// The TLS listener's files are wrong.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Keys of the authenticator could not be read.
    #[error(transparent)]
    Keys(#[from] registry::KeyError),
    /// Sessions and retained messages could not be brought back.
    #[error(transparent)]
    Recover(#[from] state::Error),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The checkpoint could not be read or written.
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
}

/// Where the gateway listens, with the ports that the system chose for port 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    /// Plain MQTT.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtt_tls: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
}

/// Topic aliases a client may use: each keeps a topic in memory.
const TOPIC_ALIASES: u16 = 32;
/// Deliveries to a client that may be unacknowledged at once.
const OUTGOING_WINDOW: u16 = 1024;

/// The gateway, before it runs.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Recovers sessions and retained messages, opens the listeners and serves.
    ///
    /// # Errors
    /// [`Error`] says what could not be opened or read.
    pub async fn start(config: Config, parts: Parts) -> Result<Running, Error> {
        let rules = rules(&config, &parts)?;
        let authenticator = match parts.authenticator {
            Some(authenticator) => authenticator,
            None => Arc::new(Authenticator::open(open_policy()?, Arc::clone(&parts.metadata))?),
        };
        let mut addresses = Addresses::default();
        let mut listeners = Vec::new();
        if let Some(address) = config.mqtt {
            listeners.push((bind(address, &mut addresses.mqtt).await?, Transport::Tcp));
        }
        let mut tls = None;
        if let Some(settings) = &config.mqtt_tls {
            let opened = Arc::new(Tls::open(tls::Files::from(settings))?);
            tls = Some((opened, bind(settings.listen, &mut addresses.mqtt_tls).await?));
        }
        if let Some(address) = config.websocket {
            let message_bytes = config.limits.packet_bytes as usize;
            let settings = websocket::Settings { message_bytes, origins: Vec::new() };
            let listener = bind(address, &mut addresses.websocket).await?;
            listeners.push((listener, Transport::WebSocket(Arc::new(settings))));
        }
        let limits =
            state::Limits { queued_messages: config.limits.queued_messages, ..state::Limits::default() };
        let started_at = Timestamp::now();
        let recovered = state::recover(&*parts.log, &*parts.metadata, limits, started_at.millis()).await?;
        report(&recovered);
        let closings = recovered.closings(&*parts.log, started_at.millis());
        if !closings.is_empty()
            && let Err(error) = parts.log.append(closings).await
        {
            // A full disk must not keep the rest from working: the checkpoint will say it.
            tracing::warn!(%error, "the connections lost at the last stop could not be noted in the log");
        }
        let replayed = recovered.session_records + recovered.messages;
        let book = recovered.book;
        let (commands, command_inbox) = unbounded_channel();
        let (ports, inboxes): (Vec<_>, Vec<_>) = (0..config.workers)
            .map(|_| {
                let (port, inbox) = unbounded_channel();
                (WorkerPort(port), inbox)
            })
            .unzip();
        let shared = Arc::new(Shared {
            session_limits: session_limits(&config),
            metrics: Arc::new(Metrics::new(config.workers)),
            log: parts.log,
            subscriptions: Arc::clone(book.subscriptions()),
            full_tenants: book.retained().full_tenants(),
            rules: ArcSwap::from_pointee(rules),
            authenticator,
            anyone: Arc::new(Identity::open()),
            commands,
            ports: ports.into(),
            direct: Gauge::default(),
            in_flight: Gauge::default(),
            gate: Gate::new(admission::Limits {
                connects_per_s: config.limits.connects_per_s,
                burst: config.limits.connect_burst,
                connections: config.limits.connections,
                handshakes: config.limits.handshakes,
            }),
            told_busy: AtomicUsize::new(0),
            shutting_down: AtomicBool::new(false),
            assigned: AtomicU64::new(0),
            started_at,
            config,
        });
        let mut workers = Vec::new();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            workers.push(start_worker(index, Arc::clone(&shared), inbox)?);
        }
        let dispatcher = Dispatcher::new(Arc::clone(&shared), parts.metadata, book, replayed);
        let dispatcher = start_dispatcher(dispatcher, command_inbox)?;
        let mut handshakers = Vec::new();
        let tls = match tls {
            None => None,
            Some((tls, listener)) => {
                let handshakes = Handshakes::start(shared.config.workers, &tls, &shared)?;
                handshakers = handshakes.1;
                listeners.push((listener, Transport::Tls(handshakes.0)));
                Some(tls)
            }
        };
        let acceptors = listeners
            .into_iter()
            .map(|(listener, transport)| {
                tokio::spawn(listen::accept(listener, transport, Arc::clone(&shared)))
            })
            .collect();
        workers.extend(handshakers);
        Ok(Running { shared, addresses, tls, acceptors, workers, dispatcher: Some(dispatcher) })
    }
}

/// Says what came back, and what could not.
fn report(recovered: &state::Recovered) {
    let sessions = recovered.book.sessions().count();
    let retained = recovered.book.retained().len();
    let (records, messages) = (recovered.session_records, recovered.messages);
    tracing::info!(sessions, retained, records, messages, "sessions and retained messages recovered");
    let skipped = recovered.skipped;
    if skipped != state::Skipped::default() {
        tracing::error!(?skipped, "parts of the log were gone or unreadable; sessions may miss messages");
    }
}

fn open_policy() -> Result<registry::AuthPolicy, Error> {
    AuthConfig::default().validate().map_err(|e| Error::Templates(e.to_string()))
}

/// Opens a listener and notes where.
async fn bind(address: SocketAddr, at: &mut Option<SocketAddr>) -> Result<TcpListener, Error> {
    let opened = TcpListener::bind(address).await.and_then(|listener| {
        *at = Some(listener.local_addr()?);
        Ok(listener)
    });
    opened.map_err(|source| Error::Listen { address, source })
}

fn rules(config: &Config, parts: &Parts) -> Result<Rules, Error> {
    let templates = config.templates.clone();
    let open = open_policy()?;
    let policy = parts.authenticator.as_ref().map_or(&open, |a| a.policy());
    let acl = Acl::new(policy, templates.texts()).map_err(|e| Error::Templates(e.to_string()))?;
    Ok(Rules { templates, acl, backfill_after: config.backfill_after, schemas: parts.schemas.clone() })
}

fn session_limits(config: &Config) -> session::Limits {
    session::Limits {
        receive_maximum: config.limits.receive_maximum,
        packet_bytes: config.limits.packet_bytes,
        topic_alias_maximum: TOPIC_ALIASES,
        max_keep_alive_s: config.max_keep_alive_s,
        session_expiry_s: config.limits.session_expiry_s,
        outgoing_window: OUTGOING_WINDOW,
        outgoing_aliases: TOPIC_ALIASES,
        queued: config.limits.queued_messages,
    }
}

/// A runtime for one thread.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)
}

fn start_worker(
    index: usize,
    shared: Arc<Shared>,
    inbox: UnboundedReceiver<ToWorker>,
) -> Result<JoinHandle<()>, Error> {
    let pace = Arc::new(Pace::default());
    let idle = Arc::clone(&pace);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().on_thread_park(move || idle.idle()).build().map_err(Error::Thread)?;
    let number = u16::try_from(index).map_err(|e| Error::Thread(std::io::Error::other(e)))?;
    std::thread::Builder::new()
        .name(format!("mqtt-{index}"))
        .spawn(move || runtime.block_on(Worker::run(number, shared, pace, inbox)))
        .map_err(Error::Thread)
}

fn start_dispatcher(
    dispatcher: Dispatcher,
    inbox: UnboundedReceiver<Command>,
) -> Result<JoinHandle<Result<(), Error>>, Error> {
    let runtime = runtime()?;
    std::thread::Builder::new()
        .name("mqtt-dispatch".into())
        .spawn(move || runtime.block_on(dispatcher.run(inbox)))
        .map_err(Error::Thread)
}

/// The gateway, running. Dropping it without [`Running::shutdown`] closes the sockets without a word.
pub struct Running {
    shared: Arc<Shared>,
    addresses: Addresses,
    tls: Option<Arc<Tls>>,
    acceptors: Vec<Task<()>>,
    workers: Vec<JoinHandle<()>>,
    dispatcher: Option<JoinHandle<Result<(), Error>>>,
}

/// Longest wait for clients to take their last bytes.
const DRAIN: Duration = Duration::from_secs(10);

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn local_addrs(&self) -> Addresses {
        self.addresses
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.metrics)
    }

    /// Reads certificates and keys again where their files look different. Cheap enough for every few seconds;
    /// connections stay, and after an error all stays as it was.
    ///
    /// # Errors
    /// [`Error::Tls`] or [`Error::Keys`] names the file and the problem.
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        let tls = self.tls.as_ref().map_or(Ok(false), |tls| tls.reload_if_changed())?;
        let keys = self.shared.authenticator.reload_if_changed()?;
        Ok(tls || keys)
    }

    /// Stops: takes no new connections, sends the acknowledgements still due and a DISCONNECT (0x8B) to MQTT 5
    /// clients, writes the checkpoint.
    ///
    /// # Errors
    /// [`Error`] when the checkpoint could not be written; everything acknowledged is in the log all the same.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.shared.shutting_down.store(true, Ordering::Relaxed);
        for acceptor in self.acceptors.drain(..) {
            acceptor.abort();
        }
        for worker in 0..self.shared.config.workers {
            self.shared.to_worker(worker, ToWorker::Stop);
        }
        let workers = std::mem::take(&mut self.workers);
        let joined = tokio::task::spawn_blocking(move || {
            workers.into_iter().try_for_each(|worker| worker.join()).is_ok()
        });
        match tokio::time::timeout(DRAIN, joined).await {
            Ok(Ok(true)) => {}
            Ok(_) => return Err(Error::Failed("worker".into())),
            Err(_) => tracing::warn!("some clients did not take their last bytes in time"),
        }
        self.shared.command(Command::Stop);
        if let Some(dispatcher) = self.dispatcher.take() {
            let joined = tokio::task::spawn_blocking(move || dispatcher.join()).await;
            match joined {
                Ok(Ok(outcome)) => outcome?,
                _ => return Err(Error::Failed("dispatcher".into())),
            }
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for acceptor in self.acceptors.drain(..) {
            acceptor.abort();
        }
        for worker in 0..self.shared.config.workers {
            self.shared.to_worker(worker, ToWorker::Stop);
        }
    }
}
