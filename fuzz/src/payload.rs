//! What the payload targets share: how an input becomes a message, and what must hold of any decoder.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};

use record::{Encoding, ReadingRef, Readings, Timestamp, ValueRef};
use wire::payload::{self, Message, Reason, Scratch, Summary};

use crate::allocation::bounded;

pub(crate) const ARRIVED_AT: Timestamp = Timestamp::from_nanos(1_700_000_100_000_000_000);

/// Device and metric of the topic, by the input's first byte.
const TOPICS: [(Option<&str>, Option<&str>); 4] =
    [(Some("d1"), None), (Some("d1"), Some("m")), (None, None), (None, Some("m"))];

thread_local! {
    // Reused over all inputs: what one message leaves behind must not reach into the next.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The message that an input stands for.
pub(crate) fn message(data: &[u8], encoding: Encoding) -> Option<Message<'_>> {
    let (&first, payload) = data.split_first()?;
    let (device, metric) = TOPICS[usize::from(first) % TOPICS.len()];
    Some(Message { encoding, device, metric, arrived_at: ARRIVED_AT, time_unit: None, payload })
}

/// Decodes and inspects, checks what must hold of both, and hands the outcome on.
pub(crate) fn check<T>(
    message: &Message<'_>,
    then: impl FnOnce(&Result<Summary, Reason>, &Readings, &Scratch) -> T,
) -> T {
    // A byte of payload is at most a good part of an element, and columns grow by doubling.
    let limit = 16_384 + 512 * message.payload.len();
    let mut readings = Readings::new();
    let mut scratch = Scratch::new();
    let outcome = bounded(limit, || payload::decode(message, &mut readings, &mut scratch));
    SCRATCH.with_borrow_mut(|used| {
        let inspected = payload::inspect(message, used);
        assert_eq!(outcome, inspected, "gateway and stream must agree");
        assert_eq!(used.elements(), scratch.elements());
        assert_eq!(used.rejected(), scratch.rejected());
        if outcome.is_ok() {
            assert_eq!(used.readings().len(), readings.len());
            assert!(used.readings().iter().zip(readings.iter()).all(|(a, b)| same(&a, &b)));
        }
    });
    check_places(message, &outcome, &readings, &scratch);
    then(&outcome, &readings, &scratch)
}

fn check_places(
    message: &Message<'_>,
    outcome: &Result<Summary, Reason>,
    readings: &Readings,
    scratch: &Scratch,
) {
    let bytes = message.payload.len();
    let mut end = 0;
    for element in scratch.elements() {
        assert!(
            end <= element.range.start
                && element.range.start < element.range.end
                && element.range.end <= bytes
        );
        end = element.range.end;
    }
    for rejected in scratch.rejected() {
        assert_eq!(rejected.range, scratch.elements()[rejected.element].range);
        assert!(rejected.reason.at <= bytes);
        assert!(rejected.reason.to_string().len() < 1000);
    }
    assert_eq!(readings.staged(), 0);
    match outcome {
        Ok(summary) => {
            assert_eq!((summary.readings, summary.rejected), (readings.len(), scratch.rejected().len()));
            assert!(summary.readings > 0 && summary.oldest <= summary.newest);
            let rows: usize = scratch.elements().iter().map(|element| element.rows.len()).sum();
            assert_eq!(rows, readings.len());
        }
        Err(reason) => {
            assert!(readings.is_empty() && readings.devices().len() == 0 && readings.metrics().len() == 0);
            assert!(reason.at <= bytes, "{reason}");
        }
    }
}

/// Whether a part of a message, decoded by itself, gives the rows it gave within.
pub(crate) fn check_part(part: &Message<'_>, rows: std::ops::Range<usize>, whole: &Readings) {
    let mut readings = Readings::new();
    let outcome = payload::decode(part, &mut readings, &mut Scratch::new());
    assert_eq!(outcome.is_ok(), !rows.is_empty(), "{outcome:?}");
    assert_eq!(readings.len(), rows.len());
    let within = rows.map(|row| whole.get(row).expect("an element's rows are there"));
    assert!(within.zip(readings.iter()).all(|(a, b)| same(&a, &b)));
}

/// The same but for numbers of names, and bit for bit.
fn same(a: &ReadingRef<'_>, b: &ReadingRef<'_>) -> bool {
    let values = match (a.value, b.value) {
        (ValueRef::Float(a), ValueRef::Float(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    };
    values && (a.device, a.metric, a.when) == (b.device, b.metric, b.when)
}

/// What the outcome was like.
pub(crate) fn kind(outcome: &Result<Summary, Reason>, readings: &Readings, scratch: &Scratch) -> u64 {
    let mut hasher = DefaultHasher::new();
    let few = |n: usize| n.min(6);
    match outcome {
        Ok(summary) => {
            (few(summary.readings), few(summary.rejected), few(scratch.elements().len())).hash(&mut hasher)
        }
        Err(reason) => match &reason.problem {
            payload::Problem::Json(what) | payload::Problem::Line(what) | payload::Problem::Shape(what) => {
                what.hash(&mut hasher)
            }
            problem => problem.code().hash(&mut hasher),
        },
    }
    for rejected in scratch.rejected().iter().take(4) {
        rejected.reason.code().hash(&mut hasher);
    }
    for reading in readings.iter().take(4) {
        (reading.value.kind(), reading.when.origin, few(reading.metric.len())).hash(&mut hasher);
    }
    hasher.finish()
}
