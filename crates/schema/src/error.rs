//! Why the catalog refuses.

use std::fmt;

/// The result of a call on the catalog.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the catalog refuses. Messages name what failed and what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No version stands under the subject.
    #[error("subject {0:?} not found")]
    SubjectNotFound(String),
    /// The subject has no such version.
    #[error("version {0} not found")]
    VersionNotFound(String),
    /// No such schema.
    #[error("schema not found")]
    SchemaNotFound,
    /// It is deleted already, softly.
    #[error("subject {0:?} is already deleted: add permanent=true to remove it for good")]
    SubjectSoftDeleted(String),
    /// It must be deleted softly first.
    #[error("subject {0:?} must be deleted without permanent=true first")]
    SubjectNotSoftDeleted(String),
    /// It is deleted already, softly.
    #[error("version {1} of subject {0:?} is already deleted: add permanent=true to remove it for good")]
    VersionSoftDeleted(String, u32),
    /// It must be deleted softly first.
    #[error("version {1} of subject {0:?} must be deleted without permanent=true first")]
    VersionNotSoftDeleted(String, u32),
    /// The subject has no level of its own.
    #[error("subject {0:?} has no compatibility level of its own")]
    LevelNotSet(String),
    /// The subject has no mode of its own.
    #[error("subject {0:?} has no mode of its own")]
    ModeNotSet(String),
    /// The text is no schema of its type.
    #[error("invalid schema: {0}")]
    InvalidSchema(String),
    /// The language is not known.
    #[error("invalid schema: type {0:?} is not known: AVRO, JSON or PROTOBUF")]
    UnknownType(String),
    /// Not a version.
    #[error("version {0:?} is neither a number from 1 to 2147483647 nor \"latest\"")]
    InvalidVersion(String),
    /// Not a subject.
    #[error("subject {subject:?} {reason}")]
    InvalidSubject {
        /// What was given.
        subject: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not a level.
    #[error(
        "compatibility level {0:?} is not known: NONE, BACKWARD, FORWARD or FULL, or one of the last three with _TRANSITIVE"
    )]
    UnknownLevel(String),
    /// Not a mode.
    #[error("mode {0:?} is not known here: READWRITE or READONLY")]
    UnknownMode(String),
    /// The subject takes no new versions.
    #[error("subject {0:?} is in READONLY mode")]
    ReadOnly(String),
    /// Another schema uses it.
    #[error("version {1} of subject {0:?} is used by other schemas: delete these first")]
    Referenced(String, u32),
    /// The subject's level forbids it.
    #[error("the schema is incompatible with {}", list(.subject, .found))]
    Incompatible {
        /// Of which subject.
        subject: String,
        /// With which version, in which direction, by which rules; not empty.
        found: Vec<(u32, Incompatibility)>,
    },
    /// A limit.
    #[error("{0}")]
    TooMuch(String),
    /// The metadata could not be read or written.
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    /// A row is not what this build writes.
    #[error("the schemas row {id:?} of tenant {tenant:?} cannot be read: {reason}")]
    Row {
        /// Whose.
        tenant: String,
        /// Which.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The number of the error in the Confluent Schema Registry interface; its first three digits are the HTTP status.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::SubjectNotFound(_) => 40401,
            Self::VersionNotFound(_) => 40402,
            Self::SchemaNotFound => 40403,
            Self::SubjectSoftDeleted(_) => 40404,
            Self::SubjectNotSoftDeleted(_) => 40405,
            Self::VersionSoftDeleted(..) => 40406,
            Self::VersionNotSoftDeleted(..) => 40407,
            Self::LevelNotSet(_) => 40408,
            Self::ModeNotSet(_) => 40409,
            Self::Incompatible { .. } => 409,
            Self::InvalidSchema(_) | Self::UnknownType(_) | Self::TooMuch(_) => 42201,
            Self::InvalidVersion(_) => 42202,
            Self::UnknownLevel(_) => 42203,
            Self::UnknownMode(_) => 42204,
            Self::ReadOnly(_) => 42205,
            Self::Referenced(..) => 42206,
            Self::InvalidSubject { .. } => 42208,
            Self::Metadata(_) | Self::Row { .. } => 50001,
        }
    }
}

/// One reason why data written by one schema cannot be read by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatibility {
    /// The rule that is broken, by the name that the tools of the schema's language give it.
    pub rule: &'static str,
    /// Where, as a path from the schema's root.
    pub path: String,
    /// What is wrong there.
    pub detail: String,
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}: {}", self.rule, self.path, self.detail)
    }
}

fn list(subject: &str, found: &[(u32, Incompatibility)]) -> String {
    let mut text = format!("an earlier version of subject {subject:?}:");
    for (number, (version, found)) in found.iter().enumerate() {
        let sign = if number == 0 { "" } else { ";" };
        text.push_str(&format!("{sign} version {version}: {found}"));
    }
    text
}
