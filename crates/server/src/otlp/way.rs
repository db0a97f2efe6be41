//! The way of a reading: arrived ▸ durable ▸ processed ▸ stored. One record in many is watched, chosen by its offset,
//! so that a look at the log and a look at the store find the same ones with nothing carried between them.

use std::collections::VecDeque;
use std::sync::Arc;

use log::{Lane, Log, PartitionId, Position, Reader, Topic};
use record::{Envelope, Timestamp};
use serde_json::{Value, json};
use series::{Note, SeriesWriter, Source, Span, WriteBatch, Written};
use tokio::sync::mpsc;

use super::collector::{Collector, Service};
use super::{attribute, resource, scope};

/// Batches of the store whose spans wait to be looked at. Beyond it their records' ways end unseen.
const BATCHES: usize = 256;
/// Records watched at a time: a store that stands still does not fill the memory with them. The oldest are given up.
const WATCHED: usize = 4096;
/// Read at a time, bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// What the store has taken.
pub(crate) type Stored = mpsc::Receiver<Batch>;

/// A batch that the store has taken, and when it was given it.
pub(crate) struct Batch {
    spans: Vec<Span>,
    began: Timestamp,
    ended: Timestamp,
}

/// The store's writer, which tells what it has taken.
pub(crate) struct Storing {
    writer: Arc<dyn SeriesWriter>,
    tell: mpsc::Sender<Batch>,
}

/// Wraps the store's writer.
pub(crate) fn stored(writer: Arc<dyn SeriesWriter>) -> (Arc<dyn SeriesWriter>, Stored) {
    let (tell, stored) = mpsc::channel(BATCHES);
    (Arc::new(Storing { writer, tell }), stored)
}

impl SeriesWriter for Storing {
    fn write(&self, batch: &WriteBatch) -> series::Result<Written> {
        let began = Timestamp::now();
        let written = self.writer.write(batch)?;
        // The writer never waits for who watches.
        let _ = self.tell.try_send(Batch { spans: batch.spans.clone(), began, ended: Timestamp::now() });
        Ok(written)
    }

    fn flush(&self) -> series::Result<()> {
        self.writer.flush()
    }

    fn positions(&self) -> series::Result<Vec<series::Position>> {
        self.writer.positions()
    }

    fn notes(&self) -> series::Result<Vec<Note>> {
        self.writer.notes()
    }
}

/// A record on its way.
struct Watched {
    source: Source,
    offset: u64,
    arrived: Timestamp,
    durable: Timestamp,
    attributes: Vec<Value>,
}

pub(super) async fn tell(log: Arc<dyn Log>, one_in: u64, mut stored: Stored, collector: Collector) {
    let mut reader = match read_on(&*log) {
        Ok(reader) => reader,
        Err(error) => {
            tracing::warn!(%error, "the log cannot be watched: no traces");
            return;
        }
    };
    let mut watched = VecDeque::new();
    loop {
        // Durable before stored: where both are there, the log is looked at first.
        tokio::select! {
            biased;
            chunk = reader.next(CHUNK_BYTES) => match chunk {
                Ok(chunk) => watch(&chunk, one_in, &mut watched),
                Err(log::Error::Closed) => return,
                // Expired or damaged: what is told of elsewhere. Watching goes on from the end.
                Err(error) => match read_on(&*log) {
                    Ok(again) => {
                        tracing::debug!(%error, "the log could not be watched for a while");
                        reader = again;
                    }
                    Err(_) => return,
                },
            },
            batch = stored.recv() => {
                let Some(batch) = batch else { return };
                let ways = ended(&batch, &mut watched);
                if !ways.is_empty() {
                    collector.tell(Service::Traces, message(&ways, &batch));
                }
            }
        }
    }
}

/// From the end of every partition of messages.
fn read_on(log: &dyn Log) -> log::Result<Box<dyn Reader>> {
    let mut from = Vec::new();
    for lane in [Lane::Live, Lane::Backfill] {
        for index in 0..log.partitions(Topic::Raw) {
            let partition = PartitionId { topic: Topic::Raw, lane, index };
            from.push(Position { partition, offset: log.extent(partition)?.end });
        }
    }
    log.read(&from)
}

fn watch(chunk: &log::Chunk, one_in: u64, watched: &mut VecDeque<Watched>) {
    let durable = Timestamp::now();
    for run in &chunk.runs {
        let PartitionId { topic, lane, index } = run.partition;
        let first = run.base.next_multiple_of(one_in);
        for offset in (first..run.base + run.records.len() as u64)
            .step_by(usize::try_from(one_in).unwrap_or(usize::MAX))
        {
            let record = &run.records[(offset - run.base) as usize];
            let Ok(envelope) = Envelope::decode(&record.value) else { continue };
            let attributes = vec![
                attribute("penstock.tenant", envelope.tenant),
                attribute("penstock.protocol", &format!("{:?}", envelope.protocol).to_lowercase()),
                attribute("penstock.lane", if lane == Lane::Live { "live" } else { "backfill" }),
                attribute("penstock.offset", &format!("{}/{offset}", run.partition)),
            ];
            let source = Source { topic: topic as u8, lane, partition: index };
            if watched.len() == WATCHED {
                watched.pop_front();
            }
            watched.push_back(Watched { source, offset, arrived: envelope.arrived_at, durable, attributes });
        }
    }
}

/// Those whose way ends with `batch`.
fn ended(batch: &Batch, watched: &mut VecDeque<Watched>) -> Vec<Watched> {
    let within = |one: &Watched| {
        batch.spans.iter().any(|span| span.source == one.source && (span.from..span.to).contains(&one.offset))
    };
    let (ways, rest) = std::mem::take(watched).into_iter().partition(within);
    *watched = rest;
    Vec::from(ways)
}

/// An ExportTraceServiceRequest.
fn message(ways: &[Watched], batch: &Batch) -> Value {
    let spans: Vec<Value> = ways.iter().flat_map(|way| spans(way, batch)).collect();
    json!({ "resourceSpans": [{
        "resource": resource(),
        "scopeSpans": [{ "scope": scope(), "spans": spans }],
    }] })
}

/// SPAN_KIND_CONSUMER: somebody else sent it.
const CONSUMER: u8 = 5;
/// SPAN_KIND_INTERNAL.
const INTERNAL: u8 = 1;

/// The whole way, and its parts.
fn spans(way: &Watched, batch: &Batch) -> Vec<Value> {
    let trace = trace_id(way);
    // A span's id has to be unique in its trace.
    let span = |id: u8, parent: &str, name: &str, kind: u8, from: Timestamp, to: Timestamp| {
        json!({
            "traceId": trace,
            "spanId": format!("{id:016x}"),
            "parentSpanId": parent,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": from.nanos().to_string(),
            // Clocks may be set back between two looks.
            "endTimeUnixNano": to.nanos().max(from.nanos()).to_string(),
        })
    };
    // What the store is given is durable, though this node may look at the log after that.
    let durable = way.durable.min(batch.began);
    let root = format!("{:016x}", 1);
    let mut whole = span(1, "", "reading", CONSUMER, way.arrived, batch.ended);
    whole["attributes"] = json!(way.attributes);
    vec![
        whole,
        span(2, &root, "commit", INTERNAL, way.arrived, durable),
        span(3, &root, "process", INTERNAL, durable, batch.began),
        span(4, &root, "store", INTERNAL, batch.began, batch.ended),
    ]
}

/// Known from the record alone: who looks for a reading finds its trace, and the other way round.
fn trace_id(way: &Watched) -> String {
    let Source { topic, lane, partition } = way.source;
    // The time of arrival tells installations apart whose logs have the same offsets.
    let upper = way.arrived.nanos() as u64;
    let lower = u64::from(topic) << 60
        | (lane as u64) << 56
        | u64::from(partition) << 40
        | (way.offset & ((1 << 40) - 1));
    format!("{upper:016x}{lower:016x}")
}
