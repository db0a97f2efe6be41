//! The promise that a batch will be durable, and its other end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::{Error, Position, Result};

/// Resolves when a batch is durable, with the position of each record of the batch, in the order pushed.
///
/// Batches of one caller resolve in the order they were appended where the backend is one sequence
/// (embedded, memory); with Kafka, in any order.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Vec<Position>>>);

/// The log's end of a [`Pending`]. Dropped without a word, it resolves to [`Error::Closed`].
#[derive(Debug)]
pub struct Completion(oneshot::Sender<Result<Vec<Position>>>);

/// A promise and the end that keeps it.
#[must_use]
pub fn pending() -> (Completion, Pending) {
    let (keep, promise) = oneshot::channel();
    (Completion(keep), Pending(promise))
}

impl Completion {
    /// Keeps or breaks the promise.
    pub fn complete(self, outcome: Result<Vec<Position>>) {
        // Nobody waiting is no error: a connection may be gone before its commit.
        let _ = self.0.send(outcome);
    }
}

impl Future for Pending {
    type Output = Result<Vec<Position>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|kept| kept.unwrap_or(Err(Error::Closed)))
    }
}
