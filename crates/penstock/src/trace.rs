//! `penstock trace`

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Value, json};

use crate::Answer;
use crate::client::{Said, Server};
use crate::query::{Format, csv_of, table_of};

/// The columns of what is told.
const COLUMNS: [&str; 3] = ["at", "hop", "what"];
/// Readings, and what is known of windows, that are told one by one.
const NAMED: usize = 6;

#[derive(clap::Args)]
pub(crate) struct Trace {
    /// The device's id
    device: String,
    /// The readings with this sequence number, which the device gave them; without it, and without --at, the latest
    seq: Option<u64>,
    /// The readings of this time, such as 2026-11-20T12:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "seq")]
    at: Option<String>,
    /// How the answer is printed
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

impl Trace {
    #[allow(clippy::print_stdout)] // stdout is data
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let seq = self.seq.map(|seq| seq.to_string());
        let parameters = [
            ("device_id", Some(self.device.as_str())),
            ("seq", seq.as_deref()),
            ("time", self.at.as_deref()),
        ];
        let answer = match self.server.get_with("/v1/trace", &parameters)? {
            Said::Fine(answer) => answer,
            Said::Refused { status, detail } => {
                eprintln!("penstock trace: {status}: {detail}");
                return Ok(if status == 400 { Answer::WrongUse } else { Answer::No });
            }
        };
        if self.format == Format::Json {
            println!("{}", answer.trim_end());
        }
        let answer: Value = serde_json::from_str(&answer).context("the server's answer is no JSON")?;
        let messages = answer["messages"].as_array().context("the server's answer has no messages")?;
        if messages.is_empty() {
            self.say_what_there_is(&answer["dead_letters"]);
            return Ok(Answer::No);
        }
        let hops: Vec<Value> = messages.iter().flat_map(hops).collect();
        match self.format {
            Format::Json => {}
            Format::Csv => println!("{}", csv_of(&COLUMNS, &hops)),
            Format::Table => println!("{}", table_of(&COLUMNS, &hops)),
        }
        Ok(Answer::Yes)
    }

    fn say_what_there_is(&self, dead: &Value) {
        let which = match (self.seq, &self.at) {
            (Some(seq), _) => format!("no reading of {} with sequence number {seq} is stored", self.device),
            (None, Some(at)) => format!("no reading of {} of {at} is stored", self.device),
            (None, None) => format!("no reading of {} is stored", self.device),
        };
        eprintln!("penstock trace: {which}");
        let dead = dead.as_array().map(Vec::as_slice).unwrap_or_default();
        if !dead.is_empty() {
            eprintln!("its latest dead letters (penstock dlq show ID):");
        }
        for letter in dead {
            let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
            eprintln!("  {} {} {}: {}", text("arrived_at"), text("id"), text("stage"), text("reason"));
        }
    }
}

/// A message's hops, in the order in which they are made.
fn hops(message: &Value) -> Vec<Value> {
    let list = |name: &str| message[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let hop = |at: &Value, hop: &str, what: String| json!({ "at": at, "hop": hop, "what": what });
    let mut hops = Vec::new();
    let readings = list("readings");
    for of_time in readings.chunk_by(|a, b| a["time"] == b["time"]) {
        hops.push(hop(&of_time[0]["time"], "device", measured(of_time)));
    }
    for place in list("log") {
        hops.push(hop(&place["arrived_at"], "gateway", came(place)));
        let (topic, lane) = (text(&place["topic"]), text(&place["lane"]));
        let what =
            format!("{topic}, {lane} lane, partition {}, offset {}", place["partition"], place["offset"]);
        hops.push(hop(&place["committed_at"], "log", what));
    }
    if list("log").is_empty() {
        hops.push(hop(&message["arrived_at"], "gateway", "arrived".to_owned()));
        hops.push(hop(&Value::Null, "log", format!("not found: {}", text(&message["log_why"]))));
    }
    for late in list("late") {
        let (metric, times) = (text(&late["metric"]), &late["deliveries"]);
        let what = format!("{metric} came late, behind the watermark, {times} time(s)");
        hops.push(hop(&late["watermark"], "stream", what));
    }
    for correction in list("corrections") {
        let metric = text(&correction["metric"]);
        let old = [&correction["old_value"], &correction["old_text"]].into_iter().find(|old| !old.is_null());
        let old = old.map_or_else(|| text(&correction["old_kind"]).to_owned(), told);
        hops.push(hop(&correction["replaced_at"], "stream", format!("{metric} replaced {old}")));
    }
    hops.push(hop(&Value::Null, "store", format!("{} reading(s) stored", readings.len())));
    let mut windows: BTreeMap<(String, String, String), Vec<&Value>> = BTreeMap::new();
    for window in list("windows") {
        let key = ["window", "window_start", "window_end"].map(|name| text(&window[name]).to_owned());
        windows.entry(key.into()).or_default().push(window);
    }
    for ((name, from, to), of) in windows {
        let parts = of.iter().map(|window| {
            let revised = if window["revised"] == true { ", revised" } else { "" };
            format!("{} of {} reading(s){revised}", text(&window["metric"]), window["count"])
        });
        hops.push(hop(&json!(to), "window", format!("{name} from {from}: {}", some(parts))));
    }
    for alert in list("alerts") {
        let what = format!(
            "{} ({}), {}: {}",
            text(&alert["rule"]),
            text(&alert["severity"]),
            text(&alert["state"]),
            text(&alert["why"])
        );
        hops.push(hop(&alert["triggered_at"], "alert", what));
    }
    hops
}

/// What a device measured at a time.
fn measured(readings: &[Value]) -> String {
    let values = readings.iter().map(|reading| {
        let place = || format!("{}, {}", reading["lat"], reading["lng"]);
        let value = ["integer", "value", "text"].into_iter().map(|name| &reading[name]);
        let value = value.into_iter().find(|value| !value.is_null());
        format!("{} = {}", text(&reading["metric"]), value.map_or_else(place, told))
    });
    let seq = &readings[0]["seq"];
    let seq = if seq.is_null() { String::new() } else { format!(", number {seq}") };
    format!("{} (time by {}{seq})", some(values), text(&readings[0]["clock"]))
}

/// How a message came in.
fn came(place: &Value) -> String {
    let client = place["client"].as_str().map(|client| format!(", client {client}")).unwrap_or_default();
    let kind = match text(&place["kind"]) {
        "telemetry" => String::new(),
        other => format!(", {other}"),
    };
    let protocol = text(&place["protocol"]);
    // What has no topics has one for the log only.
    let to = match text(&place["mqtt_topic"]) {
        topic if protocol.starts_with("MQTT") => format!(", {topic}, QoS {}", place["qos"]),
        _ => String::new(),
    };
    let (bytes, encoding) = (&place["payload_bytes"], text(&place["encoding"]));
    format!("{protocol}{to}{client}, {bytes} bytes of {encoding}{kind}")
}

/// The first of them, and how many more there are.
fn some(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    let first = parts.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match parts.len().checked_sub(NAMED) {
        None | Some(0) => first,
        Some(more) => format!("{first} and {more} more"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn told(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_come_in_the_order_in_which_they_are_made() {
        let message = json!({
            "arrived_at": "2026-11-20T12:00:00.5Z",
            "log": [{
                "topic": "iot-telemetry-raw", "lane": "live", "partition": 3, "offset": 17, "protocol": "MQTT 5",
                "mqtt_topic": "devices/d/telemetry", "qos": 1, "client": "c", "payload_bytes": 40, "encoding": "JSON",
                "kind": "telemetry", "arrived_at": "2026-11-20T12:00:00.500Z", "committed_at": "2026-11-20T12:00:00.504Z"
            }],
            "readings": (0..8).map(|n| json!({
                "time": "2026-11-20T12:00:00Z", "metric": format!("m{n}"), "value": 1.5, "seq": 7, "clock": "device"
            })).collect::<Vec<_>>(),
            "late": [{ "metric": "m0", "watermark": "2026-11-20T12:05:00Z", "deliveries": 1 }],
            "windows": [{ "window": "5m", "metric": "m0", "window_start": "2026-11-20T12:00:00Z",
                "window_end": "2026-11-20T12:05:00Z", "count": 9, "revised": true }],
            "alerts": [],
        });
        let hops = hops(&message);
        let names: Vec<&str> = hops.iter().map(|hop| text(&hop["hop"])).collect();
        assert_eq!(names, ["device", "gateway", "log", "stream", "store", "window"]);
        let what: Vec<&str> = hops.iter().map(|hop| text(&hop["what"])).collect();
        assert_eq!(
            what[0],
            "m0 = 1.5, m1 = 1.5, m2 = 1.5, m3 = 1.5, m4 = 1.5, m5 = 1.5 and 2 more (time by device, number 7)"
        );
        assert_eq!(what[1], "MQTT 5, devices/d/telemetry, QoS 1, client c, 40 bytes of JSON");
        assert_eq!(what[2], "iot-telemetry-raw, live lane, partition 3, offset 17");
        assert_eq!(what[5], "5m from 2026-11-20T12:00:00Z: m0 of 9 reading(s), revised");
    }
}
