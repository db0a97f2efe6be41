//! The JSON decoder: no panic, memory bounded by the input, elements that stand on their own, and what is JSON to
//! `serde_json` is JSON to us.

use record::Encoding;
use wire::payload::{Message, Problem, Reason, Summary};

use crate::Target;
use crate::payload::{check, check_part, kind, message};

/// See the module.
pub const TARGET: Target = Target { name: "json", run, seeds, mend: |_| {} };

fn run(data: &[u8]) -> u64 {
    let encoding =
        if data.first().is_some_and(|&byte| byte & 4 == 0) { Encoding::Json } else { Encoding::Ndjson };
    let Some(message) = message(data, encoding) else { return 0 };
    check(&message, |outcome, readings, scratch| {
        if encoding == Encoding::Json {
            check_oracle(&message, outcome);
        }
        // A value on its own is no element of an array, so a cut-out element must be an object.
        for element in
            scratch.elements().iter().filter(|element| message.payload[element.range.start] == b'{')
        {
            if outcome.is_ok()
                && serde_json::from_slice::<serde_json::Value>(&message.payload[element.range.clone()])
                    .is_ok()
            {
                let part = Message {
                    encoding: Encoding::Json,
                    payload: &message.payload[element.range.clone()],
                    ..message
                };
                check_part(&part, element.rows.clone(), readings);
            }
        }
        kind(outcome, readings, scratch)
    })
}

fn check_oracle(message: &Message<'_>, outcome: &Result<Summary, Reason>) {
    let ours = match outcome {
        Ok(_) => true,
        Err(Reason { problem: Problem::TooDeep, .. }) => return, // our limit is lower
        Err(reason) => !matches!(
            reason.problem,
            Problem::Json(_) | Problem::Utf8 | Problem::ByteOrderMark | Problem::Empty
        ),
    };
    match serde_json::from_slice::<serde_json::Value>(message.payload) {
        Ok(_) => assert!(ours, "serde_json reads what we refuse: {outcome:?}"),
        // For us one bad reading; serde_json stops there and knows nothing of the rest.
        Err(error) if error.to_string().starts_with("number out of range") => {}
        Err(error) => assert!(!ours, "serde_json refuses what we read: {error}"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"device_id":"d1","metric":"t","value":21.5,"ts":1700000000}"#,
        r#"{"ts":"2023-11-14T22:13:20.123Z","metrics":{"a":1,"b":-2.5e3,"c":true,"d":"x\u00e9\ud83d\ude00\n"}}"#,
        r#"[{"device":"a","metric":"t","value":1},{"id":17,"values":{"t":null,"u":[1,{"x":2}]}}]"#,
        r#"{"pos":{"lat":53.5,"lng":-10},"timestamp":1700000000.123,"n":9007199254740993}"#,
        "{\"device_id\":\"d1\",\"metric\":\"t\",\"value\":1}\n\n[{\"a\":1}]\r\n{\"b\":2",
        r#"{"latitude":1,"longitude":2,"time":null}"#,
        r#"{"seq":4,"device_id":"d1","metrics":{"seq":1}}"#,
        "21.5",
        "\"on\"",
        "-0",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1",
    ];
    texts.iter().flat_map(|text| (0..8).map(move |how| [&[how], text.as_bytes()].concat())).collect()
}
