//! Answers that are kept, and no longer than they hold.

use std::sync::Arc;

use penstock_query::{
    Aggregate, CACHE_BYTES, Cache, CacheFigures, Cell, Engine, Every, Limits, Query, Statement, Watched,
};
use record::{DeviceId, Lane, MetricName, Reading, TenantId, Timestamp, Value};
use series::{SeriesWriter, Source, Span, Sqlite, WriteBatch};

use crate::reading;

struct Kept {
    _dir: tempfile::TempDir,
    writer: Watched,
    cache: Arc<Cache>,
    engine: Engine,
    query: Query,
    /// Over the same store, and keeps nothing.
    plain: Query,
}

const SOURCE: Source = Source { topic: 0, lane: Lane::Live, partition: 0 };

fn kept(bytes: usize) -> Kept {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(&dir.path().join("series.db")).unwrap());
    let metadata = Arc::new(metadata::Sqlite::open(&dir.path().join("metadata.db")).unwrap());
    let devices = Arc::new(registry::Devices::new(metadata, None));
    let cache = Arc::new(Cache::new(bytes));
    let plain = Engine::new(store.clone()).unwrap().with_facts(devices);
    let engine = plain.clone().with_cache(Arc::clone(&cache));
    let limits = Limits::default();
    let query = Query::new(store.clone(), store.clone(), Arc::new(engine.clone()), limits)
        .with_cache(Arc::clone(&cache));
    let writer = Watched::new(store.clone(), Arc::clone(&cache));
    Kept {
        _dir: dir,
        writer,
        cache,
        engine,
        query,
        plain: Query::new(store.clone(), store, Arc::new(plain), limits),
    }
}

impl Kept {
    fn write(&self, readings: Vec<(TenantId, Reading)>) {
        let from = self.writer.positions().unwrap().first().map_or(0, |position| position.offset);
        let spans = vec![Span { source: SOURCE, from, to: from + 1 }];
        let mut batch = WriteBatch { spans, ..WriteBatch::default() };
        for (tenant, reading) in &readings {
            batch.readings.entry(tenant.clone()).or_default().push_reading(reading);
        }
        self.writer.write(&batch).unwrap();
    }

    fn ask(&self, tenant: &str, statement: &str, params: &[Cell]) -> String {
        let tenant = TenantId::parse(tenant).unwrap();
        let answer = self.query.sql(&tenant, statement, params);
        answer.unwrap_or_else(|error| panic!("{statement}: {error}")).to_csv()
    }

    /// Hits and misses.
    fn counts(&self) -> (u64, u64) {
        let CacheFigures { hits, misses, .. } = self.cache.figures();
        (hits, misses)
    }
}

const COUNT: &str = "SELECT count(*) AS n FROM telemetry";

#[test]
fn the_same_question_is_answered_once_until_something_of_the_tenant_is_written() {
    let kept = kept(CACHE_BYTES);
    kept.write(vec![
        reading("default", "d1", "t", 1, Value::Int(1)),
        reading("other", "d1", "t", 1, Value::Int(1)),
    ]);
    for _ in 0..3 {
        assert_eq!(kept.ask("default", COUNT, &[]), "n\r\n1\r\n");
    }
    assert_eq!(kept.counts(), (2, 1));
    assert_eq!(kept.ask("other", COUNT, &[]), "n\r\n1\r\n");
    assert_eq!(kept.counts(), (2, 2), "another tenant asks for itself");
    kept.write(vec![reading("default", "d1", "t", 2, Value::Int(1))]);
    assert_eq!(kept.ask("default", COUNT, &[]), "n\r\n2\r\n");
    assert_eq!(kept.ask("other", COUNT, &[]), "n\r\n1\r\n");
    assert_eq!(kept.counts(), (3, 3), "the other's answer holds");
    // A duplicate changes nothing, but nobody looks so closely; an error leaves open what is there.
    let conflict = Span { source: SOURCE, from: 77, to: 78 };
    kept.writer.write(&WriteBatch { spans: vec![conflict], ..WriteBatch::default() }).unwrap_err();
    assert_eq!(kept.ask("other", COUNT, &[]), "n\r\n1\r\n");
    assert_eq!(kept.counts(), (3, 4));
    // A dead letter that is resolved does not say whose it is.
    let resolved = WriteBatch { resolved: vec![(SOURCE, 0)], ..WriteBatch::default() };
    kept.writer.write(&resolved).unwrap();
    assert_eq!(kept.ask("other", COUNT, &[]), "n\r\n1\r\n");
    assert_eq!(kept.counts(), (3, 5));
    kept.writer.flush().unwrap();
    assert_eq!(kept.ask("other", COUNT, &[]), "n\r\n1\r\n");
    assert_eq!(kept.counts(), (4, 5), "a flush changes nothing that is seen");
}

#[test]
fn every_word_makes_a_difference_and_formats_do_not() {
    let kept = kept(CACHE_BYTES);
    kept.write(vec![reading("default", "d1", "t", 1, Value::Int((1 << 53) + 1))]);
    let by = "SELECT ? AS p, count(*) AS n FROM telemetry WHERE device_id = ?";
    let ask = |device: &str, given: Cell| kept.ask("default", by, &[given, Cell::Text(device.into())]);
    for (device, given, expected) in [
        ("d1", Cell::Int(1), "p,n\r\n1,1\r\n"),
        ("d1", Cell::Float(1.0), "p,n\r\n1.0,1\r\n"),
        ("d1", Cell::Text("1".into()), "p,n\r\n1,1\r\n"),
        ("d2", Cell::Int(1), "p,n\r\n1,0\r\n"),
    ] {
        assert_eq!(ask(device, given), expected);
    }
    assert_eq!(kept.counts(), (0, 4));
    // Whole numbers stay exact, and Arrow comes from the same answer.
    let whole = "SELECT value FROM telemetry";
    let tenant = TenantId::default_tenant();
    for _ in 0..2 {
        assert_eq!(kept.ask("default", whole, &[]), "value\r\n9007199254740993\r\n");
    }
    let stream = kept.query.sql_arrow(None, &tenant, whole, &[]).unwrap();
    assert_eq!(stream, kept.plain.sql_arrow(None, &tenant, whole, &[]).unwrap());
    assert_eq!(kept.counts(), (2, 5));
    // The other way to ask, and an engine with functions of its own.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let by_wire = |engine: &Engine| {
        let asked = engine.ask(&tenant, Statement::one(whole).unwrap(), Vec::new(), Limits::default());
        runtime.block_on(asked).unwrap().to_table(Limits::default()).unwrap().to_csv()
    };
    for _ in 0..2 {
        assert_eq!(by_wire(&kept.engine), "value\r\n9007199254740993\r\n");
        by_wire(&kept.engine.with_template(|state| state));
    }
    assert_eq!(kept.counts(), (3, 8));
    let other = Arc::new(Sqlite::open(&kept._dir.path().join("other.db")).unwrap());
    let over = kept.engine.over(other);
    let found = kept.query.sql_over(&over, &tenant, COUNT, &[]).unwrap().to_csv();
    assert_eq!((found.as_str(), kept.counts()), ("n\r\n0\r\n", (3, 8)), "a data set keeps nothing");
}

#[test]
fn what_does_not_follow_from_the_rows_alone_is_not_kept() {
    let kept = kept(CACHE_BYTES);
    kept.write(vec![reading("default", "d1", "t", 1, Value::Int(1))]);
    for statement in [
        "SELECT now() AS n",
        "SELECT count(*) AS n FROM telemetry WHERE time < now()",
        "SELECT current_date AS n FROM telemetry",
        "SELECT random() AS n FROM telemetry",
        "SELECT count(*) AS n FROM telemetry WHERE value < (SELECT random())",
        "SELECT n FROM (SELECT uuid() AS n FROM telemetry) AS x",
        "SELECT id FROM devices",
        "SELECT count(*) AS n FROM telemetry WHERE device_id IN (SELECT id FROM devices)",
        "EXPLAIN SELECT count(*) FROM telemetry",
        "EXPLAIN ANALYZE SELECT count(*) FROM telemetry",
        "SELECT table_name FROM information_schema.tables",
        "SHOW TABLES",
        "SELECT * FROM generate_series(1, 3)",
    ] {
        for _ in 0..2 {
            kept.ask("default", statement, &[]);
        }
        assert_eq!(kept.cache.figures(), CacheFigures::default(), "{statement}");
    }
    for statement in ["SELEC", "SELECT nothing FROM telemetry", "SELECT 1 / 0", "DELETE FROM telemetry"] {
        assert!(kept.query.sql(&TenantId::default_tenant(), statement, &[]).is_err());
        assert_eq!(kept.cache.figures(), CacheFigures::default(), "{statement}");
    }
    let gaps = "SELECT time_bucket_gapfill('1 s', time, '1970-01-01', '1970-01-01T00:00:10Z') AS b, locf(count(*)) AS n
        FROM telemetry GROUP BY b ORDER BY b";
    assert_eq!(kept.ask("default", gaps, &[]), kept.ask("default", gaps, &[]));
    assert_eq!(kept.counts(), (1, 1));
}

#[test]
fn an_answer_beyond_its_part_is_not_kept() {
    let kept = kept(80 << 10);
    kept.write((0..1_000).map(|n| reading("default", "d1", "t", n, Value::Int(n))).collect());
    for _ in 0..2 {
        kept.ask("default", "SELECT * FROM telemetry", &[]);
    }
    assert_eq!((kept.counts(), kept.cache.figures().bytes), ((0, 2), 0));
    for limit in 0..200 {
        kept.ask("default", &format!("SELECT time FROM telemetry LIMIT {limit}"), &[]);
        assert!(kept.cache.figures().bytes <= 80 << 10);
    }
    assert!(kept.cache.figures().bytes > 40 << 10, "{:?}", kept.cache.figures());
}

/// Whatever is written and asked in whatever order: as by a query that keeps nothing.
#[test]
fn kept_answers_are_those_of_a_query_that_keeps_none() {
    let kept = kept(CACHE_BYTES);
    let (device, metric) = (DeviceId::parse("d1").unwrap(), MetricName::parse("t").unwrap());
    let tenants = ["default", "other"].map(|name| TenantId::parse(name).unwrap());
    let always = Timestamp::from_nanos(0)..Timestamp::from_nanos(i64::MAX);
    let every = Every::parse("1s", None).unwrap();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |most: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % most
    };
    let statements = [
        COUNT,
        "SELECT sum(value) AS s, max(time) AS t FROM telemetry WHERE device_id = 'd1'",
        "SELECT time, value FROM telemetry ORDER BY time DESC LIMIT 3",
        "SELECT count(*) AS n FROM corrections",
    ];
    for step in 0..600 {
        let tenant = &tenants[next(2) as usize];
        match next(7) {
            0 => {
                // New readings and corrections of old ones.
                let (nanos, value) = (next(20) as i64 * 400_000_000, Value::Int(next(5) as i64));
                kept.write(vec![reading(tenant.as_str(), "d1", "t", nanos, value)]);
            }
            1 => {
                let max = 4 + next(3) as usize;
                let of = |query: &Query| query.points(tenant, &device, &metric, always.clone(), max).unwrap();
                assert_eq!(of(&kept.query), of(&kept.plain), "{step}");
            }
            2 => {
                let aggregate = [Aggregate::Avg, Aggregate::Count][next(2) as usize];
                let of = |query: &Query| {
                    query.buckets(tenant, &device, &metric, always.clone(), (&every, aggregate), 100).unwrap()
                };
                assert_eq!(of(&kept.query), of(&kept.plain), "{step}");
            }
            _ => {
                let statement = statements[next(4) as usize];
                let of = |query: &Query| query.sql(tenant, statement, &[]).unwrap();
                assert_eq!(of(&kept.query), of(&kept.plain), "{step} {statement}");
            }
        }
    }
    let (hits, misses) = kept.counts();
    assert!(hits > 50 && misses > 50, "{hits} {misses}");
}
