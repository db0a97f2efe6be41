//! What `penstock doctor` finds, and what a server says that cannot start.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::served::{PENSTOCK, Served, serve, text};

/// Doctor on free ports, over `dir`; nobody answers at port 1.
fn doctor(dir: &Path, more: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PENSTOCK);
    for key in ["HTTP", "PGWIRE", "GATEWAY__MQTT", "GATEWAY__WEBSOCKET"] {
        command.env(format!("PENSTOCK__{key}__LISTEN"), "127.0.0.1:0");
    }
    command
        .args(["doctor", "--format", "json", "--server", "http://127.0.0.1:1", "--data"])
        .arg(dir.join("data"))
        .envs(more.iter().copied());
    command
}

/// The finding of `check` that is wrong.
fn wrong(output: &Output, check: &str) -> String {
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = findings.as_array().unwrap().iter().find(|f| f["check"] == check && f["good"] == false);
    assert_eq!(output.status.code(), Some(1), "{findings}");
    found.unwrap_or_else(|| panic!("{check} is good: {findings}"))["finding"].as_str().unwrap().to_owned()
}

fn right(output: &Output, check: &str) {
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = findings.as_array().unwrap().iter().any(|f| f["check"] == check && f["good"] == true);
    assert!(found, "{check}: {findings}");
}

#[test]
fn a_machine_is_looked_at_without_leaving_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let output = doctor(dir.path(), &[]).output().unwrap();
    for check in [
        "configuration",
        "exposure",
        "data",
        "clock",
        "http.listen",
        "pgwire.listen",
        "gateway.mqtt.listen",
        "server",
    ] {
        right(&output, check);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_taken_port_is_told_with_the_key_that_changes_it() {
    let dir = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let told = wrong(
        &doctor(dir.path(), &[("PENSTOCK__PGWIRE__LISTEN", &taken)]).output().unwrap(),
        "pgwire.listen",
    );
    assert!(told.contains(&taken) && told.contains("ss -ltnp"), "{told}");
    let elsewhere = doctor(
        dir.path(),
        &[("PENSTOCK__HTTP__LISTEN", "192.0.2.1:80"), ("PENSTOCK__AUTH__MODE", "required")],
    );
    let told = wrong(&{ elsewhere }.output().unwrap(), "http.listen");
    assert!(told.contains("no address of this machine"), "{told}");
}

#[test]
fn who_is_open_to_others_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let output = doctor(dir.path(), &[("PENSTOCK__PGWIRE__LISTEN", "0.0.0.0:0")]).output().unwrap();
    let told = wrong(&output, "exposure");
    assert!(told.contains("pgwire.listen") && told.contains("required"), "{told}");
}

#[test]
fn a_data_directory_in_use_is_told_with_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let told = wrong(&doctor(dir.path(), &[]).output().unwrap(), "server");
    assert!(told.contains("does not answer") && told.contains("kill"), "{told}");
    served.kill();
    right(&doctor(dir.path(), &[]).output().unwrap(), "server");
}

#[test]
fn a_server_is_found_where_the_configuration_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let at = served.http.trim_start_matches("http://").to_owned();
    right(&doctor(dir.path(), &[("PENSTOCK__HTTP__LISTEN", &at)]).output().unwrap(), "server");
}

#[test]
fn a_certificate_that_cannot_be_used_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().display();
    let tls =
        format!(r#"{{ listen = "127.0.0.1:0", cert = "{files}/server.pem", key = "{files}/server.key" }}"#);
    let settings = [("PENSTOCK__GATEWAY__MQTT_TLS", &*tls)];
    let told = wrong(&doctor(dir.path(), &settings).output().unwrap(), "gateway.mqtt_tls");
    assert!(told.contains("server.pem cannot be read"), "{told}");
}

#[test]
fn a_data_directory_that_is_a_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("data"), "").unwrap();
    let told = wrong(&doctor(dir.path(), &[]).output().unwrap(), "data");
    assert!(told.contains("is no directory"), "{told}");
    let refused = serve(dir.path()).output().unwrap();
    let said = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("name another with --data"), "{said}");
}

#[test]
fn files_from_the_future_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data/log");
    std::fs::create_dir_all(&data).unwrap();
    let file = std::fs::File::create(data.join("x")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
    let told = wrong(&doctor(dir.path(), &[]).output().unwrap(), "clock");
    assert!(told.contains("set the clock"), "{told}");
    let served = Served::start(dir.path());
    assert!(served.log().contains("files of the data directory were written at"), "{}", served.log());
}

#[test]
fn few_open_files_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let limited = |command: &Command| {
        let mut shell = Command::new("bash");
        shell
            .args(["-c", "ulimit -n 512; exec \"$0\" \"$@\""])
            .arg(command.get_program())
            .args(command.get_args());
        for (key, value) in command.get_envs() {
            shell.env(key, value.unwrap());
        }
        shell
    };
    let told = wrong(&limited(&doctor(dir.path(), &[])).output().unwrap(), "open files");
    assert!(told.contains("at most 512") && told.contains("LimitNOFILE"), "{told}");
}

/// A program of ours that another user may run, and a place where they may look.
fn for_nobody(dir: &Path) -> std::path::PathBuf {
    std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
    let program = dir.join("penstock");
    if std::fs::hard_link(PENSTOCK, &program).is_err() {
        std::fs::copy(PENSTOCK, &program).unwrap();
    }
    program
}

#[test]
fn the_wrong_user_is_told_whose_the_directory_is() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = for_nobody(dir.path());
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let nobody = 65_534;
    let look = |command: &Command| {
        let mut other = Command::new(&program);
        other.args(command.get_args()).uid(nobody).gid(nobody).current_dir("/");
        for (key, value) in command.get_envs() {
            other.env(key, value.unwrap());
        }
        other.output().unwrap()
    };
    let told = wrong(&look(&doctor(dir.path(), &[])), "data");
    assert!(told.contains("belongs to user 0, this is user 65534") && told.contains("chown -R"), "{told}");
    let refused = look(&serve(dir.path()));
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("belongs to user 0, this process runs as user 65534"), "{said}");

    std::fs::write(dir.path().join("data/left"), "").unwrap();
    std::os::unix::fs::chown(dir.path().join("data/left"), Some(nobody), None).unwrap();
    let told = wrong(&doctor(dir.path(), &[]).output().unwrap(), "data");
    assert!(told.contains("left belongs to user 65534") && told.contains("chown -R 0"), "{told}");
}
