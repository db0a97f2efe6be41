//! Functions of time series, and what a plan leaves out.

use penstock_query::{Error, Limits};
use record::{TenantId, Timestamp, Value};

use crate::{Rig, reading, rig};

fn nanos(time: &str) -> i64 {
    Timestamp::parse_rfc3339(time).unwrap().nanos()
}

fn filled() -> Rig {
    let rig = rig(Limits::default());
    let times =
        ["2026-10-24T22:10:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T22:59:00Z"];
    let readings =
        times.iter().zip(0..).map(|(time, n)| reading("default", "d1", "t", nanos(time), Value::Int(n)));
    rig.write(readings.collect());
    rig.write(vec![reading("default", "d2", "u", nanos("2026-10-25T12:00:00Z"), Value::Float(0.5))]);
    rig
}

fn csv(rig: &Rig, statement: &str) -> String {
    let table = rig.query.sql(&TenantId::default_tenant(), statement, &[]);
    table.unwrap_or_else(|error| panic!("{statement}: {error}")).to_csv().replace("\r\n", "\n")
}

#[test]
fn buckets_first_and_last_are_right_across_the_change_of_clocks() {
    let rig = filled();
    for (statement, expected) in [
        (
            // A day of 25 hours is one bucket.
            "SELECT time_bucket('1 day', time, 'Europe/Berlin') AS day, count(*) AS n, first(value, time) AS a,
                 last(value, time) AS b FROM telemetry WHERE device_id = 'd1' GROUP BY 1",
            "day,n,a,b\n2026-10-24T22:00:00Z,4,0.0,3.0\n",
        ),
        (
            "SELECT time_bucket('1 hour', time, 'Europe/Berlin') AS hour, count(*) AS n FROM telemetry
             WHERE time BETWEEN '2026-10-25T00:00:00Z' AND '2026-10-25T02:00:00Z' GROUP BY hour ORDER BY hour",
            "hour,n\n2026-10-25T00:00:00Z,1\n2026-10-25T01:00:00Z,1\n",
        ),
        (
            "SELECT time_bucket(INTERVAL '7 days', TIMESTAMPTZ '2026-10-25T12:00:00Z') AS week,
                 time_bucket('1 hour', TIMESTAMPTZ '2026-10-25T12:10:00Z', INTERVAL '15 minutes') AS offset_by,
                 time_bucket('1 month', TIMESTAMPTZ '2026-10-25T12:10:00Z', 'Asia/Kolkata') AS month,
                 time_bucket('2 days', TIMESTAMPTZ '2026-10-25', TIMESTAMPTZ '2026-10-24') AS origin",
            "week,offset_by,month,origin\n2026-10-19T00:00:00Z,2026-10-25T11:15:00Z,2026-09-30T18:30:00Z,2026-10-24T00:00:00Z\n",
        ),
        ("SELECT last(value, time) AS v FROM telemetry WHERE metric = 'none'", "v\n\n"),
    ] {
        assert_eq!(csv(&rig, statement), expected, "{statement}");
    }
    for (statement, words) in [
        ("SELECT time_bucket('nonsense', time) FROM telemetry", "width"),
        ("SELECT time_bucket('0 minutes', time) FROM telemetry", "more than nothing"),
        ("SELECT time_bucket('1 month 1 day', time) FROM telemetry", "not of both"),
        ("SELECT time_bucket('1 hour', time, 'Europe/Nowhere') FROM telemetry", "Europe/Nowhere"),
        ("SELECT time_bucket('1 hour') FROM telemetry", "time_bucket(width, time)"),
        ("SELECT time_bucket('1 hour', value) FROM telemetry", "not Float64"),
    ] {
        let refused = rig.query.sql(&TenantId::default_tenant(), statement, &[]);
        assert!(
            matches!(&refused, Err(Error::Statement(why)) if why.contains(words)),
            "{statement}: {refused:?}"
        );
    }
}

/// What docs/sql.md says of gaps.
#[test]
fn gaps_are_filled_by_a_series_of_buckets() {
    let rig = filled();
    let filled = csv(
        &rig,
        "WITH buckets AS (
             SELECT value AS bucket FROM generate_series(
                 TIMESTAMP '2026-10-25T00:00:00', TIMESTAMP '2026-10-25T03:00:00', INTERVAL '30 minutes')
         ), found AS (
             SELECT time_bucket('30 minutes', time) AS bucket, avg(value) AS v FROM telemetry
             WHERE device_id = 'd1' AND time >= '2026-10-25' AND time < '2026-10-25T03:30:00Z' GROUP BY 1
         )
         SELECT buckets.bucket, v, last_value(v) IGNORE NULLS OVER (ORDER BY buckets.bucket) AS carried
         FROM buckets LEFT JOIN found ON found.bucket = buckets.bucket ORDER BY 1",
    );
    let lines: Vec<&str> = filled.lines().skip(1).map(|line| line.split_once(',').unwrap().1).collect();
    assert_eq!(lines, [",", "1.0,1.0", ",1.0", "2.0,2.0", ",2.0", ",2.0", ",2.0"], "{filled}");
}

#[test]
fn a_scan_leaves_out_what_the_conditions_rule_out() {
    let rig = filled();
    for (condition, scan) in [
        (
            "time >= '2026-10-25' AND time < '2026-10-26T02:00:00+02:00'",
            "from=2026-10-25T00:00:00Z, to=2026-10-25T23:59:59.999999999Z",
        ),
        ("device_id = 'd1' AND metric IN ('t', 'u', 'v', 'w', 'x')", "devices=1, metrics=5"),
        ("device_id IN ('d1', 'd2') AND 'd1' = device_id", "devices=1"),
        ("device_id = 'd1' OR metric = 't'", "table=telemetry\n"),
        ("time > '2026-10-25' OR value > 3", "table=telemetry\n"),
    ] {
        let plan = csv(&rig, &format!("EXPLAIN SELECT * FROM telemetry WHERE {condition}"));
        assert!(plan.contains(scan), "{condition}: {plan}");
    }
    let counted =
        csv(&rig, "SELECT count(*) AS n FROM telemetry WHERE device_id = 'd1' AND device_id = 'd2'");
    assert_eq!(counted, "n\n0\n");
    let limited = csv(&rig, "EXPLAIN SELECT * FROM telemetry WHERE device_id = 'd1' LIMIT 2");
    assert!(limited.contains("limit=2"), "{limited}");
}
