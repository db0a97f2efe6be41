//! Real clients with clean start off, QoS 2 and a server that is killed in between: every message once, in order.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use rigs::server::Place;

use crate::rig::server;

struct Client {
    name: &'static str,
    version: &'static str,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Where paho-mqtt and mqtt.js are installed: `make test` says so, without it the script of `make deps` is asked.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        if let Some(folder) = std::env::var_os("PENSTOCK_TEST_DEPS") {
            return folder.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install-test-deps.sh");
        let done = Command::new(script).output().expect("bash is there");
        assert!(done.status.success(), "install-test-deps.sh: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("a path").trim().into()
    })
}

impl Client {
    fn command(&self, place: &Place, phase: &[&str]) -> Command {
        let mut command = match self.name {
            "paho" => {
                let mut python = Command::new(installed().join("venv/bin/python"));
                python.arg(folder().join("paho_client.py"));
                python
            }
            "mqtt.js" => {
                let mut node = Command::new("node");
                node.arg(folder().join("mqttjs_client.js"));
                node.env("NODE_PATH", installed().join("node_modules"));
                node
            }
            _ => Command::new(folder().join("mosquitto_client.sh")),
        };
        command.arg(place.mqtt.port().to_string()).arg(self.version).args(phase);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, place: &Place, phase: &[&str]) -> String {
        let done = self.command(place, phase).output().expect("the client starts");
        self.text(&done, phase)
    }

    fn text(&self, done: &Output, phase: &[&str]) -> String {
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{} {} {phase:?}: {said}", self.name, self.version);
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}

fn numbers(to: usize) -> String {
    (0..to).map(|number| format!("{number} 2\n")).collect()
}

fn check(name: &'static str, version: &'static str) {
    let client = Client { name, version };
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let place = Place::new(&server(), &temporary.path().join("data"), temporary.path()).expect("free ports");

    // Away while messages come, half of them before the server dies and half after.
    let running = place.start(|_| {}).expect("the server starts");
    client.run(&place, &["leave"]);
    client.run(&place, &["publish", "0", "20"]);
    running.kill9().expect("it dies");
    let running = place.start(|_| {}).expect("the server starts again");
    client.run(&place, &["publish", "20", "40"]);
    assert_eq!(client.run(&place, &["return", "40"]), numbers(40), "{name} {version}: came back");

    // There while the server dies: it comes back by itself and misses nothing.
    let mut staying = client.command(&place, &["stay", "20"]).spawn().expect("the client starts");
    let mut out = BufReader::new(staying.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("the client speaks");
    assert_eq!(line, "ready\n", "{name} {version}");
    running.kill9().expect("it dies");
    let running = place.start(|_| {}).expect("the server starts again");
    client.run(&place, &["publish", "0", "20"]);
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the client speaks");
    client.text(&staying.wait_with_output().expect("the client ends"), &["stay"]);
    assert_eq!(rest, numbers(20), "{name} {version}: stayed");
    running.stop().expect("a clean end");
}

macro_rules! clients {
    ($($test:ident: $name:literal $version:literal;)*) => {
        $(#[test] fn $test() { check($name, $version); })*
    };
}

clients! {
    paho_3_1_1: "paho" "3.1.1";
    paho_5: "paho" "5";
    mqttjs_3_1_1: "mqtt.js" "3.1.1";
    mqttjs_5: "mqtt.js" "5";
    mosquitto_clients_3_1_1: "mosquitto" "3.1.1";
    mosquitto_clients_5: "mosquitto" "5";
}
