//! Storms: whatever comes, nobody gets more than their limit, and the digests add up to exactly what was raised.

use std::collections::BTreeMap;

use penstock_alert::{Body, Mute, Quiet, Selection, Span, State, When};
use proptest::prelude::*;
use rule::{Severity, Transition};

use crate::house::{House, at, batched, began, critical, ended, id_of, tenant};

/// Rules: told at once, critical, and gathered.
const RULES: [&str; 3] = ["hot", "bad", "wet"];

fn house() -> House {
    let house = House::new();
    house.rules.set("bad", critical);
    house.rules.set("wet", batched);
    house
}

/// How many of `bodies` any hour holds at most, and how many of those are no critical ones of their own.
fn busiest_hour(bodies: &[Body]) -> (usize, usize) {
    let hours = bodies.iter().map(|first| {
        let hour = first.at_ms..first.at_ms + 3_600_000;
        let in_it = bodies.iter().filter(|body| hour.contains(&body.at_ms));
        let (critical, rest): (Vec<_>, Vec<_>) =
            in_it.partition(|body| body.severity == Severity::Critical && body.digest.is_none());
        (critical.len() + rest.len(), rest.len())
    });
    hours.fold((0, 0), |most, hour| (most.0.max(hour.0), most.1.max(hour.1)))
}

#[test]
fn five_thousand_conditions_a_second_are_counted_one_by_one() {
    const PER_SECOND: i64 = 5000;
    const SECONDS: i64 = 4;
    let house = house();
    house.person("ann", |ann| ann.resolved = false);
    house.person("bob", |bob| bob.per_hour = Some(4));
    for second in 0..SECONDS {
        let all: Vec<Transition> = (0..PER_SECOND)
            .map(|n| began(RULES[n as usize % 3], &format!("d{second}-{n}"), second))
            .collect();
        for batch in all.chunks(250) {
            assert_eq!(house.take(batch, at(second)).new, 250);
        }
        house.pass(second, second);
        // What is in memory is what waits for delivery: a few messages.
        assert!(house.alerts.outbox_len() < 100, "{}", house.alerts.outbox_len());
    }
    house.pass(SECONDS, 2 * 3600);
    let raised = (PER_SECOND * SECONDS) as u64;
    assert_eq!(house.alerts.counters().raised, raised);
    for (person, most) in [("ann", 30), ("bob", 4)] {
        let bodies = house.bodies(person);
        let (sums, pending) = house.alerts.sums(&tenant(), person).unwrap();
        assert_eq!((sums.concerned, pending), (raised, 0), "{person}");
        assert_eq!(bodies.iter().map(|body| body.count).sum::<u64>(), raised, "{person}");
        let (all, plain) = busiest_hour(&bodies);
        assert!(all <= most + 5 && plain <= most, "{person}: {all}, {plain}");
        // Rules are named in the digests, each with its number.
        let mut by_rule = BTreeMap::<String, u64>::new();
        for digest in bodies.iter().filter_map(|body| body.digest.as_ref()) {
            digest
                .by_rule
                .iter()
                .for_each(|(rule, count)| *by_rule.entry(rule.clone()).or_default() += count);
            assert_eq!(digest.by_rule.values().sum::<u64>() + digest.other_rules, digest.held);
        }
        assert!(by_rule.contains_key("Too hot") && by_rule.contains_key("bad"), "{by_rule:?}");
    }
}

#[test]
fn a_full_outbox_holds_back_and_loses_nothing() {
    let house = house();
    house.person("bus", |bus| bus.per_hour = Some(0));
    let more = penstock_alert::OUTBOX_ROWS + 1000;
    let all: Vec<Transition> = (0..more).map(|n| began("hot", &format!("d{n}"), 0)).collect();
    for batch in all.chunks(1000) {
        house.take(batch, at(0));
    }
    assert_eq!(house.alerts.outbox_len(), penstock_alert::OUTBOX_ROWS);
    let (sums, pending) = house.alerts.sums(&tenant(), "bus").unwrap();
    assert_eq!((sums.single as usize, pending), (penstock_alert::OUTBOX_ROWS, 1000));
    // There is no room for the digest either: it waits and still counts.
    house.pass(290, 1000);
    assert_eq!(house.alerts.sums(&tenant(), "bus").unwrap().1, 1000);
}

/// What happens to an installation.
#[derive(Clone, Debug)]
enum Event {
    /// A condition begins: rule, device.
    Begin(usize, u8),
    /// One that began ends; the n-th.
    End(usize),
    /// A batch is given again.
    Again(usize),
    /// Somebody acknowledges or resolves the n-th.
    Acknowledge(usize),
    Resolve(usize),
    /// Devices are muted for so many minutes.
    Mute(u8),
    Unmute,
    /// The process ends and begins.
    Restart,
    /// So many seconds pass.
    Pass(u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..3_usize, 0..6_u8).prop_map(|(rule, device)| Event::Begin(rule, device)),
        6 => any::<usize>().prop_map(Event::End),
        2 => any::<usize>().prop_map(Event::Again),
        1 => any::<usize>().prop_map(Event::Acknowledge),
        1 => any::<usize>().prop_map(Event::Resolve),
        1 => (1..30_u8).prop_map(Event::Mute),
        1 => Just(Event::Unmute),
        1 => Just(Event::Restart),
        6 => (1..900_u16).prop_map(Event::Pass),
    ]
}

/// What was given, as simply as it can be kept.
#[derive(Default)]
struct Model {
    now_s: i64,
    began: Vec<Transition>,
    is_open: Vec<bool>,
}

impl Model {
    fn happen(&mut self, house: &mut House, event: &Event) {
        let now = at(self.now_s);
        let pick = |n: usize| (!self.began.is_empty()).then(|| n % self.began.len());
        match event {
            Event::Begin(rule, device) => {
                // Evaluation raises no cause twice, nor a second one while one holds.
                let new = began(RULES[*rule], &format!("d{device}"), self.now_s);
                let holds = |(old, open): (&Transition, &bool)| {
                    old.rule == new.rule && old.device == new.device && (*open || old.cause == new.cause)
                };
                if !self.began.iter().zip(&self.is_open).any(holds) {
                    assert_eq!(house.take(std::slice::from_ref(&new), now).new, 1);
                    self.began.push(new);
                    self.is_open.push(true);
                }
            }
            Event::End(n) => {
                if let Some(n) = pick(*n).filter(|&n| self.is_open[n]) {
                    assert_eq!(house.take(&[ended(&self.began[n], self.now_s)], now).new, 1);
                    self.is_open[n] = false;
                }
            }
            Event::Again(n) => {
                if let Some(n) = pick(*n) {
                    assert_eq!(house.take(std::slice::from_ref(&self.began[n]), now).new, 0);
                }
            }
            Event::Acknowledge(n) | Event::Resolve(n) => {
                let Some(id) = pick(*n).map(|n| id_of(&self.began[n])) else { return };
                // Not possible where it stands, or done: both are well.
                let _ = match event {
                    Event::Acknowledge(_) => house.alerts.acknowledge(&tenant(), &id, "bob", None, now),
                    _ => house.alerts.resolve(&tenant(), &id, "bob", None, now),
                };
            }
            Event::Mute(minutes) => self.mute(house, *minutes),
            // There may be none.
            Event::Unmute => drop(house.alerts.unmute(&tenant(), "m", now)),
            Event::Restart => house.reopen(),
            Event::Pass(seconds) => {
                let until = self.now_s + i64::from(*seconds);
                house.pass(self.now_s, until);
                self.now_s = until;
            }
        }
    }

    fn mute(&self, house: &House, minutes: u8) {
        let from_ms = at(self.now_s).millis();
        let when = When::Once { from_ms, to_ms: from_ms + i64::from(minutes) * 60_000 };
        let of = Selection { device: Some(format!("d{}", minutes % 6)), ..Selection::default() };
        let mute = Mute { of, when, by: String::new(), reason: String::new() };
        house.alerts.mute(&tenant(), "m", &mute, at(self.now_s)).unwrap();
    }

    /// Everything that was raised stands in exactly one sum, and was told as often as the sums say.
    fn check(&self, house: &House) {
        let alerts: Vec<_> = self.began.iter().map(|began| house.alert(began)).collect();
        let suppressed = alerts.iter().filter(|alert| alert.state == State::Suppressed).count() as u64;
        let muted = alerts.iter().filter(|alert| alert.muted_by.is_some()).count() as u64;
        let counted: u64 = alerts.iter().map(|alert| alert.suppressed).sum();
        assert_eq!(counted, suppressed, "counted on those that stand");
        for person in ["ann", "bob"] {
            let (sums, pending) = house.alerts.sums(&tenant(), person).unwrap();
            let told = sums.single + sums.grouped + sums.digested + pending;
            assert_eq!(told + sums.muted, sums.concerned, "{person}");
            assert_eq!(sums.concerned + suppressed, self.began.len() as u64, "{person}");
            assert_eq!(sums.muted, muted, "{person}");
            let bodies = house.bodies(person);
            let said: u64 = bodies.iter().map(|body| body.count).sum();
            assert_eq!(said, sums.single + sums.grouped + sums.digested + sums.unmuted, "{person}");
            let (all, plain) = busiest_hour(&bodies);
            assert!(all <= 11 && plain <= 6, "{person}: {all}, {plain}");
        }
        let open = house.alerts.open_causes(&|_, _| true).unwrap();
        assert_eq!(open.len(), self.is_open.iter().filter(|&&open| open).count());
        for (alert, is_open) in alerts.iter().zip(&self.is_open) {
            assert_eq!(alert.ended_at_ms.is_none(), *is_open);
            assert!(*is_open || !alert.is_open(), "over, and still raised: {alert:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn told_and_muted_and_suppressed_are_all_that_was_raised(events in prop::collection::vec(event(), 1..120)) {
        let mut house = house();
        house.person("ann", |ann| ann.per_hour = Some(6));
        house.person("bob", |bob| {
            bob.per_hour = Some(6);
            let hours = Span { days: Vec::new(), from: "00:30".into(), to: "01:30".into(), zone: "UTC".into() };
            bob.quiet = Some(Quiet { hours, except_from: Severity::Critical });
        });
        let mut model = Model::default();
        for event in &events {
            model.happen(&mut house, event);
        }
        model.check(&house);
        // A day later nothing is left untold.
        let day = model.now_s + 86_400;
        (model.now_s..day).step_by(60).for_each(|second| house.pass(second, second));
        model.now_s = day;
        model.check(&house);
        for person in ["ann", "bob"] {
            let (sums, pending) = house.alerts.sums(&tenant(), person).unwrap();
            prop_assert_eq!((pending, sums.unmuted), (0, sums.muted));
        }
    }
}
