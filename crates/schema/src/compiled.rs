//! A schema of any language, ready for use.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::avro::Avro;
use crate::error::{Error, Incompatibility, Result};
use crate::json::Json;
use crate::limits;
use crate::model::{Schema, SchemaType};
use crate::protobuf::Protobuf;

/// A schema, parsed and checked.
#[derive(Debug)]
pub struct Compiled {
    language: Language,
}

#[derive(Debug)]
pub(crate) enum Language {
    Avro(Avro),
    Json(Box<Json>),
    Protobuf(Protobuf),
}

/// A schema that another one uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used<'a> {
    /// How the other one names it.
    pub(crate) name: &'a str,
    pub(crate) schema: &'a Schema,
}

/// What makes two schemas the same one.
pub(crate) type Identity = [u8; 32];

impl Compiled {
    /// Reads a schema; `used` holds what it refers to, directly and further on, those first that others use.
    pub(crate) fn parse(schema: &Schema, used: &[Used<'_>]) -> Result<Self> {
        if schema.schema.len() > limits::SCHEMA_BYTES {
            return Err(Error::TooMuch(format!("invalid schema: more than {} bytes", limits::SCHEMA_BYTES)));
        }
        if let Some(other) = used.iter().find(|used| used.schema.schema_type != schema.schema_type) {
            let refers = format!("it refers to {:?}, which is {}", other.name, other.schema.schema_type);
            return Err(Error::InvalidSchema(refers));
        }
        let named: Vec<_> = used.iter().map(|used| (used.name, used.schema.schema.as_str())).collect();
        let language = match schema.schema_type {
            SchemaType::Avro => {
                let texts: Vec<_> = named.iter().map(|(_, text)| *text).collect();
                Avro::parse(&schema.schema, &texts).map(Language::Avro)
            }
            SchemaType::Json => {
                Json::parse(&schema.schema, &named).map(|json| Language::Json(Box::new(json)))
            }
            SchemaType::Protobuf => Protobuf::parse(&schema.schema, &named).map(Language::Protobuf),
        };
        Ok(Self { language: language.map_err(Error::InvalidSchema)? })
    }

    /// Why this schema cannot read what `writer` wrote; empty when it can.
    #[must_use]
    pub fn cannot_read(&self, writer: &Self) -> Vec<Incompatibility> {
        match (&self.language, &writer.language) {
            (Language::Avro(reader), Language::Avro(writer)) => reader.cannot_read(writer),
            (Language::Json(reader), Language::Json(writer)) => reader.cannot_read(writer),
            (Language::Protobuf(reader), Language::Protobuf(writer)) => reader.cannot_read(writer),
            _ => vec![Incompatibility {
                rule: "SCHEMA_TYPE_CHANGED",
                path: "/".into(),
                detail: "a subject keeps its language".into(),
            }],
        }
    }

    /// Whether a JSON value fits a JSON Schema; else where it does not (a JSON pointer) and why. Schemas of other
    /// languages say nothing about JSON.
    ///
    /// # Errors
    /// The place and the reason.
    pub fn check(&self, value: &serde_json::Value) -> std::result::Result<(), (String, String)> {
        match &self.language {
            Language::Json(json) => json.check(value),
            Language::Avro(_) | Language::Protobuf(_) => Ok(()),
        }
    }

    pub(crate) fn language(&self) -> &Language {
        &self.language
    }

    /// For Protobuf: the file as a `FileDescriptorProto` in base64, which clients without the text compile from.
    #[must_use]
    pub fn serialized(&self) -> Option<String> {
        match &self.language {
            Language::Protobuf(protobuf) => Some(BASE64_STANDARD.encode(protobuf.descriptor())),
            Language::Avro(_) | Language::Json(_) => None,
        }
    }

    /// Two schemas are the same when they differ in white space and the order of JSON keys only, or, for Protobuf, in
    /// what leaves no trace in the compiled file; and when they use the same versions of others.
    pub(crate) fn identity(&self, schema: &Schema) -> Identity {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(schema.schema_type.word().as_bytes());
        match &self.language {
            Language::Protobuf(protobuf) => part(protobuf.descriptor()),
            // Objects are sorted by key.
            Language::Avro(_) | Language::Json(_) => {
                match serde_json::from_str::<serde_json::Value>(&schema.schema) {
                    Ok(value) => part(value.to_string().as_bytes()),
                    Err(_) => part(schema.schema.as_bytes()), // it has been parsed once, so this cannot be
                }
            }
        }
        for reference in &schema.references {
            part(reference.name.as_bytes());
            part(reference.subject.as_bytes());
            part(&reference.version.to_le_bytes());
        }
        hash.finalize().into()
    }
}
