//! A gateway under test, and a log whose commits a test holds in its hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use log::faults::FaultyLog;
use log::{Log as _, MemoryLog, PartitionId, Partitions, Position, Topic};
use penstock_gateway::{Addresses, Config, Error, Gateway, Parts, Running};
use registry::{AuthConfig, Authenticator};

/// A log whose commits a test holds in its hand, and what is in it.
pub(super) struct HandLog(Arc<FaultyLog>);

impl HandLog {
    fn new() -> Self {
        Self(Arc::new(FaultyLog::over(MemoryLog::new(Partitions::uniform(2).unwrap()))))
    }

    /// From now on every append fails for want of space.
    pub(super) fn fill(&self) {
        self.fail(log::Error::Full { place: "here".into() });
    }

    /// Waits until a batch is held.
    pub(super) fn await_held(&self) {
        while self.held() == 0 {
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

impl std::ops::Deref for HandLog {
    type Target = FaultyLog;
    fn deref(&self) -> &FaultyLog {
        &self.0
    }
}

/// A gateway, what it stands on, and the means to start it again on the same.
pub(super) struct Rig {
    runtime: tokio::runtime::Runtime,
    pub(super) log: HandLog,
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
        let (log, metadata) = (HandLog::new(), Arc::new(metadata::Memory::new()));
        let mut rig = Self { runtime, log, metadata, config, auth, running: None };
        rig.start();
        rig
    }

    fn start(&mut self) {
        let mut parts = Parts::new(self.log.0.clone(), self.metadata.clone());
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
