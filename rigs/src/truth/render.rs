//! Meaning into bytes: the same reading in every way a device may write it (docs/payloads.md).

use std::fmt::Write as _;

use record::{Timestamp, Value};

use super::dice::Dice;
use super::scenario::{Nanos, Reading, SECOND};

/// Values of one device that share a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The device.
    pub device: String,
    /// The device's time; `None`: it has no clock.
    pub time: Option<Nanos>,
    /// Its sequence number.
    pub seq: Option<u64>,
    /// What was measured, by metric.
    pub values: Vec<(String, Value)>,
}

impl Sample {
    /// Its readings, in order.
    pub fn readings(&self) -> impl Iterator<Item = Reading> + '_ {
        self.values.iter().map(|(metric, value)| Reading {
            device: self.device.clone(),
            metric: metric.clone(),
            time: self.time,
            seq: self.seq,
            value: value.clone(),
        })
    }
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// A number of seconds, with as many decimals as it takes.
    Seconds,
    /// A number of milliseconds.
    Millis,
    /// A number of microseconds.
    Micros,
    /// A number of nanoseconds.
    Nanos,
    /// RFC 3339 in UTC.
    Utc,
    /// RFC 3339 with an offset of an hour and a half.
    Offset,
    /// A text that holds a number of milliseconds.
    Text,
}

impl Spelling {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Seconds, Self::Millis, Self::Micros, Self::Nanos, Self::Utc, Self::Offset, Self::Text];

    /// The time as a JSON token.
    #[must_use]
    pub fn write(self, time: Nanos) -> String {
        match self {
            Self::Seconds => decimal(time, SECOND),
            Self::Millis => decimal(time, 1_000_000),
            Self::Micros => decimal(time, 1_000),
            Self::Nanos => time.to_string(),
            Self::Utc => format!("\"{}Z\"", date_time(time)),
            Self::Offset => format!("\"{}+01:30\"", date_time(time + 5400 * SECOND)),
            Self::Text => format!("\"{}\"", decimal(time, 1_000_000)),
        }
    }
}

/// RFC 3339 without its offset, with as many decimals as it takes.
fn date_time(time: Nanos) -> String {
    let text = Timestamp::from_nanos(time).to_rfc3339();
    text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `time / unit` with all its decimals.
fn decimal(time: Nanos, unit: Nanos) -> String {
    let (whole, rest) = (time / unit, time % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0digits$}").trim_end_matches('0'))
}

/// What an element names itself; what it leaves out, the topic says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Naming {
    /// The device.
    pub device: bool,
    /// The metric (of a sample of one value).
    pub metric: bool,
}

/// A sample as a JSON object, its keys in any order and by any of their names.
#[must_use]
pub fn element(sample: &Sample, naming: Naming, spelling: Spelling, dice: &mut Dice) -> String {
    let mut members = Vec::new();
    let key = |dice: &mut Dice, names: &[&str]| (*dice.pick(names)).to_owned();
    if naming.device {
        let name = key(dice, &["device_id", "deviceId", "device", "id"]);
        members.push(format!("{name:?}:{:?}", sample.device));
    }
    match sample.time {
        Some(time) => {
            let name = key(dice, &["ts", "timestamp", "time"]);
            members.push(format!("{name:?}:{}", spelling.write(time)));
        }
        // Missing or null: both mean that there is no clock.
        None if dice.chance(0.5) => members.push("\"ts\":null".to_owned()),
        None => {}
    }
    if let Some(seq) = sample.seq {
        let name = key(dice, &["seq", "sequence", "seq_no"]);
        members.push(format!("{name:?}:{seq}"));
    }
    match &sample.values[..] {
        [(metric, value)] if !naming.metric || dice.chance(0.5) => {
            if naming.metric {
                members.push(format!("\"metric\":{metric:?}"));
            }
            members.push(format!("\"value\":{}", json_value(value)));
        }
        many => {
            let values: Vec<String> =
                many.iter().map(|(metric, value)| format!("{metric:?}:{}", json_value(value))).collect();
            // Flat where the topic says that this is a device's telemetry.
            if !naming.device && naming.metric && dice.chance(0.3) {
                members.extend(values);
            } else {
                let name = key(dice, &["metrics", "values"]);
                members.push(format!("{name:?}:{{{}}}", values.join(",")));
            }
        }
    }
    dice.shuffle(&mut members);
    format!("{{{}}}", members.join(if dice.chance(0.2) { ", " } else { "," }))
}

/// A value as JSON.
#[must_use]
pub fn json_value(value: &Value) -> String {
    match value {
        // Rust writes the shortest digits that come back as the same float, always with a point or an exponent.
        Value::Float(x) => format!("{x:?}"),
        Value::Int(x) => x.to_string(),
        Value::Bool(x) => x.to_string(),
        Value::Text(x) => serde_json::Value::from(x.as_str()).to_string(),
        Value::Location { lat, lng } => format!("{{\"lat\":{lat:?},\"lng\":{lng:?}}}"),
    }
}

/// A sample as a line of line protocol: its metrics are `measurement.field` of one measurement. `unit` is what the
/// time is counted in; `None`: without a time.
#[must_use]
pub fn line(sample: &Sample, tag: &str, unit: Option<Nanos>) -> String {
    let measurement = sample.values[0].0.split('.').next().unwrap_or_default();
    let mut text = format!("{measurement},{tag}={}", sample.device);
    for (n, (metric, value)) in sample.values.iter().enumerate() {
        let field = metric.split_once('.').map_or("value", |(_, field)| field);
        let _ = write!(text, "{}{field}={}", if n == 0 { ' ' } else { ',' }, field_value(value));
    }
    if let (Some(unit), Some(time)) = (unit, sample.time) {
        let _ = write!(text, " {}", time / unit);
    }
    text
}

fn field_value(value: &Value) -> String {
    match value {
        Value::Int(x) => format!("{x}i"),
        Value::Bool(x) => if *x { "t" } else { "false" }.to_owned(),
        Value::Text(x) => format!("\"{}\"", x.replace('\\', "\\\\").replace('"', "\\\"")),
        other => json_value(other),
    }
}

/// The unit line protocol can count this time in exactly, and its name.
#[must_use]
pub fn precision_of(times: &[Nanos]) -> (&'static str, Nanos) {
    const UNITS: [(&str, Nanos); 3] = [("s", SECOND), ("ms", 1_000_000), ("us", 1_000)];
    let fits = |unit: Nanos| times.iter().all(|time| time % unit == 0);
    UNITS.into_iter().find(|&(_, unit)| fits(unit)).unwrap_or(("ns", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_in_every_spelling() {
        let time = 1_700_000_000_123_000_000;
        let written: Vec<_> = Spelling::ALL.iter().map(|spelling| spelling.write(time)).collect();
        assert_eq!(
            written,
            [
                "1700000000.123",
                "1700000000123",
                "1700000000123000",
                "1700000000123000000",
                "\"2023-11-14T22:13:20.123Z\"",
                "\"2023-11-14T23:43:20.123+01:30\"",
                "\"1700000000123\"",
            ]
        );
        assert_eq!(Spelling::Millis.write(1_700_000_000_000_000_001), "1700000000000.000001");
    }

    #[test]
    fn lines_say_what_objects_say() {
        let sample = Sample {
            device: "d1".into(),
            time: Some(1_700_000_000_000_000_000),
            seq: None,
            values: vec![("env.t".into(), Value::Float(1.0)), ("env.s".into(), Value::Text("a\"b".into()))],
        };
        assert_eq!(line(&sample, "host", Some(SECOND)), "env,host=d1 t=1.0,s=\"a\\\"b\" 1700000000");
    }
}
