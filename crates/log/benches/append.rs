//! How fast the log makes records durable, against what the disk can do at all: plain sequential writes of the
//! same chunk size with the same fsync cadence, in the same run. `cargo bench -p penstock-log`.
//!
//! Environment: `PENSTOCK_BENCH_DIR` (where to write, default the system's temporary directory),
//! `PENSTOCK_BENCH_SECONDS` (per measurement, default 2), `PENSTOCK_BENCH_ROUNDS` (default 5).

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

extern crate penstock_log as log;

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{Batch, EmbeddedLog, Lane, Log, Options, PartitionId, Stats, Topic};

/// What producers do.
struct Load {
    name: &'static str,
    producers: usize,
    /// Batches a producer has on their way at once.
    in_flight: usize,
    records_per_batch: usize,
    /// Record sizes, bytes.
    sizes: std::ops::Range<usize>,
}

const LOADS: [Load; 3] = [
    Load { name: "mixed 100 B to 4 KB", producers: 64, in_flight: 8, records_per_batch: 8, sizes: 100..4096 },
    Load { name: "small 100 B", producers: 8, in_flight: 16, records_per_batch: 128, sizes: 100..101 },
    Load { name: "one by one 500 B", producers: 64, in_flight: 16, records_per_batch: 1, sizes: 500..501 },
];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() {
    let base = std::env::var_os("PENSTOCK_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let time = Duration::from_secs(setting("PENSTOCK_BENCH_SECONDS", 2));
    for load in &LOADS {
        let mut ratios = Vec::new();
        for _ in 0..setting("PENSTOCK_BENCH_ROUNDS", 5) {
            let dir = tempfile::tempdir_in(&base).expect("a directory to write to");
            let (stats, elapsed, cpu) = append(dir.path(), load, time);
            let seconds = elapsed.as_secs_f64();
            let groups = stats.group_bytes.count().max(1);
            let chunk = stats.written_bytes / groups;
            let plain = plain_writes(dir.path(), chunk, time);
            let rate = stats.written_bytes as f64 / seconds;
            ratios.push(rate / plain);
            let before = Instant::now();
            drop(
                EmbeddedLog::open(&dir.path().join("log"), Options::default()).expect("the log opens again"),
            );
            let opened = before.elapsed();
            println!(
                "{:20} {:>9.0} records/s {:>7.1} MB/s  {:>6.0} groups/s of {:>7} B  fsync p50 {} p99 {} µs  \
                 {:.2} CPU-s per M records | plain {:>7.1} MB/s | {:.0} % | {} segments opened in {} ms",
                load.name,
                stats.appended_records as f64 / seconds,
                rate / 1e6,
                groups as f64 / seconds,
                chunk,
                stats.fsync_us.quantile(0.5),
                stats.fsync_us.quantile(0.99),
                cpu / (stats.appended_records as f64 / 1e6),
                plain / 1e6,
                100.0 * rate / plain,
                stats.segments,
                opened.as_millis(),
            );
        }
        ratios.sort_by(f64::total_cmp);
        println!("{:20} median {:.0} % of the disk", load.name, 100.0 * ratios[ratios.len() / 2]);
    }
}

fn append(dir: &Path, load: &Load, time: Duration) -> (Stats, Duration, f64) {
    let options = Options { queue_bytes: 256 << 20, ..Options::default() };
    let log = Arc::new(EmbeddedLog::open(&dir.join("log"), options).expect("the log opens"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let stop = Arc::new(AtomicBool::new(false));
    let (before, cpu_before) = (Instant::now(), cpu_seconds());
    let tasks: Vec<_> = (0..load.producers)
        .map(|producer| {
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            let (in_flight, records, sizes) = (load.in_flight, load.records_per_batch, load.sizes.clone());
            runtime.spawn(async move {
                let mut random = producer as u64 + 1;
                let value: Vec<u8> = (0..sizes.end).map(|i| (i * 31) as u8).collect();
                let mut pending = VecDeque::new();
                while !stop.load(Ordering::Relaxed) {
                    let mut batch = Batch::new();
                    for _ in 0..records {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let size = sizes.start + (random >> 33) as usize % sizes.len();
                        let index = (producer % 16) as u16;
                        let partition = PartitionId { topic: Topic::Raw, lane: Lane::Live, index };
                        batch.push(partition, &value[..size]);
                    }
                    pending.push_back(log.append(batch));
                    if pending.len() >= in_flight
                        && let Some(oldest) = pending.pop_front()
                    {
                        oldest.await.expect("durable");
                    }
                }
                for promise in pending {
                    promise.await.expect("durable");
                }
            })
        })
        .collect();
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    let (elapsed, cpu) = (before.elapsed(), cpu_seconds() - cpu_before);
    let stats = log.stats();
    (stats, elapsed, cpu)
}

/// Bytes per second of plain writes, each followed by fdatasync.
fn plain_writes(dir: &Path, chunk: u64, time: Duration) -> f64 {
    let bytes: Vec<u8> = (0..chunk).map(|i| (i * 31) as u8).collect();
    let file = File::create_new(dir.join("plain")).expect("a file");
    let before = Instant::now();
    let mut at = 0;
    while before.elapsed() < time {
        file.write_all_at(&bytes, at).expect("written");
        file.sync_data().expect("durable");
        at += chunk;
    }
    at as f64 / before.elapsed().as_secs_f64()
}

/// CPU time of this process so far, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
    ticks / 100.0
}
