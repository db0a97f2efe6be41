//! Confluent documentation, "JSON Schema compatibility rules", and JSON Schema Validation 2020-12 for what the keywords mean.

use penstock_schema::{Level, SchemaType};

use super::{Row, broken, check, row};

const OPENED: Option<&str> = Some("ADDITIONAL_PROPERTIES_REMOVED");
const TO_OPEN: Option<&str> = Some("PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL");
const FROM_CLOSED: Option<&str> = Some("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL");
const NARROWED: Option<&str> = Some("TYPE_NARROWED");
const CHANGED: Option<&str> = Some("TYPE_CHANGED");
const SUM: Option<&str> = Some("SUM_TYPE_NARROWED");

pub(super) const ROWS: &[Row] = &[
    row(
        "open model: a property may not come, because old data may hold anything there; it may go",
        r#"{"type":"object"}"#,
        r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
        TO_OPEN,
        None,
    ),
    row(
        "open model: a property that allows anything may come",
        r#"{"type":"object"}"#,
        r#"{"type":"object","properties":{"a":{"description":"anything"}}}"#,
        None,
        None,
    ),
    row(
        "closed model: an optional property may come, not go",
        r#"{"type":"object","additionalProperties":false}"#,
        r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#,
        None,
        FROM_CLOSED,
    ),
    row(
        "closed model: a required property may not come without a default",
        r#"{"type":"object","additionalProperties":false}"#,
        r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
        Some("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"),
        FROM_CLOSED,
    ),
    row(
        "closed model: a required property may come with a default",
        r#"{"type":"object","additionalProperties":false}"#,
        r#"{"type":"object","properties":{"a":{"type":"string","default":"x"}},"required":["a"],"additionalProperties":false}"#,
        None,
        FROM_CLOSED,
    ),
    row(
        "closed model: a property that never may be there may go",
        r#"{"type":"object","properties":{"a":false},"additionalProperties":false}"#,
        r#"{"type":"object","additionalProperties":false}"#,
        None,
        None,
    ),
    row(
        "partially open model: a property may come when the additional properties' schema covers it",
        r#"{"type":"object","additionalProperties":{"type":"integer"}}"#,
        r#"{"type":"object","properties":{"a":{"type":"number"}},"additionalProperties":{"type":"integer"}}"#,
        None,
        Some("PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"),
    ),
    row(
        "partially open model: not when it does not",
        r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
        r#"{"type":"object","properties":{"a":{"type":"number"}},"additionalProperties":{"type":"string"}}"#,
        Some("PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"),
        Some("PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"),
    ),
    row(
        "a pattern covers the properties whose names match it",
        r#"{"type":"object","patternProperties":{"^t_":{"type":"integer"}},"additionalProperties":false}"#,
        r#"{"type":"object","patternProperties":{"^t_":{"type":"integer"}},"properties":{"t_1":{"type":"integer"}},"additionalProperties":false}"#,
        None,
        None,
    ),
    row(
        "an open model may not become closed; a closed one may open",
        r#"{"type":"object"}"#,
        r#"{"type":"object","additionalProperties":false}"#,
        OPENED,
        None,
    ),
    row(
        "additional properties may not get a narrower schema",
        r#"{"type":"object"}"#,
        r#"{"type":"object","additionalProperties":{"type":"number"}}"#,
        Some("ADDITIONAL_PROPERTIES_NARROWED"),
        None,
    ),
    row(
        "a property may not become required",
        r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
        r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#,
        Some("REQUIRED_ATTRIBUTE_ADDED"),
        None,
    ),
    row(
        "unless it has a default",
        r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
        r#"{"type":"object","properties":{"a":{"type":"string","default":""}},"required":["a"]}"#,
        None,
        None,
    ),
    row("an integer may become a number", r#"{"type":"integer"}"#, r#"{"type":"number"}"#, None, CHANGED),
    row("a type may not become another", r#"{"type":"string"}"#, r#"{"type":"boolean"}"#, CHANGED, CHANGED),
    row("types may be added", r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#, None, NARROWED),
    row("no type means every type", r#"{"type":"string"}"#, r#"{}"#, None, NARROWED),
    row(
        "the type of a property counts as well",
        r#"{"type":"object","properties":{"a":{"type":"number"}}}"#,
        r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#,
        CHANGED,
        None,
    ),
    row(
        "maxLength may grow",
        r#"{"type":"string","maxLength":5}"#,
        r#"{"type":"string","maxLength":9}"#,
        None,
        Some("MAX_LENGTH_DECREASED"),
    ),
    row(
        "maxLength may go",
        r#"{"type":"string","maxLength":5}"#,
        r#"{"type":"string"}"#,
        None,
        Some("MAX_LENGTH_ADDED"),
    ),
    row(
        "minLength may shrink",
        r#"{"type":"string","minLength":5}"#,
        r#"{"type":"string","minLength":2}"#,
        None,
        Some("MIN_LENGTH_INCREASED"),
    ),
    row(
        "a pattern may go",
        r#"{"type":"string","pattern":"^a"}"#,
        r#"{"type":"string"}"#,
        None,
        Some("PATTERN_ADDED"),
    ),
    row(
        "a pattern may not change",
        r#"{"type":"string","pattern":"^a"}"#,
        r#"{"type":"string","pattern":"^b"}"#,
        Some("PATTERN_CHANGED"),
        Some("PATTERN_CHANGED"),
    ),
    row(
        "a maximum may grow",
        r#"{"type":"number","maximum":100}"#,
        r#"{"type":"number","maximum":150}"#,
        None,
        Some("MAXIMUM_DECREASED"),
    ),
    row(
        "a minimum may go",
        r#"{"type":"number","minimum":0}"#,
        r#"{"type":"number"}"#,
        None,
        Some("MINIMUM_ADDED"),
    ),
    row(
        "an excluded bound is narrower than the same included",
        r#"{"type":"number","exclusiveMinimum":0}"#,
        r#"{"type":"number","minimum":0}"#,
        None,
        Some("MINIMUM_INCREASED"),
    ),
    row(
        "in draft 4 a bound is excluded by a boolean beside it",
        r#"{"$schema":"http://json-schema.org/draft-04/schema#","type":"number","maximum":9,"exclusiveMaximum":true}"#,
        r#"{"$schema":"http://json-schema.org/draft-04/schema#","type":"number","maximum":9}"#,
        None,
        Some("MAXIMUM_DECREASED"),
    ),
    row(
        "multipleOf may become a divisor of itself",
        r#"{"type":"integer","multipleOf":10}"#,
        r#"{"type":"integer","multipleOf":5}"#,
        None,
        Some("MULTIPLE_OF_CHANGED"),
    ),
    row(
        "an enumeration may grow",
        r#"{"enum":["a","b"]}"#,
        r#"{"enum":["a","b","c"]}"#,
        None,
        Some("ENUM_ARRAY_NARROWED"),
    ),
    row(
        "an enumeration may go",
        r#"{"type":"string","enum":["a","b"]}"#,
        r#"{"type":"string"}"#,
        None,
        Some("ENUM_ARRAY_ADDED"),
    ),
    row(
        "a bound must hold for enumerated values",
        r#"{"enum":[1,2,30]}"#,
        r#"{"type":"number","maximum":10}"#,
        Some("MAXIMUM_DECREASED"),
        Some("ENUM_ARRAY_ADDED"),
    ),
    row(
        "a minimal length beside an enumeration does not hide it",
        r#"{"type":"string","minLength":1}"#,
        r#"{"type":"string","minLength":1,"enum":["a"]}"#,
        Some("ENUM_ARRAY_ADDED"),
        None,
    ),
    row(
        "a constant is an enumeration of one",
        r#"{"const":"a"}"#,
        r#"{"const":"b"}"#,
        Some("ENUM_ARRAY_NARROWED"),
        Some("ENUM_ARRAY_NARROWED"),
    ),
    row(
        "items must match",
        r#"{"type":"array","items":{"type":"integer"}}"#,
        r#"{"type":"array","items":{"type":"number"}}"#,
        None,
        CHANGED,
    ),
    row(
        "maxItems may grow",
        r#"{"type":"array","maxItems":2}"#,
        r#"{"type":"array","maxItems":3}"#,
        None,
        Some("MAX_ITEMS_DECREASED"),
    ),
    row(
        "minItems may not come",
        r#"{"type":"array"}"#,
        r#"{"type":"array","minItems":1}"#,
        Some("MIN_ITEMS_ADDED"),
        None,
    ),
    row(
        "uniqueItems may go",
        r#"{"type":"array","uniqueItems":true}"#,
        r#"{"type":"array"}"#,
        None,
        Some("UNIQUE_ITEMS_ADDED"),
    ),
    row(
        "an item at a place of its own may come where no further items were allowed",
        r#"{"type":"array","prefixItems":[{"type":"number"}],"items":false}"#,
        r#"{"type":"array","prefixItems":[{"type":"number"},{"type":"string"}],"items":false}"#,
        None,
        Some("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
    ),
    row(
        "and not where anything was allowed",
        r#"{"type":"array","prefixItems":[{"type":"number"}]}"#,
        r#"{"type":"array","prefixItems":[{"type":"number"},{"type":"string"}]}"#,
        Some("ITEM_ADDED_TO_OPEN_CONTENT_MODEL"),
        None,
    ),
    row(
        "maxProperties may go",
        r#"{"type":"object","maxProperties":3}"#,
        r#"{"type":"object"}"#,
        None,
        Some("MAX_PROPERTIES_ADDED"),
    ),
    row(
        "dependencies may go",
        r#"{"type":"object","dependentRequired":{"a":["b"]}}"#,
        r#"{"type":"object"}"#,
        None,
        Some("DEPENDENCY_ARRAY_ADDED"),
    ),
    row(
        "a sum may get branches",
        r#"{"oneOf":[{"type":"string"}]}"#,
        r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#,
        None,
        SUM,
    ),
    row(
        "what was one branch may become a sum",
        r#"{"type":"string"}"#,
        r#"{"anyOf":[{"type":"integer"},{"type":"string"}]}"#,
        None,
        SUM,
    ),
    row(
        "a product may lose parts",
        r#"{"allOf":[{"type":"string"},{"maxLength":3}]}"#,
        r#"{"allOf":[{"type":"string"}]}"#,
        None,
        Some("PRODUCT_TYPE_EXTENDED"),
    ),
    row(
        "what is excluded may shrink",
        r#"{"not":{"type":["string","null"]}}"#,
        r#"{"not":{"type":"string"}}"#,
        None,
        NARROWED,
    ),
    row("an exclusion may go", r#"{"not":{"type":"string"}}"#, r#"{}"#, None, Some("NOT_TYPE_EXTENDED")),
    row("nothing may become something", r#"false"#, r#"{"type":"string"}"#, None, Some("SCHEMA_CLOSED")),
    row(
        "references are followed",
        r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/v"}},"$defs":{"v":{"type":"integer"}}}"##,
        r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/w"}},"$defs":{"w":{"type":"number"}}}"##,
        None,
        CHANGED,
    ),
    row(
        "also where they lead back to themselves",
        r##"{"type":"object","properties":{"v":{"type":"integer"},"next":{"$ref":"#"}}}"##,
        r##"{"type":"object","properties":{"v":{"type":"number"},"next":{"$ref":"#"}}}"##,
        None,
        CHANGED,
    ),
    row(
        "annotations mean nothing, and a format is one",
        r#"{"type":"string","title":"a"}"#,
        r#"{"type":"string","title":"b","format":"date-time","default":"x"}"#,
        None,
        None,
    ),
];

#[test]
fn json_schema_by_the_published_rules() {
    check(SchemaType::Json, ROWS, str::to_owned);
}

#[test]
fn what_stands_beside_a_reference_counts() {
    let old = r##"{"$defs":{"v":{"type":"string"}},"$ref":"#/$defs/v"}"##;
    let new = r##"{"$defs":{"v":{"type":"string"}},"$ref":"#/$defs/v","allOf":[{"maxLength":2}]}"##;
    assert_eq!(
        broken(SchemaType::Json, Level::Backward, old, new),
        [("MAX_LENGTH_ADDED".into(), "/allOf/0/maxLength".into())]
    );
}

#[test]
fn a_refusal_says_where() {
    let old = r#"{"type":"object","properties":{"metrics":{"type":"object","properties":{"a/b":{"type":"number"}}}}}"#;
    let new = old.replace("number", "string");
    assert_eq!(
        broken(SchemaType::Json, Level::Backward, old, &new),
        [("TYPE_CHANGED".into(), "/properties/metrics/properties/a~1b/type".into())]
    );
}
