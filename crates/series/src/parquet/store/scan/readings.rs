//! The table `telemetry`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use record::Timestamp;

use super::pieces::{Piece, Told};
use crate::parquet::ColumnNo;
use crate::parquet::cells::EMPTY;
use crate::parquet::run::Detail;
use crate::parquet::store::metrics::Metric;
use crate::scan::{Builder, Scan, reading_rows};

/// Its columns that need more of a row than its times: `arrived_at`, `clock`, `device_time`.
const WHOLE: [usize; 3] = [1, 9, 10];

/// Where the exact whole number stands.
pub(super) const INTEGER: usize = 12;

pub(super) struct OfReadings {
    detail: Detail,
}

impl OfReadings {
    pub(super) fn new(builder: &Builder) -> Self {
        let whole = WHOLE.iter().any(|&column| builder.wants(column));
        Self { detail: if whole { Detail::Whole } else { Detail::Times } }
    }
}

/// Where clocks were put right, event times do not follow the keys.
pub(in crate::parquet::store) fn claimed_around(
    times: &RangeInclusive<Timestamp>,
    (earliest, latest): (i64, i64),
) -> RangeInclusive<i64> {
    times.start().nanos().saturating_sub(latest)..=times.end().nanos().saturating_sub(earliest)
}

impl Told for OfReadings {
    type Member = Arc<Metric>;

    const DEVICE: usize = 2;

    fn detail(&self) -> Detail {
        self.detail
    }

    fn metric(member: &Self::Member) -> &str {
        &member.name
    }

    fn columns(&self, member: &Self::Member) -> Vec<ColumnNo> {
        vec![member.no]
    }

    fn claimed(times: &RangeInclusive<Timestamp>, shifts: (i64, i64)) -> RangeInclusive<i64> {
        claimed_around(times, shifts)
    }

    fn tell(
        &self,
        piece: &Piece,
        member: &Self::Member,
        scan: &Scan,
        builder: &mut Builder,
        left: usize,
    ) -> Option<usize> {
        let rows = &piece.rows;
        let Some(cells) = rows.cells(member.no) else { return Some(0) };
        let taken = piece.taken(builder, left, |row| {
            cells.kinds()[row] != EMPTY && scan.times.contains(&Timestamp::from_nanos(rows.time[row]))
        })?;
        let readings =
            taken.iter().filter_map(|&(row, device)| Some((device, rows.when(row), cells.get(row)?)));
        reading_rows(builder, &member.name, INTEGER, readings);
        builder.end_rows(taken.len());
        Some(taken.len())
    }
}
