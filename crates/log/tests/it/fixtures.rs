//! Logs written once and never again: every later version must read them. `PENSTOCK_WRITE_FIXTURES=1` writes
//! those that are not there yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use log::disk::sim::SimDisk;
use log::{
    Batch, Clock, Compression, EmbeddedLog, Lane, Log, Options, PartitionId, Partitions, Position, Sabotage,
    Topic,
};

use super::sim::world::now;

const RAW: PartitionId = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 1 };
const LATE: PartitionId = PartitionId { topic: Topic::Late, lane: Lane::Backfill, index: 0 };

const FIXTURES: [(&str, Compression); 3] =
    [("v1-plain", Compression::None), ("v1-lz4", Compression::Lz4), ("v1-zstd", Compression::Zstd(3))];

struct Steady(AtomicI64);

impl Clock for Steady {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn options(compression: Compression) -> Options {
    let partitions = Partitions::uniform(2).unwrap();
    Options { partitions, segment_bytes: 5_000, index_interval_bytes: 500, compression, ..Options::default() }
}

fn value(partition: PartitionId, i: u64) -> Vec<u8> {
    format!("{partition} {i} {}", "reading ".repeat(usize::try_from(i).unwrap() * 2)).into_bytes()
}

/// A few segments: sealed, and the last cut off with a torn frame at its end.
fn write(compression: Compression) -> SimDisk {
    let disk = SimDisk::new(1);
    let clock = Arc::new(Steady(AtomicI64::new(1_700_000_000_000)));
    let (log, mut stepper) = EmbeddedLog::open_stepped(
        Arc::new(disk.clone()),
        Arc::clone(&clock) as Arc<dyn Clock>,
        options(compression),
        0x0123_4567_89ab_cdef,
        Sabotage::default(),
    )
    .unwrap();
    for i in 0..20 {
        let mut batch = Batch::new();
        batch.push(RAW, &value(RAW, i));
        batch.push(LATE, &value(LATE, i));
        let pending = log.append(batch);
        let commit = log.commit("store", &[Position { partition: RAW, offset: i }]);
        stepper.step();
        clock.0.fetch_add(250, Ordering::Relaxed);
        now(pending).unwrap().unwrap();
        drop(commit);
    }
    disk
}

#[test]
fn what_an_earlier_version_wrote_is_read() {
    for (name, compression) in FIXTURES {
        if std::env::var_os("PENSTOCK_WRITE_FIXTURES").is_some() && !dir(name).exists() {
            std::fs::create_dir_all(dir(name)).unwrap();
            let files = write(compression).contents();
            let last = files.keys().rfind(|file| file.ends_with(".seg")).cloned();
            for (file, mut bytes) in files {
                if Some(&file) == last.as_ref() {
                    bytes.extend_from_slice(b"PkFr\x01\x00\x00\x00\x03");
                }
                std::fs::write(dir(name).join(file), bytes).unwrap();
            }
        }
        let report = log::inspect(&dir(name)).unwrap();
        assert!(report.damage.is_empty() && !report.segments.is_empty(), "{name}: {report}");
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(dir(name)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let log = EmbeddedLog::open(copy.path(), options(Compression::None)).unwrap();
        for partition in [RAW, LATE] {
            let mut reader = log.read(&[Position { partition, offset: 0 }]).unwrap();
            let mut found = Vec::new();
            while found.len() < 20 {
                let chunk = now(reader.next(100_000)).expect("without a runtime nothing waits").unwrap();
                found.extend(chunk.runs.into_iter().flat_map(|run| run.records));
            }
            for (i, record) in found.iter().enumerate() {
                assert_eq!(record.value, value(partition, i as u64), "{name}: {partition} {i}");
                assert_eq!(record.appended_ms, 1_700_000_000_000 + 250 * i as i64, "{name}");
            }
        }
        assert_eq!(log.committed("store").unwrap(), [Position { partition: RAW, offset: 19 }]);
    }
}

#[test]
fn this_version_writes_the_same_bytes() {
    for (file, bytes) in write(Compression::None).contents() {
        let fixture = std::fs::read(dir("v1-plain").join(&file)).unwrap();
        let same = fixture.get(..bytes.len()) == Some(&bytes);
        assert!(same, "{file} differs: a change of the format needs a new version and a new fixture");
    }
}

#[test]
fn the_report_is_for_people_and_for_programs() {
    let report = log::inspect(&dir("v1-plain")).unwrap();
    let text = report.to_string();
    for expected in ["no damage", "iot-telemetry-raw/1", "store", "at 19, lag 1", "2023-11-14T22:13:20.000Z"]
    {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["partitions"]["iot-telemetry-late-backfill/0"]["end"], 20);
    assert_eq!(json["readers"]["store"]["iot-telemetry-raw/1"], 19);
    assert!(log::inspect(Path::new("/")).is_err());
}
