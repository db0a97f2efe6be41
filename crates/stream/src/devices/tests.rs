//! The table against a model by names.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use record::{DeviceId, MetricName, Readings, Timestamp, ValueRef, When};

use super::{Devices, Limits, Series, Translation};

const SECOND: i64 = 1 << 30;

fn batch(devices: &[(&str, &[String])]) -> Readings {
    let mut readings = Readings::new();
    for (device, metrics) in devices {
        let device = readings.device(DeviceId::parse(device).unwrap().as_str()).unwrap();
        for metric in *metrics {
            let metric = readings.metric(MetricName::parse(metric).unwrap().as_str()).unwrap();
            readings.push(device, metric, When::by_server(Timestamp::default()), ValueRef::Int(0));
        }
    }
    readings
}

/// What a pipeline does with the rows of one device: find or add it, find or add its series.
fn take_in(
    table: &mut Devices,
    tenant: &str,
    device: &str,
    metrics: &[String],
    seconds: i64,
) -> (u32, Vec<Series>) {
    let readings = batch(&[(device, metrics)]);
    let arrived_at = Timestamp::from_nanos(seconds * SECOND);
    let (mut translation, mut series) = (Translation::new(), Vec::new());
    table.begin(tenant, &readings, &mut translation);
    let no = readings.device_column()[0];
    let number = match table.find(&readings, no, &mut translation) {
        Some(number) => number,
        None => table.add(tenant, &readings, no, arrived_at, true, &mut translation),
    };
    let missing =
        table.series(number, &readings, 0..readings.len(), arrived_at, &mut translation, &mut series);
    assert_eq!(missing, series.iter().filter(|series| series.is_missing()).count());
    for (series, &no) in series.iter_mut().zip(readings.metric_column()) {
        if series.is_missing() {
            *series = table.add_series(number, &readings, no, arrived_at, &mut translation);
        }
    }
    let mut again = Vec::new();
    assert_eq!(
        table.series(number, &readings, 0..readings.len(), arrived_at, &mut translation, &mut again),
        0
    );
    assert_eq!(again, series);
    (number, series)
}

fn metrics(of: impl IntoIterator<Item = u8>) -> Vec<String> {
    of.into_iter().map(|n| format!("metric-{n}")).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Send(u8, u8, Vec<u8>),
    Wait(i64),
    Checkpoint,
}

fn step() -> impl Strategy<Value = Step> {
    let some = prop_oneof![vec(0..8_u8, 1..6), Just((0..80).collect()), Just((40..120).rev().collect())];
    prop_oneof![
        10 => (0..2_u8, 0..12_u8, some).prop_map(|(tenant, device, metrics)| Step::Send(tenant, device, metrics)),
        3 => (0..40_i64).prop_map(Step::Wait),
        1 => Just(Step::Checkpoint),
    ]
}

/// When something of the device last came, and of each of its metrics.
type Model = BTreeMap<(String, String), (i64, BTreeMap<String, i64>)>;

proptest! {
    #[test]
    fn names_keep_their_numbers_until_they_are_evicted(
        steps in vec(step(), 1..100),
        (max_devices, max_series) in prop_oneof![Just((1000, 10_000)), (1..12_usize, 1..400_usize)],
    ) {
        let limits = Limits { ttl_ns: 64 * SECOND, max_devices, max_series };
        let (mut table, mut model, mut now) = (Devices::new(), Model::new(), 1000);
        let mut numbers: BTreeMap<(String, String), (u32, BTreeMap<String, Series>)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Checkpoint => {
                    let bytes = postcard::to_stdvec(&table).unwrap();
                    let back: Devices = postcard::from_bytes(&bytes).unwrap();
                    prop_assert_eq!(&back, &table);
                    table = back;
                }
                Step::Send(tenant, device, which) => {
                    let (tenant, device) = (format!("tenant-{tenant}"), format!("device-{device}"));
                    let names = metrics(which);
                    let (number, series) = take_in(&mut table, &tenant, &device, &names, now);
                    let entry = model.entry((tenant.clone(), device.clone())).or_default();
                    entry.0 = now;
                    entry.1.extend(names.iter().map(|name| (name.clone(), now)));
                    let known = numbers.entry((tenant, device)).or_insert((number, BTreeMap::new()));
                    prop_assert_eq!(known.0, number);
                    for (name, series) in names.iter().zip(series) {
                        prop_assert_eq!(*known.1.entry(name.clone()).or_insert(series), series);
                    }
                }
            }
            let evicted = table.sweep(Timestamp::from_nanos(now * SECOND), &limits);
            let gone: BTreeSet<u32> = evicted.devices.iter().copied().collect();
            numbers.retain(|key, (number, _)| {
                let stays = !gone.contains(number);
                if !stays {
                    model.remove(key);
                }
                stays
            });
            let gone: BTreeSet<u32> = evicted.series.iter().copied().collect();
            for (key, (number, of_device)) in &mut numbers {
                let model = &mut model.get_mut(key).unwrap().1;
                if evicted.renumbered.contains(number) {
                    prop_assert!(!table.is_whole(*number));
                    of_device.retain(|_, series| !gone.contains(&series.number));
                    model.retain(|name, _| of_device.contains_key(name));
                    let mut in_order: Vec<&mut Series> = of_device.values_mut().collect();
                    in_order.sort_by_key(|series| series.slot);
                    for (slot, series) in (0..).zip(in_order) {
                        series.slot = slot;
                    }
                }
                prop_assert_eq!(table.device_name(*number), (key.0.as_str(), key.1.as_str()));
                prop_assert_eq!(table.series_of(*number), of_device.len());
                for (metric, series) in of_device {
                    let name = table.series_name(series.number);
                    prop_assert_eq!((name.tenant, name.device, name.metric), (&*key.0, &*key.1, &**metric));
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.series_len(), model.values().map(|(_, series)| series.len()).sum::<usize>());
            prop_assert!(table.len() <= max_devices && table.series_len() <= max_series);
            // Nothing in use within the time to live leaves unless there is too much.
            let too_much = max_devices < 1000;
            prop_assert!(too_much || evicted.devices.is_empty() || model.values().all(|(used, _)| now - used <= 69));
            let distinct: BTreeSet<u32> =
                numbers.values().flat_map(|(_, series)| series.values().map(|series| series.number)).collect();
            prop_assert_eq!(distinct.len(), table.series_len());
        }
    }
}

#[test]
fn the_least_recently_used_leave_first_and_their_numbers_come_again() {
    let limits = Limits { ttl_ns: i64::MAX, max_devices: 4, max_series: 100 };
    let mut table = Devices::new();
    for (second, device) in ["a", "b", "c", "d", "a"].into_iter().enumerate() {
        take_in(&mut table, "t", device, &metrics(0..3), second as i64);
        assert!(table.sweep(Timestamp::default(), &limits).is_empty());
    }
    take_in(&mut table, "t", "e", &metrics(0..3), 5);
    let evicted = table.sweep(Timestamp::default(), &limits);
    assert_eq!((evicted.devices, evicted.series), (vec![1], vec![3, 4, 5]), "b was used longest ago");
    let (number, series) = take_in(&mut table, "t", "f", &metrics(0..3), 6);
    assert_eq!((number, series.iter().map(|series| series.number).collect::<Vec<_>>()), (1, vec![3, 4, 5]));
}

#[test]
fn series_of_one_device_stand_side_by_side() {
    let mut table = Devices::new();
    for device in 0..50 {
        let (_, series) = take_in(&mut table, "t", &format!("d{device}"), &metrics(0..20), 0);
        assert!(series.windows(2).all(|pair| pair[1].number == pair[0].number + 1), "{series:?}");
    }
}
