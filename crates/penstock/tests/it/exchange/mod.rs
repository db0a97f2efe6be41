//! Files out and in: `penstock export` and `penstock import`, by the real binary against a real server.

mod duckdb;
mod export;
mod import;
mod interrupted;
mod round;
mod without_us;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) use duckdb::python;

use crate::served::{PENSTOCK, Served, text, until};

/// `penstock COMMAND --server …`.
fn command(served: &Served, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PENSTOCK);
    command.arg(name).args(arguments).args(["--server", &served.http]).stdin(Stdio::null());
    command
}

fn ran(served: &Served, name: &str, arguments: &[&str]) -> Output {
    command(served, name, arguments).output().unwrap()
}

/// A command that must end with `code`: its stdout and its stderr.
fn ends(served: &Served, name: &str, arguments: &[&str], code: i32) -> (String, String) {
    let output = ran(served, name, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{name} {arguments:?}\n{out}\n{err}\n{}", served.log());
    (out, err)
}

/// Imports, and the totals of its only file.
fn import(served: &Served, arguments: &[&str], code: i32) -> Value {
    let (out, _) = ends(served, "import", &[arguments, &["--format", "json"]].concat(), code);
    let mut summary: Value = serde_json::from_str(&out).unwrap();
    summary["files"][0].take()
}

/// Sends readings, a JSON document a line.
fn post(served: &Served, lines: &str) {
    let file = served.dir.join("body.ndjson");
    std::fs::write(&file, lines).unwrap();
    let data = format!("@{}", file.display());
    let answer =
        served.curl(&["--data-binary", &data, "-H", "content-type: application/x-ndjson"], "/v1/telemetry");
    assert!(answer.ends_with("\n200") && answer.contains("\"rejected\":[]"), "{answer}");
}

/// Waits until so many readings are stored.
fn stored(served: &Served, count: u64) {
    until("all readings are stored", || {
        (rows(served, "SELECT count(*) FROM telemetry") == count.to_string()).then_some(())
    });
}

/// The answer to a statement, as CSV without its header.
fn rows(served: &Served, statement: &str) -> String {
    let csv = served.query(&["--format", "csv", statement]);
    csv.split_once("\r\n").map_or("", |(_, rows)| rows).trim_end().to_owned()
}

/// One of the server's own numbers.
fn metric(served: &Served, name: &str) -> u64 {
    let metrics = served.curl(&[], "/metrics");
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}
