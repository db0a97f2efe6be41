//! The decoders against generated messages and against `serde_json`.

use proptest::prelude::*;
use record::{Encoding, Reading, Readings, TimeOrigin, Value};
use wire::payload::{self, Problem, Scratch};

use super::show::{ARRIVED_AT, arrival_of, message};

/// A JSON string that stands for `text`; `style` picks which characters are escaped and how.
fn quoted(text: &str, style: u32) -> String {
    let mut out = String::from("\"");
    for (n, c) in text.chars().enumerate() {
        let escaped = (style >> (n % 32)) & 1 == 1;
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' if escaped => out.push_str("\\n"),
            '/' if escaped => out.push_str("\\/"),
            c if escaped || (c as u32) < 0x20 => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let hex =
                        if style & 1 == 0 { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") };
                    out.push_str(&hex);
                }
            }
            c => out.push(c),
        }
    }
    out + "\""
}

fn value_text(value: &Value, style: u32) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        Value::Float(x) if style & 1 == 0 => format!("{x:?}"),
        Value::Float(x) => format!("{x:e}").replace('e', ".0e").replacen(
            ".0e",
            "e",
            usize::from(format!("{x:e}").contains('.')),
        ),
        Value::Bool(x) => x.to_string(),
        Value::Text(text) => quoted(text, style),
        Value::Location { lat, lng } if style & 2 == 0 => format!("{{\"lat\":{lat:?},\"lng\":{lng:?}}}"),
        Value::Location { lat, lng } => format!("{{ \"longitude\" : {lng:?}, \"latitude\" : {lat:?} }}"),
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Int),
        prop::num::f64::NORMAL.prop_map(Value::Float),
        prop_oneof![Just(0.0), Just(-0.0), Just(f64::MIN_POSITIVE / 8.0), Just(f64::MAX)]
            .prop_map(Value::Float),
        (-10_000_i32..10_000).prop_map(|n| Value::Float(f64::from(n) / 100.0)),
        any::<bool>().prop_map(Value::Bool),
        any::<String>().prop_map(Value::Text),
        (-90.0..=90.0, -180.0..=180.0).prop_map(|(lat, lng)| Value::Location { lat, lng }),
    ]
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

/// An object's members in an order that `style` picks, with its kind of white space.
fn object(mut members: Vec<(String, String)>, style: u32) -> String {
    let turn = style as usize % members.len().max(1);
    members.rotate_left(turn);
    let space = ["", " ", "\t", "  ", "\r"][style as usize % 5];
    let members: Vec<String> = members
        .into_iter()
        .map(|(key, value)| {
            format!("{space}{}{space}:{space}{value}{space}", quoted(&key, style >> 3 & style))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

#[derive(Debug, Clone)]
struct Sent {
    device: usize,
    time: Option<i64>,
    seq: Option<i64>,
    /// A value per metric; metrics are numbered.
    values: Vec<Value>,
    style: u32,
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let time = prop::option::of(100_000_000_000_000_000_i64..i64::MAX);
    let seq = prop::option::of(0..=i64::MAX);
    (0..5_usize, time, seq, prop::collection::vec(any_value(), 1..6), any::<u32>())
        .prop_map(|(device, time, seq, values, style)| Sent { device, time, seq, values, style })
}

fn time_text(nanos: i64, style: u32) -> String {
    match style % 4 {
        0 => nanos.to_string(),
        1 => format!("\"{nanos}\""),
        2 => format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000),
        _ => format!("\"{}\"", record::Timestamp::from_nanos(nanos).to_rfc3339()),
    }
}

fn element_text(sent: &Sent) -> String {
    let style = sent.style;
    let mut members = vec![(
        ["device_id", "device", "deviceId", "id"][style as usize % 4].to_owned(),
        format!("\"device-{}\"", sent.device),
    )];
    if let Some(time) = sent.time {
        members
            .push((["ts", "timestamp", "time"][style as usize % 3].to_owned(), time_text(time, style >> 7)));
    }
    if let Some(seq) = sent.seq {
        members.push((["seq", "sequence", "seq_no"][style as usize / 5 % 3].to_owned(), seq.to_string()));
    }
    if let [value] = &sent.values[..] {
        members.push(("metric".into(), "\"metric 0\"".into()));
        members.push(("value".into(), value_text(value, style >> 9)));
    } else {
        let metrics = sent.values.iter().enumerate();
        let metrics =
            metrics.map(|(n, value)| (format!("metric {n}"), value_text(value, style >> 11))).collect();
        members.push(("metrics".into(), object(metrics, style >> 13)));
    }
    members.push(("extra".into(), "[{\"x\":null}]".into()));
    object(members, style)
}

fn check_decoded(sent: &[Sent], encoding: Encoding, text: &str) -> Result<(), TestCaseError> {
    let mut readings = Readings::new();
    let outcome =
        payload::decode(&message("-/-", encoding, text.as_bytes()), &mut readings, &mut Scratch::new());
    prop_assert!(outcome.is_ok(), "{outcome:?} for {text}");
    let mut rows = readings.iter();
    for sent in sent {
        // White space and order may turn the members round, but each has its name.
        let mut values: Vec<Option<Value>> = vec![None; sent.values.len()];
        for _ in &sent.values {
            let row: Reading = rows.next().expect("as many rows as values").to_reading();
            prop_assert_eq!(row.device.as_str(), format!("device-{}", sent.device));
            prop_assert_eq!(row.when.arrived_at, arrival_of(row.when.origin));
            prop_assert_eq!(row.when.seq, sent.seq.map_or(0, |seq| seq as u64 + 1));
            match sent.time {
                Some(time) => {
                    prop_assert_eq!((row.when.time.nanos(), row.when.origin), (time, TimeOrigin::Device))
                }
                None => prop_assert_eq!((row.when.time, row.when.origin), (ARRIVED_AT, TimeOrigin::Server)),
            }
            let number: usize = row.metric.as_str().strip_prefix("metric ").unwrap().parse().unwrap();
            prop_assert!(values[number].replace(row.value).is_none());
        }
        for (got, sent) in values.iter().zip(&sent.values) {
            prop_assert!(equal(got.as_ref().unwrap(), sent), "{got:?} for {sent:?} in {text}");
        }
    }
    prop_assert!(rows.next().is_none());
    Ok(())
}

/// Cuts, doubles, changes and inserts bytes where structure hangs on them.
fn mutate(text: &[u8], changes: &[(u16, u8)]) -> Vec<u8> {
    const BYTES: &[u8] =
        b"{}[]:,\"\\0123456789.-+eEtfnulrsa \t\n\r\x00\x1f\x7f\xc3\xa9\xed\xa0\x80\xff/dDc89";
    let mut text = text.to_vec();
    for &(place, what) in changes {
        if text.is_empty() {
            return text;
        }
        let place = usize::from(place) % text.len();
        let byte = BYTES[usize::from(what) % BYTES.len()];
        match what % 5 {
            0 => text.truncate(place),
            1 => drop(text.remove(place)),
            2 => text[place] = byte,
            _ => text.insert(place, byte),
        }
    }
    text
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| format!("{x:?}")),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        (any::<String>(), any::<u32>()).prop_map(|(text, style)| quoted(&text, style)),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
            (prop::collection::vec(("[a-c]|ts|seq|value|metric|metrics|lat|lng", inner), 0..5), any::<u32>())
                .prop_map(|(members, style)| object(members, style)),
        ]
    })
}

/// Whether our decoder found the text to be JSON.
fn is_json_to_us(text: &[u8], topic: &str) -> bool {
    match payload::inspect(&message(topic, Encoding::Json, text), &mut Scratch::new()) {
        Err(reason) => !matches!(
            reason.problem,
            Problem::Json(_) | Problem::TooDeep | Problem::Utf8 | Problem::ByteOrderMark | Problem::Empty
        ),
        Ok(_) => true,
    }
}

/// `None` where it stops reading at a number that is too large: for us that is one bad reading, not a broken text.
fn is_json_to_serde(text: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(_) => Some(false),
    }
}

/// A member of an object: names and values of which most come again, and some that mean something else or must be escaped.
fn any_member() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        4 => "temperature|humidity|motor\\.speed",
        2 => "ts|time|seq|sequence|seq_no|id|value|metric|metrics|lat|lng",
        1 => Just("größe".to_owned()),
        1 => Just("a\"b".to_owned()),
        1 => Just("a\\b".to_owned()),
        1 => Just("temperature ".to_owned()),
        1 => r"temperature\{\}|temperature\{room=a\}",
    ];
    let value = prop_oneof![
        4 => "-?[0-9]{1,4}(\\.[0-9]{1,3})?",
        1 => "1e[0-9]{1,3}|-0|0\\.5e-3|1234567890123456789012|0\\.12345678901234567890",
        1 => r#"null|true|"x"|\[1\]|\{"lat":1,"lng":2\}|\{\}|01|1\.|-"#,
    ];
    (name, value)
}

/// A message in JSON or line protocol, mostly whole.
fn any_telemetry() -> impl Strategy<Value = (Encoding, String)> {
    (prop::collection::vec(any_member(), 1..6), 0..4_u32, 0..8_u32).prop_map(|(members, shape, style)| {
        if shape == 3 {
            let field = |(key, value): &(String, String)| {
                let key = if style == 1 { key.clone() } else { key.replace([' ', ',', '='], "\\ ") };
                format!("{key}={value}{}", if style == 2 { "i" } else { "" })
            };
            let fields: Vec<String> = members.iter().map(field).collect();
            let tags = ["", ",room=a", ",device=d"][style as usize % 3];
            return (Encoding::Influx, format!("climate{tags} {} 1700000000000000000", fields.join(",")));
        }
        let inner = object(members, style);
        match shape {
            0 => (Encoding::Json, inner),
            1 => (Encoding::Json, format!("{{\"ts\":1700000000,\"metrics\":{inner}}}")),
            _ => (Encoding::Json, format!("[{inner},{{\"values\":{inner}}}]")),
        }
    })
}

/// What comes of a message, all of it, as text.
fn read_with(scratch: &mut Scratch, message: &payload::Message<'_>) -> String {
    let outcome = payload::inspect(message, scratch);
    let readings: Vec<Reading> = scratch.readings().iter().map(|reading| reading.to_reading()).collect();
    format!("{outcome:?} {:?} {readings:?}", scratch.rejected())
}

/// After the first message of each, the second has what comes next in the table of metrics, and it means something else there.
#[test]
fn what_is_expected_and_means_something_else_is_read_as_ever() {
    let keys =
        ["ts", "timestamp", "time", "device_id", "deviceId", "device", "id", "seq", "sequence", "seq_no"];
    let others = ["metric", "value", "metrics", "values"];
    let json = keys.into_iter().chain(others).map(|key| {
        let nested = format!(r#"{{"metrics":{{"a":1,"{key}":2,"b":3}}}}"#);
        (Encoding::Json, nested, format!(r#"{{"a":1,"{key}":2,"b":3}}"#))
    });
    let of = |encoding, first: &str, second: &str| (encoding, first.to_owned(), second.to_owned());
    let more = [
        of(Encoding::Json, r#"{"metrics":{"a":1,"x\"y":2}}"#, r#"{"metrics":{"a":1,"x"y":2}}"#),
        of(Encoding::Json, r#"{"metrics":{"a":1,"x\\y":2}}"#, r#"{"metrics":{"a":1,"x\y":2}}"#),
        of(Encoding::Json, r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2,"a":3}"#),
        of(Encoding::Json, r#"{"a":1,"b":2}"#, r#"{"a":1,"b":01}"#),
        of(Encoding::Json, r#"{"a":1,"b":2}"#, r#"{"a":1,"b":1.5e400}"#),
        of(Encoding::Influx, r"m,device=d a=1,b\,c=2", "m,device=d a=1,b,c=2"),
        of(Encoding::Influx, r"m,device=d a=1,b\ c=2", "m,device=d a=1,b c=2"),
        of(Encoding::Influx, "m,device=d a=1,b{}=2", "m,device=d a=1,b=2"),
        of(Encoding::Influx, "m,device=d,x=y a=1,b=2", "m,device=d a=1,b=2"),
        of(Encoding::Influx, "m,device=d a=1,b=2", "m,device=d,x=y a=1,b=2"),
        of(Encoding::Influx, "m,device=d a=1,value=2", "m,device=d a=1,value=2i"),
        of(Encoding::Influx, "m,device=d a=1,b=2", "m,device=d a=1,b=2,a=3"),
        of(Encoding::Influx, "m,device=d a=1,b=2", "m,device=d a=1,b=2u,c=t"),
        of(Encoding::Influx, "m,device=d a=1,b=2", "m,device=d a=1,b=2x"),
    ];
    let mixed = [
        (Encoding::Json, r#"{"metrics":{"m.a":1,"m.value":2}}"#, Encoding::Influx, "m,device=d a=1,value=2"),
        (Encoding::Json, r#"{"metrics":{"m.a":1,"m.":2}}"#, Encoding::Influx, "m,device=d a=1,=2"),
    ];
    let same = json.chain(more).map(|(encoding, first, second)| (encoding, first, encoding, second));
    let mixed = mixed
        .map(|(of_first, first, encoding, second)| (of_first, first.to_owned(), encoding, second.to_owned()));
    for (of_first, first, encoding, second) in same.chain(mixed) {
        for topic in ["d/-", "-/-", "d/m"] {
            let mut kept = Scratch::new();
            let _ = payload::inspect(&message("d/-", of_first, first.as_bytes()), &mut kept);
            let second = message(topic, encoding, second.as_bytes());
            assert_eq!(
                read_with(&mut kept, &second),
                read_with(&mut Scratch::new(), &second),
                "{topic} after {first}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn what_was_sent_is_read_in_every_shape(sent in prop::collection::vec(any_sent(), 1..6)) {
        let texts: Vec<String> = sent.iter().map(element_text).collect();
        check_decoded(&sent[..1], Encoding::Json, &texts[0])?;
        check_decoded(&sent, Encoding::Json, &format!(" [{} ]\n", texts.join(" ,\n")))?;
        let lines = texts.join("\n");
        check_decoded(&sent, Encoding::Ndjson, &lines)?;
        let kind = if sent.len() > 1 { Encoding::Ndjson } else { Encoding::Json };
        prop_assert_eq!(payload::detect_json(lines.as_bytes()), kind);
        prop_assert_eq!(payload::detect_json(format!("[{}]", texts.join("\n,")).as_bytes()), Encoding::Json);
        prop_assert_eq!(payload::detect_json(b"{\"a\":{\n\"lat\":1}\n,\"b\":{}\n}\n"), Encoding::Json);
    }

    /// A gateway keeps its table of metrics from one message to the next, and what comes in the same order is found at once.
    #[test]
    fn what_was_read_before_changes_nothing(
        messages in prop::collection::vec((any_telemetry(), "d/-|-/-|d/m"), 1..8),
    ) {
        let mut kept = Scratch::new();
        for ((encoding, text), topic) in &messages {
            let message = message(topic, *encoding, text.as_bytes());
            prop_assert_eq!(read_with(&mut kept, &message), read_with(&mut Scratch::new(), &message), "{}", text);
        }
    }

    #[test]
    fn elements_cut_a_message_into_messages(sent in prop::collection::vec(any_sent(), 1..6)) {
        let texts: Vec<String> = sent.iter().map(element_text).collect();
        let text = format!("[ {} ]", texts.join(" , "));
        let mut scratch = Scratch::new();
        payload::inspect(&message("-/-", Encoding::Json, text.as_bytes()), &mut scratch).unwrap();
        let mut whole = scratch.readings().iter();
        for (n, element) in scratch.elements().iter().enumerate() {
            prop_assert_eq!(&text[element.range.clone()], &texts[n]);
            prop_assert_eq!(
                scratch.readings().device_name(element.device.unwrap()),
                format!("device-{}", sent[n].device)
            );
            let mut part = Readings::new();
            let piece = &text.as_bytes()[element.range.clone()];
            payload::decode(&message("-/-", Encoding::Json, piece), &mut part, &mut Scratch::new()).unwrap();
            for reading in part.iter() {
                prop_assert_eq!(reading.to_reading(), whole.next().unwrap().to_reading());
            }
        }
        prop_assert!(whole.next().is_none());
    }

    #[test]
    fn a_number_is_read_exactly(text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?") {
        let mut scratch = Scratch::new();
        let outcome = payload::inspect(&message("d/n", Encoding::Json, text.as_bytes()), &mut scratch);
        let value = outcome.ok().map(|_| scratch.readings().get(0).unwrap().value.to_value());
        let expect = if text.contains(['.', 'e', 'E']) || text == "-0" {
            Some(text.parse::<f64>().unwrap()).filter(|x| x.is_finite()).map(Value::Float)
        } else {
            text.parse::<i64>().ok().map(Value::Int)
        };
        let same = match (&value, &expect) {
            (Some(value), Some(expect)) => equal(value, expect),
            (None, None) => true,
            _ => false,
        };
        prop_assert!(same, "{value:?}, expected {expect:?}");
    }

    #[test]
    fn what_is_json_is_what_serde_says(json in any_json(), changes in prop::collection::vec(any::<(u16, u8)>(), 0..4)) {
        let text = mutate(json.as_bytes(), &changes);
        if let Some(expect) = is_json_to_serde(&text) {
            for topic in ["d/-", "d/m", "-/-"] {
                prop_assert_eq!(is_json_to_us(&text, topic), expect, "{:?} on {}", String::from_utf8_lossy(&text), topic);
            }
        }
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), changes in prop::collection::vec(any::<(u16, u8)>(), 0..60)) {
        let line = mutate(b"cpu,host=a\\ b,c=d u=1.5,i=2i,s=\"x\\\"y\",b=t 1700000000\nmem,device_id=e used=3u\n", &changes);
        for text in [&bytes, &line] {
            for encoding in [Encoding::Json, Encoding::Ndjson, Encoding::Influx, Encoding::Opaque] {
                for topic in ["d/-", "d/m", "-/-", "-/m"] {
                    let _ = super::show::decoded(topic, encoding, text);
                }
            }
        }
    }
}
