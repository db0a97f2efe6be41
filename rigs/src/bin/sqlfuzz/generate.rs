//! Statements: such as people might write, such as nobody would, and such as are none.

use rigs::truth::dice::Dice;

const TABLES: [&str; 18] = [
    "telemetry",
    "latest",
    "devices",
    "dlq",
    "aggregations",
    "late",
    "corrections",
    "ledger",
    "public.telemetry",
    "penstock.public.telemetry",
    "information_schema.tables",
    "information_schema.columns",
    "pg_catalog.pg_class",
    "pg_catalog.pg_type",
    "pg_attribute",
    "generate_series(1, 50)",
    "other.telemetry",
    "\"../other\".telemetry",
];
const COLUMNS: [&str; 16] = [
    "time",
    "value",
    "device_id",
    "metric",
    "text",
    "seq",
    "integer",
    "id",
    "\"window\"",
    "arrived_at",
    "kind",
    "lat",
    "count",
    "relname",
    "oid",
    "*",
];
const LITERALS: [&str; 22] = [
    "NULL",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e308",
    "0.1",
    "''",
    "'d1'",
    "'\\'",
    "E'\\x41'",
    "$1",
    "TRUE",
    "TIMESTAMPTZ '2262-04-11T23:47:16.854775807Z'",
    "TIMESTAMPTZ '0001-01-01T00:00:00Z'",
    "INTERVAL '1 month'",
    "INTERVAL '178000000 years'",
    "DATE '9999-12-31'",
    "'{a,b}'",
    "ARRAY[1, 2, NULL]",
    "X'00ff'",
];
const CALLS: [&str; 52] = [
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
    "date_part",
    "date_bin",
    "to_timestamp",
    "to_char",
    "lower",
    "length",
    "repeat",
    "lpad",
    "coalesce",
    "nullif",
    "array_agg",
    "string_agg",
    "approx_percentile_cont",
    "regexp_replace",
    "regexp_match",
    "substr",
    "split_part",
    "array_repeat",
    "array_resize",
    "array_to_string",
    "array_position",
    "unnest",
    "range",
    "make_array",
    "flatten",
    "map",
    "struct",
    "factorial",
    "power",
    "round",
    "trunc",
    "chr",
    "encode",
    "md5",
    "sha512",
    "row_number",
    "format_type",
    "current_setting",
];
const OPERATORS: [&str; 22] = [
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "=",
    "<>",
    "<",
    ">=",
    "AND",
    "OR",
    "LIKE",
    "ILIKE",
    "~",
    "!~*",
    "<<",
    ">>",
    "&",
    "|",
    "IS DISTINCT FROM",
    "->>",
];
const TYPES: [&str; 16] = [
    "INT",
    "SMALLINT",
    "BIGINT",
    "TEXT",
    "VARCHAR(3)",
    "TIMESTAMPTZ",
    "TIMESTAMP",
    "DATE",
    "TIME",
    "DOUBLE",
    "DECIMAL(38, 10)",
    "DECIMAL(76, 70)",
    "INTERVAL",
    "BOOLEAN",
    "BYTEA",
    "TEXT[]",
];

fn expression(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 {
        return if dice.chance(0.5) { *dice.pick(&COLUMNS[..15]) } else { *dice.pick(&LITERALS) }.to_owned();
    }
    match dice.below(13) {
        0 | 1 => {
            let (left, right) = (expression(dice, depth - 1), expression(dice, depth - 1));
            format!("({left} {} {right})", dice.pick(&OPERATORS))
        }
        2 => format!("{}({})", dice.pick(&CALLS), expression(dice, depth - 1)),
        3 => {
            format!("{}({}, {})", dice.pick(&CALLS), expression(dice, depth - 1), expression(dice, depth - 1))
        }
        4 => format!(
            "CASE WHEN {} THEN {} ELSE {} END",
            expression(dice, depth - 1),
            expression(dice, depth - 1),
            expression(dice, depth - 1)
        ),
        5 => format!("CAST({} AS {})", expression(dice, depth - 1), dice.pick(&TYPES)),
        6 => {
            let (call, of) = (*dice.pick(&CALLS), expression(dice, depth - 1));
            let (by, order) = (*dice.pick(&COLUMNS[..15]), *dice.pick(&COLUMNS[..15]));
            let frame = *dice.pick(&[
                "",
                "",
                " ROWS BETWEEN 3 PRECEDING AND CURRENT ROW",
                " RANGE UNBOUNDED PRECEDING",
            ]);
            format!("{call}({of}) OVER (PARTITION BY {by} ORDER BY {order}{frame})")
        }
        7 => format!("({})", query(dice, depth - 1)),
        8 => format!("{} IN ({})", expression(dice, depth - 1), query(dice, depth - 1)),
        9 => format!("EXISTS ({})", query(dice, depth - 1)),
        10 => format!("{} = ANY ({})", expression(dice, depth - 1), expression(dice, depth - 1)),
        11 => format!("{} BETWEEN {} AND {}", expression(dice, 0), expression(dice, 0), expression(dice, 0)),
        _ => format!("NOT {}", expression(dice, depth - 1)),
    }
}

fn query(dice: &mut Dice, depth: usize) -> String {
    let mut sql = String::from(if dice.chance(0.1) { "SELECT DISTINCT " } else { "SELECT " });
    let columns: Vec<String> = (0..=dice.below(3)).map(|_| expression(dice, depth)).collect();
    sql += &columns.join(", ");
    sql += &format!(" FROM {} AS a", dice.pick(&TABLES));
    if dice.chance(0.3) {
        let kind = *dice.pick(&["JOIN", "LEFT JOIN", "FULL JOIN", "CROSS JOIN"]);
        sql += &format!(" {kind} {} AS b", dice.pick(&TABLES));
        if kind != "CROSS JOIN" {
            sql += &format!(" ON {}", expression(dice, 1));
        }
    }
    if dice.chance(0.1) {
        sql += &format!(", LATERAL ({}) AS c", query(dice, 0));
    }
    if dice.chance(0.5) {
        sql += &format!(" WHERE {}", expression(dice, depth));
    }
    if dice.chance(0.3) {
        sql += &format!(" GROUP BY {}", expression(dice, 1));
        if dice.chance(0.3) {
            sql += &format!(" HAVING {}", expression(dice, 1));
        }
    }
    if dice.chance(0.2) {
        let kind = *dice.pick(&["UNION ALL", "UNION", "INTERSECT", "EXCEPT"]);
        sql += &format!(" {kind} SELECT {} FROM {}", expression(dice, 1), dice.pick(&TABLES));
    }
    if dice.chance(0.3) {
        let limit = *dice.pick(&["0", "5", "9223372036854775807", "-1", "NULL"]);
        sql += &format!(" ORDER BY {} LIMIT {limit} OFFSET {}", expression(dice, 0), dice.below(3));
    }
    sql
}

/// A table and its columns that are numbers, texts and times.
type Known = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const KNOWN: [Known; 6] = [
    (
        "telemetry",
        &["value", "integer", "lat"],
        &["device_id", "metric", "text", "kind", "clock"],
        &["time", "arrived_at"],
    ),
    ("latest", &["value", "integer"], &["device_id", "metric", "text"], &["time"]),
    ("devices", &["metrics", "clock_skew_ms"], &["id", "type", "tags"], &["created_at", "last_seen"]),
    (
        "aggregations",
        &["count", "sum", "avg", "min", "max", "stddev", "p95"],
        &["device_id", "metric", "\"window\""],
        &["window_start", "window_end"],
    ),
    ("ledger", &["records", "accepted", "stored", "residue"], &["topic"], &["minute"]),
    ("dlq", &["attempts", "reading"], &["id", "device_id", "stage", "reason"], &["first_at", "last_at"]),
];

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Text,
    Time,
    Truth,
}

/// An expression of a kind over the columns of a known table, under an alias.
fn typed(dice: &mut Dice, (table, alias): (usize, &str), kind: Kind, depth: usize) -> String {
    let (_, numbers, texts, times) = KNOWN[table];
    let at = (table, alias);
    let sub = |dice: &mut Dice, kind| typed(dice, at, kind, depth.saturating_sub(1));
    if depth == 0 {
        let column = dice.chance(0.7);
        return match kind {
            Kind::Number if column => format!("{alias}.{}", dice.pick(numbers)),
            Kind::Number => (*dice.pick(&["0", "1", "-7.5", "1e10", "NULL::float8", "42"])).to_owned(),
            Kind::Text if column => format!("{alias}.{}", dice.pick(texts)),
            Kind::Text => (*dice.pick(&["''", "'t'", "'x%'", "NULL::text", "'é🦀'"])).to_owned(),
            Kind::Time if column => format!("{alias}.{}", dice.pick(times)),
            Kind::Time => (*dice.pick(&["now()", "TIMESTAMPTZ '2026-11-20T12:10:00+01:00'"])).to_owned(),
            Kind::Truth => (*dice.pick(&["true", "false", "NULL::boolean"])).to_owned(),
        };
    }
    match (kind, dice.below(6)) {
        (Kind::Number, 0) => format!(
            "({} {} {})",
            sub(dice, Kind::Number),
            dice.pick(&["+", "-", "*"]),
            sub(dice, Kind::Number)
        ),
        (Kind::Number, 1) => format!(
            "{}({})",
            dice.pick(&["abs", "floor", "round", "sqrt", "sign", "ln"]),
            sub(dice, Kind::Number)
        ),
        (Kind::Number, 2) => format!("length({})", sub(dice, Kind::Text)),
        (Kind::Number, 3) => format!(
            "extract({} FROM {})",
            dice.pick(&["epoch", "hour", "dow", "year"]),
            sub(dice, Kind::Time)
        ),
        (Kind::Number, 4) => {
            let call = *dice.pick(&["lag", "lead", "first_value", "sum", "avg", "max"]);
            let (of, by) = (sub(dice, Kind::Number), sub(dice, Kind::Text));
            format!("{call}({of}) OVER (PARTITION BY {by} ORDER BY {})", sub(dice, Kind::Time))
        }
        (Kind::Text, 0) => format!(
            "{}({})",
            dice.pick(&["lower", "upper", "reverse", "md5", "trim", "initcap"]),
            sub(dice, Kind::Text)
        ),
        (Kind::Text, 1) => format!("({} || {})", sub(dice, Kind::Text), sub(dice, Kind::Text)),
        (Kind::Text, 2) => format!("CAST({} AS TEXT)", sub(dice, Kind::Number)),
        (Kind::Text, 3) => format!("substr({}, {}, 3)", sub(dice, Kind::Text), dice.below(5)),
        (Kind::Text, 4) => format!("regexp_replace({}, '[a-f]+', '_', 'g')", sub(dice, Kind::Text)),
        (Kind::Time, 0) => {
            format!("time_bucket('{} minutes', {})", 1 + dice.below(90), sub(dice, Kind::Time))
        }
        (Kind::Time, 1) => {
            format!("date_trunc('{}', {})", dice.pick(&["hour", "day", "month"]), sub(dice, Kind::Time))
        }
        (Kind::Time, 2) => format!("({} + INTERVAL '{} hours')", sub(dice, Kind::Time), dice.below(10_000)),
        (Kind::Truth, 0) => format!(
            "{} {} {}",
            sub(dice, Kind::Number),
            dice.pick(&["<", ">=", "=", "<>"]),
            sub(dice, Kind::Number)
        ),
        (Kind::Truth, 1) => format!(
            "{} {} {}",
            sub(dice, Kind::Text),
            dice.pick(&["=", "<", "LIKE", "ILIKE", "~"]),
            sub(dice, Kind::Text)
        ),
        (Kind::Truth, 2) => {
            format!("{} BETWEEN '2026-11-20' AND {}", sub(dice, Kind::Time), sub(dice, Kind::Time))
        }
        (Kind::Truth, 3) => {
            format!("({} {} {})", sub(dice, Kind::Truth), dice.pick(&["AND", "OR"]), sub(dice, Kind::Truth))
        }
        (Kind::Truth, 4) => {
            let other = dice.below(KNOWN.len());
            let column = typed(dice, (other, "s"), Kind::Text, 0);
            format!("{} IN (SELECT {column} FROM {} AS s)", sub(dice, Kind::Text), KNOWN[other].0)
        }
        (kind, _) => match kind {
            Kind::Truth => format!("{} IS NOT NULL", sub(dice, Kind::Text)),
            kind => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                sub(dice, Kind::Truth),
                sub(dice, kind),
                sub(dice, kind)
            ),
        },
    }
}

/// A query that mostly has an answer.
fn sensible(dice: &mut Dice) -> String {
    const KINDS: [Kind; 4] = [Kind::Number, Kind::Text, Kind::Time, Kind::Truth];
    let (table, depth) = (dice.below(KNOWN.len()), 1 + dice.below(3));
    let at = (table, "a");
    let mut from = format!("{} AS a", KNOWN[table].0);
    if dice.chance(0.25) {
        let other = dice.below(KNOWN.len());
        let (left, right) = (typed(dice, at, Kind::Text, 0), typed(dice, (other, "b"), Kind::Text, 0));
        let kind = *dice.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
        from += &format!(" {kind} {} AS b ON {left} = {right}", KNOWN[other].0);
    }
    let filter = typed(dice, at, Kind::Truth, depth);
    if dice.chance(0.35) {
        let kind = *dice.pick(&KINDS[1..3]);
        let key = typed(dice, at, kind, 1);
        let number = typed(dice, at, Kind::Number, 0);
        let call =
            *dice.pick(&["avg", "sum", "max", "stddev", "median", "count", "array_agg", "approx_distinct"]);
        return format!(
            "SELECT {key} AS k, {call}({number}) FROM {from} WHERE {filter} GROUP BY 1 ORDER BY 1 LIMIT 50"
        );
    }
    let columns: Vec<String> = (0..=dice.below(3))
        .map(|_| {
            let kind = *dice.pick(&KINDS);
            typed(dice, at, kind, depth)
        })
        .collect();
    let limit = dice.below(200);
    let plain = format!("SELECT {} FROM {from} WHERE {filter} LIMIT {limit}", columns.join(", "));
    match dice.below(5) {
        0 => format!("WITH x AS ({plain}) SELECT count(*) FROM x"),
        1 => format!("SELECT * FROM ({plain}) AS x UNION ALL SELECT * FROM ({plain}) AS y"),
        _ => plain,
    }
}

/// A statement in the language.
pub(crate) fn statement(dice: &mut Dice) -> String {
    if dice.chance(0.6) {
        return sensible(dice);
    }
    let depth = 1 + dice.below(3);
    let plain = query(dice, depth);
    match dice.below(14) {
        0 => format!("WITH x AS ({}), y AS (SELECT * FROM x) SELECT * FROM y, x", query(dice, 1)),
        1 => format!(
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + {} FROM r WHERE n < {}) SELECT count(*) FROM r",
            dice.below(3),
            dice.pick(&["10", "1000", "100000", "n + 2"])
        ),
        2 => format!("EXPLAIN {}{plain}", dice.pick(&["", "ANALYZE ", "VERBOSE "])),
        3 => (*dice.pick(&[
            "SHOW ALL",
            "SHOW TABLES",
            "SHOW server_version",
            "DESCRIBE telemetry",
            "SHOW COLUMNS FROM telemetry",
            "VALUES (1, 2), (3, 4)",
            "TABLE telemetry",
        ]))
        .to_owned(),
        4 => format!(
            "{} {}",
            dice.pick(&[
                "INSERT INTO telemetry",
                "DELETE FROM telemetry WHERE",
                "CREATE VIEW v AS",
                "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
                "COPY telemetry TO '/tmp/penstock-should-not-be-there'",
                "SET datafusion.execution.batch_size = 1;",
                "DROP SCHEMA public CASCADE",
                "PREPARE p AS",
                "DO $$",
                "LOAD",
                "ATTACH '/etc/passwd' AS x;",
            ]),
            plain
        ),
        _ => plain,
    }
}

/// Bytes of a statement left out, doubled, or others.
pub(crate) fn mutated(dice: &mut Dice, sql: &str) -> String {
    const OTHERS: [char; 17] =
        ['\'', '"', '(', ')', ';', '$', '?', '\0', 'é', '\\', '-', '*', '/', '\u{202e}', '𒀀', '\n', 'E'];
    let mut letters: Vec<char> = sql.chars().collect();
    for _ in 0..=dice.below(5) {
        if letters.is_empty() {
            break;
        }
        let at = dice.below(letters.len());
        match dice.below(5) {
            0 => drop(letters.remove(at)),
            1 => letters.insert(at, letters[at]),
            2 | 3 => letters[at] = *dice.pick(&OTHERS),
            _ => letters.truncate(at.max(1)),
        }
    }
    letters.into_iter().collect()
}

/// What would take too much: nested, long, endless. None of these has an answer that is worth its cost.
pub(crate) fn excessive(dice: &mut Dice) -> String {
    let n = *dice.pick(&[100, 1_000, 30_000, 170_000]);
    let nested = |open: &str, close: &str| {
        let n = n.min((900 << 10) / (open.len() + close.len()));
        format!("SELECT {}1{}", open.repeat(n), close.repeat(n))
    };
    match dice.below(30) {
        0 => nested("(", ")"),
        1 => nested("-", ""),
        2 => nested("NOT ", ""),
        3 => nested("(SELECT ", ")"),
        4 => nested("CASE WHEN true THEN ", " END"),
        5 => nested("ARRAY[", "]"),
        6 => nested("abs(", ")"),
        7 => nested("(1,", ")"),
        8 => nested("CAST(", " AS INT)"),
        9 => format!("SELECT 1{}", "::int".repeat(n)),
        10 => format!("SELECT 1{}", "[1]".repeat(n)),
        11 => format!("SELECT a{}", ".b".repeat(n)),
        12 => format!("SELECT 1{}", " + 1".repeat(n)),
        13 => format!("SELECT 1{}", " UNION SELECT 1".repeat(n.min(60_000))),
        14 => format!("SELECT 1 WHERE 1 IN (1{})", ",1".repeat(n)),
        15 => format!("SELECT 1{}", ",1".repeat(n)),
        16 => format!("SELECT * FROM {}telemetry{}", "(SELECT * FROM ".repeat(n.min(20_000)), ") x".repeat(n.min(20_000))),
        17 => format!("SELECT * FROM telemetry{}", ", telemetry".repeat(n.min(60_000))),
        18 => format!("SELECT * FROM telemetry a0{}", (1..n.min(300)).map(|n| format!(" CROSS JOIN telemetry a{n}")).collect::<String>()),
        19 => format!("SELECT '{}", "x".repeat(n)),
        20 => format!("SELECT '{}'", "x".repeat(n * 6)),
        21 => format!("SELECT \"{}\"", "x".repeat(n)),
        22 => format!("/*{}", "/*".repeat(n)),
        23 => format!("{}SELECT 1", "EXPLAIN ".repeat(n.min(100_000))),
        24 => format!("SELECT {}", "9".repeat(n)),
        25 => format!("WITH {} SELECT 1", (0..n.min(3_000)).map(|n| format!("a{n} AS (SELECT 1)")).collect::<Vec<_>>().join(", ")),
        26 => format!("SELECT ${}", dice.pick(&["0", "65536", "4294967296", "99999999999999999999", "x"])),
        27 => format!(
            "SELECT {} FROM telemetry",
            dice.pick(&[
                "repeat(text, 2000000000)",
                "repeat('x', 1000000000)",
                "lpad('x', 2147483647)",
                "array_repeat(1, 2000000000)",
                "range(0, 9000000000000000000)",
                "array_resize([1], 2000000000, 0)",
                "factorial(9223372036854775807)",
                "regexp_match('aaaaaaaaaaaaaaaaaaaaaaaa', '(((a{1,100}){1,100}){1,100})')",
                "generate_series(1, 9000000000000000000)",
                "unnest(range(0, 100000000))",
                "to_char(time, repeat('%Y', 100000))",
                "chr(1114112)",
            ])
        ),
        28 => (*dice.pick(&[
            "SELECT count(*) FROM generate_series(1, 9223372036854775807)",
            "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b",
            "SELECT string_agg(repeat('x', 1000), ',') FROM generate_series(1, 10000000)",
            "SELECT array_agg(value) FROM generate_series(1, 100000000)",
            "SELECT value, count(*) FROM generate_series(1, 100000000) GROUP BY 1",
            "SELECT * FROM generate_series(1, 10000000) ORDER BY value DESC",
            "SELECT * FROM telemetry a, telemetry b, telemetry c, telemetry d",
            "SELECT count(DISTINCT a.value || b.text) FROM telemetry a, telemetry b, telemetry c",
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
            "WITH RECURSIVE r(n) AS (SELECT 'x' UNION ALL SELECT n || n FROM r) SELECT max(n) FROM r",
            "SELECT time_bucket_gapfill('1 second', time, '1970-01-01', '2200-01-01') t, count(*) FROM telemetry GROUP BY t",
            "SELECT time_bucket('0 seconds', time), time_bucket('-1 day', time) FROM telemetry",
            "SELECT sum(value) OVER (ORDER BY value ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM generate_series(1, 10000000)",
        ]))
        .to_owned(),
        _ => ";".repeat(n),
    }
}
