//! The store as it was at one moment: what a snapshot reads, and an audit counts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use parking_lot::RwLock;

use super::buffer::{Buffer, Next, Place};
use super::cache::{Cache, MOST_ROWS};
use super::manifest::RunFacts;
use super::metrics::{Derived, Holds, Metric};
use super::presence::RowsOf;
use super::{Parquet, Rolling, RunEntry, Visible, late};
use crate::Result;
use crate::parquet::merge::{Input, Merging, Pieces};
use crate::parquet::run::{Detail, EntityRows, Run};
use crate::parquet::{ColumnNo, Entity, Rows};
use crate::sqlite::scan::Moment as Books;

/// Rows that are counted at a time.
const PIECE_ROWS: usize = 8192;
/// Most devices of which it is looked up in a file's keys from where to where they are wanted. Of more, the rows are read and looked at:
/// their keys stand on the same pages.
const EXACT_DEVICES: usize = 64;
/// Rows that are copied at a time from a buffer, which a batch waits for.
const BUFFER_ROWS: usize = 2048;

/// All of time.
pub(super) const ALWAYS: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// The store at one moment.
pub(super) struct Moment {
    pub(super) books: Arc<Books>,
    pub(super) readings: Readings,
    /// The groups of metrics of the tenant, or of all tenants.
    pub(super) groups: Vec<Group>,
    /// Its windows.
    pub(super) windows: Vec<DerivedGroup>,
    /// Its late readings.
    pub(super) late: Vec<DerivedGroup>,
}

/// What holds the readings of some tables at one moment. Files and buffers live as long as it does.
pub(super) struct Readings {
    /// By rising generation.
    runs: Vec<Arc<RunEntry>>,
    buffers: Vec<Buffered>,
    cache: Arc<Cache>,
}

/// A buffer, and how many of its rows there were. Older ones come first.
#[derive(Clone)]
struct Buffered {
    table: u32,
    buffer: Arc<RwLock<Buffer>>,
    rows: usize,
}

/// Metrics that come together.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) table: u32,
    pub(super) group: u32,
    pub(super) metrics: Vec<Arc<Metric>>,
}

/// Windows of one kind that start together, or late readings of one moment: those of metrics that come together.
#[derive(Clone)]
pub(super) struct DerivedGroup {
    /// Where they stand.
    pub(super) group: Group,
    pub(super) members: Vec<Arc<Derived>>,
}

impl Group {
    fn entities(&self) -> RangeInclusive<Entity> {
        Entity::new(self.group, 0)..=Entity::new(self.group, u32::MAX)
    }
}

/// Which rows of a group.
#[derive(Clone)]
pub(super) struct Selection {
    /// By rising number. Rows of others are not read.
    pub(super) columns: Vec<ColumnNo>,
    /// Where not all of them are wanted for their values: which, and of which others it is only asked whether there is one.
    pub(super) rows_of: Option<RowsOf>,
    /// Rising; `None`: all.
    pub(super) devices: Option<Arc<[u32]>>,
    pub(super) claimed: RangeInclusive<i64>,
    pub(super) detail: Detail,
}

impl Parquet {
    /// The store as a tenant sees it now; as all of them together do, for the tenant "".
    pub(super) fn moment(&self, tenant: &str) -> Result<Moment> {
        // A batch is committed and put into the buffer while nobody else holds this: so both are of one moment.
        let visible = self.visible.read();
        let books = Arc::new(self.scanners.moment(tenant)?);
        let tenants = match tenant {
            "" => visible.metrics.tenants().collect(),
            tenant => vec![tenant],
        };
        let groups: Vec<Group> = tenants.iter().flat_map(|tenant| visible.groups(tenant)).collect();
        let derived = |holds| -> Vec<DerivedGroup> {
            tenants.iter().flat_map(|tenant| visible.derived_groups(tenant, holds)).collect()
        };
        let (windows, late) = (derived(Holds::Windows), derived(Holds::Late));
        let wanted = groups.iter().chain(windows.iter().chain(&late).map(|of| &of.group));
        let tables: BTreeSet<u32> = wanted.map(|group| group.table).collect();
        let readings = visible.readings(&self.cache, |table| tables.contains(&table));
        Ok(Moment { books, readings, groups, windows, late })
    }

    /// What holds the readings of a table now.
    pub(super) fn readings_of(&self, table: u32) -> Readings {
        self.visible.read().readings(&self.cache, |of| of == table)
    }
}

impl Visible {
    pub(super) fn groups(&self, tenant: &str) -> impl Iterator<Item = Group> {
        self.metrics.groups(tenant).map(|((table, group), columns)| {
            let metrics = columns.iter().filter_map(|&no| self.metrics.get(no).cloned()).collect();
            Group { table, group, metrics }
        })
    }

    pub(super) fn derived_groups(&self, tenant: &str, holds: Holds) -> impl Iterator<Item = DerivedGroup> {
        self.metrics.derived_groups(tenant, holds).into_iter().map(|((table, group), members)| DerivedGroup {
            group: Group { table, group, metrics: Vec::new() },
            members,
        })
    }

    /// What holds the readings of some tables now.
    pub(super) fn readings(&self, cache: &Arc<Cache>, wanted: impl Fn(u32) -> bool) -> Readings {
        let rolling = self.rolling.iter().flat_map(|rolling| &rolling.buffers);
        let buffers = rolling.chain(&self.buffers).filter(|(table, _)| wanted(**table));
        let buffers = buffers.map(|(&table, buffer)| {
            let rows = buffer.read().rows();
            Buffered { table, buffer: Arc::clone(buffer), rows }
        });
        let buffers = buffers.filter(|buffered| buffered.rows > 0).collect();
        let runs = self.runs.iter().filter(|run| wanted(run.facts.table)).cloned().collect();
        Readings { runs, buffers, cache: Arc::clone(cache) }
    }
}

impl Readings {
    /// What some runs hold, and nothing else.
    pub(super) fn of_runs(runs: Vec<Arc<RunEntry>>, cache: &Arc<Cache>) -> Self {
        Self { runs, buffers: Vec::new(), cache: Arc::clone(cache) }
    }

    /// Of the buffers only those that are being rolled into runs.
    pub(super) fn only(mut self, rolling: &Rolling) -> Self {
        let rolled = |of: &Buffered| {
            rolling.buffers.get(&of.table).is_some_and(|buffer| Arc::ptr_eq(buffer, &of.buffer))
        };
        self.buffers.retain(rolled);
        self
    }

    /// The buffers of a table, the oldest first, each with how many rows it had.
    pub(super) fn buffers_of(&self, table: u32) -> impl Iterator<Item = (&RwLock<Buffer>, usize)> {
        let of_table = self.buffers.iter().filter(move |buffered| buffered.table == table);
        of_table.map(|buffered| (&*buffered.buffer, buffered.rows))
    }

    /// So far an event time may lie before and behind the claimed time.
    pub(super) fn shifts(&self, table: u32) -> (i64, i64) {
        let runs = self.runs.iter().filter(|run| run.facts.table == table).map(|run| run.facts.shifts);
        let buffers = self.buffers.iter().filter(|buffered| buffered.table == table);
        let buffers = buffers.map(|buffered| buffered.buffer.read().shifts());
        runs.chain(buffers).fold((0, 0), |a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// The rows of a group, whatever holds them, each value once.
    pub(super) fn read(&self, group: &Group, selection: &Selection) -> Result<Merging> {
        self.merge(group, selection, |_| true)
    }

    /// Those of the runs that are wanted, and of the buffers.
    pub(super) fn merge(
        &self,
        group: &Group,
        selection: &Selection,
        wants: impl Fn(&RunEntry) -> bool,
    ) -> Result<Merging> {
        let mut inputs: Vec<Box<dyn Input>> = Vec::new();
        let (entities, claimed) = (group.entities(), &selection.claimed);
        let apart = |facts: &RunFacts| {
            facts.entities.1 < *entities.start()
                || facts.entities.0 > *entities.end()
                || facts.claimed.1 < *claimed.start()
                || facts.claimed.0 > *claimed.end()
        };
        let runs = self.runs.iter().filter(|run| run.facts.table == group.table && wants(run));
        let runs: Vec<_> = runs.filter(|run| !apart(&run.facts)).collect();
        let settled = self.settled(selection, group, &runs);
        let selection: &Selection = &settled;
        self.fetch_ahead(&runs, group, selection)?;
        let mut read: BTreeSet<ColumnNo> = BTreeSet::new();
        for entry in runs {
            let run = self.cache.open(entry)?;
            if selection.columns.iter().all(|&no| run.sidecar().plan.position(no).is_none()) {
                continue;
            }
            let selection = selection.in_run(run.sidecar(), group.group);
            read.extend(&selection.columns);
            if let Some(rows) = self.read_before(&run, entry.facts.no, group, &selection)? {
                inputs.push(Box::new(rows));
                continue;
            }
            let ranges = ranges(&run, &entities, &selection)?;
            if !ranges.is_empty() {
                inputs.push(Box::new(Pieces::new(run, ranges, Some(&selection.columns), selection.detail)));
            }
        }
        for buffered in self.buffers.iter().filter(|buffered| buffered.table == group.table) {
            read.extend(&selection.columns);
            let (buffered, selection) = (buffered.clone(), selection.clone());
            let first = selection.devices.as_ref().and_then(|devices| devices.first().copied()).unwrap_or(0);
            let next = Some((Entity::new(group.group, first).0, *claimed.start(), 0, 0));
            inputs.push(Box::new(OfBuffer { buffered, next, last: entities.end().0, selection }));
        }
        let columns: Vec<ColumnNo> = read.into_iter().collect();
        Merging::of(inputs, if selection.rows_of.is_some() { &columns } else { &selection.columns })
    }

    /// A selection, which asks for all values where rows of one key might be of different times: then what is not read could be what
    /// says when a row was.
    fn settled<'s>(
        &self,
        selection: &'s Selection,
        group: &Group,
        runs: &[&Arc<RunEntry>],
    ) -> Cow<'s, Selection> {
        let straight = |shifts: (i64, i64)| shifts == (0, 0);
        let certain = selection.detail == Detail::Times
            && runs.iter().all(|run| straight(run.facts.shifts))
            && self.buffers_of(group.table).all(|(buffer, _)| straight(buffer.read().shifts()));
        match &selection.rows_of {
            Some(_) if !certain => Cow::Owned(Selection { rows_of: None, ..selection.clone() }),
            _ => Cow::Borrowed(selection),
        }
    }

    /// A run of these, opened.
    pub(super) fn open(&self, entry: &RunEntry) -> Result<Arc<Run>> {
        self.cache.open(entry)
    }

    /// Whether what a run has of the one series that is asked for is in memory.
    pub(super) fn has_rows(&self, no: u64, group: &Group, selection: &Selection) -> bool {
        let (Some([device]), [column], Detail::Times) =
            (selection.devices.as_deref(), &*selection.columns, selection.detail)
        else {
            return false;
        };
        self.cache.has_rows(no, Entity::new(group.group, *device), *column)
    }

    /// What a run has of one series, whose rows are kept in memory for the next question; `None`: that is not what is
    /// asked for.
    fn read_before(
        &self,
        run: &Arc<Run>,
        no: u64,
        group: &Group,
        selection: &Selection,
    ) -> Result<Option<OfRows>> {
        let (Some([device]), [column], Detail::Times) =
            (selection.devices.as_deref(), &*selection.columns, selection.detail)
        else {
            return Ok(None);
        };
        let entity = Entity::new(group.group, *device);
        let Some((rows, _)) = run.sidecar().entity(entity) else { return Ok(None) };
        if rows.end - rows.start > MOST_ROWS {
            return Ok(None);
        }
        let rows = self.cache.rows(run, no, entity, *column)?;
        let from = rows.claimed.partition_point(|at| at < selection.claimed.start());
        let to = rows.claimed.partition_point(|at| at <= selection.claimed.end());
        Ok(Some(OfRows { rows, left: from..to.max(from) }))
    }

    /// How many readings a table has, of these groups.
    fn count(&self, groups: &[Group]) -> Result<u64> {
        // Runs that meet no others are counted by what is known of them.
        let (alone, others): (Vec<&RunEntry>, Vec<&RunEntry>) =
            self.runs_of(groups).partition(|run| self.is_alone(run));
        let others: Vec<u64> = others.iter().map(|run| run.facts.no).collect();
        let mut count = alone.iter().map(|run| run.facts.readings).sum();
        for group in groups {
            count += self.count_group(group, ALWAYS, |run| others.contains(&run.facts.no))?;
        }
        Ok(count)
    }

    /// How many readings of a table go when some runs lose what they have of these groups. `going`: the runs, and how many they have. Only
    /// what may have keys of them is read.
    pub(super) fn count_difference(&self, groups: &[Group], going: &BTreeMap<u64, u64>) -> Result<u64> {
        let goes = |run: &RunEntry| going.contains_key(&run.facts.no);
        let (alone, others): (Vec<&RunEntry>, Vec<&RunEntry>) =
            self.runs_of(groups).filter(|run| goes(run)).partition(|run| self.is_alone(run));
        let mut count: u64 = alone.iter().filter_map(|run| going.get(&run.facts.no)).sum();
        let claimed = others.iter().map(|run| run.facts.claimed);
        // What is there at other times stays.
        if let Some((first, last)) = claimed.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) {
            let meets = |run: &RunEntry| others.iter().any(|of| of.facts.meets(&run.facts));
            for group in groups {
                count += self.count_group(group, first..=last, meets)?;
                count -= self.count_group(group, first..=last, |run| meets(run) && !goes(run))?;
            }
        }
        Ok(count)
    }

    /// By rising generation.
    pub(super) fn runs(&self) -> &[Arc<RunEntry>] {
        &self.runs
    }

    /// Whether rows have come since that may have keys of some runs.
    pub(super) fn is_overtaken(&self, now: &Visible, runs: &[Arc<RunEntry>]) -> bool {
        let known = |buffer: &Arc<RwLock<Buffer>>| {
            let known = self.buffers.iter().find(|buffered| Arc::ptr_eq(&buffered.buffer, buffer));
            known.map_or(0, |buffered| buffered.rows)
        };
        runs.iter().any(|run| {
            let (table, claimed) = (run.facts.table, run.facts.claimed);
            now.buffers_of(table).any(|buffer| buffer.read().has_since(known(buffer), claimed.0..=claimed.1))
        })
    }

    fn runs_of(&self, groups: &[Group]) -> impl Iterator<Item = &RunEntry> {
        let table = groups.first().map(|group| group.table);
        self.runs.iter().map(|run| &**run).filter(move |run| Some(run.facts.table) == table)
    }

    /// Whether nothing else can hold a key of a run: then what is known of it says how many readings it has.
    fn is_alone(&self, run: &RunEntry) -> bool {
        let facts = &run.facts;
        let meets = |claimed: (i64, i64)| facts.claimed.0 <= claimed.1 && claimed.0 <= facts.claimed.1;
        let other = |other: &Arc<RunEntry>| other.facts.no != facts.no && other.facts.meets(facts);
        let buffered = |of: &Buffered| of.table == facts.table && meets(of.buffer.read().claimed());
        !self.runs.iter().any(other) && !self.buffers.iter().any(buffered)
    }

    fn count_group(
        &self,
        group: &Group,
        claimed: RangeInclusive<i64>,
        wants: impl Fn(&RunEntry) -> bool,
    ) -> Result<u64> {
        let mut columns: Vec<ColumnNo> = group.metrics.iter().map(|metric| metric.no).collect();
        columns.sort_unstable();
        let selection = Selection { columns, rows_of: None, devices: None, claimed, detail: Detail::Times };
        let mut merging = self.merge(group, &selection, wants)?;
        let (mut rows, mut count) = (Rows::new(selection.columns.iter().copied()), 0);
        while merging.read(PIECE_ROWS, &mut rows)? {
            if rows.len() >= PIECE_ROWS {
                count += rows.readings();
                rows.clear();
            }
        }
        Ok(count + rows.readings())
    }
}

impl Moment {
    /// How many readings each tenant has.
    pub(super) fn count_readings(&self) -> Result<Vec<(String, u64)>> {
        let mut counts = BTreeMap::<String, u64>::new();
        // Groups of a table follow one another.
        for groups in self.groups.chunk_by(|a, b| a.table == b.table) {
            let count = self.readings.count(groups)?;
            if let Some(metric) = groups[0].metrics.first().filter(|_| count > 0) {
                *counts.entry(metric.tenant.clone()).or_default() += count;
            }
        }
        Ok(counts.into_iter().collect())
    }
}

impl Moment {
    /// How many values of each tenant came late.
    pub(super) fn count_late(&self) -> Result<Vec<(String, u64)>> {
        let mut counts = BTreeMap::<String, u64>::new();
        for group in &self.late {
            if let Some(member) = group.members.first() {
                let count =
                    late::count(&self.readings, std::slice::from_ref(group), None, &ALWAYS, |_| true)?;
                *counts.entry(member.tenant.clone()).or_default() += count;
            }
        }
        counts.retain(|_, count| *count > 0);
        Ok(counts.into_iter().collect())
    }
}

/// Where in a run the selected rows are: exactly where few devices are named, else as far as its sidecar says.
fn ranges(
    run: &Arc<Run>,
    entities: &RangeInclusive<Entity>,
    selection: &Selection,
) -> Result<VecDeque<Range<u64>>> {
    let sidecar = run.sidecar();
    let mut ranges: VecDeque<Range<u64>> = VecDeque::new();
    let mut add = |rows: Range<u64>| match ranges.back_mut() {
        Some(last) if last.end == rows.start => last.end = rows.end,
        _ if rows.is_empty() => {}
        _ => ranges.push_back(rows),
    };
    let meets =
        |rows: &EntityRows| rows.last >= *selection.claimed.start() && rows.first <= *selection.claimed.end();
    if let Some(devices) = &selection.devices {
        let named = devices.iter().map(|&device| Entity::new(entities.start().group(), device));
        for (rows, known) in
            named.filter_map(|entity| sidecar.entity(entity)).filter(|(_, known)| meets(known))
        {
            add(match devices.len() {
                ..=EXACT_DEVICES => run.within(rows, &known, &selection.claimed)?,
                _ => rows,
            });
        }
        return Ok(ranges);
    }
    let from = sidecar.entities.partition_point(|rows| rows.entity < *entities.start());
    let of_group = sidecar.entities.iter().enumerate().skip(from);
    for (at, rows) in of_group.take_while(|(_, rows)| rows.entity <= *entities.end()) {
        if meets(rows) {
            let end = sidecar.entities.get(at + 1).map_or(sidecar.rows, |next| next.first_row);
            add(rows.first_row..end);
        }
    }
    Ok(ranges)
}

/// Rows that are in memory.
struct OfRows {
    rows: Arc<Rows>,
    left: Range<usize>,
}

impl Input for OfRows {
    fn read(&mut self, most: usize, into: &mut Rows) -> Result<usize> {
        let next = self.left.start..self.left.end.min(self.left.start.saturating_add(most));
        into.extend_from(&self.rows, next.clone());
        self.left.start = next.end;
        Ok(next.len())
    }

    fn rows(&self) -> Rows {
        Rows::new(self.rows.columns().iter().map(|column| column.no))
    }
}

/// The rows of a buffer as it was.
struct OfBuffer {
    buffered: Buffered,
    next: Option<Place>,
    /// The last entity that is wanted.
    last: u64,
    selection: Selection,
}

impl Input for OfBuffer {
    fn read(&mut self, most: usize, into: &mut Rows) -> Result<usize> {
        let Self { buffered, next, last, selection } = self;
        let (claimed, devices) = (&selection.claimed, selection.devices.as_deref());
        // On to the next device that is wanted, not from one to the next.
        let on = |entity: Entity| match devices {
            None => Next::From((entity.0, *claimed.start(), 0, 0)),
            Some(devices) => match devices.get(devices.partition_point(|&no| no < entity.device())) {
                Some(&no) => Next::From((Entity::new(entity.group(), no).0, *claimed.start(), 0, 0)),
                None => Next::End,
            },
        };
        let behind = |entity: Entity| match entity.device().checked_add(1) {
            Some(device) => on(Entity::new(entity.group(), device)),
            None => Next::End,
        };
        let mut wanted = |place: Place| {
            let entity = Entity(place.0);
            if entity.0 > *last {
                return Next::End;
            }
            if devices.is_some_and(|devices| devices.binary_search(&entity.device()).is_err()) {
                return on(entity);
            }
            match place.1 {
                at if at < *claimed.start() => Next::From((entity.0, *claimed.start(), 0, 0)),
                at if at > *claimed.end() => behind(entity),
                _ => Next::Take,
            }
        };
        let before = into.len();
        while let Some(from) = *next
            && into.len() == before
        {
            let buffer = buffered.buffer.read();
            *next = buffer.read(from, buffered.rows, most.min(BUFFER_ROWS), &mut wanted, into);
        }
        Ok(into.len() - before)
    }

    fn rows(&self) -> Rows {
        Rows::new(self.selection.columns.iter().copied())
    }
}
