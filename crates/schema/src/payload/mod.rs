//! Messages checked and brought into the shape of JSON, by the schema that a rule or the message itself names.

mod filter;
mod frame;
mod lenient;
mod rules;

use std::fmt;
use std::sync::Arc;

use record::Encoding;
use serde_json::Value;

use crate::catalog::{Catalog, Snapshot, State};
use crate::compiled::{Compiled, Language};
use crate::model::{SchemaId, SchemaType};

use frame::Frame;
use rules::Rule;

pub use rules::{RawRule, RuleError, Rules, Strictness};

/// The schemas in force: the catalog's and the rules that pick one. Cheap to clone.
#[derive(Clone)]
pub struct Schemas {
    catalog: Arc<Catalog>,
    rules: Arc<Rules>,
}

/// The schemas in force at one moment.
pub struct View {
    snapshot: Arc<Snapshot>,
    rules: Arc<Rules>,
}

/// What is known of a message beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// Its topic.
    pub topic: &'a str,
    /// What kind of device sent it, where that is known.
    pub device_type: Option<&'a str>,
    /// The device's firmware, where that is known.
    pub firmware: Option<&'a str>,
}

/// A payload that `wire` can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<'p> {
    /// How: never Avro or Protobuf.
    pub encoding: Encoding,
    /// The message's own bytes, those behind a schema's id, or the JSON that Avro or Protobuf became.
    pub payload: &'p [u8],
}

/// Why a message does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The subject of the rule that picked the schema, if one did.
    pub subject: Option<String>,
    /// The schema's version under it.
    pub version: Option<u32>,
    /// Where in the message: a JSON pointer, or `byte 17`.
    pub path: String,
    /// What is wrong there. Says nothing of the message's values.
    pub reason: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("schema")?;
        if let Some(subject) = &self.subject {
            write!(f, " {subject:?}")?;
        }
        if let Some(version) = self.version {
            write!(f, " version {version}")?;
        }
        if !self.path.is_empty() {
            write!(f, ", {}", self.path)?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Violation {}

impl Schemas {
    /// The catalog's schemas under these rules.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, rules: Rules) -> Self {
        Self { catalog, rules: Arc::new(rules) }
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The schemas in force now. Take one for each batch: what is registered meanwhile counts for the next.
    #[must_use]
    pub fn view(&self) -> View {
        View { snapshot: self.catalog.snapshot(), rules: Arc::clone(&self.rules) }
    }
}

impl View {
    /// Grows with every change of the catalog since the process began.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.snapshot.generation
    }

    /// The encoding of a payload that a schema explains: what stands behind the id of a registered schema, or what the
    /// topic's rule says is bare. `None`: the payload speaks for itself.
    #[must_use]
    pub fn encoding(&self, facts: &Facts<'_>, payload: &[u8]) -> Option<Encoding> {
        let state = self.snapshot.tenant(facts.tenant)?;
        let id = match self.rules.pick(facts).filter(|rule| rule.raw) {
            Some(rule) => state.select(&rule.subject, rule.version, true).ok()?.1.id,
            None => Frame::read(payload)?.id,
        };
        match state.schema_type(id)? {
            SchemaType::Json => Some(Encoding::Json),
            SchemaType::Avro => Some(Encoding::Avro),
            SchemaType::Protobuf => Some(Encoding::Protobuf),
        }
    }

    /// Checks a message and brings it into a shape that `wire` can read. What needs room is written to `buffer`.
    ///
    /// # Errors
    /// [`Violation`] when the message does not fit the schema that its topic's rule, or its own id, names.
    pub fn plain<'p>(
        &self,
        facts: &Facts<'_>,
        encoding: Encoding,
        payload: &'p [u8],
        buffer: &'p mut String,
    ) -> Result<Plain<'p>, Violation> {
        if matches!(encoding, Encoding::Opaque | Encoding::Influx) {
            return Ok(Plain { encoding, payload }); // no schema language describes these
        }
        let rule = self.rules.pick(facts);
        let state = self.snapshot.tenant(facts.tenant);
        let raw = rule.is_some_and(|rule| rule.raw);
        let frame = if raw { None } else { Frame::read(payload) };
        let chosen = match (rule, &frame) {
            (Some(rule), frame) => Chosen::by_rule(state, rule, frame.as_ref()),
            (None, Some(frame)) => Chosen::by_id(state, frame),
            (None, None) => return unexplained(encoding, payload),
        }?;
        let strictness = rule.map_or(Strictness::Strict, |rule| rule.mode);
        match (encoding, chosen.schema.language()) {
            (Encoding::Json | Encoding::Ndjson, Language::Json(_)) => {
                let payload = frame.map_or(payload, |frame| frame.rest);
                check_json(&chosen.schema, strictness, encoding, payload)
                    .map_err(|(path, reason)| chosen.violated(path, reason))?;
                Ok(Plain { encoding, payload })
            }
            (Encoding::Avro, Language::Avro(avro)) => {
                let bytes = frame.as_ref().map_or(payload, |frame| frame.rest);
                let at = payload.len() - bytes.len();
                let read = avro.decode(bytes, at, buffer);
                read.map_err(|wrong| chosen.violated(format!("byte {}", wrong.at), wrong.reason))?;
                Ok(Plain { encoding: Encoding::Json, payload: buffer.as_bytes() })
            }
            (Encoding::Protobuf, Language::Protobuf(protobuf)) => {
                let frame = frame.map(|frame| frame.indexed()).transpose();
                let frame =
                    frame.map_err(|wrong| chosen.violated(format!("byte {}", wrong.at), wrong.reason))?;
                let (indexes, bytes) = frame.unwrap_or((Vec::new(), payload));
                let message = protobuf.indexed(&indexes);
                let message = message
                    .ok_or_else(|| chosen.violated("byte 5".into(), "its indexes name no message".into()))?;
                let at = payload.len() - bytes.len();
                let strict = strictness == Strictness::Strict;
                let read = protobuf.decode(message, bytes, at, strict, buffer);
                read.map_err(|wrong| chosen.violated(format!("byte {}", wrong.at), wrong.reason))?;
                Ok(Plain { encoding: Encoding::Json, payload: buffer.as_bytes() })
            }
            (Encoding::Json | Encoding::Ndjson, _) if strictness == Strictness::Lenient => {
                Ok(Plain { encoding, payload })
            }
            (_, language) => {
                let reason = format!("the schema is {}, the message is {}", word(language), name(encoding));
                Err(chosen.violated(String::new(), reason))
            }
        }
    }
}

/// A schema, and how it was found.
struct Chosen {
    subject: Option<String>,
    version: Option<u32>,
    schema: Arc<Compiled>,
}

impl Chosen {
    fn by_rule(state: Option<&State>, rule: &Rule, frame: Option<&Frame<'_>>) -> Result<Self, Violation> {
        let subject = Some(rule.subject.to_string());
        let refused = |version, reason: String| Violation {
            subject: subject.clone(),
            version,
            path: String::new(),
            reason,
        };
        let none = || refused(None, "the rule's subject has no such version: register it".into());
        let state = state.ok_or_else(none)?;
        let (version, id) = match frame {
            // The message says which version of the subject it was written with.
            Some(frame) => {
                let versions = state.placed(&rule.subject, true);
                let mut fitting =
                    versions.filter(|(number, placed)| rule.takes(*number) && placed.id == frame.id);
                let foreign =
                    || refused(None, format!("the message's schema {} is no version of it", frame.id.0));
                fitting.next_back().map(|(number, placed)| (number, placed.id)).ok_or_else(foreign)?
            }
            None => {
                let found = state.select(&rule.subject, rule.version, false).map_err(|_| none())?;
                (found.0, found.1.id)
            }
        };
        let schema = state.ready(id).map_err(|error| refused(Some(version), error.to_string()))?;
        Ok(Self { subject, version: Some(version), schema: Arc::clone(schema) })
    }

    fn by_id(state: Option<&State>, frame: &Frame<'_>) -> Result<Self, Violation> {
        let refused =
            |reason: String| Violation { subject: None, version: None, path: String::new(), reason };
        let none = || refused(format!("the message's schema {} is not registered", frame.id.0));
        let schema = state.ok_or_else(none)?.ready(frame.id).map_err(|_| none())?;
        Ok(Self { subject: None, version: None, schema: Arc::clone(schema) })
    }

    fn violated(&self, path: String, reason: String) -> Violation {
        Violation { subject: self.subject.clone(), version: self.version, path, reason }
    }
}

/// Without a rule and without an id, JSON is as good as it is, and binary cannot be read.
fn unexplained(encoding: Encoding, payload: &[u8]) -> Result<Plain<'_>, Violation> {
    if matches!(encoding, Encoding::Avro | Encoding::Protobuf) {
        let reason = "neither the topic's rules nor the message name its schema".into();
        return Err(Violation { subject: None, version: None, path: String::new(), reason });
    }
    Ok(Plain { encoding, payload })
}

/// Every document; of an array every element, unless the schema describes the array itself. What is no JSON is
/// left for the decoder to refuse, which says more about it.
fn check_json(
    schema: &Compiled,
    strictness: Strictness,
    encoding: Encoding,
    payload: &[u8],
) -> Result<(), (String, String)> {
    let Language::Json(json) = schema.language() else { return Ok(()) };
    let check = |value: &Value| match strictness {
        Strictness::Strict => json.check(value),
        Strictness::Lenient => lenient::check(json.root(), value),
    };
    let one = |bytes: &[u8]| {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return Ok(()) };
        match &value {
            Value::Array(elements) if !lenient::describes_arrays(json.root()) => {
                elements.iter().enumerate().try_for_each(|(n, element)| {
                    check(element).map_err(|(path, reason)| (format!("/{n}{path}"), reason))
                })
            }
            value => check(value),
        }
    };
    if encoding == Encoding::Json {
        return one(payload);
    }
    let lines = payload.split(|byte| *byte == b'\n').enumerate();
    lines.filter(|(_, line)| !line.trim_ascii().is_empty()).try_for_each(|(n, line)| {
        one(line).map_err(|(path, reason)| {
            (format!("line {}{comma}{path}", n + 1, comma = if path.is_empty() { "" } else { ", " }), reason)
        })
    })
}

fn word(language: &Language) -> SchemaType {
    match language {
        Language::Avro(_) => SchemaType::Avro,
        Language::Json(_) => SchemaType::Json,
        Language::Protobuf(_) => SchemaType::Protobuf,
    }
}

fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Opaque => "opaque",
        Encoding::Json | Encoding::Ndjson => "JSON",
        Encoding::Influx => "line protocol",
        Encoding::Avro => "AVRO",
        Encoding::Protobuf => "PROTOBUF",
    }
}

impl State {
    fn schema_type(&self, id: SchemaId) -> Option<SchemaType> {
        self.entry(id).map(|schema| schema.schema_type)
    }
}
