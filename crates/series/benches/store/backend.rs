//! The whole store: batches as the stream writes them, rolls, merges, questions.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use penstock_series::parquet::store::Options;
use penstock_series::{Parquet, SeriesReader, SeriesWriter, Source, Span, WriteBatch};
use record::{DeviceId, Lane, MetricName, Readings, TenantId, Timestamp};

use crate::Took;
use crate::fleet::{self, Fleet};

pub(crate) fn report(devices: u32, minutes: i64, dir: &Path) {
    println!("store: {devices} devices, {minutes} min, batches of 10 s");
    let store = Parquet::open(dir, Options { buffer_bytes: 512 << 20, ..Options::default() }).unwrap();
    let mut fleet = Fleet::new(devices, 7);
    let [mut wrote, mut flushed, mut merged] = [Took::default(); 3];
    let mut readings = 0;
    for interval in 0..minutes * 6 {
        let batch = batch(&mut fleet, interval);
        readings += batch.readings.values().map(|readings| readings.len() as u64).sum::<u64>();
        wrote.by(|| store.write(&batch)).unwrap();
        if interval % 60 == 59 {
            flushed.by(|| store.roll()).unwrap();
            while merged.by(|| store.maintain(fleet::START_MS)).unwrap() {}
        }
    }
    println!("write: {}", wrote.speed(readings));
    println!(
        "roll: {}; {:.3} B/reading",
        flushed.speed(readings),
        store.size_bytes() as f64 / readings as f64
    );
    println!("merges on the way: {}", merged.speed(readings));
    // Half of the next roll is buffered while questions are asked.
    for interval in minutes * 6..minutes * 6 + 30 {
        store.write(&batch(&mut fleet, interval)).unwrap();
    }
    println!("{} runs, and the buffer:", store.run_count());
    questions(&store, devices, minutes);
    store.roll().unwrap();
    let quiet = fleet::START_MS + 40 * 86_400_000;
    for now in [quiet, 2 * quiet] {
        while store.maintain(now).unwrap() {}
    }
    println!("{} runs:", store.run_count());
    questions(&store, devices, minutes);
}

fn batch(fleet: &mut Fleet, interval: i64) -> WriteBatch {
    let rows = fleet.rows(interval..interval + 1);
    let mut readings = Readings::new();
    for row in 0..rows.len() {
        let device = readings.device(&format!("device-{:06}", rows.key(row).entity.device())).unwrap();
        for column in rows.columns() {
            let metric = readings.metric(&fleet::name(column.no)).unwrap();
            readings.push(device, metric, rows.when(row), column.cells.get(row).unwrap());
        }
    }
    let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
    let spans = vec![Span { source, from: interval as u64, to: interval as u64 + 1 }];
    let readings = BTreeMap::from([(TenantId::default_tenant(), readings)]);
    WriteBatch { readings, spans, ..WriteBatch::default() }
}

fn questions(store: &Parquet, devices: u32, minutes: i64) {
    let tenant = TenantId::default_tenant();
    let metric = MetricName::parse("temperature").unwrap();
    let device = |n: u32| DeviceId::parse(&format!("device-{:06}", n * 37 % devices)).unwrap();
    measure("latest values of a device", |n| {
        assert_eq!(store.latest(&tenant, &device(n)).unwrap().len(), fleet::METRICS_PER_DEVICE);
    });
    let at = |ms| Timestamp::from_millis(ms).unwrap();
    let all = at(fleet::START_MS - 1000)..at(fleet::START_MS + (minutes + 10) * 60_000);
    measure("one metric of a device, all", |n| {
        let mut count = 0;
        let mut visit = |_| {
            count += 1;
            true
        };
        store.points(&tenant, &device(n), &metric, all.clone(), &mut visit).unwrap();
        assert!(count >= minutes * 6 + 28, "{count}");
    });
}

fn measure(what: &str, mut ask: impl FnMut(u32)) {
    let mut took: Vec<_> = (0..400)
        .map(|n| {
            let began = Instant::now();
            ask(n);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("{what}: median {:?}, p99 {:?}", took[200], took[396]);
}
