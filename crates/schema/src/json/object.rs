//! Objects: content models, required properties, counts, dependencies.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::compare::{ANYTHING, Needs, Node, accepts_anything, pair};
use super::scalar::{at_least, at_most};
use crate::relation::Need;

/// The parts of a schema that are about properties.
struct Model<'a> {
    properties: &'a Map<String, Value>,
    patterns: &'a Map<String, Value>,
    additional: &'a Value,
    required: Vec<&'a str>,
}

static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

impl<'a> Model<'a> {
    fn of(schema: &'a Map<String, Value>) -> Self {
        let object = |key: &str| schema.get(key).and_then(Value::as_object).unwrap_or(&NONE);
        let additional = schema.get("additionalProperties").or_else(|| schema.get("unevaluatedProperties"));
        let required = schema.get("required").and_then(Value::as_array);
        Self {
            properties: object("properties"),
            patterns: object("patternProperties"),
            additional: additional.unwrap_or(&ANYTHING),
            required: required.map(|r| r.iter().filter_map(Value::as_str).collect()).unwrap_or_default(),
        }
    }

    fn is_open(&self) -> bool {
        accepts_anything(self.additional)
    }

    fn is_closed(&self) -> bool {
        self.additional == &Value::Bool(false)
    }

    /// The schemas of the patterns that match `name`, by pattern.
    fn matching(&self, name: &str) -> BTreeMap<&'a str, &'a Value> {
        let matches = |pattern: &str| regex_of(pattern).is_some_and(|regex| regex.is_match(name));
        self.patterns
            .iter()
            .filter(|(pattern, _)| matches(pattern))
            .map(|(pattern, schema)| (pattern.as_str(), schema))
            .collect()
    }
}

/// A pattern, as a schema of its own: the crate that validates decides what matches.
fn regex_of(pattern: &str) -> Option<Pattern> {
    let schema = serde_json::json!({ "pattern": pattern });
    jsonschema::options().should_validate_formats(false).build(&schema).ok().map(Pattern)
}

struct Pattern(jsonschema::Validator);

impl Pattern {
    fn is_match(&self, name: &str) -> bool {
        self.0.is_valid(&Value::from(name))
    }
}

pub(super) fn needs<'a>(
    r: Node<'a>,
    w: Node<'a>,
    read: &'a Map<String, Value>,
    written: &'a Map<String, Value>,
) -> Needs<'a> {
    let (reads, writes) = (Model::of(read), Model::of(written));
    let mut needs = Vec::new();
    for (name, schema) in reads.properties {
        needs.extend(of_read_property(r, w, name, schema, &writes));
    }
    for (name, schema) in writes.properties {
        needs.extend(of_written_property(r, w, name, schema, &reads));
    }
    needs.extend(of_patterns(r, w, &reads, &writes));
    needs.extend(of_additional(r, w, &reads, &writes));
    needs.extend(of_required(&reads, &writes));
    needs.extend(at_most(
        read,
        written,
        "maxProperties",
        ["MAX_PROPERTIES_ADDED", "MAX_PROPERTIES_DECREASED"],
    ));
    needs.extend(at_least(
        read,
        written,
        "minProperties",
        ["MIN_PROPERTIES_ADDED", "MIN_PROPERTIES_INCREASED"],
    ));
    needs.extend(of_dependencies(read, written));
    if let Some(names) = read.get("propertyNames") {
        let had = written.get("propertyNames").unwrap_or(&ANYTHING);
        needs.push(pair("/propertyNames", r.inner(names), w.inner(had)));
    }
    needs
}

fn at(name: &str) -> String {
    format!("/properties/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A property that the reader describes: what may the writer's data hold there?
fn of_read_property<'a>(
    r: Node<'a>,
    w: Node<'a>,
    name: &str,
    schema: &'a Value,
    writes: &Model<'a>,
) -> Needs<'a> {
    if let Some(written) = writes.properties.get(name) {
        return vec![pair(at(name), r.inner(schema), w.inner(written))];
    }
    let patterns = writes.matching(name);
    if !patterns.is_empty() {
        return vec![Need::Any {
            at: at(name),
            pairs: patterns.values().map(|written| (r.inner(schema), w.inner(written))).collect(),
            rule: "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
            detail: "the writer's pattern for it allows what the property does not".into(),
        }];
    }
    if writes.is_closed() || accepts_anything(schema) {
        return Vec::new();
    }
    if writes.is_open() {
        let detail = "the writer's data may hold anything under this name: its content model is open";
        return vec![Need::never(at(name), "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", detail)];
    }
    vec![Need::Any {
        at: at(name),
        pairs: vec![(r.inner(schema), w.inner(writes.additional))],
        rule: "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
        detail: "the writer's additionalProperties allow what the property does not".into(),
    }]
}

/// A property that the writer describes: the reader's patterns and additional properties must take it.
fn of_written_property<'a>(
    r: Node<'a>,
    w: Node<'a>,
    name: &str,
    schema: &'a Value,
    reads: &Model<'a>,
) -> Needs<'a> {
    let patterns = reads.matching(name);
    let mut needs: Needs<'a> =
        patterns.values().map(|read| pair(at(name), r.inner(read), w.inner(schema))).collect();
    if reads.properties.contains_key(name) || !patterns.is_empty() || schema == &Value::Bool(false) {
        return needs;
    }
    if reads.is_closed() {
        let detail = "the reader refuses it: its content model is closed";
        needs.push(Need::never(at(name), "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", detail));
    } else if !reads.is_open() {
        needs.push(Need::Any {
            at: at(name),
            pairs: vec![(r.inner(reads.additional), w.inner(schema))],
            rule: "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
            detail: "the reader's additionalProperties do not accept what the property held".into(),
        });
    }
    needs
}

fn of_patterns<'a>(r: Node<'a>, w: Node<'a>, reads: &Model<'a>, writes: &Model<'a>) -> Needs<'a> {
    let mut needs = Vec::new();
    for (pattern, schema) in reads.patterns {
        let at = format!("/patternProperties/{pattern}");
        match writes.patterns.get(pattern) {
            Some(written) => needs.push(pair(at, r.inner(schema), w.inner(written))),
            None if writes.is_closed() && writes.patterns.is_empty() => {}
            None if accepts_anything(schema) => {}
            None => {
                let detail = "the writer's data may hold anything under such names";
                needs.push(Need::never(at, "PATTERN_PROPERTY_ADDED", detail));
            }
        }
    }
    for (pattern, schema) in writes.patterns {
        if !reads.patterns.contains_key(pattern) {
            let at = format!("/patternProperties/{pattern}");
            needs.push(pair(at, r.inner(reads.additional), w.inner(schema)));
        }
    }
    needs
}

fn of_additional<'a>(r: Node<'a>, w: Node<'a>, reads: &Model<'a>, writes: &Model<'a>) -> Needs<'a> {
    if writes.is_closed() || reads.is_open() {
        return Vec::new();
    }
    if reads.is_closed() {
        let detail = "the reader's content model is closed, the writer's is not";
        return vec![Need::never("/additionalProperties", "ADDITIONAL_PROPERTIES_REMOVED", detail)];
    }
    vec![Need::Any {
        at: "/additionalProperties".into(),
        pairs: vec![(r.inner(reads.additional), w.inner(writes.additional))],
        rule: "ADDITIONAL_PROPERTIES_NARROWED",
        detail: "the reader's additional properties take less than the writer's".into(),
    }]
}

/// A property that becomes required needs a default, which readers put in its place.
fn of_required<'a>(reads: &Model<'a>, writes: &Model<'a>) -> Needs<'a> {
    let missing = reads.required.iter().filter(|name| !writes.required.contains(name));
    missing
        .filter(|name| reads.properties.get(**name).is_none_or(|schema| schema.get("default").is_none()))
        .map(|name| {
            let rule = if writes.properties.contains_key(*name) || writes.is_open() {
                "REQUIRED_ATTRIBUTE_ADDED"
            } else {
                "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"
            };
            let detail =
                format!("the reader demands {name:?}, which the writer may leave out, and has no default");
            Need::never(at(name), rule, detail)
        })
        .collect()
}

/// Dependencies may go, not come or change.
fn of_dependencies<'a>(read: &Map<String, Value>, written: &Map<String, Value>) -> Needs<'a> {
    let mut needs = Vec::new();
    for key in ["dependencies", "dependentRequired", "dependentSchemas"] {
        let Some(reads) = read.get(key).and_then(Value::as_object) else { continue };
        let writes = written.get(key).and_then(Value::as_object).unwrap_or(&NONE);
        for (name, depends) in reads {
            let at = format!("/{key}/{name}");
            match (depends, writes.get(name)) {
                (_, Some(had)) if had == depends => {}
                (Value::Array(now), Some(Value::Array(had))) if now.iter().all(|one| had.contains(one)) => {}
                (Value::Array(_), had) => {
                    let rule = had.map_or("DEPENDENCY_ARRAY_ADDED", |_| "DEPENDENCY_ARRAY_EXTENDED");
                    needs.push(Need::never(at, rule, "the reader demands more properties beside this one"));
                }
                (_, had) => {
                    let rule = had.map_or("DEPENDENCY_SCHEMA_ADDED", |_| "DEPENDENCY_SCHEMA_CHANGED");
                    needs.push(Need::never(
                        at,
                        rule,
                        "the reader demands another shape beside this property",
                    ));
                }
            }
        }
    }
    needs
}
