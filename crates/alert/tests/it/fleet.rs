//! What fleets have in common is learned from all partitions, and a crash changes nothing of what new devices begin with.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::{Batch, Lane, Log, PartitionId, Topic};
use penstock_alert::{Evaluating, Parts, start};
use record::{CleanSource, Facts, Known, Learned, Readings, TenantId, Timestamp, ValueRef, When};

use crate::world::{PARTITIONS, World, states};

const FILE: &str = "fleet.priors";
const INTERVAL_NANOS: i64 = 300 * 1_000_000_000;
const PER_DAY: i64 = 288;
const START_NANOS: i64 = 1_735_516_800_000_000_000;

/// A reading: whose, of which type, the how manieth five minutes, what.
type Sent = (String, &'static str, i64, f64);

/// The shape of a day, and noise that is the same each time.
fn healthy(n: i64, device: i64) -> f64 {
    let mut dice = ((n * 64 + device).cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1;
    let mut roll = || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 11) as f64 / (1_u64 << 53) as f64
    };
    let noise = (0..12).map(|_| roll()).sum::<f64>() - 6.0;
    50.0 + 10.0 * (n as f64 / PER_DAY as f64 * std::f64::consts::TAU).sin() + noise
}

fn time(n: i64) -> Timestamp {
    Timestamp::from_nanos(START_NANOS + n * INTERVAL_NANOS)
}

/// A clock that stands where the last reading was, or further on.
struct Fleet {
    world: World,
    clock: Arc<AtomicI64>,
    offset: u64,
}

impl Fleet {
    fn new() -> Self {
        Self { world: World::new(), clock: Arc::new(AtomicI64::new(START_NANOS)), offset: 0 }
    }

    fn parts(&self, folder: &Path) -> Parts {
        let clock = Arc::clone(&self.clock);
        let mut parts = self.world.parts(folder);
        parts.settings.detectors = Arc::new(rule::Standard::default());
        parts.clock = Arc::new(move || Timestamp::from_nanos(clock.load(Ordering::Relaxed)));
        parts
    }

    fn is_at(&self, n: i64) {
        self.clock.store(time(n).nanos(), Ordering::Relaxed);
    }

    /// Clean records, as the stream writes them.
    async fn send(&mut self, sent: &[Sent]) {
        let mut batch = Batch::new();
        for (device, device_type, n, value) in sent {
            let mut readings = Readings::new();
            let (number, metric) = (readings.device(device).unwrap(), readings.metric("t").unwrap());
            readings.push(number, metric, When::by_device(time(*n), time(*n)), ValueRef::Float(*value));
            let index = record::partition_of(TenantId::DEFAULT, device, PARTITIONS);
            self.offset += 1;
            let source = CleanSource { lane: Lane::Live, partition: index, offset: self.offset, part: 0 };
            let facts = Facts { device_type: Some((*device_type).into()), ..Facts::default() };
            let known = Known::new(facts, Learned::default());
            batch.push_with(PartitionId { topic: Topic::Clean, lane: Lane::Live, index }, |out| {
                record::encode_clean(source, TenantId::DEFAULT, known.encoded(), &readings, 0..1, out);
            });
        }
        self.world.log.append(batch).await.unwrap();
    }

    /// Starts, sends, and stops when all of it was taken.
    async fn run(&mut self, folder: &Path, sent: &[Sent]) {
        let running = start(self.parts(folder)).unwrap();
        self.send(sent).await;
        taken(running, sent.len()).await;
    }
}

/// Waits until so many readings were taken, and stops.
async fn taken(running: Evaluating, readings: usize) {
    let figures = running.gauge();
    for _ in 0..12_000 {
        if figures.figures().readings >= readings as u64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(figures.figures().readings, readings as u64);
    running.shutdown().await;
}

/// Twelve devices of a type from one five minutes to others.
fn known(device_type: &'static str, range: std::ops::Range<i64>) -> Vec<Sent> {
    let of = |n: i64| (0..12).map(move |device| (format!("m{device}"), device_type, n, healthy(n, device)));
    range.flat_map(of).collect()
}

/// A new motor for eight hours, with a fault in the sixth.
fn new_motor(name: &str, from: i64) -> Vec<Sent> {
    let value = |n: i64| healthy(from + n, 50) + if n == 72 { 20.0 } else { 0.0 };
    (0..96).map(|n| (name.to_owned(), "motor", from + n, value(n))).collect()
}

fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if wanted(entry.file_name().to_str().unwrap()) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// How many alerts there are of a device.
async fn alerts_of(fleet: &Fleet, device: &str) -> usize {
    let all = states(&fleet.parts(fleet.world.folder.path()).alerts, 0).await;
    all.iter().filter(|alert| alert.split(' ').next() == Some(device)).count()
}

fn odd(world: &World) {
    let document = serde_json::from_str(r#"{"name":"odd","when":"anomaly(t) > 0.5"}"#).unwrap();
    world.parts(world.folder.path()).rules.add(&TenantId::default_tenant(), document).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_begins_with_its_fleet_and_a_crash_changes_nothing() {
    let mut fleet = Fleet::new();
    let first = fleet.world.folder.path().to_owned();
    let week = 8 * PER_DAY;
    odd(&fleet.world);
    fleet.is_at(week);
    fleet.run(&first, &known("motor", 0..week)).await;
    // As it stood then.
    let crashed = tempfile::tempdir().unwrap();
    copy(&first, crashed.path(), |name| name != FILE);
    // A motor that is new; then all others become pumps, and of motors nothing is known any more.
    let mut sent = new_motor("new", week);
    sent.extend(known("pump", week + 96..week + 97));
    fleet.is_at(week + 97);
    fleet.run(&first, &sent).await;
    let found = alerts_of(&fleet, "new").await;
    assert!(found > 0, "it was watched from its first hours on");

    // Again from the old checkpoint, with what was learned since. To the same book it says nothing new; a book that knows nothing
    // hears the same: what was known then counts for what came then.
    copy(&first, crashed.path(), |name| name == FILE);
    let again = tempfile::tempdir().unwrap();
    copy(crashed.path(), again.path(), |_| true);
    replay(&fleet, again.path(), sent.len()).await;
    assert_eq!(alerts_of(&fleet, "new").await, found);
    let mut world = World::new();
    world.log = Arc::clone(&fleet.world.log);
    odd(&world);
    let other = Fleet { world, clock: Arc::clone(&fleet.clock), offset: fleet.offset };
    replay(&other, crashed.path(), sent.len()).await;
    assert_eq!(alerts_of(&other, "new").await, found);

    // From here on a new motor is the first of its kind.
    fleet.is_at(week + 400);
    fleet.run(&first, &new_motor("newer", week + 300)).await;
    assert_eq!(alerts_of(&fleet, "newer").await, 0);
}

/// Reads what there is from a checkpoint on.
async fn replay(fleet: &Fleet, folder: &Path, readings: usize) {
    taken(start(fleet.parts(folder)).unwrap(), readings).await;
}
