//! Raised, acknowledged, resolved; and the same again is nothing new.

use penstock_alert::{Error, How, Kind, State, What};

use crate::house::{House, at, began, ended, id_of, tenant};

#[test]
fn an_alert_is_raised_acknowledged_and_resolved_and_people_hear_of_it() {
    let house = House::new();
    house.person("ann", |_| {});
    let hot = began("hot", "pump-1", 10);
    house.take(std::slice::from_ref(&hot), at(11));
    let alert = house.alert(&hot);
    assert_eq!((alert.state, alert.rule_name.as_str()), (State::Raised, "Too hot"));
    assert_eq!((alert.triggered_at_ms, alert.raised_at_ms), (at(10).millis(), at(11).millis()));
    assert_eq!((alert.told[0].person.as_str(), alert.told[0].how), ("ann", How::Single));

    let alert = house.alerts.acknowledge(&tenant(), &id_of(&hot), "bob", Some("on my way"), at(60)).unwrap();
    assert_eq!((alert.state, alert.acknowledged_at_ms), (State::Acknowledged, Some(at(60).millis())));
    house.take(&[ended(&hot, 90)], at(91));
    let alert = house.alert(&hot);
    assert_eq!((alert.state, alert.resolved_at_ms), (State::Resolved, Some(at(90).millis())));
    let history: Vec<_> = alert.history.iter().map(|entry| (entry.what, entry.who.as_deref())).collect();
    assert_eq!(
        history,
        [
            (What::Raised, None),
            (What::Acknowledged, Some("bob")),
            (What::Ended, None),
            (What::Resolved, None)
        ]
    );
    let kinds: Vec<_> = house.bodies("ann").iter().map(|body| (body.kind, body.count)).collect();
    assert_eq!(kinds, [(Kind::Raised, 1), (Kind::Resolved, 0)]);
    let outbox = house.outbox();
    assert_eq!(house.alerts.deliveries(&tenant(), &id_of(&hot)).unwrap().len(), 2);
    assert_ne!(outbox[0].key, outbox[1].key);
}

#[test]
fn the_same_transition_again_is_nothing_new_at_any_age() {
    let mut house = House::new();
    house.person("ann", |_| {});
    let (first, second) = (began("hot", "pump-1", 0), began("hot", "pump-1", 20));
    let all = [first.clone(), ended(&first, 10), second.clone()];
    assert_eq!(house.take(&all, at(30)).new, 3);
    house.reopen();
    let before = (house.alert(&first), house.alert(&second), house.outbox());
    // A year later, after a restart.
    let taken = house.take(&all, at(365 * 86_400));
    assert_eq!((taken.new, taken.known), (0, 3));
    assert_eq!(before, (house.alert(&first), house.alert(&second), house.outbox()));
    assert_eq!(house.alerts.counters().repeated, 2);
}

#[test]
fn what_is_over_cannot_be_acknowledged_and_what_is_not_there_is_named() {
    let house = House::new();
    let hot = began("hot", "pump-1", 0);
    house.take(&[hot.clone(), ended(&hot, 5)], at(6));
    let error = house.alerts.acknowledge(&tenant(), &id_of(&hot), "bob", None, at(7)).unwrap_err();
    assert!(matches!(error, Error::State { state: State::Resolved, .. }), "{error}");
    // Again is not wrong.
    house.alerts.resolve(&tenant(), &id_of(&hot), "bob", None, at(7)).unwrap();
    assert_eq!(house.alert(&hot).resolved_at_ms, Some(at(5).millis()));
    let other = id_of(&began("hot", "pump-2", 0));
    let error = house.alerts.resolve(&tenant(), &other, "bob", None, at(7)).unwrap_err();
    assert!(matches!(error, Error::Unknown { what: "alert", .. }), "{error}");
}
