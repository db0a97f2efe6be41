//! From a dead message to the record that tries it again. Pure.

use log::{Lane, PartitionId, Topic};
use record::{Encoding, Envelope, Kind, Protocol, ReplayOf, partition_of};
use schema::{Facts, Schemas};
use series::DeadMessage;
use wire::payload::{self, Message, Scratch};
use wire::template::Templates;

/// The record, and where it belongs: the partition of its device, as every reading's; in the backfill lane, because
/// it is old by now. It is what the dead message was when it came in, with the `mended` payload if there is one.
///
/// Errors say, for people, why there can be none.
pub(crate) fn record(
    message: &DeadMessage,
    mended: Option<&[u8]>,
    templates: &Templates,
    schemas: Option<&Schemas>,
    partitions: u16,
) -> Result<(PartitionId, Vec<u8>), String> {
    if message.record.is_empty() {
        return Err("its record is gone from the log".to_owned());
    }
    let original = Envelope::decode(&message.record).map_err(|error| error.to_string())?;
    let payload = mended.unwrap_or(original.payload);
    let encoding = match original.encoding {
        // Mending may make one document of several lines, or the other way round.
        Encoding::Json | Encoding::Ndjson if mended.is_some() => payload::detect_json(payload),
        as_it_was => as_it_was,
    };
    // As on arrival: the stream knows no schemas, and what does not fit does not come in by this door either.
    let mut buffer = String::new();
    let (encoding, payload) = match schemas {
        // A part is what a message meant when it came in.
        Some(schemas) if original.kind != Kind::Part => {
            plain(schemas, &original, encoding, payload, templates, &mut buffer)?
        }
        _ => (encoding, payload),
    };
    let source = message.source;
    let of = ReplayOf {
        topic: source.topic,
        lane: source.lane,
        partition: source.partition,
        offset: message.offset,
    };
    let properties = of.to_bytes();
    let replay = Envelope {
        kind: Kind::Replay,
        protocol: Protocol::Internal,
        encoding,
        retain: false,
        refused: None,
        origin: None,
        properties: &properties,
        payload,
        ..original
    };
    let index = match device_of(&replay, templates)? {
        Some(device) => partition_of(replay.tenant, &device, partitions),
        // It will not be read this time either: it fails where it failed.
        None => source.partition.min(partitions.saturating_sub(1)),
    };
    let mut bytes = Vec::new();
    replay.encode(&mut bytes);
    Ok((PartitionId { topic: Topic::Raw, lane: Lane::Backfill, index }, bytes))
}

/// A payload as the stream reads it, by the schema of its topic or its own.
fn plain<'p>(
    schemas: &Schemas,
    envelope: &Envelope<'_>,
    encoding: Encoding,
    payload: &'p [u8],
    templates: &Templates,
    buffer: &'p mut String,
) -> Result<(Encoding, &'p [u8]), String> {
    let found = templates.matching(envelope.topic);
    let mut said = found.iter().flat_map(|found| found.facts());
    let facts = Facts {
        tenant: envelope.tenant,
        topic: envelope.topic,
        device_type: said.find(|(name, _)| *name == "device_type").map(|(_, value)| value),
        firmware: None, // the record does not keep it
    };
    let view = schemas.view();
    let sent = view.encoding(&facts, payload).unwrap_or(encoding);
    let plain = view.plain(&facts, sent, payload, buffer).map_err(|violation| violation.to_string())?;
    Ok((plain.encoding, plain.payload))
}

/// The device that the envelope or the payload names; `None` when neither does.
fn device_of(envelope: &Envelope<'_>, templates: &Templates) -> Result<Option<String>, String> {
    if !envelope.device.is_empty() {
        return Ok(Some(envelope.device.to_owned()));
    }
    let message = Message {
        encoding: envelope.encoding,
        device: None,
        metric: templates.matching(envelope.topic).and_then(|topic| topic.metric),
        arrived_at: envelope.arrived_at,
        time_unit: None,
        payload: envelope.payload,
    };
    let mut scratch = Scratch::new();
    if payload::inspect(&message, &mut scratch).is_err() {
        return Ok(None);
    }
    let mut devices = scratch.readings().iter().map(|reading| reading.device);
    let first = devices.next();
    if devices.any(|device| Some(device) != first) {
        return Err("its readings are of several devices: send them as new telemetry".to_owned());
    }
    Ok(first.map(str::to_owned))
}
