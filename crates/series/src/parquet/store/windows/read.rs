//! Results of windows, read: the table `aggregations`, one series for an audit, how many there are.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use record::{DeviceId, MetricName, TenantId, Timestamp};

use super::Statistic::{Count, First, Last, Max, Min, P95, Revised, Stddev, Sum};
use super::{Numbers, STATISTICS, Statistic};
use crate::parquet::cells::EMPTY;
use crate::parquet::run::Detail;
use crate::parquet::store::metrics::Derived;
use crate::parquet::store::moment::{DerivedGroup, Readings, Selection};
use crate::parquet::store::scan::pieces::{PIECE_ROWS, Piece, Told};
use crate::parquet::store::{Parquet, RunEntry};
use crate::parquet::{Cells, ColumnNo, Rows};
use crate::scan::{BATCH_ROWS, Builder, Names, Scan, WindowCells, window_row};
use crate::{Result, WindowKey, WindowRow};

/// Statistics, and the columns of the table that cannot be told without them.
const NEEDS: [(Statistic, &[usize]); 7] = [
    (Sum, &[6, 7]),
    (Min, &[8]),
    (Stddev, &[10]),
    (P95, &[11]),
    (First, &[12]),
    (Last, &[13]),
    (Revised, &[14]),
];

/// The table `aggregations`.
pub(in crate::parquet::store) struct OfWindows {
    statistics: Vec<Statistic>,
}

impl OfWindows {
    pub(in crate::parquet::store) fn new(builder: &Builder) -> Self {
        let needed = NEEDS.iter().filter(|(_, columns)| columns.iter().any(|&column| builder.wants(column)));
        Self { statistics: [Count, Max].into_iter().chain(needed.map(|(statistic, _)| *statistic)).collect() }
    }
}

impl Told for OfWindows {
    type Member = Arc<Derived>;

    const DEVICE: usize = 0;

    fn detail(&self) -> Detail {
        Detail::Times
    }

    fn metric(member: &Self::Member) -> &str {
        &member.metric
    }

    fn columns(&self, member: &Self::Member) -> Vec<ColumnNo> {
        self.statistics.iter().map(|&of| member.column(of)).collect()
    }

    /// What is asked for by time is asked for by the start.
    fn claimed(times: &RangeInclusive<Timestamp>, _shifts: (i64, i64)) -> RangeInclusive<i64> {
        times.start().nanos()..=times.end().nanos()
    }

    fn tell(
        &self,
        piece: &Piece,
        window: &Self::Member,
        scan: &Scan,
        builder: &mut Builder,
        left: usize,
    ) -> Option<usize> {
        let Piece { rows, devices } = piece;
        if builder.rows() > 0 && builder.rows() + rows.len() > BATCH_ROWS {
            return None;
        }
        let (mut device, mut told) = (0, 0);
        results(rows, window, |first, start, end, numbers| {
            if told == left || !scan.times.contains(&start) {
                return;
            }
            while devices[device].0 <= first {
                device += 1;
            }
            let names = Names { device: &devices[device].1, metric: &window.metric };
            let Numbers { count, floats, revised } = numbers;
            let cells = WindowCells { window: &window.kind, start, end, count, floats, revised };
            window_row(builder, names, &cells);
            told += 1;
        });
        Some(told)
    }
}

/// Visits the results of a metric in whole keys of rows: the first row of its key, start, end and numbers.
fn results(rows: &Rows, window: &Derived, mut visit: impl FnMut(usize, Timestamp, Timestamp, Numbers)) {
    let cells = STATISTICS.map(|statistic| rows.cells(window.column(statistic)));
    let Some(counts) = cells[Count as usize] else { return };
    let mut from = 0;
    while from < rows.len() {
        let key = rows.key(from);
        let of_key = from..from + 1 + (from + 1..rows.len()).take_while(|&row| rows.key(row) == key).count();
        // Nearly always one row; more where the end of a session changed.
        if let Some(newest) = of_key.clone().rev().find(|&row| counts.kinds()[row] != EMPTY) {
            let numbers = Numbers::read(|statistic| {
                let cells = cells[statistic as usize]?;
                of_key.clone().rev().find_map(|row| cells.get(row))
            });
            if let Some(numbers) = numbers.filter(|numbers| numbers.count > 0) {
                let [start, end] = [rows.claimed[newest], rows.time[newest]].map(Timestamp::from_nanos);
                visit(from, start, end, numbers);
            }
        }
        from = of_key.end;
    }
}

impl Parquet {
    /// The results of one series that start in a range, by window and start.
    pub(in crate::parquet::store) fn windows_of_series(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        starts: Range<Timestamp>,
    ) -> Result<Vec<WindowRow>> {
        let moment = self.moment(tenant.as_str())?;
        let devices = moment.numbers(&[device.as_str().to_owned()].into())?;
        let mut found = Vec::new();
        if devices.is_empty() || starts.start >= starts.end {
            return Ok(found);
        }
        for DerivedGroup { group, members } in &moment.windows {
            for window in members.iter().filter(|window| window.metric == metric.as_str()) {
                let selection = Selection {
                    columns: window.columns().collect(),
                    devices: Some(Arc::clone(&devices)),
                    claimed: starts.start.nanos()..=starts.end.nanos() - 1,
                    rows_of: None,
                    detail: Detail::Times,
                };
                let mut rows = Rows::new(selection.columns.iter().copied());
                let mut merging = moment.readings.read(group, &selection)?;
                while merging.read(PIECE_ROWS, &mut rows)? {}
                results(&rows, window, |_, start, end, numbers| {
                    let (tenant, device, metric) = (tenant.clone(), device.clone(), metric.clone());
                    let key = WindowKey { tenant, device, metric, window: Arc::clone(&window.kind), start };
                    found.push(row(key, end, &numbers));
                });
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }
}

fn row(key: WindowKey, end: Timestamp, numbers: &Numbers) -> WindowRow {
    let Numbers { count, floats: [sum, min, max, stddev, p95, first, last], revised } = *numbers;
    WindowRow { key, end, count, sum, min, max, stddev, p95, first, last, revised }
}

/// How many results there are, of a device or of all, claimed at some time, in runs that are wanted and in the buffers.
pub(in crate::parquet::store) fn count(
    readings: &Readings,
    groups: &[DerivedGroup],
    device: Option<u32>,
    claimed: &RangeInclusive<i64>,
    wants: impl Fn(&RunEntry) -> bool,
) -> Result<u64> {
    let mut count = 0;
    for DerivedGroup { group, members } in groups {
        let selection = Selection {
            // By rising number, as the members stand.
            columns: members.iter().map(|window| window.column(Count)).collect(),
            devices: device.map(|device| [device].into()),
            claimed: claimed.clone(),
            rows_of: None,
            detail: Detail::Times,
        };
        let mut merging = readings.merge(group, &selection, &wants)?;
        let mut rows = Rows::new(selection.columns.iter().copied());
        while merging.read(PIECE_ROWS, &mut rows)? {
            let there = |cells: &Cells| {
                let not_void = |row: &usize| cells.get(*row).is_some_and(|count| count.as_f64() != Some(0.0));
                (0..cells.len()).filter(not_void).count() as u64
            };
            count += rows.columns().iter().map(|column| there(&column.cells)).sum::<u64>();
            rows.clear();
        }
    }
    Ok(count)
}
