//! The table `devices`, with what is known of devices.

use metadata::{Change, Metadata as _, Row, Table};
use penstock_query::Limits;
use record::{TenantId, Value};

use crate::{reading, rig};

fn put(table: Table, tenant: &str, id: &str, body: &str) -> Change {
    Change::Put(table, Row { tenant: tenant.into(), id: id.into(), body: body.as_bytes().to_vec() })
}

#[test]
fn devices_that_spoke_or_are_registered_have_the_facts_that_hold() {
    let rig = rig(Limits::default());
    rig.write(vec![
        reading("default", "d1", "t", 1, Value::Int(1)),
        reading("default", "d1", "u", 1, Value::Int(1)),
        reading("default", "d2", "t", 1, Value::Int(1)),
        reading("default", "d3", "t", 1, Value::Int(1)),
        reading("other", "d4", "t", 1, Value::Int(1)),
    ]);
    let full = r#"{"type":"pump","location":{"lat":53.5,"lng":9,"text":"Hall \"3\""},"tags":{"line":"4"},"created_at_ms":5000}"#;
    rig.metadata
        .commit(&[
            put(Table::Devices, "default", "d1", full),
            put(
                Table::Devices,
                "default",
                "d0",
                r#"{"site":"kiel","created_at_ms":6000,"changed_at_ms":7000}"#,
            ),
            put(Table::Devices, "other", "d2", r#"{"type":"secret"}"#),
            put(Table::Learned, "default", "d1", r#"{"type":"valve","firmware":"2.1"}"#),
            put(Table::Learned, "default", "d3", r#"{"site":"bremen"}"#),
            put(Table::Learned, "other", "d3", r#"{"type":"secret"}"#),
        ])
        .unwrap();
    let ask = |statement: &str| rig.query.sql(&TenantId::default_tenant(), statement, &[]).unwrap().to_csv();
    let facts = "SELECT id, metrics, type, site, lat, lng, place, firmware, tags, registered_at, last_seen IS NULL AS silent
        FROM devices ORDER BY id";
    assert_eq!(
        ask(facts),
        "id,metrics,type,site,lat,lng,place,firmware,tags,registered_at,silent\r\n\
         d0,0,,kiel,,,,,,1970-01-01T00:00:06Z,true\r\n\
         d1,2,pump,,53.5,9.0,\"Hall \"\"3\"\"\",2.1,\"{\"\"line\"\":\"\"4\"\"}\",1970-01-01T00:00:05Z,false\r\n\
         d2,1,,,,,,,,,false\r\n\
         d3,1,,bremen,,,,,,,false\r\n"
    );
    let joined = "SELECT device_id, count(*) AS n FROM telemetry JOIN devices ON id = device_id
        WHERE devices.type = 'pump' AND tags ->> 'line' = '4' GROUP BY 1";
    assert_eq!(ask(joined), "device_id,n\r\nd1,2\r\n");
    assert_eq!(
        ask("SELECT created_at FROM devices WHERE id = 'd0'"),
        "created_at\r\n1970-01-01T00:00:06Z\r\n"
    );
    assert_eq!(ask("SELECT count(*) AS n FROM devices"), "n\r\n4\r\n");
}

fn csv(rig: &crate::Rig, statement: &str) -> String {
    let table = rig.query.sql(&TenantId::default_tenant(), statement, &[]);
    table.unwrap_or_else(|error| panic!("{statement}: {error}")).to_csv().replace("\r\n", "\n")
}

/// More devices than a batch holds, of each kind: seen, registered, both.
#[test]
fn a_fleet_larger_than_a_batch_is_listed_once_each_and_no_longer_than_wanted() {
    const FLEET: usize = 20_000;
    let rig = rig(Limits::default());
    let (mut seen, mut registered) = (Vec::new(), Vec::new());
    for n in 0..FLEET {
        let id = format!("d{n:05}");
        // A third was only seen, a third only registered, a third is both.
        if n % 3 != 1 {
            seen.push(reading("default", &id, "t", 1, Value::Int(1)));
        }
        if n % 3 != 0 {
            registered.push(put(Table::Devices, "default", &id, r#"{"site":"kiel","created_at_ms":1}"#));
        }
        registered.push(put(Table::Devices, "other", &id, r#"{"site":"secret"}"#));
    }
    rig.write(seen);
    rig.metadata.commit(&registered).unwrap();
    assert_eq!(
        csv(
            &rig,
            "SELECT count(*) AS n, count(DISTINCT id) AS ids, count(site) AS kiel, count(last_seen) AS seen,
                 count(registered_at) AS registered, sum(metrics) AS metrics FROM devices"
        ),
        "n,ids,kiel,seen,registered,metrics\n20000,20000,13333,13333,13333,13333\n"
    );
    // Nothing but how many, and nothing of what the registry knows of the seen.
    assert_eq!(csv(&rig, "SELECT count(*) AS n FROM devices"), "n\n20000\n");
    assert_eq!(csv(&rig, "SELECT count(last_seen) AS n FROM devices"), "n\n13333\n");
    // Facts by which part of them is read, of devices of each kind.
    for (column, n) in
        [("created_at", FLEET), ("lat", 0), ("type", 0), ("metrics", FLEET), ("clock_skew_ms", 0)]
    {
        assert_eq!(csv(&rig, &format!("SELECT count({column}) AS n FROM devices")), format!("n\n{n}\n"));
    }
    let first = "SELECT id, site, metrics FROM devices ORDER BY id LIMIT 3";
    assert_eq!(csv(&rig, first), "id,site,metrics\nd00000,,1\nd00001,kiel,0\nd00002,kiel,1\n");
    for limit in [0, 1, 8_193, 13_333, 13_334, 19_999, 30_000] {
        let limited = format!("SELECT count(*) AS n FROM (SELECT id, site FROM devices LIMIT {limit})");
        assert_eq!(csv(&rig, &limited), format!("n\n{}\n", limit.min(FLEET)), "{limit}");
    }
    // Named: one of each kind, and some that are none.
    let named = "SELECT id, site, last_seen IS NULL AS silent, registered_at IS NULL AS wild FROM devices
        WHERE id IN ('d00000', 'd00001', 'd00002', 'd99999', 'no/name +', '') ORDER BY id";
    assert_eq!(
        csv(&rig, named),
        "id,site,silent,wild\nd00000,,false,true\nd00001,kiel,true,false\nd00002,kiel,false,false\n"
    );
    assert_eq!(csv(&rig, "SELECT id, site FROM devices WHERE id = 'd00002'"), "id,site\nd00002,kiel\n");
    assert_eq!(csv(&rig, "SELECT id FROM devices WHERE id = 'd00001' AND id = 'd00002'"), "id\n");
}

/// A row in the middle that cannot be read is said, and nothing of the answer is shown.
#[test]
fn a_damaged_fact_is_an_error_and_not_the_end_of_the_list() {
    let rig = rig(Limits::default());
    let rows = ["a", "b", "c"].map(|id| put(Table::Devices, "default", id, r#"{"created_at_ms":1}"#));
    rig.metadata.commit(&rows).unwrap();
    rig.metadata.commit(&[put(Table::Devices, "default", "b", r#"{"type":7}"#)]).unwrap();
    for asked in ["site", "created_at", "id, type", "tags", "*"] {
        let answer = rig.query.sql(&TenantId::default_tenant(), &format!("SELECT {asked} FROM devices"), &[]);
        assert!(matches!(&answer, Err(penstock_query::Error::Store(_))), "{answer:?}");
    }
    // Its name can be read.
    assert_eq!(csv(&rig, "SELECT id FROM devices ORDER BY id"), "id\na\nb\nc\n");
    assert_eq!(csv(&rig, "SELECT id FROM devices WHERE id = 'c'"), "id\nc\n");
}
