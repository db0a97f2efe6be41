//! Protobuf schemas: compiled by `protox`, then held as tables of messages and fields by number, which is what both
//! comparing and decoding go by.

mod decode;
mod needs;
mod parse;

use std::collections::BTreeMap;

use crate::error::Incompatibility;
use crate::relation;

/// The number of a message within one schema.
pub(crate) type MessageNo = usize;

/// A Protobuf schema: a file, and what it imports.
#[derive(Debug)]
pub(crate) struct Protobuf {
    package: String,
    /// Those of the file and of its imports.
    messages: Vec<Message>,
    /// The messages that the file itself defines, in its order, as nested in the text.
    defined: Vec<Defined>,
    enums: Vec<Enum>,
    /// The file as a `FileDescriptorProto`, without what does not change its meaning.
    descriptor: Vec<u8>,
}

/// A message that the file defines, and those inside it: what the message indexes of the wire format count.
#[derive(Debug)]
pub(crate) struct Defined {
    message: MessageNo,
    inside: Vec<Defined>,
}

#[derive(Debug)]
pub(crate) struct Message {
    /// With its package.
    full_name: String,
    /// Without its package.
    name: String,
    fields: BTreeMap<u32, Field>,
    oneofs: Vec<String>,
    is_map_entry: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    name: String,
    kind: Kind,
    repeated: bool,
    required: bool,
    oneof: Option<String>,
    /// Left out when it has its default.
    implicit: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Message(MessageNo),
    Group(MessageNo),
    Enum(usize),
}

#[derive(Debug)]
pub(crate) struct Enum {
    name: String,
    values: BTreeMap<i32, String>,
}

impl Protobuf {
    /// Reads a schema, its text or a `FileDescriptorProto` in base64; `used` are the files it imports, by name.
    pub(crate) fn parse(text: &str, used: &[(&str, &str)]) -> Result<Self, String> {
        parse::parse(text, used)
    }

    /// Why `self` cannot read what `writer` wrote; empty when it can.
    pub(crate) fn cannot_read(&self, writer: &Self) -> Vec<Incompatibility> {
        relation::broken((needs::Node::File, needs::Node::File), |r, w| needs::needs(self, writer, r, w))
    }

    /// The file as a `FileDescriptorProto`.
    pub(crate) fn descriptor(&self) -> &[u8] {
        &self.descriptor
    }
}
