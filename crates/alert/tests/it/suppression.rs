//! The same rule and device again: kept, counted, not told, unless it lasts.

use penstock_alert::{How, Kind, State, What};

use crate::house::{House, at, began, ended, id_of, tenant};

#[test]
fn what_comes_within_the_window_is_counted_on_the_one_that_stands() {
    let house = House::new();
    house.person("ann", |ann| ann.resolved = false);
    // Condition after condition, each over after 5 s: one a minute for an hour.
    let all: Vec<_> = (0..60).map(|n| began("hot", "pump-1", n * 60)).collect();
    for hot in &all {
        let seconds = hot.at.millis() / 1000 - at(0).millis() / 1000;
        house.take(&[hot.clone(), ended(hot, seconds + 5)], at(seconds + 5));
    }
    let stands: Vec<_> = all.iter().map(|hot| house.alert(hot)).collect();
    for (n, alert) in stands.iter().enumerate() {
        let is_first = n % 5 == 0;
        let expect = if is_first { State::Resolved } else { State::Suppressed };
        assert_eq!((alert.state, alert.suppressed), (expect, if is_first { 4 } else { 0 }), "{n}");
        let by = (!is_first).then(|| id_of(&all[n / 5 * 5]).to_string());
        assert_eq!(alert.suppressed_by, by);
        assert!(alert.resolved_at_ms.is_some());
    }
    let raised = house.bodies("ann").iter().filter(|body| body.kind == Kind::Raised).count();
    assert_eq!(raised, 12);
    assert_eq!(house.alerts.counters().suppressed, 48);
    // The rest of the hour: nothing that is over comes back.
    house.pass(3600, 4000);
    assert_eq!(house.alerts.counters().outlasted, 0);
}

#[test]
fn another_device_another_rule_and_late_order_are_seen() {
    let house = House::new();
    house.rules.set("slow", |terms| terms.suppress_ms = Some(0));
    let all = [
        (began("hot", "pump-1", 1000), State::Raised),
        (began("hot", "pump-2", 1001), State::Raised),
        (began("cold", "pump-1", 1002), State::Raised),
        // Late into order, and near.
        (began("hot", "pump-1", 900), State::Suppressed),
        (began("hot", "pump-1", 700), State::Raised),
        // A rule that suppresses nothing.
        (began("slow", "pump-1", 1000), State::Raised),
        (began("slow", "pump-1", 1001), State::Raised),
    ];
    for (transition, state) in &all {
        house.take(std::slice::from_ref(transition), at(1010));
        assert_eq!(house.alert(transition).state, *state, "{transition:?}");
    }
}

#[test]
fn a_condition_that_outlasts_the_suppression_is_told_after_a_restart_too() {
    let mut house = House::new();
    house.person("ann", |_| {});
    let (first, second) = (began("hot", "pump-1", 0), began("hot", "pump-1", 60));
    house.take(&[first.clone(), ended(&first, 30), second.clone()], at(61));
    assert_eq!((house.alert(&second).state, house.alert(&first).suppressed), (State::Suppressed, 1));
    house.pass(61, 299);
    assert_eq!(house.alert(&second).state, State::Suppressed);
    house.reopen();
    house.pass(300, 301);
    let (alert, standing) = (house.alert(&second), house.alert(&first));
    assert_eq!((alert.state, standing.suppressed), (State::Raised, 0));
    assert_eq!(alert.history.last().unwrap().what, What::Outlasted);
    assert_eq!(alert.told[0].how, How::Single);
    // And it stands for the next ones.
    let third = began("hot", "pump-1", 400);
    house.take(&[ended(&second, 390), third.clone()], at(401));
    assert_eq!(house.alert(&third).suppressed_by, Some(id_of(&second).to_string()));
    let open = house.alerts.open_causes(&|_, _| true).unwrap();
    assert_eq!((open.len(), open[0].cause), (1, third.cause));
}

#[test]
fn who_raises_the_cause_again_is_known_while_its_condition_holds() {
    let mut house = House::new();
    let (hot, cold) = (began("hot", "pump-1", 0), began("hot", "pump-2", 1));
    house.take(&[hot.clone(), cold.clone()], at(2));
    // Somebody says that it is over; the condition goes on.
    house.alerts.resolve(&tenant(), &id_of(&hot), "bob", None, at(10)).unwrap();
    house.reopen();
    let mut open = house.alerts.open_causes(&|_, device| device.as_str() != "pump-2").unwrap();
    let cause = open.pop().unwrap();
    assert!(open.is_empty());
    assert_eq!(
        (cause.device, cause.rule, cause.version, cause.cause),
        (hot.device.clone(), hot.rule.clone(), 1, hot.cause)
    );
    house.take(&[ended(&hot, 50)], at(51));
    let alert = house.alert(&hot);
    assert_eq!((alert.resolved_at_ms, alert.ended_at_ms), (Some(at(10).millis()), Some(at(50).millis())));
    assert_eq!(house.alerts.open_causes(&|_, _| true).unwrap().len(), 1);
}
