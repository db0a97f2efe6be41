//! What SQL answers, and what it must not.

use std::time::Duration;

use penstock_query::{Cell, Error, Limits};
use record::{TenantId, Value};

use crate::{Rig, reading, rig};

const SECOND: i64 = 1_000_000_000;

fn filled() -> Rig {
    let rig = rig(Limits::default());
    rig.write(vec![
        reading("default", "d1", "t", 0, Value::Float(21.5)),
        reading("default", "d1", "t", SECOND / 2, Value::Float(22.0)),
        reading("default", "d1", "n", SECOND, Value::Int((1 << 53) + 1)),
        reading("default", "d2", "s", SECOND, Value::Text("open, \"now\"".into())),
        reading("other", "secret", "t", 0, Value::Int(7)),
    ]);
    rig
}

fn json(rig: &Rig, statement: &str, params: &[Cell]) -> String {
    let table = rig.query.sql(&TenantId::default_tenant(), statement, params).unwrap();
    serde_json::to_string(&table).unwrap()
}

#[test]
fn answers_are_exact() {
    let rig = filled();
    for (statement, expected) in [
        (
            "SELECT device_id, metric, value FROM telemetry WHERE metric = 'n'",
            r#"{"columns":["device_id","metric","value"],"rows":[{"device_id":"d1","metric":"n","value":9007199254740993}]}"#,
        ),
        (
            "SELECT time, value FROM telemetry WHERE metric = 't' ORDER BY time",
            r#"{"columns":["time","value"],"rows":[{"time":"1970-01-01T00:00:00Z","value":21.5},{"time":"1970-01-01T00:00:00.500Z","value":22.0}]}"#,
        ),
        // As text, 00.5Z sorts before 00Z; as a time it is later.
        (
            "SELECT count(*) AS n FROM telemetry WHERE time > '1970-01-01T00:00:00Z' AND metric = 't'",
            r#"{"columns":["n"],"rows":[{"n":1}]}"#,
        ),
        (
            "SELECT max(time) AS last FROM telemetry WHERE time < '1970-01-01T01:00:01+01:00'",
            r#"{"columns":["last"],"rows":[{"last":"1970-01-01T00:00:00.500Z"}]}"#,
        ),
        ("SELECT 1 AS a, 2 AS a", r#"{"columns":["a","a_2"],"rows":[{"a":1,"a_2":2}]}"#),
        (
            "SELECT id, metrics FROM devices",
            r#"{"columns":["id","metrics"],"rows":[{"id":"d1","metrics":2},{"id":"d2","metrics":1}]}"#,
        ),
        ("SELECT count(*) AS n FROM dlq", r#"{"columns":["n"],"rows":[{"n":0}]}"#),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT sum(i) AS s FROM n",
            r#"{"columns":["s"],"rows":[{"s":6}]}"#,
        ),
    ] {
        assert_eq!(json(&rig, statement, &[]), expected, "{statement}");
    }
    let params = [Cell::Text("d2".into())];
    assert_eq!(
        json(&rig, "SELECT text FROM telemetry WHERE device_id = ?", &params),
        r#"{"columns":["text"],"rows":[{"text":"open, \"now\""}]}"#
    );
    let table = rig.query.sql(
        &TenantId::default_tenant(),
        "SELECT text, value FROM telemetry WHERE device_id = ?",
        &params,
    );
    assert_eq!(table.unwrap().to_csv(), "text,value\r\n\"open, \"\"now\"\"\",\r\n");
}

#[test]
fn nothing_but_the_tenants_own_tables_can_be_read() {
    let rig = filled();
    for statement in [
        "SELECT * FROM device",
        "SELECT * FROM main.device",
        "SELECT count(*) FROM main.point",
        "SELECT * FROM main.corrected_point",
        "SELECT count(*) FROM late_point",
        "SELECT value FROM superseded",
        "SELECT count FROM window_row",
        "SELECT * FROM main.account",
        "SELECT count(*) FROM account",
        "SELECT bytes FROM note",
        "SELECT * FROM clock",
        "SELECT * FROM position",
        "SELECT record FROM dead_message",
        "SELECT * FROM main.late",
        "WITH ledger AS (SELECT * FROM main.account) SELECT * FROM ledger",
        // A subquery that calls itself like a public view, or like the view behind it.
        "WITH telemetry AS (SELECT * FROM main.device) SELECT * FROM telemetry",
        "SELECT * FROM (SELECT * FROM main.device) AS telemetry",
        "WITH devices AS MATERIALIZED (SELECT * FROM main.device) SELECT * FROM devices",
        "SELECT count(*) FROM DEVICE",
        "SELECT * FROM facts.devices",
        "SELECT body FROM Facts.devices",
        "SELECT count(*) FROM facts.devices",
        "SELECT count(*) FROM FACTS.learned",
        "SELECT count(*) FROM learned",
        "SELECT count(*) FROM credentials",
        "SELECT body FROM credentials",
        "SELECT count(*) FROM facts.sqlite_schema",
        "WITH devices AS MATERIALIZED (SELECT * FROM facts.devices) SELECT * FROM devices",
        "SELECT id FROM (SELECT * FROM facts.devices) AS devices",
        "SELECT id FROM devices UNION SELECT id FROM facts.credentials",
        "SELECT count(*) FROM sqlite_schema",
        "SELECT count(*) FROM pragma_table_list",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM temp.sqlite_master",
        "SELECT * FROM pragma_database_list",
        "SELECT tenant()",
        "SELECT load_extension('x')",
        "PRAGMA database_list",
        "ATTACH 'x.db' AS x",
        "CREATE TEMP TABLE x (a)",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT * FROM telemetry",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "EXPLAIN CREATE TABLE x AS SELECT 1",
        "EXPLAIN ANALYZE INSERT INTO telemetry SELECT * FROM telemetry",
        "COPY telemetry TO '/tmp/x.csv'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM \"file:///etc/passwd\"",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT 1 INTO x",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "UPDATE telemetry SET value = 1",
        "TRUNCATE telemetry",
        "WITH x AS (INSERT INTO telemetry VALUES (1) RETURNING 1) SELECT * FROM x",
        "SELECT * FROM other.public.telemetry",
        "SELECT * FROM penstock.other.telemetry",
        "SELECT ?, $1",
        "SELECT $2",
        "DROP VIEW telemetry",
        "INSERT INTO device VALUES (9, 'default', 'x', 0, 0)",
        "DELETE FROM telemetry",
        "SELECT 1; SELECT 2",
        "BEGIN",
        "VACUUM",
        "SELEC 1",
        "SELECT ?",
        "",
    ] {
        let refused = rig.query.sql(&TenantId::default_tenant(), statement, &[]);
        assert!(matches!(refused, Err(Error::Statement(_))), "{statement}: {refused:?}");
    }
    let all = json(&rig, "SELECT DISTINCT device_id FROM telemetry ORDER BY 1", &[]);
    assert_eq!(all, r#"{"columns":["device_id"],"rows":[{"device_id":"d1"},{"device_id":"d2"}]}"#);
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let rig = filled();
    for (statement, words) in [
        (
            "SELECT valu FROM telemetry",
            "There are time, arrived_at, device_id, metric, value, text, lat, lng, kind, clock, device_time, seq, integer.",
        ),
        // The quotes of names round a text: the most common mistake.
        ("SELECT value FROM telemetry WHERE device_id = \"d1\"", "A text stands in single quotes: 'd1'."),
        ("SELECT * FROM tellemetry", "table tellemetry not found: SHOW TABLES lists the tables"),
    ] {
        let refused = rig.query.sql(&TenantId::default_tenant(), statement, &[]);
        let told = refused.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(told.contains(words), "{statement}: {refused:?}");
    }
}

#[test]
fn an_answer_beyond_the_limits_is_refused_and_not_cut() {
    let rig = rig(Limits { rows: 3, bytes: 10_000, time: Duration::from_millis(700), ..Limits::default() });
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    for (statement, words) in [
        (format!("{endless} SELECT i FROM n"), "more than 3 rows"),
        (format!("{endless} SELECT count(*) FROM n"), "longer than 0.7 s"),
        ("SELECT repeat('x', 10001)".into(), "larger than 10000 bytes"),
    ] {
        let refused = rig.query.sql(&TenantId::default_tenant(), &statement, &[]);
        assert!(
            matches!(&refused, Err(Error::TooMuch(why)) if why.contains(words)),
            "{statement}: {refused:?}"
        );
    }
}

#[test]
fn now_is_the_time_of_the_question_throughout() {
    let rig = rig(Limits::default());
    let ask = |statement: &str| {
        let answer = rig.query.sql(&TenantId::default_tenant(), statement, &[]);
        answer.unwrap_or_else(|error| panic!("{statement}: {error}")).to_csv()
    };
    assert_eq!(ask("SELECT now() = now() AND now() > TIMESTAMPTZ '2026-01-01' AS fine"), "fine\r\ntrue\r\n");
    assert_eq!(ask("SELECT current_date <= now() AS fine"), "fine\r\ntrue\r\n");
    assert_eq!(
        ask("SELECT count(*) AS n FROM telemetry WHERE time > now() - INTERVAL '1 hour'"),
        "n\r\n0\r\n"
    );
    let plan = ask("EXPLAIN SELECT * FROM telemetry WHERE time > now() - INTERVAL '1 hour'");
    assert!(plan.contains("from=20"), "the store is told: {plan}");
}

#[test]
fn a_case_of_many_arms_is_no_deep_nesting() {
    let rig = rig(Limits::default());
    let arms: String = (0..600).map(|n| format!(" WHEN {n} THEN 'a{n}'")).collect();
    let sql = format!("SELECT CASE 599{arms} END AS it");
    assert_eq!(rig.query.sql(&TenantId::default_tenant(), &sql, &[]).unwrap().to_csv(), "it\r\na599\r\n");
}
