//! Facts of devices and the clean topic, in the real binary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use log::{EmbeddedLog, Lane, Log as _, PartitionId, Position, Topic};
use record::CleanRecord;
use serde_json::Value;

use super::mqtt::publish;
use crate::served::{Served, penstock, run, text};

const CLEAN: &[(&str, &str)] = &[("PENSTOCK__STREAM__CLEAN", "true")];

/// `penstock device …` on the server's data.
fn device(served: &Served, arguments: &[&str]) -> String {
    let data = served.dir.join("data");
    let output = penstock(&[&["device"], arguments, &["--data", data.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn put(served: &Served, id: &str, facts: &str) {
    let answer = served.curl(
        &["-X", "PUT", "-H", "content-type: application/json", "-d", facts],
        &format!("/v1/devices/{id}"),
    );
    assert!(answer.ends_with("\n200"), "{answer}");
}

#[test]
fn facts_are_set_over_http_and_by_command_and_learned_from_data() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    put(&served, "d1", r#"{"type":"pump","location":{"lat":53.5,"lng":9.75},"tags":{"line":"4"}}"#);
    publish(&served, "mqttv5", "devices/d1/telemetry", r#"{"t":1}"#);
    run(Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &served.mqtt_port, "-V", "mqttv5", "-q", "1"])
        .args(["-D", "publish", "user-property", "penstock-firmware", "2.1"])
        .args(["-t", "acme/bremen/valve/d2/t", "-m", r#"{"value":2}"#]));
    let rows =
        served.eventually("SELECT type, lat, tags ->> 'line' FROM devices WHERE id = 'd1' AND metrics = 1");
    assert_eq!(rows, "pump,53.5,4");
    let learned = "SELECT type, site, firmware FROM devices WHERE id = 'd2' AND firmware IS NOT NULL";
    assert_eq!(served.eventually(learned), "valve,bremen,2.1");

    // By command, on the data of the running server; what people say holds.
    device(&served, &["set", "d2", "--site", "kiel", "--tag", "owner=me", "--lat", "-1.5", "--lng", "170"]);
    let said = "SELECT type, site, lat FROM devices WHERE id = 'd2' AND site = 'kiel'";
    assert_eq!(served.eventually(said), "valve,kiel,-1.5");
    device(&served, &["set", "d2", "--clear", "site", "--untag", "owner"]);
    let shown: Value = serde_json::from_str(&device(&served, &["show", "d2", "--format", "json"])).unwrap();
    assert_eq!((&shown["site"], &shown["tags"]), (&"bremen".into(), &serde_json::json!({})), "{shown}");
    let one = served.curl(&[], "/v1/devices/d2");
    assert!(one.contains(r#""learned":{"firmware":"2.1","site":"bremen","type":"valve"}"#), "{one}");

    // Registered with a token, and never heard of.
    device(&served, &["add", "d3", "--type", "gauge"]);
    let listed: Value = serde_json::from_str(&device(&served, &["list", "--format", "json"])).unwrap();
    let types: BTreeMap<_, _> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["id"].as_str().unwrap(), row["device"]["type"].as_str().unwrap_or("-")))
        .collect();
    assert_eq!(types, BTreeMap::from([("d1", "pump"), ("d2", "valve"), ("d3", "gauge")]));
    assert_eq!(served.eventually("SELECT id FROM devices WHERE last_seen IS NULL"), "d3");
    for (arguments, code) in [
        (&["show", "d9"][..], 1),
        (&["set", "d1", "--lat", "91", "--lng", "0"], 1),
        (&["set", "d1", "--lat", "1"], 2),
        (&["set", "d1", "--tag", "x"], 1),
        (&["set", "d1", "--site", "a", "--clear", "site"], 1),
    ] {
        let data = served.dir.join("data");
        let refused = penstock(&[&["device"], arguments, &["--data", data.to_str().unwrap()]].concat());
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", text(&refused.stderr));
    }
}

/// What a reader of the clean topic takes: device, metric and claimed time of each reading, with the site of its device.
fn clean(log: &Path) -> Vec<(String, String, i64, String)> {
    let log = EmbeddedLog::open(log, log::Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut taken = Vec::new();
    let mut last: BTreeMap<(Lane, u16), (u64, u32)> = BTreeMap::new();
    for (lane, index) in [Lane::Live, Lane::Backfill].iter().flat_map(|&lane| (0..16).map(move |n| (lane, n)))
    {
        let partition = PartitionId { topic: Topic::Clean, lane, index };
        let extent = log.extent(partition).unwrap();
        let mut next = extent.start;
        let mut reader = log.read(&[Position { partition, offset: next }]).unwrap();
        while next < extent.end {
            let chunk = runtime.block_on(reader.next(1 << 20)).unwrap();
            for record in chunk.runs.iter().flat_map(|run| &run.records) {
                next += 1;
                let record = CleanRecord::decode(&record.value).unwrap();
                let (source, at) = (record.source, (record.source.offset, record.source.part));
                if last.get(&(source.lane, source.partition)).is_some_and(|&seen| at <= seen) {
                    continue; // a crash repeated it
                }
                last.insert((source.lane, source.partition), at);
                let site = record.facts.site.as_deref().unwrap_or_default();
                taken.extend(record.readings.iter().map(|reading| {
                    let claimed = reading.when.claimed.nanos();
                    (record.device.to_owned(), reading.metric.to_owned(), claimed, site.to_owned())
                }));
            }
        }
    }
    runtime.block_on(log.close()).unwrap();
    taken
}

#[test]
fn the_clean_topic_has_every_reading_once_though_the_server_is_killed() {
    const ROUNDS: usize = 6;
    const DEVICES: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let now = record::Timestamp::now().nanos() / 1_000_000_000;
    for round in 0..ROUNDS {
        let served = Served::with(dir.path(), CLEAN);
        for n in 0..DEVICES {
            put(&served, &format!("d{n}"), &format!(r#"{{"site":"site {round}"}}"#));
        }
        // Live, history, and each of them twice.
        for from in [now, now - 100_000, now, now - 100_000] {
            let body: String = (0..DEVICES * 20)
                .map(|n| {
                    let (device, ts) = (n % DEVICES, from - (round * 100 + n / DEVICES) as i64);
                    format!("{{\"device_id\":\"d{device}\",\"ts\":{ts},\"metrics\":{{\"a\":{n},\"b\":{round}}}}}\n")
                })
                .collect();
            let file = dir.path().join("body");
            std::fs::write(&file, body).unwrap();
            let data = format!("@{}", file.display());
            let ndjson = "content-type: application/x-ndjson";
            let answer = served.curl(&["--data-binary", &data, "-H", ndjson], "/v1/telemetry");
            assert!(answer.ends_with("\n200"), "{answer}");
        }
        served.kill(); // somewhere between the first and the last commit
    }
    let served = Served::with(dir.path(), CLEAN);
    let expected = ROUNDS * DEVICES * 20 * 2 * 2;
    let all = format!("SELECT count(*) AS n FROM telemetry HAVING n = {expected}");
    assert_eq!(served.eventually(&all), expected.to_string());
    assert_eq!(served.terminate().code(), Some(0));

    let taken = clean(&dir.path().join("data/log"));
    let names: BTreeSet<_> =
        taken.iter().map(|(device, metric, claimed, _)| (device, metric, claimed)).collect();
    assert_eq!((taken.len(), names.len()), (expected, expected), "none lost, none twice");
    assert!(taken.iter().all(|(.., site)| site.starts_with("site ")), "every record has its facts");

    let report = penstock(&["log", "inspect", dir.path().join("data/log").to_str().unwrap()]);
    assert!(text(&report.stdout).contains("iot-telemetry-clean/"), "{}", text(&report.stdout));
}
