//! Commands that need no server.

use crate::served::{PENSTOCK, penstock, text};

fn check_config(toml: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("penstock.toml");
    std::fs::write(&file, toml).unwrap();
    let output = penstock(&["config", "check", "--config", file.to_str().unwrap()]);
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    for (toml, words) in [
        ("htp = 1", &["line 1", "htp"][..]),
        ("[http]\nlisten = 5", &["line 2", "string"]),
        ("[http]\nlisten = \"here\"", &["http.listen", "127.0.0.1:8080"]),
        ("[gateway.mqtt]\nlisten = \"here\"", &["gateway.mqtt.listen"]),
        ("[gateway.topics]\ntemplates = [\"a/{id\"]", &["gateway.topics.templates"]),
        ("[series]\nkind = \"timescale\"", &["series.kind", "parquet"]),
        ("[log]\nkind = \"kafka\"", &["log.kind", "embedded"]),
        ("roles = []", &["roles"]),
        ("roles = [\"king\"]", &["line 1", "king"]),
        ("[otlp]\nendpoint = \"https://collector:4318\"", &["otlp.endpoint", "http://"]),
        ("[otlp]\nendpoint = \"collector\"", &["otlp.endpoint", "http://127.0.0.1:4318"]),
        ("[otlp]\nendpoint = \"http://c:4318\"\nfigures_every_s = 0", &["otlp.figures_every_s"]),
        ("[log_output]\nformat = \"xml\"", &["line 2", "xml"]),
        ("[log_output]\nfilter = \"info,verbose\"", &["log_output.filter", "verbose", "error, warn, info"]),
        ("[auth]\ntoken_min_bytes = 1", &["auth.token_min_bytes"]),
    ] {
        let (code, said) = check_config(toml);
        assert_eq!(code, Some(1), "{toml}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{toml}: {said}");
    }
    assert_eq!(check_config("").0, Some(0));
}

#[test]
fn an_unknown_level_of_logs_is_refused_by_every_command() {
    for arguments in [&["serve", "--log", "verbose"][..], &["--log", "info,all", "config", "show"]] {
        let output = penstock(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("is no level: write off, error, warn, info, debug or trace"), "{said}");
    }
}

#[test]
fn the_page_of_all_keys_is_good_and_shows_the_defaults() {
    let page = crate::house::root().join("docs/penstock.toml");
    let shown = |arguments: &[&str]| {
        let output = penstock(&[&["config", "show"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let all: String = text(&output.stdout);
        // Of the gateway only what is written is shown; a log age that is written is the one that is the default.
        let parts = all.split("\n\n").filter(|part| !part.trim_start().starts_with("[gateway"));
        parts.map(|part| part.trim().replace("\nmax_age_hours = 168", "")).collect::<Vec<_>>()
    };
    assert_eq!(shown(&["--config", page.to_str().unwrap()]), shown(&[]));
}

#[test]
fn the_environment_lies_over_the_file() {
    let show = |variable: &str, value: &str| {
        let mut command = std::process::Command::new(PENSTOCK);
        let output = command.args(["config", "show"]).env(variable, value).output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, shown) = show("PENSTOCK__HTTP__LISTEN", "127.0.0.1:99");
    assert!(code == Some(0) && shown.contains("listen = \"127.0.0.1:99\""), "{shown}");
    let (code, shown) = show("PENSTOCK__DATA_DIR", "1234"); // a number where text belongs is text
    assert!(code == Some(0) && shown.contains("data_dir = \"1234\""), "{shown}");
    let (code, shown) = show("PENSTOCK__ROLES", "[\"query\"]");
    assert!(code == Some(0) && shown.contains("roles = [\"query\"]"), "{shown}");
    let (code, shown) = show("PENSTOCK__HTTP__LISTN", "x");
    assert!(code == Some(1) && shown.contains("PENSTOCK__HTTP__LISTN"), "{shown}");
}

#[test]
fn wrong_use_is_2_and_no_is_1() {
    for (arguments, code) in [
        (&["nonsense"][..], 2),
        (&["query"], 2),
        (&["query", "--server", "http://127.0.0.1:1", "SELECT 1"], 1),
        (&["serve", "--config", "no-such-file"], 2),
        (&["config", "check"], 0),
        (&["--version"], 0),
    ] {
        assert_eq!(penstock(arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn credentials_are_shown_once_listed_without_their_secret_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let added = penstock(&["device", "add", "d1", "--data", data]);
    let token = text(&added.stdout);
    assert!(added.status.success() && token.starts_with("ps1."), "{token}");
    let listed = text(&penstock(&["device", "list", "--data", data, "--format", "json"]).stdout);
    assert!(listed.contains("\"d1\"") && !listed.contains(token.trim()), "{listed}");
    assert_eq!(text(&penstock(&["key", "list", "--data", data]).stdout), "", "a device is no service");
    let revoke = || penstock(&["device", "revoke", "d1", "--data", data]).status.code();
    assert_eq!((revoke(), revoke()), (Some(0), Some(1)));
}

#[test]
fn a_fleet_that_makes_no_sense_is_refused_before_it_connects() {
    let run = |arguments: &[&str]| {
        let output = penstock(&[&["fleet", "run", "--devices", "2"], arguments].concat());
        (output.status.code(), text(&output.stderr))
    };
    for (arguments, words) in [
        (&[][..], &["--interval", "--rate", "--closed"][..]),
        (&["--interval", "1", "--closed"], &["cannot be used with"]),
        (&["--interval", "1", "--kind", "toaster"], &["toaster", "vehicle", "mixed"]),
        (&["--interval", "1", "--faults", "rust=0.1"], &["no fault \"rust\"", "oversize", "storm"]),
        (&["--interval", "1", "--faults", "drop=1.5"], &["drop=1.5", "between 0 and 1"]),
        (&["--interval", "1", "--http", "--qos", "2"], &["--http", "--qos"]),
        (&["--interval", "1", "--batch", "5"], &["--http"]),
        (&["--interval", "1", "--http", "--batch", "0"], &["1..=1000"]),
        (&["--interval", "1", "--metrics", "0"], &["1..=1000"]),
        (&["--interval", "0"], &["must be above 0"]),
        (&["--interval", "1", "--duration=-1"], &["--duration -1", "seconds"]),
        (&["--interval", "1", "--anomalies", "2"], &["--anomalies 2", "between 0 and 1"]),
        (&["--interval", "1", "--topic", "devices/all/telemetry"], &["{i}", "all devices would be one"]),
        (&["--interval", "1", "--verify", "--topic", "x/{i}"], &["devices/{name}/telemetry"]),
        (&["--interval", "1", "--http", "--server", "localhost:1"], &["http://host:port"]),
        (&["--interval", "1", "--http", "--server", "http://a:1/b"], &["without a path"]),
    ] {
        let (ended, said) = run(arguments);
        assert_eq!(ended, Some(2), "{arguments:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
    }
    let help = text(&penstock(&["fleet", "run", "--help"]).stdout);
    for fault in [
        "drop",
        "duplicate",
        "replay",
        "reorder",
        "malformed",
        "oversize",
        "offline",
        "skew",
        "reset",
        "storm",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(fault)), "{fault}: {help}");
    }
}

#[test]
fn the_servers_log_is_json_where_the_configuration_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let served = crate::served::Served::with(dir.path(), &[("PENSTOCK__LOG_OUTPUT__FORMAT", "json")]);
    let said = served.log();
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ready = lines.iter().find(|line| line["fields"]["message"] == "ready").unwrap();
    assert!(ready["level"] == "INFO" && ready["fields"]["http"].is_string(), "{ready}");
    drop(served);
    let quiet = tempfile::tempdir().unwrap();
    let served = crate::served::Served::with(quiet.path(), &[("PENSTOCK__LOG_OUTPUT__FILTER", "error")]);
    assert_eq!(served.log(), "");
}
