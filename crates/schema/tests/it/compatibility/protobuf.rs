//! protobuf.dev, "Updating A Message Type", and Confluent documentation, "Protobuf compatibility rules".

use penstock_schema::{Level, SchemaType};

use super::{Row, broken, check, row};

const KIND: Option<&str> = Some("FIELD_SCALAR_KIND_CHANGED");
const LABEL: Option<&str> = Some("FIELD_NUMERIC_LABEL_CHANGED");
const LEFT: Option<&str> = Some("ONEOF_FIELD_REMOVED");
const REQUIRED: Option<&str> = Some("REQUIRED_FIELD_ADDED");

/// Rows hold what stands after the first line.
pub(super) const ROWS: &[Row] = &[
    row(
        "a field may come, and go",
        "message M { int32 a = 1; }",
        "message M { int32 a = 1; string b = 2; }",
        None,
        None,
    ),
    row("a field may be renamed", "message M { int32 a = 1; }", "message M { int32 z = 1; }", None, None),
    row(
        "a field's other number is another field",
        "message M { int32 a = 1; string b = 2; }",
        "message M { int32 a = 2; string b = 1; }",
        KIND,
        KIND,
    ),
    row(
        "int32 and int64 read each other",
        "message M { int32 a = 1; }",
        "message M { int64 a = 1; }",
        None,
        None,
    ),
    row(
        "uint32 and bool read each other",
        "message M { uint32 a = 1; }",
        "message M { bool a = 1; }",
        None,
        None,
    ),
    row(
        "sint32 and sint64 read each other",
        "message M { sint32 a = 1; }",
        "message M { sint64 a = 1; }",
        None,
        None,
    ),
    row("sint32 is not int32", "message M { sint32 a = 1; }", "message M { int32 a = 1; }", KIND, KIND),
    row(
        "fixed32 and sfixed32 read each other",
        "message M { fixed32 a = 1; }",
        "message M { sfixed32 a = 1; }",
        None,
        None,
    ),
    row(
        "fixed64 and sfixed64 read each other",
        "message M { fixed64 a = 1; }",
        "message M { sfixed64 a = 1; }",
        None,
        None,
    ),
    row("fixed32 is not fixed64", "message M { fixed32 a = 1; }", "message M { fixed64 a = 1; }", KIND, KIND),
    row("float is not double", "message M { float a = 1; }", "message M { double a = 1; }", KIND, KIND),
    row(
        "string and bytes read each other",
        "message M { string a = 1; }",
        "message M { bytes a = 1; }",
        None,
        None,
    ),
    row("a number is no text", "message M { int32 a = 1; }", "message M { string a = 1; }", KIND, KIND),
    row(
        "an enum and int32 read each other",
        "enum E { E_A = 0; } message M { E a = 1; }",
        "enum E { E_A = 0; } message M { int32 a = 1; }",
        None,
        None,
    ),
    row(
        "an enum's values may come and go",
        "enum E { E_A = 0; E_B = 1; } message M { E a = 1; }",
        "enum E { E_A = 0; E_C = 2; } message M { E a = 1; }",
        None,
        None,
    ),
    row(
        "an enum keeps its name",
        "enum E { E_A = 0; } message M { E a = 1; }",
        "enum F { F_A = 0; } message M { F a = 1; }",
        Some("FIELD_NAMED_TYPE_CHANGED"),
        Some("FIELD_NAMED_TYPE_CHANGED"),
    ),
    row(
        "a message keeps its name",
        "message M { int32 a = 1; }",
        "message N { int32 a = 1; }",
        Some("MESSAGE_REMOVED"),
        Some("MESSAGE_REMOVED"),
    ),
    row(
        "a message may come, not go",
        "message M { int32 a = 1; }",
        "message M { int32 a = 1; } message N { int32 a = 1; }",
        None,
        Some("MESSAGE_REMOVED"),
    ),
    row(
        "messages may be moved",
        "message M { int32 a = 1; } message N { string a = 1; }",
        "message N { string a = 1; } message M { int32 a = 1; }",
        None,
        None,
    ),
    row(
        "the type of a field keeps its name",
        "message I { int32 a = 1; } message J { int32 a = 1; } message M { I i = 1; }",
        "message I { int32 a = 1; } message J { int32 a = 1; } message M { J i = 1; }",
        Some("FIELD_NAMED_TYPE_CHANGED"),
        Some("FIELD_NAMED_TYPE_CHANGED"),
    ),
    row(
        "a message is no number",
        "message I { int32 a = 1; } message M { I i = 1; }",
        "message I { int32 a = 1; } message M { int32 i = 1; }",
        Some("FIELD_KIND_CHANGED"),
        Some("FIELD_KIND_CHANGED"),
    ),
    row(
        "what is inside counts",
        "message M { message I { int32 a = 1; } I i = 1; }",
        "message M { message I { string a = 1; } I i = 1; }",
        KIND,
        KIND,
    ),
    row(
        "a number may not become repeated",
        "message M { int32 a = 1; }",
        "message M { repeated int32 a = 1; }",
        LABEL,
        LABEL,
    ),
    row("a text may", "message M { string a = 1; }", "message M { repeated string a = 1; }", None, None),
    row(
        "a message may",
        "message I { int32 a = 1; } message M { I i = 1; }",
        "message I { int32 a = 1; } message M { repeated I i = 1; }",
        None,
        None,
    ),
    row(
        "presence does not count",
        "message M { int32 a = 1; }",
        "message M { optional int32 a = 1; }",
        None,
        None,
    ),
    row(
        "the values of a map are fields",
        "message M { map<string, double> m = 1; }",
        "message M { map<string, float> m = 1; }",
        KIND,
        KIND,
    ),
    row(
        "one field may move into a new oneof",
        "message M { int32 a = 1; }",
        "message M { oneof o { int32 a = 1; } }",
        None,
        None,
    ),
    row(
        "two may not: the data may hold both",
        "message M { int32 a = 1; int32 b = 2; }",
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
        Some("MULTIPLE_FIELDS_MOVED_TO_ONEOF"),
        None,
    ),
    row(
        "none may move into a oneof that is there",
        "message M { oneof o { int32 a = 1; } int32 b = 2; }",
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
        Some("FIELD_MOVED_TO_EXISTING_ONEOF"),
        LEFT,
    ),
    row(
        "a oneof may get a new field, not lose one",
        "message M { oneof o { int32 a = 1; } }",
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
        None,
        LEFT,
    ),
    row(
        "a package keeps its name",
        "package a; message M { int32 a = 1; }",
        "package b; message M { int32 a = 1; }",
        Some("PACKAGE_CHANGED"),
        Some("PACKAGE_CHANGED"),
    ),
];

const PROTO2: &[Row] = &[
    row(
        "a required field may neither come nor go",
        "message M { optional int32 a = 1; }",
        "message M { optional int32 a = 1; required int32 b = 2; }",
        REQUIRED,
        Some("REQUIRED_FIELD_REMOVED"),
    ),
    row(
        "an optional field may not become required",
        "message M { optional int32 a = 1; }",
        "message M { required int32 a = 1; }",
        REQUIRED,
        None,
    ),
];

#[test]
fn protobuf_by_the_published_rules() {
    check(SchemaType::Protobuf, ROWS, |rest| format!("syntax = \"proto3\"; {rest}"));
    check(SchemaType::Protobuf, PROTO2, |rest| format!("syntax = \"proto2\"; {rest}"));
}

#[test]
fn a_refusal_says_where() {
    let old = "syntax = \"proto3\"; message M { message I { int32 a = 7; } repeated I i = 3; }";
    let new = old.replace("int32", "string");
    assert_eq!(
        broken(SchemaType::Protobuf, Level::Backward, old, &new),
        [("FIELD_SCALAR_KIND_CHANGED".into(), "/M/3/7".into())]
    );
}
