//! What a turn writes into the books: many devices, a message each, in short and in long turns; and devices that are new.

use std::collections::BTreeMap;
use std::path::Path;

use penstock_series::parquet::store::Options;
use penstock_series::{
    AccountEntry, AccountKey, Amounts, Note, Parquet, SeriesReader, SeriesWriter, Source, Span, WriteBatch,
};
use record::{DeviceId, Lane, Readings, TenantId, Timestamp, ValueRef, When};
use rusqlite::Connection;

use crate::Took;
use crate::fleet::{self, METRICS_PER_DEVICE, START_MS};

/// What one page takes in the write-ahead file.
const FRAME_BYTES: u64 = 4096 + 24;
/// How often each device sends while short and long turns are measured.
const ROUNDS: u32 = 20;

/// Primes, so that all devices have their turn; each time round in another order.
const STRIDES: [u64; 3] = [7919, 104_729, 611_953];

/// Known devices in turns of so many messages, then the devices of `new`, which nobody knows, twice each.
pub(crate) fn report(devices: u32, new: u32, dir: &Path) {
    for messages in [200, 5_000] {
        known(devices, messages.min(devices), &dir.join(format!("turns-{messages}")));
    }
    strangers(new, &dir.join("new"));
}

fn open(dir: &Path) -> Parquet {
    Parquet::open(dir, Options { buffer_bytes: 8 << 30, ..Options::default() }).unwrap()
}

fn known(devices: u32, messages: u32, dir: &Path) {
    let store = open(dir);
    let mut turns = Turns { next: 0, devices, messages };
    for _ in 0..devices / messages {
        store.write(&turns.next()).unwrap();
    }
    store.roll().unwrap();
    // The file only grows while somebody reads what was there before.
    let reader = Connection::open(dir.join("manifest.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT 1 FROM position LIMIT 1;").unwrap();
    let ahead = || std::fs::metadata(dir.join("manifest.db-wal")).unwrap().len();
    let before = ahead();
    let (mut wrote, count) = (Took::default(), devices / messages * ROUNDS);
    for _ in 0..count {
        let batch = turns.next();
        wrote.by(|| store.write(&batch)).unwrap();
    }
    let readings = u64::from(count) * u64::from(messages) * METRICS_PER_DEVICE as u64;
    let bytes = (ahead() - before) / u64::from(count);
    println!(
        "{devices} devices, turns of {messages} messages: {}, {:.1} ns a reading; {} pages, {bytes} bytes a turn",
        wrote.speed(readings),
        wrote.nanos_each(readings),
        bytes / FRAME_BYTES,
    );
    let mut rolled = Took::default();
    drop(reader);
    rolled.by(|| store.roll()).unwrap();
    println!("  and rolled: {}", rolled.speed(readings));
    let last = store.device(&TenantId::default_tenant(), &device(0)).unwrap().unwrap().last_seen;
    assert_eq!(last, arrival(u64::from(ROUNDS) * u64::from(devices / messages)));
}

fn strangers(devices: u32, dir: &Path) {
    let store = open(dir);
    let mut turns = Turns { next: 0, devices, messages: 5_000.min(devices) };
    for what in ["new", "known to the books"] {
        let mut wrote = Took::default();
        for _ in 0..devices / turns.messages {
            let batch = turns.next();
            wrote.by(|| store.write(&batch)).unwrap();
        }
        let readings = u64::from(devices) * METRICS_PER_DEVICE as u64;
        let (speed, nanos) = (wrote.speed(readings), wrote.nanos_each(readings));
        println!("{devices} devices, all of them {what}: {speed}, {nanos:.0} ns a reading");
        store.roll().unwrap();
    }
    let series = store.cardinality(&TenantId::default_tenant()).unwrap().series;
    assert_eq!(series, u64::from(devices) * METRICS_PER_DEVICE as u64);
    drop(store);
    let size = std::fs::metadata(dir.join("manifest.db")).unwrap().len();
    println!("  the books of {series} series: {size} bytes");
}

fn device(no: u32) -> DeviceId {
    DeviceId::parse(&format!("device-{no:06}")).unwrap()
}

fn arrival(turn: u64) -> Timestamp {
    Timestamp::from_millis(START_MS + 100 * turn as i64).unwrap()
}

/// Turns of a message from each of the devices that are next.
struct Turns {
    next: u64,
    devices: u32,
    messages: u32,
}

impl Turns {
    fn next(&mut self) -> WriteBatch {
        let turn = self.next;
        self.next += 1;
        let mut readings = Readings::new();
        let (first, devices) = (turn * u64::from(self.messages), u64::from(self.devices));
        let when = When::by_device(arrival(turn), arrival(turn));
        for n in first..first + u64::from(self.messages) {
            let no = (n * STRIDES[(n / devices % 3) as usize] % devices) as u32;
            let device = readings.device(device(no).as_str()).unwrap();
            for column in 0..METRICS_PER_DEVICE as u32 {
                let metric =
                    readings.metric(&fleet::name(penstock_series::parquet::ColumnNo(column))).unwrap();
                let value = ValueRef::Float(f64::from(no + column) + turn as f64 / 8.0);
                readings.push(device, metric, when, value);
            }
        }
        batch(turn, i64::from(self.messages), readings)
    }
}

/// As the stream writes it: beside its readings a batch has a line of the account, a note, and says which note is not needed
/// any more.
fn batch(turn: u64, messages: i64, readings: Readings) -> WriteBatch {
    let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
    let minute = Timestamp::from_millis(START_MS + 100 * turn as i64 / 60_000 * 60_000).unwrap();
    let key = AccountKey { tenant: "default".into(), topic: "devices/{id}/telemetry".into(), minute };
    let stored = readings.len() as i64;
    let amounts = Amounts { records: messages, accepted: stored, stored, ..Amounts::default() };
    WriteBatch {
        readings: BTreeMap::from([(TenantId::default_tenant(), readings)]),
        account: vec![AccountEntry { key, amounts }],
        notes: vec![Note { partition: 0, number: turn, bytes: vec![7; 400] }],
        forget: vec![(0, turn.saturating_sub(8))],
        spans: vec![Span { source, from: turn, to: turn + 1 }],
        ..WriteBatch::default()
    }
}
