//! A scan of what stands in runs and buffers: group by group, some rows of it at a time, and of those one member (a
//! metric, a kind of window of it) after the other.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use record::Timestamp;

use super::Fill;
use crate::Result;
use crate::parquet::merge::Merging;
use crate::parquet::run::Detail;
use crate::parquet::store::metrics::TABLE_COLUMNS;
use crate::parquet::store::moment::{Group, Moment, Readings, Selection};
use crate::parquet::store::presence::RowsOf;
use crate::parquet::{ColumnNo, Rows};
use crate::scan::{BATCH_ROWS, Builder, Scan, Shape, lets};

/// Rows that are read at a time: with those of the last key, of which there is one for each column at most, they fit into
/// a batch.
pub(in crate::parquet::store) const PIECE_ROWS: usize = BATCH_ROWS - 2 * TABLE_COLUMNS as usize;

/// A table of SQL whose rows are cells of runs and buffers.
pub(in crate::parquet::store) trait Told: Send {
    /// What its cells belong to.
    type Member: Send;

    /// Where its device stands.
    const DEVICE: usize;

    /// How much of a row it needs.
    fn detail(&self) -> Detail;

    fn metric(member: &Self::Member) -> &str;

    /// The columns of runs that it needs of a member.
    fn columns(&self, member: &Self::Member) -> Vec<ColumnNo>;

    /// Those of them whose values are wanted, of the others only whether there are any; `None`: all.
    fn values(&self, _: &Self::Member) -> Option<Vec<ColumnNo>> {
        None
    }

    /// The claimed times of what is asked for, where event times lie so far before and behind them.
    fn claimed(times: &RangeInclusive<Timestamp>, shifts: (i64, i64)) -> RangeInclusive<i64>;

    /// Puts what a piece has of a member into the batch, at most `left` rows, and says how many. `None`: it does not fit in.
    fn tell(
        &self,
        piece: &Piece,
        member: &Self::Member,
        scan: &Scan,
        builder: &mut Builder,
        left: usize,
    ) -> Option<usize>;
}

/// Rows of a group in whole keys.
#[derive(Default)]
pub(in crate::parquet::store) struct Piece {
    pub(in crate::parquet::store) rows: Rows,
    /// The devices, each where its rows end.
    pub(in crate::parquet::store) devices: Vec<(usize, String)>,
}

/// A group of members that stand together.
pub(in crate::parquet::store) type Members<M> = (Group, Vec<M>);

/// The scan.
pub(in crate::parquet::store) struct Pieces<T: Told> {
    table: T,
    moment: Arc<Moment>,
    scan: Scan,
    builder: Builder,
    /// Rows that are still wanted.
    left: usize,
    devices: Option<Arc<[u32]>>,
    groups: VecDeque<Members<T::Member>>,
    current: Option<Current<T::Member>>,
}

/// The group that is being read.
struct Current<M> {
    members: Vec<M>,
    merging: Merging,
    piece: Piece,
    /// The next member that is told of the piece.
    member: usize,
}

impl<T: Told> Pieces<T> {
    pub(in crate::parquet::store) fn new(
        moment: Arc<Moment>,
        scan: Scan,
        shape: &Shape,
        groups: impl Iterator<Item = Members<T::Member>>,
        table: impl FnOnce(&Builder) -> T,
    ) -> Result<Self> {
        let builder = Builder::new(&shape.schema, scan.columns.as_deref());
        let devices = scan.devices.as_ref().map(|names| moment.numbers(names)).transpose()?;
        let mut groups: VecDeque<_> = groups.collect();
        for (_, members) in &mut groups {
            members.retain(|member| lets(scan.metrics.as_ref(), T::metric(member)));
        }
        groups.retain(|(_, members)| !members.is_empty());
        let (left, table) = (scan.limit.unwrap_or(usize::MAX), table(&builder));
        Ok(Self { table, moment, scan, builder, left, devices, groups, current: None })
    }

    fn rows_of(&self, members: &[T::Member]) -> Option<RowsOf> {
        let mut rows_of = RowsOf::default();
        for member in members {
            rows_of.values.extend(self.table.values(member)?);
            rows_of.members.push(self.table.columns(member));
        }
        Some(rows_of)
    }

    fn open(&self, (group, members): Members<T::Member>) -> Result<Current<T::Member>> {
        let mut columns: Vec<_> = members.iter().flat_map(|member| self.table.columns(member)).collect();
        columns.sort_unstable();
        let readings: &Readings = &self.moment.readings;
        let claimed = T::claimed(&self.scan.times, readings.shifts(group.table));
        let selection = Selection {
            columns,
            rows_of: self.rows_of(&members),
            devices: self.devices.clone(),
            claimed,
            detail: self.table.detail(),
        };
        let merging = readings.read(&group, &selection)?;
        let rows = merging.rows();
        let member = members.len();
        Ok(Current { members, merging, piece: Piece { rows, devices: Vec::new() }, member })
    }
}

impl<T: Told> Fill for Pieces<T> {
    fn fill(&mut self) -> Result<()> {
        while self.left > 0 && !self.builder.is_full() {
            let Some(current) = &mut self.current else {
                let Some(group) = self.groups.pop_front() else { return Ok(()) };
                self.current = Some(self.open(group)?);
                continue;
            };
            let Current { members, piece, member, .. } = current;
            if let Some(next) = members.get(*member) {
                let told = self.table.tell(piece, next, &self.scan, &mut self.builder, self.left);
                let Some(told) = told else { return Ok(()) };
                *member += 1;
                self.left -= told;
            } else if !current.next_piece(&self.moment, self.builder.wants(T::DEVICE))? {
                self.current = None;
            }
        }
        Ok(())
    }

    fn builder(&mut self) -> &mut Builder {
        &mut self.builder
    }
}

impl<M> Current<M> {
    /// `false`: there is none.
    fn next_piece(&mut self, moment: &Moment, with_devices: bool) -> Result<bool> {
        let Piece { rows, devices } = &mut self.piece;
        rows.clear();
        while rows.len() < PIECE_ROWS && self.merging.read(PIECE_ROWS - rows.len(), rows)? {}
        self.member = 0;
        moment.devices_of(rows, with_devices, devices)?;
        Ok(!rows.is_empty())
    }
}

impl Piece {
    /// The rows that are wanted, each with its device: at most `left`. `None`: they do not fit into the batch.
    pub(in crate::parquet::store) fn taken(
        &self,
        builder: &Builder,
        left: usize,
        wanted: impl Fn(usize) -> bool,
    ) -> Option<Vec<(usize, &str)>> {
        let mut taken = Vec::with_capacity(self.rows.len());
        let mut device = 0;
        for row in 0..self.rows.len() {
            device += usize::from(self.devices[device].0 <= row);
            if wanted(row) {
                taken.push((row, self.devices[device].1.as_str()));
            }
        }
        taken.truncate(left);
        let fits = builder.rows() == 0 || builder.rows() + taken.len() <= BATCH_ROWS;
        fits.then_some(taken)
    }
}
