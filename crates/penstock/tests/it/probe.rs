//! The machine as a device: nothing lost and nothing doubled, whoever is killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::served::{PENSTOCK, Served, penstock, run, text, until};

/// A probe, ended with the test.
struct Probing(Child);

impl Probing {
    fn start(port: &str, dir: &Path, more: &[&str]) -> Self {
        let said = std::fs::File::options().create(true).append(true).open(dir.join("probe.log")).unwrap();
        let child = Command::new(PENSTOCK)
            .args(["probe", "--target", &format!("127.0.0.1:{port}"), "--device", "this"])
            .args(["--interval", "0.05", "--buffer"])
            .arg(dir.join("probe.db"))
            .args(more)
            .stdin(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

const MADE: &str = "SELECT value FROM telemetry WHERE device_id = 'this' AND metric = 'probe.made_total'";

/// The highest number stored, waited for until it is at least `least`.
fn reached(served: &Served, least: u64) -> u64 {
    served
        .eventually(&format!("SELECT max(value) FROM ({MADE}) HAVING max(value) >= {least}"))
        .parse::<f64>()
        .unwrap() as u64
}

/// Numbers, times (ms) and counts of what is missing, as stored, in the order of the numbers.
fn stored(served: &Served) -> Vec<[i64; 3]> {
    let rows = served.query(&[
        "--format",
        "csv",
        "SELECT t.seq AS seq, t.value AS made, extract(epoch FROM t.time) AS at, m.value AS missed FROM telemetry t JOIN telemetry m \
         ON m.device_id = 'this' AND m.metric = 'probe.missed_total' AND m.time = t.time AND m.seq = t.seq \
         WHERE t.device_id = 'this' AND t.metric = 'probe.made_total' ORDER BY t.seq",
    ]);
    let row = |line: &str| {
        let cells: Vec<f64> = line.trim().split(',').map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(cells[0], cells[1], "{line}");
        [cells[1] as i64, (cells[2] * 1000.0).round() as i64, cells[3] as i64]
    };
    rows.lines().skip(1).map(row).collect()
}

/// Numbers without gap or double, times regular but for what the probe says it missed.
fn check(rows: &[[i64; 3]], restarts_after: &[i64]) {
    for pair in rows.windows(2) {
        let [[made, ms, missed], [next_made, next_ms, next_missed]] = [pair[0], pair[1]];
        assert_eq!(next_made, made + 1, "{pair:?}");
        assert_eq!(ms % 50, 0, "{pair:?}");
        if restarts_after.contains(&made) {
            assert!(next_ms > ms, "{pair:?}");
        } else {
            assert_eq!(next_ms - ms, 50 * (1 + next_missed - missed), "{pair:?}");
        }
    }
}

/// The server behind the same port again.
fn again(dir: &Path, port: &str) -> Served {
    Served::with(dir, &[("PENSTOCK__GATEWAY__MQTT__LISTEN", &format!("127.0.0.1:{port}"))])
}

#[test]
fn a_killed_server_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let port = served.mqtt_port.clone();
    let probing = Probing::start(&port, dir.path(), &[]);
    for round in 1..=2 {
        let seen = reached(&served, 10 * round);
        served.kill();
        // The probe has noticed, and measures on.
        let complaints = until("the probe notices", || {
            let said = std::fs::read_to_string(dir.path().join("probe.log")).unwrap();
            let count = said.matches("trying again").count();
            (count >= round as usize).then_some(count)
        });
        served = again(dir.path(), &port);
        assert!(reached(&served, seen + 40) >= seen + 40, "{complaints}");
    }
    let last = reached(&served, 0);
    probing.kill();
    let rows = stored(&served);
    assert!(rows.len() as u64 >= last && rows[0][0] == 1, "{} of {last}", rows.len());
    check(&rows, &[]);
    let reconnects =
        "SELECT max(value) FROM telemetry WHERE metric = 'probe.reconnects' HAVING max(value) >= 2";
    assert!(!served.eventually(reconnects).is_empty());
    let verify = penstock(&["ledger", "verify", "--server", &served.http]);
    assert!(verify.status.success(), "{}", text(&verify.stdout));
}

/// What the probe that was last has written down: made, dropped, waiting.
fn books(dir: &Path) -> (u64, u64, u64) {
    let buffer = rusqlite::Connection::open(dir.join("probe.db")).unwrap();
    let books = "SELECT made, dropped, (SELECT count(*) FROM message) FROM book";
    buffer.query_row(books, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

/// A last probe, which ends when everything in its buffer is acknowledged.
fn empty_the_buffer(port: &str, dir: &Path) {
    let mut last = Probing::start(port, dir, &["--messages", "3", "--buffer-mib", "1"]);
    let ended = until("the probe ends", || last.0.try_wait().unwrap());
    assert!(ended.success());
}

#[test]
fn a_killed_probe_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut restarts_after = Vec::new();
    for round in 1..=4 {
        let probing = Probing::start(&served.mqtt_port, dir.path(), &[]);
        reached(&served, round * 12);
        probing.kill(); // with a measurement on its way as likely as not
        restarts_after.push(books(dir.path()).0 as i64);
    }
    empty_the_buffer(&served.mqtt_port, dir.path());
    let (made, dropped, waiting) = books(dir.path());
    assert_eq!((dropped, waiting), (0, 0));
    assert_eq!(reached(&served, made), made);
    let rows = stored(&served);
    assert_eq!(rows.len() as u64, made);
    check(&rows, &restarts_after);
}

#[test]
fn a_full_buffer_drops_the_oldest_counts_them_and_sends_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let port = served.mqtt_port.clone();
    served.kill();
    // A probe that was without its server for long, shortened: 2 MB of measurements in a buffer of 1 MiB.
    let log_is_over = |bytes: u64| {
        until("it has written", || {
            (std::fs::metadata(dir.path().join("probe.db-wal")).ok()?.len() > bytes).then_some(())
        });
    };
    let probing = Probing::start(&port, dir.path(), &[]);
    log_is_over(40_000);
    probing.kill();
    let (made, ..) = books(dir.path());
    let filler = format!(
        "WITH RECURSIVE n(i) AS (SELECT {made} + 1 UNION ALL SELECT i + 1 FROM n WHERE i < {made} + 2000) \
         INSERT INTO message SELECT i, 'devices/this/telemetry', \
         CAST(json_object('ts', 1700000000000 + i, 'seq', i, 'metrics', json_object('filler', printf('%0900d', i))) AS BLOB) FROM n; \
         UPDATE book SET made = made + 2000;"
    );
    rusqlite::Connection::open(dir.path().join("probe.db")).unwrap().execute_batch(&filler).unwrap();
    // Its first measurement finds no room: some thousand others go, in one commit.
    let probing = Probing::start(&port, dir.path(), &["--buffer-mib", "1"]);
    log_is_over(500_000);
    probing.kill();
    let served = again(dir.path(), &port);
    empty_the_buffer(&port, dir.path());
    let (made, dropped, waiting) = books(dir.path());
    assert!(dropped > 800 && waiting == 0, "{dropped} dropped, {waiting} wait");
    // History is stored behind what is live.
    let kept = format!(
        "SELECT count(DISTINCT seq) FROM telemetry WHERE device_id = 'this' HAVING count(DISTINCT seq) >= {}",
        made - dropped
    );
    assert_eq!(
        served.eventually(&kept),
        (made - dropped).to_string(),
        "nothing but what was dropped is missing"
    );
    let told =
        "SELECT max(value) FROM telemetry WHERE metric = 'probe.dropped_total' HAVING max(value) > 800";
    assert_eq!(served.eventually(told).parse::<f64>().unwrap() as u64, dropped);
    let oldest = served.query(&["--format", "csv", "SELECT min(seq) FROM telemetry WHERE metric = 'filler'"]);
    let oldest: u64 = oldest.lines().nth(1).unwrap().trim().parse().unwrap();
    assert!(
        oldest + 64 > dropped,
        "the oldest go first, but for a batch on its way: {oldest}, {dropped} dropped"
    );
}

#[test]
fn a_measurement_can_be_looked_at() {
    let printed = run(Command::new(PENSTOCK).args(["probe", "--print"]));
    let message: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let metrics = message["metrics"].as_object().unwrap();
    for name in [
        "cpu.busy_percent",
        "load.1min",
        "memory.available_bytes",
        "swap.used_bytes",
        "system.uptime_s",
        "probe.dropped_total",
    ] {
        assert!(metrics[name].is_number(), "{name}: {message}");
    }
    for start in ["disk.used_percent{mount=", "net.received_bytes_per_s{interface="] {
        assert!(metrics.keys().any(|name| name.starts_with(start)), "{start}: {message}");
    }
}

#[test]
fn a_disk_is_as_full_as_df_says() {
    let printed = run(Command::new(PENSTOCK).args(["probe", "--print"]));
    let message: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let mut compared = 0;
    for (name, percent) in message["metrics"].as_object().unwrap() {
        let Some(mount) = name.strip_prefix("disk.used_percent{mount=").and_then(|of| of.strip_suffix('}'))
        else {
            continue;
        };
        // A mount point with signs that a name cannot have is not found.
        let Ok(shown) = Command::new("df").args(["--output=pcent", mount]).output() else { continue };
        let Some(shown) = text(&shown.stdout).lines().nth(1).map(str::to_owned) else { continue };
        let shown: f64 = shown.trim().trim_end_matches('%').parse().unwrap();
        // It rounds up, and others write meanwhile.
        let told = percent.as_f64().unwrap();
        assert!((told.ceil() - shown).abs() <= 1.0, "{name}: {told}, df {shown}");
        compared += 1;
    }
    assert!(compared > 0, "{message}");
}

#[test]
fn what_a_probe_needs_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let buffer = dir.path().join("probe.db");
    std::fs::write(&buffer, "no database, and longer than nothing").unwrap();
    for (arguments, code, words) in [
        (&["--interval", "0"][..], 2, "0.01 to 86400"),
        (&["--device", "a/b"], 1, "name one with --device"),
        (&["--buffer", buffer.to_str().unwrap()], 1, "name another with --buffer"),
    ] {
        let refused = penstock(&[&["probe"], arguments].concat());
        let said = text(&refused.stderr);
        assert!(refused.status.code() == Some(code) && said.contains(words), "{arguments:?}: {said}");
    }
}
