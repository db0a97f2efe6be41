//! `make demo`, without the build.

use std::process::Command;

use crate::house::root;
use crate::served::{PENSTOCK, run, text};

#[test]
fn the_demo_shows_this_machines_readings_and_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(Command::new("scripts/demo.sh")
        .current_dir(root())
        .env("DEMO_BINARY", PENSTOCK)
        .env("DEMO_DATA", dir.path())
        .env("DEMO_SECONDS", "0")
        .env("PENSTOCK__HTTP__LISTEN", "127.0.0.1:0")
        .env("PENSTOCK__PGWIRE__LISTEN", "127.0.0.1:0")
        .env("PENSTOCK__GATEWAY__MQTT__LISTEN", "127.0.0.1:0")
        .env("PENSTOCK__GATEWAY__WEBSOCKET__LISTEN", "127.0.0.1:0"));
    let said = text(&output.stdout);
    assert!(said.contains("cpu.busy_percent") && said.contains("Penstock runs."), "{said}");
    assert!(text(&output.stderr).contains("stopped"), "the server drained: {}", text(&output.stderr));
}
