//! A bit that turned round is found, and its bytes are never answered as data.

use std::collections::BTreeMap;
use std::sync::Arc;

use log::disk::sim::{SimDisk, SimRng};
use log::inspect::inspect_on;
use log::{
    Batch, Compression, EmbeddedLog, Error, Lane, Log, Lost, Offset, Options, PartitionId, Partitions,
    Position, Sabotage, Stepper, SystemClock, Topic,
};

use super::world::now;

const PARTITIONS: [PartitionId; 3] = [
    PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 0 },
    PartitionId { topic: Topic::Raw, lane: Lane::Backfill, index: 1 },
    PartitionId { topic: Topic::Alerts, lane: Lane::Live, index: 1 },
];

type Truth = BTreeMap<PartitionId, Vec<Vec<u8>>>;

fn open(disk: &SimDisk, compression: Compression) -> log::Result<(EmbeddedLog, Stepper)> {
    let options = Options {
        partitions: Partitions::uniform(2).unwrap(),
        segment_bytes: 3_000,
        index_interval_bytes: 300,
        tail_bytes: 1,
        frame_bytes: 200,
        compression,
        ..Options::default()
    };
    let disk = Arc::new(disk.clone());
    EmbeddedLog::open_stepped(disk, Arc::new(SystemClock), options, 77, Sabotage::default())
}

/// A log of several segments, closed in order or cut off, and what is in it.
fn write(seed: u64, compression: Compression, cut_off: bool) -> (SimDisk, Truth) {
    let mut rng = SimRng::new(seed);
    let disk = SimDisk::new(seed);
    let (log, mut stepper) = open(&disk, compression).unwrap();
    let mut truth = Truth::new();
    for i in 0..120_u64 {
        let mut batch = Batch::new();
        for _ in 0..1 + rng.below(4) {
            let partition = PARTITIONS[rng.below(3) as usize];
            let value = format!("{i} {}", "z".repeat(rng.below(80) as usize)).into_bytes();
            batch.push(partition, &value);
            truth.entry(partition).or_default().push(value);
        }
        let pending = log.append(batch);
        let commit = log.commit("store", &[Position { partition: PARTITIONS[0], offset: i }]);
        stepper.step();
        now(pending).unwrap().unwrap();
        drop(commit);
    }
    if !cut_off {
        let _closing = log.close();
        while stepper.step() {}
    }
    (disk, truth)
}

/// Reads a partition from its start to its end, over what is lost.
fn read(log: &EmbeddedLog, partition: PartitionId) -> (Vec<(Offset, Vec<u8>)>, Vec<Lost>) {
    let extent = log.extent(partition).unwrap();
    let (mut found, mut gaps) = (Vec::new(), Vec::new());
    let mut offset = extent.start;
    while offset < extent.end {
        let mut reader = log.read(&[Position { partition, offset }]).unwrap();
        loop {
            match now(reader.next(500)) {
                None => return (found, gaps),
                Some(Ok(chunk)) => {
                    for run in chunk.runs {
                        assert_eq!(run.base, offset);
                        found.extend((run.base..).zip(run.records.iter().map(|r| r.value.to_vec())));
                        offset += run.records.len() as u64;
                    }
                }
                Some(Err(Error::Damaged { lost: Some(lost), .. })) => {
                    assert_eq!((lost.partition, lost.from), (partition, offset));
                    assert!(lost.to > lost.from);
                    gaps.push(lost);
                    offset = lost.to;
                    break;
                }
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }
    (found, gaps)
}

#[test]
fn every_flipped_bit_is_found_and_none_is_answered_as_data() {
    let mut rng = SimRng::new(1);
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd(3)] {
        for cut_off in [false, true] {
            let (disk, truth) = write(5, compression, cut_off);
            let segments: Vec<_> =
                disk.contents().into_iter().filter(|(name, _)| name.ends_with(".seg")).collect();
            assert!(segments.len() > 4);
            let whole = inspect_on(&disk).unwrap();
            assert!(whole.damage.is_empty(), "{whole}");
            for _ in 0..200 {
                let (name, bytes) = &segments[rng.below(segments.len() as u64) as usize];
                let (byte, bit) = (rng.below(bytes.len() as u64) as usize, rng.below(8) as u8);
                let flipped = disk.fork();
                flipped.flip(name, byte, bit);
                check(
                    &flipped,
                    &truth,
                    compression,
                    &format!("{compression:?} {name} byte {byte} bit {bit}"),
                );
            }
        }
    }
}

fn check(disk: &SimDisk, truth: &Truth, compression: Compression, which: &str) {
    let report = inspect_on(disk).unwrap();
    let last = report.segments.last().unwrap();
    let is_found = !report.damage.is_empty() || last.file_bytes > last.valid_bytes;
    assert!(is_found, "{which}: not found\n{report}");
    let is_in_last_group = report.damage.is_empty();

    let (log, _stepper) = open(disk, compression).unwrap_or_else(|error| panic!("{which}: {error}"));
    for (&partition, truth) in truth {
        let (found, gaps) = read(&log, partition);
        for (offset, value) in &found {
            assert_eq!(truth.get(*offset as usize), Some(value), "{which}: {partition} {offset}");
        }
        let lost: u64 = gaps.iter().map(|lost| lost.to.min(truth.len() as u64) - lost.from).sum();
        // The last group of a log that was cut off cannot be told from one that a crash has torn.
        if !is_in_last_group {
            assert_eq!(found.len() as u64 + lost, truth.len() as u64, "{which}: {partition} {gaps:?}");
        }
    }
}

#[test]
fn a_lost_segment_is_a_gap_and_not_a_silence() {
    let (disk, truth) = write(6, Compression::None, false);
    let name = disk.contents().into_keys().filter(|name| name.ends_with(".seg")).nth(2).unwrap();
    log::disk::Disk::remove(&disk, &name).unwrap();
    let (log, _stepper) = open(&disk, Compression::None).unwrap();
    for (&partition, truth) in &truth {
        let (found, gaps) = read(&log, partition);
        assert_eq!(gaps.len(), 1);
        assert_eq!(found.len() as u64 + gaps[0].to - gaps[0].from, truth.len() as u64);
    }
}
