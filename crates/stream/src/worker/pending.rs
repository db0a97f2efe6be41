//! A turn is computed while the one before it is written: the pipelines have one processor, the store another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Lane;

use super::{Flow, Next, Worker, outcome_of};
use crate::answers::Unanswered;
use crate::engine::{Engine, Turn};
use crate::underway::Underway;

/// A live turn may take this part of what its readings have waited for it,
const SHARE_OF_WAIT: u32 = 10;
/// and so much at most.
const LONGEST_LIVE: Duration = Duration::from_millis(200);

/// What a turn is for, and how large it is.
pub(super) enum Errand {
    /// Live records, and when the newest of each partition arrived, by the log's clock.
    Live {
        bytes: usize,
        arrived_ms: Vec<(u16, i64)>,
    },
    /// Records of history.
    History {
        bytes: usize,
    },
    /// Windows to be computed again, so many at most.
    Revisions {
        most: usize,
    },
    Other(Lane),
}

/// A turn that is computed and not in the store yet.
pub(super) struct Pending {
    errand: Errand,
    turn: Turn,
    computed_in: Duration,
    underway: Arc<Underway>,
}

impl Errand {
    fn lane(&self) -> Lane {
        match *self {
            Self::Live { .. } => Lane::Live,
            Self::History { .. } | Self::Revisions { .. } => Lane::Backfill,
            Self::Other(lane) => lane,
        }
    }
}

impl Worker {
    /// Computes a turn on a thread that may block, and meanwhile commits the one before it.
    pub(super) async fn turn(
        &mut self,
        errand: Errand,
        compute: impl FnOnce(&mut Engine) -> Result<Option<Turn>, Unanswered> + Send + 'static,
    ) -> Flow {
        let mut engine = self.engine.take().expect("the engine is here between two turns");
        let job = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let turn = compute(&mut engine);
            (engine, turn, began.elapsed())
        });
        let flow = self.settle().await;
        let Some((engine, turn, computed_in)) = outcome_of(job).await else { return Flow::Stop };
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
        self.pending = Some(Pending { errand, turn, computed_in, underway });
        self.engine = Some(engine);
        if teaches { self.settle().await } else { Flow::On }
    }

    /// Commits the turn that is computed, if one is. Where that cannot be done the state is thrown away.
    pub(super) async fn settle(&mut self) -> Flow {
        let Some(Pending { errand, turn, computed_in, underway }) = self.pending.take() else {
            return Flow::On;
        };
        let began = Instant::now();
        self.synced_in = Duration::ZERO;
        let flow = self.commit(errand.lane(), &turn).await;
        underway.end(flow == Flow::On);
        match flow {
            // However small a turn is, the log's sync takes as long: turns that were sized by it would be small where they should be
            // large.
            Flow::On => self.done(errand, computed_in + began.elapsed().saturating_sub(self.synced_in)),
            _ => self.engine = None,
        }
        flow
    }

    /// How long a live turn may take: what has waited long anyway may wait a little for a longer one, which costs less for each
    /// reading.
    fn live_may_take(&self, arrived_ms: &[(u16, i64)]) -> Duration {
        let newest = arrived_ms.iter().map(|&(_, arrived_ms)| arrived_ms).max();
        let Some(newest) = newest.filter(|_| self.purpose.writes_to_log()) else { return Duration::ZERO };
        let waited_ms = self.parts.clock.as_ref()().millis().saturating_sub(newest);
        (Duration::from_millis(waited_ms.try_into().unwrap_or(0)) / SHARE_OF_WAIT).min(LONGEST_LIVE)
    }

    /// A turn is stored: the next one of its kind is sized by how long it took.
    fn done(&mut self, errand: Errand, took: Duration) {
        match errand {
            Errand::Live { bytes, arrived_ms } => {
                let may_take = self.live_may_take(&arrived_ms);
                self.shared.arrived(arrived_ms);
                self.live_read = Some((Instant::now(), took));
                self.live_bite.took(bytes, took, may_take);
            }
            Errand::History { bytes } => {
                self.backfill_bite.took(bytes, took, self.history_may_take());
                self.rest(took);
            }
            Errand::Revisions { most } => {
                self.revisions_bite.took(most, took, self.history_may_take());
                self.rest(took);
            }
            Errand::Other(_) => {}
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
