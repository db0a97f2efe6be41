//! The embedded backend on this machine's disk.

use std::path::PathBuf;
use std::sync::Arc;

use log::conformance::{self, Subject};
use log::{
    Batch, BoxFuture, Compression, EmbeddedLog, Error, Lane, Log, Options, PartitionId, Partitions, Position,
    Retention, Topic,
};
use parking_lot::Mutex;
use tempfile::TempDir;

const P0: PartitionId = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 0 };

/// Every fresh log in a directory of its own.
struct Embedded {
    options: Options,
    dirs: Mutex<Vec<TempDir>>,
}

impl Embedded {
    fn new(options: Options) -> Self {
        Self { options, dirs: Mutex::default() }
    }

    fn last_dir(&self) -> PathBuf {
        self.dirs.lock().last().unwrap().path().to_owned()
    }
}

impl Subject for Embedded {
    fn fresh(&self) -> Arc<dyn Log> {
        self.dirs.lock().push(tempfile::tempdir().unwrap());
        Arc::new(EmbeddedLog::open(&self.last_dir(), self.options.clone()).unwrap())
    }

    fn again(&self, log: Arc<dyn Log>) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        Box::pin(async move {
            log.close().await.unwrap();
            drop(log);
            let log = EmbeddedLog::open(&self.last_dir(), self.options.clone()).unwrap();
            Some(Arc::new(log) as Arc<dyn Log>)
        })
    }

    fn expire(&self, log: &Arc<dyn Log>, partition: PartitionId) {
        // Retention looks at every tick of the writer.
        for _ in 0..1000 {
            if log.extent(partition).unwrap().start > 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("retention did nothing");
    }
}

/// Small enough that the suite crosses many segments and leaves the tail.
fn small() -> Options {
    Options {
        segment_bytes: 32 << 10,
        index_interval_bytes: 1 << 10,
        tail_bytes: 4 << 10,
        frame_bytes: 2 << 10,
        ..Options::default()
    }
}

/// The suite's case of retention appends 400 kB, all others less.
fn expiring() -> Retention {
    Retention { max_bytes: Some(350 << 10), ..Retention::default() }
}

#[tokio::test]
async fn conforms() {
    conformance::run(&Embedded::new(Options { retention: expiring(), ..small() })).await;
}

#[tokio::test]
async fn conforms_compressed() {
    for compression in [Compression::Lz4, Compression::Zstd(1)] {
        let retention = Retention { max_bytes: Some(20 << 10), ..Retention::default() };
        let options = Options { compression, retention, segment_bytes: 4 << 10, ..small() };
        conformance::run(&Embedded::new(options)).await;
    }
}

fn at(offset: u64) -> Position {
    Position { partition: P0, offset }
}

fn batch(value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.push(P0, value);
    batch
}

#[tokio::test]
async fn a_directory_has_one_log_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), small()).unwrap();
    let second = EmbeddedLog::open(dir.path(), small()).map(drop).unwrap_err();
    assert!(matches!(&second, Error::Open { .. }), "{second}");
    assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
    log.close().await.unwrap();
    EmbeddedLog::open(dir.path(), small()).unwrap();
}

#[tokio::test]
async fn partitions_are_fixed_when_a_log_is_created() {
    let dir = tempfile::tempdir().unwrap();
    drop(EmbeddedLog::open(dir.path(), small()).unwrap());
    let partitions = Partitions::default().with(Topic::Raw, 17).unwrap();
    let error = EmbeddedLog::open(dir.path(), Options { partitions, ..small() }).map(drop).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("iot-telemetry-raw") && text.contains("17") && text.contains("16"), "{text}");
}

#[tokio::test]
async fn too_large_a_batch_is_refused_and_too_many_are_busy() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { batch_bytes: 1 << 20, queue_bytes: 2 << 20, ..Options::default() };
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    let refused = log.append(batch(&vec![0; (1 << 20) + 1])).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    let all: Vec<_> = (0..200).map(|_| log.append(batch(&vec![7; 1 << 20]))).collect();
    let (mut kept, mut busy) = (0, 0);
    for one in all {
        match one.await {
            Ok(_) => kept += 1,
            Err(Error::Busy { waiting_bytes }) => {
                assert!(waiting_bytes <= 2 << 20);
                busy += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(kept > 0 && busy > 0);
    assert_eq!(log.extent(P0).unwrap().end, kept);
    assert_eq!(log.stats().busy_batches, busy);
    log.append(batch(b"again")).await.expect("once written, there is room again");
}

#[tokio::test]
async fn a_protected_reader_holds_retention_back() {
    use log::Protected;
    let dir = tempfile::tempdir().unwrap();
    let keep_for = vec![Protected { reader: "store".to_owned(), topics: vec![Topic::Raw] }];
    let retention = Retention { max_bytes: Some(1), keep_for, ..Retention::default() };
    let options = Options { retention, segment_bytes: 1 << 10, ..Options::default() };
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    for _ in 0..50 {
        log.append(batch(&[1; 200])).await.unwrap();
    }
    assert_eq!(log.extent(P0).unwrap().start, 0, "nothing was read yet");
    log.commit("store", &[at(25)]).await.unwrap();
    for _ in 0..10 {
        log.append(batch(&[1; 200])).await.unwrap();
    }
    let start = log.extent(P0).unwrap().start;
    assert!((10..=25).contains(&start), "{start}");
}
