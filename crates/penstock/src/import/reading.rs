//! From a row to readings.

use std::borrow::Cow;

use record::{DeviceId, MetricName, Timestamp, Value, limits};

use super::cell::{Cell, Row};
use super::kinds::{self, Kind};
use super::mapping::{Exported, Mapping, Values};
use super::times::Clock;

/// A reading to be sent.
pub(super) struct Reading<'r> {
    pub(super) device: &'r str,
    pub(super) metric: &'r str,
    pub(super) value: Value,
    pub(super) time: Timestamp,
    pub(super) seq: Option<i64>,
}

/// What was found in a row beside readings.
#[derive(Default)]
pub(super) struct Notes {
    /// Why part of it, or all, is no reading.
    pub(super) reasons: Vec<String>,
    pub(super) empty_cells: u64,
    /// The time is not the device's own.
    pub(super) other_clock: bool,
}

/// Hands out the readings of a row.
pub(super) fn readings(
    row: &Row,
    mapping: &Mapping,
    (clock, now): (&Clock, Timestamp),
    mut take: impl FnMut(&Reading<'_>),
) -> Notes {
    let mut notes = Notes::default();
    if let Some(reason) = &row.broken {
        notes.reasons.push(reason.clone());
        return notes;
    }
    let head = match head(row, mapping, clock, now) {
        Ok(head) => head,
        Err(reason) => {
            notes.reasons.push(reason);
            return notes;
        }
    };
    let mut offer = |metric: &str, value: Result<Option<Value>, String>, notes: &mut Notes| {
        match value.and_then(|value| value.map(|value| usable(metric, value)).transpose()) {
            Ok(None) => notes.empty_cells += 1,
            Ok(Some(value)) => {
                take(&Reading { device: &head.device, metric, value, time: head.time, seq: head.seq });
                return true;
            }
            Err(reason) => notes.reasons.push(reason),
        }
        false
    };
    let cells = &row.cells;
    match &mapping.values {
        Values::Wide(columns) => {
            let mut any = false;
            for at in columns {
                let metric = mapping.column(*at);
                any |= offer(metric, value(&cells[*at], mapping.kind(metric), metric), &mut notes);
            }
            if !any && notes.reasons.is_empty() {
                notes.reasons.push("no value in it".to_owned());
            }
        }
        Values::Narrow { metric, value: at } => match mapping.name(metric, cells) {
            None => notes.reasons.push("no metric".to_owned()),
            Some(metric) => {
                let value = value(&cells[*at], mapping.kind(&metric), &metric);
                if !offer(&metric, value, &mut notes) && notes.reasons.is_empty() {
                    notes.reasons.push("no value in it".to_owned());
                }
            }
        },
        Values::Exported(columns) => {
            notes.other_clock = cells[columns.clock].shown() == "corrected";
            let metric = cells[columns.metric].shown();
            offer(&metric, exported(cells, columns).map(Some), &mut notes);
        }
    }
    notes
}

/// What the readings of a row have in common.
struct Head<'r> {
    device: Cow<'r, str>,
    time: Timestamp,
    seq: Option<i64>,
}

fn head<'r>(row: &'r Row, mapping: &'r Mapping, clock: &Clock, now: Timestamp) -> Result<Head<'r>, String> {
    let cells = &row.cells;
    let device = mapping.name(&mapping.device, cells).ok_or("no device")?;
    DeviceId::check(&device).map_err(|error| error.to_string())?;
    let beyond = match mapping.nanos.map(|at| &cells[at]) {
        None | Some(Cell::Nothing) => 0,
        Some(cell) => whole(cell, 0..=999).ok_or_else(|| {
            format!("{:?} is no number of nanoseconds beyond the microsecond", cell.shown())
        })?,
    };
    let time = clock.time(&cells[mapping.time], beyond, now)?;
    let seq = match mapping.seq.map(|at| &cells[at]) {
        None | Some(Cell::Nothing) => None,
        Some(cell) => {
            let number = whole(cell, 0..=i64::MAX);
            Some(number.ok_or_else(|| format!("{:?} is no sequence number", cell.shown()))?)
        }
    };
    Ok(Head { device, time, seq })
}

fn whole(cell: &Cell, within: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let number = match cell {
        Cell::Int(number) => *number,
        Cell::Text(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    within.contains(&number).then_some(number)
}

/// The value in a cell; `None`: it has none.
fn value(cell: &Cell, kind: Kind, metric: &str) -> Result<Option<Value>, String> {
    let value = match cell {
        Cell::Nothing => return Ok(None),
        Cell::Text(text) => kinds::value(text, kind).map_err(|reason| format!("{metric}: {reason}"))?,
        Cell::Int(number) => Value::Int(*number),
        Cell::Float(number) => Value::Float(*number),
        Cell::Bool(value) => Value::Bool(*value),
        Cell::Time(_) | Cell::LocalTime(_) => Value::Text(cell.shown().into_owned()),
        Cell::Unusable(what) => return Err(format!("{metric}: {what} is no value")),
    };
    Ok(Some(value))
}

/// The value of an exported reading, in its own type.
fn exported(cells: &[Cell], columns: &Exported) -> Result<Value, String> {
    let number = |at: usize| match &cells[at] {
        Cell::Float(number) => Ok(*number),
        Cell::Text(text) => text.parse().map_err(|_| format!("{text:?} is no number")),
        // As NULL a NaN is exported.
        Cell::Nothing => Ok(f64::NAN),
        other => Err(format!("{:?} is no number", other.shown())),
    };
    let integer = || whole(&cells[columns.integer], i64::MIN..=i64::MAX);
    match &*cells[columns.kind].shown() {
        "float" => number(columns.value).map(Value::Float),
        "integer" => integer().map(Value::Int).ok_or_else(|| "no whole number in integer".to_owned()),
        "boolean" => match integer() {
            Some(bit @ (0 | 1)) => Ok(Value::Bool(bit == 1)),
            _ => Err("neither 0 nor 1 in integer".to_owned()),
        },
        "text" => Ok(Value::Text(cells[columns.text].shown().into_owned())),
        "location" => Ok(Value::Location { lat: number(columns.lat)?, lng: number(columns.lng)? }),
        other => Err(format!("{other:?} is no kind of value")),
    }
}

/// Whether a server can take it: what it would refuse is told here, and leaves no dead letter there.
fn usable(metric: &str, value: Value) -> Result<Value, String> {
    MetricName::check(metric).map_err(|error| error.to_string())?;
    match &value {
        Value::Float(number) if !number.is_finite() => {
            Err(format!("{metric}: {number} is no finite number, and no server takes it"))
        }
        Value::Location { lat, lng } if !(-90.0..=90.0).contains(lat) || !(-180.0..=180.0).contains(lng) => {
            Err(format!("{metric}: {lat}, {lng} is no place"))
        }
        Value::Text(text) if text.len() > limits::TEXT_VALUE_BYTES => Err(format!(
            "{metric}: a text of {} bytes, at most {} are taken",
            text.len(),
            limits::TEXT_VALUE_BYTES
        )),
        _ => Ok(value),
    }
}
