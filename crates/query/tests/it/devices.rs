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
