//! The list of late readings, read: the table `late`, an audit's list, how many there are.

use std::ops::RangeInclusive;
use std::sync::Arc;

use record::{DeviceId, MetricName, Reading, TenantId, Timestamp, ValueRef};

use super::Part;
use super::Part::{Deliveries, Value, Watermark};
use super::write::deliveries;
use crate::parquet::cells::EMPTY;
use crate::parquet::run::Detail;
use crate::parquet::store::metrics::Derived;
use crate::parquet::store::moment::{DerivedGroup, Readings, Selection};
use crate::parquet::store::scan::claimed_around;
use crate::parquet::store::scan::pieces::{PIECE_ROWS, Piece, Told};
use crate::parquet::store::{Parquet, RunEntry, last};
use crate::parquet::{ColumnNo, Rows};
use crate::scan::{Builder, Scan, reading_rows};
use crate::{LateReading, Result};

/// Columns of the table, and the first of them that stands behind those of a reading.
const WATERMARK: usize = 12;
const TIMES: usize = 13;
const INTEGER: usize = 14;

/// The table `late`.
pub(in crate::parquet::store) struct OfLate;

impl OfLate {
    pub(in crate::parquet::store) fn new(_builder: &Builder) -> Self {
        Self
    }
}

impl Told for OfLate {
    type Member = Arc<Derived>;

    const DEVICE: usize = 2;

    fn detail(&self) -> Detail {
        Detail::Whole
    }

    fn metric(member: &Self::Member) -> &str {
        &member.metric
    }

    fn columns(&self, member: &Self::Member) -> Vec<ColumnNo> {
        member.columns().collect()
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
        let cell = |row: usize, part: Part| rows.cells(member.column(part)).and_then(|cells| cells.get(row));
        let Some(watermarks) = rows.cells(member.column(Watermark)) else { return Some(0) };
        let taken = piece.taken(builder, left, |row| {
            watermarks.kinds()[row] != EMPTY && scan.times.contains(&Timestamp::from_nanos(rows.time[row]))
        })?;
        let readings =
            taken.iter().filter_map(|&(row, device)| Some((device, rows.when(row), cell(row, Value)?)));
        reading_rows(builder, &member.metric, INTEGER, readings);
        for &(row, _) in &taken {
            builder.time(WATERMARK, cell(row, Watermark).map(instant));
            let times = deliveries(|part| cell(row, part)).unwrap_or(1);
            builder.int(TIMES, i64::try_from(times).ok());
        }
        builder.end_rows(taken.len());
        Some(taken.len())
    }
}

fn instant(value: ValueRef<'_>) -> Timestamp {
    Timestamp::from_nanos(match value {
        ValueRef::Int(nanos) => nanos,
        other => other.as_f64().map_or(0, |nanos| nanos as i64),
    })
}

impl Parquet {
    /// What [`crate::SeriesAudit::late`] says.
    pub(in crate::parquet::store) fn late_of_tenant(
        &self,
        tenant: &TenantId,
        limit: usize,
    ) -> Result<Vec<LateReading>> {
        let moment = self.moment(tenant.as_str())?;
        let mut found = Vec::new();
        for DerivedGroup { group, members } in &moment.late {
            let selection = Selection {
                columns: members.iter().flat_map(|member| member.columns()).collect(),
                devices: None,
                claimed: i64::MIN..=i64::MAX,
                rows_of: None,
                detail: Detail::Whole,
            };
            let mut piece = Piece { rows: Rows::new(selection.columns.iter().copied()), devices: Vec::new() };
            let mut merging = moment.readings.read(group, &selection)?;
            while merging.read(PIECE_ROWS, &mut piece.rows)? {}
            moment.devices_of(&piece.rows, true, &mut piece.devices)?;
            for member in members {
                let broken = || last::damaged(&self.manifest, 0);
                let metric = MetricName::parse(&member.metric).map_err(|_| broken())?;
                let mut from = 0;
                for (end, device) in &piece.devices {
                    let device = DeviceId::parse(device).map_err(|_| broken())?;
                    for row in from..*end {
                        let cell = |part| piece.rows.cells(member.column(part)).and_then(|of| of.get(row));
                        let (Some(value), Some(watermark)) = (cell(Value), cell(Watermark)) else { continue };
                        let (device, metric) = (device.clone(), metric.clone());
                        let when = piece.rows.when(row);
                        found.push(LateReading {
                            reading: Reading { device, metric, when, value: value.to_value() },
                            watermark: instant(watermark),
                            times: deliveries(cell).unwrap_or(1),
                        });
                    }
                    from = *end;
                }
            }
        }
        let order = |late: &LateReading| {
            let Reading { device, metric, when, .. } = &late.reading;
            (device.clone(), metric.clone(), when.claimed, when.seq)
        };
        found.sort_by_cached_key(order);
        found.truncate(limit);
        Ok(found)
    }
}

/// How many values came late, of a device or of all, claimed at some time, in runs that are wanted and in the buffers.
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
            columns: members
                .iter()
                .flat_map(|member| [Watermark, Deliveries].map(|part| member.column(part)))
                .collect(),
            devices: device.map(|device| [device].into()),
            claimed: claimed.clone(),
            rows_of: None,
            detail: Detail::Times,
        };
        let mut merging = readings.merge(group, &selection, &wants)?;
        let mut rows = Rows::new(selection.columns.iter().copied());
        while merging.read(PIECE_ROWS, &mut rows)? {
            for member in members {
                let cell = |row, part: Part| rows.cells(member.column(part)).and_then(|cells| cells.get(row));
                count += (0..rows.len()).filter_map(|row| deliveries(|part| cell(row, part))).sum::<u64>();
            }
            rows.clear();
        }
    }
    Ok(count)
}
