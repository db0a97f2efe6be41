//! Protobuf's wire format (protobuf.dev, "Encoding") as JSON text, in the spirit of ProtoJSON: field names as they are
//! written, enums by name, bytes in base64, the well-known types as what they stand for.
//!
//! Different from ProtoJSON: 64-bit integers are numbers, and a number, boolean or enum that the sender left out because
//! it has its default is written down all the same (proto3 does not send a temperature of 0), unless it says when or
//! which: a time of 0 is no time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use record::{TimeUnit, Timestamp, limits};
use wire::payload::{is_device_key, is_sequence_key, is_time_key};

use super::{Defined, Field, Kind, MessageNo, Protobuf};
use crate::text::{Bytes, Slot, Text, Unreadable, unzigzag, utf8};

impl Protobuf {
    /// Writes `payload`, a message of the type `message`, down as JSON. `at`: where it begins. `strict`: fields that
    /// the schema does not have are refused.
    pub(crate) fn decode(
        &self,
        message: MessageNo,
        payload: &[u8],
        at: usize,
        strict: bool,
        out: &mut String,
    ) -> Result<(), Unreadable> {
        let text = Text::new(out, payload.len());
        let mut decoder = Decoder { schema: self, text, strict };
        decoder.message(message, Bytes::new(payload, at), Slot::Root, 0)
    }

    /// The message that the indexes of the wire format name; without any, the first of the file.
    pub(crate) fn indexed(&self, indexes: &[usize]) -> Option<MessageNo> {
        let (first, inner) = indexes.split_first().unwrap_or((&0, &[]));
        let mut found: &Defined = self.defined.get(*first)?;
        for index in inner {
            found = found.inside.get(*index)?;
        }
        Some(found.message)
    }
}

struct Decoder<'s, 'b> {
    schema: &'s Protobuf,
    text: Text<'b>,
    strict: bool,
}

/// A field's value as it stands on the wire.
#[derive(Clone, Copy)]
enum Raw<'p> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'p [u8], usize),
    Fixed32([u8; 4]),
}

/// Messages that stand for the one value they hold.
const TRANSPARENT: [&str; 12] = [
    "google.protobuf.DoubleValue",
    "google.protobuf.FloatValue",
    "google.protobuf.Int64Value",
    "google.protobuf.UInt64Value",
    "google.protobuf.Int32Value",
    "google.protobuf.UInt32Value",
    "google.protobuf.BoolValue",
    "google.protobuf.StringValue",
    "google.protobuf.BytesValue",
    "google.protobuf.Struct",
    "google.protobuf.ListValue",
    "google.protobuf.Value",
];

impl<'s> Decoder<'s, '_> {
    fn message(
        &mut self,
        of: MessageNo,
        bytes: Bytes<'_>,
        slot: Slot<'_>,
        depth: usize,
    ) -> Result<(), Unreadable> {
        let at = bytes.at();
        self.text.bounded(at)?;
        if depth > limits::JSON_DEPTH {
            return Err(Unreadable::new(at, format!("nested deeper than {} levels", limits::JSON_DEPTH)));
        }
        let schema = self.schema;
        let message = &schema.messages[of];
        let found = self.fields(of, bytes)?;
        match message.full_name.as_str() {
            "google.protobuf.Timestamp" => return self.timestamp(&found, slot, at),
            name if TRANSPARENT.contains(&name) => return self.transparent(of, &found, slot, at, depth),
            _ => {}
        }
        self.text.open(slot, '{');
        for (number, field) in &message.fields {
            let key = field.key();
            match found.get(number) {
                Some(values) => self.field(field, values, Slot::Key(key), depth)?,
                None if field.required => {
                    return Err(Unreadable::new(
                        at,
                        format!("the required field {:?} is missing", field.name),
                    ));
                }
                None => self.default(field, Slot::Key(key)),
            }
        }
        self.text.close('}');
        Ok(())
    }

    /// The values of each known field, in order.
    fn fields<'p>(
        &self,
        of: MessageNo,
        mut bytes: Bytes<'p>,
    ) -> Result<BTreeMap<u32, Vec<Raw<'p>>>, Unreadable> {
        let message = &self.schema.messages[of];
        let mut found: BTreeMap<u32, Vec<Raw<'p>>> = BTreeMap::new();
        let mut count = 0_usize;
        while !bytes.is_empty() {
            let at = bytes.at();
            let tag = bytes.varint()?;
            let number =
                u32::try_from(tag >> 3).map_err(|_| Unreadable::new(at, "no field has such a number"))?;
            let raw = match tag & 7 {
                0 => Raw::Varint(bytes.varint()?),
                1 => Raw::Fixed64(bytes.array()?),
                2 => {
                    let length = bytes.varint()?;
                    let start = bytes.at();
                    Raw::Bytes(bytes.take(length)?, start)
                }
                5 => Raw::Fixed32(bytes.array()?),
                3 | 4 => return Err(Unreadable::new(at, "groups are not read: use messages")),
                _ => return Err(Unreadable::new(at, "no field has such a wire type")),
            };
            count += 1;
            if count > limits::READINGS_PER_MESSAGE {
                return Err(Unreadable::new(at, "too many fields in one message"));
            }
            match message.fields.get(&number) {
                Some(field) => {
                    let values = found.entry(number).or_default();
                    // Of a field that is not repeated the last counts, and of those in a oneof; of messages all.
                    if !field.repeated && !matches!(field.kind, Kind::Message(_)) {
                        values.clear();
                    }
                    values.push(raw);
                    let rivals = field.oneof.as_ref().map(|oneof| message.in_oneof(oneof, number));
                    for rival in rivals.into_iter().flatten() {
                        found.remove(&rival);
                    }
                }
                None if self.strict => {
                    return Err(Unreadable::new(
                        at,
                        format!("field {number} is not in the schema's {}", message.name),
                    ));
                }
                None => {}
            }
        }
        Ok(found)
    }

    fn field(
        &mut self,
        field: &'s Field,
        values: &[Raw<'_>],
        slot: Slot<'_>,
        depth: usize,
    ) -> Result<(), Unreadable> {
        if let Kind::Message(of) = field.kind {
            return self.message_field(field, of, values, slot, depth);
        }
        if !field.repeated {
            return values.last().map_or(Ok(()), |raw| self.scalar(field.kind, *raw, slot));
        }
        self.text.open(slot, '[');
        for raw in values {
            match *raw {
                // Packed: one after the other in one field.
                Raw::Bytes(bytes, at) if !matches!(field.kind, Kind::String | Kind::Bytes) => {
                    let mut bytes = Bytes::new(bytes, at);
                    while !bytes.is_empty() {
                        let raw = packed(field.kind, &mut bytes)?;
                        self.scalar(field.kind, raw, Slot::Item)?;
                        self.text.bounded(bytes.at())?;
                    }
                }
                raw => self.scalar(field.kind, raw, Slot::Item)?,
            }
        }
        self.text.close(']');
        Ok(())
    }

    fn message_field(
        &mut self,
        field: &Field,
        of: MessageNo,
        values: &[Raw<'_>],
        slot: Slot<'_>,
        depth: usize,
    ) -> Result<(), Unreadable> {
        let parts = values.iter().map(|raw| match raw {
            Raw::Bytes(bytes, at) => Ok((*bytes, *at)),
            _ => Err(Unreadable::new(0, format!("{:?} is a message, not a number", field.name))),
        });
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        if self.schema.messages[of].is_map_entry {
            self.text.open(slot, '{');
            for (bytes, at) in parts {
                self.entry(of, Bytes::new(bytes, at), depth + 1)?;
            }
            self.text.close('}');
        } else if field.repeated {
            self.text.open(slot, '[');
            for (bytes, at) in parts {
                self.message(of, Bytes::new(bytes, at), Slot::Item, depth + 1)?;
            }
            self.text.close(']');
        } else {
            // Several are merged, which is what their bytes one after the other mean.
            let at = parts.first().map_or(0, |(_, at)| *at);
            let bytes: Cow<'_, [u8]> = match parts.as_slice() {
                [(one, _)] => Cow::Borrowed(one),
                _ => Cow::Owned(parts.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect()),
            };
            self.message(of, Bytes::new(&bytes, at), slot, depth + 1)?;
        }
        Ok(())
    }

    /// An entry of a map: its key, then its value.
    fn entry(&mut self, of: MessageNo, bytes: Bytes<'_>, depth: usize) -> Result<(), Unreadable> {
        let at = bytes.at();
        let found = self.fields(of, bytes)?;
        let last = |number: u32| found.get(&number).and_then(|values| values.last().copied());
        let fields = &self.schema.messages[of].fields;
        let key = match (last(1), fields[&1].kind) {
            (Some(Raw::Bytes(bytes, at)), _) => Cow::Borrowed(utf8(bytes, at)?),
            (Some(Raw::Varint(value)), Kind::Sint32 | Kind::Sint64) => unzigzag(value).to_string().into(),
            (Some(Raw::Varint(value)), Kind::Bool) => (value != 0).to_string().into(),
            (Some(Raw::Varint(value)), Kind::Uint32 | Kind::Uint64) => value.to_string().into(),
            (Some(Raw::Varint(value)), _) => (value as i64).to_string().into(),
            (None, Kind::String) => Cow::Borrowed(""),
            (None, _) => Cow::Borrowed("0"),
            _ => return Err(Unreadable::new(at, "a map's key is a text or a number")),
        };
        let slot = Slot::Key(&key);
        match (found.get(&2), fields[&2].kind) {
            (Some(values), _) => self.field(&fields[&2], values, slot, depth),
            (None, Kind::Message(of)) => self.message(of, Bytes::new(&[], at), slot, depth + 1),
            (None, Kind::String | Kind::Bytes) => {
                self.text.string(slot, "");
                Ok(())
            }
            (None, kind) => self.scalar(kind, zero(kind), slot),
        }
    }

    fn timestamp(
        &mut self,
        found: &BTreeMap<u32, Vec<Raw<'_>>>,
        slot: Slot<'_>,
        at: usize,
    ) -> Result<(), Unreadable> {
        let number = |field: u32| match found.get(&field).and_then(|values| values.last()) {
            Some(Raw::Varint(value)) => *value as i64,
            _ => 0,
        };
        let (seconds, nanos) = (number(1), number(2));
        let nanos = seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(nanos));
        let time = nanos.map(|nanos| Timestamp::from_count(nanos, Some(TimeUnit::Nanoseconds)));
        let Some(Ok(time)) = time else {
            return Err(Unreadable::new(at, format!("the time of {seconds} s is out of range")));
        };
        self.text.time(slot, time);
        Ok(())
    }

    fn transparent(
        &mut self,
        of: MessageNo,
        found: &BTreeMap<u32, Vec<Raw<'_>>>,
        slot: Slot<'_>,
        at: usize,
        depth: usize,
    ) -> Result<(), Unreadable> {
        let message = &self.schema.messages[of];
        if let Some((number, values)) = found.iter().next_back() {
            let field = &message.fields[number];
            // `Value.null_value` is an enum of one.
            if field.name == "null_value" {
                self.text.nothing(slot);
                return Ok(());
            }
            return self.field(field, values, slot, depth);
        }
        match (message.full_name.as_str(), message.fields.get(&1)) {
            ("google.protobuf.Value", _) | (_, None) => self.text.nothing(slot),
            ("google.protobuf.Struct", _) => {
                self.text.open(slot, '{');
                self.text.close('}');
            }
            ("google.protobuf.ListValue", _) => {
                self.text.open(slot, '[');
                self.text.close(']');
            }
            (_, Some(field)) if matches!(field.kind, Kind::String | Kind::Bytes) => {
                self.text.string(slot, "")
            }
            (_, Some(field)) => self.scalar(field.kind, zero(field.kind), slot)?,
        }
        self.text.bounded(at)
    }

    /// A field that is not there: its default, where the sender may have left it out for that.
    fn default(&mut self, field: &Field, slot: Slot<'_>) {
        let key = field.key();
        let says_when_or_which = is_time_key(key) || is_device_key(key) || is_sequence_key(key);
        let text = matches!(field.kind, Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Group(_));
        if !field.implicit || says_when_or_which || text {
            return;
        }
        let written = self.scalar(field.kind, zero(field.kind), slot);
        debug_assert!(written.is_ok(), "a zero of its own kind");
    }

    fn scalar(&mut self, kind: Kind, raw: Raw<'_>, slot: Slot<'_>) -> Result<(), Unreadable> {
        match (kind, raw) {
            (Kind::Double, Raw::Fixed64(bytes)) => self.text.float(slot, f64::from_le_bytes(bytes)),
            (Kind::Float, Raw::Fixed32(bytes)) => self.text.float(slot, f32::from_le_bytes(bytes).into()),
            (Kind::Int32, Raw::Varint(value)) => self.text.integer(slot, value as i32),
            (Kind::Int64, Raw::Varint(value)) => self.text.integer(slot, value as i64),
            (Kind::Uint32, Raw::Varint(value)) => self.text.integer(slot, value as u32),
            (Kind::Uint64, Raw::Varint(value)) => self.text.integer(slot, value),
            (Kind::Sint32, Raw::Varint(value)) => self.text.integer(slot, unzigzag(value) as i32),
            (Kind::Sint64, Raw::Varint(value)) => self.text.integer(slot, unzigzag(value)),
            (Kind::Fixed32, Raw::Fixed32(bytes)) => self.text.integer(slot, u32::from_le_bytes(bytes)),
            (Kind::Sfixed32, Raw::Fixed32(bytes)) => self.text.integer(slot, i32::from_le_bytes(bytes)),
            (Kind::Fixed64, Raw::Fixed64(bytes)) => self.text.integer(slot, u64::from_le_bytes(bytes)),
            (Kind::Sfixed64, Raw::Fixed64(bytes)) => self.text.integer(slot, i64::from_le_bytes(bytes)),
            (Kind::Bool, Raw::Varint(value)) => self.text.boolean(slot, value != 0),
            (Kind::Enum(of), Raw::Varint(value)) => match self.schema.enums[of].values.get(&(value as i32)) {
                Some(name) => self.text.string(slot, name),
                None => self.text.integer(slot, value as i32),
            },
            (Kind::String, Raw::Bytes(bytes, at)) => self.text.string(slot, utf8(bytes, at)?),
            (Kind::Bytes, Raw::Bytes(bytes, _)) => self.text.string(slot, &BASE64_STANDARD.encode(bytes)),
            (_, raw) => {
                let at = if let Raw::Bytes(_, at) = raw { at } else { 0 };
                return Err(Unreadable::new(at, "a field is of another kind on the wire than in the schema"));
            }
        }
        Ok(())
    }
}

/// One number of a packed field.
fn packed<'p>(kind: Kind, bytes: &mut Bytes<'p>) -> Result<Raw<'p>, Unreadable> {
    Ok(match zero(kind) {
        Raw::Fixed64(_) => Raw::Fixed64(bytes.array()?),
        Raw::Fixed32(_) => Raw::Fixed32(bytes.array()?),
        _ => Raw::Varint(bytes.varint()?),
    })
}

/// The zero of a number, boolean or enum.
fn zero(kind: Kind) -> Raw<'static> {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Raw::Fixed64([0; 8]),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Raw::Fixed32([0; 4]),
        _ => Raw::Varint(0),
    }
}

impl Field {
    /// What the field is called: a choice of kinds called `value` is the value, whichever was chosen.
    fn key(&self) -> &str {
        match &self.oneof {
            Some(oneof) if oneof == "value" => oneof,
            _ => &self.name,
        }
    }
}

impl super::Message {
    /// The other fields of a oneof.
    fn in_oneof(&self, oneof: &str, but: u32) -> Vec<u32> {
        let inside = self
            .fields
            .iter()
            .filter(|(number, field)| **number != but && field.oneof.as_deref() == Some(oneof));
        inside.map(|(number, _)| *number).collect()
    }
}
