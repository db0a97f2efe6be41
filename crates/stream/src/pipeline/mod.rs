//! A partition's pipeline: from records of the log to what is kept of them.
//!
//! [`Pipeline::record`] lists the stages of a message, [`Pipeline::moment`] those of its readings. It is a pure function of its
//! state, the records, the clock values it is given and the answers to its questions; see
//! `docs/decisions/stream-state.md`.

mod decode;
mod keep;
mod message;
mod pending;
mod readings;
mod replay;
mod settle;
mod state;

pub(crate) use settle::Ending;
pub(crate) use state::RestoreError;

use std::sync::Arc;

use log::{Lane, PartitionId, Record};
use record::Timestamp;
use series::Completeness;
use wire::payload::Scratch;
use wire::template::Templates;

use crate::answers::{Answers, Unanswered};
use crate::output::Output;
use crate::settings::Settings;
use crate::source_of;

use decode::{Content, Place};
use message::Message;
use state::State;

/// Consecutive records of a partition, to be processed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) partition: PartitionId,
    /// The offset of the first.
    pub(crate) base: u64,
    pub(crate) records: &'a [Record],
    /// When they are processed, by the clock.
    pub(crate) now: Timestamp,
}

/// Event time passes in steps of this length where nothing comes, nanoseconds: each step is a commit.
const TICK_NANOS: i64 = 1_000_000_000;

/// See the module.
pub(crate) struct Pipeline {
    settings: Arc<Settings>,
    state: State,
    names: decode::Names,
    memory: readings::Memory,
}

impl Pipeline {
    /// A partition that has seen nothing.
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        let state = State::new(&settings);
        Self::with(settings, state)
    }

    /// A partition whose state is lost: the store has readings that it does not know of.
    pub(crate) fn cold(settings: Arc<Settings>) -> Self {
        let state = State::cold(&settings);
        Self::with(settings, state)
    }

    /// A partition as its checkpoint has it.
    pub(crate) fn restore(settings: Arc<Settings>, bytes: &[u8]) -> Result<Self, RestoreError> {
        let state = State::decode(bytes, &settings)?;
        Ok(Self::with(settings, state))
    }

    fn with(settings: Arc<Settings>, state: State) -> Self {
        Self { settings, state, names: decode::Names::default(), memory: readings::Memory::default() }
    }

    /// The state for a checkpoint.
    pub(crate) fn state(&self) -> Vec<u8> {
        self.state.encode()
    }

    /// Takes records through the stages. On an error the state went half-way and must be thrown away.
    pub(crate) fn records(
        &mut self,
        work: &Work<'_>,
        templates: &Templates,
        scratch: &mut Scratch,
        answers: &mut dyn Answers,
        output: &mut Output,
    ) -> Result<(), Unanswered> {
        self.memory.begin_run();
        for (offset, record) in (work.base..).zip(work.records) {
            let arrived = record.appended_ms.saturating_mul(1_000_000);
            self.state.books.newest_arrival = self.state.books.newest_arrival.max(Some(arrived));
            let waited_nanos = work.now.nanos().saturating_sub(arrived);
            let place = Place { source: source_of(work.partition), offset, waited_nanos };
            self.record(place, record, templates, scratch, answers, output)?;
        }
        Ok(())
    }

    /// The stages of a message.
    fn record(
        &mut self,
        place: Place,
        record: &Record,
        templates: &Templates,
        scratch: &mut Scratch,
        answers: &mut dyn Answers,
        output: &mut Output,
    ) -> Result<(), Unanswered> {
        let telemetry = match decode::content(&record.value, templates, &mut self.names) {
            Content::Telemetry(telemetry) => telemetry,
            Content::Dead(refused) => {
                keep::refused(place, record, refused, output);
                return Ok(());
            }
        };
        let tried_again = match telemetry.replay_of {
            None => None,
            Some(of) => match replay::begin(of, answers)? {
                Some(tried_again) => Some(tried_again),
                None => {
                    replay::nothing_to_do(&telemetry, output);
                    return Ok(());
                }
            },
        };
        let mut bench = output.take_bench(&telemetry.tenant);
        let (rows, letters) = decode::readings(&telemetry, &mut bench.readings, scratch);
        let lane = if telemetry.replay_of.is_some() { Lane::Backfill } else { place.source.lane };
        let mut message = Message::new(place, lane, &telemetry, rows, letters, scratch, tried_again.as_ref());
        let mut outcome = self.readings(&mut message, &mut bench, answers, output);
        if let (Ok(()), Some(enricher)) = (&outcome, &mut output.enricher) {
            let kept = message.kept(&telemetry, bench.readings.len());
            outcome = enricher.message(&kept, &bench.readings, &mut bench.devices);
        }
        output.put_bench(&telemetry.tenant, bench);
        outcome?;
        let completeness = if message.has_kept_any() { Completeness::Part } else { Completeness::Whole };
        keep::message(place, record, &telemetry, message.end(), completeness, tried_again, output);
        Ok(())
    }

    /// Lets time pass in a partition that has nothing to read: it must not hold its windows open.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.state.books.watermark.tick(now.nanos(), self.settings.idle_after_nanos);
    }

    /// Ends a step: publishes windows that are over, and lets go what is out of use.
    pub(crate) fn settle(&mut self, now: Timestamp, ending: Ending, output: &mut Output) {
        self.close_windows(ending, output);
        self.revisions(now, 0, output);
        self.sweep(output);
    }

    /// Names windows that are to be computed again: those that have waited long enough, `most` of them at most.
    pub(crate) fn revise(&mut self, now: Timestamp, most: u32, output: &mut Output) {
        self.revisions(now, most as usize, output);
    }

    /// Whether windows have waited long enough to be computed again.
    pub(crate) fn has_revisions_due(&self, now: Timestamp) -> bool {
        self.state.books.pending.is_due(now)
    }

    /// Whether windows are over that no step has published yet.
    pub(crate) fn has_more_to_close(&self) -> bool {
        self.state.books.has_more_to_close
    }

    /// Whether a tick would let time pass.
    pub(crate) fn wants_tick(&self, now: Timestamp) -> bool {
        let books = &self.state.books;
        if books.has_more_to_close {
            return true;
        }
        let mut watermark = books.watermark;
        watermark.tick(now.nanos(), self.settings.idle_after_nanos);
        let (closed_to, open_to) = (self.state.windows.watermark(), self.open_to());
        // Where nothing ever came no time has passed: the first readings of a partition are not late.
        books.newest_event > i64::MIN
            && closed_to < open_to
            && watermark.at() >= closed_to.saturating_add(TICK_NANOS).min(open_to)
    }

    /// The watermark at which every window is over that any reading went into.
    fn open_to(&self) -> i64 {
        let settings = &self.settings;
        let newest = self.state.books.newest_event;
        newest.saturating_add(settings.longest_window_nanos).saturating_add(settings.allowed_lateness_nanos)
    }
}
