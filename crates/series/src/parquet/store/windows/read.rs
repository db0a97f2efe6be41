//! Results of windows, read: the table `aggregations`, one series for an audit, how many there are.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use record::{DeviceId, MetricName, TenantId, Timestamp};

use super::Statistic::{Count, First, Last, Max, Min, P95, Revised, Stddev, Sum};
use super::{Numbers, STATISTICS, Statistic};
use crate::parquet::cells::EMPTY;
use crate::parquet::merge::Merging;
use crate::parquet::run::Detail;
use crate::parquet::store::metrics::{TABLE_COLUMNS, WindowMetric};
use crate::parquet::store::moment::{Moment, Readings, Selection, WindowGroup};
use crate::parquet::store::scan::Fill;
use crate::parquet::store::{Parquet, RunEntry};
use crate::parquet::{Cells, ColumnNo, Rows};
use crate::scan::{BATCH_ROWS, Builder, Names, Scan, Shape, WindowCells, lets, window_row};
use crate::{Result, WindowKey, WindowRow};

/// Rows that are read at a time: with those of the last key, they fit into a batch.
const PIECE_ROWS: usize = BATCH_ROWS - 2 * TABLE_COLUMNS as usize;

/// Where the device stands in the table.
const DEVICE: usize = 0;

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

/// A scan of the results.
pub(in crate::parquet::store) struct OfWindows {
    moment: Arc<Moment>,
    scan: Scan,
    builder: Builder,
    /// Rows that are still wanted.
    left: usize,
    devices: Option<Arc<[u32]>>,
    statistics: Vec<Statistic>,
    groups: VecDeque<WindowGroup>,
    current: Option<Current>,
}

/// The group that is being read.
struct Current {
    windows: Vec<Arc<WindowMetric>>,
    merging: Merging,
    /// A piece of it.
    rows: Rows,
    /// Its next metric.
    metric: usize,
    /// The devices of the piece, each where its rows end.
    devices: Vec<(usize, String)>,
}

impl OfWindows {
    pub(in crate::parquet::store) fn new(moment: Arc<Moment>, scan: Scan, shape: &Shape) -> Result<Self> {
        let builder = Builder::new(&shape.schema, scan.columns.as_deref());
        let needed = NEEDS.iter().filter(|(_, columns)| columns.iter().any(|&column| builder.wants(column)));
        let statistics = [Count, Max].into_iter().chain(needed.map(|(statistic, _)| *statistic)).collect();
        let devices = scan.devices.as_ref().map(|names| moment.numbers(names)).transpose()?;
        let mut groups: VecDeque<WindowGroup> = moment.windows.iter().cloned().collect();
        for group in &mut groups {
            group.windows.retain(|window| lets(scan.metrics.as_ref(), &window.metric));
        }
        groups.retain(|group| !group.windows.is_empty());
        let left = scan.limit.unwrap_or(usize::MAX);
        Ok(Self { moment, scan, builder, left, devices, statistics, groups, current: None })
    }

    fn open(&self, WindowGroup { group, windows }: WindowGroup) -> Result<Current> {
        let selection = Selection {
            columns: columns(&windows, &self.statistics),
            devices: self.devices.clone(),
            claimed: self.scan.times.start().nanos()..=self.scan.times.end().nanos(),
            detail: Detail::Times,
        };
        let rows = Rows::new(selection.columns.iter().copied());
        let merging = self.moment.readings.read(&group, &selection)?;
        let metric = windows.len();
        Ok(Current { windows, merging, rows, metric, devices: Vec::new() })
    }
}

impl Fill for OfWindows {
    fn fill(&mut self) -> Result<()> {
        while self.left > 0 && !self.builder.is_full() {
            let Some(current) = &mut self.current else {
                let Some(group) = self.groups.pop_front() else { return Ok(()) };
                self.current = Some(self.open(group)?);
                continue;
            };
            if current.metric < current.windows.len() {
                if !current.tell(&mut self.builder, &self.scan, &mut self.left) {
                    return Ok(());
                }
            } else if !current.next_piece(&self.moment, self.builder.wants(DEVICE))? {
                self.current = None;
            }
        }
        Ok(())
    }

    fn builder(&mut self) -> &mut Builder {
        &mut self.builder
    }
}

impl Current {
    /// `false`: there is none.
    fn next_piece(&mut self, moment: &Moment, with_devices: bool) -> Result<bool> {
        let rows = &mut self.rows;
        rows.clear();
        while rows.len() < PIECE_ROWS && self.merging.read(PIECE_ROWS - rows.len(), rows)? {}
        self.metric = 0;
        moment.devices_of(rows, with_devices, &mut self.devices)?;
        Ok(!rows.is_empty())
    }

    /// Puts the results of the next metric of the piece into the batch. `false`: they do not fit in.
    fn tell(&mut self, builder: &mut Builder, scan: &Scan, left: &mut usize) -> bool {
        let Self { windows, rows, metric, devices, .. } = self;
        if builder.rows() > 0 && builder.rows() + rows.len() > BATCH_ROWS {
            return false;
        }
        let window = &windows[*metric];
        let mut device = 0;
        results(rows, window, |first, start, end, numbers| {
            if *left == 0 || !scan.times.contains(&start) {
                return;
            }
            while devices[device].0 <= first {
                device += 1;
            }
            let names = Names { device: &devices[device].1, metric: &window.metric };
            let Numbers { count, floats, revised } = numbers;
            let cells = WindowCells { window: &window.window, start, end, count, floats, revised };
            window_row(builder, names, &cells);
            *left -= 1;
        });
        *metric += 1;
        true
    }
}

/// The columns of some statistics, by rising number.
fn columns(windows: &[Arc<WindowMetric>], statistics: &[Statistic]) -> Vec<ColumnNo> {
    let of = |window: &Arc<WindowMetric>| statistics.iter().map(|&of| window.column(of)).collect::<Vec<_>>();
    let mut columns: Vec<ColumnNo> = windows.iter().flat_map(of).collect();
    columns.sort_unstable();
    columns
}

/// Visits the results of a metric in whole keys of rows: the first row of its key, start, end and numbers.
fn results(rows: &Rows, window: &WindowMetric, mut visit: impl FnMut(usize, Timestamp, Timestamp, Numbers)) {
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
        for WindowGroup { group, windows } in &moment.windows {
            for window in windows.iter().filter(|window| window.metric == metric.as_str()) {
                let selection = Selection {
                    columns: window.columns().to_vec(),
                    devices: Some(Arc::clone(&devices)),
                    claimed: starts.start.nanos()..=starts.end.nanos() - 1,
                    detail: Detail::Times,
                };
                let mut rows = Rows::new(selection.columns.iter().copied());
                let mut merging = moment.readings.read(group, &selection)?;
                while merging.read(PIECE_ROWS, &mut rows)? {}
                results(&rows, window, |_, start, end, numbers| {
                    let (tenant, device, metric) = (tenant.clone(), device.clone(), metric.clone());
                    let key = WindowKey { tenant, device, metric, window: Arc::clone(&window.window), start };
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

/// How many results there are, of a device or of all, in runs that are wanted and in the buffers.
pub(in crate::parquet::store) fn count(
    readings: &Readings,
    groups: &[WindowGroup],
    device: Option<u32>,
    wants: impl Fn(&RunEntry) -> bool,
) -> Result<u64> {
    let mut count = 0;
    for WindowGroup { group, windows } in groups {
        let selection = Selection {
            columns: columns(windows, &[Count]),
            devices: device.map(|device| [device].into()),
            claimed: i64::MIN..=i64::MAX,
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
