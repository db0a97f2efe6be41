//! `/metrics`: the Prometheus text format (version 0.0.4) over what the parts count themselves.
//!
//! The parts keep plain counters and know nothing of Prometheus; `server` hands in a source per part that
//! copies them onto a page when somebody looks. Every name is a variant of [`Metric`], so that the list below is
//! the list there is.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::{Ask, Asker, Problem};

macro_rules! metrics {
    ($($variant:ident $kind:ident $name:literal $help:literal)+) => {
        /// Every metric there is. Labels never name a device.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric { $(#[doc = $help] $variant),+ }

        impl Metric {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name without the prefix `penstock_`, its type and its help text.
            #[must_use]
            pub const fn describe(self) -> (&'static str, &'static str, &'static str) {
                match self { $(Self::$variant => ($name, stringify!($kind), $help)),+ }
            }
        }
    };
}

metrics! {
    BuildInfo gauge "build_info" "Always 1; the label is the version."
    Ready gauge "ready" "1 when the node is ready and takes messages, else 0."
    DataFreeBytes gauge "data_disk_free_bytes" "Free bytes of the data directory's disk."
    DataDiskBytes gauge "data_disk_bytes" "Size of the data directory's disk."
    UptimeSeconds gauge "uptime_seconds" "Seconds since the process started."
    ResidentBytes gauge "process_resident_memory_bytes" "Memory of the process."
    IngestRecords counter "ingest_records_total" "Messages or requests taken into the log, by protocol."
    IngestReadings counter "ingest_readings_total" "Readings taken into the log, by protocol where it is known at once."
    IngestBytes counter "ingest_bytes_total" "Bytes of messages taken into the log, by protocol."
    IngestRefused counter "ingest_refused_total" "Messages or requests refused, by protocol and reason."
    AckSeconds histogram "ack_seconds" "From a message's last byte to its acknowledgement."
    Connections gauge "connections" "Open connections, by listener."
    Connects counter "connects_total" "Connections accepted."
    Reconnects counter "reconnects_total" "Connections that resumed a session."
    Disconnects counter "disconnects_total" "Connections that ended."
    AdmissionRefused counter "admission_refused_total" "Connections refused, by reason."
    SessionsAway gauge "sessions_away" "Sessions kept for clients that are not connected."
    Subscriptions gauge "subscriptions" "Subscriptions of all sessions."
    QueuedMessages gauge "queued_messages" "Messages that wait for their sessions."
    Retained gauge "retained_messages" "Retained messages held."
    Shed counter "shed_total" "Messages and deliveries dropped, by reason."
    Delivered counter "delivered_total" "Messages delivered to subscribers."
    LogAppendedRecords counter "log_appended_records_total" "Records made durable."
    LogAppendedBytes counter "log_appended_bytes_total" "Bytes of records made durable."
    LogWrittenBytes counter "log_written_bytes_total" "Bytes written to segments for them, after compression."
    LogDiskErrors counter "log_disk_errors_total" "Writes and fsyncs that failed."
    LogFailing gauge "log_failing" "1 while the log takes nothing because its disk is full or broken, else 0."
    LogRefused counter "log_refused_batches_total" "Batches not taken, because too much was waiting or the disk failed."
    LogSegments gauge "log_segments" "Segments on disk."
    LogFsyncSeconds histogram "log_fsync_seconds" "How long an fsync took."
    LogWaitingBytes gauge "log_waiting_bytes" "Bytes appended and not yet durable."
    LogDiskBytes gauge "log_disk_bytes" "Bytes of all segments on disk."
    ReaderLag gauge "reader_lag_records" "Records of the log a reader has not taken, by reader, topic, lane and partition."
    StreamRecords counter "stream_records_total" "Records the stream has taken from the log."
    Accepted counter "readings_accepted_total" "Readings in them, good and bad."
    Stored counter "readings_stored_total" "Readings stored that were new."
    Duplicates counter "readings_duplicate_total" "Readings that were stored already."
    Corrections counter "readings_corrected_total" "Readings that replaced another value."
    Late counter "readings_late_total" "Readings stored late."
    BeyondLimits counter "readings_beyond_limits_total" "Readings beyond a lenient limit, which were kept."
    DeadLetters counter "dead_letters_total" "Readings and messages that could not be used."
    DeadLetterDepth gauge "dead_letter_depth" "Messages in the table of dead letters."
    LedgerResidue gauge "ledger_residue" "Readings the account misses or counts twice: not 0 means a bug, raise an alarm."
    RecordsLost counter "records_lost_total" "Records the log lost before they were stored."
    StoreWrites counter "store_writes_total" "Commits of the store."
    StoreWriteSeconds counter "store_write_seconds_total" "Time that commits of the store took, together."
    StoreRetries counter "store_retries_total" "Writes that failed and were tried again."
    StoreLookups counter "store_lookups_total" "Readings whose key the store had to be asked about."
    Disagreements counter "store_disagreements_total" "Batches that stream and store judged differently: not 0 means a bug, raise an alarm."
    ColdObjects gauge "store_cold_objects" "Runs of the store that are in the cold tier."
    ColdUnwanted gauge "store_cold_unwanted_objects" "Objects of runs that are gone and that the object store has not removed yet."
    ColdMoved counter "store_cold_moved_runs_total" "Runs moved to the cold tier."
    ColdMovedBytes counter "store_cold_moved_bytes_total" "Bytes of them."
    ColdGets counter "store_cold_gets_total" "Requests for bytes of the cold tier."
    ColdGotBytes counter "store_cold_got_bytes_total" "Bytes that came from the cold tier."
    ColdHits counter "store_cold_page_hits_total" "Pages of the cold tier that were in memory."
    ColdFailures counter "store_cold_failures_total" "Requests to the cold tier that failed, or were not tried because others had."
    RetentionFailures counter "store_retention_failures_total" "Times that something old of a tenant's could not be removed: the server's log says which file, or what else; it is tried again each hour."
    ExpiredExported counter "store_expired_exported_rows_total" "Rows that were written elsewhere before retention removed them."
    ExpiredObjects counter "store_expired_exported_objects_total" "Files of them."
    ExpiredFailures counter "store_expired_export_failures_total" "Files of them that could not be written or taken back: what they were to hold is not removed, and it is tried again."
    Windows counter "windows_published_total" "Results of windows published."
    ColdStarts counter "stream_cold_starts_total" "Partitions that began without their state."
    Checkpoints counter "checkpoints_total" "Checkpoints of partitions written."
    CheckpointSeconds counter "checkpoint_seconds_total" "Time that checkpoints took, together."
    CheckpointAge gauge "checkpoint_age_seconds" "Age of the oldest of the partitions' latest checkpoints."
    CacheHits counter "query_cache_hits_total" "Questions answered from kept answers."
    CacheMisses counter "query_cache_misses_total" "Questions answered anew, of those whose answers can be kept."
    CacheBytes gauge "query_cache_bytes" "What kept answers take."
    RuleReadings counter "rule_readings_total" "Readings that rules have seen."
    RuleSeconds counter "rule_evaluation_seconds_total" "Time that the evaluation of rules took, together."
    RuleTransitions counter "rule_transitions_total" "Conditions of rules that began to hold or ended, for a device."
    RuleRouted counter "rule_routed_total" "Readings passed on by routing rules."
    RuleDevices gauge "rule_devices" "Devices of which rules remember something, as of the last checkpoint."
    RuleFilled counter "rule_devices_filled_total" "Devices whose windows, for a new rule, were filled with what was stored."
    RuleMissed counter "rule_records_missed_total" "Clean records that rules did not see, because the log lost them or they could not be read."
    AlertsRaised counter "alerts_raised_total" "Alerts raised, whatever became of them."
    AlertsSuppressed counter "alerts_suppressed_total" "Alerts suppressed by one of the same rule and device before them."
    AlertsMuted counter "alerts_muted_total" "Alerts that a mute kept from people."
    AlertsHeldBack counter "alerts_held_back_total" "How often a person hears of an alert in a digest, because of their limit or quiet hours."
    AlertsResolved counter "alerts_resolved_total" "Alerts that are over."
    AlertsPassedOver counter "alerts_passed_over_total" "Findings of rules, and steps of alerts that were put off, left undone because they need a damaged row."
    AlertsUnpublished counter "alert_steps_unpublished_total" "Steps of alerts left out of the topic iot-alerts, because too many waited for it."
    AlertDeliveries counter "alert_deliveries_total" "Deliveries of messages about alerts, by outcome: delivered, retried, failed."
    AlertOutbox gauge "alert_outbox_messages" "Messages about alerts that wait for delivery."
    StateBytes gauge "stream_state_bytes" "State of all partitions, as of their checkpoints."
}

/// A page of metrics being written.
#[derive(Debug, Default)]
pub struct Page {
    samples: Vec<Sample>,
}

/// A number, or several that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What was measured.
    pub metric: Metric,
    /// Names of ours with any value.
    pub labels: Vec<(String, String)>,
    /// How it stands.
    pub figure: Figure,
}

/// What a sample holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// The buckets' upper ends.
        bounds: Vec<f64>,
        /// How many fell into each bucket alone, the last beyond all bounds.
        counts: Vec<u64>,
        /// Of everything in it.
        sum: f64,
    },
}

impl Page {
    /// Adds a sample; `labels` are names of ours with any value.
    pub fn sample(&mut self, metric: Metric, labels: &[(&str, &str)], value: f64) {
        self.add(metric, labels, Figure::Number(value));
    }

    /// Adds a histogram. `bounds` are the buckets' upper ends, `counts` how many fell into each bucket alone, the
    /// last beyond all bounds.
    pub fn histogram(
        &mut self,
        metric: Metric,
        labels: &[(&str, &str)],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        let figure = Figure::Histogram { bounds: bounds.to_vec(), counts: counts.to_vec(), sum };
        self.add(metric, labels, figure);
    }

    fn add(&mut self, metric: Metric, labels: &[(&str, &str)], figure: Figure) {
        let labels = labels.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        self.samples.push(Sample { metric, labels, figure });
    }

    /// All samples, those of a metric together.
    #[must_use]
    pub fn into_samples(mut self) -> Vec<Sample> {
        self.samples.sort_by_key(|sample| sample.metric); // stable: samples keep their order
        self.samples
    }

    /// The page's text. The format wants all samples of a metric together.
    #[must_use]
    pub fn render(self) -> String {
        let mut text = String::new();
        let mut last = None;
        for sample in self.into_samples() {
            if last != Some(sample.metric) {
                let (name, kind, help) = sample.metric.describe();
                let _ = writeln!(text, "# HELP penstock_{name} {help}\n# TYPE penstock_{name} {kind}");
                last = Some(sample.metric);
            }
            sample.render(&mut text);
        }
        text
    }
}

impl Sample {
    fn render(&self, text: &mut String) {
        match &self.figure {
            Figure::Number(value) => self.line(text, "", None, *value),
            Figure::Histogram { bounds, counts, sum } => {
                let mut seen = 0;
                for (n, count) in counts.iter().enumerate() {
                    seen += count;
                    let bound = bounds.get(n).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                    self.line(text, "_bucket", Some(&bound), seen as f64);
                }
                self.line(text, "_sum", None, *sum);
                self.line(text, "_count", None, seen as f64);
            }
        }
    }

    fn line(&self, out: &mut String, suffix: &str, bound: Option<&str>, value: f64) {
        let _ = write!(out, "penstock_{}{suffix}", self.metric.describe().0); // into a String, here and below
        let labels = self.labels.iter().map(|(name, text)| (&**name, &**text));
        let mut close = "";
        for (n, (name, text)) in labels.chain(bound.map(|bound| ("le", bound))).enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(out, "{}{name}=\"{text}\"", if n == 0 { '{' } else { ',' });
            close = "}";
        }
        let _ = writeln!(out, "{close} {value}");
    }
}

type Source = Box<dyn Fn(&mut Page) + Send + Sync>;

/// The sources of `/metrics`, one per part. They copy counters, or ask for what is quickly found.
#[derive(Default)]
pub struct Exporter {
    sources: Vec<Source>,
}

impl Exporter {
    /// Adds a source.
    pub fn add(&mut self, source: impl Fn(&mut Page) + Send + Sync + 'static) {
        self.sources.push(Box::new(source));
    }

    /// What there is to see now. Some sources read the disk: it blocks.
    #[must_use]
    pub fn page(&self) -> Page {
        let mut page = Page::default();
        for source in &self.sources {
            source(&mut page);
        }
        page
    }
}

pub(crate) async fn show(State(shared): Ask, _asker: Asker) -> Result<Response, Problem> {
    // Some sources read the disk.
    let exporter = shared.parts.exporter.clone();
    let text = tokio::task::spawn_blocking(move || exporter.page().render()).await.map_err(|died| {
        tracing::error!(error = %died, "a source of metrics panicked");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be shown")
    })?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_groups_samples_and_escapes_labels() {
        let mut page = Page::default();
        page.sample(Metric::Shed, &[("reason", "a\"b\\c\nd")], 1.0);
        page.sample(Metric::Ready, &[], 1.0);
        page.sample(Metric::Shed, &[("reason", "e"), ("lane", "live")], 2.5);
        page.histogram(Metric::AckSeconds, &[("protocol", "http")], &[0.5], &[3, 4], 5.5);
        assert_eq!(
            page.render(),
            "# HELP penstock_ready 1 when the node is ready and takes messages, else 0.\n# TYPE penstock_ready gauge\npenstock_ready 1\n\
             # HELP penstock_ack_seconds From a message's last byte to its acknowledgement.\n\
             # TYPE penstock_ack_seconds histogram\n\
             penstock_ack_seconds_bucket{protocol=\"http\",le=\"0.5\"} 3\n\
             penstock_ack_seconds_bucket{protocol=\"http\",le=\"+Inf\"} 7\n\
             penstock_ack_seconds_sum{protocol=\"http\"} 5.5\npenstock_ack_seconds_count{protocol=\"http\"} 7\n\
             # HELP penstock_shed_total Messages and deliveries dropped, by reason.\n\
             # TYPE penstock_shed_total counter\npenstock_shed_total{reason=\"a\\\"b\\\\c\\nd\"} 1\n\
             penstock_shed_total{reason=\"e\",lane=\"live\"} 2.5\n"
        );
    }

    #[test]
    fn names_are_unique_and_counters_end_in_total() {
        let mut names: Vec<_> = Metric::ALL.iter().map(|metric| metric.describe()).collect();
        for (name, kind, _) in &names {
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
        }
        names.sort_unstable();
        names.dedup_by_key(|(name, ..)| *name);
        assert_eq!(names.len(), Metric::ALL.len());
    }
}
