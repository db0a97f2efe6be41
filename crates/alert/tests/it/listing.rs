//! Alerts are found, and what is old is removed.

use penstock_alert::{AlertId, Filter, Raise, State};
use rule::Severity;

use crate::house::{House, at, began, device, ended, id_of, rule, tenant};

fn pages(house: &House, filter: &Filter, limit: usize) -> Vec<AlertId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = house.alerts.list(&tenant(), filter, after.as_deref(), limit).unwrap();
        assert!(page.alerts.len() <= limit);
        all.extend(page.alerts.into_iter().map(|(id, _)| id));
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

#[test]
fn pages_hold_every_alert_once_the_newest_first() {
    let house = House::new();
    let all: Vec<_> =
        (0..25).map(|n| began(["hot", "cold"][n % 2], &format!("d{}", n % 5), n as i64 * 400)).collect();
    house.take(&all, at(10_000));
    house.take(&[ended(&all[3], 1300)], at(10_000));
    let expect: Vec<AlertId> = all.iter().rev().map(id_of).collect();
    for limit in [1, 4, 25, 1000] {
        assert_eq!(pages(&house, &Filter::default(), limit), expect, "{limit}");
    }
    let ids = |keep: &dyn Fn(usize) -> bool| -> Vec<AlertId> {
        (0..25).rev().filter(|&n| keep(n)).map(|n| id_of(&all[n])).collect()
    };
    let any = Filter::default();
    for (filter, expect) in [
        (Filter { device: Some("d2".into()), ..any.clone() }, ids(&|n| n % 5 == 2)),
        (Filter { rule: Some("hot".into()), ..any.clone() }, ids(&|n| n % 2 == 0)),
        (Filter { states: vec![State::Resolved], ..any.clone() }, ids(&|n| n == 3)),
        (Filter { from: Some(Severity::Critical), ..any.clone() }, Vec::new()),
        (
            Filter { since: Some(at(4000)), until: Some(at(8000)), ..any.clone() },
            ids(&|n| (10..20).contains(&n)),
        ),
    ] {
        for limit in [3, 1000] {
            assert_eq!(pages(&house, &filter, limit), expect, "{filter:?}");
        }
    }
}

#[test]
fn an_alert_from_outside_is_raised_once_for_its_time() {
    let house = House::new();
    house.person("ann", |_| {});
    let raise = Raise {
        tenant: tenant(),
        device: device("door-1"),
        rule: rule("door-open"),
        severity: Some(Severity::Critical),
        why: "x".repeat(5000),
        by: Some("guard".into()),
        at: at(5),
    };
    let first = house.alerts.raise(&raise, at(6)).unwrap();
    assert!(first.is_new);
    assert_eq!(
        (first.alert.state, first.alert.severity, first.alert.why.len()),
        (State::Raised, Severity::Critical, 1024)
    );
    assert_eq!(first.alert.history[0].who.as_deref(), Some("guard"));
    let again = house.alerts.raise(&raise, at(7)).unwrap();
    assert_eq!((again.is_new, &again.id, again.alert), (false, &first.id, first.alert));
    let soon = house.alerts.raise(&Raise { at: at(60), ..raise.clone() }, at(61)).unwrap();
    assert_eq!((soon.is_new, soon.alert.state), (true, State::Suppressed));
    // Nobody will say when it ends, so it does not come back by itself; and the evaluator need not know it.
    house.pass(61, 600);
    assert_eq!(house.outbox().len(), 1);
    assert!(house.alerts.open_causes(&|_, _| true).unwrap().is_empty());
    let error = house.alerts.raise(&Raise { rule: rule("../x"), ..raise }, at(8)).unwrap_err();
    assert!(error.to_string().starts_with("rule: \"../x\" is not possible"), "{error}");
}

#[test]
fn alerts_about_the_past_are_marked_and_told_only_if_the_rule_asks() {
    let house = House::new();
    house.person("ann", |_| {});
    let mut old = began("hot", "pump-1", -90_000);
    old.retrospective = true;
    house.take(&[old.clone(), ended(&old, -89_000)], at(0));
    let alert = house.alert(&old);
    assert!(alert.retrospective && alert.state == State::Resolved && alert.told.is_empty());
    house.rules.set("cold", |terms| terms.tell_retrospective = true);
    let mut other = began("cold", "pump-1", -80_000);
    other.retrospective = true;
    house.take(&[other.clone()], at(0));
    let bodies = house.bodies("ann");
    assert_eq!(bodies.len(), 1);
    assert!(bodies[0].alert.as_ref().unwrap().retrospective);
    assert!(house.alerts.open_causes(&|_, _| true).unwrap().is_empty());
}

#[test]
fn what_is_old_and_over_is_forgotten_and_what_is_open_stays() {
    let house = House::new();
    house.person("ann", |_| {});
    let day = 86_400;
    let (over, open, new) = (began("hot", "d1", 0), began("hot", "d2", 0), began("hot", "d1", 300 * day));
    house.take(&[over.clone(), open.clone(), ended(&over, 10)], at(10));
    house.take(&[new.clone(), ended(&new, 300 * day + 1)], at(300 * day + 1));
    assert_eq!(house.alerts.forget(&tenant(), at(400 * day - 1)).unwrap(), 0);
    assert!(house.alerts.forget(&tenant(), at(401 * day)).unwrap() >= 1);
    assert_eq!(house.alerts.forget(&tenant(), at(401 * day)).unwrap(), 0);
    assert_eq!(pages(&house, &Filter::default(), 10), [id_of(&new), id_of(&open)]);
}
