//! The columns against a plain list of readings.

use proptest::prelude::*;
use record::{DeviceId, Mark, MetricName, Reading, Readings, Timestamp, Value, When};

#[derive(Debug, Clone)]
enum Step {
    Push(Reading),
    Stage(MetricName, Value),
    Commit(DeviceId, When),
    /// Keeps only this staged row, of those there are.
    Keep(usize, MetricName),
    Discard,
    Mark,
    Rollback,
    Clear,
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Int),
        prop::num::f64::NORMAL.prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
        ".{0,5}".prop_map(Value::Text),
        (-90.0..90.0, -180.0..180.0).prop_map(|(lat, lng)| Value::Location { lat, lng }),
    ]
}

fn any_when() -> impl Strategy<Value = When> {
    (any::<i64>(), any::<i64>(), any::<bool>()).prop_map(|(time, arrived, by_device)| {
        let arrived_at = Timestamp::from_nanos(arrived);
        if by_device {
            When::by_device(Timestamp::from_nanos(time), arrived_at)
        } else {
            When::by_server(arrived_at)
        }
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let device = || (0..60_u8).prop_map(|n| DeviceId::parse(&format!("device-{n}")).unwrap());
    let metric = || (0..60_u8).prop_map(|n| MetricName::parse(&format!("m/{n}")).unwrap());
    prop_oneof![
        6 => (device(), metric(), any_when(), any_value())
            .prop_map(|(device, metric, when, value)| Step::Push(Reading { device, metric, when, value })),
        6 => (metric(), any_value()).prop_map(|(metric, value)| Step::Stage(metric, value)),
        4 => (device(), any_when()).prop_map(|(device, when)| Step::Commit(device, when)),
        1 => (any::<usize>(), metric()).prop_map(|(row, metric)| Step::Keep(row, metric)),
        1 => Just(Step::Discard),
        1 => Just(Step::Mark),
        1 => Just(Step::Rollback),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn columns_hold_what_a_list_holds(steps in prop::collection::vec(any_step(), 0..120)) {
        let mut batch = Readings::new();
        let mut rows: Vec<Reading> = Vec::new();
        let mut staged: Vec<(MetricName, Value)> = Vec::new();
        let mut mark: Option<(Mark, usize)> = None;
        for step in steps {
            match step {
                Step::Push(reading) if staged.is_empty() => {
                    batch.push_reading(&reading);
                    rows.push(reading);
                }
                Step::Push(_) => {}
                Step::Stage(metric, value) => {
                    let number = batch.metric(metric.as_str()).unwrap();
                    batch.stage(number, value.as_ref());
                    staged.push((metric, value));
                }
                Step::Commit(device, when) => {
                    let number = batch.device(device.as_str()).unwrap();
                    prop_assert_eq!(batch.commit(number, when), staged.len());
                    rows.extend(staged.drain(..).map(|(metric, value)| Reading { device: device.clone(), metric, when, value }));
                }
                Step::Keep(row, metric) if !staged.is_empty() => {
                    let row = row % staged.len();
                    let number = batch.metric(metric.as_str()).unwrap();
                    batch.keep_staged(row, number);
                    staged = vec![(metric, staged.swap_remove(row).1)];
                }
                Step::Keep(..) => {}
                Step::Discard => {
                    batch.discard_staged();
                    staged.clear();
                }
                Step::Mark if staged.is_empty() => mark = Some((batch.mark(), rows.len())),
                Step::Mark => {}
                Step::Rollback => {
                    if let Some((mark, kept)) = mark.take() {
                        batch.rollback(&mark);
                        rows.truncate(kept);
                        staged.clear();
                    }
                }
                Step::Clear => {
                    batch.clear();
                    rows.clear();
                    staged.clear();
                    mark = None;
                }
            }
            prop_assert_eq!(batch.len(), rows.len());
            prop_assert_eq!(batch.staged(), staged.len());
        }
        prop_assert!(batch.iter().map(|row| row.to_reading()).eq(rows.iter().cloned()));
        prop_assert_eq!(batch.value(rows.len()), None);
        let copy: Readings = rows.iter().collect();
        prop_assert!(copy.iter().map(|row| row.to_reading()).eq(rows.iter().cloned()));
        let numbers: Vec<&str> = batch.devices().collect();
        prop_assert!(batch.iter().all(|row| numbers[row.device_no.0 as usize] == row.device));
        prop_assert_eq!(batch.metric_column().len(), rows.len());
        prop_assert_eq!(batch.kind_column().len(), rows.len());
    }
}

#[test]
fn a_name_that_is_no_id_does_not_get_in() {
    let mut batch = Readings::new();
    assert!(batch.device("a/b").is_err());
    assert!(batch.metric("").is_err());
    assert_eq!((batch.devices().len(), batch.metrics().len()), (0, 0));
}

#[test]
fn a_huge_batch_gives_its_memory_back_when_cleared() {
    let mut batch = Readings::new();
    let device = batch.device("d").unwrap();
    for n in 0..100_000 {
        let metric = batch.metric(&format!("metric-{n}")).unwrap();
        batch.push(device, metric, When::by_server(Timestamp::from_nanos(n)), record::ValueRef::Int(n));
    }
    batch.clear();
    assert_eq!((batch.len(), batch.devices().len(), batch.metrics().len()), (0, 0, 0));
    assert_eq!(batch.device("e").unwrap().0, 0);
}
