//! Point queries.

use penstock_query::{Limits, MAX_POINTS, Points, Resolution};
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
