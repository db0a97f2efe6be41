//! A partition of the clean topic, and what its rules remember.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use log::{Lane, Record};
use record::{CleanRecord, CleanSource, Timestamp};
use rule::{Evaluator, Message, OpenCause, Output, Priors, RuleSet, Settings};

use super::Counts;
use super::checkpoint::Checkpoint;
use super::fill::Watch;
use super::fleet::Succession;

/// A shorter time away is not noticed by rules that wait for silence.
const NOTICEABLE_NANOS: i64 = 5_000_000_000;

/// See the module.
pub(super) struct Partition {
    pub(super) index: u16,
    pub(super) evaluator: Evaluator,
    /// The next offsets, live and backfill.
    pub(super) next: [u64; 2],
    /// The last record of each source: what a crash of the stream wrote again is passed over.
    last: BTreeMap<(u8, u16), (u64, u32)>,
    /// When the newest live record arrived.
    newest: Timestamp,
    /// The devices whose windows are being filled.
    pub(super) watch: Option<Watch>,
    /// From which live offset on new devices begin with what else, where that is still to come.
    to_come: Option<(u64, Arc<Priors>)>,
    /// Whether something came since the last checkpoint.
    pub(super) has_moved: bool,
}

impl Partition {
    /// One that begins at these offsets.
    pub(super) fn new(index: u16, next: [u64; 2], set: Arc<RuleSet>, settings: Settings) -> Self {
        let evaluator = Evaluator::new(set, settings);
        let newest = Timestamp::from_nanos(i64::MIN);
        let last = BTreeMap::new();
        Self { index, evaluator, next, last, newest, watch: None, to_come: None, has_moved: false }
    }

    /// One as its checkpoint has it. Where its state cannot be read, it begins anew from the same place.
    pub(super) fn restore(
        checkpoint: Checkpoint,
        set: Arc<RuleSet>,
        settings: Settings,
        out: &mut Output,
    ) -> Self {
        let Checkpoint { partition, next, last, state } = checkpoint;
        let mut found = Self::new(partition, next, Arc::clone(&set), settings.clone());
        let last = last.into_iter().map(|of| ((of.lane as u8, of.partition), (of.offset, of.part)));
        found.last = last.collect();
        match Evaluator::restore(set, settings, &state, out) {
            Ok(evaluator) => found.evaluator = evaluator,
            Err(error) => tracing::error!(partition, %error, "windows of rules begin anew"),
        }
        found
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        let last = self.last.iter().map(|(&(lane, partition), &(offset, part))| CleanSource {
            lane: if lane == Lane::Live as u8 { Lane::Live } else { Lane::Backfill },
            partition,
            offset,
            part,
        });
        let (last, state) = (last.collect(), self.evaluator.encode());
        Checkpoint { partition: self.index, next: self.next, last, state }
    }

    /// Lets new devices begin with what is known of fleets.
    pub(super) fn follow(&mut self, Succession { before, since, now }: Succession) {
        if self.next[Lane::Live as usize] >= since {
            self.evaluator.set_priors(now);
        } else {
            self.evaluator.set_priors(before);
            self.to_come = Some((since, now));
        }
    }

    /// Whether it goes through records again that were judged with less known of fleets.
    pub(super) fn is_behind_fleet(&self) -> bool {
        self.to_come.is_some()
    }

    /// It is `now`, and nothing was heard since the state was kept: that was ours, not the devices' silence.
    pub(super) fn was_away(&mut self, now: Timestamp) {
        let Some(until) = self.evaluator.clock() else { return };
        let away = now.nanos().saturating_sub(until.nanos());
        if away > NOTICEABLE_NANOS {
            self.evaluator.was_away(away);
        }
    }

    /// What the book has open is open, and nothing else.
    pub(super) fn reconcile(&mut self, open: &[OpenCause], out: &mut Output) {
        self.evaluator.reconcile(open, out);
    }

    /// Takes records of a lane, from an offset on.
    pub(super) fn records(
        &mut self,
        (lane, base): (Lane, u64),
        records: &[Record],
        counts: &Counts,
        out: &mut Output,
    ) {
        self.next[lane as usize] = base + records.len() as u64;
        self.has_moved = true;
        for (offset, record) in (base..).zip(records) {
            if lane == Lane::Live
                && let Some((_, priors)) = self.to_come.take_if(|(since, _)| offset >= *since)
            {
                self.evaluator.set_priors(priors);
            }
            match CleanRecord::decode(&record.value) {
                Ok(record) => self.record(&record, counts, out),
                Err(error) => {
                    counts.unreadable.fetch_add(1, Ordering::Relaxed);
                    let partition = self.index;
                    tracing::error!(partition, ?lane, offset, %error, "a clean record cannot be read; rules do not see it");
                }
            }
        }
        counts.records.fetch_add(records.len() as u64, Ordering::Relaxed);
    }

    /// The next offset of each backfill partition of the raw topic that is before what was taken.
    pub(super) fn history(&self) -> impl Iterator<Item = (u16, u64)> {
        let of_history = self.last.iter().filter(|((lane, _), _)| *lane == Lane::Backfill as u8);
        of_history.map(|((_, partition), (offset, _))| (*partition, offset + 1))
    }

    fn record(&mut self, record: &CleanRecord<'_>, counts: &Counts, out: &mut Output) {
        let CleanSource { lane, partition, offset, part } = record.source;
        let last = self.last.get(&(lane as u8, partition));
        if last.is_some_and(|last| (offset, part) <= *last) {
            return;
        }
        self.last.insert((lane as u8, partition), (offset, part));
        if lane == Lane::Live {
            self.newest = self.newest.max(record.arrived_at);
        }
        if let Some(watch) = &mut self.watch {
            watch.see(record);
        }
        counts.readings.fetch_add(record.readings.len() as u64, Ordering::Relaxed);
        let message = Message {
            tenant: record.tenant,
            device: record.device,
            facts: &record.facts,
            is_history: lane == Lane::Backfill,
            readings: &record.readings,
        };
        self.evaluator.message(&message, out);
    }

    /// Lets time pass up to where the stream is; where the reader has not come to the end of the topic, only as far as it has come.
    pub(super) fn tick(&mut self, settled: Timestamp, is_at_end: bool, out: &mut Output) {
        let to = if is_at_end { settled } else { self.newest.min(settled) };
        if to.nanos() > 0 {
            self.evaluator.tick(to, out);
        }
    }
}
