//! What a worker does otherwise, or besides, when it is there for a trial: it has an end, and it goes second.

use std::sync::Arc;
use std::time::Duration;

use log::{Lane, PartitionId, Topic};
use record::Timestamp;
use tokio::time::timeout;

use super::pending::Errand;
use super::{End, Flow, Worker};
use crate::engine::END_OF_TIME;
use crate::partitions;
use crate::stretch::Purpose;

/// How long a trial's bite waits at most for the live stream to have nothing to read: a trial moves on, slowly, even
/// where live data never ends.
const GIVE_WAY: Duration = Duration::from_millis(250);

/// How far the clock moves between two ticks once a trial has read everything: what one tick leaves to be computed
/// again is due at the next.
const LAST_TICKS: i64 = 2_000_000_000;

/// How many windows it then has computed again at once.
const LAST_REVISIONS: u32 = 512;

impl Worker {
    /// Where the live lanes end: for good, or for now.
    pub(super) fn live_ends(&self) -> log::Result<Vec<u64>> {
        let log = &*self.parts.log;
        let end = |partition| match self.purpose.end(partition) {
            Some(end) => Ok(end),
            None => Ok(log.extent(partition)?.end),
        };
        partitions(log, Topic::Raw, Lane::Live).map(end).collect()
    }

    /// Whether everything of a lane is read that there ever will be.
    pub(super) fn is_over(&self, lane: Lane) -> bool {
        let Some(engine) = &self.engine else { return false };
        engine.partitions.iter().all(|(&index, partition)| {
            let end = self.purpose.end(PartitionId { topic: Topic::Raw, lane, index });
            end.is_some_and(|end| partition.next[lane as usize] >= end)
        })
    }

    /// Lets time pass until no window is open and none is to be computed again.
    pub(super) async fn finish(&mut self) -> Flow {
        let mut flow = self.turn(Errand::Other(Lane::Live), |engine| engine.end_of_time().map(Some)).await;
        // It is read to its end, wherever that is.
        let ends: Arc<[u64]> = vec![0; usize::from(self.parts.log.partitions(Topic::Raw))].into();
        let mut now = END_OF_TIME;
        while flow == Flow::On {
            self.give_way().await;
            now = Timestamp::from_nanos(now.nanos().saturating_add(LAST_TICKS));
            let waits = self.engine.as_ref();
            let waits = waits.is_some_and(|of| of.wants_time(now, &ends) || of.has_revisions_due(now));
            if !waits {
                flow = self.settle().await;
                if flow == Flow::On {
                    self.end = End::Complete;
                    return Flow::Stop;
                }
                return flow;
            }
            if *self.stop.borrow() {
                return Flow::Stop;
            }
            let ends = Arc::clone(&ends);
            flow = self.turn(Errand::Other(Lane::Live), move |engine| engine.tick(now, &ends)).await;
            if flow == Flow::On {
                flow = self
                    .turn(Errand::Other(Lane::Live), move |engine| engine.revise(now, LAST_REVISIONS))
                    .await;
            }
        }
        flow
    }

    /// A trial waits a moment before each bite while the live stream has something to read.
    pub(super) async fn give_way(&mut self) {
        let Purpose::Trial { live: Some(live), .. } = &self.purpose else { return };
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            _ = timeout(GIVE_WAY, live.caught_up()) => {}
        }
    }
}
