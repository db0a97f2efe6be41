//! The synchronous half of the stream: partitions' pipelines over one store.
//!
//! A turn takes one chunk of one lane through the pipelines of its partitions and makes of it one batch for the
//! store. The shell around it ([`crate::worker`]) reads the log and commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::{Chunk, Lane, PartitionId};
use record::{Readings, ReplayOf, TenantId, Timestamp, ValueRef};
use series::{DeadMessage, Key, Note as StoreNote, SeriesReader, Span, WriteBatch, same};
use wire::payload::Scratch;
use wire::template::Templates;

use crate::answers::{Answer, Held, Noting, Source, Unanswered};
use crate::budget::{Budget, Cardinality, Counted};
use crate::checkpoint::Checkpoint;
use crate::enrich::{Clean, Enricher};
use crate::facts::{FactNews, Facts};
use crate::note::{Note, Step};
use crate::output::{Finished, Output, Tally};
use crate::pipeline::{Ending, Pipeline, Work};
use crate::settings::Settings;
use crate::underway::Underway;
use crate::{revise, source_of};

/// The wait before a question to a store that failed is asked again. Questions are asked in the middle of a
/// step, so there is nothing else to do meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// So many partitions publish windows in a turn that has no records: a live reading that comes meanwhile waits.
const PUBLISHING_AT_ONCE: usize = 4;

/// After every window of a reading that has one, and far enough from the last moment there is to go on from it.
pub(crate) const END_OF_TIME: Timestamp = Timestamp::from_nanos(i64::MAX / 8 * 7);

/// A partition: its pipeline, and where it stands in log and notes.
pub(crate) struct Partition {
    pub(crate) pipeline: Pipeline,
    /// The number of its next note.
    pub(crate) note: u64,
    /// The next offsets it wants, live and backfill.
    pub(crate) next: [u64; 2],
    /// Records processed since its last checkpoint.
    pub(crate) since_checkpoint: u64,
    /// Notes below this number are in both checkpoints there are.
    pub(crate) forgettable: u64,
    /// The first note that is not in the newest checkpoint, and the offsets it stands at.
    pub(crate) checkpointed: Option<(u64, [u64; 2])>,
}

/// The pipelines and what they stand on.
pub(crate) struct Engine {
    settings: Arc<Settings>,
    templates: Arc<Templates>,
    store: Arc<dyn SeriesReader>,
    /// Absent in a trial, which tells nobody of its readings.
    facts: Option<Arc<dyn Facts>>,
    scratch: Scratch,
    stop: Arc<AtomicBool>,
    /// The turn before, which the store may not have yet.
    pub(crate) underway: Arc<Underway>,
    pub(crate) partitions: BTreeMap<u16, Partition>,
    /// The partition whose windows were computed again last.
    revised: u16,
    /// The last partition that was given time to publish windows.
    ticked: u16,
    /// How many readings of its first tenant the last turn kept.
    expected: usize,
}

/// A turn's outcome.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) batch: Arc<WriteBatch>,
    pub(crate) tally: Tally,
    pub(crate) records: u64,
    /// What goes to `Topic::Clean`: rows of `batch`.
    pub(crate) clean: Vec<Clean>,
    /// What messages said of their devices.
    pub(crate) news: Vec<FactNews>,
}

impl Engine {
    pub(crate) fn new(
        settings: Arc<Settings>,
        templates: Arc<Templates>,
        store: Arc<dyn SeriesReader>,
        facts: Option<Arc<dyn Facts>>,
        stop: Arc<AtomicBool>,
        partitions: BTreeMap<u16, Partition>,
    ) -> Self {
        let (scratch, underway) = (Scratch::new(), Arc::default());
        Self {
            settings,
            templates,
            store,
            facts,
            scratch,
            stop,
            underway,
            partitions,
            revised: u16::MAX,
            ticked: u16::MAX,
            expected: 0,
        }
    }

    /// Takes a chunk of one lane through the pipelines.
    pub(crate) fn records(&mut self, lane: Lane, chunk: &Chunk, now: Timestamp) -> Result<Turn, Unanswered> {
        let mut output = Output::enriched(self.enricher(), self.expected);
        let mut touched: BTreeMap<u16, (u64, u64, Vec<Answer>)> = BTreeMap::new();
        let mut source = StoreSource {
            store: &*self.store,
            budget: &self.settings.budget,
            stop: &self.stop,
            underway: &self.underway,
        };
        for run in &chunk.runs {
            let index = run.partition.index;
            let partition =
                self.partitions.get_mut(&index).expect("the reader reads the engine's partitions");
            let to = run.base + run.records.len() as u64;
            let (.., reached, answers) = touched.entry(index).or_insert((run.base, run.base, Vec::new()));
            *reached = to;
            let work = Work { partition: run.partition, base: run.base, records: &run.records, now };
            let mut answers = Noting::new(&mut source, answers);
            partition.pipeline.records(
                &work,
                &self.templates,
                &mut self.scratch,
                &mut answers,
                &mut output,
            )?;
            partition.since_checkpoint += run.records.len() as u64;
        }
        let mut records = 0;
        for (index, (from, to, answers)) in touched {
            records += to - from;
            let step = Step::records(lane, from, to, now);
            self.close(index, Note { step, answers }, now, &mut output);
        }
        let turn = self.finish(output, records)?;
        self.expected = turn.batch.readings.values().next().map_or(0, Readings::len);
        Ok(turn)
    }

    /// Passes over records that the log has lost; `hole` says so among the dead letters.
    pub(crate) fn hole(
        &mut self,
        partition: PartitionId,
        from: u64,
        to: u64,
        hole: DeadMessage,
    ) -> Result<Turn, Unanswered> {
        let mut output = Output::default();
        let line = output.account.line("", "(lost)", hole.arrived_at);
        line.records += (to - from).cast_signed();
        line.accepted += hole.letters.len() as i64;
        line.dead += hole.letters.len() as i64;
        output.dead(hole);
        let step = Step::hole(partition.lane, from, to);
        self.note(partition.index, Note { step, answers: Vec::new() }, &mut output);
        self.finish(output, to - from)
    }

    /// Lets time pass for partitions that have something to close and nothing to read (`live_ends`: where their live
    /// lanes end); `None` when none has.
    pub(crate) fn tick(&mut self, now: Timestamp, live_ends: &[u64]) -> Result<Option<Turn>, Unanswered> {
        let mut wanting = self.quiet(live_ends, |partition| partition.pipeline.wants_tick(now));
        self.take_turns(&mut wanting);
        if wanting.is_empty() { Ok(None) } else { self.let_pass(wanting, now).map(Some) }
    }

    /// Of partitions that have more windows to publish than one step may, leaves some, others each time.
    fn take_turns(&mut self, wanting: &mut Vec<u16>) {
        let has_more = |index: &u16| self.partitions[index].pipeline.has_more_to_close();
        let mut publishing: Vec<u16> = wanting.extract_if(.., |index| has_more(index)).collect();
        let next = publishing.partition_point(|&index| index <= self.ticked);
        let all = publishing.len();
        publishing.rotate_left(if next < all { next } else { 0 });
        publishing.truncate(PUBLISHING_AT_ONCE);
        self.ticked = publishing.last().copied().unwrap_or(self.ticked);
        wanting.append(&mut publishing);
    }

    /// Computes windows again in one partition, `most` of them, in another partition each time; `None` when none has any
    /// that are due.
    pub(crate) fn revise(&mut self, now: Timestamp, most: u32) -> Result<Option<Turn>, Unanswered> {
        let due = || {
            let due =
                self.partitions.iter().filter(|(_, partition)| partition.pipeline.has_revisions_due(now));
            due.map(|(&index, _)| index)
        };
        let Some(index) = due().find(|&index| index > self.revised).or_else(|| due().next()) else {
            return Ok(None);
        };
        self.revised = index;
        let partition = self.partitions.get_mut(&index).expect("it is one of the engine's");
        let mut output = Output::default();
        partition.pipeline.revise(now, most, &mut output);
        self.note(index, Note { step: Step::revise(now, most), answers: Vec::new() }, &mut output);
        self.finish(output, 0).map(Some)
    }

    /// Whether windows of any partition wait to be computed again.
    pub(crate) fn has_revisions_due(&self, now: Timestamp) -> bool {
        self.partitions.values().any(|partition| partition.pipeline.has_revisions_due(now))
    }

    /// Lets time pass for all partitions, whether or not they wait for it, to after everything: what is open then closes.
    pub(crate) fn end_of_time(&mut self) -> Result<Turn, Unanswered> {
        self.let_pass(self.partitions.keys().copied().collect(), END_OF_TIME)
    }

    fn let_pass(&mut self, partitions: Vec<u16>, now: Timestamp) -> Result<Turn, Unanswered> {
        let mut output = Output::default();
        for index in partitions {
            let partition = self.partitions.get_mut(&index).expect("it is one of the engine's");
            partition.pipeline.tick(now);
            let note = Note { step: Step::tick(now), answers: Vec::new() };
            self.close(index, note, now, &mut output);
        }
        self.finish(output, 0)
    }

    /// Whether time would have to pass for any partition that has nothing live to read.
    pub(crate) fn wants_time(&self, now: Timestamp, live_ends: &[u64]) -> bool {
        !self.quiet(live_ends, |partition| partition.pipeline.wants_tick(now)).is_empty()
    }

    /// The partitions without anything live to read of which `holds` is true.
    fn quiet(&self, live_ends: &[u64], holds: impl Fn(&Partition) -> bool) -> Vec<u16> {
        let is_quiet = |index: u16, partition: &Partition| {
            live_ends.get(usize::from(index)).is_some_and(|&end| end <= partition.next[Lane::Live as usize])
        };
        let all = self.partitions.iter();
        let wanted = all.filter(|&(&index, partition)| is_quiet(index, partition) && holds(partition));
        wanted.map(|(&index, _)| index).collect()
    }

    /// Ends a partition's step: closes its windows and writes its note.
    fn close(&mut self, index: u16, note: Note, now: Timestamp, output: &mut Output) {
        let partition =
            self.partitions.get_mut(&index).expect("the step was of one of the engine's partitions");
        let ending = if note.step.span().is_some() { Ending::Records } else { Ending::Tick };
        partition.pipeline.settle(now, ending, output);
        self.note(index, note, output);
    }

    fn note(&mut self, index: u16, note: Note, output: &mut Output) {
        let partition =
            self.partitions.get_mut(&index).expect("the step was of one of the engine's partitions");
        if let Some((lane, from, to)) = note.step.span() {
            let source = source_of(PartitionId { topic: log::Topic::Raw, lane, index });
            output.batch.spans.push(Span { source, from, to });
            partition.next[lane as usize] = to;
        }
        output.batch.notes.push(StoreNote { partition: index, number: partition.note, bytes: note.encode() });
        partition.note += 1;
        if partition.forgettable > 0 {
            output.batch.forget.push((index, std::mem::take(&mut partition.forgettable)));
        }
    }

    fn enricher(&self) -> Option<Enricher> {
        let facts = Arc::clone(self.facts.as_ref()?);
        Some(Enricher::new(facts, Arc::clone(&self.stop), self.settings.clean))
    }

    fn source(&self) -> StoreSource<'_> {
        StoreSource {
            store: &*self.store,
            budget: &self.settings.budget,
            stop: &self.stop,
            underway: &self.underway,
        }
    }

    fn finish(&mut self, output: Output, records: u64) -> Result<Turn, Unanswered> {
        let Finished { mut batch, revisions, tally, clean, news } = output.finish();
        if !revisions.is_empty() {
            self.source().insist(|store| revise::rows(store, &revisions, &mut batch))?;
        }
        Ok(Turn { batch: Arc::new(batch), tally, records, clean, news })
    }

    /// The state of a partition, to be made durable.
    pub(crate) fn checkpoint(&mut self, index: u16) -> Option<Checkpoint> {
        let partition = self.partitions.get_mut(&index)?;
        partition.since_checkpoint = 0;
        let state = partition.pipeline.state();
        Some(Checkpoint { partition: index, note: partition.note, next: partition.next, state })
    }

    /// A checkpoint has become durable: what both it and the one before it hold can be forgotten.
    pub(crate) fn checkpointed(&mut self, index: u16, note: u64, next: [u64; 2]) -> Option<[u64; 2]> {
        let partition = self.partitions.get_mut(&index)?;
        let before = partition.checkpointed.replace((note, next))?;
        partition.forgettable = before.0;
        Some(before.1)
    }

    /// Whether all turns have clean records, and whether some may have.
    pub(crate) fn writes_clean(&self) -> (bool, bool) {
        (self.facts.is_some() && self.settings.clean, self.facts.is_some())
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Asks the store, again and again if it fails, until it answers or the stream is to stop.
struct StoreSource<'a> {
    store: &'a dyn SeriesReader,
    budget: &'a Budget,
    stop: &'a AtomicBool,
    underway: &'a Underway,
}

impl StoreSource<'_> {
    fn insist<T>(
        &mut self,
        mut ask: impl FnMut(&dyn SeriesReader) -> series::Result<T>,
    ) -> Result<T, Unanswered> {
        self.underway.wait(self.stop)?;
        loop {
            match ask(self.store) {
                Ok(answer) => return Ok(answer),
                Err(error) => tracing::error!(%error, "the store cannot be asked; trying again"),
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(Unanswered::Stopping);
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }
}

impl Source for StoreSource<'_> {
    fn device(&mut self, tenant: &str, device: &str) -> Result<(Option<i64>, Vec<String>), Unanswered> {
        let tenant = TenantId::parse(tenant).expect("the pipeline asks for checked tenants");
        let device = record::DeviceId::parse(device).expect("the pipeline asks for checked devices");
        let latest = self.insist(|store| store.latest(&tenant, &device))?;
        let newest = latest.iter().map(|reading| reading.when.claimed.nanos()).max();
        Ok((newest, latest.into_iter().map(|reading| reading.metric.as_str().to_owned()).collect()))
    }

    fn held(&mut self, key: &Key<'_>, value: ValueRef<'_>) -> Result<Held, Unanswered> {
        let held = self.insist(|store| store.held(&[*key]))?.pop().flatten();
        Ok(match held {
            None => Held::Absent,
            Some(there) if same(there.as_ref(), value) => Held::Same,
            Some(_) => Held::Other,
        })
    }

    fn dead(&mut self, of: ReplayOf) -> Result<Option<DeadMessage>, Unanswered> {
        let source = series::Source { topic: of.topic, lane: of.lane, partition: of.partition };
        self.insist(|store| store.dead_message(source, of.offset))
    }

    fn admitted(&mut self, tenant: &TenantId, counted: Counted, id: &str) -> Result<bool, Unanswered> {
        if !self.budget.knows(tenant) {
            let held = self.insist(|store| store.cardinality(tenant))?;
            self.budget.set(tenant, Cardinality { devices: held.devices, series: held.series });
        }
        Ok(self.budget.admit(tenant, counted, id))
    }
}
