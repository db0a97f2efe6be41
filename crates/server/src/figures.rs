//! What `/metrics` shows: each part's own counters, copied onto the page when somebody looks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use alert::{Alerts, Gauge};
use api::{Exporter, Health, Metric, Page};
use gateway::http::{Flow, Ingest, Latency};
use gateway::metrics::{LATENCY_BUCKETS, Metrics};
use log::{EmbeddedLog, Histogram, Log as _, PartitionId, Position};
use series::SeriesAudit;
use stream::{Counts, Monitor, READER};

use crate::exports::Exports;
use crate::retention::Failures;

pub(crate) fn process(exporter: &mut Exporter, health: Health) {
    let began = Instant::now();
    exporter.add(move |page| {
        page.sample(Metric::BuildInfo, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        page.sample(Metric::Ready, &[], f64::from(health.is_ready()));
        page.sample(Metric::UptimeSeconds, &[], began.elapsed().as_secs_f64());
        if let Some(bytes) = resident_bytes() {
            page.sample(Metric::ResidentBytes, &[], bytes);
        }
    });
}

/// The disk that everything is kept on.
pub(crate) fn disk(exporter: &mut Exporter, directory: PathBuf) {
    exporter.add(move |page| match crate::space(&directory) {
        Ok(space) => {
            page.sample(Metric::DataFreeBytes, &[], space.free_bytes as f64);
            page.sample(Metric::DataDiskBytes, &[], space.total_bytes as f64);
        }
        // Absent is not zero: who watches for the alarm sees that there is nothing to see.
        Err(error) => tracing::warn!(%error, "the disk of the data directory cannot be looked at"),
    });
}

pub(crate) fn stream(exporter: &mut Exporter, monitor: Monitor) {
    exporter.add(move |page| {
        counts(page, &monitor.counts());
        if let Some(age) = monitor.checkpoint_age() {
            page.sample(Metric::CheckpointAge, &[], age.as_secs_f64());
        }
        let Ok(lag) = monitor.lag() else { return };
        for (partition, records) in lag {
            lagging(page, READER, partition, records);
        }
    });
}

fn lagging(page: &mut Page, reader: &str, partition: PartitionId, records: u64) {
    let lane = if partition.lane == log::Lane::Live { "live" } else { "backfill" };
    let index = partition.index.to_string();
    let labels =
        [("reader", reader), ("topic", partition.topic.name()), ("lane", lane), ("partition", &index)];
    page.sample(Metric::ReaderLag, &labels, records as f64);
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
        page.sample(Metric::LogFailing, &[], f64::from(stats.trouble.is_some()));
        let fsync = &stats.fsync_us;
        page.histogram(Metric::LogFsyncSeconds, &[], &bounds, &fsync.buckets, fsync.sum as f64 / 1e6);
    });
}

pub(crate) fn gateway(exporter: &mut Exporter, metrics: Arc<Metrics>) {
    const MQTT: (&str, &str) = ("protocol", "mqtt");
    // The gateway's buckets end at 2^i microseconds.
    let bounds: Vec<f64> = (0..LATENCY_BUCKETS - 1).map(|i| f64::from(1_u32 << i) / 1e6).collect();
    exporter.add(move |page| {
        let totals = metrics.totals();
        page.sample(Metric::IngestRecords, &[("protocol", "mqtt3")], totals.records_mqtt3 as f64);
        page.sample(Metric::IngestRecords, &[("protocol", "mqtt5")], totals.records_mqtt5 as f64);
        page.sample(Metric::IngestBytes, &[MQTT], totals.record_bytes as f64);
        for (reason, count) in [("denied", totals.publishes_denied), ("content", totals.publishes_rejected)] {
            page.sample(Metric::IngestRefused, &[MQTT, ("reason", reason)], count as f64);
        }
        for (metric, count) in [
            (Metric::Connections, totals.connected_now),
            (Metric::Connects, totals.connects),
            (Metric::Reconnects, totals.reconnects),
            (Metric::Disconnects, totals.disconnects),
            (Metric::Delivered, totals.publishes_sent),
        ] {
            page.sample(metric, &[MQTT], count as f64);
        }
        for (reason, count) in [
            ("credentials", totals.refused_credentials),
            ("protocol", totals.refused_protocol),
            ("busy", totals.refused_busy),
            ("deadline", totals.refused_deadline),
        ] {
            page.sample(Metric::AdmissionRefused, &[("reason", reason)], count as f64);
        }
        for (reason, count) in [
            ("overload", totals.shed),
            ("slow_reader", totals.dropped_slow_reader),
            ("queue_full", totals.dropped_queue_full),
            ("expired", totals.dropped_expired),
            ("too_large", totals.dropped_too_large),
            ("not_in_log", totals.dropped_not_in_log),
            ("denied", totals.dropped_denied),
        ] {
            page.sample(Metric::Shed, &[("reason", reason)], count as f64);
        }
        let now = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed) as f64;
        page.sample(Metric::SessionsAway, &[], now(&metrics.sessions_away));
        page.sample(Metric::Retained, &[], now(&metrics.retained));
        page.sample(Metric::Subscriptions, &[], now(&metrics.subscriptions));
        page.sample(Metric::QueuedMessages, &[], now(&metrics.queued));
        let acknowledged = &totals.acknowledgement;
        page.histogram(
            Metric::AckSeconds,
            &[MQTT],
            &bounds,
            &acknowledged.buckets,
            acknowledged.sum_us as f64 / 1e6,
        );
    });
}

pub(crate) fn ingest(exporter: &mut Exporter, ingest: Arc<Ingest>) {
    exporter.add(move |page| {
        flow(page, ("protocol", "http"), &ingest.counters().telemetry);
        flow(page, ("protocol", "influx"), &ingest.counters().influx);
    });
}

fn flow(page: &mut Page, protocol: (&str, &str), flow: &Flow) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.sample(Metric::IngestRecords, &[protocol], get(&flow.accepted_requests) as f64);
    page.sample(Metric::IngestReadings, &[protocol], get(&flow.readings) as f64);
    page.sample(Metric::IngestBytes, &[protocol], get(&flow.bytes) as f64);
    for (reason, counter) in [
        ("content", &flow.refused_requests),
        ("credentials", &flow.unauthorized),
        ("size", &flow.too_large),
        ("busy", &flow.busy),
    ] {
        page.sample(Metric::IngestRefused, &[protocol, ("reason", reason)], get(counter) as f64);
    }
    let bounds = Latency::BOUNDS.map(|bound| bound.as_secs_f64());
    let buckets = flow.acknowledgement.buckets.each_ref().map(get);
    let sum = get(&flow.acknowledgement.sum_us) as f64 / 1e6;
    page.histogram(Metric::AckSeconds, &[protocol], &bounds, &buckets, sum);
}

fn counts(page: &mut Page, counts: &Counts) {
    for (metric, value) in [
        (Metric::StreamRecords, counts.records),
        (Metric::Accepted, counts.accepted),
        (Metric::Stored, counts.stored),
        (Metric::Duplicates, counts.duplicates),
        (Metric::Corrections, counts.corrections),
        (Metric::Late, counts.late),
        (Metric::BeyondLimits, counts.beyond_limits),
        (Metric::DeadLetters, counts.dead_letters),
        (Metric::RecordsLost, counts.lost),
        (Metric::StoreWrites, counts.writes),
        (Metric::StoreRetries, counts.retries),
        (Metric::StoreLookups, counts.asked),
        (Metric::Disagreements, counts.disagreements),
        (Metric::Windows, counts.windows),
        (Metric::ColdStarts, counts.cold_starts),
        (Metric::Checkpoints, counts.checkpoints),
        (Metric::StateBytes, counts.state_bytes),
    ] {
        page.sample(metric, &[], value as f64);
    }
    page.sample(Metric::Shed, &[("reason", "sampling")], counts.shed as f64);
    page.sample(Metric::Shed, &[("reason", "behind")], counts.shed_behind as f64);
    page.sample(Metric::CheckpointSeconds, &[], counts.checkpoint_time.as_secs_f64());
    page.sample(Metric::StoreWriteSeconds, &[], counts.write_time.as_secs_f64());
}

/// What the store's books say. Quickly found, but on disk.
pub(crate) fn books(exporter: &mut Exporter, store: Arc<dyn SeriesAudit>) {
    exporter.add(move |page| match store.figures() {
        Ok(figures) => {
            page.sample(Metric::DeadLetterDepth, &[], figures.dead_messages as f64);
            page.sample(Metric::LedgerResidue, &[], figures.residue as f64);
        }
        // Absent is not zero: who watches for the alarm sees that there is nothing to see.
        Err(error) => tracing::warn!(%error, "the store's figures cannot be read"),
    });
}

/// What the cold tier has and did.
pub(crate) fn cold(exporter: &mut Exporter, cold: Arc<series::parquet::cold::Cold>) {
    exporter.add(move |page| {
        let figures = cold.figures();
        for (metric, value) in [
            (Metric::ColdObjects, figures.objects),
            (Metric::ColdUnwanted, figures.unwanted),
            (Metric::ColdMoved, figures.moved),
            (Metric::ColdMovedBytes, figures.moved_bytes),
            (Metric::ColdGets, figures.gets),
            (Metric::ColdGotBytes, figures.got_bytes),
            (Metric::ColdHits, figures.hits),
            (Metric::ColdFailures, figures.failures),
        ] {
            page.sample(metric, &[], value as f64);
        }
    });
}

/// What retention could not remove.
pub(crate) fn retention(exporter: &mut Exporter, failures: Failures) {
    exporter.add(move |page| {
        page.sample(Metric::RetentionFailures, &[], failures.load(Ordering::Relaxed) as f64);
    });
}

/// What was written before it was removed.
pub(crate) fn exports(exporter: &mut Exporter, exports: Arc<Exports>) {
    exporter.add(move |page| {
        let figures = exports.figures();
        page.sample(Metric::ExpiredExported, &[], figures.rows as f64);
        page.sample(Metric::ExpiredObjects, &[], figures.objects as f64);
        page.sample(Metric::ExpiredFailures, &[], figures.failures as f64);
    });
}

/// What kept answers did and take.
pub(crate) fn cache(exporter: &mut Exporter, cache: Arc<query::Cache>) {
    exporter.add(move |page| {
        let figures = cache.figures();
        page.sample(Metric::CacheHits, &[], figures.hits as f64);
        page.sample(Metric::CacheMisses, &[], figures.misses as f64);
        page.sample(Metric::CacheBytes, &[], figures.bytes as f64);
    });
}

/// Rules and alerts.
pub(crate) fn alerting(exporter: &mut Exporter, alerts: Arc<Alerts>, gauge: Gauge, log: Arc<EmbeddedLog>) {
    exporter.add(move |page| {
        let figures = gauge.figures();
        page.sample(Metric::RuleReadings, &[], figures.readings as f64);
        page.sample(Metric::RuleSeconds, &[], figures.evaluated.as_secs_f64());
        page.sample(Metric::RuleTransitions, &[], figures.transitions as f64);
        page.sample(Metric::RuleRouted, &[], figures.routed as f64);
        page.sample(Metric::RuleDevices, &[], figures.devices as f64);
        page.sample(Metric::RuleFilled, &[], figures.filled as f64);
        page.sample(Metric::RuleMissed, &[], (figures.lost + figures.unreadable) as f64);
        for Position { partition, offset } in gauge.positions() {
            let Ok(extent) = log.extent(partition) else { continue };
            lagging(page, alert::READER, partition, extent.end.saturating_sub(offset));
        }
        let tally = alerts.counters();
        page.sample(Metric::AlertsRaised, &[], tally.raised as f64);
        page.sample(Metric::AlertsSuppressed, &[], tally.suppressed as f64);
        page.sample(Metric::AlertsMuted, &[], tally.muted as f64);
        page.sample(Metric::AlertsHeldBack, &[], tally.held_back as f64);
        page.sample(Metric::AlertsResolved, &[], tally.resolved as f64);
        page.sample(Metric::AlertsUnpublished, &[], tally.unpublished as f64);
        page.sample(Metric::AlertsPassedOver, &[], tally.passed_over as f64);
        let outcomes = [("delivered", tally.delivered), ("retried", tally.retried), ("failed", tally.failed)];
        for (outcome, count) in outcomes {
            page.sample(Metric::AlertDeliveries, &[("outcome", outcome)], count as f64);
        }
        page.sample(Metric::AlertOutbox, &[], alerts.outbox_len() as f64);
    });
}

/// From `/proc/self/statm`, whose second field counts pages; elsewhere unknown.
fn resident_bytes() -> Option<f64> {
    const PAGE_BYTES: f64 = 4096.0;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<f64>().ok().map(|pages| pages * PAGE_BYTES)
}
