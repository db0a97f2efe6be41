//! An installation without a stream: a log, a store and rules in memory, and what the stream would write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use log::{Batch, Lane, Log, MemoryLog, PartitionId, Partitions, Topic};
use metadata::Memory;
use penstock_alert::{Alerts, Config, Directory, Filter, Parts, Past, Routes, Rules, Terms};
use record::{CleanSource, DeviceId, Facts, Known, Learned, Readings, TenantId, Timestamp, ValueRef, When};
use rule::{Routed, RuleId};
use series::{SeriesWriter as _, Source, Span, WriteBatch};

pub(crate) const PARTITIONS: u16 = 2;

/// What rules say of their alerts; nothing is known of devices.
struct Book(Arc<Rules>);

impl Directory for Book {
    fn terms(&self, tenant: &TenantId, rule: &RuleId, version: u32) -> Result<Option<Terms>, String> {
        self.0.terms(tenant, rule, version).map_err(|error| error.to_string())
    }

    fn facts(&self, _: &TenantId, _: &DeviceId) -> Result<Facts, String> {
        Ok(Facts::default())
    }
}

struct Nowhere;

#[async_trait]
impl Routes for Nowhere {
    async fn pass_on(&self, _: &[Routed]) -> Result<(), String> {
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) metadata: Arc<Memory>,
    pub(crate) store: Arc<series::Memory>,
    pub(crate) folder: tempfile::TempDir,
    /// The next offset of the store's one partition that messages are said to come from.
    stored: AtomicU64,
}

impl World {
    pub(crate) fn new() -> Self {
        let log = Arc::new(MemoryLog::new(Partitions::uniform(PARTITIONS).unwrap()));
        Self {
            log,
            metadata: Arc::new(Memory::default()),
            store: Arc::new(series::Memory::new()),
            folder: tempfile::tempdir().unwrap(),
            stored: AtomicU64::new(0),
        }
    }

    /// Everything as after a start of the process, its checkpoints in this folder.
    pub(crate) fn parts(&self, folder: &Path) -> Parts {
        let rules = Arc::new(Rules::open(self.metadata.clone()).unwrap());
        let directory: Arc<dyn Directory> = Arc::new(Book(Arc::clone(&rules)));
        let positions = Arc::clone(&self.store);
        let past = Past {
            store: self.store.clone(),
            positions: Arc::new(move || positions.positions()),
            directory: Arc::clone(&directory),
        };
        let settings = Config::default().validate().unwrap();
        let alerts = Alerts::open(self.metadata.clone(), directory, settings).unwrap();
        Parts {
            log: self.log.clone(),
            alerts: Arc::new(alerts),
            rules,
            routes: Arc::new(Nowhere),
            past,
            settings: rule::Settings::default(),
            folder: folder.to_owned(),
            settled: Arc::new(|_, now| now),
            clock: Arc::new(Timestamp::now),
            tick_every: Duration::from_millis(5),
            checkpoint_every: Duration::from_secs(3600),
        }
    }

    /// A clean record of a reading of now, as the stream writes it.
    pub(crate) async fn send(&self, offset: u64, device: &str, temperature: i64) {
        self.clean(offset, device, Timestamp::now(), temperature).await;
    }

    /// A message that was taken into the raw topic: its offset. What is in it does not matter.
    pub(crate) async fn raw(&self, device: &str) -> u64 {
        let mut batch = Batch::new();
        batch.push_with(raw(device), |out| out.push(0));
        self.log.append(batch).await.unwrap();
        self.log.extent(raw(device)).unwrap().end - 1
    }

    /// A reading of it, for rules.
    pub(crate) async fn clean(&self, offset: u64, device: &str, at: Timestamp, temperature: i64) {
        let readings = readings(device, at, temperature);
        let index = raw(device).index;
        let source = CleanSource { lane: Lane::Live, partition: index, offset, part: 0 };
        let known = Known::new(Facts::default(), Learned::default());
        let mut batch = Batch::new();
        batch.push_with(PartitionId { topic: Topic::Clean, lane: Lane::Live, index }, |out| {
            record::encode_clean(source, TenantId::DEFAULT, known.encoded(), &readings, 0..1, out);
        });
        self.log.append(batch).await.unwrap();
    }

    /// A reading of it, in the store, which has seen the raw topic up to its message then.
    pub(crate) fn store(&self, offset: u64, device: &str, at: Timestamp, temperature: i64) {
        let PartitionId { topic, lane, index } = raw(device);
        let source = Source { topic: topic as u8, lane, partition: index };
        let span = Span { source, from: self.stored.swap(offset + 1, Ordering::SeqCst), to: offset + 1 };
        let readings = readings(device, at, temperature);
        let readings = [(TenantId::default_tenant(), readings)].into();
        self.store.write(&WriteBatch { readings, spans: vec![span], ..WriteBatch::default() }).unwrap();
    }
}

fn raw(device: &str) -> PartitionId {
    let index = record::partition_of(TenantId::DEFAULT, device, PARTITIONS);
    PartitionId { topic: Topic::Raw, lane: Lane::Live, index }
}

fn readings(device: &str, at: Timestamp, temperature: i64) -> Readings {
    let mut readings = Readings::new();
    let (device, metric) = (readings.device(device).unwrap(), readings.metric("temperature").unwrap());
    readings.push(device, metric, When::by_device(at, at), ValueRef::Int(temperature));
    readings
}

/// Waits until there are so many alerts, and says how they stand.
pub(crate) async fn states(alerts: &Alerts, count: usize) -> Vec<String> {
    for _ in 0..2000 {
        let page = alerts.list(&TenantId::default_tenant(), &Filter::default(), None, 100).unwrap();
        if page.alerts.len() >= count {
            return page
                .alerts
                .iter()
                .map(|(_, alert)| format!("{} {:?}", alert.device_id, alert.state))
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("there are no {count} alerts after ten seconds");
}
