//! JSON payloads (R1.7): every shape, every refusal.

use super::show::{decoded, json};

#[test]
fn every_shape_is_read() {
    for (topic, payload, expect) in [
        // (device/metric of the topic, payload, readings)
        (
            "-/-",
            r#"{"device_id":"d1","metric":"t","value":21.5,"ts":1700000000}"#,
            "d1 t 21.5 @1700000000.000000000",
        ),
        (
            "-/-",
            r#"{"value":true,"ts":"2023-11-14T22:13:20.5Z","metric":"on","device":"d1"}"#,
            "d1 on true @1700000000.500000000",
        ),
        (
            "-/-",
            r#" { "id" : "d1" , "time" : 1700000000123 , "metrics" : { "a" : 1 , "b" : -2e0 } } "#,
            "d1 a 1i @1700000000.123000000; d1 b -2 @1700000000.123000000",
        ),
        (
            "d1/-",
            r#"{"ts":1700000000,"metrics":{"a":1,"b":"x"}}"#,
            "d1 a 1i @1700000000.000000000; d1 b \"x\" @1700000000.000000000",
        ),
        ("d1/-", r#"{"values":{"a":1},"timestamp":1700000000.123}"#, "d1 a 1i @1700000000.123000000"),
        (
            "d1/-",
            r#"{"temperature":21.5,"humidity":40}"#,
            "d1 temperature 21.5 @server; d1 humidity 40i @server",
        ),
        ("d1/-", r#"{"temperature":21.5,"ts":null}"#, "d1 temperature 21.5 @server"),
        ("d1/-", r#"{"value":21.5,"unit":"C"}"#, "d1 value 21.5 @server; d1 unit \"C\" @server"),
        ("d1/-", r#"{"unit":null,"value":21.5,"x":1,"metric":"t"}"#, "d1 t 21.5 @server"),
        ("d1/-", r#"{"unit":null,"seq":4,"metrics":{"seq":21.5},"fw":"1.2"}"#, "d1 seq 21.5 @server #4"),
        // Sequence numbers.
        (
            "d1/-",
            r#"{"a":1,"seq":0,"ts":1700000000,"b":2}"#,
            "d1 a 1i @1700000000.000000000 #0; d1 b 2i @1700000000.000000000 #0",
        ),
        ("-/-", r#"{"device_id":"d1","seq_no":17,"metric":"t","value":1}"#, "d1 t 1i @server #17"),
        (
            "d1/-",
            r#"{"metrics":{"a":1},"sequence":9223372036854775807}"#,
            "d1 a 1i @server #9223372036854775807",
        ),
        ("d1/speed", r#"{"value":3,"seq":1}"#, "d1 speed 3i @server #1"),
        ("d1/pos", r#"{"seq":7,"lat":53.5,"lng":10}"#, "d1 pos (53.5,10) @server #7"),
        ("d1/-", r#"{"a":1,"seq":null}"#, "d1 a 1i @server"),
        (
            "-/-",
            r#"[{"device_id":"a","metric":"t","value":1,"seq":5},{"device_id":"a","metric":"t","value":1}]"#,
            "a t 1i @server #5; a t 1i @server",
        ),
        ("d1/-", r#"{"device_id":"d1","metric":"t","value":1}"#, "d1 t 1i @server"),
        ("-/-", r#"{"device_id":17,"metric":"t","value":1}"#, "17 t 1i @server"),
        (
            "-/-",
            r#"[{"device_id":"a","metric":"t","value":1},{"device_id":"b","metrics":{"t":2}}]"#,
            "a t 1i @server; b t 2i @server",
        ),
        ("d1/speed", "21.5", "d1 speed 21.5 @server"),
        ("d1/speed", " \"fast\"\n", "d1 speed \"fast\" @server"),
        ("d1/on", "false", "d1 on false @server"),
        ("d1/speed", r#"{"value":3,"unit":"m/s","ts":1700000000}"#, "d1 speed 3i @1700000000.000000000"),
        ("d1/accel", r#"{"x":1,"y":2}"#, "d1 accel.x 1i @server; d1 accel.y 2i @server"),
        ("d1/accel", r#"{"metrics":{"x":1}}"#, "d1 accel.x 1i @server"),
        ("d1/speed", r#"{"metric":"speed","value":3}"#, "d1 speed 3i @server"),
        ("-/speed", r#"{"device_id":"d1","value":3}"#, "d1 speed 3i @server"),
        ("d1/pos", r#"{"lat":53.5,"lng":10}"#, "d1 pos (53.5,10) @server"),
        (
            "d1/pos",
            r#"{"ts":1700000000,"longitude":10,"latitude":53.5}"#,
            "d1 pos (53.5,10) @1700000000.000000000",
        ),
        ("d1/-", r#"{"pos":{"lat":-90,"lon":180.0}}"#, "d1 pos (-90,180) @server"),
        ("-/-", r#"{"device_id":"d1","metric":"pos","value":{"lat":1,"lng":2}}"#, "d1 pos (1,2) @server"),
        // Numbers keep their type.
        ("d/n", "9007199254740993", "d n 9007199254740993i @server"),
        ("d/n", "9223372036854775807", "d n 9223372036854775807i @server"),
        ("d/n", "-9223372036854775808", "d n -9223372036854775808i @server"),
        ("d/n", "-0.0", "d n -0 @server"),
        ("d/n", "-0", "d n -0 @server"),
        ("d/n", "0", "d n 0i @server"),
        ("d/n", "1.0", "d n 1 @server"),
        ("d/n", "1E2", "d n 100 @server"),
        ("d/n", "9007199254740993.0", "d n 9007199254740992 @server"),
        ("d/n", "0.1", "d n 0.1 @server"),
        ("d/n", "123456789012345678901234567890.5", "d n 123456789012345680000000000000 @server"),
        ("d/n", "1e-400", "d n 0 @server"),
        // Escapes.
        (
            "d/n",
            r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#,
            "d n \"a\\\"\\\\/\\u{8}\\u{c}\\n\\r\\té😀z\" @server",
        ),
        ("-/-", r#"{"\u0064evice_id":"d1","m\u0065tric":"t\u0065mp","v\u0061lue":1}"#, "d1 temp 1i @server"),
    ] {
        assert_eq!(json(topic, payload), expect, "{topic} {payload}");
    }
}

const SEQ_AT_13: &str = "byte 13: the sequence number must be a whole number from 0 to 9223372036854775807";

#[test]
fn a_refusal_says_what_and_where() {
    for (topic, payload, expect) in [
        ("d/-", "", "byte 0: the payload is empty"),
        ("d/-", " \n", "byte 0: the payload is empty"),
        ("d/-", "[]", "byte 0: there is no reading in it"),
        ("d/-", "{}", "byte 0: there is no reading in it"),
        ("d/-", r#"{"metrics":{}}"#, "byte 0: there is no reading in it"),
        ("d/-", "\u{feff}{}", "byte 0: the payload begins with a byte order mark: send plain UTF-8"),
        (
            "d/m",
            "hello",
            "byte 0: not JSON: expected a value: a text stands in double quotes, and NaN and Infinity are no JSON",
        ),
        (
            "d/m",
            "NaN",
            "byte 0: not JSON: expected a value: a text stands in double quotes, and NaN and Infinity are no JSON",
        ),
        (
            "d/-",
            r#"{"a":Infinity}"#,
            "byte 5: not JSON: expected a value: a text stands in double quotes, and NaN and Infinity are no JSON",
        ),
        ("d/-", r#"{"a":1"#, "byte 6: not JSON: the text ends too early"),
        ("d/-", r#"{"a":1,}"#, "byte 7: not JSON: expected a key in double quotes"),
        ("d/-", r#"{"a" 1}"#, "byte 5: not JSON: expected a colon after the key"),
        ("d/-", r#"{"a":1 "b":2}"#, "byte 7: not JSON: expected a comma or the end of the object or array"),
        ("d/-", r#"{"a":01}"#, "byte 5: not JSON: a number cannot begin with 0 and go on"),
        ("d/-", r#"{"a":1.}"#, "byte 7: not JSON: a number needs a digit after its point"),
        ("d/-", r#"{"a":1e}"#, "byte 7: not JSON: a number needs a digit in its exponent"),
        ("d/-", r#"{"a":-}"#, "byte 6: not JSON: a number needs a digit here"),
        ("d/-", r#"{"a":"x}"#, "byte 8: not JSON: the text ends inside a string"),
        ("d/-", r#"{"a":"\x"}"#, "byte 6: not JSON: no such escape"),
        (
            "d/-",
            r#"{"a":"\ud800"}"#,
            "byte 6: not JSON: half of a surrogate pair: \\ud800 to \\udbff must be followed by \\udc00 to \\udfff",
        ),
        (
            "d/-",
            r#"{"a":"\udc00"}"#,
            "byte 6: not JSON: half of a surrogate pair: \\ud800 to \\udbff must be followed by \\udc00 to \\udfff",
        ),
        ("d/-", "{\"a\":\"\t\"}", "byte 6: not JSON: a control character in a string must be escaped"),
        ("d/-", r#"{"a":1}{"a":2}"#, "byte 7: not JSON: there is more text after the end"),
        ("d/-", "[1,2", "byte 4: not JSON: the text ends too early"),
        ("d/-", r#"{"a":1,"seq":-1}"#, SEQ_AT_13),
        ("d/-", r#"{"a":1,"seq":1.0}"#, SEQ_AT_13),
        ("d/-", r#"{"a":1,"seq":"17"}"#, SEQ_AT_13),
        ("d/-", r#"{"a":1,"seq":[{}]}"#, SEQ_AT_13),
        ("d/-", r#"{"a":1,"seq":9223372036854775808}"#, SEQ_AT_13),
        (
            "d/-",
            r#"{"a":1,"seq":1,"sequence":1}"#,
            "byte 15: \"sequence\" is given twice: which one counts is not defined",
        ),
        ("d/-", r#"{"seq":1}"#, "byte 0: there is no reading in it"),
        ("d/-", r#"{"a":null}"#, "byte 5: \"a\" is null: leave out what was not measured"),
        (
            "d/-",
            r#"{"a":[1]}"#,
            "byte 5: \"a\" is an array: a value is a number, a text, a boolean or a location",
        ),
        (
            "d/-",
            r#"{"a":{"b":1}}"#,
            "byte 5: \"a\" is an object: only a location, {\"lat\": …, \"lng\": …}, may be one",
        ),
        (
            "d/-",
            r#"{"a":{"lat":91,"lng":1}}"#,
            "byte 5: \"a\" is no location: it has lat, a number from -90 to 90, lng, one from -180 to 180, and nothing else",
        ),
        (
            "d/pos",
            r#"{"lat":1,"lng":181}"#,
            "byte 0: \"pos\" is no location: it has lat, a number from -90 to 90, lng, one from -180 to 180, and nothing else",
        ),
        (
            "d/n",
            "9223372036854775808",
            "byte 0: \"n\" is an integer beyond 64 signed bits: send it as text, or as a float if its last digits do not matter",
        ),
        (
            "d/n",
            "-9223372036854775809",
            "byte 0: \"n\" is an integer beyond 64 signed bits: send it as text, or as a float if its last digits do not matter",
        ),
        ("d/n", "1e400", "byte 0: \"n\" is a number beyond the range of a 64-bit float"),
        ("d/-", r#"{"a":1,"a":2}"#, "byte 7: \"a\" is given twice: which one counts is not defined"),
        (
            "d/-",
            r#"{"a":1,"ts":1,"time":1}"#,
            "byte 14: \"time\" is given twice: which one counts is not defined",
        ),
        ("-/-", r#"{"metric":"t","value":1}"#, "byte 0: no device: name it in the topic or as device_id"),
        ("-/m", "1", "byte 0: no device: name it in the topic or as device_id"),
        ("d/-", "1", "byte 0: a value on its own needs a topic that names its metric"),
        ("d/m", "[1]", "byte 1: an element of an array must be an object"),
        (
            "d/-",
            r#"{"device_id":"e","a":1}"#,
            "byte 13: the payload names the device \"e\", topic or credential name \"d\": they must agree",
        ),
        (
            "d/m",
            r#"{"metric":"n","value":1}"#,
            "byte 10: the payload names the metric \"n\", the topic names \"m\": they must agree",
        ),
        ("d/-", r#"{"metric":"n"}"#, "byte 0: there is a metric but no value"),
        ("-/-", r#"{"device_id":"d","value":1}"#, "byte 0: no metric: name it in the topic or as metric"),
        (
            "-/-",
            r#"{"device_id":"d","temperature":1}"#,
            "byte 0: an object needs metric and value, or metrics",
        ),
        (
            "d/-",
            r#"{"metric":"n","metrics":{"a":1}}"#,
            "byte 0: metrics stand together with metric or value: send one of the forms",
        ),
        ("d/-", r#"{"metrics":[1]}"#, "byte 11: metrics must be an object of names and values"),
        (
            "d/-",
            r#"{"ts":"soon","a":1}"#,
            "byte 6: the time \"soon\" is neither a number since 1970 nor an RFC 3339 time such as 2023-11-14T22:13:20Z (wrong at character 0)",
        ),
        (
            "d/-",
            r#"{"ts":99999999999,"a":1}"#,
            "byte 6: the time \"99999999999\" is outside 1677-09-21 to 2262-04-11, the range of 64-bit nanoseconds",
        ),
        ("d/-", r#"{"ts":true,"a":1}"#, "byte 6: the time must be a number or a text"),
        (
            "-/-",
            r#"{"device_id":"a/b","metric":"t","value":1}"#,
            "byte 13: the device id holds the character '/' at byte 1, which is not allowed",
        ),
        ("d/-", r#"{"":1}"#, "byte 1: the metric name is empty: give it at least one character"),
    ] {
        assert_eq!(json(topic, payload), format!("refused: {expect}"), "{topic} {payload}");
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    assert_eq!(json("d/-", &deep), "refused: byte 36: nested deeper than 32 levels");
    assert_eq!(decoded("d/-", record::Encoding::Json, b"{\"a\":\"\xff\"}"), "refused: byte 6: not UTF-8");
}

#[test]
fn good_readings_are_kept_and_bad_ones_reported() {
    assert_eq!(
        json("d/-", r#"[{"a":1,"b":null}, {"ts":"x","a":1} ,{"a":2}]"#),
        "d a 1i @server; d a 2i @server; \
         0 at 1..17 byte 12: \"b\" is null: leave out what was not measured; \
         1 at 19..35 byte 25: the time \"x\" is neither a number since 1970 nor an RFC 3339 time such as 2023-11-14T22:13:20Z (wrong at character 0)"
    );
    assert_eq!(
        decoded(
            "d/-",
            record::Encoding::Ndjson,
            b"\n{\"a\":1}\r\n{\"a\":\n[{\"b\":1},{\"c\":[]}]\n{\"d\":1}x\n  \n{\"e\":5}"
        ),
        "d a 1i @server; d b 1i @server; d e 5i @server; \
         1 at 10..15 line 3, byte 15: not JSON: the text ends too early; \
         3 at 25..33 line 4, byte 30: \"c\" is an array: a value is a number, a text, a boolean or a location; \
         4 at 35..43 line 5, byte 42: not JSON: there is more text after the end"
    );
}

#[test]
fn limits_hold_to_the_byte() {
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    assert!(json("d/m", &text(65_536)).ends_with("@server"));
    assert_eq!(json("d/m", &text(65_537)), "refused: byte 0: \"m\" is a text of more than 65536 bytes");
    assert!(json("d/-", &format!("{{{}:1}}", text(1024))).ends_with("1i @server"));
    assert_eq!(
        json("d/-", &format!("{{{}:1}}", text(1025))),
        "refused: byte 1: the metric name has 1025 bytes, at most 1024 are allowed"
    );
    let nested =
        |levels: usize| format!("{{\"a\":1,\"b\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(json("d/-", &nested(32)).starts_with("d a 1i @server; 0 at"));
    assert_eq!(json("d/-", &nested(33)), "refused: byte 42: nested deeper than 32 levels");
}

#[test]
fn a_hostile_payload_costs_no_more_than_its_length() {
    // Each of these took a time that grows with the square of its length, or memory many times its own.
    let gap = "\n".repeat(1 << 20);
    assert_eq!(wire::payload::detect_json(format!("{{{gap}}}{gap}").as_bytes()), record::Encoding::Json);
    assert_eq!(wire::payload::detect_json(format!("{{}}{gap}{{}}").as_bytes()), record::Encoding::Ndjson);
    let nulls = vec!["\"\":null"; 100_001].join(",");
    assert_eq!(
        json("d/-", &format!("{{{nulls}}}")),
        "refused: byte 0: more than 100000 bad readings in one message: it is refused as a whole"
    );
}

#[test]
#[ignore = "a million elements take seconds in a debug build"]
fn a_message_of_more_than_a_million_readings_is_refused() {
    let many = |elements: usize| format!("[{}]", vec!["{\"a\":1}"; elements].join(","));
    assert!(json("d/-", &many(1_000_000)).len() > 1_000_000);
    assert_eq!(
        json("d/-", &many(1_000_001)),
        "refused: byte 0: more than 1000000 readings in one message: send several"
    );
}
