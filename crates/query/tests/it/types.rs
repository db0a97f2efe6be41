//! Wide tables by device type.

use std::sync::Arc;

use metadata::Sqlite;
use penstock_query::{Cache, Engine, Limits, Query, Watched};
use record::{DeviceId, Lane, Said, TenantId, Timestamp, Value};
use registry::{Devices, FactsDocument, News};
use series::parquet::store::Options;
use series::{Parquet, SeriesRemove as _, SeriesWriter, Source, Span, WriteBatch};

use crate::reading;

pub(crate) struct Fleet {
    _dir: tempfile::TempDir,
    pub(crate) store: Arc<Parquet>,
    writer: Watched,
    devices: Arc<Devices>,
    metadata: Arc<Sqlite>,
    query: Query,
}

pub(crate) fn fleet() -> Fleet {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Parquet::open(dir.path(), Options::default()).unwrap());
    let metadata = Arc::new(Sqlite::open(&dir.path().join("metadata.db")).unwrap());
    let devices = Arc::new(Devices::new(metadata.clone(), None));
    let cache = Arc::new(Cache::new(1 << 20));
    let writer = Watched::new(store.clone(), Arc::clone(&cache));
    let engine = Engine::new(store.clone()).unwrap().with_cache(cache).with_facts(Arc::clone(&devices));
    let query = Query::new(store.clone(), store.clone(), Arc::new(engine), Limits::default());
    Fleet { _dir: dir, store, writer, devices, metadata, query }
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn id(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

impl Fleet {
    pub(crate) fn send(&self, tenant: &str, sent: &[(&str, &str, i64, Value)]) {
        let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
        let from = self.store.positions().unwrap().first().map_or(0, |position| position.offset);
        let spans = vec![Span { source, from, to: from + 1 }];
        let mut batch = WriteBatch { spans, ..WriteBatch::default() };
        for (device, metric, nanos, value) in sent {
            let (tenant, reading) = reading(tenant, device, metric, *nanos, value.clone());
            batch.readings.entry(tenant).or_default().push_reading(&reading);
        }
        self.writer.write(&batch).unwrap();
    }

    fn register(&self, device: &str, facts: &str) {
        let facts: FactsDocument = serde_json::from_str(facts).unwrap();
        self.devices.put(&tenant(), &id(device), &facts, Timestamp::from_nanos(1)).unwrap();
    }

    fn learn(&self, device: &str, device_type: &str) {
        let learned = Said::new(Some(device_type), None, None).to_learned();
        self.devices.learn(&[News { tenant: tenant(), device: id(device), learned }]).unwrap();
    }

    pub(crate) fn ask(&self, statement: &str) -> String {
        let table = self.query.sql(&tenant(), statement, &[]);
        table.unwrap_or_else(|error| panic!("{statement}: {error}")).to_csv().replace("\r\n", "\n")
    }

    fn columns(&self, table: &str) -> String {
        let asked = "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) AS c \
                     FROM information_schema.columns WHERE table_name = ";
        let told = self.ask(&format!("{asked}'{table}'"));
        told.trim_start_matches("c\n").trim_end().to_owned()
    }

    fn listed(&self, of: &[&str]) -> Vec<String> {
        let told = self.ask("SELECT table_name AS t FROM information_schema.tables ORDER BY 1");
        told.lines().filter(|name| of.contains(name)).map(str::to_owned).collect()
    }
}

fn motors() -> Fleet {
    let fleet = fleet();
    fleet.send(
        "default",
        &[
            ("m1", "temperature", 10, Value::Float(20.5)),
            ("m1", "vibration", 10, Value::Int(3)),
            ("m2", "temperature", 20, Value::Int(21)),
            ("m2", "gps.fix{sat=a}", 20, Value::Bool(true)),
            ("v1", "temperature", 30, Value::Float(9.0)),
            ("v1", "flow", 30, Value::Float(1.0)),
        ],
    );
    fleet.send("other", &[("m1", "secret", 10, Value::Int(1))]);
    fleet.register("m1", r#"{"type":"motor","tags":{"line":"4"}}"#);
    fleet.register("m2", r#"{"type":"motor","tags":{"hall":"b","time":"x"}}"#);
    fleet.learn("v1", "valve");
    fleet
}

#[test]
fn a_type_is_a_table_of_what_its_devices_sent_with_their_tags() {
    let fleet = motors();
    for _ in 0..2 {
        assert_eq!(
            fleet.columns("motor"),
            "time arrived_at device_id sat gps.fix temperature vibration hall line time_"
        );
        assert_eq!(fleet.columns("valve"), "time arrived_at device_id flow temperature");
        assert_eq!(fleet.listed(&["motor", "valve", "gps", "secret"]), ["gps", "motor", "valve"]);
        assert_eq!(
            fleet.ask("SELECT device_id, temperature, vibration, \"gps.fix\", sat, line, hall, time_ FROM motor ORDER BY 1, 5"),
            "device_id,temperature,vibration,gps.fix,sat,line,hall,time_\n\
             m1,20.5,3,,,4,,\nm2,,,true,a,,b,x\nm2,21.0,,,,,b,x\n"
        );
        // Columns of tags alone, conditions, and nothing at all.
        assert_eq!(fleet.ask("SELECT line FROM motor WHERE line = '4'"), "line\n4\n");
        assert_eq!(fleet.ask("SELECT count(*) AS n FROM motor"), "n\n3\n");
        assert_eq!(fleet.ask("SELECT count(*) AS n FROM motor WHERE device_id = 'm1'"), "n\n1\n");
        assert_eq!(fleet.ask("SELECT count(*) AS n FROM motor WHERE device_id IN ('m1', 'v1')"), "n\n1\n");
        assert_eq!(fleet.ask("SELECT count(*) AS n FROM motor WHERE device_id = 'v1'"), "n\n0\n");
        assert_eq!(
            fleet.ask("SELECT sum(vibration) AS v FROM motor WHERE time < '1970-01-01T00:00:00.00000002Z'"),
            "v\n3\n"
        );
        assert_eq!(
            fleet.ask("SELECT device_id FROM motor ORDER BY time, device_id LIMIT 1"),
            "device_id\nm1\n"
        );
        fleet.store.roll().unwrap();
    }
    let explained = fleet.ask(
        "EXPLAIN SELECT temperature FROM motor WHERE device_id = 'm1' AND time > '2026-01-01T00:00:00Z'",
    );
    assert!(explained.contains("table=motor, from=2026-01-01T00:00:00.000000001Z, devices=1"), "{explained}");
    // Others have none of it.
    let other = TenantId::parse("other").unwrap();
    let error = fleet.query.sql(&other, "SELECT * FROM motor", &[]).unwrap_err().to_string();
    assert!(error.contains("motor"), "{error}");
}

/// Nothing of this is kept from one statement to the next that would not show.
#[test]
fn who_is_of_a_type_and_what_they_send_counts_at_once() {
    let fleet = motors();
    let count = |of: &str| fleet.ask(&format!("SELECT count(DISTINCT device_id) AS n FROM {of}"));
    assert_eq!((count("motor"), count("valve")), ("n\n2\n".into(), "n\n1\n".into()));
    // It becomes something else, and takes what it sent with it.
    fleet.register("m2", r#"{"type":"valve"}"#);
    assert_eq!((count("motor"), count("valve")), ("n\n1\n".into(), "n\n2\n".into()));
    assert_eq!(fleet.columns("motor"), "time arrived_at device_id temperature vibration line");
    assert_eq!(fleet.columns("valve"), "time arrived_at device_id sat flow gps.fix temperature");
    // It sends something new; a device that has sent before gets a type; one gets it before it sends.
    fleet.send("default", &[("m1", "rpm", 40, Value::Int(900)), ("x1", "odd", 40, Value::Int(1))]);
    assert_eq!(fleet.columns("motor"), "time arrived_at device_id rpm temperature vibration line");
    fleet.learn("x1", "motor");
    fleet.learn("x2", "motor");
    assert_eq!(fleet.columns("motor"), "time arrived_at device_id odd rpm temperature vibration line");
    fleet.send("default", &[("x2", "late", 50, Value::Text("yes".into()))]);
    assert_eq!(fleet.ask("SELECT late FROM motor WHERE device_id = 'x2'"), "late\nyes\n");
    // A column widens as elsewhere.
    fleet.send("default", &[("x2", "late", 60, Value::Int(7))]);
    assert_eq!(fleet.ask("SELECT late FROM motor WHERE device_id = 'x2' ORDER BY 1"), "late\n7\nyes\n");
    // What people said is taken back, what data said holds; an erased device is gone, and its numbers may come again.
    fleet.store.erase(&tenant(), &id("x2"), "asked for", Timestamp::from_nanos(99)).unwrap();
    assert_eq!(fleet.columns("motor"), "time arrived_at device_id odd rpm temperature vibration line");
    fleet.send("default", &[("x3", "again", 70, Value::Int(7)), ("m1", "again", 70, Value::Int(8))]);
    assert_eq!(fleet.columns("motor"), "time arrived_at device_id again odd rpm temperature vibration line");
}

/// Another process registers a device.
#[test]
fn what_others_register_counts_soon() {
    let fleet = motors();
    assert_eq!(fleet.ask("SELECT count(*) AS n FROM motor"), "n\n3\n");
    let others = Devices::new(fleet.metadata.clone(), None);
    let facts: FactsDocument = serde_json::from_str(r#"{"type":"motor"}"#).unwrap();
    others.put(&tenant(), &id("v1"), &facts, Timestamp::from_nanos(1)).unwrap();
    let began = std::time::Instant::now();
    while fleet.ask("SELECT count(*) AS n FROM motor") != "n\n4\n" {
        assert!(began.elapsed().as_secs() < 20, "it never shows");
        std::thread::yield_now();
    }
}

#[test]
fn a_name_that_is_taken_has_an_underscore_behind_it() {
    let fleet = fleet();
    let types = ["devices", "alerts", "latest", "cpu", "pump", "pump_", "Heat pump", "a\"b", "x.y"];
    for (n, device_type) in types.into_iter().enumerate() {
        let device = format!("d{n}");
        fleet.send("default", &[(&device, "t", 10, Value::Int(n as i64))]);
        fleet.register(&device, &serde_json::json!({ "type": device_type }).to_string());
    }
    // A measurement with fields, and a metric of one part, which gives way; `pump` is a measurement, too.
    fleet.send("default", &[("h", "cpu.idle", 10, Value::Int(1)), ("h", "pump.rpm", 10, Value::Int(1))]);
    fleet.register("e", r#"{"type":"t"}"#);
    fleet.send("default", &[("e", "u", 10, Value::Int(99))]);
    for (table, expected) in [
        ("devices_", "0"),
        ("alerts_", "1"),
        ("latest_", "2"),
        ("cpu_", "3"),
        ("pump__", "4"),
        ("pump_", "5"),
        ("\"Heat pump\"", "6"),
        ("\"a\"\"b\"", "7"),
        ("\"x.y\"", "8"),
    ] {
        assert_eq!(fleet.ask(&format!("SELECT t FROM {table}")), format!("t\n{expected}\n"), "{table}");
    }
    assert_eq!(fleet.ask("SELECT idle FROM cpu"), "idle\n1\n");
    assert_eq!(fleet.ask("SELECT rpm FROM pump"), "rpm\n1\n");
    assert_eq!(fleet.ask("SELECT u FROM t"), "u\n99\n", "the metric t is in telemetry");
    assert_eq!(fleet.ask("SELECT count(*) AS n FROM telemetry WHERE metric = 't'"), "n\n9\n");
    for none in ["pump___", "cpu__", "devices__", "heat pump", "motor", "_", "__"] {
        let error = fleet.query.sql(&tenant(), &format!("SELECT * FROM \"{none}\""), &[]);
        assert!(error.is_err(), "{none}");
    }
    let listed = ["Heat pump", "a\"b", "cpu", "cpu_", "devices", "devices_", "pump", "pump_", "pump__", "t"];
    assert_eq!(
        fleet.ask("SELECT count(*) AS n FROM information_schema.tables WHERE table_name = 't'"),
        "n\n1\n"
    );
    assert_eq!(
        fleet.ask("SELECT count(*) AS n FROM information_schema.tables WHERE table_name = 'cpu'"),
        "n\n1\n"
    );
    let told = fleet.ask("SELECT table_name AS t FROM information_schema.tables");
    for name in listed {
        assert!(
            told.lines().any(|line| line == name || line == format!("\"{}\"", name.replace('"', "\"\""))),
            "{name}: {told}"
        );
    }
    // The metric `t` of one part is kept until it gives way.
    fleet.register("e", "{}");
    assert_eq!(fleet.ask("SELECT count(value) AS n FROM t"), "n\n9\n");
    fleet.register("e", r#"{"type":"t"}"#);
    assert_eq!(fleet.ask("SELECT count(u) AS n FROM t"), "n\n1\n");
}
