//! What files may look like, and what is said of those that cannot be used.

use std::fs;
use std::sync::Arc;

use arrow_array::{
    Array, BooleanArray, Float32Array, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use serde_json::json;

use super::{ends, import, path, rows, stored};
use crate::served::{Served, penstock, text};

const ALL: &str = "SELECT device_id, metric, time, kind, value, text FROM telemetry ORDER BY 1, 2, 3";

fn written(dir: &std::path::Path, name: &str, content: impl AsRef<[u8]>) -> String {
    fs::write(dir.join(name), content).unwrap();
    path(dir, name)
}

#[test]
fn columns_are_metrics_of_their_own_type() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    // A byte order mark, semicolons, local times, CRLF: what spreadsheets write.
    let csv = "\u{feff}timestamp;temp;count;open;serial;note\r\n\
               20.11.2026 11:00:00;21.5;9223372036854775807;TRUE;007;\"a;\r\nb\"\r\n\
               20.11.2026 11:00:01;20;-1;false;12;\r\n";
    let file = written(dir.path(), "wide.csv", csv);
    let totals = import(&served, &[&file, "--device", "d1", "--time-zone", "Europe/Berlin"], 0);
    assert_eq!(
        (&totals["rows"], &totals["readings"], &totals["empty_cells"]),
        (&json!(2), &json!(9), &json!(1))
    );
    stored(&served, 9);
    let expect = "d1,count,2026-11-20T10:00:00Z,integer,9223372036854775807,\r\n\
                  d1,count,2026-11-20T10:00:01Z,integer,-1,\r\n\
                  d1,note,2026-11-20T10:00:00Z,text,,\"a;\r\nb\"\r\n\
                  d1,open,2026-11-20T10:00:00Z,boolean,1,\r\n\
                  d1,open,2026-11-20T10:00:01Z,boolean,0,\r\n\
                  d1,serial,2026-11-20T10:00:00Z,text,,007\r\n\
                  d1,serial,2026-11-20T10:00:01Z,text,,12\r\n\
                  d1,temp,2026-11-20T10:00:00Z,float,21.5,\r\n\
                  d1,temp,2026-11-20T10:00:01Z,float,20.0,";
    assert_eq!(rows(&served, ALL), expect);
}

#[test]
fn metrics_in_a_column_have_a_type_each() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let csv = "machine,when,what,how much,number\nd1,1700000000123,temp,1.5,0\nd1,1700000000123,state,on,1\n\
               d2,1700000000123,temp,2,2\nd2,1700000000123,serial,42,\n";
    let file = written(dir.path(), "narrow.csv", csv);
    let how = ["--device-column", "machine", "--time-column", "when", "--metric-column", "what"];
    let more = ["--value-column", "how much", "--seq-column", "number", "--type", "serial=text"];
    import(&served, &[&[&*file], &how[..], &more[..]].concat(), 0);
    stored(&served, 4);
    let expect = "d1,state,2023-11-14T22:13:20.123Z,text,,on\r\nd1,temp,2023-11-14T22:13:20.123Z,float,1.5,\r\n\
                  d2,serial,2023-11-14T22:13:20.123Z,text,,42\r\nd2,temp,2023-11-14T22:13:20.123Z,float,2.0,";
    assert_eq!(rows(&served, ALL), expect);
    assert_eq!(rows(&served, "SELECT seq FROM telemetry ORDER BY device_id, metric"), "1\r\n0\r\n\r\n2");
    assert_eq!(rows(&served, "SELECT DISTINCT clock FROM telemetry"), "device");
}

#[test]
fn parquet_keeps_its_types() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let times = TimestampMillisecondArray::from(vec![1_700_000_000_123, 1_700_000_001_000]);
    let columns: Vec<(&str, Arc<dyn Array>)> = vec![
        ("time", Arc::new(times.clone())),
        ("device_id", Arc::new(StringArray::from(vec!["d1", "ü"]))),
        ("i", Arc::new(Int32Array::from(vec![Some(7), None]))),
        ("big", Arc::new(UInt64Array::from(vec![i64::MAX as u64, u64::MAX]))),
        ("f", Arc::new(Float64Array::from(vec![-0.0, f64::NAN]))),
        ("f32", Arc::new(Float32Array::from(vec![0.5, 0.25]))),
        ("b", Arc::new(BooleanArray::from(vec![true, false]))),
        ("t", Arc::new(StringArray::from(vec!["", "12"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = path(dir.path(), "readings.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    // The times are of clocks that stood somewhere.
    let (_, said) = ends(&served, "import", &[&file], 2);
    assert!(said.contains("--time-zone"), "{said}");
    let totals = import(&served, &[&file, "--time-zone", "UTC"], 1);
    assert_eq!((&totals["readings"], &totals["rejected_rows"]), (&json!(9), &json!(1)), "{totals}");
    stored(&served, 9);
    let expect = "d1,b,2023-11-14T22:13:20.123Z,boolean,1,\r\nd1,big,2023-11-14T22:13:20.123Z,integer,9223372036854775807,\r\n\
                  d1,f,2023-11-14T22:13:20.123Z,float,-0.0,\r\nd1,f32,2023-11-14T22:13:20.123Z,float,0.5,\r\n\
                  d1,i,2023-11-14T22:13:20.123Z,integer,7,\r\nd1,t,2023-11-14T22:13:20.123Z,text,,\r\n\
                  ü,b,2023-11-14T22:13:21Z,boolean,0,\r\nü,f32,2023-11-14T22:13:21Z,float,0.25,\r\nü,t,2023-11-14T22:13:21Z,text,,12";
    assert_eq!(rows(&served, ALL), expect);
    let rejected = fs::read_to_string(format!("{file}.rejected.csv")).unwrap();
    assert!(
        rejected.contains("18446744073709551615") && rejected.contains("NaN is no finite number"),
        "{rejected}"
    );
}

#[test]
fn rows_that_cannot_be_used_are_listed_with_line_and_reason() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let csv = b"time,device_id,temp,open\n\
                2026-11-20T10:00:00Z,d1,1.5,true\n\
                2026-11-20T10:00:00Z,a/b,1.5,true\n\
                2026-11-20T10:00:00Z,d1,1.5\n\
                2026-11-20T10:00:00Z,d1,1.5,true,9\n\
                never,d1,1.5,true\n\
                2026-11-20T10:00:01Z,d1,NaN,true\n\
                2026-11-20T10:00:02Z,,1.5,true\n\
                1970-01-01T00:00:00Z,d1,1.5,true\n\
                2026-11-20T10:00:03Z,\xff,1.5,true\n\
                2026-11-20T10:00:04Z,d1,,\n";
    let file = written(dir.path(), "bad.csv", csv);
    for _ in 0..2 {
        let totals = import(&served, &[&file], 1);
        assert_eq!((&totals["rows"], &totals["readings"]), (&json!(10), &json!(3)), "{totals}");
        assert_eq!(totals["rejected_rows"], 9);
    }
    let mut list =
        csv::ReaderBuilder::new().flexible(true).from_path(format!("{file}.rejected.csv")).unwrap();
    let listed: Vec<_> = list.records().map(|record| record.unwrap()).collect();
    let expect = [
        ("3", "'/'"),
        ("4", "3 fields"),
        ("5", "5 fields"),
        ("6", "never"),
        ("7", "NaN"),
        ("8", "no device"),
        ("9", "before 2000"),
        ("10", "UTF-8"),
        ("11", "no value"),
    ];
    assert_eq!(listed.len(), expect.len());
    for (record, (line, words)) in listed.iter().zip(expect) {
        assert!(&record[0] == line && record[1].contains(words), "{record:?}");
    }
    stored(&served, 3);
    assert_eq!(rows(&served, "SELECT count(*) FROM dlq"), "0", "nothing was sent that cannot be used");

    // The list, mended, is a file like any other; what it says about the rows is no metric.
    let mended =
        "rejected_line,rejected_reason,time,device_id,temp,open\n7,NaN,2026-11-20T10:00:01Z,d1,2.5,true\n";
    let file = written(dir.path(), "mended.csv", mended);
    import(&served, &[&file], 0);
    stored(&served, 4);
}

#[test]
fn a_quote_that_is_left_open_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "2026-11-20T10:00:00Z,d1,1\n";
    let head = format!("time,device_id,m\n{rows}\"{rows}");
    let dry = |name: &str, rest: usize| {
        let file = written(dir.path(), name, head.clone() + &rows.repeat(rest));
        let output = penstock(&["import", &file, "--dry-run"]);
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = dry("short.csv", 3);
    assert!(code == Some(1) && said.contains("line 3") && said.contains("quote"), "{said}");
    let (code, said) = dry("long.csv", 3_000_000);
    assert!(code == Some(1) && said.contains("line 3") && said.contains("quote"), "{said}");
}

#[test]
fn what_the_server_refuses_is_listed_too() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with(dir.path(), &[("PENSTOCK__AUTH__MODE", "required")]);
    let data = path(dir.path(), "data");
    let csv =
        "time,device_id,m\n2026-11-20T10:00:00Z,d1,1\n2026-11-20T10:00:00Z,d2,2\n2026-11-20T10:00:01Z,d1,3\n";
    let file = written(dir.path(), "two.csv", csv);
    let (_, said) = ends(&served, "import", &[&file], 1);
    assert!(said.contains("401") && said.contains("--token"), "{said}");
    let token = |arguments: &[&str]| {
        text(&penstock(&[arguments, &["--data", &data]].concat()).stdout).trim().to_owned()
    };
    let one = token(&["device", "add", "d1"]);
    let reader = token(&["key", "add", "reader", "--subscribe", "#"]);
    let (_, said) = ends(&served, "import", &[&file, "--token", &reader], 1);
    assert!(said.contains("403") && said.contains("readings of"), "{said}");
    // One lane, so that the readings of both are in one request, which is not refused as a whole.
    let totals = import(&served, &[&file, "--token", &one, "--in-flight", "1"], 1);
    assert_eq!((&totals["readings"], &totals["rejected_rows"]), (&json!(2), &json!(1)), "{totals}");
    let list = fs::read_to_string(format!("{file}.rejected.csv")).unwrap();
    assert!(list.lines().nth(1).unwrap().starts_with("3,") && list.contains("d2"), "{list}");
}

#[test]
fn a_dry_run_says_what_would_be_done() {
    let dir = tempfile::tempdir().unwrap();
    let csv = "time,device_id,temp\n2026-11-20T10:00:00Z,d1,1.5\n2026-11-20T10:00:00Z,d1/x,1.5\n";
    let file = written(dir.path(), "dry.csv", csv);
    let output =
        penstock(&["import", &file, "--dry-run", "--server", "http://127.0.0.1:1", "--format", "json"]);
    let (out, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("temp float") && said.contains("line 3"), "{said}");
    assert!(out.contains(r#""readings":1"#) && out.contains(r#""dry_run":true"#), "{out}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is written");
}

#[test]
fn wrong_use_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let csv = "time,device_id,m,,v\n2026-11-20T10:00:00Z,d1,1,,x\n";
    let good = written(dir.path(), "good.csv", csv);
    let twice = written(dir.path(), "twice.csv", "time,device_id,m,m\n1700000000,d1,1,2\n");
    let local = written(dir.path(), "local.csv", "time,device_id,m\n2026-11-20 10:00:00,d1,1\n");
    let bare = written(dir.path(), "bare.csv", "a,b\n1,2\n");
    let empty = written(dir.path(), "empty.csv", "");
    let text_file = written(dir.path(), "file.json", "{}");
    let folder = path(dir.path(), "data");
    for (arguments, words) in [
        (&[&*bare][..], "--time-column"),
        (&[&bare, "--time-column", "a"], "--device"),
        (&[&good, "--device-column", "dev"], "device_id"),
        (&[&good, "--device", "a/b"], "'/'"),
        (&[&good, "--device", "d", "--device-column", "device_id"], "--device"),
        (&[&good, "--metric-column", "m"], "--value-column"),
        (&[&good, "--value-column", "m"], "--metric"),
        (&[&good, "--type", "nothing=text"], "nothing"),
        (&[&good, "--type", "m=blob"], "blob"),
        (&[&good, "--time-unit", "fortnight"], "ms"),
        (&[&good, "--time-zone", "Atlantis"], "Atlantis"),
        (&[&good, "--in-flight", "0"], "64"),
        (&[&twice], "two columns"),
        (&[&local], "--time-zone"),
        (&[&empty], "header"),
        (&[&text_file], "neither .csv nor .parquet"),
        (&[&folder], "no .csv"),
        (&["no-such-file.csv"], "no-such-file.csv"),
        (&[], "FILE"),
    ] {
        let (out, said) = ends(&served, "import", arguments, 2);
        assert!(said.contains(words), "{arguments:?}: {said}{out}");
    }
    let damaged = written(dir.path(), "damaged.parquet", "PAR1 and nothing more");
    let (_, said) = ends(&served, "import", &[&damaged], 1);
    assert!(said.contains("damaged"), "{said}");
    assert_eq!(rows(&served, "SELECT count(*) FROM telemetry"), "0");
}
