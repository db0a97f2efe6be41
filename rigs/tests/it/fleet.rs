//! `penstock fleet run --verify`: every acknowledged reading is asked back, whatever the devices did meanwhile; each
//! fault against the real server, over MQTT and HTTP.

use std::process::{Command, Output};

use rigs::server::Place;

use crate::rig::server;

fn whole(folder: &std::path::Path) -> Place {
    let mut place = Place::new(&server(), &folder.join("data"), folder).expect("free ports");
    place.roles = r#"["gateway", "stream", "store", "query", "control"]"#.into();
    place
}

/// Devices that lose their connection, repeat themselves and send rubbish, then asked for at `asked`.
fn run(place: &Place, asked: &Place) -> Output {
    let mut fleet = Command::new(&place.binary);
    fleet.args(["fleet", "run", "--devices", "20", "--interval", "0.2", "--metrics", "4", "--duration", "2"]);
    fleet.args(["--faults", "drop=0.05,duplicate=0.05,malformed=0.05", "--verify", "--settle", "10"]);
    fleet.arg("--target").arg(place.mqtt.to_string());
    fleet.arg("--server").arg(format!("http://{}", asked.http));
    fleet.output().expect("the fleet starts")
}

#[test]
fn every_acknowledged_reading_is_found_and_a_server_without_them_is_caught() {
    let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (place, empty) = (whole(one.path()), whole(other.path()));
    let (running, idle) = (place.start(|_| {}).expect("starts"), empty.start(|_| {}).expect("starts"));

    let done = run(&place, &place);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{text}\n{said}");
    assert!(text.contains(" 0 missing, 0 different, 0 doubled"), "{text}");
    // One in twenty of 200 messages broke its connection, one in twenty was rubbish.
    assert!(text.contains("sent again") && text.contains("refused"), "{text}");

    let elsewhere = run(&place, &empty);
    assert_eq!(elsewhere.status.code(), Some(1), "{}", String::from_utf8_lossy(&elsewhere.stdout));
    running.stop().expect("a clean end");
    idle.stop().expect("a clean end");
}

/// A run of two seconds, with a fleet of its own; its devices are called after `name`.
fn faulty(
    place: &Place,
    name: &str,
    faults: &str,
    more: &[&str],
) -> (Option<i32>, serde_json::Value, String) {
    let mut fleet = Command::new(&place.binary);
    fleet.args(["fleet", "run", "--devices", "12", "--interval", "0.1", "--duration", "2", "--verify"]);
    fleet.args(["--format", "json", "--settle", "20", "--topic", &format!("devices/{name}-{{i}}/telemetry")]);
    fleet.args(["--anomalies", "0.5", "--faults", faults]);
    fleet.arg("--server").arg(format!("http://{}", place.http)).args(more);
    if !more.contains(&"--http") {
        fleet.arg("--target").arg(place.mqtt.to_string());
    }
    let done = fleet.output().expect("the fleet starts");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let report = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {}\n{said}", String::from_utf8_lossy(&done.stdout)));
    (done.status.code(), report, said)
}

#[test]
fn whatever_goes_wrong_what_was_acknowledged_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = whole(folder.path());
    let running = place.start(|_| {}).expect("starts");
    let everything = "drop=0.03,duplicate=0.05,replay=0.05,reorder=0.05,malformed=0.03,oversize=0.01,offline=0.2,\
                      skew=0.3,reset=0.3,storm=0.5";
    let mut cases: Vec<(String, &str, &[&str])> = Vec::new();
    for fault in everything.split(',') {
        // Often enough to be seen in two seconds.
        let (name, _) = fault.split_once('=').expect("name=share");
        let share = if name == "oversize" { "0.03" } else { "0.3" };
        cases.push((name.to_owned(), share, &[]));
    }
    for (name, share, more) in &cases {
        holds(&place, name, &format!("{name}={share}"), more, &[name]);
    }
    let names: Vec<&str> =
        cases.iter().map(|(name, ..)| name.as_str()).filter(|name| *name != "drop").collect();
    holds(&place, "all5", everything, &[], &names);
    holds(&place, "all3", everything, &["--mqtt", "3.1.1"], &names);
    holds(&place, "all2", everything, &["--qos", "2"], &names);
    holds(&place, "allh", everything, &["--http"], &names);
    running.stop().expect("a clean end");
}

/// A run ends well, has had what was asked for, and everything is there.
fn holds(place: &Place, name: &str, faults: &str, more: &[&str], seen: &[&str]) {
    let (code, report, said) = faulty(place, name, faults, more);
    assert_eq!(code, Some(0), "{name}: {report:#}\n{said}");
    let (verify, fleet) = (&report["verify"], &report["fleet"]);
    assert!(verify["found"].as_u64() > Some(500), "{name}: {verify:#}");
    assert_eq!(verify["found"], verify["acknowledged"], "{name}: {verify:#}");
    assert!(!fleet["anomalies"].as_array().expect("a list").is_empty(), "{name}: {fleet:#}");
    for fault in seen.iter().filter(|fault| **fault != "drop") {
        assert!(fleet["faults"][*fault].as_u64() > Some(0), "{name}, {fault}: {fleet:#}");
    }
    if seen.contains(&"malformed") {
        assert!(verify["broken"].as_u64() > Some(0), "{name}: {verify:#}");
    }
    if seen.contains(&"reset") {
        // Those in 1970 arrive under another time, or marked; none is lost.
        let put_right = verify["corrected"].as_u64().max(verify["suspect"].as_u64());
        assert!(put_right > Some(0), "{name}: {verify:#}");
    }
}

#[test]
fn clocks_are_judged_as_the_policy_of_the_server_has_it() {
    for (policy, corrected) in [("accept", false), ("correct", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let place = whole(folder.path());
        let set = |command: &mut Command| {
            command
                .env("PENSTOCK__STREAM__CLOCK__POLICY", policy)
                .env("PENSTOCK__STREAM__CLOCK__MAX_SKEW_S", "1");
        };
        let running = place.start(set).expect("starts");
        let (code, report, said) = faulty(&place, policy, "skew=0.6,reset=0.3", &[]);
        assert_eq!(code, Some(0), "{policy}: {report:#}\n{said}");
        assert_eq!(report["verify"]["corrected"].as_u64() > Some(0), corrected, "{policy}: {report:#}");
        running.stop().expect("a clean end");
    }
}

#[test]
fn a_closed_loop_over_either_protocol_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = whole(folder.path());
    let running = place.start(|_| {}).expect("starts");
    let url = format!("http://{}", place.http);
    for (protocol, more) in
        [("mqtt", vec!["--target".to_owned(), place.mqtt.to_string()]), ("http", vec!["--http".to_owned()])]
    {
        let mut fleet = Command::new(&place.binary);
        fleet.args([
            "fleet",
            "run",
            "--devices",
            "4",
            "--closed",
            "--duration",
            "0.5",
            "--verify",
            "--settle",
            "20",
        ]);
        fleet.args(["--topic", &format!("devices/{protocol}-{{i}}/telemetry"), "--server", &url]).args(&more);
        let done = fleet.output().expect("the fleet starts");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(done.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&done.stderr));
        assert!(text.contains(&format!("mixed devices over {protocol}")), "{text}");
        assert!(text.contains(" 0 missing, 0 different, 0 doubled"), "{text}");
    }
    running.stop().expect("a clean end");
}
