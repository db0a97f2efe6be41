//! What waits for the writer, bounded in bytes. The caller's side is a lock, a push and, only if the writer
//! sleeps, a wake-up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::format::ReaderPositions;
use super::stats::{Counters, add};
use crate::{Batch, Completion, Error, Result};

/// What a record costs in the queue beside its bytes.
const RECORD_OVERHEAD_BYTES: usize = 16;
/// What a batch costs beside its records.
const BATCH_OVERHEAD_BYTES: usize = 128;

/// Something to be made durable.
pub(crate) enum Request {
    Append { batch: Batch, completion: Completion },
    Commit { positions: ReaderPositions, completion: Completion },
}

impl Request {
    fn weight(&self) -> usize {
        match self {
            Self::Append { batch, .. } => {
                batch.size_bytes() + batch.len() * RECORD_OVERHEAD_BYTES + BATCH_OVERHEAD_BYTES
            }
            Self::Commit { positions, .. } => {
                BATCH_OVERHEAD_BYTES + positions.values().map(|p| p.len() * 64).sum::<usize>()
            }
        }
    }

    pub(crate) fn completion(self) -> Completion {
        match self {
            Self::Append { completion, .. } | Self::Commit { completion, .. } => completion,
        }
    }
}

/// What the writer is to do next.
pub(crate) enum Work {
    /// Make these durable.
    Group(Vec<Request>),
    /// Nothing came; look after retention and trouble.
    Tick,
    /// Nothing more will come.
    Close,
}

pub(crate) struct Queue {
    state: Mutex<Waiting>,
    arrived: Condvar,
    limit_bytes: usize,
    group_bytes: usize,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Waiting {
    requests: Vec<Request>,
    /// Of the requests above, and of the group that the writer has taken and not finished.
    bytes: usize,
    taken_bytes: usize,
    appends: usize,
    asleep: bool,
    closing: bool,
    /// Why nothing can be taken now.
    trouble: Option<Error>,
    closed: Option<Result<()>>,
    closers: Vec<Completion>,
}

impl Queue {
    pub(crate) fn new(limit_bytes: usize, group_bytes: usize, counters: Arc<Counters>) -> Self {
        let state = Mutex::new(Waiting::default());
        Self { state, arrived: Condvar::new(), limit_bytes, group_bytes, counters }
    }

    /// Takes a request, or says why not and gives its promise back broken.
    pub(crate) fn push(&self, request: Request) {
        let weight = request.weight();
        let is_append = matches!(request, Request::Append { .. });
        let mut waiting = self.state.lock();
        let refusal = if waiting.closing {
            Some(Error::Closed)
        } else if let Some(trouble) = &waiting.trouble {
            Some(trouble.clone())
        } else if waiting.bytes + weight > self.limit_bytes && waiting.bytes > 0 {
            Some(Error::Busy { waiting_bytes: waiting.bytes })
        } else {
            None
        };
        if let Some(error) = refusal {
            drop(waiting);
            let counter = if matches!(error, Error::Busy { .. }) {
                &self.counters.busy_batches
            } else {
                &self.counters.failed_batches
            };
            add(counter, u64::from(is_append));
            request.completion().complete(Err(error));
            return;
        }
        waiting.bytes += weight;
        waiting.appends += usize::from(is_append);
        waiting.requests.push(request);
        // A commit alone does not cut short the wait for an append to share its fsync with.
        let wake = waiting.asleep && (is_append || waiting.requests.len() == 1);
        if wake {
            waiting.asleep = false;
        }
        drop(waiting);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// What there is to do; waits for it for `patience`, and for company for commits that come alone.
    pub(crate) fn wait(&self, patience: Duration, commit_delay: Duration) -> Work {
        let mut waiting = self.state.lock();
        let mut deadline = Instant::now() + patience;
        let mut commits_seen = false;
        loop {
            if waiting.appends > 0 || waiting.closing {
                break;
            }
            if !waiting.requests.is_empty() && !commits_seen {
                commits_seen = true;
                deadline = Instant::now() + commit_delay;
            }
            waiting.asleep = true;
            let late = self.arrived.wait_until(&mut waiting, deadline).timed_out();
            waiting.asleep = false;
            if late {
                break;
            }
        }
        self.take(waiting)
    }

    /// What there is to do now.
    #[cfg(feature = "sim")]
    pub(crate) fn poll(&self) -> Work {
        self.take(self.state.lock())
    }

    fn take(&self, mut waiting: parking_lot::MutexGuard<'_, Waiting>) -> Work {
        if waiting.requests.is_empty() {
            return if waiting.closing { Work::Close } else { Work::Tick };
        }
        let mut bytes = 0;
        let count = waiting.requests.iter().take_while(|request| {
            let fits = bytes < self.group_bytes;
            bytes += if fits { request.weight() } else { 0 };
            fits
        });
        let count = count.count();
        let rest = waiting.requests.split_off(count);
        let group = std::mem::replace(&mut waiting.requests, rest);
        waiting.appends -= group.iter().filter(|r| matches!(r, Request::Append { .. })).count();
        waiting.taken_bytes = bytes;
        Work::Group(group)
    }

    /// The group that was taken is done with.
    pub(crate) fn done(&self) {
        let mut waiting = self.state.lock();
        waiting.bytes -= std::mem::take(&mut waiting.taken_bytes);
    }

    /// From now on nothing is taken, or everything is again.
    pub(crate) fn set_trouble(&self, trouble: Option<Error>) {
        self.state.lock().trouble = trouble;
    }

    pub(crate) fn trouble(&self) -> Option<Error> {
        self.state.lock().trouble.clone()
    }

    /// Not yet durable, bytes.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Takes nothing more; the promise is kept when the writer has stopped.
    pub(crate) fn close(&self, completion: Completion) {
        let mut waiting = self.state.lock();
        if let Some(outcome) = waiting.closed.clone() {
            drop(waiting);
            completion.complete(outcome.map(|()| Vec::new()));
            return;
        }
        waiting.closing = true;
        waiting.closers.push(completion);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The writer has stopped.
    pub(crate) fn closed(&self, outcome: Result<()>) {
        let mut waiting = self.state.lock();
        waiting.closing = true;
        waiting.closed = Some(outcome.clone());
        let closers = std::mem::take(&mut waiting.closers);
        let left = std::mem::take(&mut waiting.requests);
        drop(waiting);
        drop(left); // each promise says `Closed`
        closers.into_iter().for_each(|closer| closer.complete(outcome.clone().map(|()| Vec::new())));
    }
}
