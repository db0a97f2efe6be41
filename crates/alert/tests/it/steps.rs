//! What stands in the topic `iot-alerts`: each step once, numbered, whatever breaks.

use std::sync::Arc;

use metadata::Memory;
use penstock_alert::{AlertStep, Config, STEPS_WAITING, StepKind};

use crate::crash::Failing;
use crate::house::{House, at, began, ended, id_of, tenant};

/// One record; never edited.
const FIXTURE: &str = include_str!("fixtures/step-v1.json");

fn kinds(steps: &[AlertStep]) -> Vec<(u64, StepKind)> {
    steps.iter().map(|step| (step.seq, step.step)).collect()
}

#[test]
fn every_step_of_an_alert_is_numbered_and_waits_until_it_is_published() {
    use StepKind::{Acknowledged, Raised, Resolved, Suppressed};
    let mut house = House::new();
    let first = began("hot", "pump-1", 0);
    house.take(std::slice::from_ref(&first), at(0));
    house.alerts.acknowledge(&tenant(), &id_of(&first), "ann", Some("on my way"), at(1)).unwrap();
    house.take(&[ended(&first, 20), began("hot", "pump-1", 30)], at(31));
    // Again, as after a crash: no step.
    house.take(&[first.clone(), ended(&first, 20)], at(32));
    house.pass(33, 400);
    let all = [(1, Raised), (2, Acknowledged), (3, Resolved), (4, Suppressed), (5, Raised)];
    let waiting = house.alerts.steps().unwrap();
    assert_eq!(kinds(&waiting.steps), all);
    let ack = &waiting.steps[1];
    assert_eq!((ack.by.as_deref(), ack.remark.as_deref()), (Some("ann"), Some("on my way")));
    house.reopen();
    assert_eq!(house.alerts.steps().unwrap(), waiting);
    house.alerts.published(waiting).unwrap();
    assert!(house.alerts.steps().unwrap().is_empty());
    house.reopen();
    house.take(&[began("hot", "pump-2", 0)], at(401));
    assert_eq!(kinds(&house.alerts.steps().unwrap().steps), [(6, Raised)]);
}

#[test]
fn a_step_is_written_as_it_always_was() {
    let house = House::new();
    house.take(&[began("hot", "pump-1", 0)], at(1));
    let step = house.alerts.steps().unwrap().steps.remove(0);
    assert_eq!(String::from_utf8(step.encode()).unwrap(), FIXTURE.trim_end());
    assert_eq!(serde_json::from_str::<AlertStep>(FIXTURE).unwrap(), step);
}

#[test]
fn a_commit_whose_answer_is_lost_takes_no_number_twice() {
    for is_lost in [false, true] {
        let failing = Arc::new(Failing::new(Arc::new(Memory::new()), 2, is_lost));
        let house = House::with(Config::default(), failing.clone());
        let batch = |n: i64| [began("hot", &format!("pump-{n}"), n)];
        house.take(&batch(1), at(1));
        house.alerts.take(&batch(2), &[], at(2)).unwrap_err();
        failing.heal();
        house.take(&batch(2), at(3));
        house.take(&batch(3), at(4));
        let steps = house.alerts.steps().unwrap().steps;
        let devices: Vec<_> = steps.iter().map(|step| (step.seq, step.device_id.as_str())).collect();
        assert_eq!(devices, [(1, "pump-1"), (2, "pump-2"), (3, "pump-3")], "{is_lost}");
    }
}

#[test]
fn what_waits_is_bounded_and_what_is_left_out_is_counted() {
    let house = House::new();
    let batches = STEPS_WAITING as i64 / 1000;
    for n in 0..=batches {
        let batch: Vec<_> = (0..1000).map(|i| began("hot", &format!("pump-{i}"), n * 1000 + i)).collect();
        house.take(&batch, at(n * 1000));
    }
    let tally = house.alerts.counters();
    assert_eq!((tally.raised, tally.unpublished), ((batches as u64 + 1) * 1000, 1000));
}
