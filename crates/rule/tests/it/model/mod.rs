//! Evaluation against a model that keeps all readings and evaluates each rule from scratch: slow, and plain to see.

mod condition;
mod crash;
mod machine;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use record::{Facts, TenantId, Timestamp};
use rule::{Evaluator, Kind, Output, RuleSet, Settings, Transition};

use crate::given::{SECOND, START, set};
use condition::{Asked, asked};
use machine::{Happened, Machines};
use world::{Event, Sent, events, message_of};

/// What is compared: by device and rule, the past by itself, in order.
type Told = BTreeMap<(String, String, bool), Vec<Happened>>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_as_a_model_whatever_the_batching(
        rules in prop::collection::vec(asked(), 1..6),
        events in events(),
        breaks in prop::collection::vec(any::<u8>(), 120),
    ) {
        let expected = by_model(&rules, &events);
        prop_assert_eq!(&by_engine(&rules, &events, world::settings(), |_| Break::None), &expected, "at once: {:?}", sql(&rules));
        let broken = by_engine(&rules, &events, world::settings(), |place| match breaks[place % breaks.len()] % 5 {
            0 => Break::Restart,
            1 => Break::Tick,
            2 => Break::Replace,
            _ => Break::None,
        });
        prop_assert_eq!(&broken, &expected, "with breaks: {:?}", sql(&rules));
        let without_room = Settings { indexed_rules: 0, ..world::settings() };
        let common = by_engine(&rules, &events, without_room, |_| Break::None);
        prop_assert_eq!(&common, &expected, "without room for indexes: {:?}", sql(&rules));
    }
}

/// What comes between two messages.
enum Break {
    None,
    /// The state is encoded, and gone on from in another evaluator.
    Restart,
    /// There is one rule more, or one less, of which nothing ever comes: all numbers are others.
    Replace,
    /// Time passes, as far as the next message allows.
    Tick,
}

fn sql(rules: &[Asked]) -> Vec<String> {
    rules.iter().map(|rule| rule.document("r")).collect()
}

fn by_model(rules: &[Asked], events: &[Event]) -> Told {
    let mut told = Told::new();
    for (number, rule) in rules.iter().enumerate() {
        let mut machines = Machines::new(rule);
        let mut watermark = i64::MIN;
        for event in events {
            machines.message(event, watermark);
            if !event.is_history {
                watermark =
                    watermark.max(event.sent.iter().map(|sent| sent.at.min(event.arrived)).max().unwrap());
            }
        }
        for (device, happened) in machines.end(end_of(events)) {
            let (past, live) = happened.into_iter().partition(|happened| happened.past);
            told.insert((device.clone(), format!("r{number}"), true), past);
            told.insert((device, format!("r{number}"), false), live);
        }
    }
    told.retain(|_, happened| !happened.is_empty());
    told
}

fn by_engine(
    rules: &[Asked],
    events: &[Event],
    settings: Settings,
    between: impl Fn(usize) -> Break,
) -> Told {
    let numbered = rules.iter().enumerate();
    let rules: Vec<_> =
        numbered.map(|(number, rule)| crate::given::rule(&rule.document(&format!("r{number}")))).collect();
    let another = crate::given::rule(r#"{"name": "a", "when": "never > 1 AND c < 0"}"#);
    let more: Vec<_> = rules.iter().cloned().chain([another]).collect();
    // The one in use, and the other one.
    let mut sets: [std::sync::Arc<RuleSet>; 2] = [set(&rules), set(&more)];
    let mut evaluator = Evaluator::new(sets[0].clone(), settings.clone());
    let mut out = Output::default();
    for (place, event) in events.iter().enumerate() {
        let facts = Facts { device_type: event.device_type.map(Into::into), ..Facts::default() };
        let readings: Vec<_> = event.sent.iter().map(|sent: &Sent| sent.reading(event.arrived)).collect();
        evaluator.message(&message_of(event, &facts, &readings), &mut out);
        match between(place) {
            Break::None => {}
            Break::Restart => {
                let bytes = evaluator.encode();
                evaluator = Evaluator::restore(sets[0].clone(), settings.clone(), &bytes, &mut out).unwrap();
                assert_eq!(evaluator.encode(), bytes);
            }
            Break::Replace => {
                sets.swap(0, 1);
                evaluator.replace(sets[0].clone(), &mut out);
            }
            Break::Tick => {
                let next = events.get(place + 1).map_or(event.arrived, |next| next.arrived);
                evaluator.tick(time((event.arrived + next) / 2), &mut out);
                evaluator.tick(time(next), &mut out);
            }
        }
    }
    evaluator.tick(time(end_of(events)), &mut out);
    by_device_and_rule(&out.transitions)
}

fn by_device_and_rule(transitions: &[Transition]) -> Told {
    let mut told = Told::new();
    for transition in transitions {
        assert_eq!(transition.tenant, TenantId::default_tenant());
        let key =
            (transition.device.as_str().to_owned(), transition.rule.0.to_string(), transition.retrospective);
        told.entry(key).or_default().push(Happened {
            began: transition.kind == Kind::Began,
            cause: (transition.cause.nanos() - START) / SECOND,
            at: (transition.at.nanos() - START) / SECOND,
            past: transition.retrospective,
        });
    }
    told
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_nanos(START + second * SECOND)
}

/// Long after the last message.
fn end_of(events: &[Event]) -> i64 {
    events.last().map_or(0, |event| event.arrived + 30)
}
