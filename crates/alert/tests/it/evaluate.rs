//! From the clean topic to alerts, over a log in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use log::{Batch, Lane, Log, MemoryLog, PartitionId, Partitions, Topic};
use metadata::{Change, Memory, Metadata, Row, Table};
use penstock_alert::{Alerts, Config, Directory, Filter, Parts, Routes, Rules, Terms, start};
use record::{CleanSource, DeviceId, Facts, Known, Learned, Readings, TenantId, Timestamp, ValueRef, When};
use rule::{Routed, RuleId};

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
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let log = Arc::new(MemoryLog::new(Partitions::uniform(PARTITIONS).unwrap()));
        Self { log, metadata: Arc::new(Memory::default()), folder: tempfile::tempdir().unwrap() }
    }

    /// Everything as after a start of the process, its checkpoints in this folder.
    pub(crate) fn parts(&self, folder: &Path) -> Parts {
        let rules = Arc::new(Rules::open(self.metadata.clone()).unwrap());
        let directory = Arc::new(Book(Arc::clone(&rules)));
        let settings = Config::default().validate().unwrap();
        let alerts = Alerts::open(self.metadata.clone(), directory, settings).unwrap();
        Parts {
            log: self.log.clone(),
            alerts: Arc::new(alerts),
            rules,
            routes: Arc::new(Nowhere),
            settings: rule::Settings::default(),
            folder: folder.to_owned(),
            settled: Arc::new(|_, now| now),
            clock: Arc::new(Timestamp::now),
            tick_every: Duration::from_millis(5),
            checkpoint_every: Duration::from_secs(3600),
        }
    }

    /// A clean record of a reading of now, as the stream writes it.
    async fn send(&self, offset: u64, device: &str, temperature: i64) {
        let now = Timestamp::now();
        let mut readings = Readings::new();
        let (device_no, metric) = (readings.device(device).unwrap(), readings.metric("temperature").unwrap());
        readings.push(device_no, metric, When::by_device(now, now), ValueRef::Int(temperature));
        let index = record::partition_of(TenantId::DEFAULT, device, PARTITIONS);
        let source = CleanSource { lane: Lane::Live, partition: index, offset, part: 0 };
        let known = Known::new(Facts::default(), Learned::default());
        let mut batch = Batch::new();
        batch.push_with(PartitionId { topic: Topic::Clean, lane: Lane::Live, index }, |out| {
            record::encode_clean(source, TenantId::DEFAULT, known.encoded(), &readings, 0..1, out);
        });
        self.log.append(batch).await.unwrap();
    }
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

fn hot(parts: &Parts) {
    let document = serde_json::from_str(r#"{"name":"hot","when":"temperature > 80"}"#).unwrap();
    parts.rules.add(&TenantId::default_tenant(), document).unwrap();
}

/// What came while nobody looked is seen after the next start, also where nothing but where the reader began was ever kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_passed_over_between_two_starts() {
    let world = World::new();
    let parts = world.parts(world.folder.path());
    hot(&parts);
    start(parts).unwrap().shutdown().await;
    world.send(1, "d1", 90).await;
    // As if the folder had been lost, too.
    let elsewhere = tempfile::tempdir().unwrap();
    let parts = world.parts(elsewhere.path());
    let alerts = Arc::clone(&parts.alerts);
    let running = start(parts).unwrap();
    assert_eq!(states(&alerts, 1).await, ["d1 Raised"]);
    running.shutdown().await;
    // Again from the checkpoint, and from before it: the same cause is the same alert.
    for folder in [elsewhere.path(), tempfile::tempdir().unwrap().path()] {
        let parts = world.parts(folder);
        let alerts = Arc::clone(&parts.alerts);
        let running = start(parts).unwrap();
        world.send(2, "d1", 95).await;
        let figures = running.gauge();
        for _ in 0..2000 {
            if figures.figures().readings > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.shutdown().await;
        assert_eq!(states(&alerts, 1).await, ["d1 Raised"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_added_counts_from_the_next_reading_and_one_that_cannot_be_read_hurts_no_other() {
    let world = World::new();
    let body = b"{".to_vec();
    let row = Row { tenant: TenantId::DEFAULT.into(), id: "broken".into(), body };
    world.metadata.commit(&[Change::Put(Table::Rules, row)]).unwrap();
    let parts = world.parts(world.folder.path());
    let (alerts, rules) = (Arc::clone(&parts.alerts), Arc::clone(&parts.rules));
    let running = start(parts.clone()).unwrap();
    hot(&parts);
    world.send(1, "d1", 90).await;
    world.send(2, "d1", 20).await;
    states(&alerts, 1).await;
    for _ in 0..2000 {
        if states(&alerts, 1).await == ["d1 Resolved"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(states(&alerts, 1).await, ["d1 Resolved"]);
    assert_eq!(rules.list(&TenantId::default_tenant()).len(), 1);
    running.shutdown().await;
}
