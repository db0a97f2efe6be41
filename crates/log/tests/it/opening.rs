//! Opening and looking from outside.

use std::sync::Arc;

use log::disk::sim::{FaultPlan, SimDisk};
use log::{Batch, EmbeddedLog, Lane, Log, Options, PartitionId, Position, SystemClock, Topic};

const P0: PartitionId = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 0 };

fn batch(value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.push(P0, value);
    batch
}

#[tokio::test]
async fn opening_reads_the_heads_and_one_segment_however_many_there_are() {
    let disk = SimDisk::new(1);
    let options = Options { segment_bytes: 4 << 10, tail_bytes: 1, ..Options::default() };
    let open =
        || EmbeddedLog::open_on(Arc::new(disk.clone()), Arc::new(SystemClock), options.clone(), 5).unwrap();
    let log = open();
    for _ in 0..300 {
        log.append(batch(&[1; 1500])).await.unwrap();
    }
    let segments = log.stats().segments;
    assert!(segments > 90);
    drop(log);
    disk.plan(FaultPlan::DeadAfter(u64::MAX)); // counts from here
    let log = open();
    assert!(disk.calls() < 6 * segments + 60, "{} calls for {segments} segments", disk.calls());

    // A reader finds its place by the index: a few reads, not all segments.
    disk.plan(FaultPlan::DeadAfter(u64::MAX));
    let mut reader = log.read(&[Position { partition: P0, offset: 150 }]).unwrap();
    assert_eq!(reader.next(1).await.unwrap().runs[0].base, 150);
    assert!(disk.calls() < 20, "{} calls", disk.calls());
}

#[tokio::test]
async fn a_log_can_be_looked_at_while_it_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), Options::default()).unwrap();
    for _ in 0..10 {
        log.append(batch(b"reading")).await.unwrap();
    }
    log.commit("store", &[Position { partition: P0, offset: 4 }]).await.unwrap();
    let report = log::inspect(dir.path()).unwrap();
    assert!(report.damage.is_empty(), "{report}");
    assert_eq!(report.partitions["iot-telemetry-raw/0"].records, 10);
    assert_eq!(report.readers["store"]["iot-telemetry-raw/0"], 4);
    log.append(batch(b"it goes on")).await.unwrap();
}
