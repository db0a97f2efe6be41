//! The last location of each device, as a map asks for it: of all the latest readings, and of those of that kind alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{Array, StringArray};
use penstock_series::parquet::store::Options;
use penstock_series::{Parquet, Scan, SeriesScan, SeriesWriter, Source, Span, WriteBatch};
use record::{Lane, Readings, TenantId, Timestamp, ValueRef, When};

use crate::fleet::START_MS;

/// Device, latitude, longitude, kind.
const COLUMNS: [usize; 4] = [2, 6, 7, 8];

pub(crate) fn report(devices: u32, dir: &Path) {
    let store = Parquet::open(dir, Options { buffer_bytes: 1 << 30, ..Options::default() }).unwrap();
    store.write(&turn(0, 0..devices)).unwrap();
    store.roll().unwrap();
    // A tenth has moved since.
    store.write(&turn(1, 0..devices / 10)).unwrap();
    let kind = || Some(["location".to_owned()].into());
    let fields = [("all of the latest readings", None), ("locations alone", kind())];
    for (what, kinds) in fields {
        let mut took = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            let scan = Scan { columns: Some(COLUMNS.to_vec()), kinds: kinds.clone(), ..Scan::all("latest") };
            assert_eq!(located(&store, scan), devices as usize);
            took.push(began.elapsed());
        }
        took.sort_unstable();
        println!("the last locations of {devices} devices, of {what}: median of five {:?}", took[2]);
    }
}

fn located(store: &Parquet, scan: Scan) -> usize {
    let snapshot = store.snapshot(&TenantId::default_tenant()).unwrap();
    let kinds = Arc::clone(&snapshot).scan(scan).unwrap().map(|batch| {
        let batch = batch.unwrap();
        let kinds = batch.column(3).as_any().downcast_ref::<StringArray>().unwrap();
        kinds.iter().filter(|kind| *kind == Some("location")).count()
    });
    kinds.sum()
}

fn turn(no: u64, devices: std::ops::Range<u32>) -> WriteBatch {
    let mut readings = Readings::new();
    let at = Timestamp::from_millis(START_MS + no as i64 * 1000).unwrap();
    for n in devices {
        let device = readings.device(&format!("device-{n:06}")).unwrap();
        let values = [
            ("position", ValueRef::Location { lat: f64::from(n % 170) / 2.0, lng: f64::from(n % 350) / 2.0 }),
            ("temperature", ValueRef::Float(20.5)),
            ("battery", ValueRef::Int(90)),
        ];
        for (name, value) in values {
            let metric = readings.metric(name).unwrap();
            readings.push(device, metric, When::by_device(at, at), value);
        }
    }
    let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
    WriteBatch {
        readings: BTreeMap::from([(TenantId::default_tenant(), readings)]),
        spans: vec![Span { source, from: no, to: no + 1 }],
        ..WriteBatch::default()
    }
}
