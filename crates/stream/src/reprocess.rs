//! A new version of the processing, tried over history before it goes live (R5.8): the same worker over the same log,
//! with other settings and a store of its own.
//!
//! A trial only reads the log: no dead letters, no late readings, no positions. It goes behind the installation's own
//! stream: bites are small, and before each it waits a moment for the stream to have nothing to read. Once it has reached its
//! end it lets time pass until every window is published. What stands in its store then is what a live stream with these
//! settings would have made of the same records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::stretch::{Purpose, Stretch};
use crate::worker::End;
use crate::{Counts, Error, Monitor, Parts, open};

/// A trial at work. Dropping it does not stop it.
pub struct Reprocessing {
    task: JoinHandle<End>,
    stopper: Stopper,
    gauge: Gauge,
}

/// Stops a trial.
#[derive(Clone)]
pub struct Stopper {
    stop: watch::Sender<bool>,
    stopping: Arc<AtomicBool>,
}

/// Shows how far a trial is.
#[derive(Clone)]
pub struct Gauge {
    monitor: Monitor,
    stretch: Arc<Stretch>,
}

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records of the log that are done.
    pub done: u64,
    /// Records there are to do.
    pub total: u64,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything is done and every window published.
    Complete,
    /// It was told to stop, or the log was closed; started again over the same store it goes on.
    Stopped,
    /// It cannot go on; why.
    Failed(String),
}

/// Starts a trial over a stretch of the log, or goes on with one whose store has part of it. `parts` names the store of
/// the trial and its folder of checkpoints, both its own; `live` is the stream that goes first. Must be called within a tokio
/// runtime.
///
/// # Errors
/// As [`crate::start`].
pub async fn reprocess(parts: Parts, stretch: Stretch, live: Option<Monitor>) -> Result<Reprocessing, Error> {
    let stretch = Arc::new(stretch);
    let purpose = Purpose::Trial { stretch: Arc::clone(&stretch), live };
    let crate::Running { task, stop, stopping, monitor } = open(parts, purpose).await?;
    Ok(Reprocessing { task, stopper: Stopper { stop, stopping }, gauge: Gauge { monitor, stretch } })
}

impl Reprocessing {
    /// What can be handed to who shows progress.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// What can be handed to who may stop it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for its end.
    pub async fn ended(self) -> Ended {
        match self.task.await {
            Ok(End::Complete) => Ended::Complete,
            Ok(End::Stopped) => Ended::Stopped,
            Ok(End::Failed(reason)) => Ended::Failed(reason),
            Err(error) if error.is_cancelled() => Ended::Stopped,
            Err(error) => Ended::Failed(error.to_string()),
        }
    }
}

impl Stopper {
    /// Tells the trial to finish the batch in hand and end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        self.stopping.store(true, Ordering::Relaxed);
    }
}

impl Gauge {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let total = self.stretch.records();
        Progress { done: self.stretch.before(&self.monitor.shared.positions()), total }
    }

    /// What it has done since it was started.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.monitor.counts()
    }
}
