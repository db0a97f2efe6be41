//! Other settings over the same log, into a store of their own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log::{Clock, Extent, Lane, Log, MemoryLog, PartitionId, Partitions, Topic};
use penstock_stream::config::Config;
use penstock_stream::{Ended, Parts, Progress, READER, Settings, Stretch, reprocess, start};
use record::{Encoding, Kind, ReplayOf, Timestamp};
use series::{Memory, SeriesAudit, SeriesReader};

use crate::recovery::{ALWAYS, Seen, Sent, seen, send};
use crate::{ARRIVED, append, memory_log, message, parts, reading, values};

/// Other windows, no patience with late readings, and a limit.
const OTHERS: &str = r#"
    allowed_lateness_s = 1
    windows = ["10s", "session 20s"]
    recent_keys = 4
    [[limit]]
    metric = "a"
    max = 1.0
"#;

fn settings(text: &str) -> Arc<Settings> {
    let mut settings = toml::from_str::<Config>(text).unwrap().validate().unwrap();
    settings.tick_every = Duration::from_millis(5);
    Arc::new(settings)
}

fn trial(log: &Arc<MemoryLog>, store: &Arc<Memory>, text: &str) -> Parts {
    Parts { settings: settings(text), ..parts(log, store) }
}

/// A day of a small fleet: late readings, duplicates, corrections, broken messages, history.
async fn day(log: &MemoryLog) {
    let mut chance: i64 = 7;
    let mut next = |below: i64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33).rem_euclid(below)
    };
    for n in 0..400 {
        let lane = if next(4) == 0 { Lane::Backfill } else { Lane::Live };
        // History stands hours before what is live, so that the order in which lanes are read changes nothing.
        let second = next(400) - if lane == Lane::Backfill { 20_000 } else { 0 };
        let sent = Sent { device: next(7), second, value: next(3), lane, broken: next(20) == 0 };
        send(log, n, &sent).await;
    }
}

fn extents(log: &MemoryLog) -> Vec<Extent> {
    let lanes = [Lane::Live, Lane::Backfill];
    let all = Topic::ALL.into_iter().flat_map(|topic| {
        lanes.into_iter().flat_map(move |lane| {
            (0..log.partitions(topic)).map(move |index| PartitionId { topic, lane, index })
        })
    });
    all.map(|partition| log.extent(partition).unwrap()).collect()
}

/// What a live stream with these settings makes of the log, once time has passed until it shows `windows`.
async fn lived(log: &Arc<MemoryLog>, text: &str, windows: usize) -> Seen {
    let store = Arc::new(Memory::new());
    let clock = Arc::new(AtomicI64::new(ARRIVED.nanos()));
    let time = Arc::clone(&clock);
    let clocked = Parts {
        clock: Arc::new(move || Timestamp::from_nanos(time.load(Ordering::Relaxed))),
        ..trial(log, &store, text)
    };
    let stream = start(clocked).await.unwrap();
    assert!(stream.caught_up().await);
    for _ in 0..300 {
        clock.fetch_add(3_600_000_000_000, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await; // some ticks
        if seen(&store).windows.len() == windows {
            break;
        }
    }
    stream.shutdown().await;
    seen(&store)
}

#[tokio::test]
async fn it_makes_what_a_live_stream_would_and_touches_nothing_else() {
    let (log, store, other) = (memory_log(), Arc::new(Memory::new()), Arc::new(Memory::new()));
    day(&log).await;
    let live = start(parts(&log, &store)).await.unwrap();
    assert!(live.caught_up().await);
    let checkpoint = (extents(&log), seen(&store));
    let stretch = Stretch::of(&*log, None).await.unwrap();
    assert_eq!(stretch.records(), 400);
    // What comes from now on is not part of it.
    reading(&*log, Lane::Live, "d0", 500, 1).await;
    assert!(live.caught_up().await);
    let before = (extents(&log), seen(&store), live.monitor().counts());
    assert_ne!(before.0, checkpoint.0);
    let monitor = Some(live.monitor().clone());
    let running = reprocess(trial(&log, &other, OTHERS), stretch, monitor).await.unwrap();
    let gauge = running.gauge();
    assert_eq!(running.ended().await, Ended::Complete);
    assert_eq!(gauge.progress(), Progress { done: 400, total: 400 });
    assert_eq!((gauge.counts().records, gauge.counts().disagreements), (400, 0));
    let after = (extents(&log), seen(&store), live.monitor().counts());
    assert!(before == after, "log and live store stay as they were");
    live.shutdown().await;
    let positions = log.committed(READER).unwrap();
    assert_eq!(positions.iter().map(|at| at.offset).sum::<u64>(), 401, "they are the live stream's own");

    let tried = seen(&other);
    let residue: i64 = other.account(None, ALWAYS).unwrap().iter().map(|line| line.amounts.residue()).sum();
    assert_eq!(residue, 0);
    assert!(tried.windows.iter().all(|row| ["10s", "session 20s"].contains(&&*row.key.window)));
    assert!(tried.dead.len() > before.1.dead.len() && tried.late.len() > before.1.late.len());
    // The same records for a live stream that begins anew: all but the one that came later.
    let again = memory_log();
    day(&again).await;
    let expected = lived(&again, OTHERS, tried.windows.len()).await;
    let lacking = |these: &Seen, those: &Seen| {
        let shown = these.windows.iter().filter(|row| !those.windows.contains(row));
        shown.map(|row| format!("{row:?}")).collect::<Vec<_>>()
    };
    assert_eq!((lacking(&tried, &expected), lacking(&expected, &tried)), (vec![], vec![]));
    assert_eq!((tried.points, tried.account), (expected.points, expected.account));
    assert_eq!((tried.late, tried.superseded), (expected.late, expected.superseded));
    assert_eq!(tried.dead, expected.dead);
}

/// Stops it as soon as it has begun, and goes on, until it is through.
async fn with_stops(log: &Arc<MemoryLog>, checkpoints: &Path, stretch: &Stretch) -> (u32, Seen) {
    let store = Arc::new(Memory::new());
    let mut stops = 0;
    loop {
        let parts = Parts { checkpoints: Some(checkpoints.to_owned()), ..trial(log, &store, OTHERS) };
        let running = reprocess(parts, stretch.clone(), None).await.unwrap();
        let (gauge, stopper) = (running.gauge(), running.stopper());
        let before = gauge.progress().done;
        let end = tokio::spawn(running.ended());
        while gauge.progress().done == before && !end.is_finished() {
            tokio::task::yield_now().await;
        }
        stopper.stop();
        match end.await.unwrap() {
            Ended::Stopped => stops += 1,
            ended => {
                assert_eq!(ended, Ended::Complete);
                return (stops, seen(&store));
            }
        }
    }
}

#[tokio::test]
async fn stopped_it_goes_on_where_it_stood() {
    let log = memory_log();
    day(&log).await;
    let stretch = Stretch::of(&*log, None).await.unwrap();
    // As it is written down between two runs.
    let written = toml::to_string(&stretch).unwrap();
    assert_eq!(toml::from_str::<Stretch>(&written).unwrap(), stretch);
    let whole = Arc::new(Memory::new());
    let running = reprocess(trial(&log, &whole, OTHERS), stretch.clone(), None).await.unwrap();
    assert_eq!(running.ended().await, Ended::Complete);
    let folder = tempfile::tempdir().unwrap();
    let (stops, in_pieces) = with_stops(&log, folder.path(), &stretch).await;
    assert!(stops > 0);
    assert_eq!(in_pieces, seen(&whole));
}

struct Minutes(Arc<AtomicI64>);

impl Clock for Minutes {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(60_000, Ordering::Relaxed)
    }
}

#[tokio::test]
async fn it_begins_where_it_is_told_and_ends_where_the_log_did() {
    let began = ARRIVED.nanos() / 1_000_000;
    let clock = Minutes(Arc::new(AtomicI64::new(began)));
    let log = Arc::new(MemoryLog::with_clock(Partitions::uniform(4).unwrap(), clock));
    for second in 0..10 {
        reading(&*log, Lane::Live, "d1", second, second).await;
    }
    let minutes = |n: i64| Some(Timestamp::from_nanos((began + n * 60_000) * 1_000_000));
    for (since, expected) in [(None, 10), (minutes(-5), 10), (minutes(4), 6), (minutes(100), 0)] {
        let store = Arc::new(Memory::new());
        let stretch = Stretch::of(&*log, since).await.unwrap();
        assert_eq!(stretch.records(), expected, "{since:?}");
        let running = reprocess(trial(&log, &store, ""), stretch, None).await.unwrap();
        assert_eq!(running.ended().await, Ended::Complete);
        assert_eq!(values(&store, "d1").len() as u64, expected);
    }
    // What retention takes before it is read is told, and is no end.
    let stretch = Stretch::of(&*log, None).await.unwrap();
    log.expire(crate::partition(&*log, Lane::Live, "d1"), 3).unwrap();
    let store = Arc::new(Memory::new());
    let running = reprocess(trial(&log, &store, ""), stretch.clone(), None).await.unwrap();
    assert_eq!(running.gauge().progress().total, 10);
    assert_eq!(running.ended().await, Ended::Complete);
    assert_eq!((values(&store, "d1").len(), store.dead_messages("", 9).unwrap().len()), (7, 1));
    // All of it taken, and more: the hole ends where the stretch does.
    reading(&*log, Lane::Live, "d1", 11, 1).await;
    log.expire(crate::partition(&*log, Lane::Live, "d1"), 11).unwrap();
    let store = Arc::new(Memory::new());
    let running = reprocess(trial(&log, &store, ""), stretch, None).await.unwrap();
    let gauge = running.gauge();
    assert_eq!(running.ended().await, Ended::Complete);
    assert_eq!((gauge.progress().done, gauge.counts().lost), (10, 10));
}

#[tokio::test]
async fn a_replay_in_the_log_mends_what_is_dead_in_the_trial() {
    let log = memory_log();
    append(&*log, Lane::Live, &message("d1", "devices/d1/telemetry", r#"[{"ts":1,"metric":"m","value":]"#))
        .await;
    let place = crate::partition(&*log, Lane::Live, "d1");
    let of = ReplayOf { topic: Topic::Raw as u8, lane: Lane::Live, partition: place.index, offset: 0 };
    let properties = of.to_bytes();
    let mended = message("d1", "devices/d1/telemetry", r#"[{"ts":1,"metric":"m","value":4}]"#);
    let mended =
        record::Envelope { kind: Kind::Replay, encoding: Encoding::Json, properties: &properties, ..mended };
    append(&*log, Lane::Backfill, &mended).await;
    let store = Arc::new(Memory::new());
    let stretch = Stretch::of(&*log, None).await.unwrap();
    let running = reprocess(trial(&log, &store, ""), stretch, None).await.unwrap();
    assert_eq!(running.ended().await, Ended::Complete);
    assert_eq!(values(&store, "d1").len(), 1);
    assert!(store.dead_messages("default", 9).unwrap().is_empty());
}
