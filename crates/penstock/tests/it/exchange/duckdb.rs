//! What is exported is read by others: DuckDB, where Python has it; Avro by its own library.

use std::process::Command;

use apache_avro::types::Value;

use super::{ends, path, post, stored};
use crate::served::{Served, run, text};

/// A Python that has DuckDB: that of the test dependencies (scripts/install-test-deps.sh), else the system's.
pub(crate) fn python() -> Option<String> {
    let of_tests = std::env::var("PENSTOCK_TEST_DEPS").map(|folder| format!("{folder}/venv/bin/python"));
    let python = of_tests.unwrap_or_else(|_| "python3".to_owned());
    let has =
        Command::new(&python).args(["-c", "import duckdb"]).output().is_ok_and(|out| out.status.success());
    has.then_some(python)
}

fn asked(python: &str, sql: &str) -> String {
    let program = "import duckdb, sys\nfor row in duckdb.connect().execute(sys.argv[1]).fetchall(): print('|'.join(map(str, row)))";
    text(&run(Command::new(python).args(["-c", program, sql])).stdout).trim().to_owned()
}

/// A served server with readings of two dates.
fn two_dates(dir: &std::path::Path) -> Served {
    let served = Served::start(dir);
    post(
        &served,
        r#"{"device_id":"ü 'd'","metric":"count","value":9223372036854775807,"ts":"2026-11-20T23:59:59.123456789Z"}
{"device_id":"ü 'd'","metric":"open","value":true,"ts":"2026-11-20T10:00:00Z"}
{"device_id":"d2","metric":"temp","value":-0.5,"ts":"2026-11-21T00:00:00Z"}
{"device_id":"d2","metric":"state","value":"two\nlines","ts":"2026-11-21T00:00:00Z"}
{"device_id":"d2","metric":"at","value":{"lat":53.5,"lng":10},"ts":"2026-11-21T00:00:01Z"}"#,
    );
    stored(&served, 5);
    served
}

#[test]
fn duckdb_reads_what_was_exported() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with DuckDB");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let served = two_dates(dir.path());
    let columns = "date, device_id, metric, value, \"integer\", text, lat, kind";
    let rows = "2026-11-20|ü 'd'|count|9.223372036854776e+18|9223372036854775807|None|None|integer\n\
                2026-11-20|ü 'd'|open|1.0|1|None|None|boolean\n\
                2026-11-21|d2|at|None|None|None|53.5|location\n\
                2026-11-21|d2|state|None|None|two\nlines|None|text\n\
                2026-11-21|d2|temp|-0.5|None|None|None|float";
    let to = path(dir.path(), "parquet");
    ends(&served, "export", &["--to", &to], 0);
    let files = format!("read_parquet('{to}/telemetry/**/*.parquet', hive_partitioning = true)");
    assert_eq!(
        asked(&python, &format!("SELECT {columns} FROM {files} ORDER BY date, device_id, metric")),
        rows
    );
    let types =
        asked(&python, &format!("DESCRIBE SELECT time, time_nanos, \"integer\", seq, date FROM {files}"));
    for expect in [
        "time|TIMESTAMP WITH TIME ZONE|",
        "time_nanos|INTEGER|",
        "integer|BIGINT|",
        "seq|BIGINT|",
        "date|DATE|",
    ] {
        assert!(types.contains(expect), "{types}");
    }
    let time = format!("SELECT epoch_us(time) * 1000 + time_nanos FROM {files} WHERE metric = 'count'");
    assert_eq!(asked(&python, &time), "1795219199123456789");

    let to = path(dir.path(), "nanos");
    ends(&served, "export", &["--to", &to, "--times", "ns"], 0);
    let time = format!(
        "SELECT epoch_ns(time) FROM '{to}/telemetry/date=2026-11-20/*.parquet' WHERE metric = 'count'"
    );
    assert_eq!(asked(&python, &time), "1795219199123456789");

    let to = path(dir.path(), "csv");
    ends(&served, "export", &["--to", &to, "--format", "csv"], 0);
    let files = format!("read_csv('{to}/telemetry/**/*.csv', hive_partitioning = true)");
    let sql =
        format!("SELECT count(*), max(\"integer\"), max(text), min(time AT TIME ZONE 'UTC') FROM {files}");
    assert_eq!(asked(&python, &sql), "5|9223372036854775807|two\nlines|2026-11-20 10:00:00");
}

#[test]
fn avro_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let served = two_dates(dir.path());
    let to = path(dir.path(), "avro");
    ends(&served, "export", &["--to", &to, "--format", "avro"], 0);
    let file = std::fs::File::open(format!("{to}/telemetry/date=2026-11-20/part-000.avro")).unwrap();
    let records: Vec<Value> = apache_avro::Reader::new(file).unwrap().map(Result::unwrap).collect();
    assert_eq!(records.len(), 2);
    let Value::Record(fields) = &records[1] else { panic!("{records:?}") };
    let field = |name: &str| &fields.iter().find(|(field, _)| field == name).unwrap().1;
    let some = |value| Value::Union(1, Box::new(value));
    assert_eq!(field("metric"), &Value::String("count".into()));
    assert_eq!(field("time"), &Value::TimestampMicros(1_795_219_199_123_456));
    assert_eq!(field("time_nanos"), &Value::Int(789));
    assert_eq!(field("integer"), &some(Value::Long(i64::MAX)));
    assert_eq!(field("text"), &Value::Union(0, Box::new(Value::Null)));
}
