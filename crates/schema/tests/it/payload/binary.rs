//! Avro and Protobuf as readings.

use apache_avro::Schema as AvroSchema;
use apache_avro::types::{Record, Value};
use apache_avro::writer::datum::GenericDatumWriter;
use penstock_schema::SchemaType;
use record::Encoding;

use super::{Desk, plain, raw, readings, rule};

const AVRO: &str = r#"{"type":"record","name":"Reading","fields":[
    {"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"temperature","type":"double"},
    {"name":"count","type":"long"},
    {"name":"ratio","type":"float"},
    {"name":"open","type":["null","boolean"]},
    {"name":"closed","type":["null","boolean"]},
    {"name":"state","type":{"type":"enum","name":"State","symbols":["OFF","ON"]}},
    {"name":"note","type":"string"},
    {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"place","type":{"type":"record","name":"Place","fields":[{"name":"lat","type":"double"},{"name":"lng","type":"double"}]}}
]}"#;

fn avro() -> Vec<u8> {
    let schema = AvroSchema::parse_str(AVRO).unwrap();
    let mut record = Record::new(&schema).unwrap();
    record.put("ts", Value::TimestampMillis(1_700_000_000_123));
    record.put("temperature", -1.5);
    record.put("count", i64::MAX);
    record.put("ratio", 0.25_f32);
    record.put("open", Value::Union(1, Box::new(Value::Boolean(true))));
    record.put("closed", Value::Union(0, Box::new(Value::Null)));
    record.put("state", Value::Enum(1, "ON".into()));
    record.put("note", "a \"quote\",\n{ü");
    record.put("price", Value::Decimal(apache_avro::Decimal::from((-1234_i16).to_be_bytes())));
    let place = [("lat".to_owned(), Value::Double(53.5)), ("lng".to_owned(), Value::Double(10.0))];
    record.put("place", Value::Record(place.to_vec()));
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(record).unwrap()
}

fn framed(id: u32, payload: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], payload].concat()
}

const EXPECTED: [&str; 8] = [
    "d1 temperature 2023-11-14T22:13:20.123000000Z -1.5",
    "d1 count 2023-11-14T22:13:20.123000000Z 9223372036854775807",
    "d1 ratio 2023-11-14T22:13:20.123000000Z 0.25",
    "d1 open 2023-11-14T22:13:20.123000000Z true",
    "d1 state 2023-11-14T22:13:20.123000000Z \"ON\"",
    "d1 note 2023-11-14T22:13:20.123000000Z \"a \\\"quote\\\",\\n{ü\"",
    "d1 price 2023-11-14T22:13:20.123000000Z -12.34",
    "d1 place 2023-11-14T22:13:20.123000000Z 53.5/10",
];

#[test]
fn avro_behind_its_id_or_bare_where_a_rule_says_so() {
    let desk = Desk::new();
    let id = desk.with("pumps", SchemaType::Avro, AVRO);
    let framed = framed(id, &avro());
    assert_eq!(readings(&desk.under(&[]), Encoding::Avro, &framed), EXPECTED);
    assert_eq!(readings(&desk.under(&[rule("pumps")]), Encoding::Avro, &framed), EXPECTED);
    let bare = desk.under(&[raw("pumps", 1)]);
    assert_eq!(readings(&bare, Encoding::Avro, &avro()), EXPECTED);
    assert_eq!(bare.view().encoding(&super::facts(), &avro()), Some(Encoding::Avro));
    assert_eq!(desk.under(&[]).view().encoding(&super::facts(), &framed), Some(Encoding::Avro));
    assert_eq!(desk.under(&[]).view().encoding(&super::facts(), b"{}"), None);
}

#[test]
fn avro_in_the_shapes_of_json() {
    let desk = Desk::new();
    for (n, (schema, bytes, expect)) in [
        // A map of metrics, in two blocks, the second with its length.
        (
            r#"{"type":"record","name":"M","fields":[{"name":"ts","type":"long"},{"name":"metrics","type":{"type":"map","values":"double"}}]}"#,
            [&[2, 2, 2, b'a'][..], &1.5_f64.to_le_bytes(), &[1, 20, 2, b'b'], &2.5_f64.to_le_bytes(), &[0]].concat(),
            r#"{"ts":1,"metrics":{"a":1.5,"b":2.5}}"#,
        ),
        (r#"{"type":"array","items":"int"}"#, vec![4, 1, 2, 0], "[-1,1]"),
        (r#"["null","double"]"#, vec![0], "null"),
        (r#"{"type":"fixed","name":"F","size":2}"#, vec![255, 0], r#""/wA=""#),
        (r#""double""#, f64::NAN.to_le_bytes().to_vec(), "null"),
    ]
    .into_iter()
    .enumerate()
    {
        desk.with(&format!("s{n}"), SchemaType::Avro, schema);
        assert_eq!(plain(&desk.under(&[raw(&format!("s{n}"), 1)]), Encoding::Avro, &bytes).unwrap(), expect);
    }
}

#[test]
fn avro_of_another_schema_is_told_where() {
    let desk = Desk::new();
    desk.with(
        "s",
        SchemaType::Avro,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#,
    );
    let schemas = desk.under(&[raw("s", 1)]);
    for (bytes, path, reason) in [
        (&[10, b'a'][..], "byte 1", "5 bytes are announced and 1 are left"),
        (&[1], "byte 0", "a length of -1"),
        (&[2, 0xff], "byte 0", "not UTF-8"),
        (&[2, b'a', 7], "byte 2", "left over"),
    ] {
        let violation = plain(&schemas, Encoding::Avro, bytes).unwrap_err();
        assert!(violation.path == path && violation.reason.contains(reason), "{violation}");
    }
}

const PROTO: &str = r#"syntax = "proto3"; package pumps;
import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
message Other { string x = 1; message Inner { google.protobuf.Timestamp ts = 1; sint32 level = 2; } }
message Reading {
    google.protobuf.Timestamp ts = 1; double temperature = 2; optional double humidity = 3; uint64 count = 4;
    State state = 5; bool open = 6; string note = 7; google.protobuf.FloatValue ratio = 8; map<string, double> metrics = 9;
    string device_id = 10; uint64 seq = 11;
}
enum State { OFF = 0; ON = 1; }"#;

#[test]
fn protobuf_behind_its_id_and_indexes() {
    let desk = Desk::new();
    let id = desk.with("pumps", SchemaType::Protobuf, PROTO);
    let schemas = desk.under(&[]);
    // Reading { ts { 1700000000 s, 123 ms }, open: true }, indexes [1]; temperature, count and state have their default.
    let time = [0x08, 0x80, 0xe2, 0xcf, 0xaa, 0x06, 0x10, 0xc0, 0xa9, 0xd3, 0x3a];
    let reading = [&[2, 2, 0x0a, time.len() as u8][..], &time, &[0x30, 1]].concat();
    assert_eq!(
        plain(&schemas, Encoding::Protobuf, &framed(id, &reading)).unwrap(),
        r#"{"ts":"2023-11-14T22:13:20.123000000Z","temperature":0.0,"count":0,"state":"OFF","open":true}"#
    );
    assert_eq!(
        readings(&schemas, Encoding::Protobuf, &framed(id, &reading))[0],
        "d1 temperature 2023-11-14T22:13:20.123000000Z 0.0"
    );
    // Other.Inner { level: -1 }, indexes [0, 0]
    let inner = [4, 0, 0, 0x10, 1];
    assert_eq!(plain(&schemas, Encoding::Protobuf, &framed(id, &inner)).unwrap(), r#"{"level":-1}"#);
    // The first message: a single 0.
    assert_eq!(
        plain(&schemas, Encoding::Protobuf, &framed(id, &[0, 0x0a, 1, b'y'])).unwrap(),
        r#"{"x":"y"}"#
    );
    let wrong = plain(&schemas, Encoding::Protobuf, &framed(id, &[2, 14])).unwrap_err();
    assert_eq!(wrong.reason, "its indexes name no message");
}

#[test]
fn protobuf_in_the_shapes_of_json() {
    let desk = Desk::new();
    let text = r#"syntax = "proto3"; import "google/protobuf/struct.proto"; message M { map<string, double> metrics = 1;
        repeated int32 many = 2; oneof value { double number = 3; string text = 4; } bytes blob = 5; google.protobuf.Struct free = 6;
        M inner = 7; fixed64 big = 8; }"#;
    desk.with("s", SchemaType::Protobuf, text);
    let schemas = desk.under(&[raw("s", 1)]);
    let entry = |key: u8, value: f64| [&[0x0a, 12, 0x0a, 1, key, 0x11][..], &value.to_le_bytes()].concat();
    for (bytes, expect) in [
        ([entry(b'a', 1.5), entry(b'b', 2.5)].concat(), r#"{"metrics":{"a":1.5,"b":2.5},"big":0}"#),
        // Packed, and one more by itself.
        (vec![0x12, 3, 1, 0xac, 0x02, 0x10, 5], r#"{"many":[1,300,5],"big":0}"#),
        // Of a choice called value the last counts.
        ([&[0x22, 1, b'x', 0x19][..], &2.5_f64.to_le_bytes()].concat(), r#"{"value":2.5,"big":0}"#),
        (vec![0x2a, 2, 255, 0], r#"{"blob":"/wA=","big":0}"#),
        // free { fields { key: "k", value { string_value: "v" } } }
        (vec![0x32, 10, 0x0a, 8, 0x0a, 1, b'k', 0x12, 3, 0x1a, 1, b'v'], r#"{"free":{"k":"v"},"big":0}"#),
        // A message in two parts is one.
        (vec![0x3a, 2, 0x10, 1, 0x3a, 2, 0x10, 2], r#"{"inner":{"many":[1,2],"big":0},"big":0}"#),
        ([&[0x41][..], &u64::MAX.to_le_bytes()].concat(), r#"{"big":18446744073709551615}"#),
    ] {
        assert_eq!(plain(&schemas, Encoding::Protobuf, &bytes).unwrap(), expect, "{bytes:?}");
    }
}

#[test]
fn what_the_schema_does_not_have_is_refused_strictly_and_skipped_leniently() {
    let desk = Desk::new();
    desk.with("s", SchemaType::Protobuf, r#"syntax = "proto2"; message M { required double value = 1; }"#);
    let strict = desk.under(&[raw("s", 1)]);
    let lenient =
        desk.under(&[penstock_schema::RawRule { raw: true, version: Some(1), ..super::lenient("s") }]);
    let good = [&[0x09][..], &1.5_f64.to_le_bytes()].concat();
    let further = [&good[..], &[0x48, 1]].concat();
    assert_eq!(plain(&strict, Encoding::Protobuf, &good).unwrap(), r#"{"value":1.5}"#);
    let violation = plain(&strict, Encoding::Protobuf, &further).unwrap_err();
    assert_eq!(
        (violation.path.as_str(), violation.reason.as_str()),
        ("byte 9", "field 9 is not in the schema's M")
    );
    assert_eq!(plain(&lenient, Encoding::Protobuf, &further).unwrap(), r#"{"value":1.5}"#);
    for schemas in [&strict, &lenient] {
        let reason = plain(schemas, Encoding::Protobuf, b"").unwrap_err().reason;
        assert_eq!(reason, "the required field \"value\" is missing");
    }
}

#[test]
fn without_a_schema_binary_is_refused() {
    let reason = plain(&Desk::new().under(&[]), Encoding::Avro, &[1, 2, 3]).unwrap_err().reason;
    assert!(reason.contains("neither the topic's rules nor the message"), "{reason}");
}
