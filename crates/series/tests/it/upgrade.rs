//! A file of an older version, brought up to date.

use penstock_series::parquet::store::Options;
use penstock_series::{
    Amounts, Covered, Expiring, MetricSet, Old, Parquet, Position, SCHEMA_VERSION, SeriesAudit, SeriesReader,
    SeriesRemove, SeriesWriter, Sqlite, TenantAudit, Written,
};
use record::{DeviceId, MetricName, TenantId, TimeOrigin, Timestamp, Value};
use rusqlite::Connection;

use crate::conformance::{ALWAYS, LIVE, batch, points, reading};

const MANIFEST_10: &str = include_str!("../fixtures/manifest-v10.sql");

/// As version 1 made it. Never edited.
const VERSION_1: &str = "
CREATE TABLE device (
    no INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL,
    created_at INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    UNIQUE (tenant, id)
) STRICT;
CREATE TABLE series (
    no INTEGER PRIMARY KEY, device INTEGER NOT NULL REFERENCES device, metric TEXT NOT NULL,
    UNIQUE (device, metric)
) STRICT;
CREATE TABLE point (
    series INTEGER NOT NULL, time INTEGER NOT NULL, arrived_at INTEGER NOT NULL,
    clock INTEGER NOT NULL, kind INTEGER NOT NULL, value ANY, lng ANY,
    PRIMARY KEY (series, time)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead_message (
    no INTEGER PRIMARY KEY, topic_no INTEGER NOT NULL, lane INTEGER NOT NULL, partition INTEGER NOT NULL,
    \"offset\" INTEGER NOT NULL,
    tenant TEXT NOT NULL, device TEXT NOT NULL, topic TEXT NOT NULL, stage TEXT NOT NULL,
    arrived_at INTEGER NOT NULL, partly_stored INTEGER NOT NULL, record BLOB NOT NULL,
    UNIQUE (topic_no, lane, partition, \"offset\")
) STRICT;
CREATE INDEX dead_message_by_tenant ON dead_message (tenant, arrived_at);
CREATE TABLE dead_letter (
    message INTEGER NOT NULL REFERENCES dead_message, seq INTEGER NOT NULL, reading INTEGER,
    reason TEXT NOT NULL,
    PRIMARY KEY (message, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE position (
    topic INTEGER NOT NULL, lane INTEGER NOT NULL, partition INTEGER NOT NULL, \"offset\" INTEGER NOT NULL,
    PRIMARY KEY (topic, lane, partition)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO device VALUES (1, 'default', 'd', 6, 55), (2, 'other', 'd', 6, 6);
INSERT INTO series VALUES (1, 1, 'm'), (2, 2, 'm');
INSERT INTO point VALUES (1, 1, 6, 0, 0, 1.5, NULL), (1, 2, 7, 1, 4, 52.5, -0.0), (2, 1, 6, 0, 3, 'x', NULL);
INSERT INTO dead_message VALUES (1, 0, 0, 3, 8, 'default', 'd', 't', 'decode', 77, 1, x'00ff07');
INSERT INTO dead_letter VALUES (1, 0, NULL, 'cut'), (1, 1, 4, 'no value');
INSERT INTO position VALUES (0, 0, 3, 9);
";

#[test]
fn a_version_1_file_keeps_what_it_holds_and_its_account_begins_here() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("series.db");
    Connection::open(&path).unwrap().execute_batch(VERSION_1).unwrap();
    for _ in 0..2 {
        let store = Sqlite::open(&path).unwrap();
        let found = points(&store, "d", "m", ALWAYS);
        let values: Vec<_> = found.into_iter().map(|point| (point.time.nanos(), point.value)).collect();
        assert_eq!(values, [(1, Value::Float(1.5)), (2, Value::Location { lat: 52.5, lng: -0.0 })]);
        let latest = store.latest(&TenantId::default_tenant(), &DeviceId::parse("d").unwrap()).unwrap();
        assert_eq!((latest[0].when.origin, latest[0].when.arrived_at.nanos()), (TimeOrigin::Server, 7));
        assert_eq!((latest[0].when.claimed.nanos(), latest[0].when.seq), (2, 0));
        let dead = store.dead_message(LIVE, 8).unwrap().unwrap();
        assert_eq!((dead.attempts, dead.last_at.nanos(), dead.letters.len()), (1, 77, 2));
        assert_eq!(store.positions().unwrap(), [Position { source: LIVE, offset: 9 }]);
        let audit = store.audit().unwrap();
        let opened = |tenant: &str, points, dead| TenantAudit {
            tenant: tenant.into(),
            account: Amounts { accepted: points + dead, stored: points, dead, ..Amounts::default() },
            points: points.cast_unsigned(),
            dead_letters: dead.cast_unsigned(),
            ..TenantAudit::default()
        };
        assert_eq!(audit.tenants, [opened("default", 2, 2), opened("other", 1, 0)]);
        assert_eq!(audit.partitions, [Covered { source: LIVE, first: 9, next: 9 }]);
    }
    // The old readings are known again.
    let store = Sqlite::open(&path).unwrap();
    let again = vec![reading("d", "m", 1, Value::Float(1.5)), reading("d", "m", 2, Value::Int(3))];
    let written = store.write(&batch(9, 10, again)).unwrap();
    assert_eq!(written, Written { duplicates: 1, corrections: 1, ..Written::default() });
    let version: u32 =
        Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, SCHEMA_VERSION);
}

#[test]
fn an_upgraded_file_and_a_new_one_have_the_same_tables() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.db"), dir.path().join("new.db"));
    Connection::open(&old).unwrap().execute_batch(VERSION_1).unwrap();
    let tables = |path| {
        drop(Sqlite::open(path).unwrap());
        let connection = Connection::open(path).unwrap();
        let mut rows = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<Vec<(String, Option<String>)>>>().unwrap()
    };
    assert_eq!(tables(&old), tables(&new));
}

/// Up to version 5 of the manifest, results of windows were rows of the books.
#[test]
fn windows_of_an_older_manifest_become_rows_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Parquet::open(dir.path(), Options::default()).unwrap();
    open().write(&batch(0, 1, vec![reading("d", "m", 1, Value::Float(1.5))])).unwrap();
    let manifest = dir.path().join("manifest.db");
    let ask = |sql: &str| {
        let connection = Connection::open(&manifest).unwrap();
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let insert = "INSERT INTO window_row
        WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 9999)
        SELECT series.no, '1m', n, n + 60, 2, n, 0.5, 2.0, 0.25, 2.0, -0.0, 1.5, n % 2 FROM n, series";
    Connection::open(&manifest).unwrap().execute_batch(insert).unwrap();
    let (tenant, device) = (TenantId::default_tenant(), DeviceId::parse("d").unwrap());
    let windows =
        |store: &Parquet| store.windows(&tenant, &device, &MetricName::parse("m").unwrap(), ALWAYS).unwrap();
    let found = windows(&open());
    assert_eq!(ask("SELECT count(*) FROM window_row"), 0);
    assert_eq!(found.len(), 10_000);
    let last = &found[9_999];
    assert_eq!((&*last.key.window, last.key.start.nanos(), last.end.nanos()), ("1m", 9999, 10_059));
    assert_eq!((last.count, last.sum, last.min, last.max), (2, 9999.0, 0.5, 2.0));
    assert_eq!((last.stddev, last.p95, last.last, last.revised), (0.25, 2.0, 1.5, true));
    assert_eq!(last.first.to_bits(), (-0.0_f64).to_bits());
    assert!(!found[9_998].revised);
    assert_eq!(windows(&open()), found);
}

/// Up to version 6 of the manifest, late readings were listed as rows of the books.
#[test]
fn late_readings_of_an_older_manifest_become_rows_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Parquet::open(dir.path(), Options::default()).unwrap();
    open().write(&batch(0, 1, vec![reading("d", "m", 1, Value::Float(1.5))])).unwrap();
    let manifest = dir.path().join("manifest.db");
    // A value that was corrected since, and one that came late three times.
    let insert = "INSERT INTO late_point
        WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 9999)
        SELECT series.no, n, n % 2, n + 5, n + 7, 2, 3, 'größe', NULL, n + 60, 1 + n % 3 FROM n, series";
    Connection::open(&manifest).unwrap().execute_batch(insert).unwrap();
    let tenant = TenantId::default_tenant();
    let found = open().late(&tenant, 20_000).unwrap();
    let left = Connection::open(&manifest)
        .unwrap()
        .query_row("SELECT count(*) FROM late_point", [], |row| row.get::<_, i64>(0));
    assert_eq!(left, Ok(0));
    assert_eq!(found.len(), 10_000);
    let last = &found[9_999];
    let when = last.reading.when;
    assert_eq!((when.claimed.nanos(), when.time.nanos(), when.arrived_at.nanos()), (9999, 10_004, 10_006));
    assert_eq!(
        (when.seq, when.origin, last.watermark.nanos(), last.times),
        (1, TimeOrigin::Corrected, 10_059, 1)
    );
    assert_eq!(last.reading.value, Value::Text("größe".into()));
    assert_eq!(found[9_998].times, 3);
    let again = open();
    assert_eq!(again.late(&tenant, 20_000).unwrap(), found);
    let audit = again.audit().unwrap();
    assert_eq!((audit.tenants[0].points, audit.tenants[0].late), (1, 19_999));
}

/// Up to version 9 of the manifest, series were rows with numbers of their own, which other tables named.
#[test]
fn series_of_an_older_manifest_keep_what_was_said_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("manifest.db");
    Connection::open(&manifest).unwrap().execute_batch(include_str!("../fixtures/manifest-v9.sql")).unwrap();
    let tenants = [TenantId::default_tenant(), TenantId::parse("other").unwrap()];
    for _ in 0..2 {
        let store = Parquet::open(dir.path(), Options::default()).unwrap();
        let of = |tenant: &TenantId| {
            let mut series = Vec::new();
            store
                .series(tenant, &mut |device, metric| {
                    series.push(format!("{device} {metric}"));
                    true
                })
                .unwrap();
            (series, store.cardinality(tenant).unwrap())
        };
        let [first, second] = tenants.each_ref().map(of);
        assert_eq!(first.0, ["d größe", "d late", "d m", "e m"]);
        assert_eq!((first.1.devices, first.1.series), (2, 4));
        assert_eq!((second.0, second.1.devices, second.1.series), (vec!["d m".to_owned()], 1, 1));
        let superseded = tenants.each_ref().map(|tenant| {
            let old = store.superseded(tenant, 9).unwrap();
            let told = |of: penstock_series::Superseded| {
                format!("{} {:?} {}", of.reading.metric, of.reading.value, of.replaced_at.nanos())
            };
            old.into_iter().map(told).collect::<Vec<_>>()
        });
        assert_eq!(superseded[0], ["größe Text(\"alt\") 57", "m Float(1.5) 47"]);
        assert_eq!(superseded[1], ["m Text(\"x\") 48"]);
        let late = tenants.each_ref().map(|tenant| {
            let late = store.late(tenant, 9).unwrap();
            late.into_iter().map(|of| (of.reading.metric.to_string(), of.times)).collect::<Vec<_>>()
        });
        assert_eq!(late, [[("größe".to_owned(), 2)], [("m".to_owned(), 1)]]);
        let sum = |device: &str| {
            let (device, metric) = (DeviceId::parse(device).unwrap(), MetricName::parse("m").unwrap());
            store.windows(&tenants[0], &device, &metric, ALWAYS).unwrap()[0].sum
        };
        assert_eq!((sum("d"), sum("e")), (3.0, 4.0));
    }
    // What was known is known, and what is new joins it.
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    let some = vec![reading("d", "m", 60, Value::Int(1)), reading("e", "n", 60, Value::Int(1))];
    store.write(&batch(9, 10, some)).unwrap();
    assert_eq!(store.cardinality(&tenants[0]).unwrap().series, 5);
}

/// Up to version 10 of the manifest, a record of a removal did not say which metrics: it was all of them.
#[test]
fn removals_of_an_older_manifest_are_of_all_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("manifest.db");
    Connection::open(&manifest).unwrap().execute_batch(MANIFEST_10).unwrap();
    let tenant = TenantId::default_tenant();
    for _ in 0..2 {
        let store = Parquet::open(dir.path(), Options::default()).unwrap();
        let removals = store.removals(&tenant, 2).unwrap();
        assert!(removals.iter().all(|removal| removal.metrics.is_all()), "{removals:?}");
        let [device, old] = &removals[..] else { panic!("{removals:?}") };
        assert_eq!(
            (device.device.as_ref().map(DeviceId::as_str), device.removed.readings),
            (Some("gone"), 7)
        );
        assert_eq!((old.before.map(Timestamp::nanos), old.removed.late), (Some(86_400_000_000_000), 2));
    }
    // And the next says which.
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    let what = Old::all(Expiring::Readings, Timestamp::from_nanos(49));
    let metrics: MetricSet = "+m".parse().unwrap();
    let removal =
        store.expire(&tenant, &Old { metrics: metrics.clone(), ..what }, Timestamp::from_nanos(101));
    let removal = removal.unwrap().unwrap();
    assert_eq!((removal.no, removal.removed.superseded, &removal.metrics), (4, 1, &metrics));
    assert_eq!(store.removals(&tenant, 1).unwrap(), [removal]);
}

#[test]
fn an_upgraded_manifest_and_a_new_one_have_the_same_tables() {
    let [oldest, old, new] = [Some(include_str!("../fixtures/manifest-v9.sql")), Some(MANIFEST_10), None]
        .map(|fixture| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("manifest.db");
            if let Some(fixture) = fixture {
                Connection::open(&path).unwrap().execute_batch(fixture).unwrap();
            }
            drop(Parquet::open(dir.path(), Options::default()).unwrap());
            let connection = Connection::open(path).unwrap();
            let mut rows = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<rusqlite::Result<Vec<(String, Option<String>)>>>().unwrap()
        });
    assert_eq!((&oldest, &old), (&new, &new));
}
