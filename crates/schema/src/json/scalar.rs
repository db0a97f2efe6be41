//! Types, enumerations, and bounds of numbers and texts.

use jsonschema::Validator;
use serde_json::{Map, Value};

use super::compare::Needs;
use crate::relation::Need;

const ALL_TYPES: [&str; 6] = ["null", "boolean", "number", "string", "object", "array"];

/// The types that a schema allows; `integer` stands only where `number` does not.
pub(super) fn types(schema: &Map<String, Value>) -> Vec<&str> {
    let mut types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => return ALL_TYPES.to_vec(),
    };
    if types.contains(&"number") {
        types.retain(|t| *t != "integer");
    }
    types
}

/// The values of `enum` or `const`.
pub(super) fn values(schema: &Map<String, Value>) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

/// The writer's few values, those that it accepts itself, one by one.
pub(super) fn of_values<'a>(
    read: &Map<String, Value>,
    written: &Map<String, Value>,
    values: &[&Value],
) -> Needs<'a> {
    let mut needs = Vec::new();
    let (reader, writer) = (alone(read), alone(written));
    for value in values {
        if writer.as_ref().is_some_and(|writer| !writer.is_valid(value)) {
            continue;
        }
        let before = needs.len();
        needs.extend(of_value(read, value));
        // What these rules have no word for is for the validator to say.
        let accepted = reader.as_ref().map_or_else(|| read == written, |reader| reader.is_valid(value));
        if needs.len() == before && !accepted {
            let detail = format!("the reader does not accept the writer's value {value}");
            needs.push(Need::never("/enum", "ENUM_ARRAY_CHANGED", detail));
        }
    }
    needs
}

/// A validator for a schema without its combinators, which are judged on their own. `None` when it refers to others,
/// which are not at hand here.
fn alone(schema: &Map<String, Value>) -> Option<Validator> {
    const COMBINATORS: [&str; 4] = ["$ref", "anyOf", "oneOf", "allOf"];
    let mut alone = schema.clone();
    alone.retain(|key, _| !COMBINATORS.contains(&key.as_str()) && key != "$id" && key != "$defs");
    if refers(&Value::Object(alone.clone())) {
        return None;
    }
    jsonschema::options().should_validate_formats(false).build(&Value::Object(alone)).ok()
}

/// Whether a schema, or one inside it, refers to another.
pub(super) fn refers(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.contains_key("$ref") || object.values().any(refers),
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}

fn of_value<'a>(read: &Map<String, Value>, value: &Value) -> Needs<'a> {
    let types = types(read);
    let of = type_of(value);
    if !types.iter().any(|t| *t == of || (*t == "number" && of == "integer")) {
        let detail =
            format!("the writer's value {value} is of the type {of}, which the reader does not accept");
        return vec![Need::never("/type", "TYPE_NARROWED", detail)];
    }
    if values(read).is_some_and(|allowed| !allowed.iter().any(|allowed| equal(allowed, value))) {
        let detail = format!("the reader does not accept the writer's value {value}");
        return vec![Need::never("/enum", "ENUM_ARRAY_NARROWED", detail)];
    }
    of_types(read, &exactly(value), &[of])
}

/// A schema that allows about what the value is, for the comparison of bounds.
fn exactly(value: &Value) -> Map<String, Value> {
    let mut schema = Map::new();
    match value {
        Value::Number(_) => {
            for key in ["minimum", "maximum", "multipleOf"] {
                schema.insert(key.into(), value.clone());
            }
        }
        Value::String(text) => {
            let length = Value::from(text.chars().count());
            schema.insert("minLength".into(), length.clone());
            schema.insert("maxLength".into(), length);
        }
        _ => {}
    }
    schema
}

/// Types, then bounds of those that both have.
pub(super) fn of_types<'a>(
    read: &Map<String, Value>,
    written: &Map<String, Value>,
    writes: &[&str],
) -> Needs<'a> {
    let mut needs = Vec::new();
    let reads = types(read);
    for written in writes {
        if !reads.iter().any(|t| t == written || (*t == "number" && *written == "integer")) {
            let rule =
                if reads.iter().any(|t| writes.contains(t)) { "TYPE_NARROWED" } else { "TYPE_CHANGED" };
            let detail = format!("the reader does not accept the writer's type {written}");
            needs.push(Need::never("/type", rule, detail));
        }
    }
    if writes.iter().any(|t| matches!(*t, "number" | "integer")) {
        needs.extend(numbers(read, written));
    }
    if writes.contains(&"string") {
        needs.extend(at_most(read, written, "maxLength", ["MAX_LENGTH_ADDED", "MAX_LENGTH_DECREASED"]));
        needs.extend(at_least(read, written, "minLength", ["MIN_LENGTH_ADDED", "MIN_LENGTH_INCREASED"]));
        needs.extend(pattern(read, written));
    }
    needs
}

fn pattern<'a>(read: &Map<String, Value>, written: &Map<String, Value>) -> Needs<'a> {
    match (read.get("pattern"), written.get("pattern")) {
        (Some(_), None) => vec![Need::never("/pattern", "PATTERN_ADDED", "the reader demands a pattern")],
        (Some(a), Some(b)) if a != b => {
            vec![Need::never("/pattern", "PATTERN_CHANGED", format!("the pattern {b} became {a}"))]
        }
        _ => Vec::new(),
    }
}

fn numbers<'a>(read: &Map<String, Value>, written: &Map<String, Value>) -> Needs<'a> {
    let mut needs = Vec::new();
    let (upper, lower) = (bound(read, "maximum"), bound(read, "minimum"));
    if let Some(upper) = upper {
        match bound(written, "maximum") {
            None => needs.push(never("/maximum", "MAXIMUM_ADDED", &upper)),
            Some(had) if had.0 > upper.0 || (had.0 == upper.0 && upper.1 && !had.1) => {
                needs.push(never("/maximum", "MAXIMUM_DECREASED", &upper));
            }
            Some(_) => {}
        }
    }
    if let Some(lower) = lower {
        match bound(written, "minimum") {
            None => needs.push(never("/minimum", "MINIMUM_ADDED", &lower)),
            Some(had) if had.0 < lower.0 || (had.0 == lower.0 && lower.1 && !had.1) => {
                needs.push(never("/minimum", "MINIMUM_INCREASED", &lower));
            }
            Some(_) => {}
        }
    }
    if let Some(step) = number(read, "multipleOf") {
        match number(written, "multipleOf") {
            None => needs.push(never("/multipleOf", "MULTIPLE_OF_ADDED", &(step, false))),
            // A writer's multiples are the reader's when its step is one.
            Some(had) if step != 0.0 && (had / step).fract() != 0.0 => {
                needs.push(never("/multipleOf", "MULTIPLE_OF_CHANGED", &(step, false)));
            }
            Some(_) => {}
        }
    }
    needs
}

fn never<'a>(at: &str, rule: &'static str, bound: &(f64, bool)) -> Need<super::compare::Node<'a>> {
    let end = if bound.1 { ", itself excluded" } else { "" };
    Need::never(at, rule, format!("the reader's bound is {}{end}", bound.0))
}

/// A bound, and whether it is excluded itself. In draft 4 `exclusiveMaximum` is a boolean beside `maximum`.
fn bound(schema: &Map<String, Value>, key: &str) -> Option<(f64, bool)> {
    let exclusive = if key == "maximum" { "exclusiveMaximum" } else { "exclusiveMinimum" };
    let plain = number(schema, key);
    match (plain, schema.get(exclusive)) {
        (Some(plain), Some(Value::Bool(excluded))) => Some((plain, *excluded)),
        (plain, Some(Value::Number(_))) => {
            let end = number(schema, exclusive)?;
            let tighter = |plain: f64| if key == "maximum" { plain < end } else { plain > end };
            Some(plain.filter(|plain| tighter(*plain)).map_or((end, true), |plain| (plain, false)))
        }
        (plain, _) => plain.map(|plain| (plain, false)),
    }
}

pub(super) fn number(schema: &Map<String, Value>, key: &str) -> Option<f64> {
    schema.get(key)?.as_f64()
}

/// A largest count: none may come, none may shrink.
pub(super) fn at_most<'a>(
    read: &Map<String, Value>,
    written: &Map<String, Value>,
    key: &str,
    rules: [&'static str; 2],
) -> Needs<'a> {
    let Some(reads) = number(read, key) else { return Vec::new() };
    let rule = match number(written, key) {
        None => rules[0],
        Some(writes) if writes > reads => rules[1],
        Some(_) => return Vec::new(),
    };
    vec![Need::never(format!("/{key}"), rule, format!("the reader accepts at most {reads}"))]
}

/// A smallest count: none may come (but zero), none may grow.
pub(super) fn at_least<'a>(
    read: &Map<String, Value>,
    written: &Map<String, Value>,
    key: &str,
    rules: [&'static str; 2],
) -> Needs<'a> {
    let Some(reads) = number(read, key).filter(|reads| *reads > 0.0) else { return Vec::new() };
    let rule = match number(written, key) {
        None => rules[0],
        Some(writes) if writes < reads => rules[1],
        Some(_) => return Vec::new(),
    };
    vec![Need::never(format!("/{key}"), rule, format!("the reader demands at least {reads}"))]
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        // 1.0 is an integer from draft 6 on.
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Object(_) => "object",
        Value::Array(_) => "array",
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}
