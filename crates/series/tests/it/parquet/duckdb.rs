//! The files are read by others: DuckDB, where Python has it.

use std::process::Command;

use penstock_series::parquet::{ColumnNo, Entity, Rows};
use record::{Timestamp, ValueRef, When};

use super::rows::write;

/// A Python that has DuckDB: that of the test dependencies (scripts/install-test-deps.sh), else the system's.
fn python() -> Option<String> {
    let of_tests = std::env::var("PENSTOCK_TEST_DEPS").map(|folder| format!("{folder}/venv/bin/python"));
    let python = of_tests.unwrap_or_else(|_| "python3".to_owned());
    let has =
        Command::new(&python).args(["-c", "import duckdb"]).output().is_ok_and(|out| out.status.success());
    has.then_some(python)
}

#[test]
fn duckdb_reads_a_run_by_the_names_of_its_metrics() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with DuckDB");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    let mut rows = Rows::new((10..17).map(ColumnNo));
    for n in 0..3000_i64 {
        let time = Timestamp::from_millis(1_700_000_000_000 + n).unwrap();
        let values = [
            Some(ValueRef::Float(n as f64 / 100.0)),
            (n % 2 == 0).then_some(ValueRef::Int(-n)),
            Some(ValueRef::Bool(n % 3 == 0)),
            Some(ValueRef::Text(if n % 2 == 0 { "even" } else { "odd" })),
            Some(ValueRef::Location { lat: n as f64 / 1000.0, lng: 7.5 }),
            Some(ValueRef::Float((n as f64).sqrt())),
            Some(ValueRef::Float(n as f64 * 0.1 + 0.2)),
        ];
        rows.push(Entity::new(0, 3), When::by_device(time, time), values);
    }
    write(&path, &rows);
    let sql = "SELECT count(*), sum(m10), sum(m11), count(m11), sum(m12::int), count(DISTINCT m13), max(m14.lat), \
               min(m14.lng), round(sum(m15), 3), sum(m16), min(_time) AT TIME ZONE 'UTC', min(_device) FROM '$'";
    let program =
        "import duckdb, sys; print('|'.join(map(str, duckdb.connect().execute(sys.argv[1]).fetchall()[0])))";
    let out = Command::new(python)
        .args(["-c", program, &sql.replace('$', path.to_str().unwrap())])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&out.stdout);
    let expected = "3000|44985.00|-2248500|1500|1000|2|2.999|7.5|109516.918|450450.0|2023-11-14 22:13:20|3";
    assert_eq!(told.trim(), expected, "{}", String::from_utf8_lossy(&out.stderr));
}
