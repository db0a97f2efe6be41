//! Messages of which something, or all, cannot be used.

use super::device::Device;
use super::dice::Dice;
use super::render::{Naming, Sample, Spelling, element, json_value};
use super::scenario::{Answer, Dead, Message, Nanos, Speaks, Way, Who};

/// A payload without a single good reading, and what the reason says.
fn rubbish(device: &str, number: u64, time: Nanos, dice: &mut Dice) -> (Vec<u8>, &'static str) {
    let ts = Spelling::Millis.write(time);
    let named = format!("\"device_id\":{device:?},\"ts\":{ts}");
    let text = |text: String, says| (text.into_bytes(), says);
    match dice.below(10) {
        0 => text(format!("{{{named},\"metrics\":{{\"a\":{number}"), "JSON"),
        1 => text(format!("{{{named},\"metric\":\"a\",\"value\":{number},}}"), "JSON"),
        2 => (
            [format!("{{{named},\"metric\":\"a\",\"value\":\"{number}").as_bytes(), b"\xff\xfe\"}"].concat(),
            "UTF-8",
        ),
        3 => text(format!("{{{named},\"metric\":\"a{number}\",\"value\":null}}"), "null"),
        4 => text(
            format!("{{\"device_id\":{device:?},\"ts\":\"soon {number}\",\"metric\":\"a\",\"value\":1}}"),
            "time",
        ),
        5 => text(format!("{{{named},\"ts\":{ts},\"metric\":\"a\",\"value\":{number}}}"), "twice"),
        6 => text(format!("{{{named},\"metric\":\"a\",\"value\":9{number:020}}}"), "integer"),
        7 => text(
            format!("{{{named},\"metric\":\"a\",\"value\":{{\"lat\":91,\"lng\":{}}}}}", number % 180),
            "location",
        ),
        8 => {
            text(format!("{{{named},\"metric\":\"a\",\"value\":{number},\"metrics\":{{\"b\":1}}}}"), "metric")
        }
        _ => text(format!("{}{number}{}", "[".repeat(40), "]".repeat(40)), "deep"),
    }
}

/// As SQL shows a payload.
pub(super) fn shown(payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok(text) => text.to_owned(),
        Err(_) => payload.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

/// A message of which nothing can be used.
pub(super) fn refused(device: &Device, number: u64, time: Nanos, dice: &mut Dice) -> Message {
    let name = &device.members[0];
    if device.metrics[0].contains('.') {
        return bad_line(name, number);
    }
    let (payload, says) = rubbish(name, number, time, dice);
    let dead = vec![Dead { payload: shown(&payload), index: None, says }];
    Message { way: way(device, dice), payload, lane: None, units: Vec::new(), dead, answer: Answer::Refused }
}

fn bad_line(device: &str, number: u64) -> Message {
    let payload = format!("env,device_id={device} t0={number}x");
    let dead = vec![Dead { payload: payload.clone(), index: None, says: "line" }];
    let way = Way::Post { target: "/write?db=x".into(), content_type: "text/plain" };
    Message {
        way,
        payload: payload.into_bytes(),
        lane: None,
        units: Vec::new(),
        dead,
        answer: Answer::Refused,
    }
}

fn way(device: &Device, dice: &mut Dice) -> Way {
    match device.speaks {
        Speaks::Http => Way::Post { target: "/v1/telemetry".into(), content_type: "application/json" },
        _ => Way::Publish {
            topic: format!("devices/{}/telemetry", device.members[0]),
            qos: 1 + dice.below(2) as u8,
        },
    }
}

/// One element: good readings, and two that are none.
pub(super) fn partly(device: &Device, sample: &Sample, number: u64, dice: &mut Dice) -> Message {
    let ts = Spelling::Utc.write(sample.time.unwrap_or_default());
    let good: Vec<String> =
        sample.values.iter().map(|(metric, value)| format!("{metric:?}:{}", json_value(value))).collect();
    let payload = format!(
        "{{\"device_id\":{:?},\"ts\":{ts},\"metrics\":{{\"bad{number}\":null,{},\"list\":[{number}]}}}}",
        sample.device,
        good.join(",")
    );
    let dead = |says| Dead { payload: payload.clone(), index: Some(0), says };
    Message {
        way: way(device, dice),
        dead: vec![dead("null"), dead("array")],
        payload: payload.into_bytes(),
        lane: None,
        units: vec![sample.readings().collect()],
        answer: Answer::Partly,
    }
}

/// An array: a good element between two that are none.
pub(super) fn mixed(device: &Device, sample: &Sample, number: u64, dice: &mut Dice) -> Message {
    let by_http = device.speaks == Speaks::Http;
    let named = Naming { device: by_http, metric: true };
    let sample = Sample { seq: None, ..sample.clone() };
    let first = format!(
        "{{\"device_id\":{:?},\"ts\":\"never {number}\",\"metric\":\"a\",\"value\":1}}",
        sample.device
    );
    let last = format!("{{\"device_id\":{:?},\"metric\":\"a\",\"value\":[{number}]}}", sample.device);
    let good = element(&sample, named, Spelling::Nanos, dice);
    let payload = format!("[{first},{good},{last}]");
    // HTTP gives each bad element a record of its own; a publish stays one record with its elements numbered.
    let dead = |element: &String, index, says| match by_http {
        true => Dead { payload: element.clone(), index: None, says },
        false => Dead { payload: payload.clone(), index: Some(index), says },
    };
    Message {
        way: way(device, dice),
        dead: vec![dead(&first, 0, "time"), dead(&last, 2, "array")],
        payload: payload.into_bytes(),
        lane: None,
        units: vec![sample.readings().collect()],
        answer: Answer::Partly,
    }
}

/// Larger than an MQTT packet may be.
pub(super) fn oversize(device: &Device, packet_bytes: usize, dice: &mut Dice) -> Message {
    let text = "x".repeat(packet_bytes + 1);
    let payload = format!("{{\"metrics\":{{\"s\":{text:?}}}}}").into_bytes();
    Message {
        way: way(device, dice),
        payload,
        lane: None,
        units: Vec::new(),
        dead: Vec::new(),
        answer: Answer::TooLarge,
    }
}

/// A device that speaks for another: `None` when the connection may speak for all, or its protocol cannot say no. The
/// topic is not its own; without a topic it is the payload that is wrong.
pub(super) fn forbidden(device: &Device, number: u64, dice: &mut Dice) -> Option<Message> {
    if device.who == Who::Service || device.speaks == Speaks::Mqtt311 {
        return None;
    }
    let text = format!("{{\"device_id\":\"somebody-else\",\"metric\":\"t\",\"value\":{number}}}");
    let (way, dead, answer) = match way(device, dice) {
        Way::Publish { qos, .. } => {
            let topic = "devices/somebody-else/telemetry".into();
            (Way::Publish { topic, qos }, Vec::new(), Answer::Forbidden)
        }
        post => (post, vec![Dead { payload: text.clone(), index: None, says: "agree" }], Answer::Refused),
    };
    Some(Message { way, payload: text.into_bytes(), lane: None, units: Vec::new(), dead, answer })
}
