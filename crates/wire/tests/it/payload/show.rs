//! Outcomes as one line, so that tests are tables.

use record::{Encoding, Readings, TimeOrigin, Timestamp, ValueRef};
use wire::payload::{self, Message, Scratch, Summary};

/// Not in whole milliseconds.
pub(crate) const ARRIVED_AT: Timestamp = Timestamp::from_nanos(1_700_000_100_007_654_321);

/// What a reading must say of its arrival: whole milliseconds beside a time of the device's, all of it where it is the time.
pub(crate) const fn arrival_of(origin: TimeOrigin) -> Timestamp {
    match origin {
        TimeOrigin::Server => ARRIVED_AT,
        _ => Timestamp::from_nanos(1_700_000_100_007_000_000),
    }
}

/// `topic` is `device/metric`, `-` for none.
pub(crate) fn message<'a>(topic: &'a str, encoding: Encoding, payload: &'a [u8]) -> Message<'a> {
    let (device, metric) = topic.split_once('/').unwrap();
    let named = |name: &'a str| (name != "-").then_some(name);
    Message {
        encoding,
        device: named(device),
        metric: named(metric),
        arrived_at: ARRIVED_AT,
        time_unit: None,
        payload,
    }
}

pub(crate) fn json(topic: &str, payload: &str) -> String {
    decoded(topic, Encoding::Json, payload.as_bytes())
}

pub(crate) fn decoded(topic: &str, encoding: Encoding, payload: &[u8]) -> String {
    let message = message(topic, encoding, payload);
    let (mut readings, mut scratch) = (Readings::new(), Scratch::new());
    let outcome = payload::decode(&message, &mut readings, &mut scratch);
    let inspected = payload::inspect(&message, &mut Scratch::new());
    assert_eq!(outcome, inspected, "gateway and stream must agree");
    match outcome {
        Ok(summary) => shown(&readings, &scratch, summary),
        Err(reason) => {
            assert!(readings.is_empty());
            format!("refused: {reason}")
        }
    }
}

fn shown(readings: &Readings, scratch: &Scratch, summary: Summary) -> String {
    let mut parts: Vec<String> = readings
        .iter()
        .map(|reading| {
            let value = match reading.value {
                ValueRef::Float(x) => format!("{x}"),
                ValueRef::Int(x) => format!("{x}i"),
                ValueRef::Bool(x) => format!("{x}"),
                ValueRef::Text(x) => format!("{x:?}"),
                ValueRef::Location { lat, lng } => format!("({lat},{lng})"),
            };
            let nanos = reading.when.time.nanos();
            let time = match reading.when.origin {
                TimeOrigin::Server => {
                    assert_eq!(reading.when.time, ARRIVED_AT);
                    "server".to_owned()
                }
                TimeOrigin::Device => {
                    format!("{}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000))
                }
                origin => panic!("a decoder judges no clock: {origin:?}"),
            };
            assert_eq!(reading.when.arrived_at, arrival_of(reading.when.origin));
            let seq = match reading.when.seq {
                0 => String::new(),
                seq => format!(" #{}", seq - 1),
            };
            format!("{} {} {value} @{time}{seq}", reading.device, reading.metric)
        })
        .collect();
    assert_eq!(parts.len(), summary.readings);
    assert_eq!(scratch.rejected().len(), summary.rejected);
    assert_eq!(readings.time_column().iter().min(), Some(&summary.oldest));
    assert_eq!(readings.time_column().iter().max(), Some(&summary.newest));
    let rows: usize = scratch.elements().iter().map(|element| element.rows.len()).sum();
    assert_eq!(rows, summary.readings);
    for element in scratch.elements() {
        assert!(element.rows.clone().all(|row| Some(readings.get(row).unwrap().device_no) == element.device));
    }
    parts.extend(scratch.rejected().iter().map(|rejected| {
        assert_eq!(scratch.elements()[rejected.element].range, rejected.range);
        format!(
            "{} at {}..{} {}",
            rejected.element, rejected.range.start, rejected.range.end, rejected.reason
        )
    }));
    parts.join("; ")
}
