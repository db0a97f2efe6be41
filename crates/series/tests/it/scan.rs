//! What a snapshot shows, asked of every backend.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use penstock_series::scan::{BATCH_ROWS, TABLES};
use penstock_series::{
    AccountEntry, AccountKey, Amounts, ClockRow, Completeness, DeadLetter, DeadMessage, LateRow, Memory,
    Scan, SeriesScan, SeriesWriter, Snapshot, Span, Sqlite, WindowKey, WindowRow, WriteBatch,
};
use record::{DeviceId, MetricName, Reading, TenantId, Timestamp, Value, When};

use crate::conformance::{LIVE, reading};
use crate::stores::{Pushed, Then};

trait Store: SeriesWriter + SeriesScan {}
impl<T: SeriesWriter + SeriesScan> Store for T {}

fn on_all(check: impl Fn(&dyn Store)) {
    check(&Memory::new());
    let dir = tempfile::tempdir().unwrap();
    check(&Sqlite::open(&dir.path().join("series.db")).unwrap());
    for then in [Then::Nothing, Then::Roll, Then::Merge] {
        let dir = tempfile::tempdir().unwrap();
        check(&Pushed::new(dir.path(), then));
    }
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn write(store: &dyn Store, tenant: &TenantId, readings: &[Reading]) {
    let from = store.positions().unwrap().first().map_or(0, |position| position.offset);
    let readings = [(tenant.clone(), readings.iter().collect())].into();
    let spans = vec![Span { source: LIVE, from, to: from + 1 }];
    store.write(&WriteBatch { readings, spans, ..WriteBatch::default() }).unwrap();
}

fn read(snapshot: &Arc<dyn Snapshot>, scan: Scan) -> Vec<RecordBatch> {
    Arc::clone(snapshot).scan(scan).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every row as a text, sorted: the order is not promised.
fn rows(snapshot: &Arc<dyn Snapshot>, scan: Scan) -> Vec<String> {
    let mut rows: Vec<String> = read(snapshot, scan).iter().flat_map(told).collect();
    rows.sort();
    rows
}

/// The rows of a batch as texts.
pub(crate) fn told(batch: &RecordBatch) -> Vec<String> {
    let told = |row| {
        let cells: Vec<String> = batch.columns().iter().map(|column| cell(column, row)).collect();
        cells.join(",")
    };
    (0..batch.num_rows()).map(told).collect()
}

fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return String::new();
    }
    match column.data_type() {
        DataType::Timestamp(..) => column.as_primitive::<TimestampNanosecondType>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        _ => column.as_string::<i32>().value(row).to_owned(),
    }
}

/// Something in every table.
fn everything(tenant: &TenantId, from: u64) -> WriteBatch {
    let (device, metric) = (DeviceId::parse("d").unwrap(), MetricName::parse("m").unwrap());
    let corrected = When::by_device(at(90), at(50)).corrected_to(at(30)).with_seq(7);
    let readings = [
        reading("d", "m", 10, Value::Float(1.5)),
        reading("d", "m", 10, Value::Int((1 << 53) + 1)),
        Reading { when: corrected, ..reading("d", "m", 0, Value::Bool(true)) },
        Reading { when: When::by_server(at(40)), ..reading("d", "m", 0, Value::Text("x, \"y\"".into())) },
        Reading {
            when: When::by_device(at(20), at(50)).with_seq(u64::MAX),
            ..reading("d", "n", 0, Value::Location { lat: 1.0, lng: -2.0 })
        },
        reading("d", "n", 21, Value::Float(f64::NAN)),
    ];
    let window = WindowRow {
        key: WindowKey {
            tenant: tenant.clone(),
            device: device.clone(),
            metric,
            window: "1m".into(),
            start: at(0),
        },
        end: at(60),
        count: 4,
        sum: 5.0,
        min: -0.0,
        max: f64::INFINITY,
        stddev: 0.5,
        p95: 3.0,
        first: 1.0,
        last: f64::NAN,
        revised: true,
    };
    let letter = |index| DeadLetter { index, reason: "too \"hot\"".into() };
    let dead = DeadMessage {
        source: LIVE,
        offset: from,
        tenant: tenant.to_string(),
        device: "lost".into(),
        topic: "a/b".into(),
        stage: "schema",
        arrived_at: at(6),
        attempts: 2,
        last_at: at(9),
        completeness: Completeness::Part,
        letters: vec![letter(Some(1)), letter(None)],
        record: vec![b'{', 255],
    };
    let key = AccountKey { tenant: tenant.to_string(), topic: "t/{id}".into(), minute: at(60) };
    let amounts =
        Amounts { records: 1, accepted: 7, stored: 4, dead: 2, late: 1, corrected: 1, ..Amounts::default() };
    WriteBatch {
        readings: [(tenant.clone(), readings.iter().collect())].into(),
        late: [(tenant.clone(), vec![LateRow { row: 2, watermark: at(70) }])].into(),
        windows: vec![window],
        dead: vec![dead],
        account: vec![AccountEntry { key, amounts }],
        clocks: vec![ClockRow { tenant: tenant.clone(), device, skew_nanos: -1_500_000, suspect: false }],
        spans: vec![Span { source: LIVE, from, to: from + 1 }],
        ..WriteBatch::default()
    }
}

fn expected() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        (
            "telemetry",
            vec![
                "10,15,d,m,9007199254740992.0,,,,integer,device,10,,9007199254740993",
                "20,50,d,n,,,1.0,-2.0,location,device,20,18446744073709551614,",
                "21,26,d,n,,,,,float,device,21,,",
                "30,50,d,m,1.0,,,,boolean,corrected,90,6,1",
                "40,40,d,m,,x, \"y\",,,text,server,,,",
            ],
        ),
        ("late", vec!["30,50,d,m,1.0,,,,boolean,corrected,90,6,70,1,1"]),
        ("corrections", vec!["10,15,d,m,1.5,,,,float,device,10,,15,"]),
        ("aggregations", vec!["d,m,0,60,1m,4,5.0,1.25,-0.0,inf,0.5,3.0,1.0,,true"]),
        ("devices", vec!["d,15,50,2,-1.5,false"]),
        (
            "dlq",
            vec![
                "0-live-3-0,6,lost,a/b,schema,too \"hot\",,part,2,6,9,\\x7bff,live,3,0",
                "0-live-3-0,6,lost,a/b,schema,too \"hot\",1,part,2,6,9,\\x7bff,live,3,0",
            ],
        ),
        ("ledger", vec!["t/{id},60,1,7,4,0,1,2,1,0,0"]),
        ("latest", vec!["21,26,d,n,,,,,float,device,21,,", "40,40,d,m,,x, \"y\",,,text,server,,,"]),
    ])
}

#[test]
fn every_table_shows_every_row_of_the_tenant_and_none_of_another() {
    on_all(|store| {
        store.write(&everything(&tenant("default"), 0)).unwrap();
        store.write(&everything(&tenant("other"), 1)).unwrap();
        let snapshot = store.snapshot(&tenant("default")).unwrap();
        let names: Vec<String> =
            snapshot.tables().unwrap().iter().map(|shape| shape.name.to_string()).collect();
        assert_eq!(names[..TABLES.len()], TABLES);
        for (table, expected) in expected() {
            assert_eq!(rows(&snapshot, Scan::all(table)), expected, "{table}");
            let schema = snapshot.table(table).unwrap().unwrap().schema;
            assert!(
                read(&snapshot, Scan::all(table)).iter().all(|batch| batch.schema() == schema),
                "{table}"
            );
        }
        let nobody = store.snapshot(&tenant("nobody")).unwrap();
        for table in TABLES.iter().chain(&["point", "nonsense", ""]) {
            assert_eq!(rows(&nobody, Scan::all(table)), Vec::<String>::new(), "{table}");
        }
        assert_eq!(snapshot.table("device").unwrap(), None);
    });
}

/// By event time, whether it is the one that the device claimed or one that was put right; then by sequence number.
#[test]
fn the_latest_reading_of_a_series_is_shown_whichever_way_it_came() {
    on_all(|store| {
        let with = |metric: &str, claimed: i64, seq: u64, value: i64| {
            let of = reading("d", metric, claimed, Value::Int(value));
            Reading { when: of.when.with_seq(seq), ..of }
        };
        let corrected = |to: i64, of: Reading| Reading { when: of.when.corrected_to(at(to)), ..of };
        let readings = [
            with("plain", 10, 0, 1),
            with("plain", 20, 0, 2),
            corrected(15, with("plain", 90, 0, 3)),
            with("right", 10, 0, 1),
            corrected(30, with("right", 5, 0, 2)),
            corrected(25, with("right", 6, 0, 3)),
            corrected(7, with("alone", 70, 0, 1)),
            with("counted", 10, 3, 1),
            corrected(10, with("counted", 60, 4, 2)),
            with("counted", 10, 2, 3),
            with("same", 10, 1, 1),
            corrected(10, with("same", 9, 1, 2)),
        ];
        write(store, &tenant("default"), &readings);
        let snapshot = store.snapshot(&tenant("default")).unwrap();
        let shown = |scan| rows(&snapshot, Scan { columns: Some(vec![3, 12]), ..scan });
        let all = Scan::all("latest");
        assert_eq!(shown(all.clone()), ["alone,1", "counted,2", "plain,2", "right,2", "same,1"]);
        // A condition is held against the latest one, and an older one does not take its place.
        let until = Scan { times: at(0)..=at(19), ..all.clone() };
        assert_eq!(shown(until), ["alone,1", "counted,2", "same,1"]);
        let metrics = Some(["plain", "right"].map(str::to_owned).into());
        assert_eq!(shown(Scan { metrics, ..all.clone() }), ["plain,2", "right,2"]);
        assert_eq!(
            shown(Scan { devices: Some(["e".to_owned()].into()), ..all.clone() }),
            Vec::<String>::new()
        );
        assert_eq!(shown(Scan { limit: Some(2), ..all }).len(), 2);
    });
}

#[test]
fn columns_come_as_they_are_asked_for() {
    on_all(|store| {
        store.write(&everything(&tenant("default"), 0)).unwrap();
        let snapshot = store.snapshot(&tenant("default")).unwrap();
        let with = |table, columns| rows(&snapshot, Scan { columns: Some(columns), ..Scan::all(table) });
        assert_eq!(with("ledger", vec![3, 0, 3]), ["7,t/{id},7"]);
        assert_eq!(with("dlq", vec![6]), ["", "1"]);
        let none = read(&snapshot, Scan { columns: Some(Vec::new()), ..Scan::all("telemetry") });
        assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    });
}

#[test]
fn times_devices_metrics_and_the_limit_narrow_a_scan() {
    on_all(|store| {
        let mut all = Vec::new();
        for device in ["a", "b", "it's-ü"] {
            for metric in ["m", "n"] {
                all.extend((0..5).map(|time| reading(device, metric, time * 10, Value::Int(time))));
            }
        }
        all.push(reading("a", "first", i64::MIN, Value::Int(-1)));
        let last = When::by_device(at(i64::MAX), at(0));
        all.push(Reading { when: last, ..reading("a", "last", 0, Value::Int(-2)) });
        write(store, &tenant("default"), &all);
        let snapshot = store.snapshot(&tenant("default")).unwrap();
        let count = |scan: Scan| rows(&snapshot, scan).len();
        let set = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
        let all = Scan::all("telemetry");
        assert_eq!(count(all.clone()), 32);
        assert_eq!(count(Scan { times: at(10)..=at(30), ..all.clone() }), 18);
        assert_eq!(count(Scan { times: at(11)..=at(19), ..all.clone() }), 0);
        assert_eq!(count(Scan { times: at(i64::MAX)..=at(i64::MAX), ..all.clone() }), 1);
        assert_eq!(count(Scan { times: at(i64::MIN)..=at(i64::MIN), ..all.clone() }), 1);
        assert_eq!(count(Scan { devices: set(&["b", "c"]), ..all.clone() }), 10);
        assert_eq!(count(Scan { devices: set(&["it's-ü"]), ..all.clone() }), 10);
        assert_eq!(count(Scan { devices: set(&[]), ..all.clone() }), 0);
        assert_eq!(count(Scan { metrics: set(&["n"]), ..all.clone() }), 15);
        let narrow =
            Scan { devices: set(&["a"]), metrics: set(&["m"]), times: at(0)..=at(20), ..all.clone() };
        assert_eq!(count(narrow), 3);
        assert_eq!(count(Scan { limit: Some(7), ..all.clone() }), 7);
        assert_eq!(count(Scan { limit: Some(0), ..all }), 0);
        let devices = Scan::all("devices");
        write(store, &tenant("default"), &[reading("Z", "m", 0, Value::Int(0))]);
        let later = store.snapshot(&tenant("default")).unwrap();
        let ids = Scan { columns: Some(vec![0]), ..devices.clone() };
        let ids: Vec<String> = read(&later, ids).iter().flat_map(told).collect();
        assert_eq!(ids, ["Z", "a", "b", "it's-ü"], "by rising id, whoever came first");
        assert_eq!(count(Scan { devices: set(&["a", "it's-ü"]), ..devices.clone() }), 2);
        assert_eq!(
            count(Scan { devices: set(&["a"]), times: at(1)..=at(0), ..devices }),
            1,
            "it has no time"
        );
    });
}

#[test]
fn a_snapshot_is_of_one_moment_and_its_scans_go_side_by_side() {
    on_all(|store| {
        let rows = BATCH_ROWS as i64 + 100;
        let batch: Vec<_> = (0..rows).map(|time| reading("d", "m", time, Value::Int(time))).collect();
        write(store, &tenant("default"), &batch);
        write(store, &tenant("default"), &[reading("e", "m", 0, Value::Int(0))]);
        let before = store.snapshot(&tenant("default")).unwrap();
        let mut first = Arc::clone(&before).scan(Scan::all("telemetry")).unwrap();
        let some = first.next().unwrap().unwrap().num_rows();
        assert!(some <= BATCH_ROWS, "{some} rows");
        let changed = [reading("d", "m", 0, Value::Int(-1)), reading("d", "m", -1, Value::Int(-1))];
        write(store, &tenant("default"), &changed);
        let second = Arc::clone(&before).scan(Scan::all("telemetry")).unwrap();
        for (scan, expected) in [(first, rows as usize + 1 - some), (second, rows as usize + 1)] {
            let mut count = 0;
            for batch in scan {
                let batch = batch.unwrap();
                assert!(batch.num_rows() <= BATCH_ROWS);
                let values = batch.column_by_name("integer").unwrap().as_primitive::<Int64Type>();
                assert!(values.iter().all(|value| value != Some(-1)));
                count += batch.num_rows();
            }
            assert_eq!(count, expected);
        }
        let after = store.snapshot(&tenant("default")).unwrap();
        let count = |snapshot| {
            read(snapshot, Scan::all("telemetry")).iter().map(RecordBatch::num_rows).sum::<usize>()
        };
        assert_eq!((count(&before), count(&after)), (rows as usize + 1, rows as usize + 2));
    });
}
