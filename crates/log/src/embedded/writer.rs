//! The writer: turns what waits into commit groups. It owns the end of the log; nothing else writes to it.
//!
//! It has no thread and no clock of its own: [`Writer::step`] does one group and returns. The thread in
//! `shell` calls it in production, a simulation calls it directly.
//!
//! After any failed write or fsync the segment is given up at its last durable byte. The head of the next
//! segment says where that was, and only once that head is durable does anything else happen. So bytes whose
//! fate is unknown are never read again, by this process or a later one.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::format::{
    Codec, FRAME_HEAD_BYTES, FRAMES_START, Frame, FrameBuilder, FrameHead, Kind, ReaderPositions,
    SegmentHead, State, Whereabouts, encode_positions, segment_name,
};
use super::queue::{Request, Work};
use super::recover::Adopted;
use super::sabotage::Sabotage;
use super::shared::{Held, Place, Segment, Shared};
use super::stats::{add, micros};
use crate::disk::{DiskFile, write_all};
use crate::partitions::SlotSet;
use crate::{Batch, Clock, Completion, Error, Offset, Position, Result};

/// A new segment begins only if this much can be set aside: a log that resumes on a disk with a few free blocks
/// would fail again at once, leaving a tiny segment behind each time. Less for small segments.
const ROOM_BYTES: u64 = 4 << 20;

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

/// A commit group on its way.
#[derive(Default)]
struct Group {
    frames: Vec<bytes::Bytes>,
    fresh: Vec<Frame>,
    committed: ReaderPositions,
    outcomes: Vec<(Completion, Vec<Position>)>,
    size: u64,
    batches: u64,
    records: u64,
    value_bytes: u64,
    commits: u64,
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

    /// Turns requests into frames, one for all batches unless they are large, and one for all commits.
    fn assemble(&mut self, requests: Vec<Request>) -> Group {
        let now_ms = self.clock.now_ms();
        let time_ms = now_ms.max(self.shared.held.lock().last_ms);
        let mut group = Group::default();
        let mut batches: Vec<(Batch, Completion)> = Vec::with_capacity(requests.len());
        let mut commits = Vec::new();
        let mut size = 0;
        for request in requests {
            match request {
                Request::Append { batch, completion } => {
                    if size > 0 && size + batch.size_bytes() > self.shared.options.frame_bytes {
                        self.build(&mut group, &mut batches, time_ms);
                        size = 0;
                    }
                    size += batch.size_bytes();
                    batches.push((batch, completion));
                }
                Request::Commit { positions, completion } => {
                    for (reader, offsets) in positions {
                        group.committed.entry(reader).or_default().extend(offsets);
                    }
                    commits.push((completion, Vec::new()));
                }
            }
        }
        self.build(&mut group, &mut batches, time_ms);
        if !commits.is_empty() {
            let mut frame = vec![0; FRAME_HEAD_BYTES];
            encode_positions(&group.committed, &mut frame);
            let at = self.whereabouts(&group, time_ms);
            group.commits = commits.len() as u64;
            group.outcomes.extend(commits);
            group.add(plain_frame(Kind::Positions, at, frame));
        }
        group
    }

    fn build(&mut self, group: &mut Group, batches: &mut Vec<(Batch, Completion)>, time_ms: i64) {
        if batches.is_empty() {
            return;
        }
        let at = self.whereabouts(group, time_ms);
        let mut told = Vec::with_capacity(batches.len());
        let compression = self.shared.options.compression;
        let all = batches.iter().map(|(batch, _)| batch);
        let built =
            self.builder.build(all, &mut self.next, compression, at, |positions| told.push(positions));
        group.batches += batches.len() as u64;
        for ((batch, completion), positions) in batches.drain(..).zip(told) {
            group.records += batch.len() as u64;
            group.value_bytes += batch.size_bytes() as u64;
            group.outcomes.push((completion, positions));
        }
        group.fresh.push(built.frame);
        group.add(built.bytes);
    }

    fn whereabouts(&self, group: &Group, time_ms: i64) -> Whereabouts {
        let active = self.active.as_ref().expect("frames are built for a segment that is ready");
        let (segment, group_start) = (active.number, active.end);
        Whereabouts {
            segment,
            position: group_start + group.size,
            group_start,
            time_ms,
            seed: self.shared.seed,
        }
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
                let end = self.active.take().map_or(0, |active| active.end);
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

    /// Starts the segment after the last one. `copied` are frames that the last one holds behind the end it is
    /// now given, their fate uncertain; they are written again.
    pub(crate) fn start_segment(&mut self, copied: &mut [Adopted]) -> Result<()> {
        self.last_number += 1;
        let number = self.last_number;
        let name = segment_name(number);
        let born = self.birth(number, copied);
        let started = self.create(&name, &born.bytes);
        let file = match started {
            Ok(file) => file,
            Err(error) => {
                add(&self.shared.counters.disk_errors, 1);
                let _ = self.shared.disk.remove(&name);
                return Err(error);
            }
        };
        let end = born.bytes.len() as u64;
        let mut held = self.shared.held.lock();
        let previous = std::mem::take(&mut held.index);
        if let Some(last) = held.segments.back().filter(|_| !previous.is_empty()) {
            self.shared.cache_index(last.number, Arc::new(previous));
        }
        held.segments.push_back(Segment { number, starts: born.starts, born_ms: born.born_ms, end });
        for (frame, position) in copied.iter_mut().zip(born.copied_at) {
            frame.moved(number, position);
        }
        held.adopt(copied, self.shared.options.index_interval_bytes);
        if held.tail.is_empty() {
            held.tail_from = Some(Place { segment: number, position: end });
            held.tail_base = held.ends.clone();
        }
        self.next.clone_from(&held.ends);
        drop(held);
        self.active = Some(Active { number, name, file, end });
        self.retention_waits = false;
        Ok(())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Arc<dyn DiskFile>> {
        let fault = |operation| move |error| self.shared.fault(operation, name, &error);
        let disk = &self.shared.disk;
        let file = disk.create(name).map_err(fault("creating"))?;
        let room = ROOM_BYTES.min(self.shared.options.segment_bytes / 4).max(bytes.len() as u64);
        file.reserve(room).map_err(fault("reserving space"))?;
        write_all(&*file, 0, bytes).map_err(fault("writing"))?;
        if !self.sabotage.no_fsync() {
            file.sync().map_err(fault("fsync"))?;
        }
        if !self.sabotage.no_dir_sync() {
            disk.sync_dir().map_err(fault("fsync of the directory after creating"))?;
        }
        Ok(file)
    }

    /// The first bytes of a segment: head, state, copied frames.
    fn birth(&self, number: u64, copied: &[Adopted]) -> Birth {
        let held = self.shared.held.lock();
        let (previous, previous_end) = held.segments.back().map_or((0, 0), |last| (last.number, last.end));
        let born_ms = held.last_ms;
        let starts: Arc<[Offset]> = held.ends.as_slice().into();
        let state = state_of(&held, &self.shared.partitions, number);
        drop(held);
        let mut at = Whereabouts {
            segment: number,
            position: FRAMES_START,
            group_start: FRAMES_START,
            time_ms: born_ms,
            seed: self.shared.seed,
        };
        let mut frames = vec![0; FRAME_HEAD_BYTES];
        state.encode(&mut frames);
        let mut frames = plain_frame(Kind::State, at, frames).to_vec();
        let mut copied_at = Vec::with_capacity(copied.len());
        for Adopted { raw: frame, .. } in copied {
            at.position = FRAMES_START + frames.len() as u64;
            copied_at.push(at.position);
            let start = frames.len();
            frames.resize(start + FRAME_HEAD_BYTES, 0);
            frames.extend_from_slice(&frame.stored);
            let head = FrameHead {
                segment: number,
                position: at.position,
                group_start: FRAMES_START,
                ..frame.head.clone()
            };
            head.write(at.seed, &mut frames[start..]);
        }
        let birth_end = FRAMES_START + frames.len() as u64;
        let head = SegmentHead { log_id: self.log_id, number, previous, previous_end, birth_end, born_ms };
        let mut bytes = Vec::with_capacity(birth_end as usize);
        head.encode(&mut bytes);
        bytes.extend_from_slice(&frames);
        Birth { bytes, starts, born_ms, copied_at }
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

struct Birth {
    bytes: Vec<u8>,
    starts: Arc<[Offset]>,
    born_ms: i64,
    copied_at: Vec<u64>,
}

impl Group {
    fn add(&mut self, frame: bytes::Bytes) {
        self.size += frame.len() as u64;
        self.frames.push(frame);
    }
}

fn state_of(held: &Held, partitions: &crate::Partitions, number: u64) -> State {
    let oldest = held.segments.front().map_or(number, |oldest| oldest.number);
    let next = partitions.all().zip(&held.ends).filter(|&(_, &end)| end > 0);
    let next = next.map(|(partition, &end)| (partition, end)).collect();
    State { last_ms: held.last_ms, oldest, next, positions: held.positions.clone() }
}

/// A frame that is not compressed, around a body that stands behind room for the head.
fn plain_frame(kind: Kind, at: Whereabouts, mut frame: Vec<u8>) -> bytes::Bytes {
    let size = u32::try_from(frame.len() - FRAME_HEAD_BYTES).expect("such frames are small");
    let head = FrameHead {
        kind,
        codec: Codec::AsIs,
        segment: at.segment,
        position: at.position,
        group_start: at.group_start,
        time_ms: at.time_ms,
        stored_bytes: size,
        body_bytes: size,
        body_checksum: crc32c::crc32c_append(at.seed, &frame[FRAME_HEAD_BYTES..]),
    };
    head.write(at.seed, &mut frame);
    frame.into()
}
