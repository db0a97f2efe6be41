//! From a configuration to a running node, and back.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{Access, Exporter, Health, NoAccess, Readiness};
use gateway::http::Ingest;
use gateway::{Offered, Readable};
use log::Log as _;
use record::Timestamp;
use registry::{Acl, Authenticator, RefusalKind};
use schema::Catalog;
use serde::Serialize;
use stream::Monitor;

use crate::alerting::Working;
use crate::backends::Backends;
use crate::config::Role;
use crate::datasets::{self, Datasets};
use crate::facts::Registered;
use crate::http::{Listener, Serving};
use crate::lock::DirLock;
use crate::{Config, figures, otlp, retention};

/// How long a stopping node waits for the store to hold everything in the log. What is left is durable in the
/// log and is read after the next start.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Why a node did not start. Nothing of it is left running.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used: {source}{}", .directory.display(), crate::lock::advice(.directory, .source))]
    DataDir {
        /// Which.
        directory: PathBuf,
        /// The system's words.
        source: Arc<io::Error>,
    },
    /// Another process has the data directory.
    #[error(
        "the data directory {} is in use by process {process}: stop it, or name another with --data",
        .directory.display()
    )]
    InUse {
        /// Which.
        directory: PathBuf,
        /// Whose, as it wrote down itself.
        process: String,
    },
    /// The data directory holds a store of another kind than the configuration says.
    #[error(
        "{} is a store of kind {kind:?}, the configuration says another: set [series] kind = {kind:?} to go on with it, or move it \
         away to begin with an empty store, into which what the log still has is stored again",
        .place.display()
    )]
    OtherStore {
        /// Where.
        place: PathBuf,
        /// Of which kind.
        kind: &'static str,
    },
    /// A restore of the store did not come to its end.
    #[error(
        "{} is a store that `penstock cold restore` has not finished: run it again, or remove the folder to begin with an empty store",
        .place.display()
    )]
    Unfinished {
        /// Where.
        place: PathBuf,
    },
    /// A port cannot be had.
    #[error(
        "cannot listen on {address} for {what}: {source}: stop who listens there, or set another address"
    )]
    Listen {
        /// What for.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The system's words.
        source: Arc<io::Error>,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// Rules or alerts.
    #[error(transparent)]
    Alerts(#[from] alert::Error),
    /// The metadata.
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] series::Error),
    /// The stream.
    #[error(transparent)]
    Stream(#[from] stream::Error),
    /// The schemas.
    #[error(transparent)]
    Schemas(#[from] schema::Error),
    /// Keys of token issuers.
    #[error(transparent)]
    Keys(#[from] registry::KeyError),
    /// SQL.
    #[error(transparent)]
    Query(#[from] query::Error),
    /// Topic patterns of the rules.
    #[error(transparent)]
    Patterns(#[from] registry::PatternError),
    /// The gateway.
    #[error("the gateway: {0}")]
    Gateway(Arc<gateway::Error>),
}

/// Where a node listens, with the ports the system chose for port 0.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// Plain MQTT.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtt_tls: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
    /// The PostgreSQL wire.
    pub pgwire: Option<SocketAddr>,
}

/// A node at work.
pub struct Running {
    addresses: Addresses,
    health: Health,
    authenticator: Arc<Authenticator>,
    http: Serving,
    pgwire: Option<pgwire::Serving>,
    gateway: Option<gateway::Running>,
    stream: Option<stream::Running>,
    datasets: Option<Datasets>,
    alerting: Option<Working>,
    retention: Option<tokio::task::JoinHandle<()>>,
    _telling: Option<otlp::Telling>,
    backends: Backends,
    _lock: DirLock,
}

/// Starts a node; it is ready when this returns.
///
/// # Errors
/// [`StartError`] says what could not be had and what to do.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let lock = DirLock::take(&config.data_dir)?;
    let health = Health::default();
    let mut exporter = Exporter::default();
    figures::process(&mut exporter, health.clone());
    figures::disk(&mut exporter, config.data_dir.clone());

    let opening = config.clone();
    let backends = tokio::task::spawn_blocking(move || Backends::open(&opening)).await;
    let backends = backends.expect("opening does not panic and is not cancelled")?;
    let asked = backends.log.clone();
    health.ask(Box::new(move || asked.stats().trouble));
    let authenticator = Arc::new(Authenticator::open(config.auth.clone(), Arc::clone(&backends.metadata))?);
    let catalog = Arc::new(Catalog::open(Arc::clone(&backends.metadata))?);
    let acl = Arc::new(Acl::new(&config.auth, config.templates.texts())?);
    if config.auth.is_open() {
        tracing::warn!(
            "auth.mode is \"open\": anyone who reaches the listeners may send and read everything; \
             set [auth] mode = \"required\" before others can reach them"
        );
    }
    // Bound before anything runs, so that a taken port leaves nothing behind to stop.
    let listener = Listener::open(config.http).await?;
    let pgwire = open_pgwire(&config).await?;

    let store = backends.store.clone().zip(backends.engine.clone()).filter(|_| config.has(Role::Stream));
    let mut stored = None;
    let (stream, datasets) = match store {
        Some((store, engine)) => {
            let mut writer = backends.watched(store.clone());
            if config.otlp.is_some() {
                let (telling, told) = otlp::stored(writer);
                (writer, stored) = (telling, Some(told));
            }
            let running = stream::start(stream::Parts {
                log: backends.log.clone(),
                reader: store.clone(),
                store: writer,
                templates: Arc::new(config.templates.clone()),
                settings: Arc::new(config.stream.clone()),
                facts: Some(Arc::new(Registered {
                    devices: Arc::clone(&backends.devices),
                    rules: Arc::clone(&backends.alerting.rules),
                })),
                checkpoints: Some(config.data_dir.join("stream")),
                clock: Arc::new(Timestamp::now),
            })
            .await?;
            figures::stream(&mut exporter, running.monitor().clone());
            let datasets = match open_datasets(&config, &backends, engine, running.monitor().clone()).await {
                Ok(datasets) => datasets,
                Err(error) => {
                    running.shutdown().await;
                    return Err(error);
                }
            };
            (Some(running), Some(datasets))
        }
        None => (None, None),
    };
    let alerting = match &stream {
        Some(running) => match start_alerting(&config, &backends, running.monitor().clone()).await {
            Ok(working) => {
                let (alerts, log) = (Arc::clone(&backends.alerting.alerts), backends.log.clone());
                figures::alerting(&mut exporter, alerts, working.gauge(), log);
                Some(working)
            }
            Err(error) => {
                stop_stream(datasets, None, stream).await;
                return Err(error);
            }
        },
        None => None,
    };
    let in_force = schema::Schemas::new(catalog, config.schemas.clone());
    let schemas = explain(in_force.clone());
    let ingest = config.has(Role::Gateway).then(|| {
        Ingest::new(gateway::http::Parts {
            log: backends.log.clone(),
            authenticator: Arc::clone(&authenticator),
            acl: Arc::clone(&acl),
            limits: gateway::http::Limits::default(),
            backfill_after: config.gateway.backfill_after,
            schemas: schemas.clone(),
            clock: Arc::new(Timestamp::now),
        })
    });
    let gateway = if config.has(Role::Gateway) {
        let parts = gateway::Parts::new(backends.log.clone(), Arc::clone(&backends.metadata))
            .with_authenticator(Arc::clone(&authenticator))
            .with_schemas(schemas);
        match gateway::Gateway::start(config.gateway.clone(), parts).await {
            Ok(running) => Some(running),
            Err(error) => {
                stop_stream(datasets, alerting, stream).await;
                return Err(StartError::Gateway(Arc::new(error)));
            }
        }
    } else {
        None
    };

    figures::log(&mut exporter, backends.log.clone());
    if let Some(gateway) = &gateway {
        figures::gateway(&mut exporter, gateway.metrics());
    }
    if let Some(ingest) = &ingest {
        figures::ingest(&mut exporter, Arc::clone(ingest));
    }
    if let Some(store) = backends.store.clone().filter(|_| config.has(Role::Stream)) {
        figures::books(&mut exporter, store);
    }
    if let Some(cache) = backends.cache.clone() {
        figures::cache(&mut exporter, cache);
    }
    if let Some(cold) = backends.cold.clone() {
        figures::cold(&mut exporter, cold);
    }
    if let Some(exports) = backends.exports.clone() {
        figures::exports(&mut exporter, exports);
    }
    let unremoved = retention::Failures::default();
    if config.has(Role::Stream) {
        figures::retention(&mut exporter, Arc::clone(&unremoved));
    }
    let exporter = Arc::new(exporter);
    let mut router = api::router(api::Parts {
        query: backends.query(&config),
        log: backends.log.clone(),
        templates: Arc::new(config.templates.clone()),
        budget: budget(Arc::clone(&config.stream.budget)),
        health: health.clone(),
        exporter: Arc::clone(&exporter),
        schemas: config.has(Role::Control).then_some(in_force),
        access: access(Arc::clone(&authenticator), Arc::clone(&acl)),
        datasets: datasets.clone().map(|datasets| Arc::new(datasets) as Arc<dyn api::Datasets>),
        devices: Arc::clone(&backends.devices),
        removes: backends.removes(),
        tail: backends.tail.clone(),
        alerting: config.has(Role::Control).then(|| backends.alerting.for_api()),
        registers: config.has(Role::Control),
    });
    if let Some(ingest) = ingest {
        router = router.merge(gateway::http::routes(ingest));
    }
    let pgwire_at = pgwire.as_ref().map(pgwire::Listener::address);
    let pgwire = match (pgwire, backends.engine.clone()) {
        (Some(listener), Some(engine)) => Some(listener.serve(pgwire::Parts {
            engine,
            limits: query::Limits::default(),
            access: asking(Arc::clone(&authenticator), Arc::clone(&acl)),
        })?),
        _ => None,
    };
    let at = gateway.as_ref().map(gateway::Running::local_addrs).unwrap_or_default();
    let addresses = Addresses {
        http: listener.address,
        mqtt: at.mqtt,
        mqtt_tls: at.mqtt_tls,
        websocket: at.websocket,
        pgwire: pgwire_at,
    };
    let http = listener.serve(router);
    health.set(Readiness::Ready);
    let retention = backends.removes().filter(|_| config.has(Role::Stream));
    let retention = retention.and_then(|store| retention::start(&config.keep, store, unremoved));
    let telling = config
        .otlp
        .map(|settings| otlp::start(otlp::Parts { settings, exporter, log: backends.log.clone(), stored }));
    Ok(Running {
        addresses,
        health,
        authenticator,
        http,
        pgwire,
        gateway,
        stream,
        datasets,
        alerting,
        retention,
        _telling: telling,
        backends,
        _lock: lock,
    })
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Reads again what may change without a restart: keys of token issuers, certificates of the TLS listener.
    /// What cannot be read stays as it was.
    ///
    /// # Errors
    /// [`StartError`] names what could not be read.
    pub fn reload(&self) -> Result<(), StartError> {
        self.authenticator.reload()?;
        match &self.gateway {
            Some(gateway) => {
                gateway.reload_if_changed().map(|_| ()).map_err(|e| StartError::Gateway(Arc::new(e)))
            }
            None => Ok(()),
        }
    }

    /// Drains and stops: takes nothing new, sends the acknowledgements still due, lets the store catch up.
    pub async fn shutdown(self) {
        self.health.set(Readiness::Draining);
        self.http.shutdown().await;
        if let Some(retention) = self.retention {
            retention.abort();
        }
        if let Some(pgwire) = self.pgwire {
            pgwire.shutdown().await;
        }
        if let Some(gateway) = self.gateway
            && let Err(error) = gateway.shutdown().await
        {
            tracing::error!(%error, "the gateway did not stop cleanly; what it acknowledged is in the log");
        }
        if let Some(datasets) = self.datasets {
            datasets.shutdown().await;
        }
        if let Some(stream) = self.stream {
            if tokio::time::timeout(CATCH_UP, stream.caught_up()).await.is_err() {
                tracing::warn!("the store is behind the log; the rest is read after the next start");
            }
            stream.shutdown().await;
        }
        if let Some(alerting) = self.alerting {
            alerting.shutdown().await;
        }
        if let Err(error) = self.backends.log.close().await {
            tracing::error!(%error, "the log did not close cleanly; what was acknowledged is in it");
        }
    }
}

/// Starts the evaluation of rules and the delivery of alerts, which read files.
async fn start_alerting(
    config: &Config,
    backends: &Backends,
    stream: Monitor,
) -> Result<Working, StartError> {
    let (alerting, log, config) = (backends.alerting.clone(), backends.log.clone(), config.clone());
    let store = backends.store.clone().expect("the role of the stream opens the store");
    let started = tokio::task::spawn_blocking(move || alerting.start(&config, &log, store, stream)).await;
    started.expect("starting does not panic and is not cancelled")
}

/// Stops what was started before something could not be.
async fn stop_stream(datasets: Option<Datasets>, alerting: Option<Working>, stream: Option<stream::Running>) {
    if let Some(datasets) = datasets {
        datasets.shutdown().await;
    }
    if let Some(alerting) = alerting {
        alerting.shutdown().await;
    }
    if let Some(stream) = stream {
        stream.shutdown().await;
    }
}

/// The listener of the PostgreSQL wire, on a node that answers.
async fn open_pgwire(config: &Config) -> Result<Option<pgwire::Listener>, StartError> {
    let Some(address) = config.pgwire.filter(|_| config.has(Role::Query)) else { return Ok(None) };
    let failed = |source| StartError::Listen { what: "pgwire", address, source: Arc::new(source) };
    pgwire::Listener::open(address).await.map(Some).map_err(failed)
}

async fn open_datasets(
    config: &Config,
    backends: &Backends,
    engine: query::Engine,
    live: Monitor,
) -> Result<Datasets, StartError> {
    let directory = config.data_dir.join("datasets");
    let parts = datasets::Parts {
        directory: directory.clone(),
        kind: config.series,
        log: backends.log.clone(),
        templates: Arc::new(config.templates.clone()),
        engine,
        live,
    };
    let unusable = |source| StartError::DataDir { directory, source: Arc::new(source) };
    Datasets::open(parts).await.map_err(unusable)
}

/// The gateway's view of the schemas in force.
fn explain(schemas: schema::Schemas) -> gateway::Schemas {
    gateway::Schemas::new(move |offered, buffer| {
        let view = schemas.view();
        let Offered { tenant, topic, device_type, firmware, .. } = *offered;
        let facts = schema::Facts { tenant, topic, device_type, firmware };
        let sent = view.encoding(&facts, offered.payload).unwrap_or(offered.encoding);
        let plain = view.plain(&facts, sent, offered.payload, buffer);
        let schema::Plain { encoding, payload } = plain.map_err(|violation| violation.to_string())?;
        Ok(Readable { sent, encoding, payload })
    })
}

/// What tenants may have. A limit of 0 is none.
fn budget(budget: Arc<stream::budget::Budget>) -> api::Budget {
    Arc::new(move |tenant| {
        let limits = budget.limits(tenant);
        let limit = |most: u64| (most > 0).then_some(most);
        let refused = budget.used().into_iter().find(|(of, ..)| of == tenant).map(|(_, _, refused)| refused);
        let refused = refused.unwrap_or_default();
        api::Allowance {
            devices: limit(limits.devices),
            series: limit(limits.series),
            series_per_device: limit(limits.series_per_device),
            refused: series::Cardinality { devices: refused.devices, series: refused.series },
        }
    })
}

/// Who may ask over HTTP. Until people have keys of their own (R2.3), a credential that may read everything of
/// its tenant: one that may subscribe to `#`.
fn access(authenticator: Arc<Authenticator>, acl: Arc<Acl>) -> Access {
    Arc::new(move |headers| {
        let identity = gateway::http::identify(&authenticator, headers, None, None, Timestamp::now());
        let identity = identity.map_err(|refusal| match refusal.kind {
            RefusalKind::Unavailable => NoAccess::Unavailable,
            RefusalKind::Missing | RefusalKind::Credentials | RefusalKind::ClientId => NoAccess::Credentials,
        })?;
        acl.may_subscribe(&identity, "#").map_err(|_| NoAccess::Forbidden)?;
        Ok(identity.tenant)
    })
}

/// Who may ask over the PostgreSQL wire: the same credentials as over HTTP, the token as the password.
fn asking(authenticator: Arc<Authenticator>, acl: Arc<Acl>) -> pgwire::Access {
    Arc::new(move |shown| {
        let presented = match shown {
            Some((user, secret)) => registry::Presented {
                username: Some(user),
                secret: Some(secret.as_bytes()),
                ..registry::Presented::nothing()
            },
            None => registry::Presented::nothing(),
        };
        let identity = authenticator.authenticate(&presented, Timestamp::now());
        let identity = identity.map_err(|refusal| match refusal.kind {
            RefusalKind::Unavailable => pgwire::Denied::Unavailable,
            RefusalKind::Missing | RefusalKind::Credentials | RefusalKind::ClientId => {
                pgwire::Denied::Credentials
            }
        })?;
        acl.may_subscribe(&identity, "#").map_err(|_| pgwire::Denied::Forbidden)?;
        Ok(identity.tenant)
    })
}
