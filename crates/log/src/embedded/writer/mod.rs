//! The writer: turns what waits into commit groups. It owns the end of the log; nothing else writes to it.
//!
//! It has no thread and no clock of its own: [`Writer::step`] does one group and returns. The thread in
//! `shell` calls it in production, a simulation calls it directly.
//!
//! After any failed write or fsync the segment is given up at its last durable byte. The head of the next
//! segment says where that was, and only once that head is durable does anything else happen. So bytes whose
//! fate is unknown are never read again, by this process or a later one.

mod birth;
mod group;

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use self::group::{Group, plain_frame};
use crate::disk::{DiskFile, write_all};
use crate::embedded::format::{FRAME_HEAD_BYTES, FrameBuilder, Kind, segment_name};
use crate::embedded::queue::{Request, Work};
use crate::embedded::recover::Adopted;
use crate::embedded::sabotage::Sabotage;
use crate::embedded::shared::{Segment, Shared};
use crate::embedded::stats::{add, micros};
use crate::partitions::SlotSet;
use crate::{Clock, Completion, Error, Offset, Result};

pub(crate) struct Writer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    log_id: u128,
    /// The segment that is written to; `None` after a failure, until a new one could be started.
    active: Option<Active>,
    /// The highest number tried so far; a number is never used twice.
    last_number: u64,
    /// By slot, as far as assigned; equal to what is published between groups.
    next: Vec<Offset>,
    builder: FrameBuilder,
    /// The oldest segment may come back with a crash, until the next segment starts.
    retention_waits: bool,
    /// Whoever holds this has the directory.
    lock: Option<Box<dyn std::any::Any + Send + Sync>>,
    sabotage: Sabotage,
}

struct Active {
    number: u64,
    name: String,
    file: Arc<dyn DiskFile>,
    /// Where its durable bytes end and the next frame goes.
    end: u64,
}

/// What a writer starts from.
pub(crate) struct Start {
    pub(crate) log_id: u128,
    pub(crate) last_number: u64,
    pub(crate) lock: Box<dyn std::any::Any + Send + Sync>,
    pub(crate) sabotage: Sabotage,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>, start: Start) -> Self {
        let next = shared.held.lock().ends.clone();
        let builder = FrameBuilder::new(shared.partitions.clone());
        let Start { log_id, last_number, lock, sabotage } = start;
        let lock = Some(lock);
        Self {
            shared,
            clock,
            log_id,
            active: None,
            last_number,
            next,
            builder,
            retention_waits: false,
            lock,
            sabotage,
        }
    }

    /// Takes the last segment as it was found, for want of room to start the next.
    pub(crate) fn stay(&mut self, last: Segment, uncertain: &[Adopted], error: Error) {
        let mut held = self.shared.held.lock();
        match held.segments.back_mut().filter(|segment| segment.number == last.number) {
            Some(segment) => *segment = last,
            None => held.segments.push_back(last),
        }
        held.adopt(uncertain, self.shared.options.index_interval_bytes);
        held.tail_base = held.ends.clone();
        self.next.clone_from(&held.ends);
        drop(held);
        self.shared.queue.set_trouble(Some(error));
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Does one piece of work; `false` when the log is closed.
    pub(crate) fn step(&mut self, work: Work) -> bool {
        match work {
            Work::Group(requests) => {
                self.commit(requests);
                self.shared.queue.done();
            }
            Work::Tick => self.tick(),
            Work::Close => {
                let outcome = self.close();
                self.shared.queue.closed(outcome);
                return false;
            }
        }
        true
    }

    /// Retention, and another try after a failure.
    fn tick(&mut self) {
        self.seal_if_old();
        self.retain();
        if self.active.is_none() {
            let _ = self.ready();
        }
    }

    /// With retention by age, a quiet log must not keep old records only because their segment is not full.
    fn seal_if_old(&mut self) {
        let Some(age) = self.shared.options.retention.max_age else { return };
        let held = self.shared.held.lock();
        let due = self.clock.now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let is_old = held.last_ms < due && !held.index.is_empty();
        drop(held);
        if is_old {
            self.seal();
        }
    }

    fn commit(&mut self, requests: Vec<Request>) {
        if let Err(error) = self.ready() {
            return self.refuse(requests.into_iter().map(Request::completion).collect(), &error);
        }
        let group = self.assemble(requests);
        if self.sabotage.ack_first() {
            return self.commit_acknowledged_first(group);
        }
        match self.write(&group.frames) {
            Ok(()) => self.publish(group),
            Err(error) => {
                let completions = group.outcomes.into_iter().map(|(completion, _)| completion).collect();
                self.give_up(&error);
                self.refuse(completions, &error);
            }
        }
    }

    /// The broken control "ack first".
    fn commit_acknowledged_first(&mut self, group: Group) {
        let frames = group.frames.clone();
        let before = self.active.as_ref().map_or(0, |active| active.end);
        self.publish(group);
        if let Some(active) = &mut self.active {
            active.end = before;
        }
        if let Err(error) = self.write(&frames) {
            self.give_up(&error);
        } else if let Some(active) = &mut self.active {
            active.end = before + frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
        }
    }

    fn refuse(&self, completions: Vec<Completion>, error: &Error) {
        add(&self.shared.counters.failed_batches, completions.len() as u64);
        let wakers: Vec<Waker> =
            completions.into_iter().filter_map(|completion| completion.settle(Err(error.clone()))).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sees to it that there is a segment with room.
    fn ready(&mut self) -> Result<()> {
        if self.active.as_ref().is_some_and(|active| active.end >= self.shared.options.segment_bytes) {
            self.seal();
            self.retain();
        }
        if self.active.is_none() {
            let started = self.start_segment(&mut []);
            self.shared.queue.set_trouble(started.as_ref().err().cloned());
            started?;
        }
        Ok(())
    }

    /// Writes and syncs behind the end of the active segment, and moves that end.
    fn write(&mut self, frames: &[bytes::Bytes]) -> Result<()> {
        let active = self.active.as_mut().expect("frames are written to a segment that is ready");
        let mut at = active.end;
        for frame in frames {
            write_all(&*active.file, at, frame)
                .map_err(|error| self.shared.fault("writing", &active.name, &error))?;
            at += frame.len() as u64;
        }
        if !self.sabotage.no_fsync() {
            let before = Instant::now();
            active.file.sync().map_err(|error| self.shared.fault("fsync", &active.name, &error))?;
            self.shared.counters.fsync_us.record(micros(before.elapsed()));
        }
        active.end = at;
        Ok(())
    }

    /// Shows a durable group to readers and keeps its promises.
    fn publish(&mut self, group: Group) {
        let counters = &self.shared.counters;
        add(&counters.appended_batches, group.batches);
        add(&counters.appended_records, group.records);
        add(&counters.appended_bytes, group.value_bytes);
        add(&counters.written_bytes, group.size);
        add(&counters.position_commits, group.commits);
        counters.group_records.record(group.records);
        counters.group_bytes.record(group.size);
        let options = &self.shared.options;
        let active = self.active.as_mut().expect("a group was written to a segment");
        active.end = group.fresh.last().map_or(active.end, |frame| active.end.max(frame.end));
        let mut wakers = Vec::new();
        let mut fresh = SlotSet::default();
        let mut held = self.shared.held.lock();
        for frame in group.fresh {
            held.last_ms = held.last_ms.max(frame.time_ms);
            for run in &frame.runs {
                held.ends[run.slot.at()] = run.end();
                fresh.insert(run.slot);
            }
            held.index.note(&frame, options.index_interval_bytes);
            held.push_tail(Arc::new(frame), options.tail_bytes);
        }
        for (reader, offsets) in group.committed {
            held.positions.entry(reader).or_default().extend(offsets);
        }
        held.segments.back_mut().expect("the active segment is listed").end = active.end;
        held.waiters.concerned(&fresh, &mut wakers);
        drop(held);
        // All promises first, then all wake-ups: a task that waits for many wakes once.
        for (completion, positions) in group.outcomes {
            let waker = completion.settle(Ok(positions));
            wakers.extend(waker);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Gives the active segment up at its last durable byte.
    fn give_up(&mut self, error: &Error) {
        add(&self.shared.counters.disk_errors, 1);
        tracing::error!(%error, "the log starts a new segment; the appends of this group were refused");
        self.next.clone_from(&self.shared.held.lock().ends);
        if let Some(active) = self.active.take() {
            // What counts is the head of the next segment; this only spares a later reader the sight.
            let _ = active.file.truncate(active.end);
        }
        self.shared.queue.set_trouble(Some(error.clone()));
        if matches!(error, Error::Io { .. }) {
            let _ = self.ready();
        }
    }

    /// Ends the active segment with its index. Without it the segment is as good, only slower to search.
    fn seal(&mut self) {
        let Some(active) = &self.active else { return };
        let held = self.shared.held.lock();
        let at = self.whereabouts(&Group::default(), held.last_ms);
        let mut frame = vec![0; FRAME_HEAD_BYTES];
        held.index.encode(&self.shared.partitions, &held.ends, active.end, &mut frame);
        drop(held);
        let number = active.number;
        match self.write(&[plain_frame(Kind::Index, at, frame)]) {
            Ok(()) => {
                let end = self.active.take().map_or(0, |active| {
                    // Gives back what was set aside at its birth and not used.
                    let _ = active.file.truncate(active.end);
                    active.end
                });
                let mut held = self.shared.held.lock();
                if let Some(last) = held.segments.back_mut().filter(|last| last.number == number) {
                    last.end = end;
                }
            }
            Err(error) => {
                add(&self.shared.counters.disk_errors, 1);
                tracing::warn!(%error, "a segment stays without index");
                if let Some(active) = self.active.take() {
                    let _ = active.file.truncate(active.end);
                }
            }
        }
    }

    /// Drops what retention allows, oldest first, each durably before the next: a crash must not bring an older
    /// segment back without the younger ones. When that cannot be told, nothing more goes until the state of a
    /// new segment has said which one is the oldest.
    fn retain(&mut self) {
        while !self.retention_waits {
            let Some(number) = self.shared.expired(self.clock.now_ms()) else { break };
            let name = segment_name(number);
            let removed = self.shared.disk.remove(&name);
            if let Err(error) = removed.and_then(|()| self.shared.disk.sync_dir()) {
                let error = self.shared.fault("removing", &name, &error);
                tracing::warn!(%error, "retention could not remove a segment");
                self.retention_waits = true;
                self.seal();
                break;
            }
            add(&self.shared.counters.dropped_segments, 1);
        }
    }

    fn close(&mut self) -> Result<()> {
        self.seal();
        let mut wakers = Vec::new();
        let mut held = self.shared.held.lock();
        held.closed = true;
        held.waiters.everyone(&mut wakers);
        drop(held);
        wakers.into_iter().for_each(Waker::wake);
        self.lock = None;
        Ok(())
    }
}
