//! Statements nobody would write, and statements that are none: errors, and nothing else. Seeded, so that what failed can be
//! asked again.

use std::time::Duration;

use penstock_query::{Error, Limits};
use record::{TenantId, Value};

use crate::{Rig, reading, rig};

/// What only the other tenant has.
const SECRET: &str = "secret-of-the-other";

fn filled() -> Rig {
    let limits =
        Limits { time: Duration::from_secs(2), memory: 32 << 20, bytes: 4 << 20, ..Limits::default() };
    let rig = rig(limits);
    let mut readings = Vec::new();
    for n in 0..40 {
        readings.push(reading(
            "default",
            &format!("d{}", n % 3),
            "t",
            n * 1_000_000_000,
            Value::Float(n as f64),
        ));
        readings.push(reading("other", SECRET, SECRET, n, Value::Text(SECRET.into())));
    }
    rig.write(readings);
    rig
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const TABLES: [&str; 8] = [
    "telemetry",
    "devices",
    "dlq",
    "aggregations",
    "late",
    "corrections",
    "ledger",
    "information_schema.tables",
];
const COLUMNS: [&str; 10] =
    ["time", "value", "device_id", "metric", "text", "seq", "integer", "id", "\"window\"", "arrived_at"];
const LITERALS: [&str; 14] = [
    "NULL",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "0.1",
    "''",
    "'d1'",
    "'\\'",
    "TRUE",
    "TIMESTAMPTZ '2262-04-11T23:47:16.854775807Z'",
    "INTERVAL '1 month'",
    "DATE '9999-12-31'",
];
const CALLS: [&str; 23] = [
    "abs",
    "avg",
    "sum",
    "max",
    "min",
    "count",
    "first",
    "last",
    "stddev",
    "time_bucket",
    "time_bucket_gapfill",
    "locf",
    "interpolate",
    "date_trunc",
    "lower",
    "length",
    "repeat",
    "lpad",
    "coalesce",
    "array_agg",
    "approx_percentile_cont",
    "regexp_replace",
    "substr",
];

fn expression(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return if random.below(2) == 0 { random.of(&COLUMNS) } else { random.of(&LITERALS) }.to_owned();
    }
    let inner = |random: &mut Random| expression(random, depth - 1);
    match random.below(8) {
        0 => format!(
            "({} {} {})",
            inner(random),
            random.of(&["+", "-", "*", "/", "%", "||", "=", "<", "AND", "LIKE", "~", "<<"]),
            inner(random)
        ),
        1 => format!("{}({})", random.of(&CALLS), inner(random)),
        2 => format!("{}({}, {})", random.of(&CALLS), inner(random), inner(random)),
        3 => format!("CASE WHEN {} THEN {} END", inner(random), inner(random)),
        4 => format!(
            "CAST({} AS {})",
            inner(random),
            random.of(&["INT", "TEXT", "TIMESTAMPTZ", "DOUBLE", "DECIMAL(38, 10)", "INTERVAL", "BOOLEAN"])
        ),
        5 => format!(
            "{} OVER (PARTITION BY {} ORDER BY {})",
            format_args!("{}({})", random.of(&CALLS), random.of(&COLUMNS)),
            inner(random),
            random.of(&COLUMNS)
        ),
        6 => format!("(SELECT {} FROM {} LIMIT 1)", inner(random), random.of(&TABLES)),
        _ => inner(random),
    }
}

fn statement(random: &mut Random) -> String {
    let depth = 1 + random.below(3);
    let mut sql = format!("SELECT {} FROM {}", expression(random, depth), random.of(&TABLES));
    if random.below(3) == 0 {
        sql += &format!(" JOIN {} AS o ON {}", random.of(&TABLES), expression(random, 1));
    }
    if random.below(2) == 0 {
        sql += &format!(" WHERE {}", expression(random, depth));
    }
    if random.below(3) == 0 {
        sql += &format!(" GROUP BY {}", expression(random, 1));
    }
    if random.below(3) == 0 {
        sql += &format!(
            " UNION ALL {}",
            format_args!("SELECT {} FROM {}", expression(random, 1), random.of(&TABLES))
        );
    }
    if random.below(3) == 0 {
        sql += &format!(
            " ORDER BY {} LIMIT {}",
            random.of(&["1", "time", "2"]),
            random.of(&["0", "5", "9223372036854775807", "-1"])
        );
    }
    sql
}

/// The same with letters left out, doubled, or other ones.
fn broken(random: &mut Random, sql: &str) -> String {
    let mut letters: Vec<char> = sql.chars().collect();
    for _ in 0..=random.below(4) {
        let at = random.below(letters.len());
        match random.below(4) {
            0 => drop(letters.remove(at)),
            1 => letters.insert(at, letters[at]),
            2 => {
                letters[at] =
                    ['\'', '"', '(', ')', ';', '$', '?', '\0', 'é', '\\', '-', '*', '/'][random.below(13)]
            }
            _ => letters.truncate(at.max(1)),
        }
    }
    letters.into_iter().collect()
}

fn check(rig: &Rig, seed: u64, sql: &str) {
    let said = match rig.query.sql(&TenantId::default_tenant(), sql, &[]) {
        Ok(table) => serde_json::to_string(&table).unwrap(),
        Err(Error::Statement(why)) => {
            assert!(!why.contains("cannot answer this statement"), "seed {seed}: a panic: {sql}");
            why
        }
        Err(Error::TooMuch(_)) => String::new(),
        Err(other) => panic!("seed {seed}: {other}: {sql}"),
    };
    assert!(!said.contains(SECRET) || sql.contains(SECRET), "seed {seed}: {sql}: {said}");
}

#[test]
fn whatever_is_asked_ends_in_an_answer_or_an_error() {
    let rig = filled();
    let seeds = std::env::var("PENSTOCK_SQL_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    for seed in 0..seeds {
        let mut random = Random(seed);
        let sql = statement(&mut random);
        check(&rig, seed, &sql);
        check(&rig, seed, &broken(&mut random, &sql));
    }
    assert!(rig.query.sql(&TenantId::default_tenant(), "SELECT 1", &[]).is_ok());
}

#[test]
fn what_would_take_too_much_is_refused() {
    let rig = filled();
    let deep = |open: &str, close: &str| format!("SELECT {}1{}", open.repeat(20_000), close.repeat(20_000));
    for sql in [
        "SELECT repeat('x', 2000000000)".to_owned(),
        "SELECT lpad('x', 2000000000)".to_owned(),
        "SELECT replace(repeat('x', 1000000), 'x', repeat('y', 1000000))".to_owned(),
        "SELECT array_repeat(1, 2000000000)".to_owned(),
        "SELECT range(0, 2000000000)".to_owned(),
        "SELECT count(*) FROM generate_series(1, 9223372036854775807)".to_owned(),
        "SELECT string_agg(repeat('x', 1000), ',') FROM generate_series(1, 10000000)".to_owned(),
        "SELECT array_agg(value) FROM generate_series(1, 100000000)".to_owned(),
        "SELECT * FROM generate_series(1, 10000000) a ORDER BY value DESC".to_owned(),
        "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b".to_owned(),
        "SELECT value, count(*) FROM generate_series(1, 100000000) GROUP BY 1".to_owned(),
        "SELECT count(*) FROM generate_series(1, 100000) a JOIN generate_series(1, 100000) b ON a.value < b.value".to_owned(),
        deep("(", ")"),
        deep("-", ""),
        deep("NOT ", ""),
        deep("(SELECT ", ")"),
        format!("SELECT 1{}", " + 1".repeat(100_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(20_000)),
        format!("SELECT '{}'", "x".repeat(2 << 20)),
        format!("SELECT 1{}", ",1".repeat(170_000)),
        "SELECT $4294967295".to_owned(),
        format!("SELECT 1 FROM telemetry a0{}", (1..300).map(|n| format!(" CROSS JOIN telemetry a{n}")).collect::<String>()),
        format!(
            "WITH a0 AS (SELECT time FROM telemetry){} SELECT count(*) FROM a40",
            (1..=40).map(|n| format!(", a{n} AS (SELECT * FROM a{0} UNION ALL SELECT * FROM a{0})", n - 1)).collect::<String>()
        ),
    ] {
        let begun = std::time::Instant::now();
        let outcome = rig.query.sql(&TenantId::default_tenant(), &sql, &[]);
        let start: String = sql.chars().take(80).collect();
        assert!(matches!(outcome, Err(Error::TooMuch(_) | Error::Statement(_))), "{start}: {outcome:?}");
        // The limit is 2 s; a machine that is busy may be late.
        assert!(begun.elapsed() < Duration::from_secs(8), "{start}: {:?}", begun.elapsed());
    }
}

#[test]
fn another_tenants_table_is_like_one_that_is_not_there() {
    let rig = filled();
    let said = |table: &str| {
        let asked = rig.query.sql(&TenantId::default_tenant(), &format!("SELECT * FROM {table}"), &[]);
        asked.unwrap_err().to_string().replace(table, "…")
    };
    assert_eq!(said("other.public.telemetry"), said("nobody.public.telemetry"));
    assert_eq!(said("penstock.other.telemetry"), said("penstock.nobody.telemetry"));
    assert_eq!(said("secret_table"), said("missing_table"));
}
