//! A registry for tests, and what stands in the clean topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use log::{Lane, Log, PartitionId, Position, Topic};
use parking_lot::Mutex;
use penstock_stream::{FactNews, Facts, FactsError};
use record::{CleanRecord, CleanSource, Known, Learned, TenantId, TimeOrigin};

/// What people said is up to the test; the next `failures` calls fail.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) registered: Mutex<BTreeMap<String, record::Facts>>,
    pub(crate) learned: Mutex<BTreeMap<String, Learned>>,
    pub(crate) failures: AtomicU32,
    /// The tenants whose clean readings are wanted.
    wanted: Mutex<BTreeSet<String>>,
    /// How often it was asked for a device.
    pub(crate) asked: AtomicU32,
}

impl Book {
    fn works(&self) -> Result<(), FactsError> {
        let failing = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if failing.is_ok() { Err(FactsError("injected".into())) } else { Ok(()) }
    }

    pub(crate) fn want(&self, tenant: &str) {
        self.wanted.lock().insert(tenant.to_owned());
    }

    pub(crate) fn register(&self, device: &str, site: &str) {
        let facts = record::Facts { site: Some(site.into()), ..record::Facts::default() };
        self.registered.lock().insert(device.to_owned(), facts);
    }
}

impl Facts for Book {
    fn refresh(&self) -> Result<(), FactsError> {
        Ok(())
    }

    fn known(&self, _: &TenantId, device: &str) -> Result<Arc<Known>, FactsError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.works()?;
        let registered = self.registered.lock().get(device).cloned().unwrap_or_default();
        let learned = self.learned.lock().get(device).cloned().unwrap_or_default();
        Ok(Arc::new(Known::new(registered, learned)))
    }

    fn is_clean_wanted(&self, tenant: &TenantId) -> bool {
        self.wanted.lock().contains(tenant.as_str())
    }

    fn learn(&self, news: &[FactNews]) -> Result<(), FactsError> {
        self.works()?;
        let news = news.iter().map(|news| (news.device.as_str().to_owned(), news.learned.clone()));
        self.learned.lock().extend(news);
        Ok(())
    }
}

/// A clean record, kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clean {
    pub(crate) source: CleanSource,
    pub(crate) tenant: String,
    pub(crate) device: String,
    pub(crate) facts: record::Facts,
    /// Metric, claimed time, sequence, origin, value.
    pub(crate) readings: Vec<(String, i64, u64, TimeOrigin, String)>,
}

/// All records of the clean topic, each partition in order.
pub(crate) async fn all(log: &dyn Log) -> Vec<Clean> {
    let mut found = Vec::new();
    for lane in [Lane::Live, Lane::Backfill] {
        for index in 0..log.partitions(Topic::Clean) {
            let partition = PartitionId { topic: Topic::Clean, lane, index };
            let extent = log.extent(partition).unwrap();
            let mut next = extent.start;
            let mut reader = log.read(&[Position { partition, offset: next }]).unwrap();
            while next < extent.end {
                for run in reader.next(1 << 20).await.unwrap().runs {
                    next += run.records.len() as u64;
                    found.extend(run.records.iter().map(|record| kept(&record.value)));
                }
            }
        }
    }
    found
}

fn kept(bytes: &[u8]) -> Clean {
    let record = CleanRecord::decode(bytes).unwrap();
    let readings = record.readings.iter().map(|r| {
        let value = format!("{:?}", r.value);
        (r.metric.to_owned(), r.when.claimed.nanos(), r.when.seq, r.when.origin, value)
    });
    let readings = readings.collect();
    let (tenant, device) = (record.tenant.to_owned(), record.device.to_owned());
    Clean { source: record.source, tenant, device, facts: record.facts, readings }
}

/// As a reader takes them: what a crash repeated is dropped.
pub(crate) async fn taken(log: &dyn Log) -> Vec<Clean> {
    let mut last: BTreeMap<(Lane, u16), (u64, u32)> = BTreeMap::new();
    let mut clean = all(log).await;
    clean.retain(|record| {
        let CleanSource { lane, partition, offset, part } = record.source;
        let is_new = last.get(&(lane, partition)).is_none_or(|&seen| (offset, part) > seen);
        if is_new {
            last.insert((lane, partition), (offset, part));
        }
        is_new
    });
    let sources: BTreeSet<CleanSource> = clean.iter().map(|record| record.source).collect();
    assert_eq!(sources.len(), clean.len());
    clean
}
