//! What is in `deploy/` fits the binary: names of metrics, statements, settings, command lines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::house::root;
use crate::served::{PENSTOCK, Served, penstock, run, text, until};

fn deploy(file: &str) -> PathBuf {
    root().join("deploy").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(deploy(file)).unwrap()
}

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(&format!("grafana/dashboards/{name}.json"))).unwrap()
}

/// A tool that may be missing.
fn tool(name: &str) -> Option<Command> {
    let there = Command::new(name).arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: no {name}");
    }
    there.then(|| Command::new(name))
}

/// The metrics that a text names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with("penstock_")).map(str::to_owned).collect()
}

/// Every value of `key` in a document.
fn values<'a>(of: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match of {
        Value::Array(items) => items.iter().for_each(|item| values(item, key, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == key => found.push(text),
                    _ => values(value, key, found),
                }
            }
        }
        _ => {}
    }
}

/// A server with every part that has metrics, and something done.
fn busy(dir: &Path) -> Served {
    let cold = dir.join("cold");
    std::fs::create_dir(&cold).unwrap();
    let url = format!("file://{}", cold.display());
    let environment = [
        ("PENSTOCK__SERIES__COLD__URL", &*url),
        ("PENSTOCK__SERIES__EXPORT_BEFORE_EXPIRY__URL", &*url),
        ("PENSTOCK__STREAM__CHECKPOINT_EVERY_S", "1"),
    ];
    let served = Served::with(dir, &environment);
    let answer = served.curl(
        &["-d", r#"[{"device_id":"d1","metric":"m","value":1},{"device_id":"d2","metric":"m","value":2}]"#],
        "/v1/telemetry",
    );
    assert!(answer.ends_with("\n200"), "{answer}");
    served.eventually("SELECT count(*) FROM telemetry HAVING count(*) = 2");
    served
}

#[test]
fn every_metric_of_dashboards_and_alerts_is_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let served = busy(dir.path());
    // The first checkpoint comes with its second.
    let page = until("there is a checkpoint", || {
        Some(served.curl(&[], "/metrics")).filter(|page| page.contains("\npenstock_checkpoint_age_seconds "))
    });
    let there =
        metrics_in(&page.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n"));
    let dashboard = dashboard("operator");
    let mut expressions = Vec::new();
    values(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() > 20, "{expressions:?}");
    for (place, named, least) in [
        ("alerts", metrics_in(&read("prometheus/alerts.yml")), 15),
        ("the tests of alerts", metrics_in(&read("prometheus/alerts.test.yml")), 15),
        ("the dashboard", metrics_in(&expressions.join("\n")), 30),
    ] {
        assert!(named.len() >= least, "{place} name only {named:?}");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(missing.is_empty(), "{place} name what /metrics does not have: {missing:?}");
    }
}

#[test]
fn prometheus_takes_the_rules_and_they_fire_when_they_should() {
    let Some(mut promtool) = tool("promtool") else { return };
    run(promtool.args(["check", "rules"]).arg(deploy("prometheus/alerts.yml")));
    run(Command::new("promtool").args(["check", "config"]).arg(deploy("prometheus/prometheus.yml")));
    run(Command::new("promtool").args(["test", "rules"]).arg(deploy("prometheus/alerts.test.yml")));
}

#[test]
fn prometheus_takes_the_page() {
    let Some(mut promtool) = tool("promtool") else { return };
    let dir = tempfile::tempdir().unwrap();
    let served = busy(dir.path());
    let page = dir.path().join("page");
    let mut said = served.curl(&[], "/metrics");
    said.truncate(said.rfind('\n').unwrap() + 1); // the status
    std::fs::write(&page, said).unwrap();
    let checked =
        promtool.args(["check", "metrics"]).stdin(std::fs::File::open(page).unwrap()).output().unwrap();
    // 1 is a page that cannot be read; 3 is advice about names.
    assert!(matches!(checked.status.code(), Some(0 | 3)), "{}", text(&checked.stderr));
}

/// As Grafana's PostgreSQL data source expands it.
fn expanded(statement: &str) -> String {
    let range = "BETWEEN '2020-01-01T00:00:00Z' AND '2099-01-01T00:00:00Z'";
    statement
        .replace("$__timeFilter(time)", &format!("time {range}"))
        .replace("$__timeFilter(window_start)", &format!("window_start {range}"))
        .replace("$__timeGroupAlias(time, $__interval)", "floor(extract(epoch from time)/30)*30 AS \"time\"")
        .replace("$metric", "m")
        .replace("($device)", "('d1','d2')")
}

#[test]
fn the_analysts_statements_are_answered_over_the_postgresql_wire() {
    let dir = tempfile::tempdir().unwrap();
    let served = busy(dir.path());
    let dashboard = dashboard("analyst");
    let mut statements = Vec::new();
    values(&dashboard, "rawSql", &mut statements);
    values(&dashboard["templating"], "query", &mut statements);
    statements.retain(|statement| statement.starts_with("SELECT"));
    assert!(statements.len() >= 11, "{statements:?}");
    for statement in statements {
        let statement = expanded(statement);
        assert!(!statement.contains('$'), "a macro or variable that this test does not know: {statement}");
        let connection = format!(
            "host=127.0.0.1 port={} user=grafana dbname=penstock sslmode=disable",
            served.pgwire_port
        );
        let asked =
            run(Command::new("psql").args(["-v", "ON_ERROR_STOP=1", "-At", &connection, "-c", &statement]));
        // Windows come a minute later; everything else has rows.
        let rows = text(&asked.stdout);
        assert!(!rows.trim().is_empty() || statement.contains("aggregations"), "{statement}");
    }
}

#[test]
fn systemd_takes_the_units_and_the_binary_their_commands() {
    let dir = tempfile::tempdir().unwrap();
    for unit in ["penstock", "penstock-probe"] {
        let written = read(&format!("systemd/{unit}.service"));
        let command =
            written.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/penstock ")).unwrap();
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        assert!(penstock(&arguments).status.success(), "{command}");
        let Some(mut analyze) = tool("systemd-analyze") else { continue };
        let file = dir.path().join(format!("{unit}.service"));
        std::fs::write(&file, written.replace("/usr/bin/penstock ", &format!("{PENSTOCK} "))).unwrap();
        let verified = run(analyze.arg("verify").arg(&file));
        // A key that it does not know is only a warning.
        assert_eq!(text(&verified.stderr), "", "{unit}");
    }
}

#[test]
fn the_image_sets_keys_that_there_are() {
    let dockerfile = read("docker/Dockerfile").replace("\\\n", " ");
    let set = dockerfile.lines().find_map(|line| line.strip_prefix("ENV ")).unwrap();
    let set: Vec<(&str, &str)> = set.split_whitespace().map(|one| one.split_once('=').unwrap()).collect();
    assert!(set.len() >= 5, "{set:?}");
    let shown = run(Command::new(PENSTOCK).args(["config", "show"]).envs(set.iter().copied()));
    let shown = text(&shown.stdout);
    for (_, value) in set {
        assert!(shown.contains(value), "{value}: {shown}");
    }
}
