//! The rules of protobuf.dev, "Updating A Message Type", narrowed by those of the Confluent documentation where a
//! change keeps the bytes readable and yet breaks programs: packages, messages and types keep their names, required
//! fields stay as they are, and nothing leaves or enters a oneof that is already there.
//!
//! Rule names are those of that documentation's tools.

use super::{Field, Kind, Message, MessageNo, Protobuf};
use crate::relation::Need;

/// The file as a whole, or one of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    File,
    Message(MessageNo),
}

type Needs = Vec<Need<Node>>;

pub(super) fn needs(reader: &Protobuf, writer: &Protobuf, r: Node, w: Node) -> Needs {
    match (r, w) {
        (Node::Message(r), Node::Message(w)) => {
            of_message(reader, writer, &reader.messages[r], &writer.messages[w])
        }
        _ => of_file(reader, writer),
    }
}

fn of_file(reader: &Protobuf, writer: &Protobuf) -> Needs {
    let mut needs = Vec::new();
    if reader.package != writer.package {
        let detail = format!("the package {:?} became {:?}", writer.package, reader.package);
        needs.push(Need::never("/package", "PACKAGE_CHANGED", detail));
    }
    for w in writer.defined_messages() {
        let message = &writer.messages[w];
        let at = format!("/{}", message.name);
        let found = reader.defined_messages().find(|&r| reader.messages[r].name == message.name);
        needs.push(match found {
            Some(r) => Need::Pair { at, pair: (Node::Message(r), Node::Message(w)) },
            None => Need::never(at, "MESSAGE_REMOVED", "the reader does not have this message"),
        });
    }
    needs
}

fn of_message(reader: &Protobuf, writer: &Protobuf, read: &Message, written: &Message) -> Needs {
    let mut needs = Vec::new();
    for (number, field) in &written.fields {
        let at = format!("/{number}");
        match read.fields.get(number) {
            Some(now) => {
                needs.extend(of_field(reader, writer, &at, now, field));
                needs.extend(of_oneof(&at, read, written, now, field));
            }
            None => needs.extend(removed(&at, read, field)),
        }
    }
    for (number, field) in &read.fields {
        if field.required && !written.fields.contains_key(number) {
            let detail = format!("the writer does not write {:?}, which the reader demands", field.name);
            needs.push(Need::never(format!("/{number}"), "REQUIRED_FIELD_ADDED", detail));
        }
    }
    needs.extend(read.oneofs.iter().filter_map(|oneof| gathered(oneof, read, written)));
    needs
}

/// A field that is gone is skipped, unless others counted on it.
fn removed(at: &str, read: &Message, field: &Field) -> Option<Need<Node>> {
    if field.required {
        let detail = format!("the required field {:?} is gone", field.name);
        return Some(Need::never(at, "REQUIRED_FIELD_REMOVED", detail));
    }
    let oneof = field.oneof.as_ref().filter(|oneof| read.oneofs.contains(oneof))?;
    let detail = format!("the field {:?} has left the oneof {oneof:?}", field.name);
    Some(Need::never(at, "ONEOF_FIELD_REMOVED", detail))
}

fn of_field(reader: &Protobuf, writer: &Protobuf, at: &str, read: &Field, written: &Field) -> Needs {
    let mut needs = Vec::new();
    if read.required && !written.required {
        let detail = format!("the reader demands {:?}, which the writer may leave out", read.name);
        needs.push(Need::never(at, "REQUIRED_FIELD_ADDED", detail));
    }
    if read.repeated != written.repeated && packs(read.kind) {
        let detail = "numbers, booleans and enums may be packed when repeated, and are not when single";
        needs.push(Need::never(at, "FIELD_NUMERIC_LABEL_CHANGED", detail));
    }
    needs.extend(of_kind(reader, writer, at, read.kind, written.kind));
    needs
}

fn of_kind(reader: &Protobuf, writer: &Protobuf, at: &str, read: Kind, written: Kind) -> Needs {
    match (read, written) {
        (Kind::Message(r), Kind::Message(w)) | (Kind::Group(r), Kind::Group(w)) => {
            let (reads, writes) = (&reader.messages[r], &writer.messages[w]);
            let entries = reads.is_map_entry && writes.is_map_entry;
            if reads.name != writes.name && !entries {
                let detail = format!("the type {} became {}", writes.full_name, reads.full_name);
                return vec![Need::never(at, "FIELD_NAMED_TYPE_CHANGED", detail)];
            }
            vec![Need::Pair { at: at.into(), pair: (Node::Message(r), Node::Message(w)) }]
        }
        (Kind::Enum(r), Kind::Enum(w)) if reader.enums[r].name != writer.enums[w].name => {
            let detail = format!("the type {} became {}", writer.enums[w].name, reader.enums[r].name);
            vec![Need::never(at, "FIELD_NAMED_TYPE_CHANGED", detail)]
        }
        _ if wire_group(read) == wire_group(written) => Vec::new(),
        _ => {
            let named = |kind| matches!(kind, Kind::Message(_) | Kind::Group(_));
            let rule = match named(read) || named(written) {
                true => "FIELD_KIND_CHANGED",
                false => "FIELD_SCALAR_KIND_CHANGED",
            };
            let detail = format!("{} became {}, which is other bytes", word(written), word(read));
            vec![Need::never(at, rule, detail)]
        }
    }
}

fn of_oneof(
    at: &str,
    reads: &Message,
    writes: &Message,
    read: &Field,
    written: &Field,
) -> Option<Need<Node>> {
    match (&read.oneof, &written.oneof) {
        (Some(now), None) if writes.oneofs.contains(now) => {
            let detail = format!("the field {:?} has entered the oneof {now:?}, which has others", read.name);
            Some(Need::never(at, "FIELD_MOVED_TO_EXISTING_ONEOF", detail))
        }
        (now, Some(before)) if now.as_ref() != Some(before) && reads.oneofs.contains(before) => {
            let detail = format!("the field {:?} has left the oneof {before:?}", written.name);
            Some(Need::never(at, "ONEOF_FIELD_REMOVED", detail))
        }
        _ => None,
    }
}

/// A new oneof may take in one field that stood alone: of two, the data may hold both.
fn gathered(oneof: &str, read: &Message, written: &Message) -> Option<Need<Node>> {
    let inside = read.fields.iter().filter(|(_, field)| field.oneof.as_deref() == Some(oneof));
    let stood_alone = inside
        .filter(|(number, _)| written.fields.get(number).is_some_and(|field| field.oneof.is_none()))
        .count();
    (stood_alone > 1 && !written.oneofs.iter().any(|had| had == oneof)).then(|| {
        let detail = format!("{stood_alone} fields that stood alone are now in the oneof {oneof:?}");
        Need::never(format!("/{oneof}"), "MULTIPLE_FIELDS_MOVED_TO_ONEOF", detail)
    })
}

/// Kinds of the same group read each other's bytes.
fn wire_group(kind: Kind) -> u8 {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => 0,
        Kind::Sint32 | Kind::Sint64 => 1,
        Kind::Fixed32 | Kind::Sfixed32 => 2,
        Kind::Fixed64 | Kind::Sfixed64 => 3,
        Kind::String | Kind::Bytes => 4,
        Kind::Float => 5,
        Kind::Double => 6,
        Kind::Message(_) => 7,
        Kind::Group(_) => 8,
    }
}

/// Whether a repeated field of the kind may be packed.
fn packs(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Group(_))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Double => "double",
        Kind::Float => "float",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Sint32 => "sint32",
        Kind::Sint64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::Sfixed32 => "sfixed32",
        Kind::Sfixed64 => "sfixed64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Message(_) => "a message",
        Kind::Group(_) => "a group",
        Kind::Enum(_) => "an enum",
    }
}

impl Protobuf {
    /// The messages that the file defines, at any depth; the entries of maps are no messages of anybody's.
    fn defined_messages(&self) -> impl Iterator<Item = MessageNo> {
        let mut found = Vec::new();
        let mut open: Vec<_> = self.defined.iter().rev().collect();
        while let Some(defined) = open.pop() {
            if !self.messages[defined.message].is_map_entry {
                found.push(defined.message);
            }
            open.extend(defined.inside.iter().rev());
        }
        found.into_iter()
    }
}
