//! The public tables (docs/sql.md), as views over the store's (docs/formats/store.md).

/// The public tables. None has the name of one of the store's own, or a statement could read that.
pub(super) const PUBLIC: [&str; 7] =
    ["telemetry", "devices", "dlq", "aggregations", "late", "corrections", "ledger"];

/// The name under which the metadata is attached.
pub(super) const FACTS: &str = "facts";

/// The statements that make them. `gate` is a name nobody can guess: SQLite tells the authorizer through which view
/// a table is read, but a statement can name a subquery `telemetry` too.
///
/// `corrected`: whether there are readings whose time was put right. They have a table of their own, and a union
/// costs every statement some of the planner's tricks, so it is only made where it is needed. `facts`: whether the
/// metadata is attached.
pub(super) fn create(gate: &str, corrected: bool, facts: bool) -> String {
    let point = telemetry("point", "time");
    let telemetry = match corrected {
        true => format!("{point} UNION ALL {}", telemetry("corrected_point", "claimed")),
        false => point,
    };
    let devices = devices(facts);
    let bodies = [&telemetry, &devices, DLQ, AGGREGATIONS, &late(), &corrections(), LEDGER];
    let pairs = PUBLIC.iter().zip(bodies).map(|(name, body)| {
        format!(
            "CREATE TEMP VIEW {gate}{name} AS {body}; CREATE TEMP VIEW {name} AS SELECT * FROM {gate}{name};"
        )
    });
    pairs.collect()
}

fn telemetry(table: &str, claimed: &str) -> String {
    let (times, value, origin) = (times(table), value(""), origin(table, claimed));
    format!(
        "SELECT {times}, id AS device_id, metric, {value}, {origin}
         FROM main.device JOIN main.series ON series.device = device.no
         JOIN main.{table} ON {table}.series = series.no WHERE tenant = tenant()"
    )
}

fn late() -> String {
    let (times, value, origin) = (times("late_point"), value(""), origin("late_point", "claimed"));
    format!(
        "SELECT {times}, id AS device_id, metric, {value}, {origin},
             rfc3339(watermark) COLLATE instant AS watermark, times AS deliveries
         FROM main.device JOIN main.series ON series.device = device.no
         JOIN main.late_point ON late_point.series = series.no WHERE tenant = tenant()"
    )
}

fn corrections() -> String {
    let (times, value, origin) = (times("superseded"), value("old_"), origin("superseded", "claimed"));
    format!(
        "SELECT {times}, id AS device_id, metric, {value}, {origin},
             rfc3339(replaced_at) COLLATE instant AS replaced_at
         FROM main.device JOIN main.series ON series.device = device.no
         JOIN main.superseded ON superseded.series = series.no WHERE tenant = tenant()"
    )
}

/// `time`, `arrived_at`.
fn times(table: &str) -> String {
    format!(
        "rfc3339({table}.time) COLLATE instant AS time,
         rfc3339({table}.arrived_at) COLLATE instant AS arrived_at"
    )
}

/// `value`, `text`, `lat`, `lng`, `kind`.
fn value(prefix: &str) -> String {
    format!(
        "CASE WHEN kind < 3 THEN value END AS {prefix}value, CASE WHEN kind = 3 THEN value END AS {prefix}text,
         CASE WHEN kind = 4 THEN value END AS {prefix}lat, lng AS {prefix}lng,
         CASE kind WHEN 0 THEN 'float' WHEN 1 THEN 'integer' WHEN 2 THEN 'boolean' WHEN 3 THEN 'text'
             ELSE 'location' END AS {prefix}kind"
    )
}

/// `clock`, `device_time`, `seq`.
fn origin(table: &str, claimed: &str) -> String {
    format!(
        "CASE clock WHEN 0 THEN 'device' WHEN 1 THEN 'server' WHEN 2 THEN 'corrected' ELSE 'suspect' END AS clock,
         CASE clock WHEN 1 THEN NULL ELSE rfc3339({table}.{claimed}) END COLLATE instant AS device_time,
         CASE WHEN {table}.seq != 0 THEN sequence({table}.seq) END AS seq"
    )
}

/// Those that have sent something or are registered.
fn devices(facts: bool) -> String {
    let sent =
        "main.device LEFT JOIN main.clock ON clock.tenant = device.tenant AND clock.device = device.id";
    let of_tenant = "(SELECT no, id, created_at, last_seen, skew_nanos, suspect
        FROM {sent} WHERE device.tenant = tenant()) AS sent";
    let of_tenant = of_tenant.replace("{sent}", sent);
    let sent = "rfc3339(last_seen) COLLATE instant AS last_seen,
        (SELECT count(*) FROM main.series WHERE series.device = sent.no) AS metrics,
        skew_nanos / 1e6 AS clock_skew_ms, suspect AS clock_suspect";
    if !facts {
        return format!(
            "SELECT id, rfc3339(created_at) COLLATE instant AS created_at, {sent}, NULL AS type, NULL AS site,
                NULL AS lat, NULL AS lng, NULL AS place, NULL AS firmware, NULL AS tags, NULL AS registered_at
             FROM {of_tenant}"
        );
    }
    let of_facts = |table| format!("(SELECT id, body FROM {FACTS}.{table} WHERE tenant = tenant())");
    let (registered, learned) = (of_facts("devices"), of_facts("learned"));
    let registered_at = "CAST(registered.body ->> 'created_at_ms' AS INTEGER) * 1000000";
    let fact = |name| format!("coalesce(registered.body ->> '{name}', learned.body ->> '{name}') AS {name}");
    let (device_type, site, firmware) = (fact("type"), fact("site"), fact("firmware"));
    format!(
        "SELECT coalesce(sent.id, registered.id) AS id,
            rfc3339(coalesce(created_at, {registered_at})) COLLATE instant AS created_at, {sent},
            {device_type}, {site}, registered.body ->> '$.location.lat' AS lat,
            registered.body ->> '$.location.lng' AS lng, registered.body ->> '$.location.text' AS place,
            {firmware}, registered.body -> 'tags' AS tags,
            rfc3339({registered_at}) COLLATE instant AS registered_at
         FROM {of_tenant} FULL JOIN {registered} AS registered ON registered.id = sent.id
            LEFT JOIN {learned} AS learned ON learned.id = coalesce(sent.id, registered.id)"
    )
}

const DLQ: &str = "
    SELECT topic_no || CASE lane WHEN 0 THEN '-live-' ELSE '-backfill-' END || partition || '-' || \"offset\" AS id,
        rfc3339(arrived_at) COLLATE instant AS arrived_at, device AS device_id, topic, stage, reason, reading,
        CASE partly_stored WHEN 0 THEN 'whole' ELSE 'part' END AS lost, attempts,
        rfc3339(arrived_at) COLLATE instant AS first_at, rfc3339(last_at) COLLATE instant AS last_at,
        payload(record) AS payload, CASE lane WHEN 0 THEN 'live' ELSE 'backfill' END AS lane, partition, \"offset\"
    FROM main.dead_message JOIN main.dead_letter ON dead_letter.message = dead_message.no
    WHERE tenant = tenant()";

const AGGREGATIONS: &str = "
    SELECT id AS device_id, metric, rfc3339(start) COLLATE instant AS window_start,
        rfc3339(\"end\") COLLATE instant AS window_end, \"window\", count, sum, sum / count AS avg, min, max, stddev, p95,
        first, last, revised
    FROM main.device JOIN main.series ON series.device = device.no
    JOIN main.window_row ON window_row.series = series.no WHERE tenant = tenant()";

const LEDGER: &str = "
    SELECT topic, rfc3339(minute) COLLATE instant AS minute, records, accepted, stored, duplicate, corrected,
        dead AS dead_lettered, late, shed, accepted - (stored + duplicate + dead + late + shed) AS residue
    FROM main.account WHERE tenant = tenant()";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_public_table_has_the_name_of_a_stored_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = series::Sqlite::open(&dir.path().join("series.db")).unwrap();
        let stored = rusqlite::Connection::open(store.path()).unwrap();
        let mut names = stored.prepare("SELECT lower(name) FROM sqlite_schema").unwrap();
        let names = names.query_map([], |row| row.get(0)).unwrap();
        let names: Vec<String> = names.collect::<rusqlite::Result<_>>().unwrap();
        assert!(names.contains(&"point".to_owned()));
        for public in PUBLIC {
            assert!(!names.iter().any(|name| name == public), "{public}");
        }
    }
}
