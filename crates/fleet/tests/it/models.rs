//! What devices measure: the same again for the same seed, within their bounds, by day and week, and what a fault
//! does to it.

use penstock_fleet::anomaly::{Anomaly, Fault};
use penstock_fleet::device::{Device, Maker, Sample, Spec};
use penstock_fleet::model::{Form, Kind};
use penstock_fleet::schedule::Schedule;

/// A Monday, 00:00 UTC.
const MONDAY_MS: i64 = 1_790_553_600_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn spec(kind: Kind, anomalies: f64) -> Spec {
    Spec { kind, metrics: None, seed: 7, anomalies }
}

fn schedule() -> Schedule {
    Schedule::new(7, None).began(MONDAY_MS)
}

fn value(device: &Device, metric: &str, at_ms: i64) -> f64 {
    let mut sample = Sample::default();
    device.measure(at_ms, &schedule(), &mut sample);
    let channel = device.shape().names().iter().position(|name| name == metric).unwrap();
    device.shape().values(channel, &sample).0
}

/// The mean of a metric over ten devices from an hour of a day for `hours`.
fn mean(kind: Kind, metric: &str, day: i64, hour: i64, hours: i64) -> f64 {
    let maker = Maker::new(spec(kind, 0.0));
    let steps = hours * 20;
    let of = |number: u32| {
        let device = maker.device(number);
        let at = |step: i64| MONDAY_MS + day * DAY_MS + hour * HOUR_MS + step * HOUR_MS / 20;
        (0..steps).map(|step| value(&device, metric, at(step))).sum::<f64>() / steps as f64
    };
    (0..10).map(of).sum::<f64>() / 10.0
}

fn text(spec: Spec, number: u32, at_ms: i64) -> String {
    let (device, mut sample, mut out) = (Maker::new(spec).device(number), Sample::default(), Vec::new());
    device.measure(at_ms, &schedule(), &mut sample);
    device.shape().write(&mut out, None, at_ms, &sample);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    for kind in Kind::STORIES.into_iter().chain([Kind::Mixed, Kind::Simple]) {
        for number in 0..8 {
            let at_ms = MONDAY_MS + i64::from(number) * 777_777;
            let once = text(spec(kind, 0.5), number, at_ms);
            assert_eq!(once, text(spec(kind, 0.5), number, at_ms));
            assert_ne!(once, text(Spec { seed: 8, ..spec(kind, 0.5) }, number, at_ms));
            assert_ne!(once, text(spec(kind, 0.5), number + 6, at_ms));
        }
    }
}

#[test]
fn messages_are_json_and_hold_what_was_measured() {
    for kind in Kind::STORIES.into_iter().chain([Kind::Simple]) {
        for metrics in [None, Some(1), Some(2), Some(20)] {
            let spec = Spec { metrics, ..spec(kind, 0.0) };
            let (device, mut sample) = (Maker::new(spec).device(3), Sample::default());
            device.measure(MONDAY_MS, &schedule(), &mut sample);
            let parsed: serde_json::Value = serde_json::from_str(&text(spec, 3, MONDAY_MS)).unwrap();
            assert_eq!(parsed["ts"], MONDAY_MS);
            let sent = parsed["metrics"].as_object().unwrap();
            assert_eq!(sent.len(), metrics.unwrap_or(device.shape().names().len()), "{kind:?}");
            for (channel, name) in device.shape().names().iter().enumerate() {
                let (number, lng) = device.shape().values(channel, &sample);
                match lng {
                    None => assert_eq!(sent[name].as_f64(), Some(number), "{kind:?} {name}"),
                    Some(lng) => assert_eq!(sent[name], serde_json::json!({ "lat": number, "lng": lng })),
                }
            }
        }
    }
}

/// Two weeks of every kind: nothing a sensor could not show, and most of what it could.
#[test]
fn values_stay_within_their_sensors_and_use_them() {
    for kind in Kind::STORIES.into_iter().chain([Kind::Simple]) {
        let maker = Maker::new(Spec { metrics: (kind == Kind::Simple).then_some(8), ..spec(kind, 0.0) });
        let channels = maker.device(0).shape().channels().to_vec();
        let mut seen = vec![(f64::MAX, f64::MIN); channels.len()];
        for number in 0..25 {
            let (device, mut sample) = (maker.device(number), Sample::default());
            for step in 0..2_000 {
                // Not a whole number of minutes, so that no phase of any cycle is left out.
                let at_ms = MONDAY_MS + step * 604_979;
                device.measure(at_ms, &schedule(), &mut sample);
                for (channel, (least, most)) in seen.iter_mut().enumerate() {
                    let (value, _) = device.shape().values(channel, &sample);
                    (*least, *most) = (least.min(value), most.max(value));
                }
            }
        }
        for (channel, (least, most)) in channels.iter().zip(seen) {
            let what = format!("{kind:?} {}: {least} to {most}", channel.name);
            assert!(least >= channel.low && most <= channel.high, "{what}");
            if channel.form == Form::Number {
                assert!(most - least > 0.4 * (channel.high - channel.low), "{what}: the bounds are too wide");
            }
        }
    }
}

#[test]
fn counters_never_fall() {
    for (kind, metric) in
        [(Kind::Meter, "energy_kwh"), (Kind::Vehicle, "odometer_km"), (Kind::Simple, "energy_kwh")]
    {
        let maker = Maker::new(Spec { metrics: Some(8), ..spec(kind, 0.0) });
        for number in 0..10 {
            let device = maker.device(number);
            let values: Vec<_> =
                (0..3_000).map(|step| value(&device, metric, MONDAY_MS + step * 301_000)).collect();
            assert!(values.is_sorted(), "{kind:?} {number}");
            assert!(values[2_999] > values[0] + 10.0, "{kind:?} {number} stands still");
        }
    }
}

#[test]
fn days_and_weeks_can_be_seen() {
    let (morning, noon, evening, night) = (9, 13, 18, 2);
    // A meter: more in the evening than at night, more midweek than on Sunday.
    let power = |day, hour| mean(Kind::Meter, "power_w", day, hour, 2);
    assert!(power(2, evening) > 1.8 * power(2, night), "{} {}", power(2, evening), power(2, night));
    assert!(power(2, evening) > 1.15 * power(6, evening));
    // It is warmer in the afternoon.
    let outside = |hour| mean(Kind::Thermal, "outside_temperature", 1, hour, 2);
    assert!(outside(14) > outside(2) + 5.0);
    // A server works when people do.
    let cpu = |day, hour| mean(Kind::Machine, "cpu_pct", day, hour, 4);
    assert!(cpu(1, morning + 2) > cpu(1, night - 1) + 15.0 && cpu(1, noon) > cpu(5, noon) + 15.0);
    // A motor rests at weekends; a battery is full in the morning and has given by the evening.
    assert!(mean(Kind::Motor, "load_pct", 2, noon, 2) > 1.3 * mean(Kind::Motor, "load_pct", 6, noon, 2));
    assert!(mean(Kind::Battery, "soc_pct", 1, 6, 1) > mean(Kind::Battery, "soc_pct", 1, 20, 1) + 40.0);
}

/// 30 s of a vehicle lead as far as its speed says, and its odometer counts them.
#[test]
fn a_vehicle_is_where_its_speed_has_brought_it() {
    let maker = Maker::new(spec(Kind::Vehicle, 0.0));
    let (mut rested, mut drove, mut turned) = (0, 0, 0);
    for number in 0..20 {
        let device = maker.device(number);
        let mut sample = Sample::default();
        let mut at = |at_ms: i64| {
            device.measure(at_ms, &schedule(), &mut sample);
            let (lat, lng) = device.shape().values(0, &sample);
            let speed = device.shape().values(1, &sample).0;
            (lat, lng.unwrap(), speed, device.shape().values(3, &sample).0)
        };
        for step in 0..200 {
            let from_ms = MONDAY_MS + step * 97_000;
            let (before, after) = (at(from_ms), at(from_ms + 30_000));
            let north = (after.0 - before.0) * 111.19;
            let east = (after.1 - before.1) * 111.19 * before.0.to_radians().cos();
            let gone_km = north.hypot(east);
            let (slow, fast) = (before.2.min(after.2), before.2.max(after.2));
            // The speed may have had its least or most in between; a bend makes the way look shorter.
            assert!(gone_km <= (fast + 14.0) * 30.0 / 3600.0, "{number}/{step}: {gone_km} km at {fast}");
            if slow == 0.0 && fast == 0.0 {
                rested += 1;
                assert!(gone_km < 0.005 && after.3 - before.3 < 0.11);
            } else if slow > 20.0 {
                drove += 1;
                turned += u32::from(gone_km < (slow - 14.0) * 30.0 / 3600.0 * 0.6);
            }
        }
    }
    assert!(rested > 200 && drove > 2_000, "{rested} rests, {drove} drives");
    // At the end of a route it turns round, and is soon where it was.
    assert!(turned * 100 < drove, "{turned} of {drove} come short");
}

/// A device of a kind with its fault of `fault`, and when.
fn ill(kind: Kind, fault: Fault) -> (u32, Anomaly) {
    let maker = Maker::new(spec(kind, 1.0));
    let all = (0..500).filter_map(|number| Some((number, maker.device(number).anomaly(&schedule(), 40)?)));
    all.into_iter().find(|(_, anomaly)| anomaly.fault == fault).unwrap()
}

#[test]
fn each_fault_shows_where_it_should_and_ends() {
    for (kind, fault, metric, least) in [
        (Kind::Motor, Fault::BearingWear, "vibration_mm_s", 2.0),
        (Kind::Motor, Fault::BearingWear, "bearing_c", 14.0),
        (Kind::Thermal, Fault::DoorLeftOpen, "door_open", 1.0),
        (Kind::Battery, Fault::CellFailing, "cell_min_v", 0.5),
        (Kind::Meter, Fault::MeterBackwards, "power_w", 100.0),
    ] {
        let (number, anomaly) = ill(kind, fault);
        let sick = Maker::new(spec(kind, 1.0)).device(number);
        let sound = Maker::new(spec(kind, 0.0)).device(number);
        let apart = |at_ms: i64| (value(&sick, metric, at_ms) - value(&sound, metric, at_ms)).abs();
        assert!(apart(anomaly.to_ms - 1) >= least, "{fault:?}: {}", apart(anomaly.to_ms - 1));
        for at_ms in [anomaly.from_ms - 1, anomaly.to_ms] {
            assert_eq!(apart(at_ms), 0.0, "{fault:?} outside of its time");
        }
    }
}

#[test]
fn a_door_left_open_takes_the_temperature_away_and_a_meter_wired_wrongly_runs_backwards() {
    let (number, open) = ill(Kind::Thermal, Fault::DoorLeftOpen);
    let (sick, sound) = (Maker::new(spec(Kind::Thermal, 1.0)), Maker::new(spec(Kind::Thermal, 0.0)));
    let apart = |at_ms: i64| {
        let at = |maker: &Maker| value(&maker.device(number), "temperature", at_ms);
        (at(&sick) - at(&sound)).abs()
    };
    let quarter = (open.to_ms - open.from_ms) / 4;
    assert!(apart(open.from_ms + quarter) > 1.0);
    assert!(apart(open.to_ms - 1) > apart(open.from_ms + quarter));

    let (number, back) = ill(Kind::Meter, Fault::MeterBackwards);
    let meter = Maker::new(spec(Kind::Meter, 1.0)).device(number);
    let span = back.to_ms - back.from_ms;
    let values: Vec<_> =
        (0..5).map(|part| value(&meter, "energy_kwh", back.from_ms + span * part / 5)).collect();
    assert!(values.is_sorted_by(|a, b| a > b), "{values:?}");
}

#[test]
fn sensors_stick_and_drift_about_as_often() {
    let (mut stuck, mut drifting) = (0, 0);
    for kind in Kind::STORIES {
        let (sick, sound) = (Maker::new(spec(kind, 1.0)), Maker::new(spec(kind, 0.0)));
        for number in 0..60 {
            let device = sick.device(number);
            let anomaly = device.anomaly(&schedule(), 3).unwrap();
            let Some(channel) = anomaly.channel else { continue };
            let metric = device.shape().names()[channel].clone();
            let sensor = device.shape().channels()[channel];
            let (end, healthy) = (value(&device, &metric, anomaly.to_ms - 1), sound.device(number));
            if anomaly.fault == Fault::StuckSensor {
                stuck += 1;
                assert_eq!(end, value(&healthy, &metric, anomaly.from_ms), "{kind:?} {number} {metric}");
            } else {
                drifting += 1;
                let off = end - value(&healthy, &metric, anomaly.to_ms - 1);
                // A third of the range, unless the sensor is at its end.
                let room = 0.25 * (sensor.high - sensor.low);
                assert!(off > room || end >= sensor.high - 0.5, "{kind:?} {number} {metric}: {off}");
            }
        }
    }
    assert!(stuck > 60 && drifting > 60, "{stuck} stuck, {drifting} drifting");
}

#[test]
fn a_share_of_devices_is_ill_and_only_in_channels_that_are_sent() {
    let count = |anomalies: f64| {
        let maker = Maker::new(spec(Kind::Mixed, anomalies));
        (0..1_000).filter(|number| maker.device(*number).anomaly(&schedule(), 0).is_some()).count()
    };
    assert_eq!(count(0.0), 0);
    assert!((150..250).contains(&count(0.2)), "{}", count(0.2));
    assert_eq!(count(1.0), 1_000);
    let maker = Maker::new(Spec { metrics: Some(2), ..spec(Kind::Mixed, 1.0) });
    for number in 0..200 {
        let anomaly = maker.device(number).anomaly(&schedule(), 0);
        assert!(anomaly.is_none_or(|anomaly| anomaly.channel.is_none_or(|channel| channel < 2)));
    }
}
