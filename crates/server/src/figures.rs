//! What `/metrics` shows: each part's own counters, copied onto the page when somebody looks.

use std::time::Instant;

use api::{Exporter, Health, Metric, Page, Readiness};
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
