//! Bytes that nobody wrote with the schema: refused or read, never a panic, never more memory than the limits say.

use penstock_schema::{SchemaType, Schemas};
use proptest::prelude::*;
use record::Encoding;

use super::{Desk, facts, raw, rule};

const AVRO: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"a","type":{"type":"array","items":["null","long","string","R"]}},
    {"name":"m","type":{"type":"map","values":{"type":"enum","name":"E","symbols":["X"]}}},
    {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":30,"scale":3}},
    {"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#;
const NOTHING: &str = r#"{"type":"array","items":"null"}"#;
const EMPTY: &str = r#"{"type":"array","items":{"type":"record","name":"N","fields":[]}}"#;
const CIRCLE: &str = r#"{"type":"record","name":"C","fields":[{"name":"c","type":"C"}]}"#;
const PROTO: &str = r#"syntax = "proto3"; import "google/protobuf/struct.proto"; import "google/protobuf/timestamp.proto";
    message M { repeated M inner = 1; map<string, M> named = 2; repeated bool many = 3; string text = 4; google.protobuf.Value free = 5;
    google.protobuf.Timestamp at = 6; double a = 7; double b = 8; double c = 9; E e = 10; } enum E { Z = 0; }"#;

/// Above this no text grows, whatever the payload says.
const CEILING: usize = 33 << 20;

fn try_all(schemas: &[(Encoding, Schemas)], payload: &[u8]) {
    let mut buffer = String::new();
    for (encoding, schemas) in schemas {
        let _ = schemas.view().plain(&facts(), *encoding, payload, &mut buffer);
        assert!(buffer.len() <= (64 * payload.len() + (80 << 10)).min(CEILING), "{} bytes", buffer.len());
    }
}

fn all() -> Vec<(Encoding, Schemas)> {
    let desk = Desk::new();
    let mut all = Vec::new();
    for (n, text) in [AVRO, NOTHING, EMPTY, CIRCLE].iter().enumerate() {
        desk.with(&format!("a{n}"), SchemaType::Avro, text);
        all.push((Encoding::Avro, desk.under(&[raw(&format!("a{n}"), 1)])));
    }
    desk.with("p", SchemaType::Protobuf, PROTO);
    all.push((Encoding::Protobuf, desk.under(&[raw("p", 1)])));
    all.push((Encoding::Protobuf, desk.under(&[rule("p")])));
    all
}

#[test]
fn few_bytes_that_announce_much() {
    let schemas = all();
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for payload in [&many[..], &least, &[least, many].concat(), &[0x80; 20], &[]] {
        try_all(&schemas, payload);
    }
    // A message in a message in a message.
    let mut nested = Vec::new();
    for _ in 0..60 {
        let length = nested.len() as u8;
        nested.splice(0..0, [0x0a, length]);
    }
    try_all(&schemas, &nested);
    // Empty messages, each of which would write down all its defaults.
    try_all(&schemas, &[0x0a, 0].repeat(100_000));
    try_all(&schemas, &[0x1a, 0].repeat(100_000));
}

#[test]
fn json_schemas_that_lead_back_to_themselves_end() {
    for text in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
        r##"{"anyOf":[{"$ref":"#"}]}"##,
        r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##,
        r##"{"properties":{"x":{"$ref":"#"}},"additionalProperties":{"$ref":"#"}}"##,
    ] {
        let desk = Desk::new();
        desk.with("s", SchemaType::Json, text);
        let nested = format!("{}1{}", r#"{"x":"#.repeat(100), "}".repeat(100));
        for rule in [rule("s"), super::lenient("s")] {
            let mut buffer = String::new();
            let _ =
                desk.under(&[rule]).view().plain(&facts(), Encoding::Json, nested.as_bytes(), &mut buffer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        thread_local! { static ALL: Vec<(Encoding, Schemas)> = all(); }
        ALL.with(|schemas| try_all(schemas, &payload));
    }

    #[test]
    fn random_small_numbers(payload in proptest::collection::vec(0_u8..64, 0..200)) {
        thread_local! { static ALL: Vec<(Encoding, Schemas)> = all(); }
        ALL.with(|schemas| try_all(schemas, &payload));
    }
}
