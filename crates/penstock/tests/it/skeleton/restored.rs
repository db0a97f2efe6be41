//! The disk is lost, and `penstock cold restore` makes a data directory of what lies in the object store.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::cold::write_a_day;
use crate::served::{PENSTOCK, Served, text, until};

/// Azurite, of the test dependencies, with a container.
const AZURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../series/tests/it/cold/azure.js");

/// An object store. It ends with the test.
pub(super) struct Peer(Child);

impl Peer {
    /// Starts it, and returns its address too.
    pub(super) fn start(command: &mut Command) -> (Self, String) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut peer = Self(command.spawn().unwrap());
        let mut address = String::new();
        BufReader::new(peer.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("http://"), "the peer did not start: {address:?}");
        (peer, address.trim().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn restore(url: &str, to: &Path, environment: &[(&str, &str)], more: &[&str]) -> Output {
    let mut command = Command::new(PENSTOCK);
    command.args(["cold", "restore", "--url", url, "--to"]).arg(to).args(more);
    command.envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

fn verified(served: &Served) {
    until("the ledger balances", || {
        let output = crate::served::penstock(&["ledger", "verify", "--server", &served.http]);
        match output.status.success() {
            true => Some(()),
            false => {
                eprintln!("{}", text(&output.stderr));
                None
            }
        }
    });
}

/// All answers about the device whose readings are cold.
fn ask(served: &Served) -> [String; 3] {
    let sql =
        "SELECT count(*), min(value), max(value) FROM telemetry WHERE device_id = 'car' AND metric = 'speed'";
    let answer = served.query(&["--format", "csv", sql]);
    let path = "/v1/query?device_id=car&metric=speed&every=1%20hour&agg=max";
    [
        answer.lines().last().unwrap().to_owned(),
        served.curl(&[], path),
        served.curl(&[], "/v1/devices/car/latest"),
    ]
}

/// A server's readings become cold, its disk is lost, a data directory is made of the objects, and a server goes on with it.
fn loses_its_disk(dir: &Path, url: &str, environment: &[(&str, &str)]) {
    let data = dir.join("data");
    std::fs::create_dir_all(&data).unwrap();
    write_a_day(dir, &["car", "van"]);
    let cold = [("PENSTOCK__SERIES__COLD__URL", url), ("PENSTOCK__SERIES__COLD__AFTER_DAYS", "7")];
    let cold = [&cold[..], environment].concat();
    let served = Served::with(dir, &cold);
    until("the run is cold", || {
        served.curl(&[], "/metrics").contains("\npenstock_store_cold_objects 1\n").then_some(())
    });
    let rule = r#"{"name":"too fast","when":"speed > 300","severity":"info"}"#;
    let added = served.curl(&["-H", "content-type: application/json", "-d", rule], "/v1/rules");
    assert!(added.contains("too fast"), "{added}");
    let hot = r#"{"device_id":"hot","metric":"weight","value":1}"#;
    assert!(served.curl(&["-d", hot], "/v1/telemetry").ends_with("\n200"));
    served.eventually("SELECT value FROM telemetry WHERE device_id = 'hot'");
    let expected = ask(&served);
    assert!(expected[0].starts_with("5000,0") && expected[1].contains("\"cold\""), "{expected:?}");
    let refused = restore(url, &data, environment, &[]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("is not empty"), "{said}");
    // The catalogue is there a moment after the run.
    let made = dir.join("made");
    let restored = until("it is restored", || {
        let output = restore(url, &made, environment, &["--format", "json"]);
        output.status.success().then_some(output)
    });
    served.kill();
    let summary: serde_json::Value = serde_json::from_slice(&restored.stdout).unwrap();
    assert_eq!((&summary["finished"], &summary["files"]), (&true.into(), &1.into()), "{summary}");
    assert_eq!(summary["tenants"][0]["readings"], 10_000, "{summary}");
    // A copy of the metadata is taken along, as the page says.
    let mut copied = 0;
    for file in ["metadata.db", "metadata.db-wal"] {
        copied += u64::from(std::fs::copy(data.join(file), made.join(file)).is_ok());
    }
    assert!(copied > 0);
    let page = include_str!("../../../../../docs/tiers.md");
    let line = page.lines().find(|line| line.starts_with("sqlite3 metadata.db ")).unwrap();
    let metadata = rusqlite::Connection::open(made.join("metadata.db")).unwrap();
    metadata.execute_batch(line.split('"').nth(1).unwrap()).unwrap();
    drop(metadata);
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&made, &data).unwrap();

    let served = Served::with(dir, &cold);
    assert_eq!(ask(&served), expected);
    assert!(served.curl(&[], "/v1/rules").contains("too fast"));
    verified(&served);
    // The log is empty, and the store takes what comes: a reading it has, one for the cold day, a new one, a new device.
    let day = 19_676 * 86_400;
    let sent = format!(
        r#"[{{"device_id":"car","metric":"speed","value":7,"ts":{}}},{{"device_id":"car","metric":"speed","value":9,"ts":{}}},
            {{"device_id":"car","metric":"speed","value":8,"ts":{}}},{{"device_id":"boat","metric":"speed","value":3,"ts":{}}}]"#,
        day + 7,
        day + 6000,
        day + 86_400 * 9,
        day + 86_400 * 9
    );
    let accepted = served.curl(&["-d", &sent], "/v1/telemetry");
    assert!(accepted.contains("\"accepted\":4"), "{accepted}");
    let all = "SELECT sum(c) FROM (SELECT count(*) AS c FROM telemetry WHERE metric = 'speed' GROUP BY device_id HAVING count(*) > 0)";
    until("they are stored", || (served.eventually(all) == "10003").then_some(()));
    verified(&served);
    let ledger = served.query(&["--format", "csv", "SELECT sum(duplicate) FROM ledger"]);
    assert!(ledger.ends_with('1') || ledger.trim_end().ends_with("\n1"), "{ledger}");
    served.kill();
    let served = Served::with(dir, &cold);
    assert_eq!(served.eventually(all), "10003");
    verified(&served);
    // What is to be forgotten is, also out of an object that another store put there.
    let erased = served.curl(&["-X", "DELETE"], "/v1/devices/van/data?reason=asked");
    assert!(erased.contains("5000") && erased.ends_with("200"), "{erased}");
    assert_eq!(served.eventually(all), "5003");
    verified(&served);
    assert!(served.terminate().success());
    let nothing = restore(url, &dir.join("nothing"), environment, &["--format", "json"]);
    assert_ne!(nothing.status.code(), Some(2), "{}", text(&nothing.stderr));
}

#[test]
fn a_server_goes_on_with_what_was_restored_from_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/cold", dir.path().display());
    loses_its_disk(dir.path(), &url, &[]);
    // Wrong use is said before anything is made.
    for (url, expected) in [
        ("cold", "--url: \"cold\" is no address"),
        ("file:///nowhere/at/all", "there is no directory /nowhere/at/all"),
    ] {
        let refused = restore(url, &dir.path().join("none"), &[], &[]);
        let said = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && said.contains(expected), "{said}");
    }
    assert!(!dir.path().join("none").exists());
}

/// By the environment variables that docs/tiers.md names.
#[test]
fn a_server_goes_on_with_what_was_restored_from_azure() {
    if std::env::var("PENSTOCK_TEST_DEPS").is_err() {
        eprintln!("skipped: PENSTOCK_TEST_DEPS is not set");
        return;
    }
    let (_peer, address) = Peer::start(Command::new("node").arg(AZURE));
    let endpoint = format!("{address}/devstoreaccount1");
    let key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let environment = [
        ("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1"),
        ("AZURE_STORAGE_ACCOUNT_KEY", key),
        ("AZURE_STORAGE_ENDPOINT", &*endpoint),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    let dir = tempfile::tempdir().unwrap();
    loses_its_disk(dir.path(), "az://bucket/some/prefix", &environment);
}

#[test]
fn a_server_does_not_begin_beside_a_restore_that_is_not_finished() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("data/series.restoring")).unwrap();
    let refused = crate::served::serve(dir.path()).stderr(Stdio::piped()).output().unwrap();
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("penstock cold restore"), "{said}");
}
