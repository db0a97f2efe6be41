//! Rules are evaluated: a reader of its own of the clean topic (R3.4), beside the store's.
//!
//! Each partition has an evaluator. What comes of a chunk is taken by the book in one commit, which knows a cause by its time: so what a
//! crash has given again changes nothing. State goes into a checkpoint now and then (`docs/formats/rules-checkpoint.md`); after a start it is read on from
//! there, and what the book has open is open.

mod checkpoint;
mod fill;
mod fleet;
mod partition;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use log::{Log, Position};
use parking_lot::Mutex;
use record::Timestamp;
use tokio::sync::watch;

use crate::{Alerts, Rules};
pub use fill::Past;
use worker::Worker;

/// The reader's name in the log.
pub const READER: &str = "rules";
/// The name of its thread.
const THREAD: &str = "rules";

/// Up to which time of the server's clock all live messages of a partition of `iot-telemetry-raw` have gone through the stream, given
/// what time it is.
pub type Settled = Arc<dyn Fn(u16, Timestamp) -> Timestamp + Send + Sync>;

/// Takes readings for which the condition of a routing rule holds. Called by the worker, which waits for it.
#[async_trait]
pub trait Routes: Send + Sync + 'static {
    /// Passes them on, at least once.
    ///
    /// # Errors
    /// Why not, in words; they are given again.
    async fn pass_on(&self, routed: &[rule::Routed]) -> std::result::Result<(), String>;
}

/// What evaluation stands on.
#[derive(Clone)]
pub struct Parts {
    /// Where clean readings are.
    pub log: Arc<dyn Log>,
    /// Who takes what comes of them.
    pub alerts: Arc<Alerts>,
    /// What is evaluated.
    pub rules: Arc<Rules>,
    /// Where readings of routing rules go.
    pub routes: Arc<dyn Routes>,
    /// How.
    pub settings: rule::Settings,
    /// Where what was stored is asked for, for windows that are new.
    pub past: Past,
    /// The folder of the checkpoints.
    pub folder: PathBuf,
    /// How far the stream is.
    pub settled: Settled,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How often time is let pass: how late at most it is told that a device is silent.
    pub tick_every: Duration,
    /// How often state is made durable: what a start after a crash does again at most.
    pub checkpoint_every: Duration,
}

/// What was done since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    records: AtomicU64,
    readings: AtomicU64,
    unreadable: AtomicU64,
    lost: AtomicU64,
    transitions: AtomicU64,
    routed: AtomicU64,
    filled: AtomicU64,
    evaluated_nanos: AtomicU64,
    retries: AtomicU64,
    devices: AtomicU64,
    /// Where the reader stands, as of the last tick.
    positions: Mutex<Vec<Position>>,
}

/// What was done since the start, for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Clean records taken.
    pub records: u64,
    /// Readings in them.
    pub readings: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Records that the log lost before they were evaluated.
    pub lost: u64,
    /// Conditions that began or ended.
    pub transitions: u64,
    /// Readings passed on by routing rules.
    pub routed: u64,
    /// Devices whose windows were filled with what was stored.
    pub filled: u64,
    /// Time that evaluation took.
    pub evaluated: Duration,
    /// Attempts of the book to take something that failed and were tried again.
    pub retries: u64,
    /// Devices whose state is remembered, as of the last checkpoint.
    pub devices: u64,
}

impl Counts {
    fn figures(&self) -> Figures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Figures {
            records: of(&self.records),
            readings: of(&self.readings),
            unreadable: of(&self.unreadable),
            lost: of(&self.lost),
            transitions: of(&self.transitions),
            routed: of(&self.routed),
            filled: of(&self.filled),
            evaluated: Duration::from_nanos(of(&self.evaluated_nanos)),
            retries: of(&self.retries),
            devices: of(&self.devices),
        }
    }
}

/// Evaluation at work.
pub struct Evaluating {
    thread: std::thread::JoinHandle<()>,
    stop: watch::Sender<bool>,
    counts: Arc<Counts>,
}

/// Shows what evaluation does.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Counts>);

impl Gauge {
    /// What was done since the start.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.figures()
    }

    /// Where the reader stood a moment ago.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        self.0.positions.lock().clone()
    }
}

/// Starts evaluation on a thread of its own: from where it stood, or, the first time, from what comes now. Must be called within a tokio
/// runtime. Blocks.
///
/// # Errors
/// [`crate::Error::Checkpoint`], [`crate::Error::Log`], [`crate::Error::Metadata`], [`crate::Error::Row`] of a position,
/// [`crate::Error::Thread`].
pub fn start(parts: Parts) -> crate::Result<Evaluating> {
    let (stop, stopped) = watch::channel(false);
    let counts = Arc::new(Counts::default());
    let worker = Worker::open(parts, Arc::clone(&counts), stopped)?;
    let runtime = tokio::runtime::Handle::current();
    let run = move || runtime.block_on(worker.run());
    let thread = std::thread::Builder::new().name(THREAD.to_owned()).spawn(run);
    let thread = thread.map_err(|error| crate::Error::Thread { name: THREAD, reason: error.to_string() })?;
    Ok(Evaluating { thread, stop, counts })
}

impl Evaluating {
    /// What can be handed to who shows metrics.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.counts))
    }

    /// Finishes the chunk in hand, writes the checkpoints and stops.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!(
                "the evaluation of rules did not end cleanly; it is done again from its checkpoint"
            );
        }
    }
}
