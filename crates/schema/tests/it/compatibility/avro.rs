//! Avro 1.12, "Schema Resolution".

use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use penstock_schema::{Level, SchemaType};

use super::{Row, broken, check, row};

const MISMATCH: Option<&str> = Some("TYPE_MISMATCH");
const NO_DEFAULT: Option<&str> = Some("READER_FIELD_MISSING_DEFAULT_VALUE");
const NO_BRANCH: Option<&str> = Some("MISSING_UNION_BRANCH");
const NAME: Option<&str> = Some("NAME_MISMATCH");
const SYMBOLS: Option<&str> = Some("MISSING_ENUM_SYMBOLS");

pub(super) const ROWS: &[Row] = &[
    row("an int may be read as a long", r#""int""#, r#""long""#, None, MISMATCH),
    row("an int may be read as a float", r#""int""#, r#""float""#, None, MISMATCH),
    row("an int may be read as a double", r#""int""#, r#""double""#, None, MISMATCH),
    row("a long may be read as a float", r#""long""#, r#""float""#, None, MISMATCH),
    row("a long may be read as a double", r#""long""#, r#""double""#, None, MISMATCH),
    row("a float may be read as a double", r#""float""#, r#""double""#, None, MISMATCH),
    row("texts and bytes may be read as each other", r#""string""#, r#""bytes""#, None, None),
    row("a boolean is read as nothing else", r#""boolean""#, r#""int""#, MISMATCH, MISMATCH),
    row("a number is no text", r#""int""#, r#""string""#, MISMATCH, MISMATCH),
    row(
        "arrays match when their items do",
        r#"{"type":"array","items":"int"}"#,
        r#"{"type":"array","items":"long"}"#,
        None,
        MISMATCH,
    ),
    row(
        "maps match when their values do",
        r#"{"type":"map","values":"string"}"#,
        r#"{"type":"map","values":"boolean"}"#,
        MISMATCH,
        MISMATCH,
    ),
    row(
        "a map is no array",
        r#"{"type":"map","values":"string"}"#,
        r#"{"type":"array","items":"string"}"#,
        MISMATCH,
        MISMATCH,
    ),
    row(
        "a field that only the reader has takes its default",
        r#"{"type":"record","name":"R","fields":[]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":0}]}"#,
        None,
        None,
    ),
    row(
        "a field that only the reader has and that has no default is an error; one that only the writer has is skipped",
        r#"{"type":"record","name":"R","fields":[]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#,
        NO_DEFAULT,
        None,
    ),
    row(
        "fields are matched by name, not by place",
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"b","type":"string"},{"name":"a","type":"int"}]}"#,
        None,
        None,
    ),
    row(
        "a field's new name needs the old one as an alias, on the reader's side",
        r#"{"type":"record","name":"R","fields":[{"name":"temp","type":"int"}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"temperature","type":"int","aliases":["temp"]}]}"#,
        None,
        NO_DEFAULT,
    ),
    row(
        "the types of fields with the same name must match",
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#,
        MISMATCH,
        MISMATCH,
    ),
    row(
        "records match by their names",
        r#"{"type":"record","name":"R","fields":[]}"#,
        r#"{"type":"record","name":"S","fields":[]}"#,
        NAME,
        NAME,
    ),
    row(
        "a record's new name needs the old one as an alias, on the reader's side",
        r#"{"type":"record","name":"R","fields":[]}"#,
        r#"{"type":"record","name":"S","aliases":["R"],"fields":[]}"#,
        None,
        NAME,
    ),
    row(
        "the namespace does not count",
        r#"{"type":"record","name":"R","namespace":"old","fields":[]}"#,
        r#"{"type":"record","name":"R","namespace":"new","fields":[]}"#,
        None,
        None,
    ),
    row(
        "fixeds match by name and size",
        r#"{"type":"fixed","name":"F","size":4}"#,
        r#"{"type":"fixed","name":"F","size":8}"#,
        Some("FIXED_SIZE_MISMATCH"),
        Some("FIXED_SIZE_MISMATCH"),
    ),
    row(
        "a fixed of another name is another type",
        r#"{"type":"fixed","name":"F","size":4}"#,
        r#"{"type":"fixed","name":"G","size":4}"#,
        NAME,
        NAME,
    ),
    row(
        "a symbol that the reader's enum lacks is an error",
        r#"{"type":"enum","name":"E","symbols":["A"]}"#,
        r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
        None,
        SYMBOLS,
    ),
    row(
        "unless the reader's enum has a default",
        r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
        r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#,
        None,
        None,
    ),
    row(
        "a writer without a union is read by any branch that matches",
        r#""int""#,
        r#"["null","int"]"#,
        None,
        MISMATCH,
    ),
    row("a promotion into a branch counts", r#""int""#, r#"["null","double"]"#, None, MISMATCH),
    row("without such a branch it is an error", r#""string""#, r#"["null","int"]"#, NO_BRANCH, MISMATCH),
    row(
        "every branch of the writer's union must be readable",
        r#"["null","int"]"#,
        r#"["null","int","string"]"#,
        None,
        NO_BRANCH,
    ),
    row("the order of branches does not count", r#"["null","int"]"#, r#"["int","null"]"#, None, None),
    row(
        "decimals match when precision and scale do",
        r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}"#,
        r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":3}"#,
        Some("DECIMAL_MISMATCH"),
        Some("DECIMAL_MISMATCH"),
    ),
    row(
        "other logical types are what they are made of",
        r#"{"type":"long","logicalType":"timestamp-millis"}"#,
        r#""long""#,
        None,
        None,
    ),
    row(
        "a record may hold itself",
        r#"{"type":"record","name":"L","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}"#,
        r#"{"type":"record","name":"L","fields":[{"name":"v","type":"long"},{"name":"next","type":["null","L"]}]}"#,
        None,
        MISMATCH,
    ),
];

#[test]
fn avro_by_the_resolution_rules() {
    check(SchemaType::Avro, ROWS, str::to_owned);
}

#[test]
fn a_refusal_says_where() {
    let old = r#"{"type":"record","name":"R","fields":[{"name":"m","type":{"type":"map","values":["null","int"]}}]}"#;
    let new = old.replace("int", "boolean");
    assert_eq!(
        broken(SchemaType::Avro, Level::Backward, old, &new),
        [("MISSING_UNION_BRANCH".into(), "/fields/m/values/union/1".into())]
    );
}

/// Every schema of the table read as every other, against the verdict of the Avro project's own checker. It does not
/// know the aliases of named types.
#[test]
fn apache_avro_says_the_same() {
    let mut texts: Vec<_> = ROWS.iter().flat_map(|row| [row.old, row.new]).collect();
    texts.retain(|text| !text.contains(r#""aliases":["R"]"#));
    texts.sort_unstable();
    texts.dedup();
    let mut other = Vec::new();
    for writer in &texts {
        let parsed = apache_avro::Schema::parse_str(writer).unwrap();
        for reader in &texts {
            let theirs =
                SchemaCompatibility::can_read(&parsed, &apache_avro::Schema::parse_str(reader).unwrap());
            let ours = broken(SchemaType::Avro, Level::Backward, writer, reader);
            let full = matches!(theirs, Ok(Compatibility::Full)); // not only some of the data
            if full != ours.is_empty() {
                other.push(format!("{writer}\n  as {reader}\n  {ours:?}\n  {theirs:?}"));
            }
        }
    }
    assert!(other.is_empty(), "{}", other.join("\n"));
}
