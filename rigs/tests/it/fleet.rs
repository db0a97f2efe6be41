//! `penstock fleet run --verify`: every acknowledged reading is asked back, whatever the devices did meanwhile.

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
