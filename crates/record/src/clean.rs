//! A record of `iot-telemetry-clean`: the readings of one device that were kept of one message, with the facts of the
//! device (R3.6, R4.6).
//!
//! Format (version 1, documented in `docs/formats/clean.md`; integers and floats little-endian; `var` is a length as
//! LEB128 and so many bytes):
//!
//! ```text
//! u8  version = 1
//! u8  lane         of iot-telemetry-raw: 0 live, 1 backfill
//! u16 partition
//! u64 offset       lane, partition and offset name the message
//! u32 part         which of the message's records: 0, 1, …
//! i64 arrived_at   nanoseconds since 1970
//! var tenant, var device
//! u8  which facts there are; then those that are, in this order:
//!     1 var type · 2 var site · 4 f64 lat, f64 lng · 8 var place · 16 var firmware · 32 u8 count, each: var key, var value
//!     moments      to the end of the record; each:
//!     u8  origin of the time, + 0x10: claimed time follows, + 0x20: sequence number follows
//!     i64 time · i64 claimed, if so · u64 sequence number, if so
//!     u32 count    of readings, each:
//!         var metric · u8 kind · value: f64, i64, u8, var text, f64 lat f64 lng
//! ```

use std::ops::Range;

use crate::{Facts, Lane, Readings, TimeOrigin, Timestamp, ValueKind, ValueRef, When};

const VERSION: u8 = 1;

const TYPE: u8 = 1;
const SITE: u8 = 2;
const COORDINATES: u8 = 4;
const PLACE: u8 = 8;
const FIRMWARE: u8 = 16;
const TAGS: u8 = 32;

const CLAIMED: u8 = 0x10;
const SEQ: u8 = 0x20;

/// Why bytes are no clean record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CleanError {
    /// The bytes end inside a field.
    #[error("the clean record ends inside its {0}")]
    Truncated(&'static str),
    /// A text is not UTF-8.
    #[error("the clean record's {0} is not UTF-8")]
    Utf8(&'static str),
    /// A field holds what means nothing.
    #[error("the clean record's {field} {found} means nothing in version 1")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// What stands there.
        found: u8,
    },
    /// A later version wrote it.
    #[error("the clean record has version {0}, this build reads version 1: upgrade before reading this log")]
    Version(u8),
}

/// The record a message stood in, in `iot-telemetry-raw`. A crash can write a clean record twice: readers drop what is not
/// greater than the last they saw of the same lane and partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CleanSource {
    /// Its lane.
    pub lane: Lane,
    /// Its partition.
    pub partition: u16,
    /// Its offset.
    pub offset: u64,
    /// Which of its clean records this is: a message of several devices has one for each, and a large one several.
    pub part: u32,
}

/// A clean record, borrowed from the log.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanRecord<'a> {
    /// What it was made from.
    pub source: CleanSource,
    /// When the message arrived, by the server's clock.
    pub arrived_at: Timestamp,
    /// Whose it is.
    pub tenant: &'a str,
    /// Of which device.
    pub device: &'a str,
    /// What was known of the device when the message was processed.
    pub facts: Facts,
    /// Its readings, as they were stored.
    pub readings: Vec<CleanReading<'a>>,
}

/// A reading of a clean record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleanReading<'a> {
    /// What was measured.
    pub metric: &'a str,
    /// When it happened and arrived.
    pub when: When,
    /// What was measured.
    pub value: ValueRef<'a>,
}

/// Facts as they stand in a clean record.
pub(crate) fn encoded(facts: &Facts) -> Vec<u8> {
    let mut out = vec![0];
    let mut there = 0;
    let mut text = |bit: u8, text: &Option<Box<str>>, out: &mut Vec<u8>| {
        if let Some(text) = text {
            there |= bit;
            put(out, text.as_bytes());
        }
    };
    text(TYPE, &facts.device_type, &mut out);
    text(SITE, &facts.site, &mut out);
    if let Some((lat, lng)) = facts.coordinates {
        out.extend_from_slice(&lat.to_le_bytes());
        out.extend_from_slice(&lng.to_le_bytes());
    }
    text(PLACE, &facts.place, &mut out);
    text(FIRMWARE, &facts.firmware, &mut out);
    there |= if facts.coordinates.is_some() { COORDINATES } else { 0 };
    if !facts.tags.is_empty() {
        there |= TAGS;
        out.push(u8::try_from(facts.tags.len()).expect("facts have been checked: fewer tags than 256"));
        for (key, value) in &facts.tags {
            put(&mut out, key.as_bytes());
            put(&mut out, value.as_bytes());
        }
    }
    out[0] = there;
    out
}

/// Appends the rows of one device and message as a clean record. `facts` are those of [`crate::Known::encoded`].
///
/// # Panics
/// When there is no such row.
pub fn encode_clean(
    source: CleanSource,
    tenant: &str,
    facts: &[u8],
    readings: &Readings,
    rows: Range<usize>,
    out: &mut Vec<u8>,
) {
    let first = readings.when(rows.start).expect("a clean record has a row");
    out.reserve(64 + facts.len() + rows.len() * 24);
    out.extend_from_slice(&[VERSION, source.lane as u8]);
    out.extend_from_slice(&source.partition.to_le_bytes());
    out.extend_from_slice(&source.offset.to_le_bytes());
    out.extend_from_slice(&source.part.to_le_bytes());
    out.extend_from_slice(&first.arrived_at.nanos().to_le_bytes());
    put(out, tenant.as_bytes());
    put(out, readings.device_name(readings.device_column()[rows.start]).as_bytes());
    out.extend_from_slice(facts);
    let mut moment: Option<(When, usize, u32)> = None;
    for row in rows {
        let when = readings.when(row).expect("the row is in the batch");
        match &mut moment {
            Some((of, at, count)) if *of == when => {
                *count += 1;
                out[*at..*at + 4].copy_from_slice(&count.to_le_bytes());
            }
            _ => {
                begin_moment(&when, out);
                moment = Some((when, out.len(), 1));
                out.extend_from_slice(&1_u32.to_le_bytes());
            }
        }
        put(out, readings.metric_name(readings.metric_column()[row]).as_bytes());
        put_value(readings.value(row).expect("the row is in the batch"), out);
    }
}

fn begin_moment(when: &When, out: &mut Vec<u8>) {
    let claimed = when.claimed != when.time;
    let flags = if claimed { CLAIMED } else { 0 } | if when.seq != 0 { SEQ } else { 0 };
    out.push(when.origin as u8 | flags);
    out.extend_from_slice(&when.time.nanos().to_le_bytes());
    if claimed {
        out.extend_from_slice(&when.claimed.nanos().to_le_bytes());
    }
    if when.seq != 0 {
        out.extend_from_slice(&(when.seq - 1).to_le_bytes());
    }
}

fn put_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    out.push(value.kind() as u8);
    match value {
        ValueRef::Float(float) => out.extend_from_slice(&float.to_le_bytes()),
        ValueRef::Int(int) => out.extend_from_slice(&int.to_le_bytes()),
        ValueRef::Bool(bool) => out.push(u8::from(bool)),
        ValueRef::Text(text) => put(out, text.as_bytes()),
        ValueRef::Location { lat, lng } => {
            out.extend_from_slice(&lat.to_le_bytes());
            out.extend_from_slice(&lng.to_le_bytes());
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

impl<'a> CleanRecord<'a> {
    /// Reads a record of `iot-telemetry-clean`; texts borrow from `bytes`.
    ///
    /// # Errors
    /// [`CleanError`] when the bytes are no clean record of a known version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CleanError> {
        let mut rest = Reader(bytes);
        let version = rest.byte("version")?;
        if version != VERSION {
            return Err(CleanError::Version(version));
        }
        let source = source(&mut rest)?;
        let arrived_at = Timestamp::from_nanos(i64::from_le_bytes(rest.array("arrival time")?));
        let tenant = rest.text("tenant")?;
        let device = rest.text("device")?;
        let facts = facts(&mut rest)?;
        let mut readings = Vec::new();
        while !rest.0.is_empty() {
            moment(&mut rest, arrived_at, &mut readings)?;
        }
        Ok(Self { source, arrived_at, tenant, device, facts, readings })
    }
}

impl CleanSource {
    /// Reads only where a clean record comes from.
    ///
    /// # Errors
    /// As [`CleanRecord::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CleanError> {
        let mut rest = Reader(bytes);
        match rest.byte("version")? {
            VERSION => source(&mut rest),
            other => Err(CleanError::Version(other)),
        }
    }
}

fn source(rest: &mut Reader<'_>) -> Result<CleanSource, CleanError> {
    let lane = match rest.byte("lane")? {
        0 => Lane::Live,
        1 => Lane::Backfill,
        found => return Err(CleanError::Unknown { field: "lane", found }),
    };
    Ok(CleanSource {
        lane,
        partition: u16::from_le_bytes(rest.array("partition")?),
        offset: u64::from_le_bytes(rest.array("offset")?),
        part: u32::from_le_bytes(rest.array("part")?),
    })
}

fn facts(rest: &mut Reader<'_>) -> Result<Facts, CleanError> {
    let there = rest.byte("facts")?;
    if there & !(TYPE | SITE | COORDINATES | PLACE | FIRMWARE | TAGS) != 0 {
        return Err(CleanError::Unknown { field: "facts", found: there });
    }
    let text = |bit: u8, field, rest: &mut Reader<'_>| -> Result<Option<Box<str>>, CleanError> {
        if there & bit == 0 { Ok(None) } else { Ok(Some(rest.text(field)?.into())) }
    };
    let mut facts = Facts { device_type: text(TYPE, "type", rest)?, ..Facts::default() };
    facts.site = text(SITE, "site", rest)?;
    if there & COORDINATES != 0 {
        facts.coordinates = Some((rest.float("location")?, rest.float("location")?));
    }
    facts.place = text(PLACE, "place", rest)?;
    facts.firmware = text(FIRMWARE, "firmware", rest)?;
    if there & TAGS != 0 {
        for _ in 0..rest.byte("tags")? {
            let key = rest.text("tag")?.into();
            facts.tags.insert(key, rest.text("tag")?.into());
        }
    }
    Ok(facts)
}

fn moment<'a>(
    rest: &mut Reader<'a>,
    arrived_at: Timestamp,
    readings: &mut Vec<CleanReading<'a>>,
) -> Result<(), CleanError> {
    let flags = rest.byte("moment")?;
    let unknown = CleanError::Unknown { field: "moment", found: flags };
    let origin = TimeOrigin::from_number(flags & !(CLAIMED | SEQ)).ok_or(unknown)?;
    let time = Timestamp::from_nanos(i64::from_le_bytes(rest.array("time")?));
    let claimed = match flags & CLAIMED {
        0 => time,
        _ => Timestamp::from_nanos(i64::from_le_bytes(rest.array("claimed time")?)),
    };
    let seq = match flags & SEQ {
        0 => 0,
        _ => u64::from_le_bytes(rest.array("sequence number")?).saturating_add(1),
    };
    let when = When { time, origin, arrived_at, claimed, seq };
    for _ in 0..u32::from_le_bytes(rest.array("count")?) {
        let metric = rest.text("metric")?;
        let value = value(rest)?;
        readings.push(CleanReading { metric, when, value });
    }
    Ok(())
}

fn value<'a>(rest: &mut Reader<'a>) -> Result<ValueRef<'a>, CleanError> {
    const KINDS: [ValueKind; 5] =
        [ValueKind::Float, ValueKind::Int, ValueKind::Bool, ValueKind::Text, ValueKind::Location];
    let found = rest.byte("kind")?;
    let kind = KINDS.into_iter().find(|kind| *kind as u8 == found);
    Ok(match kind.ok_or(CleanError::Unknown { field: "kind", found })? {
        ValueKind::Float => ValueRef::Float(rest.float("value")?),
        ValueKind::Int => ValueRef::Int(i64::from_le_bytes(rest.array("value")?)),
        ValueKind::Bool => match rest.byte("value")? {
            0 => ValueRef::Bool(false),
            1 => ValueRef::Bool(true),
            found => return Err(CleanError::Unknown { field: "boolean", found }),
        },
        ValueKind::Text => ValueRef::Text(rest.text("value")?),
        ValueKind::Location => ValueRef::Location { lat: rest.float("value")?, lng: rest.float("value")? },
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self, field: &'static str) -> Result<u8, CleanError> {
        let (&first, rest) = self.0.split_first().ok_or(CleanError::Truncated(field))?;
        self.0 = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CleanError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(CleanError::Truncated(field))?;
        self.0 = rest;
        Ok(*head)
    }

    fn float(&mut self, field: &'static str) -> Result<f64, CleanError> {
        Ok(f64::from_le_bytes(self.array(field)?))
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, CleanError> {
        let mut length = 0_usize;
        for shift in (0..35).step_by(7) {
            let byte = self.byte(field)?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let (head, rest) = self.0.split_at_checked(length).ok_or(CleanError::Truncated(field))?;
                self.0 = rest;
                return std::str::from_utf8(head).map_err(|_| CleanError::Utf8(field));
            }
        }
        Err(CleanError::Truncated(field))
    }
}
