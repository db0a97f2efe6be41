//! A crash: the checkpoint is older than the book of alerts, and messages are given again from the checkpoint on.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use record::{DeviceId, Facts, TenantId, Timestamp};
use rule::{Evaluator, Kind, OpenCause, Output, RuleId, RuleSet, Transition};

use super::condition::{Asked, asked};
use super::world::{Event, events, message_of, settings};
use super::{end_of, time};
use crate::given::set;

/// By device, rule, cause, and whether it is of the past: raised as of, and ended.
type Book = BTreeMap<(String, String, Timestamp, bool), (Option<Timestamp>, Option<Timestamp>)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_loses_no_cause_and_adds_none(
        rules in prop::collection::vec(asked(), 1..6),
        events in events(),
        (saved, crashed) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let set = set_of(&rules);
        let events = one_by_one(events);
        let events = if rules.iter().any(waits) { at_once(events) } else { events };
        let (saved, crashed) = (saved.index(events.len()), crashed.index(events.len()));
        let (saved, crashed) = (saved.min(crashed), saved.max(crashed));
        let mut evaluator = Evaluator::new(Arc::clone(&set), settings());
        let mut book = Book::new();
        let mut checkpoint = evaluator.encode();
        for (place, event) in events.iter().enumerate() {
            if place == crashed {
                break;
            }
            give(&mut evaluator, event, &mut book);
            if place < saved {
                checkpoint = evaluator.encode();
            }
        }
        let mut out = Output::default();
        let mut evaluator = Evaluator::restore(Arc::clone(&set), settings(), &checkpoint, &mut out).unwrap();
        evaluator.reconcile(&open_of(&book), &mut out);
        prop_assert_eq!(evaluator.open(), open_of(&book));
        prop_assert_eq!(out, Output::default());
        events[saved..].iter().for_each(|event| give(&mut evaluator, event, &mut book));
        end(&mut evaluator, &events, &mut book);
        let mut whole = Evaluator::new(set, settings());
        let mut expected = Book::new();
        events.iter().for_each(|event| give(&mut whole, event, &mut expected));
        end(&mut whole, &events, &mut expected);
        prop_assert_eq!(&book, &expected, "{:?}", super::sql(&rules));
    }
}

/// Whether a rule waits for silence. Its causes are of the server's time or of the device's, and one cannot tell which.
fn waits(rule: &Asked) -> bool {
    std::iter::once(&rule.when).chain(&rule.clear).any(|condition| !condition.silences().is_empty())
}

/// The same, but no two messages arrive at one instant. What begins, ends and begins again within one has one cause, and nobody could
/// tell the two apart.
fn one_by_one(mut events: Vec<Event>) -> Vec<Event> {
    for (later, event) in (0..).zip(&mut events) {
        event.arrived += later;
        event.sent.iter_mut().for_each(|sent| sent.at += later);
    }
    events
}

/// The same from devices that are neither slow nor ahead.
fn at_once(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        event.sent.iter_mut().for_each(|sent| sent.at = event.arrived);
    }
    events
}

fn set_of(rules: &[Asked]) -> Arc<RuleSet> {
    let numbered = rules.iter().enumerate();
    let rules: Vec<_> =
        numbered.map(|(n, rule)| crate::given::rule(&rule.document(&format!("r{n}")))).collect();
    set(&rules)
}

fn give(evaluator: &mut Evaluator, event: &Event, book: &mut Book) {
    let facts = Facts { device_type: event.device_type.map(Into::into), ..Facts::default() };
    let readings: Vec<_> = event.sent.iter().map(|sent| sent.reading(event.arrived)).collect();
    let mut out = Output::default();
    evaluator.message(&message_of(event, &facts, &readings), &mut out);
    out.transitions.iter().for_each(|transition| write(book, transition));
}

fn end(evaluator: &mut Evaluator, events: &[Event], book: &mut Book) {
    let mut out = Output::default();
    evaluator.tick(time(end_of(events)), &mut out);
    out.transitions.iter().for_each(|transition| write(book, transition));
}

/// What is told again changes nothing.
fn write(book: &mut Book, told: &Transition) {
    let key = (told.device.as_str().to_owned(), told.rule.0.to_string(), told.cause, told.retrospective);
    let entry = book.entry(key).or_default();
    match told.kind {
        Kind::Began => entry.0 = entry.0.or(Some(told.at)),
        Kind::Ended => entry.1 = entry.1.or(Some(told.at)),
    }
}

fn open_of(book: &Book) -> Vec<OpenCause> {
    let open = book.iter().filter(|((.., past), (_, ended))| !past && ended.is_none());
    open.map(|((device, rule, cause, _), _)| OpenCause {
        tenant: TenantId::default_tenant(),
        device: DeviceId::parse(device).unwrap(),
        rule: RuleId(rule.as_str().into()),
        version: 1,
        cause: *cause,
    })
    .collect()
}
