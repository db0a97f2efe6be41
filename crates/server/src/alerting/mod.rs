//! Rules and alerts of a node: what keeps them, what evaluates, what tells people; started and stopped together.

mod directory;
mod publish;
mod table;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use alert::{Alerts, Channels, Courier, Directory, Evaluating, Gauge, Past, Rules};
use log::{EmbeddedLog, Log as _, Topic};
use metadata::Metadata;
use record::Timestamp;
use registry::Devices;
use stream::Monitor;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::stores::Store;
use crate::{Config, StartError};
use directory::Known;
use publish::Publisher;

pub(crate) use table::Shown;

/// How often deadlines are looked at: groups, digests, escalations.
const TICK_EVERY: Duration = Duration::from_secs(1);
/// How often alerts that are over and old are removed.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// How often time is let pass for rules: how late it is told that a device is silent.
const RULES_TICK_EVERY: Duration = Duration::from_millis(250);
/// How often the state of rules is made durable: what a start does again at most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

/// Rules and alerts, kept. On every node that asks or administers.
#[derive(Clone)]
pub(crate) struct Alerting {
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) channels: Arc<Channels>,
    directory: Arc<dyn Directory>,
    /// How rules are evaluated, live and tried over history.
    settings: rule::Settings,
}

/// Evaluation and delivery at work. On the node that has the stream.
pub(crate) struct Working {
    evaluating: Evaluating,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Alerting {
    /// Over the metadata. Blocks.
    pub(crate) fn open(
        config: &Config,
        metadata: &Arc<dyn Metadata>,
        devices: &Arc<Devices>,
        log: &Arc<EmbeddedLog>,
    ) -> Result<Self, StartError> {
        let rules = Arc::new(Rules::open(Arc::clone(metadata))?);
        let known: Arc<dyn Directory> =
            Arc::new(Known { rules: Arc::clone(&rules), devices: Arc::clone(devices) });
        let alerts = Alerts::open(Arc::clone(metadata), Arc::clone(&known), config.alert.clone())?;
        let publisher = Arc::new(Publisher { log: log.clone() });
        let channels = Arc::new(Channels::new(&config.alert, Some(publisher)));
        let allowed_lateness = rule::Duration::from_nanos(config.stream.allowed_lateness_nanos);
        let detectors = alert::detectors(&config.alert)?;
        let settings = rule::Settings { allowed_lateness, detectors, ..rule::Settings::default() };
        Ok(Self { alerts: Arc::new(alerts), rules, channels, directory: known, settings })
    }

    /// As the API sees it.
    pub(crate) fn for_api(&self) -> api::Alerting {
        api::Alerting {
            alerts: Arc::clone(&self.alerts),
            rules: Arc::clone(&self.rules),
            channels: Arc::clone(&self.channels),
            directory: Arc::clone(&self.directory),
            settings: self.settings.clone(),
        }
    }

    /// Starts evaluation and delivery. Blocks; must be called within a tokio runtime.
    pub(crate) fn start(
        &self,
        config: &Config,
        log: &Arc<EmbeddedLog>,
        store: Arc<dyn Store>,
        stream: Monitor,
    ) -> Result<Working, StartError> {
        let (of_raw, of_clean) = (log.partitions(Topic::Raw), log.partitions(Topic::Clean));
        // A partition of the clean topic has the messages of one of the raw topic, or of several.
        let settled = move |clean: u16, now: Timestamp| {
            let of = (clean..of_raw).step_by(usize::from(of_clean.max(1)));
            of.map(|raw| stream.settled(raw, now)).min().unwrap_or(now)
        };
        let evaluating = alert::start(alert::Parts {
            log: log.clone(),
            alerts: Arc::clone(&self.alerts),
            rules: Arc::clone(&self.rules),
            routes: Arc::new(publish::Routes {
                publisher: Publisher { log: log.clone() },
                alerts: Arc::clone(&self.alerts),
            }),
            past: self.past(store),
            settings: self.settings.clone(),
            folder: config.data_dir.join("rules"),
            settled: Arc::new(settled),
            clock: Arc::new(Timestamp::now),
            tick_every: RULES_TICK_EVERY,
            checkpoint_every: CHECKPOINT_EVERY,
        })?;
        let (stop, stopped) = watch::channel(false);
        let courier = Courier::new(
            Arc::clone(&self.alerts),
            Arc::clone(&self.channels),
            Arc::new(Timestamp::now),
            Arc::new(chance),
        );
        let tasks = vec![
            tokio::spawn(courier.run(until(stopped.clone()))),
            tokio::spawn(tick(Arc::clone(&self.alerts), stopped.clone())),
            tokio::spawn(topic::publish(Arc::clone(&self.alerts), log.clone(), stopped.clone())),
            tokio::spawn(forget(Arc::clone(&self.alerts), stopped)),
        ];
        Ok(Working { evaluating, stop, tasks })
    }
}

impl Alerting {
    /// What was stored, for windows that are new.
    fn past(&self, store: Arc<dyn Store>) -> Past {
        let positions = Arc::clone(&store);
        Past {
            store,
            positions: Arc::new(move || positions.positions()),
            directory: Arc::clone(&self.directory),
        }
    }
}

impl Working {
    pub(crate) fn gauge(&self) -> Gauge {
        self.evaluating.gauge()
    }

    /// Finishes what is in hand. What waits for delivery is delivered after the next start.
    pub(crate) async fn shutdown(self) {
        self.evaluating.shutdown().await;
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "alerting did not end cleanly");
            }
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Lets time pass for alerts.
async fn tick(alerts: Arc<Alerts>, stopped: watch::Receiver<bool>) {
    let mut more = false;
    let mut stopping = std::pin::pin!(until(stopped));
    loop {
        let pause = if more { Duration::ZERO } else { TICK_EVERY };
        tokio::select! {
            () = &mut stopping => return,
            () = tokio::time::sleep(pause) => {}
        }
        let ticking = Arc::clone(&alerts);
        let ticked = tokio::task::spawn_blocking(move || ticking.tick(Timestamp::now())).await;
        more = match ticked {
            Ok(Ok(ticked)) => ticked.more,
            Ok(Err(error)) => {
                tracing::error!(%error, "deadlines of alerts cannot be looked at; trying again");
                false
            }
            Err(error) => {
                tracing::error!(%error, "deadlines of alerts ended in a panic");
                false
            }
        };
    }
}

/// Removes what is older than it is to be kept.
async fn forget(alerts: Arc<Alerts>, stopped: watch::Receiver<bool>) {
    let mut stopping = std::pin::pin!(until(stopped));
    loop {
        tokio::select! {
            () = &mut stopping => return,
            () = tokio::time::sleep(FORGET_EVERY) => {}
        }
        let forgetting = Arc::clone(&alerts);
        let forgotten = tokio::task::spawn_blocking(move || {
            for tenant in forgetting.tenants()? {
                while forgetting.forget(&tenant, Timestamp::now())? > 0 {}
            }
            Ok::<_, alert::Error>(())
        });
        match forgotten.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "old alerts cannot be removed; trying again in an hour")
            }
            Err(error) => tracing::error!(%error, "removing old alerts ended in a panic"),
        }
    }
}

/// For the pauses between attempts: whoever failed together should not come back together.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness everybody waits for half of the pause.
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
