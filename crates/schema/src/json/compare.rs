//! Whether one JSON Schema accepts all that another accepts, by the rules that the Confluent documentation lists under
//! "JSON Schema compatibility rules": open, partially open and closed content models, bounds, types, and combinations.
//!
//! The verdict is on the safe side: what these rules do not show to be compatible is not. Rule names are those of that
//! documentation's tools where it has one.

use std::hash::{Hash, Hasher};
use std::ptr;

use serde_json::{Map, Value};

use super::{Json, array, object, scalar};
use crate::relation::Need;

pub(super) static ANYTHING: Value = Value::Bool(true);

/// A schema within a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    document: usize,
    value: &'a Value,
    /// Without its combinators and its `$ref`: what stands beside them.
    beside: bool,
}

impl<'a> Node<'a> {
    pub(super) fn root(json: &'a Json) -> Self {
        Self { document: 0, value: &json.documents[0].1, beside: false }
    }

    /// A schema inside this one.
    pub(super) fn inner(self, value: &'a Value) -> Self {
        Self { value, beside: false, ..self }
    }

    fn beside(self) -> Self {
        Self { beside: true, ..self }
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.value, other.value) && self.beside == other.beside
    }
}

impl Eq for Node<'_> {}

impl Hash for Node<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (ptr::from_ref(self.value) as usize, self.beside).hash(state);
    }
}

pub(super) type Needs<'a> = Vec<Need<Node<'a>>>;

pub(super) fn pair<'a>(at: impl Into<String>, r: Node<'a>, w: Node<'a>) -> Need<Node<'a>> {
    Need::Pair { at: at.into(), pair: (r, w) }
}

/// What the reader needs to accept all that the writer accepts.
pub(super) fn needs<'a>(reader: &'a Json, writer: &'a Json, r: Node<'a>, w: Node<'a>) -> Needs<'a> {
    if w.value == &Value::Bool(false) || accepts_anything(r.value) {
        return Vec::new();
    }
    if r.beside == w.beside && r.value == w.value && !scalar::refers(r.value) {
        return Vec::new();
    }
    let Value::Object(read) = r.value else {
        return vec![Need::never("", "SCHEMA_CLOSED", "the reader accepts nothing, the writer something")];
    };
    let nothing = Map::new();
    let written = match w.value {
        Value::Object(written) => written,
        _ => return unions(reader, r, w, read, &nothing),
    };
    if !w.beside {
        if let Some(reference) = written.get("$ref") {
            return match target(writer, w, reference) {
                Some(target) => vec![pair("", r, target)],
                None => unresolved(read, written),
            };
        }
        if let Some((key, branches)) = sum(written) {
            // Each branch on its own; what stands beside them may already be enough.
            let alone = (r, w.beside());
            let every = branches.iter().enumerate();
            return every
                .map(|(n, branch)| Need::Any {
                    at: format!("/{key}/{n}"),
                    pairs: vec![(r, w.inner(branch)), alone],
                    rule: "SUM_TYPE_NARROWED",
                    detail: format!("the reader does not accept the writer's branch {n} of {key}"),
                })
                .collect();
        }
    }
    unions(reader, r, w, read, written)
}

/// The reader's `$ref`, `anyOf`, `oneOf` and `allOf`, each of which must hold; then the writer's `allOf`; then the
/// keywords.
fn unions<'a>(
    reader: &'a Json,
    r: Node<'a>,
    w: Node<'a>,
    read: &'a Map<String, Value>,
    written: &Map<String, Value>,
) -> Needs<'a> {
    let mut needs = if r.beside { Vec::new() } else { combinators(reader, r, w, read, written) };
    if !needs.is_empty() {
        needs.push(pair("", r.beside(), w));
        return needs;
    }
    let written = w.value.as_object();
    if let Some(branches) = written.and_then(|written| list(written, "allOf")).filter(|_| !w.beside) {
        // The writer's values fit all of its branches: one that fits the reader is enough.
        let parts = branches.iter().map(|branch| w.inner(branch)).chain([w.beside()]);
        return vec![Need::Any {
            at: "/allOf".into(),
            pairs: parts.map(|part| (r, part)).collect(),
            rule: "PRODUCT_TYPE_EXTENDED",
            detail: "no part of the writer's allOf is accepted by the reader".into(),
        }];
    }
    keywords(r, w, read, written)
}

fn combinators<'a>(
    reader: &'a Json,
    r: Node<'a>,
    w: Node<'a>,
    read: &'a Map<String, Value>,
    written: &Map<String, Value>,
) -> Needs<'a> {
    let mut needs = Vec::new();
    if let Some(reference) = read.get("$ref") {
        match target(reader, r, reference) {
            Some(target) => needs.push(pair("", target, w)),
            None => needs.extend(unresolved(read, written)),
        }
    }
    for key in SUMS {
        let Some(branches) = list(read, key) else { continue };
        needs.push(Need::Any {
            at: format!("/{key}"),
            pairs: branches.iter().map(|branch| (r.inner(branch), w)).collect(),
            rule: "SUM_TYPE_NARROWED",
            detail: format!("no branch of the reader's {key} accepts all that the writer accepts"),
        });
    }
    for (n, branch) in list(read, "allOf").into_iter().flatten().enumerate() {
        needs.push(pair(format!("/allOf/{n}"), r.inner(branch), w));
    }
    needs
}

fn keywords<'a>(
    r: Node<'a>,
    w: Node<'a>,
    read: &'a Map<String, Value>,
    written: Option<&'a Map<String, Value>>,
) -> Needs<'a> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    let written = written.unwrap_or(&EMPTY);
    let mut needs = negations(r, w, read, written);
    if let Some(values) = scalar::values(written) {
        // Few values: what counts is whether the reader takes each of them.
        needs.extend(scalar::of_values(read, written, &values));
        return needs;
    }
    if scalar::values(read).is_some() {
        needs.push(Need::never("/enum", "ENUM_ARRAY_ADDED", "the reader accepts only some values"));
    }
    let types = scalar::types(written);
    needs.extend(scalar::of_types(read, written, &types));
    if types.contains(&"object") {
        needs.extend(object::needs(r, w, read, written));
    }
    if types.contains(&"array") {
        needs.extend(array::needs(r, w, read, written));
    }
    needs
}

fn negations<'a>(
    r: Node<'a>,
    w: Node<'a>,
    read: &'a Map<String, Value>,
    written: &'a Map<String, Value>,
) -> Needs<'a> {
    let mut needs = Vec::new();
    match (read.get("not"), written.get("not")) {
        // What the reader excludes, the writer must exclude.
        (Some(reads), Some(writes)) if reads != writes => {
            needs.push(pair("/not", w.inner(writes), r.inner(reads)));
        }
        (Some(_), None) => {
            needs.push(Need::never(
                "/not",
                "NOT_TYPE_EXTENDED",
                "the reader excludes what the writer allows",
            ));
        }
        _ => {}
    }
    if read.contains_key("if") && ["if", "then", "else"].iter().any(|key| read.get(*key) != written.get(*key))
    {
        needs.push(Need::never("/if", "CONDITION_CHANGED", "the conditions of if, then and else differ"));
    }
    needs
}

/// That exactly one branch of `oneOf` must hold is not judged.
const SUMS: [&str; 2] = ["oneOf", "anyOf"];

fn sum(schema: &Map<String, Value>) -> Option<(&'static str, &Vec<Value>)> {
    SUMS.into_iter().find_map(|key| Some((key, list(schema, key)?)))
}

fn list<'a>(schema: &'a Map<String, Value>, key: &str) -> Option<&'a Vec<Value>> {
    schema.get(key)?.as_array().filter(|list| !list.is_empty())
}

/// What a `$ref` points to.
fn target<'a>(json: &'a Json, from: Node<'a>, reference: &Value) -> Option<Node<'a>> {
    let (document, fragment) = {
        let text = reference.as_str()?;
        text.split_once('#').unwrap_or((text, ""))
    };
    let own = |number: usize| json.documents[number].1.get("$id").and_then(Value::as_str);
    let number = match document {
        "" => from.document,
        name if own(from.document) == Some(name) => from.document,
        name => json.document(name)?,
    };
    let root = &json.documents[number].1;
    let value = if fragment.is_empty() { root } else { root.pointer(&decoded(fragment)?)? };
    Some(Node { document: number, value, beside: false })
}

/// A fragment without percent signs (RFC 3986, section 2.1); a plain name (`$anchor`) is not looked for.
fn decoded(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        (bytes, rest) = match first {
            b'%' => {
                let code = std::str::from_utf8(after.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(code, 16).ok()?);
                (bytes, &after[2..])
            }
            _ => {
                bytes.push(first);
                (bytes, after)
            }
        };
    }
    String::from_utf8(bytes).ok()
}

/// A reference that the comparison cannot follow is compatible only with itself.
fn unresolved<'a>(read: &Map<String, Value>, written: &Map<String, Value>) -> Needs<'a> {
    if read.get("$ref") == written.get("$ref") {
        return Vec::new();
    }
    vec![Need::never("/$ref", "REFERENCE_CHANGED", "a reference that cannot be followed was changed")]
}

/// Whether a schema says nothing but annotations.
pub(super) fn accepts_anything(schema: &Value) -> bool {
    const SILENT: [&str; 16] = [
        "$id",
        "id",
        "$schema",
        "$comment",
        "$defs",
        "definitions",
        "$anchor",
        "title",
        "description",
        "default",
        "examples",
        "format",
        "readOnly",
        "writeOnly",
        "deprecated",
        "$vocabulary",
    ];
    match schema {
        Value::Bool(anything) => *anything,
        Value::Object(object) => object.keys().all(|key| SILENT.contains(&key.as_str())),
        _ => false,
    }
}
