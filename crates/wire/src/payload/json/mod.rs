//! JSON and newline-delimited JSON, from bytes into columns in one pass.

mod element;
mod named;
mod object;
mod scan;
mod string;
mod value;

use record::Readings;

use super::reason::{Problem, Reason};
use super::scratch::{Element, Notes};
use super::{Message, as_text};
use element::element;
pub(super) use named::each_device;
use scan::{Fault, Scanner};

/// A refusal of the whole document: not JSON, or too much of it.
enum Stop {
    Fault(Fault),
    TooMany(Problem),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Stop> for Reason {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Fault(fault) => fault.into(),
            Stop::TooMany(problem) => problem.at(0),
        }
    }
}

/// Whether a JSON payload of unknown kind is one document or one per line.
///
/// Exact for valid payloads: an object that is followed by a line break and another object stands in no JSON document.
#[must_use]
pub fn detect(payload: &[u8]) -> record::Encoding {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let mut rest = payload;
    if payload.iter().find(|byte| !is_space(byte)) == Some(&b'{') {
        while let Some(close) = memchr::memchr(b'}', rest) {
            let (spaces, after) = {
                let after = &rest[close + 1..];
                after.split_at(after.iter().position(|byte| !is_space(byte)).unwrap_or(after.len()))
            };
            if after.first() == Some(&b'{') && spaces.contains(&b'\n') {
                return record::Encoding::Ndjson;
            }
            rest = after;
        }
    }
    record::Encoding::Json
}

/// One document: an element or an array of them.
pub(super) fn decode(
    message: &Message<'_>,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<(), Reason> {
    let text = as_text(message.payload)?;
    let mut scanner = Scanner::new(text, 0, text.len());
    scanner.white_space();
    if scanner.peek().is_none() {
        return Err(Problem::Empty.at(0));
    }
    Ok(document(&mut scanner, message, readings, notes)?)
}

/// One document per line. A line that is no JSON is refused on its own.
pub(super) fn decode_lines(
    message: &Message<'_>,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<(), Reason> {
    let text = as_text(message.payload)?;
    let bytes = text.as_bytes();
    let (mut start, mut line) = (0, 0);
    while start < bytes.len() {
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |step| start + step);
        line += 1;
        let mut scanner = Scanner::new(text, start, end);
        scanner.white_space();
        if scanner.peek().is_some() {
            let from = scanner.at();
            let (mark, elements, rejected) = (readings.mark(), notes.elements.len(), notes.rejected.len());
            match document(&mut scanner, message, readings, notes) {
                Ok(()) => {}
                Err(stop @ Stop::TooMany(_)) => return Err(stop.into()),
                Err(Stop::Fault(fault)) => {
                    readings.rollback(&mark);
                    notes.elements.truncate(elements);
                    notes.rejected.truncate(rejected);
                    notes.reject(fault.into());
                    let to = from + text[from..end].trim_end_matches([' ', '\t', '\r']).len();
                    let rows = readings.len()..readings.len();
                    notes
                        .element(Element { range: from..to, device: None, rows }, rejected, readings)
                        .map_err(|problem| problem.at(from))?;
                }
            }
            for rejected in &mut notes.rejected[rejected..] {
                rejected.reason.line = line;
            }
        }
        start = end + 1;
    }
    if line == 0 { Err(Problem::Empty.at(0)) } else { Ok(()) }
}

fn document(
    scanner: &mut Scanner<'_>,
    message: &Message<'_>,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<(), Stop> {
    if scanner.peek() == Some(b'[') {
        let mut more = scanner.open(b']')?;
        while more {
            element(scanner, false, message, readings, notes)?;
            more = scanner.more(b']')?;
        }
    } else {
        element(scanner, true, message, readings, notes)?;
    }
    scanner.white_space();
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Ok(scanner.fault("there is more text after the end")?),
    }
}
