//! Point queries.

use penstock_query::{Aggregate, Every, Limits, MAX_POINTS, Points, Resolution};
use record::{DeviceId, MetricName, TenantId, Timestamp, Value};

use crate::{Rig, reading, rig};

fn points(rig: &Rig, max: usize) -> Points {
    let range = Timestamp::from_nanos(0)..Timestamp::from_nanos(i64::MAX);
    let (device, metric) = (DeviceId::parse("d").unwrap(), MetricName::parse("m").unwrap());
    rig.query.points(&TenantId::default_tenant(), &device, &metric, range, max).unwrap()
}

#[test]
fn few_points_come_as_they_are() {
    let rig = rig(Limits::default());
    rig.write((0..100).map(|n| reading("default", "d", "m", n, Value::Int(n))).collect());
    let found = points(&rig, 100);
    assert_eq!((found.points.len(), found.resolution), (100, Resolution::Raw));
}

#[test]
fn many_points_keep_their_extremes() {
    let rig = rig(Limits::default());
    let spike = |n: i64| {
        if n == 12_345 {
            1e6
        } else if n == 17_000 {
            -1e6
        } else {
            (n % 10) as f64
        }
    };
    rig.write((0..25_000).map(|n| reading("default", "d", "m", n * 1000, Value::Float(spike(n)))).collect());
    for max in [1, 100, MAX_POINTS, 1_000_000] {
        let found = points(&rig, max).points;
        assert!(found.len() <= max.clamp(4, MAX_POINTS), "{} of {max}", found.len());
        assert!(found.is_sorted_by_key(|point| point.time));
        for extreme in [1e6, -1e6] {
            assert!(found.iter().any(|point| point.value == Value::Float(extreme)), "{extreme} of {max}");
        }
        assert_eq!(found.first().unwrap().time.nanos(), 0);
        assert_eq!(found.last().unwrap().time.nanos(), 24_999_000);
    }
}

#[test]
fn buckets_follow_the_clocks_and_are_bounded() {
    let rig = rig(Limits::default());
    let hour = 3_600_000_000_000;
    // 2026-10-25T00:00:00Z: in Berlin the clocks go back an hour later.
    let from = 1_792_886_400_000_000_000;
    rig.write((0..48).map(|n| reading("default", "d", "m", from + n * hour / 2, Value::Int(n))).collect());
    let (tenant, device) = (TenantId::default_tenant(), DeviceId::parse("d").unwrap());
    let metric = MetricName::parse("m").unwrap();
    let always = Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX);
    let ask = |every: &str, zone: Option<&str>, aggregate: &str, most| {
        let (every, aggregate) = (Every::parse(every, zone).unwrap(), Aggregate::parse(aggregate).unwrap());
        rig.query
            .buckets(&tenant, &device, &metric, always.clone(), (&every, aggregate), most)
            .map(|found| found.points)
    };
    let days = ask("1d", Some("Europe/Berlin"), "count", 100).unwrap();
    let days: Vec<_> = days.iter().map(|day| (day.time.nanos(), day.value.clone())).collect();
    // From 22:00 UTC to 23:00 UTC: 25 hours, of which 23 have points.
    assert_eq!(days, [(from - 2 * hour, Value::Int(46)), (from + 23 * hour, Value::Int(2))]);
    let hours = ask("1 hour", None, "avg", 24).unwrap();
    assert_eq!((hours.len(), hours[0].value.clone()), (24, Value::Float(0.5)));
    assert!(matches!(ask("1 hour", None, "avg", 23), Err(penstock_query::Error::TooMuch(_))));
    for (every, zone) in [("1", None), ("", None), ("0s", None), ("1 hour", Some("Nowhere"))] {
        assert!(Every::parse(every, zone).is_err(), "{every}");
    }
}
