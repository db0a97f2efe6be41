//! Schemas of payloads: what a topic's messages must look like, how that may change, and payloads read by them.
//!
//! [`Catalog`] keeps schemas under subjects, in versions, each tenant for itself, and refuses a version that breaks
//! the subject's compatibility. It knows JSON Schema, Avro and Protobuf ([`SchemaType`]); [`Compiled`] is one of
//! them, ready for use.
//!
//! [`Schemas`] picks the schema of a message by rules, refuses what does not fit it, and brings Avro and Protobuf into the
//! shape of JSON, which `wire` reads.
//!
//! Nothing here opens a socket, and no reference is ever fetched from the network: what a schema refers to must be
//! in the catalog.

mod avro;
mod catalog;
mod compiled;
mod error;
mod json;
mod model;
mod payload;
mod protobuf;
mod relation;
mod text;

pub use catalog::{Catalog, Deletion, Registered};
pub use compiled::Compiled;
pub use error::{Error, Incompatibility, Result};
pub use model::{Level, Mode, Reference, Schema, SchemaId, SchemaType, Selector, Subject, Version};
pub use payload::{Facts, Plain, RawRule, RuleError, Rules, Schemas, Strictness, View, Violation};

/// Every limit on what comes from outside, each with its reason.
pub mod limits {
    /// Longest schema text, bytes. The largest published ones have a tenth of it.
    pub const SCHEMA_BYTES: usize = 512 << 10;
    /// Longest subject, bytes: room for a topic and a record name.
    pub const SUBJECT_BYTES: usize = 512;
    /// Most references of one schema, and longest chain of them.
    pub const REFERENCES: usize = 64;
    /// Most schemas of a tenant. Each is kept in memory, with what was compiled of it.
    pub const SCHEMAS_PER_TENANT: usize = 10_000;
    /// Deepest nesting of a schema text. Parsers of schemas recurse.
    pub const DEPTH: usize = 64;
    /// Most pairs of types that a comparison looks at. Unions of many types make them grow as a product.
    pub const COMPARED_PAIRS: usize = 200_000;
    /// Most differences that a refusal lists: somebody is to read them.
    pub const DIFFERENCES: usize = 50;
}
