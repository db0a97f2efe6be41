//! What the stream's memory does over a long time.
//!
//! `cargo bench -p penstock-stream --bench memory [-- MILLIONS DEVICES]`
//!
//! MILLIONS of readings (100) of DEVICES (100 000) with 20 metrics each, or so many device ids that are all different
//! (`--bench memory -- ids`) against a budget of 100 000, go through the stream into a store that throws away what it is
//! given. The messages are made as they are read. Reported: what is in use on the heap and the resident memory of the process
//! along the way, and at the end the sizes of allocation that take most.

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

mod fleet;
mod heap;

use std::sync::Arc;

use bytes::Bytes;
use fleet::{BEGIN_NANOS, METRICS, Nowhere, cpu_s, envelope, message};
use log::{
    Batch, BoxFuture, Chunk, Extent, Lane, Log, MemoryLog, PartitionId, Partitions, Pending, Position,
    Reader, Record, Run, Topic,
};
use penstock_stream::{Parts, Settings, start};
use record::Timestamp;
use wire::template::Templates;

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;

/// Messages of one read.
const BITE: u64 = 4000;
const MIB: f64 = 1_048_576.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number =
        |at: usize, default: usize| arguments.get(at).and_then(|a| a.parse().ok()).unwrap_or(default);
    if arguments.first().is_some_and(|argument| argument == "ids") {
        let ids = number(1, 1_000_000);
        println!("{ids} device ids that are all different, {METRICS} metrics each, budget 100 000 devices");
        run(ids as u64, ids);
    } else {
        let (millions, devices) = (number(0, 100), number(1, 100_000));
        let messages = (millions * 1_000_000 / METRICS) as u64;
        println!("{millions} million readings of {devices} devices, {METRICS} metrics each, every 10 s");
        run(messages, devices);
    }
}

fn run(messages: u64, devices: usize) {
    // One partition: all of the state in one pipeline.
    let side = MemoryLog::new(Partitions::uniform(1).expect("one partition is possible"));
    let log = Arc::new(Generated { messages, devices, side });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let parts = Parts {
            log: log.clone(),
            store: Arc::new(Nowhere),
            reader: Arc::new(Nowhere),
            templates: Arc::new(Templates::shipped()),
            settings: Arc::new(Settings::default()),
            facts: None,
            checkpoints: None,
            clock: Arc::new(|| Timestamp::from_nanos(BEGIN_NANOS)),
        };
        let stream = start(parts).await.expect("the stream starts");
        println!(
            "{:>12} {:>12} {:>12} {:>10} {:>9} {:>9} {:>12}",
            "readings", "dead letters", "windows", "asked", "heap MiB", "RSS MiB", "processor s"
        );
        let mut next = 0;
        loop {
            let counts = stream.monitor().counts();
            if counts.records >= next || counts.records >= messages {
                println!(
                    "{:>12} {:>12} {:>12} {:>10} {:>9.0} {:>9.0} {:>12.1}",
                    counts.accepted,
                    counts.dead_letters,
                    counts.windows,
                    counts.asked,
                    heap::live_bytes() as f64 / MIB,
                    resident_mib(),
                    cpu_s()
                );
                next = counts.records + messages / 20;
            }
            if counts.records >= messages {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        println!("sizes of allocation that take most (bytes, how many, MiB):");
        for (size, count, bytes) in heap::heaviest(16) {
            println!("{size:>12} {count:>12} {:>9.1}", bytes as f64 / MIB);
        }
        stream.shutdown().await;
    });
}

fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(f64::NAN) * 4096.0 / MIB
}

/// A log whose live lane is made up as it is read.
struct Generated {
    messages: u64,
    devices: usize,
    /// Takes what is appended.
    side: MemoryLog,
}

struct Making {
    messages: u64,
    devices: usize,
    next: u64,
    partition: PartitionId,
    quiet: bool,
}

impl Log for Generated {
    fn append(&self, _batch: Batch) -> Pending {
        self.side.append(Batch::new()) // dead letters would fill the memory that is measured
    }
    fn read(&self, from: &[Position]) -> log::Result<Box<dyn Reader>> {
        let Position { partition, offset } = from[0];
        let quiet = partition.lane == Lane::Backfill;
        Ok(Box::new(Making {
            messages: self.messages,
            devices: self.devices,
            next: offset,
            partition,
            quiet,
        }))
    }
    fn extent(&self, partition: PartitionId) -> log::Result<Extent> {
        let end =
            if partition.lane == Lane::Live && partition.topic == Topic::Raw { self.messages } else { 0 };
        Ok(Extent { start: 0, end })
    }
    fn offset_at(&self, _: PartitionId, _: i64) -> BoxFuture<'_, log::Result<u64>> {
        Box::pin(async { Ok(0) })
    }
    fn commit(&self, _: &str, _: &[Position]) -> BoxFuture<'_, log::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn committed(&self, _: &str) -> log::Result<Vec<Position>> {
        Ok(Vec::new())
    }
    fn partitions(&self, topic: Topic) -> u16 {
        self.side.partitions(topic)
    }
    fn close(&self) -> BoxFuture<'_, log::Result<()>> {
        self.side.close()
    }
}

impl Reader for Making {
    fn next(&mut self, _max_bytes: usize) -> BoxFuture<'_, log::Result<Chunk>> {
        if self.quiet || self.next >= self.messages {
            return Box::pin(std::future::pending());
        }
        let base = self.next;
        let to = (base + BITE).min(self.messages);
        let record = |n: u64| {
            let (device, payload, arrived_at) = message(n as usize, self.devices);
            let mut bytes = Vec::new();
            envelope(&device, &payload, arrived_at).encode(&mut bytes);
            Record { appended_ms: arrived_at.millis(), value: Bytes::from(bytes) }
        };
        let records = (base..to).map(record).collect();
        self.next = to;
        let run = Run { partition: self.partition, base, records };
        Box::pin(async move { Ok(Chunk { runs: vec![run] }) })
    }
    fn positions(&self) -> Vec<Position> {
        vec![Position { partition: self.partition, offset: self.next }]
    }
}
