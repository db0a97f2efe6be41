//! What a crash leaves: the same as if there had been none.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::{Lane, Log, MemoryLog};
use penstock_stream::{Facts, Parts, Settings, start};
use proptest::prelude::*;
use record::{DeviceId, MetricName, TenantId, Timestamp};
use series::{Amounts, Memory, SeriesAudit, SeriesReader, SeriesWriter, WindowRow, WriteBatch};

use crate::{ARRIVED, append, memory_log, message, parts, plan};

pub(crate) const ALWAYS: std::ops::Range<Timestamp> =
    Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX);
const SECOND: i64 = 1_000_000_000;
pub(crate) const DEVICES: i64 = 7;

/// One record: of a device, so many seconds after the beginning, in a lane.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) device: i64,
    pub(crate) second: i64,
    pub(crate) value: i64,
    pub(crate) lane: Lane,
    pub(crate) broken: bool,
}

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    let live = (0..DEVICES, 0..400_i64, 0..3_i64, 0..20_u8).prop_map(|(device, second, value, broken)| {
        Sent { device, second, value, lane: Lane::Live, broken: broken == 0 }
    });
    // History stands hours before what is live, so that the order in which lanes are read changes nothing.
    let history =
        live.clone().prop_map(|sent| Sent { second: sent.second - 20_000, lane: Lane::Backfill, ..sent });
    prop_oneof![3 => live, 1 => history]
}

pub(crate) async fn send(log: &dyn Log, n: usize, sent: &Sent) {
    let device = format!("d{}", sent.device);
    let arrived_at = Timestamp::from_nanos(ARRIVED.nanos() + n as i64 * SECOND);
    let ts = ARRIVED.nanos() / SECOND + sent.second;
    let payload = match sent.broken {
        true => format!(r#"[{{"ts":{ts},"metric":"a","value":{}}},{{"metric":3}}]"#, sent.value),
        false => format!(r#"{{"ts":{ts},"metrics":{{"a":{0},"b":{0}.5,"c":"x{0}"}}}}"#, sent.value),
    };
    let envelope = message(&device, "devices/x/telemetry", &payload);
    append(log, sent.lane, &record::Envelope { arrived_at, ..envelope }).await;
}

/// Everything there is to see, but for which windows were published more than once: that depends on when.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) account: BTreeMap<(String, Timestamp), Amounts>,
    pub(crate) points: Vec<String>,
    pub(crate) late: Vec<String>,
    pub(crate) superseded: Vec<String>,
    pub(crate) dead: Vec<String>,
    pub(crate) windows: Vec<WindowRow>,
}

pub(crate) fn seen(store: &Memory) -> Seen {
    let tenant = TenantId::default_tenant();
    let account = store.account(None, ALWAYS).unwrap().into_iter();
    let (mut points, mut windows) = (Vec::new(), Vec::new());
    for device in 0..DEVICES {
        let device = DeviceId::parse(&format!("d{device}")).unwrap();
        for metric in ["a", "b", "c"].map(|metric| MetricName::parse(metric).unwrap()) {
            let see = &mut |point| {
                points.push(format!("{device:?} {metric:?} {point:?}"));
                true
            };
            store.points(&tenant, &device, &metric, ALWAYS, see).unwrap();
            windows.extend(store.windows(&tenant, &device, &metric, ALWAYS).unwrap());
        }
    }
    windows.iter_mut().for_each(|window| window.revised = false);
    let mut dead = store.dead_messages("default", 9999).unwrap();
    dead.iter_mut().for_each(|dead| dead.last_at = dead.arrived_at); // by the log's own clock
    Seen {
        account: account.map(|line| ((line.key.topic, line.key.minute), line.amounts)).collect(),
        points,
        late: store.late(&tenant, 9999).unwrap().iter().map(|late| format!("{:?}", late.reading)).collect(),
        superseded: store.superseded(&tenant, 9999).unwrap().iter().map(|s| format!("{s:?}")).collect(),
        dead: dead.iter().map(|dead| format!("{dead:?}")).collect(),
        windows,
    }
}

type Window = (DeviceId, MetricName, String, Timestamp);

pub(crate) struct World {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) store: Arc<Memory>,
    /// With them, clean records are wanted.
    pub(crate) facts: Option<Arc<dyn Facts>>,
    clock: Arc<AtomicI64>,
    checkpoints: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(ARRIVED.nanos()));
        Self {
            log: memory_log(),
            store: Arc::new(Memory::with_power_cuts()),
            facts: None,
            clock,
            checkpoints: tempfile::tempdir().unwrap(),
        }
    }

    fn parts(&self) -> Parts {
        let clock = Arc::clone(&self.clock);
        let mut settings = Settings::default().with_plan(plan(&["1m at least 2", "5m"]));
        (settings.checkpoint_every, settings.recent_keys) = (Duration::from_millis(2), 4);
        settings.tick_every = Duration::from_millis(5);
        settings.clean = self.facts.is_some();
        Parts {
            facts: self.facts.clone(),
            settings: Arc::new(settings),
            checkpoints: Some(self.checkpoints.path().to_owned()),
            clock: Arc::new(move || Timestamp::from_nanos(clock.load(Ordering::Relaxed))),
            ..parts(&self.log, &self.store)
        }
    }

    /// Lets the stream run for a while and drops it where it is.
    pub(crate) fn run_and_crash(&self, records: &[(usize, &Sent)], turns: u32) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = start(self.parts()).await.unwrap();
            assert_eq!(stream.monitor().counts().cold_starts, 0);
            for (n, sent) in records {
                send(&*self.log, *n, sent).await;
                if (*n as u32).is_multiple_of(turns.max(1)) {
                    tokio::task::yield_now().await;
                }
            }
            assert_eq!(stream.monitor().counts().disagreements, 0);
        });
        runtime.shutdown_timeout(Duration::from_secs(10)); // the turn in hand ends; what comes after it does not
    }

    fn each_series(&self, mut each: impl FnMut(&TenantId, &DeviceId, &MetricName)) {
        let tenant = TenantId::default_tenant();
        for device in (0..DEVICES).map(|device| DeviceId::parse(&format!("d{device}")).unwrap()) {
            for metric in ["a", "b", "c"].map(|metric| MetricName::parse(metric).unwrap()) {
                each(&tenant, &device, &metric);
            }
        }
    }

    fn published(&self) -> BTreeMap<Window, (u64, f64, f64, f64)> {
        let mut found = BTreeMap::new();
        self.each_series(|tenant, device, metric| {
            for row in self.store.windows(tenant, device, metric, ALWAYS).unwrap() {
                let window = (device.clone(), metric.clone(), row.key.window.to_string(), row.key.start);
                found.insert(window, (row.count, row.sum, row.min, row.max));
            }
        });
        found
    }

    fn expected(&self) -> BTreeMap<Window, (u64, f64, f64, f64)> {
        let mut expected: BTreeMap<Window, (u64, f64, f64, f64)> = BTreeMap::new();
        self.each_series(|tenant, device, metric| {
            let visit = &mut |point: series::Point| {
                let Some(value) = point.value.as_ref().as_f64() else { return true };
                for (name, size) in [("1m", 60 * SECOND), ("5m", 300 * SECOND)] {
                    let start = Timestamp::from_nanos(point.time.nanos().div_euclid(size) * size);
                    let window = (device.clone(), metric.clone(), name.to_owned(), start);
                    let row = expected.entry(window).or_insert((0, 0.0, value, value));
                    *row = (row.0 + 1, row.1 + value, row.2.min(value), row.3.max(value));
                }
                true
            };
            self.store.points(tenant, device, metric, ALWAYS, visit).unwrap();
        });
        expected.retain(|(_, _, name, _), (count, ..)| name == "5m" || *count >= 2);
        expected
    }

    /// Lets it catch up, time pass, and the windows be published.
    pub(crate) fn finish(&self, cold_starts: u64) -> Seen {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = start(self.parts()).await.unwrap();
            assert!(stream.caught_up().await);
            // Every window of the stored points is published in the end, and no other: counted, summed up, and bounded.
            for _ in 0..2000 {
                self.clock.fetch_add(3600 * SECOND, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await; // some ticks
                if self.published() == self.expected() {
                    break;
                }
            }
            assert_eq!(self.published(), self.expected());
            let counts = stream.monitor().counts();
            assert_eq!((counts.disagreements, counts.cold_starts), (0, cold_starts));
            stream.shutdown().await;
        });
        seen(&self.store)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_stream_that_crashes_ends_where_one_does_that_does_not(
        records in prop::collection::vec(sent(), 1..300),
        crashes in prop::collection::vec((any::<prop::sample::Index>(), 1..40_u32, any::<bool>()), 0..5),
    ) {
        let whole = World::new();
        let records: Vec<(usize, &Sent)> = records.iter().enumerate().collect();
        whole.run_and_crash(&records, 1000);
        let expected = whole.finish(0);

        let world = World::new();
        let mut from = 0;
        let mut crashes: Vec<(usize, u32, bool)> =
            crashes.iter().map(|(at, turns, cut)| (at.index(records.len()), *turns, *cut)).collect();
        crashes.sort_unstable();
        for (at, turns, power_is_cut) in crashes {
            world.run_and_crash(&records[from..at], turns);
            if power_is_cut {
                // The store forgets what it was not told to keep; log and checkpoints are on disk.
                world.store.cut_power();
            }
            from = at;
        }
        world.run_and_crash(&records[from..], 3);
        prop_assert_eq!(world.finish(0), expected);
        let residue: i64 = whole.store.account(None, ALWAYS).unwrap().iter().map(|line| line.amounts.residue()).sum();
        prop_assert_eq!(residue, 0);
    }
}

/// Damages every file of the folder.
fn damage(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn without_any_state_readings_are_still_stored_once() {
    let world = World::new();
    let records: Vec<Sent> = (0..60)
        .map(|n| Sent { device: n % DEVICES, second: n, value: 1, lane: Lane::Live, broken: false })
        .collect();
    let numbered: Vec<(usize, &Sent)> = records.iter().enumerate().collect();
    world.run_and_crash(&numbered, 1);
    let before = world.finish(0);
    damage(world.checkpoints.path());
    let forget = (0..4).map(|partition| (partition, u64::MAX >> 1)).collect();
    world.store.write(&WriteBatch { forget, ..WriteBatch::default() }).unwrap();
    for (n, sent) in &numbered {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(send(&*world.log, *n, sent));
    }
    let after = world.finish(4);
    assert_eq!(after.points, before.points);
    assert_eq!(after.superseded, before.superseded);
    let total = |seen: &Seen| {
        let mut sum = Amounts::default();
        seen.account.values().for_each(|amounts| sum += *amounts);
        sum
    };
    assert_eq!(total(&after).duplicate, total(&before).duplicate + 180);
    assert_eq!(total(&after).residue(), 0);
}
