//! A row that the disk or somebody changed holds up nothing but what needs it.

use metadata::{Change, Row, Table};
use penstock_alert::{Filter, State, Taken};
use rule::Transition;

use crate::house::{House, at, began, device, ended, id_of, rule, tenant};

fn spoil(house: &House, table: Table, tenant: &str, id: &str) {
    let row = Row { tenant: tenant.to_owned(), id: id.to_owned(), body: b"{".to_vec() };
    house.metadata.commit(&[Change::Put(table, row)]).unwrap();
}

fn batch(seconds: i64) -> Vec<Transition> {
    (0..100).map(|n| began("hot", &format!("pump-{n}"), seconds)).collect()
}

#[test]
fn a_finding_that_needs_a_damaged_row_is_passed_over_and_all_others_are_taken() {
    for (table, id) in [(Table::AlertPairs, "hot/pump-7"), (Table::Alerts, id_of(&batch(0)[7]).as_str())] {
        let house = House::new();
        house.person("ann", |ann| ann.per_hour = Some(0));
        spoil(&house, table, "acme", id);
        let taken = house.alerts.take(&batch(0), &[("live/0".into(), 9)], at(0)).unwrap();
        assert_eq!(taken, Taken { new: 99, known: 0, passed_over: 1 }, "{table:?}");
        assert_eq!(house.alerts.positions().unwrap(), [("live/0".to_owned(), 9)].into());
        assert_eq!(house.bodies("ann").len(), 99);
        assert_eq!(house.alerts.counters().passed_over, 1);
        // Given again, as after a crash: nothing is told twice.
        let again = house.alerts.take(&batch(0), &[], at(1)).unwrap();
        assert_eq!(again, Taken { new: 0, known: 99, passed_over: 1 });
        assert_eq!(house.bodies("ann").len(), 99);
        // People see the others.
        let page = house.alerts.list(&tenant(), &Filter::default(), None, 1000).unwrap();
        assert_eq!(page.alerts.len(), 99, "{table:?}");
    }
}

#[test]
fn what_was_put_off_and_needs_a_damaged_row_is_left_undone() {
    let mut house = House::new();
    let first: Vec<Transition> = (0..3).map(|n| began("hot", &format!("pump-{n}"), 0)).collect();
    house.take(&first, at(0));
    let ends: Vec<Transition> = first.iter().map(|began| ended(began, 5)).collect();
    house.take(&ends, at(5));
    // Suppressed, and put off until the suppression is over.
    let second: Vec<Transition> = (0..3).map(|n| began("hot", &format!("pump-{n}"), 10)).collect();
    house.take(&second, at(10));
    spoil(&house, Table::Alerts, "acme", id_of(&second[1]).as_str());
    house.reopen();
    house.pass(11, 400);
    assert_eq!(house.alert(&second[0]).state, State::Raised);
    assert_eq!(house.alert(&second[2]).state, State::Raised);
    assert_eq!((house.alerts.counters().outlasted, house.alerts.counters().passed_over), (2, 1));
}

#[test]
fn what_holds_is_known_at_a_start_but_for_the_row_that_is_damaged() {
    let house = House::new();
    house.take(&batch(0), at(0));
    spoil(&house, Table::AlertCauses, "acme", "hot/pump-3");
    let open = house.alerts.open_causes(&|_, _| true).unwrap();
    assert_eq!(open.len(), 99);
    assert!(open.iter().all(|open| open.device != device("pump-3") && open.rule == rule("hot")));
}

#[test]
fn old_alerts_are_removed_although_one_of_them_is_damaged() {
    let house = House::new();
    house.take(&batch(0), at(0));
    let ends: Vec<Transition> = batch(0).iter().map(|began| ended(began, 5)).collect();
    house.take(&ends, at(5));
    spoil(&house, Table::Alerts, "acme", id_of(&batch(0)[7]).as_str());
    let year = at(500 * 86_400);
    assert!(house.alerts.forget(&tenant(), year).unwrap() >= 99);
    assert_eq!(house.alerts.forget(&tenant(), year).unwrap(), 0);
    let mut left = 0;
    let mut count = |_| {
        left += 1;
        true
    };
    house.metadata.scan(Table::Alerts, None, &mut count).unwrap();
    assert_eq!(left, 1);
}
