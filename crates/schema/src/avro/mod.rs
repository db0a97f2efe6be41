//! Avro schemas as a graph of types, names resolved.
//!
//! `apache-avro` decides what is a schema. Comparing and decoding stand on a graph of our own: its resolution rules
//! are not the specification's in every point, and its decoder makes a value of everything before anything is checked.

mod decode;
mod needs;
mod parse;

use crate::error::Incompatibility;
use crate::relation;

/// A type of the graph.
pub(crate) type TypeNo = usize;

/// An Avro schema.
#[derive(Debug)]
pub(crate) struct Avro {
    types: Vec<Type>,
    root: TypeNo,
}

#[derive(Debug, Clone)]
pub(crate) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(TypeNo),
    Map(TypeNo),
    Union(Vec<TypeNo>),
    Record {
        name: Name,
        fields: Vec<Field>,
    },
    Enum {
        name: Name,
        symbols: Vec<String>,
        default: Option<String>,
    },
    Fixed {
        name: Name,
        size: usize,
    },
    /// A type with a meaning beyond its bytes.
    Logical {
        of: TypeNo,
        logical: Logical,
    },
}

/// A name with its aliases, in full.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    full: String,
    aliases: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    name: String,
    aliases: Vec<String>,
    of: TypeNo,
    has_default: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    Decimal { precision: u64, scale: u64 },
    Date,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
}

impl Avro {
    /// Reads a schema; `used` are the texts of the schemas it refers to, those first that others use.
    pub(crate) fn parse(text: &str, used: &[&str]) -> Result<Self, String> {
        parse::parse(text, used)
    }

    /// Why `self` cannot read what `writer` wrote; empty when it can.
    pub(crate) fn cannot_read(&self, writer: &Self) -> Vec<Incompatibility> {
        relation::broken((self.root, writer.root), |r, w| needs::needs(self, writer, r, w))
    }

    pub(crate) fn get(&self, number: TypeNo) -> &Type {
        &self.types[number]
    }
}

impl Name {
    /// Without the namespace.
    fn short(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or(&self.full)
    }
}
