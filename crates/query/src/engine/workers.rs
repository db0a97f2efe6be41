//! The engine's own threads: what a question costs is not taken from those that take in readings.

use std::future::Future;
use std::sync::mpsc::{self, RecvTimeoutError};

use record::TenantId;
use tokio::runtime::{Builder, Handle, Runtime};

use super::{broken, gate::Gate};
use crate::{Error, Limits, Result};

/// Stack of a thread, bytes. Statements and plans are trees, and walked as such. What is not used takes no memory.
const STACK_BYTES: usize = 32 << 20;

/// Threads for connections: they read, write and wait.
const FRONT: usize = 1;

/// How much the threads stand back behind the others, as `nice` counts.
const NICENESS: i32 = 10;

/// The name of the threads. The binary goes by it: a panic on one of them ends a question, not the process.
pub const THREADS: &str = "penstock-query";

pub(super) struct Workers {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
    /// For those who wait and talk: they go on while every thread above is at work.
    front: Option<Runtime>,
    gate: Gate,
}

impl Workers {
    pub(super) fn start() -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let runtime = runtime(threads)?;
        let front = Some(self::runtime(FRONT)?);
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime), front, gate: Gate::default() })
    }

    /// Runs a question on the engine's threads, within its time, when it is its turn.
    ///
    /// The engine's threads look at the clock too, but they may all be at work on something that does not look up: the
    /// asker looks at its own.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        limits: Limits,
        job: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let running = self.spawn(tenant, limits, job);
        tokio::time::timeout(limits.at_most(), running.ended())
            .await
            .unwrap_or_else(|_| Err(too_long(limits)))
    }

    /// As [`Workers::run`], for those who may block.
    pub(super) fn run_blocking<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        limits: Limits,
        job: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = mpsc::channel();
        let asking = self.spawn(tenant, limits, async move {
            // Nobody listens any more when it took too long.
            let _ = answer.send(job.await);
            Ok(())
        });
        match answered.recv_timeout(limits.at_most()) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(too_long(limits)),
            // It ended without an answer: in time, the task itself says why.
            Err(RecvTimeoutError::Disconnected) => {
                let why = self.handle.block_on(asking.ended());
                Err(why.err().unwrap_or_else(|| broken("the question was cut off")))
            }
        }
    }

    /// Where connections are served.
    pub(super) fn front(&self) -> &Handle {
        self.front.as_ref().expect("it is there until it is dropped").handle()
    }

    fn spawn<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        limits: Limits,
        job: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Running<T> {
        let place = self.gate.enter(tenant, limits);
        Running(self.handle.spawn(async move {
            let _place = place.await?;
            tokio::time::timeout(limits.time, job).await.unwrap_or_else(|_| Err(too_long(limits)))
        }))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for runtime in [self.runtime.take(), self.front.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

fn runtime(threads: usize) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(THREADS)
        .thread_stack_size(STACK_BYTES)
        .on_thread_start(stand_back)
        .enable_all()
        .build()
        .map_err(broken)
}

/// A task that ends when nobody waits for it any more.
struct Running<T>(tokio::task::JoinHandle<Result<T>>);

impl<T> Running<T> {
    async fn ended(mut self) -> Result<T> {
        match (&mut self.0).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // The panic itself was reported where it happened.
                tracing::error!(%error, "the SQL engine failed on a statement");
                Err(Error::Statement(
                    "the SQL engine cannot answer this statement; write it another way".into(),
                ))
            }
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn too_long(limits: Limits) -> Error {
    let most = limits.time.as_secs_f64();
    Error::TooMuch(format!(
        "the answer takes longer than {most} s: narrow the statement, by time or by device for example"
    ))
}

/// Lets everybody else go first. Where that is not allowed, all are equal.
fn stand_back() {
    let _ = rustix::process::nice(NICENESS);
}
