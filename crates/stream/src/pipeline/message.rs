//! A message on its way through the stages: what it is, and what became of its readings so far.

use std::ops::Range;

use log::Lane;
use record::{DeviceNo, Readings, TenantId, TimeOrigin};
use series::{Amounts, DeadLetter};
use wire::payload::{Element, Scratch};

use crate::enrich::Kept;

use super::decode::{Place, Telemetry};
use super::keep::End;
use super::replay::TriedAgain;

/// Bits for a row within its record: none has more readings ([`record::limits::READINGS_PER_MESSAGE`]).
const ROW_BITS: u32 = 20;

/// A message on its way through the stages.
pub(super) struct Message<'a> {
    pub(super) place: Place,
    pub(super) lane: Lane,
    pub(super) tenant: &'a TenantId,
    pub(super) rows: Range<usize>,
    pub(super) elements: &'a [Element],
    pub(super) tried_again: Option<&'a TriedAgain>,
    /// Whether its times say something of its device's clock: not when it says itself that it is old.
    pub(super) tells_time: bool,
    /// The last device whose clock was looked at.
    pub(super) device_seen: Option<DeviceNo>,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) stage: &'static str,
    pub(super) amounts: Amounts,
}

impl<'a> Message<'a> {
    pub(super) fn new(
        place: Place,
        lane: Lane,
        telemetry: &'a Telemetry<'_, '_>,
        rows: Range<usize>,
        letters: Vec<DeadLetter>,
        scratch: &'a Scratch,
        tried_again: Option<&'a TriedAgain>,
    ) -> Self {
        let mut message = Self {
            place,
            lane,
            tenant: &telemetry.tenant,
            rows,
            elements: scratch.elements(),
            tried_again,
            tells_time: tried_again.is_none() && !telemetry.is_history,
            device_seen: None,
            letters,
            stage: "decode",
            amounts: Amounts::default(),
        };
        if let Some(tried_again) = tried_again {
            message.letters.retain(|letter| letter.index.is_none() || tried_again.concerns(letter.index));
        }
        let letters = message.letters.len() as i64;
        message.amounts = Amounts { accepted: letters, dead: letters, ..Amounts::default() };
        message
    }

    pub(super) fn has_kept_any(&self) -> bool {
        self.amounts.stored + self.amounts.late + self.amounts.duplicate + self.amounts.shed > 0
    }

    pub(super) fn end(self) -> End {
        End { amounts: self.amounts, letters: self.letters, stage: self.stage }
    }

    /// The message for the stage `enrich`; what is kept of it ends at row `end` of the bench.
    pub(super) fn kept<'k>(&'k self, telemetry: &'k Telemetry<'_, '_>, end: usize) -> Kept<'k> {
        Kept {
            tenant: self.tenant,
            lane: self.place.source.lane,
            partition: self.place.source.partition,
            offset: self.place.offset,
            is_history: self.lane == Lane::Backfill,
            said: telemetry.said(),
            rows: self.rows.start..end,
        }
    }

    /// Which element of the message a row came from.
    pub(super) fn element_of(&self, row: usize) -> Option<u32> {
        let element = self.elements.partition_point(|element| element.rows.end <= row);
        u32::try_from(element).ok().filter(|_| element < self.elements.len())
    }

    /// How long it has waited for the store, nanoseconds. What somebody has tried again waited for them.
    pub(super) fn waited_nanos(&self) -> i64 {
        if self.tried_again.is_some() { 0 } else { self.place.waited_nanos }
    }

    /// How far rows from this one on may go through the stages together: of a message that is tried again, elements that
    /// count stand beside others that do not.
    pub(super) fn until(&self, row: usize) -> usize {
        let element = self.element_of(row).and_then(|element| self.elements.get(element as usize));
        match (self.tried_again, element) {
            (Some(_), Some(element)) => element.rows.end,
            _ => self.rows.end,
        }
    }

    /// A reading that cannot be kept.
    pub(super) fn dead(&mut self, row: usize, stage: &'static str, reason: String) {
        if self.letters.is_empty() {
            self.stage = stage;
        }
        self.letters.push(DeadLetter { index: self.element_of(row), reason });
        self.amounts.dead += 1;
    }

    /// Of a message that is tried again only what was dead counts.
    pub(super) fn is_concerned(&self, row: usize) -> bool {
        self.tried_again.is_none_or(|again| again.concerns(self.element_of(row)))
    }

    /// Readings that have neither a time nor a number of their device's get a number, so that no two have the same key.
    pub(super) fn number_clockless(&self, readings: &mut Readings) {
        let (lane, offset) = match self.tried_again {
            Some(again) => (again.of.lane, again.of.offset),
            None => (self.place.source.lane, self.place.offset),
        };
        let record = (offset << 1 | lane as u64) << ROW_BITS;
        for element in self.elements.iter().filter(|element| !element.rows.is_empty()) {
            let when = readings.when(element.rows.start).expect("an element's rows are in the batch");
            if when.origin == TimeOrigin::Server && when.seq == 0 {
                let row = (element.rows.start - self.rows.start) as u64;
                readings.set_when(element.rows.clone(), when.with_seq((record | row) + 1));
            }
        }
    }
}
