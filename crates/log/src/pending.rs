//! The promise that a batch will be durable, and its other end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::{Error, Position, Result};

/// Resolves when a batch is durable, with the position of each record of the batch, in the order pushed.
///
/// Batches of one caller resolve in the order they were appended where the backend is one sequence
/// (embedded, memory); with Kafka, in any order.
#[derive(Debug)]
pub struct Pending(Arc<Mutex<State>>);

/// The log's end of a [`Pending`]. Dropped without a word, it resolves to [`Error::Closed`].
#[derive(Debug)]
pub struct Completion(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    Settled(Result<Vec<Position>>),
    Taken,
}

/// A promise and the end that keeps it.
#[must_use]
pub fn pending() -> (Completion, Pending) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (Completion(Arc::clone(&state)), Pending(state))
}

impl Pending {
    /// A promise that is settled already.
    #[must_use]
    pub fn settled(outcome: Result<Vec<Position>>) -> Self {
        Self(Arc::new(Mutex::new(State::Settled(outcome))))
    }
}

impl Completion {
    /// Keeps or breaks the promise.
    pub fn complete(self, outcome: Result<Vec<Position>>) {
        if let Some(waker) = self.settle(outcome) {
            waker.wake();
        }
    }

    /// Keeps or breaks the promise, and leaves waking the waiter to the caller: who settles many promises at
    /// once wakes after the last, so that a task with a queue of promises wakes once and finds all of them.
    #[must_use = "the waiter sleeps until its waker is called"]
    pub fn settle(self, outcome: Result<Vec<Position>>) -> Option<Waker> {
        settle(&self.0, outcome)
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(waker) = settle(&self.0, Err(Error::Closed)) {
            waker.wake();
        }
    }
}

/// The first word counts.
fn settle(state: &Mutex<State>, outcome: Result<Vec<Position>>) -> Option<Waker> {
    let mut state = state.lock();
    match &mut *state {
        State::Waiting(waker) => {
            let waker = waker.take();
            *state = State::Settled(outcome);
            waker
        }
        State::Settled(_) | State::Taken => None,
    }
}

impl Future for Pending {
    type Output = Result<Vec<Position>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting(Some(waker)) if waker.will_wake(cx.waker()) => Poll::Pending,
            State::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Settled(_) => match std::mem::replace(&mut *state, State::Taken) {
                State::Settled(outcome) => Poll::Ready(outcome),
                _ => unreachable!("matched just above, under the same lock"),
            },
            // As a oneshot: nobody has anything more to say.
            State::Taken => Poll::Ready(Err(Error::Closed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(pending: &mut Pending) -> Poll<Result<Vec<Position>>> {
        Pin::new(pending).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn resolves_once_with_the_first_word() {
        let (completion, mut promise) = pending();
        assert!(poll(&mut promise).is_pending());
        completion.complete(Ok(vec![]));
        assert!(matches!(poll(&mut promise), Poll::Ready(Ok(_))));
        assert!(matches!(poll(&mut promise), Poll::Ready(Err(Error::Closed))));
    }

    #[test]
    fn a_dropped_completion_says_closed() {
        let (completion, mut promise) = pending();
        drop(completion);
        assert!(matches!(poll(&mut promise), Poll::Ready(Err(Error::Closed))));
    }
}
