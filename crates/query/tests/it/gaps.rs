//! Gaps that are filled.

use penstock_query::{Error, Limits};
use record::{TenantId, Timestamp, Value};

use crate::{Rig, reading, rig};

const MINUTE: i64 = 60_000_000_000;

fn nanos(time: &str) -> i64 {
    Timestamp::parse_rfc3339(time).unwrap().nanos()
}

/// Two devices, minutes after 12:00 on a day, with holes.
fn filled() -> Rig {
    let rig = rig(Limits::default());
    let noon = nanos("2026-11-20T12:00:00Z");
    let at = |device: &str, minute: i64, value: f64| {
        reading("default", device, "t", noon + minute * MINUTE, Value::Float(value))
    };
    rig.write(vec![at("a", 1, 10.0), at("a", 2, 20.0), at("a", 5, 50.0), at("a", 8, 20.0)]);
    rig.write(vec![at("b", 0, 1.0), at("b", 6, 4.0), at("b", 30, 9.0)]);
    rig.write(vec![
        reading("default", "a", "word", noon + 2 * MINUTE, Value::Text("x".into())),
        reading("default", "c", "t", nanos("2026-03-28T23:30:00Z"), Value::Float(1.0)),
        reading("default", "c", "t", nanos("2026-03-31T01:00:00Z"), Value::Float(5.0)),
        reading("default", "c", "t", nanos("2026-10-24T00:00:00Z"), Value::Float(1.0)),
        reading("default", "c", "t", nanos("2026-10-26T12:00:00Z"), Value::Float(3.0)),
    ]);
    rig
}

fn csv(rig: &Rig, statement: &str) -> String {
    let table = rig.query.sql(&TenantId::default_tenant(), statement, &[]);
    table.unwrap_or_else(|error| panic!("{statement}: {error}")).to_csv().replace("\r\n", "\n")
}

/// What a statement answers without its header, times of the day only.
fn lines(rig: &Rig, statement: &str) -> Vec<String> {
    let csv = csv(rig, statement).replace("2026-11-20T12:", "").replace(":00Z", "");
    csv.lines().skip(1).map(str::to_owned).collect()
}

const NOON: &str = "time >= '2026-11-20T12:00:00Z' AND time < '2026-11-20T12:10:00Z'";

#[test]
fn each_group_has_every_bucket_and_values_are_carried_on_and_drawn_through() {
    let rig = filled();
    let found = lines(
        &rig,
        &format!(
            "SELECT device_id, time_bucket_gapfill('2 minutes', time) AS bucket, count(*) AS n, avg(value) AS v,
                 locf(avg(value)) AS carried, interpolate(avg(value)) AS line
             FROM telemetry WHERE metric = 't' AND {NOON} GROUP BY device_id, bucket ORDER BY device_id, bucket"
        ),
    );
    let expected = [
        "a,00,1,10.0,10.0,10.0",
        "a,02,1,20.0,20.0,20.0",
        "a,04,1,50.0,50.0,50.0",
        "a,06,,,50.0,35.0",
        "a,08,1,20.0,20.0,20.0",
        "b,00,1,1.0,1.0,1.0",
        "b,02,,,1.0,2.0",
        "b,04,,,1.0,3.0",
        "b,06,1,4.0,4.0,4.0",
        "b,08,,,4.0,",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_computed_with_the_filled_is_computed_after_having_and_order_too() {
    let rig = filled();
    for (statement, expected) in [
        (
            // Fills in expressions, a window over them, two of one kind; nothing before the first value.
            "SELECT time_bucket_gapfill('1 minute', time) AS b, round(locf(avg(value)) / 3, 1) AS third,
                 coalesce(count(*), 0) AS n, sum(locf(max(value))) OVER (ORDER BY time_bucket_gapfill('1 minute', time)) AS running,
                 interpolate(count(*)) AS counts
             FROM telemetry WHERE device_id = 'a' AND metric = 't' AND TIME GROUP BY 1 ORDER BY 1 LIMIT 4",
            vec!["00,,0,,", "01,3.3,1,10.0,1.0", "02,6.7,1,30.0,1.0", "03,6.7,0,50.0,1.0"],
        ),
        (
            // What HAVING leaves out is a gap.
            "SELECT time_bucket_gapfill('1 minute', time) AS b, locf(avg(value)) AS v FROM telemetry
             WHERE device_id = 'a' AND metric = 't' AND TIME GROUP BY b HAVING avg(value) < 30 ORDER BY b DESC LIMIT 5",
            vec!["09,20.0", "08,20.0", "07,20.0", "06,20.0", "05,20.0"],
        ),
        (
            // By something that is not shown; from a table with a name of its own; the bucket not first.
            "SELECT x.device_id, locf(last(x.value, x.time)) AS v FROM telemetry AS x
             WHERE x.metric = 't' AND x.time BETWEEN '2026-11-20T12:05:00Z' AND '2026-11-20T12:06:59Z'
             GROUP BY x.device_id, time_bucket_gapfill(INTERVAL '1 minute', x.time)
             ORDER BY 1, time_bucket_gapfill(INTERVAL '1 minute', x.time)",
            vec!["a,50.0", "a,50.0", "b,", "b,4.0"],
        ),
        (
            // A NULL that is there is there, and is carried on.
            "SELECT time_bucket_gapfill('1 minute', time) AS b, count(*) AS n, locf(max(value)) AS v, interpolate(max(value)) AS l
             FROM telemetry WHERE metric = 'word' AND TIME GROUP BY b ORDER BY b LIMIT 4",
            vec!["00,,,", "01,,,", "02,1,,", "03,,,"],
        ),
        (
            // Without other keys there is one group, also of nothing; with them there is none.
            "SELECT time_bucket_gapfill('5 minutes', time) AS b, count(*) AS n FROM telemetry
             WHERE device_id = 'nobody' AND TIME GROUP BY b ORDER BY b",
            vec!["00,", "05,"],
        ),
        (
            "SELECT device_id, time_bucket_gapfill('5 minutes', time) AS b FROM telemetry
             WHERE device_id = 'nobody' AND TIME GROUP BY device_id, b",
            vec![],
        ),
        (
            // Arguments go before the WHERE, and leave no row out.
            "SELECT time_bucket_gapfill('10 minutes', time, '2026-11-20T12:15:00Z', TIMESTAMPTZ '2026-11-20T12:50:00Z') AS b,
                 locf(sum(value)) AS v
             FROM telemetry WHERE device_id = 'b' GROUP BY b ORDER BY b",
            vec!["00,5.0", "10,5.0", "20,5.0", "30,9.0", "40,9.0"],
        ),
        (
            // Around it others compute: as a table, in a subquery, joined.
            "SELECT count(*) AS n, count(v) AS there, sum(v) AS s FROM (
                 SELECT time_bucket_gapfill('1 minute', time) AS b, avg(value) AS v FROM telemetry
                 WHERE device_id = 'a' AND metric = 't' AND TIME GROUP BY b) AS filled WHERE b > '2026-11-20T12:01:30Z'",
            vec!["8,3,90.0"],
        ),
        (
            "WITH f AS (SELECT device_id, time_bucket_gapfill('1 minute', time) AS b, locf(avg(value)) AS v FROM telemetry
                 WHERE metric = 't' AND TIME GROUP BY 1, 2)
             SELECT x.b, x.v + y.v AS both_of_them FROM f AS x JOIN f AS y ON x.b = y.b
             WHERE x.device_id = 'a' AND y.device_id = 'b' AND x.v + y.v > 52 ORDER BY 1",
            vec!["06,54.0", "07,54.0"],
        ),
    ] {
        let statement = statement.replace("TIME", NOON).replace(&format!("{NOON}STAMPTZ"), "TIMESTAMPTZ");
        assert_eq!(lines(&rig, &statement), expected, "{statement}");
    }
}

#[test]
fn days_are_as_long_as_the_clocks_of_the_place_make_them() {
    let rig = filled();
    let spring = "SELECT time_bucket_gapfill('1 day', time, 'Europe/Berlin') AS day, locf(avg(value)) AS v,
            interpolate(avg(value)) AS line
        FROM telemetry WHERE device_id = 'c' AND time >= '2026-03-28T23:00:00Z' AND time < '2026-03-31T22:00:00Z'
        GROUP BY day ORDER BY day";
    assert_eq!(
        csv(&rig, spring),
        "day,v,line\n2026-03-28T23:00:00Z,1.0,1.0\n2026-03-29T22:00:00Z,1.0,2.957446808510638\n2026-03-30T22:00:00Z,5.0,5.0\n"
    );
    let autumn = "SELECT time_bucket_gapfill('1 day', time, '2026-10-23T22:00:00Z', '2026-10-26T23:00:00Z', 'Europe/Berlin') AS day,
            max(value) AS v FROM telemetry WHERE device_id = 'c' AND time > '2026-10-01' GROUP BY day ORDER BY day";
    assert_eq!(
        csv(&rig, autumn),
        "day,v\n2026-10-23T22:00:00Z,1.0\n2026-10-24T22:00:00Z,\n2026-10-25T23:00:00Z,3.0\n"
    );
    // The hour that comes twice is two buckets, the day has 25.
    let hours = "SELECT count(*) AS n FROM (SELECT time_bucket_gapfill('1 hour', time, 'Europe/Berlin') AS hour FROM telemetry
        WHERE device_id = 'nobody' AND time >= '2026-10-24T22:00:00Z' AND time < '2026-10-25T23:00:00Z' GROUP BY hour) AS h";
    assert_eq!(csv(&rig, hours), "n\n25\n");
    let months = "SELECT time_bucket_gapfill('1 month', time) AS m, count(*) AS n FROM telemetry
        WHERE device_id = 'c' AND time >= '2026-02-10' AND time <= '2026-05-01' GROUP BY m ORDER BY m";
    assert_eq!(
        csv(&rig, months),
        "m,n\n2026-02-01T00:00:00Z,\n2026-03-01T00:00:00Z,2\n2026-04-01T00:00:00Z,\n2026-05-01T00:00:00Z,\n"
    );
}

/// The same, by a series of buckets and a join, over more groups and buckets than a batch has rows.
#[test]
fn many_groups_and_long_gaps_are_as_by_a_join() {
    let rig = rig(Limits::default());
    let mut readings = Vec::new();
    for n in 0..3_000_i64 {
        let (device, minute) = (n % 7, (n * n * 31 + n * 17) % 20_000);
        let value = Value::Float((n % 13) as f64);
        readings.push(reading("default", &format!("d{device}"), "t", minute * MINUTE, value));
    }
    rig.write(readings);
    let range = "time >= '1970-01-01' AND time < '1970-01-14T21:20:00Z'";
    let filled = format!(
        "SELECT device_id, time_bucket_gapfill('1 minute', time) AS b, avg(value) AS v, locf(avg(value)) AS c
         FROM telemetry WHERE {range} GROUP BY 1, 2"
    );
    let joined = format!(
        "SELECT d.device_id, b.value AS b, f.v,
             last_value(f.v) IGNORE NULLS OVER (PARTITION BY d.device_id ORDER BY b.value) AS c
         FROM generate_series(TIMESTAMP '1970-01-01', TIMESTAMP '1970-01-14T21:19:00', INTERVAL '1 minute') AS b
         CROSS JOIN (SELECT DISTINCT device_id FROM telemetry) AS d
         LEFT JOIN (SELECT device_id, time_bucket('1 minute', time) AS b, avg(value) AS v FROM telemetry
             WHERE {range} GROUP BY 1, 2) AS f ON f.device_id = d.device_id AND f.b = b.value"
    );
    let sums = |of: &str| {
        csv(
            &rig,
            &format!(
                "SELECT device_id, count(*) AS n, count(v) AS there, count(c) AS carried, sum(c) AS s, count(DISTINCT b) AS b
                 FROM ({of}) AS x GROUP BY device_id ORDER BY device_id"
            ),
        )
    };
    let by_step = sums(&filled);
    assert_eq!(by_step, sums(&joined));
    assert!(by_step.lines().nth(1).unwrap().starts_with("d0,20000,"), "{by_step}");
}

#[test]
fn plans_show_it_and_now_is_a_bound() {
    let rig = filled();
    let plan = csv(
        &rig,
        &format!(
            "EXPLAIN SELECT time_bucket_gapfill('1 minute', time) AS b, locf(avg(value)) AS v FROM telemetry WHERE {NOON} GROUP BY b"
        ),
    );
    for words in [
        "GapFill: start=2026-11-20T12:00:00Z, finish=2026-11-20T12:10:00Z, buckets=10",
        "Scan: table=telemetry, from=",
    ] {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    let recent = "SELECT count(*) AS n FROM (SELECT time_bucket_gapfill('1 hour', time) AS b FROM telemetry
        WHERE time > now() - INTERVAL '1 day' AND time <= now() GROUP BY b) AS x";
    assert_eq!(csv(&rig, recent), "n\n25\n");
    let asked = "SELECT count(*) AS n FROM (SELECT time_bucket_gapfill($1, time, $2, $3) AS b FROM telemetry GROUP BY b) AS x
        WHERE b < '2026-11-20T12:10:00Z' AND b >= '2026-11-20T12:00:00Z'";
    let params = ["1 minute", "2026-11-20T12:00:00Z", "2026-11-20T12:10:00Z"]
        .map(|text| penstock_query::Cell::Text(text.into()));
    let answer = rig.query.sql(&TenantId::default_tenant(), asked, &params).unwrap();
    assert_eq!(answer.to_csv(), "n\r\n10\r\n");
}

#[test]
fn what_is_missing_or_in_the_wrong_place_is_said() {
    let rig = filled();
    let group = "GROUP BY time_bucket_gapfill('1 minute', time)";
    for (statement, words) in [
        (format!("SELECT avg(value) FROM telemetry {group}"), "from when to when"),
        (format!("SELECT avg(value) FROM telemetry WHERE time > '2026-11-20' {group}"), "up to when"),
        (format!("SELECT avg(value) FROM telemetry WHERE time < '2026-11-20' {group}"), "from when gaps"),
        (
            format!(
                "SELECT avg(value) FROM telemetry WHERE arrived_at > '2026-11-20' AND arrived_at < '2026-11-21' {group}"
            ),
            "from when to when",
        ),
        (
            format!(
                "SELECT avg(value) FROM telemetry WHERE time > '2026-11-20' OR time < '2026-11-21' {group}"
            ),
            "from when to when",
        ),
        (
            format!("SELECT avg(value) FROM telemetry WHERE time > '1900-01-01' AND time < now() {group}"),
            "at most 1209600",
        ),
        (format!("SELECT avg(locf(value)) FROM telemetry WHERE {NOON} {group}"), "around an aggregate"),
        (
            format!("SELECT locf(interpolate(avg(value))) FROM telemetry WHERE {NOON} {group}"),
            "around an aggregate",
        ),
        (
            format!("SELECT avg(value) FROM telemetry WHERE {NOON} {group} HAVING locf(avg(value)) > 1"),
            "around an aggregate",
        ),
        (format!("SELECT interpolate(max(text)) FROM telemetry WHERE {NOON} {group}"), "between numbers"),
        (
            format!(
                "SELECT avg(value) FROM telemetry WHERE {NOON} {group}, time_bucket_gapfill('2 minutes', time)"
            ),
            "once",
        ),
        (
            "SELECT locf(avg(value)) FROM telemetry GROUP BY time_bucket('1 minute', time)".into(),
            "groups by time_bucket_gapfill",
        ),
        ("SELECT locf(value) FROM telemetry".into(), "groups by time_bucket_gapfill"),
        ("SELECT interpolate(value) FROM telemetry".into(), "interpolate(…) goes around"),
        ("SELECT time_bucket_gapfill('1 minute', time) FROM telemetry".into(), "GROUP BY"),
        (
            "SELECT count(*) FROM telemetry WHERE time_bucket_gapfill('1 minute', time) > '2026-11-20'"
                .into(),
            "GROUP BY",
        ),
        ("SELECT max(time_bucket_gapfill('1 minute', time)) FROM telemetry".into(), "GROUP BY"),
        (
            "SELECT 1 FROM telemetry GROUP BY date_trunc('day', time_bucket_gapfill('1 minute', time))"
                .into(),
            "GROUP BY",
        ),
        (
            format!(
                "SELECT 1 FROM telemetry WHERE {NOON} GROUP BY ROLLUP (device_id, time_bucket_gapfill('1 minute', time))"
            ),
            "GROUP BY",
        ),
        (
            "SELECT 1 FROM telemetry GROUP BY time_bucket_gapfill('1 minute')".into(),
            "time_bucket_gapfill(width, time)",
        ),
        (
            "SELECT 1 FROM telemetry GROUP BY time_bucket_gapfill('1 minute', time, now())".into(),
            "go together",
        ),
        (
            "SELECT 1 FROM telemetry GROUP BY time_bucket_gapfill('1 minute', time, 'Europe/Nowhere')".into(),
            "Europe/Nowhere",
        ),
        (
            format!("SELECT 1 FROM telemetry WHERE {NOON} GROUP BY time_bucket_gapfill('0 minutes', time)"),
            "more than nothing",
        ),
        (
            format!("SELECT 1 FROM telemetry WHERE {NOON} GROUP BY time_bucket_gapfill(metric, time)"),
            "constants",
        ),
    ] {
        let refused = rig.query.sql(&TenantId::default_tenant(), &statement, &[]);
        assert!(
            matches!(&refused, Err(Error::Statement(why)) if why.contains(words)),
            "{statement}: {refused:?}"
        );
    }
    let rig = crate::rig(Limits { memory: 1 << 20, ..Limits::default() });
    let many =
        "SELECT count(*) FROM (SELECT 1 FROM telemetry WHERE time >= '2026-11-20' AND time < '2026-11-22'
        GROUP BY time_bucket_gapfill('200 milliseconds', time)) AS x";
    let refused = rig.query.sql(&TenantId::default_tenant(), many, &[]);
    assert!(matches!(&refused, Err(Error::TooMuch(why)) if why.contains("memory")), "{refused:?}");
}
