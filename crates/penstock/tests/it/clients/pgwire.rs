//! psql and psycopg, over the PostgreSQL wire.

use std::process::{Command, Output};

use super::{deps, script};
use crate::served::{Served, penstock, run, text};

fn psql(served: &Served, user: &str, password: &str, sql: &str) -> Output {
    Command::new("psql")
        .args([
            "-X",
            "-A",
            "-t",
            "-w",
            "-h",
            "127.0.0.1",
            "-p",
            &served.pgwire_port,
            "-U",
            user,
            "-d",
            "penstock",
        ])
        .args(["-c", sql])
        .env("PGPASSWORD", password)
        .env("PGCONNECT_TIMEOUT", "20")
        .output()
        .unwrap()
}

fn filled(served: &Served) {
    let body = r#"[{"device_id":"d1","metric":"t","value":21.5,"ts":"2026-11-20T12:00:00Z"},
        {"device_id":"d1","metric":"n","value":9007199254740993,"ts":"2026-11-20T12:07:00.123456Z"},
        {"device_id":"d2","metric":"s","value":"o'pen","ts":"2026-11-20T12:07:00Z"}]"#;
    let answer = served.curl(&["-d", body, "-H", "content-type: application/json"], "/v1/telemetry");
    assert!(answer.ends_with("200"), "{answer}");
    assert_eq!(served.eventually("SELECT count(*) FROM telemetry HAVING count(*) = 3"), "3");
}

#[test]
fn psql_shows_tables_asks_and_is_told_what_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    filled(&served);
    for (sql, expected) in [
        ("SELECT device_id, integer FROM telemetry WHERE metric = 'n'", "d1|9007199254740993"),
        ("SELECT time FROM telemetry WHERE metric = 'n'", "2026-11-20 12:07:00.123456+00"),
        (
            "SELECT text, value, metrics > 1 FROM telemetry JOIN devices ON id = device_id WHERE metric = 's'",
            "o'pen||f",
        ),
        ("BEGIN; SELECT 1; COMMIT", "BEGIN\n1\nCOMMIT"),
        ("SHOW server_version", "16.6"),
        ("SELECT current_setting('server_version_num')::int / 10000", "16"),
        (
            "SELECT time_bucket('10 minutes', time) AS t, count(*) FROM telemetry GROUP BY 1",
            "2026-11-20 12:00:00.000000+00|3",
        ),
        (
            "SELECT device_id, time_bucket_gapfill('6 minutes', time) AS t, locf(count(*)) FROM telemetry
             WHERE metric = 't' AND time >= '2026-11-20T12:00:00Z' AND time < '2026-11-20T12:12:00Z' GROUP BY 1, t ORDER BY t",
            "d1|2026-11-20 12:00:00.000000+00|1\nd1|2026-11-20 12:06:00.000000+00|1",
        ),
    ] {
        let output = psql(&served, "anybody", "", sql);
        assert_eq!(text(&output.stdout).trim(), expected, "{sql}: {}", text(&output.stderr));
    }
    for (command, words) in [
        ("\\dt", "public|telemetry|table"),
        ("\\d aggregations", "window_start|timestamp with time zone"),
        ("\\d", "public|ledger|table"),
    ] {
        let output = psql(&served, "anybody", "", command);
        assert!(
            text(&output.stdout).contains(words),
            "{command}: {} {}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    for (sql, words) in [
        ("DROP TABLE telemetry", "only SELECT"),
        ("INSERT INTO telemetry VALUES (1)", "only SELECT"),
        ("COPY telemetry TO '/tmp/x'", "only SELECT"),
        ("COPY telemetry FROM '/tmp/x'", "only SELECT"),
        ("SELECT * FROM nothing", "not found"),
        ("SELECT * FROM generate_series(1, 100000000)", "more than 100000 rows"),
        ("SELEC 1", "ERROR"),
    ] {
        let output = psql(&served, "anybody", "", sql);
        assert!(
            !output.status.success() && text(&output.stderr).contains(words),
            "{sql}: {}",
            text(&output.stderr)
        );
    }
}

/// What psql, Grafana, Metabase, DBeaver, drivers and reflection ask before they ask: each has an answer, and no error.
#[test]
fn what_tools_look_at_first_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    filled(&served);
    for command in [
        "\\d+ telemetry",
        "\\dt+",
        "\\dn+",
        "\\df",
        "\\du",
        "\\dT",
        "\\dp",
        "\\dC",
        "\\db",
        "\\dO",
        "\\dd",
        "\\drds",
        "\\dy",
        "\\l+",
    ] {
        let output = psql(&served, "anybody", "", command);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
    let path = r#"SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END FROM generate_series(
        array_lower(string_to_array(current_setting('search_path'),','),1),
        array_upper(string_to_array(current_setting('search_path'),','),1)) as i, string_to_array(current_setting('search_path'),',') s"#;
    for (sql, expected) in [
        // Grafana
        (
            &*format!("SELECT count(*) FROM information_schema.tables WHERE quote_ident(table_schema) IN ({path}) AND table_name = 'telemetry'"),
            "1",
        ),
        (
            "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns
             WHERE quote_ident(table_name) = 'telemetry' AND column_name IN ('time', 'value') ORDER BY ordinal_position",
            "time|timestamp with time zone\nvalue|double precision",
        ),
        (
            "SELECT floor(extract(epoch from \"time\")/60)*60 AS \"time\", avg(value) FROM telemetry
             WHERE \"time\" BETWEEN '2026-11-20T12:00:00Z' AND '2026-11-20T12:01:00Z' GROUP BY 1",
            "1795176000.0|21.5",
        ),
        // Metabase
        (
            "SELECT c.udt_name, pk.column_name IS NOT NULL, col_description(CAST(CAST(format('%I.%I', CAST(c.table_schema AS TEXT),
             CAST(c.table_name AS TEXT)) AS REGCLASS) AS OID), c.ordinal_position) IS NULL FROM information_schema.columns AS c
             LEFT JOIN (SELECT tc.table_name, kc.column_name FROM information_schema.table_constraints AS tc
             INNER JOIN information_schema.key_column_usage AS kc ON tc.constraint_name = kc.constraint_name) AS pk
             ON c.table_name = pk.table_name AND c.column_name = pk.column_name
             WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND c.table_name = 'telemetry' AND c.column_name = 'seq'",
            "numeric|f|t",
        ),
        // the JDBC driver: keys, types, settings
        (
            "SELECT result.a FROM (SELECT a.attname AS a, a.attnum AS n, (information_schema._pg_expandarray(i.indkey)) AS keys
             FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid)
             JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid) WHERE i.indisprimary) result WHERE result.n = (result.keys).x",
            "",
        ),
        (
            "SELECT t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON (t.typnamespace = n.oid) WHERE t.typname = 'name'
             AND (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid))",
            "name",
        ),
        ("SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_index_keys'", "32"),
        ("SELECT typname FROM pg_type WHERE oid = 1185 AND typinput = 'array_in'::regproc", "_timestamptz"),
        ("SHOW transaction_read_only", "on"),
        // pgx, psycopg
        ("SELECT 'timestamptz'::text::regtype::oid, to_regtype('nothing such') IS NULL", "1184|t"),
        ("SELECT to_regclass('public.telemetry') IS NULL, to_regclass('nothing') IS NULL", "f|t"),
        // SQLAlchemy
        ("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pub/%' || '%' ESCAPE '/' OR nspname LIKE 'p_b' || '%' ESCAPE '/'", "public"),
        ("SELECT json_build_object('a', 1, 'b', 'x\"y')", r#"{"a" : 1, "b" : "x\"y"}"#),
        ("SELECT ARRAY(SELECT relname FROM pg_class WHERE relname LIKE 'l%' ORDER BY 1)", "{late,latest,ledger}"),
        ("SELECT user = current_user, quote_literal('o''x'), pg_size_pretty(123456789)", "t|'o''x'|118 MB"),
        ("SELECT count(*) FROM telemetry WHERE device_id = ANY(('{\"d1\",d9}'))", "2"),
    ] {
        let output = psql(&served, "anybody", "", sql);
        assert!(output.status.success(), "{sql}: {}", text(&output.stderr));
        let mut found = text(&output.stdout).trim().to_owned();
        if found.starts_with('{') && expected == "{late,latest,ledger}" {
            let mut names: Vec<&str> = found.trim_matches(['{', '}']).split(',').collect();
            names.sort_unstable(); // an array of a subquery keeps no order
            found = format!("{{{}}}", names.join(","));
        }
        assert_eq!(found, expected, "{sql}");
    }
}

#[test]
fn cursors_and_copies_hand_out_rows() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    filled(&served);
    let numbers = "SELECT value FROM generate_series(1, 5)";
    for (sql, expected) in [
        (
            &*format!(
                "BEGIN; DECLARE c CURSOR FOR {numbers}; FETCH 2 FROM c; FETCH ALL IN c; FETCH NEXT FROM c; CLOSE c; COMMIT"
            ),
            "BEGIN\nDECLARE CURSOR\n1\n2\n3\n4\n5\nCLOSE CURSOR\nCOMMIT",
        ),
        (
            &*format!("DECLARE h CURSOR WITH HOLD FOR {numbers}; COMMIT; FETCH 1 FROM h; CLOSE ALL"),
            "DECLARE CURSOR\nCOMMIT\n1\nCLOSE CURSOR ALL",
        ),
        ("COPY (SELECT E'a\\tb\\nc\\\\d', NULL, 1.5) TO STDOUT", "a\\tb\\nc\\\\d\t\\N\t1.5"),
        (
            "COPY (SELECT 'a,\"b' AS x, NULL AS y, '' AS z) TO STDOUT WITH (FORMAT csv, HEADER)",
            "x,y,z\n\"a,\"\"b\",,\"\"",
        ),
        (
            "COPY telemetry (device_id, value) TO STDOUT CSV DELIMITER ';' NULL '-'",
            "d1;21.5\nd1;9007199254740992.0\nd2;-",
        ),
    ] {
        let output = psql(&served, "anybody", "", sql);
        assert!(output.status.success(), "{sql}: {}", text(&output.stderr));
        let mut lines: Vec<String> = text(&output.stdout).trim().lines().map(str::to_owned).collect();
        if sql.starts_with("COPY telemetry") {
            lines.sort();
        }
        assert_eq!(lines.join("\n"), expected, "{sql}");
    }
    for (sql, words) in [
        ("FETCH 1 FROM nothing", "does not exist"),
        (&*format!("BEGIN; DECLARE c CURSOR FOR {numbers}; COMMIT; FETCH 1 FROM c"), "does not exist"),
        (&*format!("DECLARE c CURSOR FOR {numbers}; FETCH PRIOR FROM c"), "only goes forward"),
        ("DECLARE c CURSOR FOR SELECT * FROM generate_series(1, 100000000)", "more than 100000 rows"),
        ("COPY (DELETE FROM telemetry) TO STDOUT", "DELETE"),
        ("COPY telemetry FROM STDIN", "only SELECT"),
        ("COPY (SELECT 1) TO PROGRAM 'cat'", "only SELECT"),
    ] {
        let output = psql(&served, "anybody", "", sql);
        assert!(text(&output.stderr).contains(words), "{sql}: {}", text(&output.stderr));
    }
}

#[test]
fn psycopg_prepares_and_binds_every_type() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    filled(&served);
    let python = format!("{}/venv/bin/python3", deps());
    run(Command::new(python).arg(script("with_psycopg.py")).arg(&served.pgwire_port));
    assert_eq!(
        text(&psql(&served, "a", "", "SELECT 1").stdout).trim(),
        "1",
        "it is there after what was sent to it"
    );
}

#[test]
fn who_has_no_credential_does_not_come_in_and_each_sees_its_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with(dir.path(), &[("PENSTOCK__AUTH__MODE", "required")]);
    let data = served.dir.join("data");
    let token = |arguments: &[&str]| {
        let output = penstock(&[arguments, &["--data", data.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    let service = token(&["key", "add", "dashboard", "--subscribe", "#"]);
    let device = token(&["device", "add", "d1"]);
    for (user, password, words) in [
        ("default/dashboard", "wrong", "password authentication failed"),
        ("nobody", service.as_str(), "password authentication failed"),
        ("default/d1", device.as_str(), "may not read everything"),
    ] {
        let output = psql(&served, user, password, "SELECT 1");
        assert!(
            text(&output.stderr).contains(words),
            "{user}: {} {}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    let output = psql(&served, "default/dashboard", &service, "SELECT count(*) FROM telemetry");
    assert_eq!(text(&output.stdout).trim(), "0", "{}", text(&output.stderr));
}
