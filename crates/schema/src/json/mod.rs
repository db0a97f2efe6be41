//! JSON Schema: a schema with the documents it refers to, compiled.
//!
//! `format` is an annotation, as the drafts from 2019-09 on have it: a version that adds one stays compatible, and
//! nothing is refused for it. Patterns have a bound on their backtracking: they are matched against what devices send.

mod array;
mod compare;
mod object;
mod scalar;

use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use serde_json::Value;

use crate::error::Incompatibility;
use crate::relation;

/// Steps after which a pattern that backtracks does not match.
const BACKTRACKING_STEPS: usize = 10_000;
/// Largest compiled pattern, bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// A JSON Schema.
#[derive(Debug)]
pub(crate) struct Json {
    /// The schema itself, then what it refers to, by name.
    documents: Vec<(String, Value)>,
    validator: Validator,
}

impl Json {
    /// Reads a schema; `used` are the documents it refers to, by name.
    pub(crate) fn parse(text: &str, used: &[(&str, &str)]) -> Result<Self, String> {
        let mut documents = vec![(String::new(), read(text)?)];
        for (name, text) in used {
            documents.push(((*name).to_owned(), read(text)?));
        }
        let patterns =
            PatternOptions::fancy_regex().backtrack_limit(BACKTRACKING_STEPS).size_limit(PATTERN_BYTES);
        let validator = jsonschema::options()
            .should_validate_formats(false)
            .with_pattern_options(patterns)
            .with_retriever(Documents(documents[1..].to_vec()))
            .build(&documents[0].1)
            .map_err(|error| format!("{error} (at {:?})", error.instance_path().as_str()))?;
        Ok(Self { documents, validator })
    }

    /// Why `self` does not accept all that `writer` accepts; empty when it does.
    pub(crate) fn cannot_read(&self, writer: &Self) -> Vec<Incompatibility> {
        if self.documents == writer.documents {
            return Vec::new();
        }
        let root = (compare::Node::root(self), compare::Node::root(writer));
        relation::broken(root, |r, w| compare::needs(self, writer, r, w))
    }

    /// Whether a value fits the schema; else where it does not and why.
    pub(crate) fn check(&self, value: &Value) -> Result<(), (String, String)> {
        self.validator.validate(value).map_err(|error| {
            let path = error.instance_path().as_str().to_owned();
            (path, excerpt(&error.masked().to_string()))
        })
    }

    /// The schema's own document.
    pub(crate) fn root(&self) -> &Value {
        &self.documents[0].1
    }

    /// The document of a name that a `$ref` uses: the name itself, or a URI that ends in it.
    fn document(&self, name: &str) -> Option<usize> {
        find(&self.documents[1..], name).map(|found| found + 1)
    }
}

/// A reason that quotes the schema is cut to a few lines.
fn excerpt(text: &str) -> String {
    const CHARACTERS: usize = 400;
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn read(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match value {
        Value::Object(_) | Value::Bool(_) => Ok(value),
        _ => Err("a JSON Schema is an object or a boolean".into()),
    }
}

/// Documents by name, and nothing else: no file, no network.
struct Documents(Vec<(String, Value)>);

impl Retrieve for Documents {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let found = find(&self.0, uri.as_str()).map(|found| self.0[found].1.clone());
        found.ok_or_else(|| format!("{uri} is not among the schema's references").into())
    }
}

fn find(documents: &[(String, Value)], uri: &str) -> Option<usize> {
    // A relative reference comes resolved against the crate's base for schemas without an `$id`.
    let relative = uri.strip_prefix("json-schema:///").unwrap_or(uri);
    let id = |value: &Value| value.get("$id").and_then(Value::as_str).is_some_and(|id| id == uri);
    let by_name = documents.iter().position(|(name, _)| name == uri || name == relative);
    by_name
        .or_else(|| documents.iter().position(|(_, value)| id(value)))
        .or_else(|| documents.iter().position(|(name, _)| uri.ends_with(&format!("/{name}"))))
}
