//! What it costs to look at a message: nanoseconds per message, the median of many short runs.
//!
//! `cargo bench -p penstock-wire --bench payload`

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

extern crate penstock_wire as wire;

use std::hint::black_box;
use std::time::{Duration, Instant};

use record::{Encoding, Timestamp};
use wire::payload::{self, Message, Scratch};
use wire::template::Templates;

const RUNS: usize = 401; // many short ones: on a busy machine most of them are not interrupted
const RUN: Duration = Duration::from_micros(400);

fn main() {
    let many = |from: usize| {
        (from..from + 20)
            .map(|n| format!("\"metric_{n}\":{}.{}", n * 37 % 100, n * 7 % 10))
            .collect::<Vec<_>>()
            .join(",")
    };
    let nested = format!("{{\"ts\":1700000000123,\"metrics\":{{{}}}}}", many(0));
    let flat = format!("{{\"ts\":1700000000123,{}}}", many(0));
    let array: Vec<String> = (0..1000)
        .map(|n| format!("{{\"device_id\":\"device-{}\",\"metric\":\"temperature\",\"value\":{}.5,\"ts\":170000{n:04}}}", n % 50, n % 30))
        .collect();
    let line =
        "cpu,host=server01,cpu=cpu0 usage_user=12.5,usage_system=3.25,usage_idle=84.25 1700000000000000000";
    let lines = [line; 100].join("\n");
    let single = r#"{"device_id":"d1","metric":"temp","value":21.5,"ts":1700000000}"#;
    let fixed = [
        ("one reading, single", Encoding::Json, Some("d1"), None, single),
        ("one reading, device only in payload", Encoding::Json, None, None, single),
        (
            "one reading, RFC 3339",
            Encoding::Json,
            Some("d1"),
            None,
            r#"{"metric":"temp","value":21.5,"ts":"2023-11-14T22:13:20.123Z"}"#,
        ),
        (
            "one reading, flat",
            Encoding::Json,
            Some("d1"),
            None,
            r#"{"temperature":21.5,"humidity":40,"ts":1700000000123}"#,
        ),
        ("bare number", Encoding::Json, Some("d1"), Some("speed"), "21.5"),
        ("20 metrics, nested", Encoding::Json, Some("d1"), None, &nested),
        ("20 metrics, flat", Encoding::Json, Some("d1"), None, &flat),
        ("array of 1000 objects, 50 devices", Encoding::Json, None, None, &format!("[{}]", array.join(","))),
        ("NDJSON of 1000 objects, 50 devices", Encoding::Ndjson, None, None, &array.join("\n")),
        ("line protocol, 1 line of 3 fields", Encoding::Influx, None, None, line),
        ("line protocol, 100 lines of 3 fields", Encoding::Influx, None, None, &lines),
        ("refused: cut off", Encoding::Json, Some("d1"), None, &single[..50]),
    ];
    println!("{:<40} {:>8} {:>10} {:>10} {:>8}", "message", "bytes", "ns", "ns/reading", "MB/s");
    let mut scratch = Scratch::new();
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, encoding, device, metric, text) in fixed {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let message = Message {
            encoding,
            device,
            metric,
            arrived_at: Timestamp::from_nanos(1_700_000_100_000_000_000),
            time_unit: None,
            payload: text.as_bytes(),
        };
        let readings = payload::inspect(&message, &mut scratch).map_or(1, |summary| summary.readings);
        let nanos = median(|| {
            black_box(payload::inspect(black_box(&message), &mut scratch)).ok();
        });
        let per_reading = nanos / readings as f64;
        let speed = text.len() as f64 / nanos * 1000.0;
        println!("{name:<40} {:>8} {nanos:>10.1} {per_reading:>10.1} {speed:>8.0}", text.len());
    }
    if only.is_some() {
        return;
    }
    let templates = Templates::shipped();
    for topic in ["devices/device-17/telemetry", "acme/hamburg/pump/p7/vibration", "other/topic"] {
        let nanos = median(|| {
            black_box(templates.matching(black_box(topic)));
        });
        println!("{:<40} {:>8} {nanos:>10.1}", format!("topic {topic}"), topic.len());
    }
}

/// Nanoseconds of one call, the median over runs.
fn median(mut call: impl FnMut()) -> f64 {
    let mut calls = 1_u32;
    let mut times = Vec::with_capacity(RUNS);
    while times.len() < RUNS {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        let taken = start.elapsed();
        if taken < RUN / 2 && calls < 1 << 28 {
            calls *= 2; // still finding out how many fill a run
        } else {
            times.push(taken.as_nanos() as f64 / f64::from(calls));
        }
    }
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}
