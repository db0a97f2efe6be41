//! Schemas, from the command that registers one to the reading that fits it and the message that does not.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::served::{Served, penstock, text};

const RULES: (&str, &str) = (
    "PENSTOCK__SCHEMAS__RULES",
    r#"[
        { topic = "devices/+/telemetry", firmware = "2.*", subject = "pumps-2" },
        { topic = "devices/{id}/telemetry", subject = "pumps" },
        { topic = "$http/v1/telemetry", subject = "pumps", mode = "lenient" },
    ]"#,
);

const BARE: (&str, &str) =
    ("PENSTOCK__SCHEMAS__RULES", r#"[{ topic = "fleet/#", subject = "meters", version = 1, raw = true }]"#);

const PUMPS: &str = r#"{"type":"object","additionalProperties":false,"required":["ts","metrics"],"properties":{
    "ts":{"type":"integer"},"device_id":{"type":"string"},"metrics":{"type":"object","additionalProperties":{"type":"number"}}}}"#;
const METERS: &str = r#"{"type":"record","name":"Meter","fields":[{"name":"device_id","type":["null","string"]},
    {"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"metrics","type":
    {"type":"record","name":"Metrics","fields":[{"name":"kwh","type":"double"}]}}]}"#;

/// A server, and files beside its data.
struct Desk(Served);

impl Desk {
    fn file(&self, name: &str, content: &[u8]) -> String {
        let path: PathBuf = self.0.dir.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn schema(&self, arguments: &[&str]) -> Output {
        penstock(&[&["schema"], arguments, &["--server", &self.0.http]].concat())
    }

    fn register(&self, name: &str, subject: &str, content: &str) -> String {
        let file = self.file(name, content.as_bytes());
        let output = self.schema(&["register", &file, "--subject", subject]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// What `mosquitto_pub` says on stderr; nothing when the server took it.
    fn publish(&self, topic: &str, payload: &[u8], more: &[&str]) -> String {
        let file = self.file("message", payload);
        let output = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &self.0.mqtt_port, "-V", "mqttv5", "-q", "1", "-i", "tester"])
            .args(["-t", topic, "-f", &file])
            .args(more)
            .output()
            .unwrap();
        text(&output.stderr)
    }
}

/// A meter's message: a device or none, 1 700 000 000 000 ms and the value.
fn meter(device: Option<&str>, kwh: f64) -> Vec<u8> {
    let mut bytes = match device {
        None => vec![0],
        Some(device) => [&[2, 2 * device.len() as u8][..], device.as_bytes()].concat(),
    };
    let mut ts = 2 * 1_700_000_000_000_u64;
    while ts >= 0x80 {
        bytes.push((ts & 0x7f) as u8 | 0x80);
        ts >>= 7;
    }
    bytes.push(ts as u8);
    bytes.extend(kwh.to_le_bytes());
    bytes
}

#[test]
fn what_does_not_fit_is_refused_and_told_why_and_what_fits_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk(Served::with(dir.path(), &[RULES]));
    let telemetry = "devices/p1/telemetry";
    let good = br#"{"ts":1700000000,"metrics":{"flow":1.5}}"#;

    // Nothing is registered yet.
    assert!(!desk.publish(telemetry, good, &[]).is_empty());
    assert_eq!(desk.register("pumps.json", "pumps", PUMPS), "version 1\tid 1");
    assert_eq!(desk.publish(telemetry, good, &[]), "");
    let refused = desk.publish(telemetry, br#"{"ts":1700000000,"metrics":{"flow":"much"}}"#, &[]);
    assert!(refused.to_lowercase().contains("payload format invalid"), "{refused}");
    assert_eq!(desk.0.eventually("SELECT value FROM telemetry WHERE device_id = 'p1'"), "1.5");
    let reason = desk.0.eventually("SELECT reason FROM dlq WHERE reason LIKE '%/metrics/flow%'");
    assert!(reason.contains("pumps") && reason.contains("version 1") && !reason.contains("much"), "{reason}");

    // Tried again it fits no better; mended it does.
    let replay = |mended: &str| {
        let body = format!(r#"{{"where":"reason LIKE '%/metrics/flow%'"{mended}}}"#);
        desk.0.curl(&["-H", "content-type: application/json", "-d", &body], "/v1/dlq/replay")
    };
    let answer = replay("");
    assert!(answer.contains(r#""replayed":0"#) && answer.contains("/metrics/flow"), "{answer}");
    let answer = replay(r#","payload":"{\"ts\":1700000001,\"metrics\":{\"flow\":4.5}}""#);
    assert!(answer.contains(r#""replayed":1"#), "{answer}");
    assert_eq!(desk.0.eventually("SELECT value FROM telemetry WHERE device_id = 'p1' AND value > 4"), "4.5");

    // The firmware picks another.
    desk.register("pumps-2.json", "pumps-2", &PUMPS.replace("\"ts\",", ""));
    let without_time = br#"{"metrics":{"flow":2.5}}"#;
    assert!(!desk.publish(telemetry, without_time, &[]).is_empty());
    let firmware = ["-D", "publish", "user-property", "penstock-firmware", "2.1"];
    assert_eq!(desk.publish(telemetry, without_time, &firmware), "");

    // Over HTTP: lenient, so a further field passes, and a missing one does not.
    let body = r#"{"device_id":"h1","ts":1700000000,"metrics":{"flow":3.5},"unit":"l"}"#;
    assert!(desk.0.curl(&["-d", body], "/v1/telemetry").ends_with("\n200"), "{}", desk.0.log());
    let answer = desk.0.curl(&["-d", r#"{"device_id":"h1","metrics":{"flow":3.5}}"#], "/v1/telemetry");
    assert!(answer.ends_with("\n422") && answer.contains("ts"), "{answer}");
}

#[test]
fn avro_becomes_readings_and_stays_avro_for_its_subscribers() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk(Served::with(dir.path(), &[BARE]));
    assert_eq!(desk.register("meters.avsc", "meters", METERS), "version 1\tid 1");
    // Bare, where a rule says so; the topic names the device.
    assert_eq!(desk.publish("fleet/m1/power", &meter(None, 42.5), &["-r"]), "");
    assert_eq!(
        desk.0.eventually("SELECT metric, value FROM telemetry WHERE device_id = 'm1'"),
        "power.kwh,42.5"
    );
    // Behind its id, anywhere; the payload names the device.
    let framed = [&[0, 0, 0, 0, 1][..], &meter(Some("m2"), 7.5)].concat();
    assert_eq!(desk.publish("sensors/grid", &framed, &[]), "");
    assert_eq!(desk.0.eventually("SELECT value FROM telemetry WHERE device_id = 'm2'"), "7.5");
    let refused = desk.publish("fleet/m1/power", &meter(None, 1.0)[..5], &[]);
    assert!(refused.to_lowercase().contains("payload format invalid"), "{refused}");
    // What was retained is what was sent.
    let output = Command::new("mosquitto_sub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &desk.0.mqtt_port,
            "-t",
            "fleet/m1/power",
            "-C",
            "1",
            "-N",
            "-W",
            "10",
        ])
        .output()
        .unwrap();
    assert_eq!(output.stdout, meter(None, 42.5));
    // Over HTTP, too.
    let file = desk.file("body", &framed);
    let data = format!("@{file}");
    let answer =
        desk.0.curl(&["-H", "content-type: application/avro", "--data-binary", &data], "/v1/telemetry");
    assert!(answer.ends_with("\n200"), "{answer}");
}

#[test]
fn commands_list_show_compare_and_check() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk(Served::start(dir.path()));
    desk.register("pumps.json", "a/pumps", PUMPS);
    desk.register("meters.avsc", "meters", METERS);
    let listed = text(&desk.schema(&["list"]).stdout);
    assert_eq!(listed, "a/pumps\tversion 1\tid 1\tJSON\nmeters\tversion 1\tid 2\tAVRO\n");
    assert_eq!(text(&desk.schema(&["show", "a/pumps"]).stdout).trim(), PUMPS);
    let compat = |content: &str| {
        let file = desk.file("next.json", content.as_bytes());
        let output = desk.schema(&["compat", &file, "--subject", "a/pumps"]);
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(compat(&PUMPS.replace("\"ts\",", "")), (Some(0), String::new()));
    let (code, said) = compat(&PUMPS.replace("number", "boolean"));
    assert!(code == Some(1) && said.contains("ADDITIONAL_PROPERTIES_NARROWED"), "{said}");
    let check = |payload: &[u8], subject: &str| {
        let file = desk.file("message", payload);
        let output = desk.schema(&["check", &file, "--subject", subject]);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, said) = check(br#"{"ts":1,"metrics":{"flow":"x"}}"#, "a/pumps");
    assert!(code == Some(1) && said.contains("/metrics/flow"), "{said}");
    let (code, shown, said) = check(&meter(Some("m1"), 1.5), "meters");
    assert_eq!(code, Some(0), "{said}");
    assert!(shown.contains(r#""device_id":"m1""#) && shown.contains(r#""kwh":1.5"#), "{shown}");
    assert_eq!(check(b"{}", "nothing").0, Some(1));
}
