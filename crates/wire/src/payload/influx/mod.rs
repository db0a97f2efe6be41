//! InfluxDB line protocol, from bytes into columns.
//!
//! `measurement,tag=value,… field=value,… time`, a line each. A field becomes a reading of the device that the tags
//! `device_id`, `device` or `host` name (the first of these that is there), with the metric `measurement.field`, or
//! `measurement` for a field called `value`. Further tags are part of the metric's name, sorted,
//! `cpu.usage_idle{cpu=cpu0}`: lines that differ only there are different series, and under one name the later would
//! replace the earlier.

mod facts;
mod fields;
mod scan;

pub(super) use facts::LineFacts;

use record::{DeviceNo, Readings, TimeUnit, Timestamp};
use smallvec::SmallVec;

use super::named::Named;
use super::reason::{Problem, Reason, excerpt};
use super::scratch::{Element, Notes};
use super::{Message, as_text};
use scan::{Name, Scanner};

/// Tags that may name the device, the first that is there does.
const DEVICE_TAGS: [&str; 3] = ["device_id", "device", HOST_TAG];
/// What names the device where nothing else does.
const HOST_TAG: &str = "host";
/// Of these, those that must agree with the device that topic or credential name. A host may be the gateway
/// that sends for the device.
const BINDING_TAGS: [&str; 2] = ["device_id", "device"];

type Tags<'a> = SmallVec<[(Name<'a>, Name<'a>); 16]>;

pub(super) fn decode(
    message: &Message<'_>,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<(), Reason> {
    let text = as_text(message.payload)?;
    let mut scanner = Scanner::new(text);
    let mut line = 1;
    loop {
        line += scanner.skip_to_line();
        let Some(start) = scanner.rest() else { break };
        let (mark, rejected_before, first_row) = (readings.mark(), notes.rejected.len(), readings.len());
        notes.next_element();
        let outcome = read_line(&mut scanner, message, readings, notes);
        let device = match outcome {
            Ok(device) => Some(device),
            Err(reason) => {
                readings.rollback(&mark);
                notes.rejected.truncate(rejected_before);
                scanner.skip_line(); // it never is past the line, but for line breaks in texts that were closed
                notes.reject(reason);
                None
            }
        };
        for rejected in &mut notes.rejected[rejected_before..] {
            rejected.reason.line = line;
        }
        let range = start..start + text[start..scanner.at()].trim_end_matches([' ', '\t', '\r']).len();
        let element = Element { range, device, rows: first_row..readings.len() };
        notes.element(element, rejected_before, readings).map_err(|problem| problem.at(start))?;
        line += scanner.lines_since(start);
    }
    if notes.elements.is_empty() { Err(Problem::Empty.at(0)) } else { Ok(()) }
}

/// One line, whose first character is at hand.
fn read_line(
    scanner: &mut Scanner<'_>,
    message: &Message<'_>,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<DeviceNo, Reason> {
    let start = scanner.at();
    let measurement = scanner.measurement()?;
    let mut tags = read_tags(scanner)?;
    let (device, host_at) = device_of(message, &mut tags, readings, notes, start)?;

    let mut name = std::mem::take(&mut notes.name);
    name.clear();
    measurement.append_to(&mut name);
    let tags_text = canonical(&tags);
    let fields = fields::read(scanner, &mut name, measurement, &tags_text, readings, notes);
    let measurement_text = {
        name.clear();
        measurement.append_to(&mut name);
        name
    };
    let outcome = fields.and_then(|()| read_time(scanner, message)).map(|time| {
        let when = message.when(time.map(|(_, time)| time));
        notes.lines.add(notes.elements.len(), &measurement_text, &tags_text, time, host_at);
        readings.commit(device, when);
        device
    });
    notes.name = measurement_text;
    outcome
}

fn read_tags<'a>(scanner: &mut Scanner<'a>) -> Result<Tags<'a>, Reason> {
    let mut tags = Tags::new();
    let at = scanner.at();
    while let Some(tag) = scanner.tag()? {
        tags.push(tag);
    }
    tags.sort_by(|a, b| a.0.raw.cmp(b.0.raw));
    match tags.windows(2).find(|pair| pair[0].0.raw == pair[1].0.raw) {
        Some(pair) => Err(Problem::Twice(excerpt(pair[0].0.raw)).at(at)),
        None => Ok(tags),
    }
}

/// The device of a line, whose tag is taken out of `tags`; and where the key of that tag stands, if it is `host`.
fn device_of(
    message: &Message<'_>,
    tags: &mut Tags<'_>,
    readings: &mut Readings,
    notes: &mut Notes,
    at: usize,
) -> Result<(DeviceNo, Option<usize>), Reason> {
    let naming: &[&str] = if message.device.is_some() { &BINDING_TAGS } else { &DEVICE_TAGS };
    let found = naming.iter().find_map(|key| tags.iter().position(|tag| tag.0.raw == *key));
    let tag = found.map(|position| tags.remove(position));
    // The key is a part of the payload's text.
    let place = |key: &str| key.as_ptr().addr() - message.payload.as_ptr().addr();
    let host_at = tag.filter(|tag| tag.0.raw == HOST_TAG).map(|tag| place(tag.0.raw));
    let found = tag.map(|tag| tag.1.text(&mut notes.text));
    let device = match (message.device, found) {
        (Some(expected), Some(found)) if expected != found => {
            let (found, expected) = (excerpt(found), excerpt(expected));
            return Err(Problem::OtherDevice { found, expected }.at(at));
        }
        (Some(device), _) | (None, Some(device)) => device,
        (None, None) => return Err(Problem::NoDeviceTag.at(at)),
    };
    let device = readings.device(device).map_err(|error| Problem::Id(error).at(at))?;
    Ok((device, host_at))
}

/// Adds what each line names, as far as it can be read.
pub(super) fn each_device(text: &str, named: &mut Named) {
    let mut scanner = Scanner::new(text);
    let mut buffer = String::new();
    loop {
        scanner.skip_to_line();
        if scanner.rest().is_none() {
            return;
        }
        let mut tags = Tags::new();
        if scanner.measurement().is_ok() {
            while let Ok(Some(tag)) = scanner.tag() {
                tags.push(tag);
            }
        }
        let naming = DEVICE_TAGS.iter().find_map(|key| tags.iter().find(|tag| tag.0.raw == *key));
        named.add(naming.map(|tag| tag.1.text(&mut buffer)));
        scanner.skip_line();
    }
}

/// Sorted tags as text, escapes as they were sent, so that it can be taken apart again.
fn canonical(tags: &Tags<'_>) -> String {
    let mut text = String::new();
    for (key, value) in tags {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend([key.raw, "=", value.raw]);
    }
    text
}

/// Where the line's time stands and what it is; `None` without one.
fn read_time(scanner: &mut Scanner<'_>, message: &Message<'_>) -> Result<Option<(usize, Timestamp)>, Reason> {
    let Some((at, text)) = scanner.time()? else { return Ok(None) };
    let unit = message.time_unit.unwrap_or(TimeUnit::Nanoseconds);
    match Timestamp::parse_decimal(text, Some(unit)) {
        Ok(time) => Ok(Some((at, time))),
        Err(error) => Err(Problem::Time { found: excerpt(text), error }.at(at)),
    }
}
