//! The whole backend, thread included, on a disk that fills up or breaks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::disk::sim::{Fault, FaultPlan, SimDisk};
use log::{Batch, EmbeddedLog, Error, Lane, Log, Options, PartitionId, Position, SystemClock, Topic};

const P0: PartitionId = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 0 };

fn batch(value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.push(P0, value);
    batch
}

fn open(disk: &SimDisk) -> EmbeddedLog {
    let options = Options { segment_bytes: 64 << 10, tail_bytes: 1, ..Options::default() };
    EmbeddedLog::open_on(Arc::new(disk.clone()), Arc::new(SystemClock), options, 5).unwrap()
}

async fn read_all(log: &EmbeddedLog) -> usize {
    let mut reader = log.read(&[Position { partition: P0, offset: 0 }]).unwrap();
    let end = log.extent(P0).unwrap().end;
    while reader.positions()[0].offset < end {
        reader.next(1 << 20).await.unwrap();
    }
    usize::try_from(end).unwrap()
}

/// Appends until the log takes it; says how long that took.
async fn until_taken(log: &EmbeddedLog) -> Duration {
    let before = Instant::now();
    while log.append(batch(b"again")).await.is_err() {
        assert!(before.elapsed() < Duration::from_secs(10), "the log does not resume");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    before.elapsed()
}

#[tokio::test]
async fn a_full_disk_stops_appends_keeps_reads_and_ends_by_itself() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    log.append(batch(b"before")).await.unwrap();
    disk.room(Some(3_000));
    let error = loop {
        if let Err(error) = log.append(batch(&[1; 500])).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    let before = Instant::now();
    assert!(matches!(log.append(batch(b"x")).await, Err(Error::Full { .. })));
    assert!(before.elapsed() < Duration::from_millis(100), "it fails fast");
    assert!(log.stats().trouble.is_some());
    let kept = read_all(&log).await;
    assert!(kept > 1);

    // Restarted while full, it still reads.
    log.close().await.unwrap();
    drop(log);
    let log = open(&disk);
    assert_eq!(read_all(&log).await, kept);
    assert!(matches!(log.append(batch(b"x")).await, Err(Error::Full { .. })));

    disk.room(None);
    let resumed = until_taken(&log).await;
    assert!(resumed < Duration::from_secs(2), "{resumed:?}");
    assert_eq!(read_all(&log).await, kept + 1);
    assert!(log.stats().trouble.is_none());
}

#[tokio::test]
async fn a_failed_fsync_is_an_error_and_the_next_append_succeeds() {
    let disk = SimDisk::new(2);
    let log = open(&disk);
    for i in 0..20 {
        log.append(batch(b"good")).await.unwrap();
        disk.plan(FaultPlan::NextSync);
        let error = log.append(batch(b"bad")).await.unwrap_err();
        assert!(
            matches!(&error, Error::Io { operation: "fsync", place, .. } if place.contains(".seg")),
            "{error}"
        );
        assert_eq!(log.extent(P0).unwrap().end, i + 1);
        assert_eq!(log.stats().trouble, None);
    }
    drop(log);
    disk.crash();
    let log = open(&disk);
    let mut reader = log.read(&[Position { partition: P0, offset: 0 }]).unwrap();
    let mut count = 0;
    while count < 20 {
        let chunk = reader.next(1 << 20).await.unwrap();
        for record in chunk.runs.iter().flat_map(|run| &run.records) {
            assert_eq!(record.value, b"good".as_slice());
            count += 1;
        }
    }
}

#[tokio::test]
async fn a_broken_disk_is_an_error_until_it_works_again() {
    let disk = SimDisk::new(3);
    let log = open(&disk);
    log.append(batch(b"one")).await.unwrap();
    disk.plan(FaultPlan::DeadAfter(0));
    for _ in 0..3 {
        assert!(matches!(log.append(batch(b"x")).await, Err(Error::Io { .. })));
    }
    disk.plan(FaultPlan::Once(u64::MAX, Fault::Eio));
    until_taken(&log).await;
    assert_eq!(log.extent(P0).unwrap().end, 2);
}
