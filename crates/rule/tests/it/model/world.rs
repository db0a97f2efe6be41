//! What devices send.

use proptest::prelude::*;
use record::{CleanReading, Facts, TenantId, Timestamp, ValueRef, When};
use rule::{Duration, Message, Settings};

use crate::given::{SECOND, START};

/// How late readings may be, s.
pub(super) const LATENESS: i64 = 20;
pub(super) const METRICS: [&str; 3] = ["a", "b", "c"];
pub(super) const TYPES: [&str; 2] = ["pump", "valve"];

pub(super) fn settings() -> Settings {
    Settings { allowed_lateness: Duration::from_nanos(LATENESS * SECOND), ..Settings::default() }
}

/// A message. Times are seconds after the start.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) device: &'static str,
    pub(super) device_type: Option<&'static str>,
    pub(super) is_history: bool,
    pub(super) arrived: i64,
    pub(super) sent: Vec<Sent>,
}

/// A reading.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) metric: usize,
    pub(super) at: i64,
    pub(super) value: Sample,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sample {
    Number(i64),
    Bool(bool),
    Text(&'static str),
    NaN,
}

impl Sent {
    pub(super) fn reading(&self, arrived: i64) -> CleanReading<'_> {
        let time = |second: i64| Timestamp::from_nanos(START + second * SECOND);
        let value = match self.value {
            Sample::Number(value) => ValueRef::Float(value as f64),
            Sample::Bool(value) => ValueRef::Bool(value),
            Sample::Text(text) => ValueRef::Text(text),
            Sample::NaN => ValueRef::Float(f64::NAN),
        };
        CleanReading {
            metric: METRICS[self.metric],
            when: When::by_device(time(self.at), time(arrived)),
            value,
        }
    }
}

pub(super) fn message_of<'a>(
    event: &Event,
    facts: &'a Facts,
    readings: &'a [CleanReading<'a>],
) -> Message<'a> {
    let Event { device, is_history, .. } = *event;
    Message { tenant: TenantId::DEFAULT, device, facts, is_history, readings }
}

/// Device, which type, whether it is history, the pause before it, readings, and whether these are all of one time.
type Drawn = (&'static str, usize, bool, i64, Vec<(i64, usize, Sample)>, bool);

/// Messages of three devices, in the order in which they arrive.
pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (
        prop::sample::select(vec!["d0", "d1", "d2"]),
        prop_oneof![30 => Just(0), 1 => Just(1), 1 => Just(2)],
        prop_oneof![14 => Just(false), 1 => Just(true)],
        prop_oneof![6 => 0..4_i64, 4 => 4..15_i64, 1 => 15..90_i64],
        prop::collection::vec((offset(), 0..METRICS.len(), sample()), 1..4),
        any::<bool>(),
    );
    prop::collection::vec(event, 1..60).prop_map(|drawn| {
        let mut arrived = 0;
        let event = |(device, device_type, is_history, pause, readings, at_once): Drawn| {
            arrived += pause;
            let first = readings[0].0;
            let sent = readings.into_iter().map(|(offset, metric, value)| {
                let offset = if at_once { first } else { offset };
                Sent { metric, at: arrived + offset, value }
            });
            // Mostly each device is of one type.
            let device_type = [Some(TYPES[usize::from(device == "d1")]), None, Some(TYPES[0])][device_type];
            Event { device, device_type, is_history, arrived, sent: sent.collect() }
        };
        drawn.into_iter().map(event).collect()
    })
}

/// How much later than it arrived a reading happened, s.
fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![12 => Just(0_i64), 4 => -3..3_i64, 2 => -30..0_i64, 1 => -100..10_i64]
}

fn sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        20 => (0..10_i64).prop_map(Sample::Number),
        1 => any::<bool>().prop_map(Sample::Bool),
        2 => prop::sample::select(vec!["ok", "fault"]).prop_map(Sample::Text),
        1 => Just(Sample::NaN),
    ]
}
