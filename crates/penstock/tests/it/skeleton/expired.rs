//! Retention by metric in the real binary, with what it removes written first.

use std::path::Path;
use std::process::Command;

use super::cold::write_a_day;
use crate::exchange::python;
use crate::served::{Served, run, text, until};

#[test]
fn what_expires_is_written_where_duckdb_reads_it_and_then_removed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("data")).unwrap();
    write_a_day(dir.path(), &["car", "bus"]);
    let to = dir.path().join("expired");
    let url = format!("file://{}", to.display());
    let environment = [
        ("PENSTOCK__SERIES__RETENTION", "[{ metrics = ['sp*'], keep_days = 7 }]"),
        ("PENSTOCK__SERIES__EXPORT_BEFORE_EXPIRY__URL", &*url),
    ];
    let metric = |name: &str| format!("\npenstock_store_expired_{name}\n");
    let count = |served: &Served| served.query(&["--format", "csv", "SELECT count(*) FROM telemetry"]);
    // Where it cannot be written, because there is a file where the directory is to be, nothing is removed.
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("tenant=default"), b"in the way").unwrap();
    let served = Served::with(dir.path(), &environment);
    until("it was tried", || {
        served.curl(&[], "/metrics").contains(&metric("export_failures_total 1")).then_some(())
    });
    assert!(count(&served).ends_with("\n10000\n"), "nothing is removed");
    until("it is said", || {
        served.log().contains("not everything that is old could be removed").then_some(())
    });
    assert!(served.terminate().success());
    std::fs::remove_file(to.join("tenant=default")).unwrap();
    let served = Served::with(dir.path(), &environment);
    until("it is exported", || {
        served.curl(&[], "/metrics").contains(&metric("exported_rows_total 10000")).then_some(())
    });
    until("it is removed", || count(&served).ends_with("\n0\n").then_some(()));
    let page = served.curl(&[], "/metrics");
    assert!(page.contains(&metric("exported_objects_total 1")), "{page}");
    assert!(page.contains(&metric("export_failures_total 0")), "{page}");
    let removals = served.curl(&[], "/v1/removals");
    assert!(removals.contains("\"metrics\":[\"+sp*\"]") && removals.contains("10000"), "{removals}");
    drop(served);
    if let Some(python) = python() {
        assert_eq!(asked(&python, &to), "2023-11-15|bus|5000|0.0|199.0\n2023-11-15|car|5000|0.0|199.0");
    }
}

fn asked(python: &str, to: &Path) -> String {
    let files = format!(
        "read_parquet('{}/tenant=default/table=telemetry/**/*.parquet', hive_partitioning = true)",
        to.display()
    );
    let sql = format!(
        "SELECT date, device_id, count(DISTINCT time), min(value), max(value) FROM {files} WHERE metric = 'speed' GROUP BY ALL ORDER BY ALL"
    );
    let program = "import duckdb, sys\nfor row in duckdb.connect().execute(sys.argv[1]).fetchall(): print('|'.join(map(str, row)))";
    text(&run(Command::new(python).args(["-c", program, &sql])).stdout).trim().to_owned()
}
