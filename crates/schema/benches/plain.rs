//! What a schema costs a message of 20 metrics: nanoseconds, the median of many short runs. Beside it what decoding the
//! JSON costs without any.
//!
//! `cargo bench -p penstock-schema --bench plain`

#![allow(clippy::print_stdout)] // a benchmark's figures are its output
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metadata::Memory;
use penstock_schema::{Catalog, Facts, RawRule, Rules, Schema, SchemaType, Schemas, Strictness, Subject};
use record::{Encoding, TenantId, Timestamp};
use wire::payload::{self, Message, Scratch};

const RUNS: usize = 401; // many short ones: on a busy machine most of them are not interrupted
const RUN: Duration = Duration::from_micros(400);
const METRICS: std::ops::Range<usize> = 0..20;

fn main() {
    let catalog = Arc::new(Catalog::open(Arc::new(Memory::new())).unwrap());
    let tenant = TenantId::default_tenant();
    for (subject, schema_type, schema) in [
        ("json", SchemaType::Json, json()),
        ("avro", SchemaType::Avro, avro()),
        ("protobuf", SchemaType::Protobuf, protobuf()),
    ] {
        let schema = Schema { schema_type, schema, references: Vec::new() };
        catalog.register(&tenant, &Subject::parse(subject).unwrap(), schema).unwrap();
    }
    let rule = |subject: &str, mode: Strictness, raw: bool| RawRule {
        subject: subject.into(),
        version: Some(1),
        mode,
        raw,
        ..RawRule::default()
    };
    let under = |rules: &[RawRule]| Schemas::new(Arc::clone(&catalog), Rules::check(rules).unwrap());
    let values: Vec<_> = METRICS.map(|n| format!("\"metric_{n}\":{}.{}", n * 37 % 100, n * 7 % 10)).collect();
    let text = format!("{{\"ts\":1700000000123,\"metrics\":{{{}}}}}", values.join(","));
    let double = |n: usize| ((n * 37 % 100) as f64 + 0.5).to_le_bytes();
    let avro: Vec<u8> = [&[0xf6, 0xeb, 0x80, 0xe3, 0xf9, 0x62][..]]
        .concat()
        .into_iter()
        .chain(METRICS.flat_map(double))
        .collect();
    let tag = |n: usize| {
        let tag = (n + 2) << 3 | 1;
        if tag < 0x80 { vec![tag as u8] } else { vec![tag as u8 | 0x80, (tag >> 7) as u8] }
    };
    let protobuf: Vec<u8> = METRICS.flat_map(|n| [tag(n), double(n).to_vec()].concat()).collect();
    for (name, schemas, encoding, bytes) in [
        ("no rule", under(&[]), Encoding::Json, text.as_bytes()),
        ("JSON, strict", under(&[rule("json", Strictness::Strict, false)]), Encoding::Json, text.as_bytes()),
        (
            "JSON, lenient",
            under(&[rule("json", Strictness::Lenient, false)]),
            Encoding::Json,
            text.as_bytes(),
        ),
        ("Avro to JSON", under(&[rule("avro", Strictness::Strict, true)]), Encoding::Avro, &avro),
        (
            "Protobuf to JSON",
            under(&[rule("protobuf", Strictness::Strict, true)]),
            Encoding::Protobuf,
            &protobuf,
        ),
    ] {
        let facts = Facts { tenant: TenantId::DEFAULT, topic: "devices/d1/telemetry", ..Facts::default() };
        let mut buffer = String::new();
        let ns = median_ns(|| {
            let plain = schemas.view().plain(&facts, encoding, black_box(bytes), &mut buffer);
            black_box(plain.unwrap().payload.len());
        });
        println!("{name:20} {ns:>8.0} ns, {} bytes", bytes.len());
    }
    let mut scratch = Scratch::new();
    let message = Message {
        encoding: Encoding::Json,
        device: Some("d1"),
        metric: None,
        arrived_at: Timestamp::from_nanos(0),
        time_unit: None,
        payload: text.as_bytes(),
    };
    let ns = median_ns(|| {
        black_box(payload::inspect(black_box(&message), &mut scratch)).unwrap();
    });
    println!("{:20} {ns:>8.0} ns, {} bytes", "(decoding the JSON)", text.len());
}

fn json() -> String {
    let metrics: Vec<_> =
        METRICS.map(|n| format!(r#""metric_{n}":{{"type":"number","maximum":1000}}"#)).collect();
    format!(
        r#"{{"type":"object","required":["ts","metrics"],"properties":{{"ts":{{"type":"integer"}},"metrics":{{"type":"object",
        "required":["metric_0"],"additionalProperties":false,"properties":{{{}}}}}}}}}"#,
        metrics.join(",")
    )
}

fn avro() -> String {
    let metrics: Vec<_> = METRICS.map(|n| format!(r#"{{"name":"metric_{n}","type":"double"}}"#)).collect();
    format!(
        r#"{{"type":"record","name":"R","fields":[{{"name":"ts","type":"long"}},{{"name":"metrics","type":
        {{"type":"record","name":"M","fields":[{}]}}}}]}}"#,
        metrics.join(",")
    )
}

fn protobuf() -> String {
    let metrics: Vec<_> = METRICS.map(|n| format!("double metric_{n} = {};", n + 2)).collect();
    format!(r#"syntax = "proto3"; message R {{ int64 ts = 1; {} }}"#, metrics.join(" "))
}

fn median_ns(mut one: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let mut count = 0_u32;
            while start.elapsed() < RUN {
                for _ in 0..16 {
                    one();
                }
                count += 16;
            }
            start.elapsed().as_nanos() as f64 / f64::from(count)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}
