//! Some thousand rows, and the requests that their readings make.

use std::hash::{DefaultHasher, Hash, Hasher};

use record::{Timestamp, Value};

use super::cell::Row;
use super::mapping::Mapping;
use super::reading::{Notes, Reading, readings};
use super::source::{Position, Source};
use super::times::Clock;

/// Readings of a request. An answer lists up to as many reasons, one a reading, so that none stays untold.
const REQUEST_READINGS: usize = 1_000;
/// Bytes of a request: well below what a server takes, however long its texts are.
const REQUEST_BYTES: usize = 2 << 20;
/// Readings of a portion for each request under way.
const READINGS_PER_LANE: usize = 1_000;

/// Rows that are accounted for together.
pub(super) struct Portion {
    pub(super) rows: Vec<Row>,
    /// By row.
    pub(super) notes: Vec<Notes>,
    /// Requests made of it.
    pub(super) requests: usize,
    /// Where the next one begins.
    pub(super) end: Position,
    /// As [`Source::progress`] has it.
    pub(super) progress: u64,
}

/// A request: newline-delimited JSON, a reading a line.
pub(super) struct Body {
    pub(super) portion: u64,
    pub(super) bytes: Vec<u8>,
    /// Of which row of the portion each reading is.
    pub(super) rows: Vec<usize>,
}

/// Requests, each with the number of its lane.
type Requests = Vec<(usize, Body)>;

/// Reads the next portion. Requests go to `send` with the number of their lane: the same for all readings of a series, so that they
/// stay in the order of the file.
pub(super) fn next(
    source: &mut Source,
    (mapping, clock): (&Mapping, &Clock),
    (number, lanes): (u64, usize),
) -> anyhow::Result<Option<(Portion, Requests)>> {
    let now = Timestamp::now();
    let mut bodies: Requests = Vec::new();
    let mut open: Vec<Option<Body>> = (0..lanes).map(|_| None).collect();
    let (mut rows, mut notes, mut taken) = (Vec::new(), Vec::new(), 0);
    // Rows without a reading count, too: a portion of nothing but bad ones ends.
    while taken.max(rows.len()) < READINGS_PER_LANE * lanes {
        let Some(row) = source.next()? else { break };
        let at = rows.len();
        let found = readings(&row, mapping, (clock, now), |reading| {
            taken += 1;
            let lane = lane_of(reading, lanes);
            let body = open[lane].get_or_insert_with(|| Body {
                portion: number,
                bytes: Vec::new(),
                rows: Vec::new(),
            });
            append(&mut body.bytes, reading);
            body.rows.push(at);
            if body.rows.len() == REQUEST_READINGS || body.bytes.len() >= REQUEST_BYTES {
                bodies.extend(open[lane].take().map(|body| (lane, body)));
            }
        });
        notes.push(found);
        rows.push(row);
    }
    if rows.is_empty() {
        return Ok(None);
    }
    bodies.extend(open.into_iter().enumerate().filter_map(|(lane, body)| Some((lane, body?))));
    let (end, progress) = (source.position(), source.progress());
    Ok(Some((Portion { rows, notes, requests: bodies.len(), end, progress }, bodies)))
}

fn lane_of(reading: &Reading<'_>, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    (reading.device, reading.metric).hash(&mut hasher);
    usize::try_from(hasher.finish() % lanes as u64).expect("less than the number of lanes")
}

/// Times as RFC 3339, so that no unit is guessed.
fn append(bytes: &mut Vec<u8>, reading: &Reading<'_>) {
    fn json(bytes: &mut Vec<u8>, before: &str, value: &impl serde::Serialize) {
        bytes.extend_from_slice(before.as_bytes());
        serde_json::to_writer(bytes, value).expect("a Vec takes everything, and texts and numbers are JSON");
    }
    json(bytes, "{\"device_id\":", &reading.device);
    json(bytes, ",\"metric\":", &reading.metric);
    json(bytes, ",\"ts\":", &reading.time.to_rfc3339());
    if let Some(seq) = reading.seq {
        json(bytes, ",\"seq\":", &seq);
    }
    let before = ",\"value\":";
    match &reading.value {
        Value::Float(number) => json(bytes, before, number),
        Value::Int(number) => json(bytes, before, number),
        Value::Bool(value) => json(bytes, before, value),
        Value::Text(text) => json(bytes, before, text),
        Value::Location { lat, lng } => {
            json(bytes, ",\"value\":{\"lat\":", lat);
            json(bytes, ",\"lng\":", lng);
            bytes.push(b'}');
        }
    }
    bytes.extend_from_slice(b"}\n");
}
