//! The guides' programs, as they stand there; only addresses and paths are other ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::root;
use crate::served::{PENSTOCK, Served, run, text, until};

/// The blocks of a page in a language, in their order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("docs/guides").join(page)).unwrap();
    let mut found = Vec::new();
    let mut rest = &text[..];
    let opening = format!("\n```{language}\n");
    while let Some(at) = rest.find(&opening) {
        let after = &rest[at + opening.len()..];
        let end = after.find("\n```").unwrap();
        found.push(after[..=end].to_owned());
        rest = &after[end..];
    }
    assert!(!found.is_empty(), "{page} has no {language}");
    found
}

/// With the ports of this server.
fn here(program: &str, served: &Served) -> String {
    let port = &served.mqtt_port;
    program
        .replace("http://localhost:8080", &served.http)
        .replace("localhost -p 1883", &format!("127.0.0.1 -p {port}"))
        .replace("\"localhost\", 1883", &format!("\"127.0.0.1\", {port}"))
}

/// Runs shell commands, each of which must succeed, with our binary as `penstock`.
fn shell(program: &str, dir: &Path) -> String {
    let program = format!("set -euo pipefail\npenstock() {{ {PENSTOCK} \"$@\"; }}\n{program}");
    text(&run(Command::new("bash").args(["-c", &program]).current_dir(dir)).stdout)
}

fn readings(served: &Served, device: &str, least: u32) -> String {
    let found =
        format!("SELECT count(*) FROM telemetry WHERE device_id = '{device}' HAVING count(*) >= {least}");
    served.eventually(&found);
    served.query(&[
        "--format",
        "csv",
        &format!("SELECT metric, value FROM telemetry WHERE device_id = '{device}' ORDER BY time, metric"),
    ])
}

fn python() -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("PENSTOCK_TEST_DEPS")?).join("venv/bin/python");
    python.exists().then_some(python)
}

#[test]
fn shell_commands_connect_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let blocks = blocks("connect.md", "sh");
    assert_eq!(blocks.len(), 2);
    shell(&here(&blocks[0], &served), dir.path());
    for (device, rows) in [("sh-1", 1), ("sh-2", 2), ("sh-3", 1)] {
        readings(&served, device, rows);
    }
    let told = shell(&here(&blocks[1], &served), dir.path());
    assert!(told.contains("21.5") && told.contains("sh-2") && told.contains("weather.temperature"), "{told}");
}

#[test]
fn the_python_program_connects_a_device() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with paho-mqtt");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for program in blocks("connect.md", "python") {
        run(Command::new(&python).args(["-c", &here(&program, &served)]));
    }
    assert_eq!(
        readings(&served, "py-1", 3).replace('\r', ""),
        "metric,value\ntemperature,20\ntemperature,21\ntemperature,22\n"
    );
}

#[test]
fn the_c_program_connects_a_device() {
    if !Path::new("/usr/include/mosquitto.h").exists()
        || Command::new("gcc").arg("--version").output().is_err()
    {
        eprintln!("skipped: no gcc with libmosquitto-dev");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let program = here(&blocks("connect.md", "c")[0], &served);
    std::fs::write(dir.path().join("device.c"), program).unwrap();
    shell("gcc -Wall -Wextra -Werror device.c -o device -lmosquitto", dir.path());
    run(&mut Command::new(dir.path().join("device")));
    assert!(readings(&served, "c-1", 1).contains("temperature,21.5"));
}

#[test]
fn what_telegraf_asks_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    // As its output plugin writes: its query parameters, its header, its tags.
    let line = "cpu,cpu=cpu0,host=pi usage_idle=97.5 1700000000000000000\n";
    let answer = served.curl(
        &[
            "-H",
            "Authorization: Token ",
            "-H",
            "Content-Type: text/plain; charset=utf-8",
            "--data-binary",
            line,
        ],
        "/api/v2/write?bucket=any&org=any",
    );
    assert!(answer.ends_with("\n204"), "{answer}");
    assert!(readings(&served, "pi", 1).contains("cpu.usage_idle{cpu=cpu0}"));
}

#[test]
fn a_backup_is_restored_with_every_reading() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let body: String = (0..500)
        .map(|n| format!("{{\"device_id\":\"d{n}\",\"metric\":\"m\",\"value\":{n},\"ts\":1700000000}}\n"))
        .collect();
    let answer =
        served.curl(&["--data-binary", &body, "-H", "content-type: application/x-ndjson"], "/v1/telemetry");
    assert!(answer.contains(r#""accepted":500"#), "{answer}");

    // Services are started and stopped by the test; users are those of the test.
    let manual = |line: &&str| !line.starts_with("systemctl") && !line.starts_with("chown");
    let at = |block: &str, place: &str| {
        let block = block.replace("/var/lib/penstock", place);
        block.lines().filter(manual).collect::<Vec<_>>().join("\n")
    };
    let blocks = blocks("backup.md", "sh");
    assert_eq!(blocks.len(), 2);
    assert_eq!(served.terminate().code(), Some(0));
    let data = dir.path().join("data");
    shell(&at(&blocks[0], data.to_str().unwrap()), dir.path());

    let other = tempfile::tempdir().unwrap();
    std::fs::rename(dir.path().join("penstock-backup.tar.gz"), other.path().join("penstock-backup.tar.gz"))
        .unwrap();
    let restore = at(&blocks[1], other.path().join("data").to_str().unwrap());
    let (before, after) = restore.split_once("penstock doctor").unwrap();
    shell(before, other.path());
    let served = Served::start(other.path());
    // Its findings are those of this machine, which may be small; that it is restored is asked below.
    let checks = format!(
        "penstock doctor --server {}{}",
        served.http,
        after.replace("ledger verify", &format!("ledger verify --server {}", served.http))
    );
    let checks = checks.replacen('\n', " || true\n", 1);
    shell(&checks, other.path());
    assert_eq!(served.eventually("SELECT count(*) FROM telemetry HAVING count(*) >= 500"), "500");
}

#[test]
fn the_commands_that_secure_a_server_do() {
    let dir = tempfile::tempdir().unwrap();
    let (commands, settings) = (blocks("securing.md", "sh"), blocks("securing.md", "toml"));
    assert_eq!((commands.len(), settings.len()), (5, 2));
    let at = |block: &str| block.replace("/var/lib/penstock", dir.path().join("data").to_str().unwrap());
    shell(&commands[3], dir.path()); // a certificate
    let files = settings
        .concat()
        .replace("/etc/penstock", dir.path().to_str().unwrap())
        .replace("0.0.0.0:8883", "127.0.0.1:0");
    let config = dir.path().join("penstock.toml");
    std::fs::write(&config, files).unwrap();
    let served = Served::with(dir.path(), &[("PENSTOCK_CONFIG", config.to_str().unwrap())]);
    shell(&at(&commands[0]), dir.path());
    let refused = Command::new("mosquitto_pub")
        .args([
            "-p",
            &served.mqtt_port,
            "-i",
            "pump-1",
            "-q",
            "1",
            "-t",
            "devices/pump-1/telemetry",
            "-m",
            "{}",
        ])
        .output()
        .unwrap();
    assert!(!refused.status.success(), "nobody without a token");
    // The device, then who asks; a reading is there soon after its acknowledgement.
    let (publish, ask) = here(&commands[1], &served)
        .trim_end()
        .split_once('\n')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    shell(&publish, dir.path());
    until("the reading can be asked for", || {
        let ask = format!("{ask} || true");
        shell(&ask, dir.path()).contains("21.5").then_some(())
    });

    shell(&at(&commands[0]).replace("pump-1", "pump-2").replace("dashboard", "another"), dir.path());
    let tls = commands[4].replace("-p 8883", &format!("-p {}", served.mqtt_tls_port));
    shell(&tls, dir.path());

    shell(&at(&commands[2]), dir.path());
    let again = Command::new("bash").args(["-c", &publish]).current_dir(dir.path()).output().unwrap();
    assert!(!again.status.success(), "a revoked token still holds");
}
