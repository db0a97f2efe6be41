//! What the store keeps, as rows of the public tables ([`super::shape`]).

use record::{Envelope, TimeOrigin, Timestamp, ValueKind, ValueRef, When};

use super::Builder;
use crate::{Amounts, Source};
use record::Lane;

/// Of which series a row is.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) device: &'a str,
    pub(crate) metric: &'a str,
}

/// The first twelve columns of `telemetry`, `late`, `corrections`, and the exact number, which stands last.
pub(crate) fn reading_row(
    row: &mut Builder,
    names: Names<'_>,
    when: &When,
    value: ValueRef<'_>,
    integer: usize,
) {
    reading_rows(row, names.metric, integer, std::iter::once((names.device, *when, value)));
}

/// The same columns for many readings of one metric, column by column.
pub(crate) fn reading_rows<'a>(
    to: &mut Builder,
    metric: &str,
    integer: usize,
    rows: impl Iterator<Item = (&'a str, When, ValueRef<'a>)> + Clone,
) {
    let each = || rows.clone();
    if to.wants(0) {
        each().for_each(|(_, when, _)| to.time(0, Some(when.time)));
    }
    if to.wants(1) {
        each().for_each(|(_, when, _)| to.time(1, Some(when.arrived_at)));
    }
    if to.wants(2) {
        each().for_each(|(device, ..)| to.text(2, Some(device)));
    }
    if to.wants(3) {
        each().for_each(|_| to.text(3, Some(metric)));
    }
    if to.wants(4) {
        each().for_each(|(.., value)| to.float(4, value.as_f64()));
    }
    if to.wants(5) {
        let text = |value| if let ValueRef::Text(text) = value { Some(text) } else { None };
        each().for_each(|(.., value)| to.text(5, text(value)));
    }
    if to.wants(6) || to.wants(7) {
        let place = |value| if let ValueRef::Location { lat, lng } = value { Some((lat, lng)) } else { None };
        for (lat, lng) in each().map(|(.., value)| place(value).unzip()) {
            to.float(6, lat);
            to.float(7, lng);
        }
    }
    if to.wants(8) {
        each().for_each(|(.., value)| to.text(8, Some(kind_name(value.kind()))));
    }
    if to.wants(9) {
        each().for_each(|(_, when, _)| to.text(9, Some(clock(when.origin))));
    }
    if to.wants(10) {
        let claimed = |when: When| (when.origin != TimeOrigin::Server).then_some(when.claimed);
        each().for_each(|(_, when, _)| to.time(10, claimed(when)));
    }
    if to.wants(11) {
        // One more than the number that was sent: see `When::seq`.
        each().for_each(|(_, when, _)| to.uint(11, when.seq.checked_sub(1)));
    }
    if to.wants(integer) {
        each().for_each(|(.., value)| to.int(integer, exact(value)));
    }
}

/// A kind of value, as the tables say it.
pub(crate) fn kind_name(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Float => "float",
        ValueKind::Int => "integer",
        ValueKind::Bool => "boolean",
        ValueKind::Text => "text",
        ValueKind::Location => "location",
    }
}

/// The whole number, or a boolean's 0 or 1.
fn exact(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Int(int) => Some(int),
        ValueRef::Bool(bool) => Some(i64::from(bool)),
        _ => None,
    }
}

fn clock(origin: TimeOrigin) -> &'static str {
    match origin {
        TimeOrigin::Device => "device",
        TimeOrigin::Server => "server",
        TimeOrigin::Corrected => "corrected",
        TimeOrigin::Suspect => "suspect",
    }
}

/// The result of a window but its names.
pub(crate) struct WindowCells<'a> {
    pub(crate) window: &'a str,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) count: u64,
    /// `sum`, `min`, `max`, `stddev`, `p95`, `first`, `last`.
    pub(crate) floats: [f64; 7],
    pub(crate) revised: bool,
}

pub(crate) fn window_row(row: &mut Builder, names: Names<'_>, cells: &WindowCells<'_>) {
    row.text(0, Some(names.device));
    row.text(1, Some(names.metric));
    row.time(2, Some(cells.start));
    row.time(3, Some(cells.end));
    row.text(4, Some(cells.window));
    row.int(5, Some(saturated(cells.count)));
    let [sum, min, max, stddev, p95, first, last] = cells.floats;
    let avg = sum / cells.count as f64;
    for (column, float) in (6..).zip([sum, avg, min, max, stddev, p95, first, last]) {
        row.float(column, Some(float));
    }
    row.bool(14, Some(cells.revised));
    row.end_row();
}

pub(crate) fn device_row(
    row: &mut Builder,
    id: &str,
    (created_at, last_seen): (Timestamp, Timestamp),
    metrics: u64,
    clock: Option<(i64, bool)>,
) {
    row.text(0, Some(id));
    row.time(1, Some(created_at));
    row.time(2, Some(last_seen));
    row.int(3, Some(saturated(metrics)));
    row.float(4, clock.map(|(skew_nanos, _)| skew_nanos as f64 / 1e6));
    row.bool(5, clock.map(|(_, suspect)| suspect));
    row.end_row();
}

/// A dead letter. The record is handed in by a function, because reading it costs something.
pub(crate) struct Dead<'a> {
    pub(crate) source: Source,
    pub(crate) offset: u64,
    pub(crate) device: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) stage: &'a str,
    pub(crate) arrived_at: Timestamp,
    pub(crate) last_at: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) partly_stored: bool,
    pub(crate) reading: Option<u32>,
    pub(crate) reason: &'a str,
    pub(crate) record: &'a [u8],
}

/// The column `payload` of `dlq`.
pub(crate) const PAYLOAD: usize = 11;

pub(crate) fn dead_row(row: &mut Builder, dead: &Dead<'_>) {
    let Source { topic, lane, partition } = dead.source;
    let lane = if lane == Lane::Live { "live" } else { "backfill" };
    if row.wants(0) {
        row.text(0, Some(&format!("{topic}-{lane}-{partition}-{}", dead.offset)));
    }
    row.time(1, Some(dead.arrived_at));
    row.text(2, Some(dead.device));
    row.text(3, Some(dead.topic));
    row.text(4, Some(dead.stage));
    row.text(5, Some(dead.reason));
    row.int(6, dead.reading.map(i64::from));
    row.text(7, Some(if dead.partly_stored { "part" } else { "whole" }));
    row.int(8, Some(i64::from(dead.attempts)));
    row.time(9, Some(dead.arrived_at));
    row.time(10, Some(dead.last_at));
    if row.wants(PAYLOAD) {
        let payload = Envelope::decode(dead.record).map_or(dead.record, |envelope| envelope.payload);
        row.text(PAYLOAD, Some(&text_of(payload)));
    }
    row.text(12, Some(lane));
    row.int(13, Some(i64::from(partition)));
    row.int(14, Some(saturated(dead.offset)));
    row.end_row();
}

pub(crate) fn account_row(row: &mut Builder, topic: &str, minute: Timestamp, amounts: &Amounts) {
    let Amounts { records, accepted, stored, duplicate, dead, late, shed, corrected } = *amounts;
    row.text(0, Some(topic));
    row.time(1, Some(minute));
    let counts = [records, accepted, stored, duplicate, corrected, dead, late, shed, amounts.residue()];
    for (column, count) in (2..).zip(counts) {
        row.int(column, Some(count));
    }
    row.end_row();
}

/// Counts and offsets do not come near the end of 63 bits.
fn saturated(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Bytes as text: as they are when they are UTF-8, else in hexadecimal after `\x`, as PostgreSQL writes them.
fn text_of(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes
            .iter()
            .fold(String::from("\\x"), |mut text, byte| {
                use std::fmt::Write as _;
                let _ = write!(text, "{byte:02x}"); // writing into a String cannot fail
                text
            })
            .into(),
    }
}
