//! The public tables besides `telemetry`: what they show, and to whom.

use penstock_query::Limits;
use record::{
    DeviceId, Encoding, Envelope, Kind, Lane, MetricName, Protocol, Qos, Reading, TenantId, Timestamp, Value,
    When,
};
use series::{
    AccountEntry, AccountKey, Amounts, ClockRow, Completeness, DeadLetter, DeadMessage, LateRow,
    SeriesWriter, Source, Span, WindowKey, WindowRow, WriteBatch,
};

use crate::{Rig, rig};

const SECOND: i64 = 1_000_000_000;
const LIVE: Source = Source { topic: 0, lane: Lane::Live, partition: 3 };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * SECOND)
}

fn reading(metric: &str, when: When, value: Value) -> Reading {
    let (device, metric) = (DeviceId::parse("d1").unwrap(), MetricName::parse(metric).unwrap());
    Reading { device, metric, when, value }
}

/// Everything the store can hold, of a tenant.
pub(crate) fn everything(tenant: &TenantId, from: u64) -> WriteBatch {
    let plain = When::by_device(at(1), at(5));
    let suspect = When { origin: record::TimeOrigin::Suspect, ..When::by_device(at(2), at(5)) };
    let readings = [
        reading("t", plain, Value::Float(1.0)),
        reading("t", plain, Value::Float(2.0)),
        reading("t", When::by_device(at(3_600), at(5)).corrected_to(at(3)).with_seq(7), Value::Int(3)),
        reading("t", suspect.with_seq(u64::MAX), Value::Text("x".into())),
        reading("t", When::by_server(at(4)), Value::Location { lat: 1.0, lng: 2.0 }),
    ];
    let key = WindowKey {
        tenant: tenant.clone(),
        device: DeviceId::parse("d1").unwrap(),
        metric: MetricName::parse("t").unwrap(),
        window: "1m".into(),
        start: at(0),
    };
    let row = WindowRow {
        key,
        end: at(60),
        count: 2,
        sum: 5.0,
        min: 2.0,
        max: 3.0,
        stddev: 0.5,
        p95: 3.0,
        first: 2.0,
        last: 3.0,
        revised: true,
    };
    let mut record = Vec::new();
    Envelope {
        kind: Kind::Telemetry,
        protocol: Protocol::Http,
        encoding: Encoding::Json,
        qos: Qos::AtLeastOnce,
        retain: false,
        refused: None,
        arrived_at: at(6),
        tenant: tenant.as_str(),
        device: "d9",
        topic: "a/b",
        origin: None,
        properties: &[],
        payload: b"{\xff",
    }
    .encode(&mut record);
    let dead = DeadMessage {
        source: LIVE,
        offset: from,
        tenant: tenant.to_string(),
        device: "d9".into(),
        topic: "a/b".into(),
        stage: "schema",
        arrived_at: at(6),
        attempts: 2,
        last_at: at(9),
        completeness: Completeness::Whole,
        letters: vec![DeadLetter { index: Some(1), reason: "too hot".into() }],
        record,
    };
    let account = |tenant: &str, amounts| {
        let (tenant, topic) = (tenant.to_owned(), "devices/{id}/telemetry".to_owned());
        AccountEntry { key: AccountKey { tenant, topic, minute: at(60) }, amounts }
    };
    let amounts =
        Amounts { records: 2, accepted: 7, stored: 4, late: 1, dead: 1, corrected: 1, ..Amounts::default() };
    WriteBatch {
        readings: [(tenant.clone(), readings.iter().collect())].into(),
        late: [(tenant.clone(), vec![LateRow { row: 4, watermark: at(50) }])].into(),
        windows: vec![row],
        dead: vec![dead],
        account: vec![account(tenant.as_str(), amounts)],
        clocks: vec![ClockRow {
            tenant: tenant.clone(),
            device: DeviceId::parse("d1").unwrap(),
            skew_nanos: -1_500_000,
            suspect: true,
        }],
        spans: vec![Span { source: LIVE, from, to: from + 1 }],
        ..WriteBatch::default()
    }
}

pub(crate) fn filled() -> Rig {
    let rig = rig(Limits::default());
    rig.store.write(&everything(&TenantId::default_tenant(), 0)).unwrap();
    rig.store.write(&everything(&TenantId::parse("other").unwrap(), 1)).unwrap();
    rig
}

fn csv(rig: &Rig, statement: &str) -> String {
    rig.query.sql(&TenantId::default_tenant(), statement, &[]).unwrap().to_csv()
}

#[test]
fn every_table_shows_its_columns_and_only_the_tenants_rows() {
    let rig = filled();
    for (table, expected) in [
        (
            "telemetry ORDER BY time",
            "time,arrived_at,device_id,metric,value,text,lat,lng,kind,clock,device_time,seq\r\n\
             1970-01-01T00:00:01Z,1970-01-01T00:00:05Z,d1,t,2.0,,,,float,device,1970-01-01T00:00:01Z,\r\n\
             1970-01-01T00:00:02Z,1970-01-01T00:00:05Z,d1,t,,x,,,text,suspect,1970-01-01T00:00:02Z,18446744073709551614\r\n\
             1970-01-01T00:00:03Z,1970-01-01T00:00:05Z,d1,t,3,,,,integer,corrected,1970-01-01T01:00:00Z,6\r\n\
             1970-01-01T00:00:04Z,1970-01-01T00:00:04Z,d1,t,,,1.0,2.0,location,server,,\r\n",
        ),
        (
            "devices",
            "id,created_at,last_seen,metrics,clock_skew_ms,clock_suspect,type,site,lat,lng,place,firmware,tags,\
             registered_at\r\n\
             d1,1970-01-01T00:00:05Z,1970-01-01T00:00:05Z,1,-1.5,1,,,,,,,,\r\n",
        ),
        (
            "dlq",
            "id,arrived_at,device_id,topic,stage,reason,reading,lost,attempts,first_at,last_at,payload,lane,partition,offset\r\n\
             0-live-3-0,1970-01-01T00:00:06Z,d9,a/b,schema,too hot,1,whole,2,1970-01-01T00:00:06Z,\
             1970-01-01T00:00:09Z,\\x7bff,live,3,0\r\n",
        ),
        (
            "aggregations",
            "device_id,metric,window_start,window_end,window,count,sum,avg,min,max,stddev,p95,first,last,revised\r\n\
             d1,t,1970-01-01T00:00:00Z,1970-01-01T00:01:00Z,1m,2,5.0,2.5,2.0,3.0,0.5,3.0,2.0,3.0,1\r\n",
        ),
        (
            "late",
            "time,arrived_at,device_id,metric,value,text,lat,lng,kind,clock,device_time,seq,watermark,deliveries\r\n\
             1970-01-01T00:00:04Z,1970-01-01T00:00:04Z,d1,t,,,1.0,2.0,location,server,,,1970-01-01T00:00:50Z,1\r\n",
        ),
        (
            "corrections",
            "time,arrived_at,device_id,metric,old_value,old_text,old_lat,old_lng,old_kind,clock,device_time,seq,replaced_at\r\n\
             1970-01-01T00:00:01Z,1970-01-01T00:00:05Z,d1,t,1.0,,,,float,device,1970-01-01T00:00:01Z,,\
             1970-01-01T00:00:05Z\r\n",
        ),
        (
            "ledger",
            "topic,minute,records,accepted,stored,duplicate,corrected,dead_lettered,late,shed,residue\r\n\
             devices/{id}/telemetry,1970-01-01T00:01:00Z,2,7,4,0,1,1,1,0,1\r\n",
        ),
    ] {
        assert_eq!(csv(&rig, &format!("SELECT * FROM {table}")), expected, "{table}");
    }
}

#[test]
fn times_of_the_tables_compare_as_points_in_time() {
    let rig = filled();
    for (statement, count) in [
        ("telemetry WHERE device_time > '1970-01-01T00:30:00Z'", 1),
        ("telemetry WHERE time >= '1970-01-01T01:00:03+01:00'", 2),
        ("aggregations WHERE window_start < '1970-01-01T00:00:00.5Z' AND \"window\" = '1m'", 1),
        ("ledger WHERE minute = '1970-01-01T00:01:00.000Z'", 1),
        ("late WHERE watermark > time", 1),
        ("dlq WHERE last_at > first_at", 1),
        ("corrections WHERE replaced_at < '1970-01-01T00:00:01Z'", 0),
    ] {
        let counted = csv(&rig, &format!("SELECT count(*) AS n FROM {statement}"));
        assert_eq!(counted, format!("n\r\n{count}\r\n"), "{statement}");
    }
}

#[test]
fn both_kinds_of_points_are_grouped_and_narrowed_alike() {
    let rig = filled();
    let grouped = csv(&rig, "SELECT clock, count(*) AS n FROM telemetry GROUP BY clock ORDER BY clock");
    assert_eq!(grouped, "clock,n\r\ncorrected,1\r\ndevice,1\r\nserver,1\r\nsuspect,1\r\n");
    let latest =
        csv(&rig, "SELECT value FROM telemetry WHERE device_id = 'd1' AND seq = 6 ORDER BY time LIMIT 1");
    assert_eq!(latest, "value\r\n3\r\n");
}
