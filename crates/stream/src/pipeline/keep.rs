//! What a message leaves behind beside its readings: its line in the account, its dead letters.

use log::Record;
use record::{Envelope, Kind, Timestamp};
use series::{Amounts, Completeness, DeadLetter, DeadMessage};

use crate::output::Output;

use super::decode::{Place, Refused, Telemetry, dead_message};
use super::replay::TriedAgain;

/// What came of a message.
pub(super) struct End {
    pub(super) amounts: Amounts,
    pub(super) letters: Vec<DeadLetter>,
    /// The stage that wrote the first letter.
    pub(super) stage: &'static str,
}

/// A message that is dead as a whole.
pub(super) fn refused(place: Place, record: &Record, refused: Refused<'_>, output: &mut Output) {
    let letters = vec![DeadLetter { index: None, reason: refused.reason }];
    let envelope = refused.envelope.as_ref();
    let message = dead_message(place, envelope, record, refused.stage, Completeness::Whole, letters);
    let one = Amounts { records: 1, accepted: 1, dead: 1, ..Amounts::default() };
    *output.account.line(&message.tenant, &refused.topic, message.arrived_at) += one;
    output.tally.accepted += 1;
    output.dead(message);
}

/// A message whose readings went through the stages.
pub(super) fn message(
    place: Place,
    record: &Record,
    telemetry: &Telemetry<'_, '_>,
    end: End,
    completeness: Completeness,
    tried_again: Option<TriedAgain>,
    output: &mut Output,
) {
    let envelope = &telemetry.envelope;
    let mut amounts = Amounts { records: 1, ..end.amounts };
    output.tally.accepted += amounts.accepted.unsigned_abs();
    match tried_again {
        None if end.letters.is_empty() => {}
        None => {
            output.dead(dead_message(place, Some(envelope), record, end.stage, completeness, end.letters));
        }
        Some(tried_again) => {
            amounts += tried_again.taken_off();
            output.tally.replays += 1;
            if end.letters.is_empty() {
                output.resolved(tried_again.source(), tried_again.of.offset);
            } else {
                output.dead(dead_again(record, telemetry, end.letters, end.stage, completeness, tried_again));
            }
        }
    }
    *output.account.line(telemetry.tenant.as_str(), &telemetry.topic, envelope.arrived_at) += amounts;
}

/// The message under its old name, as it was tried now: its payload may have been mended, if not enough.
fn dead_again(
    record: &Record,
    telemetry: &Telemetry<'_, '_>,
    letters: Vec<DeadLetter>,
    stage: &'static str,
    completeness: Completeness,
    tried_again: TriedAgain,
) -> DeadMessage {
    let place = Place { source: tried_again.source(), offset: tried_again.of.offset, waited_nanos: 0 };
    let now = dead_message(place, Some(&telemetry.envelope), record, stage, completeness, letters);
    let mut bytes = Vec::new();
    Envelope { kind: Kind::Telemetry, properties: &[], ..telemetry.envelope }.encode(&mut bytes);
    let was_kept_in_part = tried_again.dead.partly_stored;
    DeadMessage {
        attempts: tried_again.dead.attempts.saturating_add(1),
        last_at: Timestamp::from_millis(record.appended_ms).unwrap_or_default(),
        completeness: if was_kept_in_part { Completeness::Part } else { completeness },
        record: match tried_again.message {
            Some(before) if same_payload(&before.record, telemetry.envelope.payload) => before.record,
            _ => bytes,
        },
        ..now
    }
}

fn same_payload(record: &[u8], payload: &[u8]) -> bool {
    Envelope::decode(record).is_ok_and(|envelope| envelope.payload == payload)
}
