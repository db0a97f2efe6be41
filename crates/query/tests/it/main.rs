//! Answers through the crate's boundary, over a real store.

#![allow(clippy::unwrap_used)] // in a test a panic is the verdict

mod account;
mod alerts;
mod cache;
mod devices;
mod functions;
mod fuzz;
mod gaps;
mod gone;
mod latest;
mod points;
mod sql;
mod tables;
mod types;

use std::sync::Arc;

use penstock_query::{Engine, Limits, Query};
use record::{DeviceId, Lane, MetricName, Reading, TenantId, Timestamp, Value, When};
use series::{SeriesWriter, Source, Span, Sqlite, WriteBatch};

struct Rig {
    _dir: tempfile::TempDir,
    metadata: Arc<metadata::Sqlite>,
    store: Arc<Sqlite>,
    query: Query,
}

fn rig(limits: Limits) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(&dir.path().join("series.db")).unwrap());
    let metadata = Arc::new(metadata::Sqlite::open(&dir.path().join("metadata.db")).unwrap());
    let devices = Arc::new(registry::Devices::new(metadata.clone(), None));
    let sql = Arc::new(Engine::new(store.clone()).unwrap().with_facts(devices));
    Rig { _dir: dir, metadata, query: Query::new(store.clone(), store.clone(), sql, limits), store }
}

impl Rig {
    fn write(&self, readings: Vec<(TenantId, Reading)>) {
        let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
        let from = self.store.positions().unwrap().first().map_or(0, |position| position.offset);
        let spans = vec![Span { source, from, to: from + 1 }];
        let mut batch = WriteBatch { spans, ..WriteBatch::default() };
        for (tenant, reading) in &readings {
            batch.readings.entry(tenant.clone()).or_default().push_reading(reading);
        }
        self.store.write(&batch).unwrap();
    }
}

fn reading(tenant: &str, device: &str, metric: &str, nanos: i64, value: Value) -> (TenantId, Reading) {
    let reading = Reading {
        device: DeviceId::parse(device).unwrap(),
        metric: MetricName::parse(metric).unwrap(),
        when: When::by_device(Timestamp::from_nanos(nanos), Timestamp::from_nanos(nanos)),
        value,
    };
    (TenantId::parse(tenant).unwrap(), reading)
}
