//! The catalog's nouns.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident refused by $error:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of the interface.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(word: &str) -> Result<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word).ok_or_else(|| Error::$error(word.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words!(
    /// A language of schemas.
    SchemaType refused by UnknownType {
        /// Apache Avro, specification 1.12.
        Avro = "AVRO",
        /// JSON Schema, drafts 4 to 2020-12.
        Json = "JSON",
        /// Protocol Buffers, proto2 and proto3.
        Protobuf = "PROTOBUF",
    }
);
words!(
    /// Which versions of a subject must be able to read whose data.
    #[derive(Default)]
    Level refused by UnknownLevel {
        /// No check.
        None = "NONE",
        /// The new version reads what the last one wrote.
        #[default]
        Backward = "BACKWARD",
        /// The new version reads what every earlier one wrote.
        BackwardTransitive = "BACKWARD_TRANSITIVE",
        /// The last version reads what the new one writes.
        Forward = "FORWARD",
        /// Every earlier version reads what the new one writes.
        ForwardTransitive = "FORWARD_TRANSITIVE",
        /// Both, with the last version.
        Full = "FULL",
        /// Both, with every earlier version.
        FullTransitive = "FULL_TRANSITIVE",
    }
);
words!(
    /// Whether a subject takes new versions.
    #[derive(Default)]
    Mode refused by UnknownMode {
        /// It does.
        #[default]
        ReadWrite = "READWRITE",
        /// It does not.
        ReadOnly = "READONLY",
    }
);

impl Level {
    /// Whether the new version must read old data.
    #[must_use]
    pub const fn backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether old versions must read new data.
    #[must_use]
    pub const fn forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether all earlier versions count, not only the last.
    #[must_use]
    pub const fn transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }
}

/// The number of a schema within its tenant: the same text has the same one under every subject. From 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaId(pub u32);

/// A name under which the versions of a schema stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Subject(String);

impl Subject {
    /// Reads a subject.
    ///
    /// # Errors
    /// [`Error::InvalidSubject`] when it is empty, too long, or holds control characters.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |reason| Error::InvalidSubject { subject: text.to_owned(), reason };
        if text.is_empty() {
            return Err(wrong("is empty"));
        }
        if text.len() > limits::SUBJECT_BYTES {
            return Err(wrong("is too long"));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("holds a control character"));
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A schema that another one uses, by the name under which it uses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// How the schema's text names it: a type name (Avro), an import (Protobuf), a URI (JSON Schema).
    pub name: String,
    /// The subject it stands under.
    pub subject: String,
    /// Its version there.
    pub version: u32,
}

/// A schema as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its language.
    #[serde(rename = "type")]
    pub schema_type: SchemaType,
    /// Its text. For Protobuf also a `FileDescriptorProto` in base64.
    pub schema: String,
    /// What it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
}

/// A version of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The subject.
    pub subject: String,
    /// Its number there, from 1.
    pub version: u32,
    /// The schema's number.
    pub id: SchemaId,
    /// The schema.
    pub schema: Schema,
}

/// Which version of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The newest.
    Latest,
    /// This one.
    Number(u32),
}

impl FromStr for Selector {
    type Err = Error;

    /// `latest`, `-1` (which means the same) or a number from 1.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "latest" | "-1" => Ok(Self::Latest),
            _ => match text.parse::<u32>() {
                Ok(number) if (1..=i32::MAX as u32).contains(&number) => Ok(Self::Number(number)),
                _ => Err(Error::InvalidVersion(text.to_owned())),
            },
        }
    }
}
