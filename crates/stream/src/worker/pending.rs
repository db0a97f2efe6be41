//! A turn is computed while the one before it is written: the pipelines have one processor, the store another.

use std::sync::Arc;

use log::Lane;

use super::{Flow, Next, Worker, outcome_of};
use crate::answers::Unanswered;
use crate::engine::{Engine, Turn};
use crate::underway::Underway;

/// A turn that is computed and not in the store yet.
pub(super) struct Pending {
    lane: Lane,
    turn: Turn,
    /// When the newest live record of each partition in it arrived, by the log's clock, milliseconds.
    arrived_ms: Vec<(u16, i64)>,
    underway: Arc<Underway>,
}

impl Worker {
    /// Computes a turn on a thread that may block, and meanwhile commits the one before it.
    pub(super) async fn turn(
        &mut self,
        lane: Lane,
        compute: impl FnOnce(&mut Engine) -> Result<Option<Turn>, Unanswered> + Send + 'static,
    ) -> Flow {
        let mut engine = self.engine.take().expect("the engine is here between two turns");
        let job = tokio::task::spawn_blocking(move || {
            let turn = compute(&mut engine);
            (engine, turn)
        });
        let flow = self.settle().await;
        let Some((engine, turn)) = outcome_of(job).await else { return Flow::Stop };
        if flow != Flow::On {
            // The turn before is not stored, so what went on from it is not kept either.
            return flow;
        }
        let turn = match turn {
            Ok(Some(turn)) => turn,
            Ok(None) => {
                self.engine = Some(engine);
                return Flow::On;
            }
            // The state went half-way: it is not kept.
            Err(Unanswered::Stopping) => return Flow::Stop,
            Err(error @ (Unanswered::Mismatch(_) | Unanswered::GivenUp)) => {
                tracing::error!(%error, "a turn broke off; the state is built again");
                return Flow::Rebuild;
            }
        };
        // The next turn enriches with what this one learned.
        let teaches = !turn.news.is_empty();
        engine.underway.begin();
        let underway = Arc::clone(&engine.underway);
        self.pending = Some(Pending { lane, turn, arrived_ms: Vec::new(), underway });
        self.engine = Some(engine);
        if teaches { self.settle().await } else { Flow::On }
    }

    /// Commits the turn that is computed, if one is. Where that cannot be done the state is thrown away.
    pub(super) async fn settle(&mut self) -> Flow {
        let Some(Pending { lane, turn, arrived_ms, underway }) = self.pending.take() else { return Flow::On };
        let flow = self.commit(lane, &turn).await;
        underway.end(flow == Flow::On);
        match flow {
            Flow::On => self.shared.arrived(arrived_ms),
            _ => self.engine = None,
        }
        flow
    }

    /// Live records up to these arrivals are done once the turn in hand is stored.
    pub(super) fn arrived(&mut self, newest_ms: Vec<(u16, i64)>) {
        match &mut self.pending {
            Some(pending) => pending.arrived_ms = newest_ms,
            None => self.shared.arrived(newest_ms),
        }
    }

    /// What is next. Where nothing is there at once, the turn in hand is committed instead of waiting for more.
    pub(super) async fn next_or_settle(&mut self) -> Next {
        if self.pending.is_none() {
            return self.next().await;
        }
        let at_once = tokio::select! {
            biased;
            next = self.next() => Some(next),
            () = std::future::ready(()) => None,
        };
        match at_once {
            Some(next) => next,
            None => Next::Settled(self.settle().await),
        }
    }
}
