//! A gateway under test, and a log whose commits a test holds in its hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use log::{
    Batch, BoxFuture, Completion, Extent, Log, MemoryLog, Offset, PartitionId, Partitions, Pending, Position,
    Reader, Topic, pending,
};
use parking_lot::Mutex;
use penstock_gateway::{Addresses, Config, Error, Gateway, Parts, Running};
use registry::{AuthConfig, Authenticator};

/// What becomes of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Through,
    Held,
    Full,
}

/// A memory log that can hold commits back, or fail them.
pub(super) struct HandLog {
    inner: MemoryLog,
    mode: Mutex<Mode>,
    held: Mutex<Vec<(Batch, Completion)>>,
}

impl HandLog {
    fn new() -> Self {
        let partitions = Partitions::uniform(2).unwrap();
        Self { inner: MemoryLog::new(partitions), mode: Mutex::new(Mode::Through), held: Mutex::default() }
    }

    /// From now on nothing becomes durable.
    pub(super) fn hold(&self) {
        *self.mode.lock() = Mode::Held;
    }

    /// From now on every append fails for want of space.
    pub(super) fn fill(&self) {
        *self.mode.lock() = Mode::Full;
    }

    /// What was held becomes durable, and all that follows.
    pub(super) fn release(&self) {
        *self.mode.lock() = Mode::Through;
        for (batch, completion) in std::mem::take(&mut *self.held.lock()) {
            let mut appended = Box::pin(self.inner.append(batch));
            match appended.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(outcome) => completion.complete(outcome),
                Poll::Pending => panic!("the memory log is durable at once"),
            }
        }
    }

    /// Waits until a batch is held.
    pub(super) fn await_held(&self) {
        while self.held.lock().is_empty() {
            std::thread::yield_now();
        }
    }

    /// Every record of a topic, both lanes.
    pub(super) fn records(&self, topic: Topic) -> Vec<(PartitionId, bytes::Bytes)> {
        let mut all = Vec::new();
        for lane in [log::Lane::Live, log::Lane::Backfill] {
            for index in 0..self.partitions(topic) {
                let partition = PartitionId { topic, lane, index };
                let extent = self.extent(partition).unwrap();
                let mut reader = self.read(&[Position { partition, offset: extent.start }]).unwrap();
                let mut at = extent.start;
                while at < extent.end {
                    let mut next = reader.next(1 << 20);
                    let Poll::Ready(chunk) = next.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                    else {
                        panic!("there is something to read")
                    };
                    for run in chunk.unwrap().runs {
                        at += run.records.len() as u64;
                        all.extend(run.records.into_iter().map(|record| (partition, record.value)));
                    }
                }
            }
        }
        all
    }
}

impl Log for HandLog {
    fn append(&self, batch: Batch) -> Pending {
        match *self.mode.lock() {
            Mode::Through => self.inner.append(batch),
            Mode::Held => {
                let (completion, promise) = pending();
                self.held.lock().push((batch, completion));
                promise
            }
            Mode::Full => Pending::settled(Err(log::Error::Full { place: "here".into() })),
        }
    }
    fn read(&self, from: &[Position]) -> log::Result<Box<dyn Reader>> {
        self.inner.read(from)
    }
    fn extent(&self, partition: PartitionId) -> log::Result<Extent> {
        self.inner.extent(partition)
    }
    fn offset_at(&self, partition: PartitionId, time_ms: i64) -> BoxFuture<'_, log::Result<Offset>> {
        self.inner.offset_at(partition, time_ms)
    }
    fn commit(&self, reader: &str, positions: &[Position]) -> BoxFuture<'_, log::Result<()>> {
        self.inner.commit(reader, positions)
    }
    fn committed(&self, reader: &str) -> log::Result<Vec<Position>> {
        self.inner.committed(reader)
    }
    fn partitions(&self, topic: Topic) -> u16 {
        self.inner.partitions(topic)
    }
    fn close(&self) -> BoxFuture<'_, log::Result<()>> {
        self.inner.close()
    }
}

/// A gateway, what it stands on, and the means to start it again on the same.
pub(super) struct Rig {
    runtime: tokio::runtime::Runtime,
    pub(super) log: Arc<HandLog>,
    metadata: Arc<metadata::Memory>,
    config: Config,
    auth: Option<AuthConfig>,
    running: Option<Running>,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_auth(None, change)
    }

    /// One that lets in whom `auth` says.
    pub(super) fn with_auth(auth: Option<AuthConfig>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::for_test();
        change(&mut config);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (log, metadata) = (Arc::new(HandLog::new()), Arc::new(metadata::Memory::new()));
        let mut rig = Self { runtime, log, metadata, config, auth, running: None };
        rig.start();
        rig
    }

    fn start(&mut self) {
        let mut parts = Parts::new(self.log.clone(), self.metadata.clone());
        if let Some(auth) = &self.auth {
            let policy = auth.clone().validate().unwrap();
            let authenticator = Authenticator::open(policy, self.metadata.clone()).unwrap();
            parts = parts.with_authenticator(Arc::new(authenticator));
        }
        let running = self.runtime.block_on(Gateway::start(self.config.clone(), parts)).unwrap();
        self.running = Some(running);
    }

    /// Stops in order, and starts again.
    pub(super) fn restart(&mut self) {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running.shutdown()).unwrap();
        self.start();
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.addresses().mqtt.unwrap()
    }

    pub(super) fn addresses(&self) -> Addresses {
        self.running.as_ref().unwrap().local_addrs()
    }

    /// What a SIGHUP does.
    pub(super) fn reload(&self) -> Result<bool, Error> {
        self.running.as_ref().unwrap().reload_if_changed()
    }

    pub(super) fn totals(&self) -> penstock_gateway::metrics::Totals {
        self.running.as_ref().unwrap().metrics().totals()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.log.release();
            let _ = self.runtime.block_on(running.shutdown());
        }
    }
}
