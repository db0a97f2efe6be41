//! Records of the log into one batch for the store. Pure: no clock, no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use log::{Chunk, PartitionId, Record};
use record::{Envelope, Kind, TenantId, Timestamp};
use series::{Completeness, DeadLetter, DeadMessage, Span, WriteBatch};
use wire::payload::{self, Message, Scratch};
use wire::template::Templates;

use crate::source_of;

/// Turns records into batches; keeps its working memory from one batch to the next.
pub struct Decoder {
    templates: Arc<Templates>,
    scratch: Scratch,
}

impl Decoder {
    /// A decoder for topics as these templates describe them.
    #[must_use]
    pub fn new(templates: Arc<Templates>) -> Self {
        Self { templates, scratch: Scratch::new() }
    }

    /// The outcome of every record of a chunk: readings, or dead letters, and the offsets it stands for.
    #[must_use]
    pub fn decode(&mut self, chunk: &Chunk) -> WriteBatch {
        let mut batch = WriteBatch::default();
        let mut spans: BTreeMap<PartitionId, (u64, u64)> = BTreeMap::new();
        for run in &chunk.runs {
            for (offset, record) in (run.base..).zip(&run.records) {
                self.record(run.partition, offset, record, &mut batch);
            }
            let to = run.base + run.records.len() as u64;
            spans.entry(run.partition).and_modify(|span| span.1 = to).or_insert((run.base, to));
        }
        let span = |(partition, (from, to))| Span { source: source_of(partition), from, to };
        batch.spans = spans.into_iter().map(span).collect();
        batch
    }

    fn record(&mut self, partition: PartitionId, offset: u64, record: &Record, batch: &mut WriteBatch) {
        let dead = |stage, completeness, letters| DeadMessage {
            source: source_of(partition),
            offset,
            tenant: String::new(),
            device: String::new(),
            topic: String::new(),
            stage,
            arrived_at: Timestamp::from_millis(record.appended_ms).unwrap_or_default(),
            attempts: 1,
            last_at: Timestamp::from_millis(record.appended_ms).unwrap_or_default(),
            completeness,
            letters,
            record: record.value.to_vec(),
        };
        let whole = |reason: String| vec![DeadLetter { index: None, reason }];
        let envelope = match Envelope::decode(&record.value) {
            Ok(envelope) => envelope,
            Err(error) => {
                batch.dead.push(dead("envelope", Completeness::Whole, whole(error.to_string())));
                return;
            }
        };
        let dead = |stage, completeness, letters| DeadMessage {
            tenant: envelope.tenant.to_owned(),
            device: envelope.device.to_owned(),
            topic: envelope.topic.to_owned(),
            arrived_at: envelope.arrived_at,
            last_at: envelope.arrived_at,
            ..dead(stage, completeness, letters)
        };
        if let Some(reason) = envelope.refused {
            batch.dead.push(dead("gateway", Completeness::Whole, whole(reason.to_owned())));
            return;
        }
        let tenant = match TenantId::parse(envelope.tenant) {
            Ok(tenant) if envelope.kind != Kind::Message => tenant,
            Ok(_) => {
                let reason = "a plain message stands among the telemetry".to_owned();
                batch.dead.push(dead("envelope", Completeness::Whole, whole(reason)));
                return;
            }
            Err(error) => {
                batch.dead.push(dead("envelope", Completeness::Whole, whole(error.to_string())));
                return;
            }
        };
        match self.readings(&envelope, batch.readings.entry(tenant).or_default()) {
            Ok(letters) if letters.is_empty() => {}
            Ok(letters) => batch.dead.push(dead("decode", Completeness::Part, letters)),
            Err(letters) => batch.dead.push(dead("decode", Completeness::Whole, letters)),
        }
    }

    /// Adds the message's good readings and returns what is wrong with the others; `Err` when none is good.
    fn readings(
        &mut self,
        envelope: &Envelope<'_>,
        readings: &mut record::Readings,
    ) -> Result<Vec<DeadLetter>, Vec<DeadLetter>> {
        let from_topic = self.templates.matching(envelope.topic);
        let message = Message {
            encoding: envelope.encoding,
            device: Some(envelope.device).filter(|device| !device.is_empty()),
            metric: from_topic.and_then(|topic| topic.metric),
            arrived_at: envelope.arrived_at,
            time_unit: from_topic.and_then(|topic| topic.time_unit(envelope.encoding)),
            payload: envelope.payload,
        };
        let outcome = payload::decode(&message, readings, &mut self.scratch);
        let rejected = self.scratch.rejected().iter().map(|rejected| DeadLetter {
            index: u32::try_from(rejected.element).ok(),
            reason: rejected.reason.to_string(),
        });
        let letters: Vec<DeadLetter> = rejected.collect();
        match outcome {
            Ok(_) => Ok(letters),
            Err(reason) if letters.is_empty() => {
                Err(vec![DeadLetter { index: None, reason: reason.to_string() }])
            }
            Err(_) => Err(letters),
        }
    }
}
