//! What `/metrics` shows: each part's own counters, copied onto the page when somebody looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use api::{Exporter, Health, Metric, Page, Readiness};
use gateway::http::{Ingest, Latency};
use log::{EmbeddedLog, Histogram};
use stream::{Counts, Monitor, READER};

pub(crate) fn process(exporter: &mut Exporter, health: Health) {
    let began = Instant::now();
    exporter.add(move |page| {
        page.sample(Metric::BuildInfo, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        page.sample(Metric::Ready, &[], f64::from(health.get() == Readiness::Ready));
        page.sample(Metric::UptimeSeconds, &[], began.elapsed().as_secs_f64());
        if let Some(bytes) = resident_bytes() {
            page.sample(Metric::ResidentBytes, &[], bytes);
        }
    });
}

pub(crate) fn stream(exporter: &mut Exporter, monitor: Monitor) {
    exporter.add(move |page| {
        counts(page, &monitor.counts());
        let Ok(lag) = monitor.lag() else { return };
        for (partition, records) in lag {
            let lane = if partition.lane == log::Lane::Live { "live" } else { "backfill" };
            let index = partition.index.to_string();
            let labels = [
                ("reader", READER),
                ("topic", partition.topic.name()),
                ("lane", lane),
                ("partition", &index),
            ];
            page.sample(Metric::ReaderLag, &labels, records as f64);
        }
    });
}

pub(crate) fn log(exporter: &mut Exporter, log: Arc<EmbeddedLog>) {
    // The log's buckets end at 2^i microseconds.
    let bounds: Vec<f64> = (0..Histogram::BUCKETS - 1).map(|i| f64::from(1_u32 << i) / 1e6).collect();
    exporter.add(move |page| {
        let stats = log.stats();
        for (metric, value) in [
            (Metric::LogAppendedRecords, stats.appended_records),
            (Metric::LogAppendedBytes, stats.appended_bytes),
            (Metric::LogWrittenBytes, stats.written_bytes),
            (Metric::LogDiskErrors, stats.disk_errors),
            (Metric::LogRefused, stats.busy_batches + stats.failed_batches),
            (Metric::LogWaitingBytes, stats.waiting_bytes),
            (Metric::LogSegments, stats.segments),
            (Metric::LogDiskBytes, stats.stored_bytes),
        ] {
            page.sample(metric, &[], value as f64);
        }
        let fsync = &stats.fsync_us;
        page.histogram(Metric::LogFsyncSeconds, &[], &bounds, &fsync.buckets, fsync.sum as f64 / 1e6);
    });
}

pub(crate) fn ingest(exporter: &mut Exporter, ingest: Arc<Ingest>) {
    const HTTP: (&str, &str) = ("protocol", "http");
    let bounds = Latency::BOUNDS.map(|bound| bound.as_secs_f64());
    exporter.add(move |page| {
        let counters = ingest.counters();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.sample(Metric::IngestRecords, &[HTTP], get(&counters.accepted_requests) as f64);
        page.sample(Metric::IngestReadings, &[HTTP], get(&counters.readings) as f64);
        page.sample(Metric::IngestBytes, &[HTTP], get(&counters.bytes) as f64);
        for (reason, counter) in [
            ("content", &counters.refused_requests),
            ("credentials", &counters.unauthorized),
            ("size", &counters.too_large),
            ("busy", &counters.busy),
        ] {
            page.sample(Metric::IngestRefused, &[HTTP, ("reason", reason)], get(counter) as f64);
        }
        let acknowledged = &counters.acknowledgement;
        let buckets = acknowledged.buckets.each_ref().map(get);
        let sum = get(&acknowledged.sum_us) as f64 / 1e6;
        page.histogram(Metric::AckSeconds, &[HTTP], &bounds, &buckets, sum);
    });
}

fn counts(page: &mut Page, counts: &Counts) {
    for (metric, value) in [
        (Metric::StreamRecords, counts.records),
        (Metric::Stored, counts.stored),
        (Metric::Duplicates, counts.duplicates),
        (Metric::Corrections, counts.corrections),
        (Metric::DeadLetters, counts.dead_letters),
        (Metric::RecordsLost, counts.lost),
        (Metric::StoreWrites, counts.writes),
        (Metric::StoreRetries, counts.retries),
    ] {
        page.sample(metric, &[], value as f64);
    }
    page.sample(Metric::StoreWriteSeconds, &[], counts.write_time.as_secs_f64());
}

/// From `/proc/self/statm`, whose second field counts pages; elsewhere unknown.
fn resident_bytes() -> Option<f64> {
    const PAGE_BYTES: f64 = 4096.0;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<f64>().ok().map(|pages| pages * PAGE_BYTES)
}
