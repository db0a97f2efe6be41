//! The wide tables ([`crate::scan::Wide`]): rows as they stand in runs, one for each set of tags.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use record::{Timestamp, Value, ValueRef};

use super::claimed_around;
use super::pieces::{Piece, Told};
use crate::parquet::cells::EMPTY;
use crate::parquet::run::Detail;
use crate::parquet::store::metrics::Metric;
use crate::parquet::store::moment::Moment;
use crate::parquet::{Cells, ColumnNo, Rows};
use crate::scan::{BATCH_ROWS, Builder, Holds, Parted, Scan, Shape, Wide, shape};

/// Where the fixed columns stand.
const TIME: usize = 0;
const ARRIVED_AT: usize = 1;
const DEVICE: usize = 2;
/// How many of them there are.
const FIXED: usize = 3;

impl Moment {
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<Metric>> {
        self.groups.iter().flat_map(|group| &group.metrics)
    }

    pub(super) fn wide(&self, table: &str) -> Option<Wide> {
        if table.is_empty() {
            return None;
        }
        Wide::of(table, self.names().map(|metric| (metric.name.as_str(), metric.kinds)))
    }

    /// Those that are worth a line in a list of tables. Each metric is looked at once, not once for each table.
    pub(super) fn wide_tables(&self) -> Vec<Shape> {
        let listed = self.names().filter_map(|metric| Parted::of(&metric.name).table());
        let free = listed.filter(|table| shape(table).is_none());
        let mut tables: BTreeMap<&str, Vec<&Arc<Metric>>> = free.map(|table| (table, Vec::new())).collect();
        for metric in self.names() {
            for table in Parted::of(&metric.name).tables() {
                tables.entry(table).and_modify(|metrics| metrics.push(metric));
            }
        }
        let wide = tables.into_iter().filter_map(|(table, metrics)| {
            Wide::of(table, metrics.into_iter().map(|metric| (metric.name.as_str(), metric.kinds)))
        });
        wide.map(|wide| wide.shape).collect()
    }
}

pub(super) struct OfWide {
    wide: Wide,
    detail: Detail,
    /// Which columns are asked for.
    wanted: Vec<bool>,
}

/// The fields of one set of tags that stand in one group.
pub(super) struct Tagged {
    /// The text of each tag, by its column.
    tags: BTreeMap<usize, String>,
    /// Each with its columns.
    fields: Vec<(ColumnNo, Vec<(usize, Holds)>)>,
}

impl OfWide {
    pub(super) fn new(wide: Wide, builder: &Builder) -> Self {
        let wanted = (0..wide.shape.schema.fields().len()).map(|column| builder.wants(column)).collect();
        let detail = if builder.wants(ARRIVED_AT) { Detail::Whole } else { Detail::Times };
        Self { wide, detail, wanted }
    }

    /// The sets of tags among the metrics of a group.
    pub(super) fn members<'m>(
        wide: &Wide,
        metrics: impl IntoIterator<Item = &'m Arc<Metric>>,
    ) -> Vec<Tagged> {
        let mut tagged: BTreeMap<Vec<(String, String)>, Tagged> = BTreeMap::new();
        for metric in metrics {
            let parted = Parted::of(&metric.name);
            let Some(field) = parted.field(&wide.shape.name) else { continue };
            let tags = parted.tags();
            let of = tagged.entry(tags).or_insert_with_key(|tags| Tagged {
                tags: tags.iter().map(|(key, text)| (wide.tags[key], text.clone())).collect(),
                fields: Vec::new(),
            });
            of.fields.push((metric.no, wide.fields[field].clone()));
        }
        tagged.into_values().collect()
    }
}

impl Told for OfWide {
    type Member = Tagged;

    const DEVICE: usize = DEVICE;

    fn detail(&self) -> Detail {
        self.detail
    }

    fn metric(_: &Self::Member) -> &str {
        ""
    }

    /// All of them: a row is there when any of its fields is.
    fn columns(&self, member: &Self::Member) -> Vec<ColumnNo> {
        member.fields.iter().map(|(no, _)| *no).collect()
    }

    fn values(&self, member: &Self::Member) -> Option<Vec<ColumnNo>> {
        let wanted = member.fields.iter().filter(|(_, columns)| self.wants(columns));
        Some(wanted.map(|(no, _)| *no).collect())
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
        if builder.rows() > 0 && builder.rows() + rows.len() > BATCH_ROWS {
            return None;
        }
        let cells: Vec<&Cells> = member.fields.iter().filter_map(|(no, _)| rows.cells(*no)).collect();
        let has_any = |row: usize| cells.iter().any(|cells| cells.kinds()[row] != EMPTY);
        let (mut told, mut device) = (0, 0);
        for of_key in keys(rows) {
            // Of a corrected key the row that came last says when.
            let Some(newest) = of_key.clone().rev().find(|&row| has_any(row)) else { continue };
            let time = Timestamp::from_nanos(rows.time[newest]);
            if told == left || !scan.times.contains(&time) {
                continue;
            }
            while piece.devices[device].0 <= newest {
                device += 1;
            }
            builder.time(TIME, Some(time));
            builder.time(ARRIVED_AT, Some(Timestamp::from_nanos(rows.arrived_at[newest])));
            builder.text(DEVICE, Some(&piece.devices[device].1));
            self.tell_row(rows, of_key, member, builder);
            builder.end_row();
            told += 1;
        }
        Some(told)
    }
}

impl OfWide {
    fn wants(&self, columns: &[(usize, Holds)]) -> bool {
        columns.iter().any(|(column, _)| self.wanted[*column])
    }

    fn tell_row(&self, rows: &Rows, of_key: Range<usize>, member: &Tagged, builder: &mut Builder) {
        let mut values: Vec<Option<(Holds, ValueRef<'_>)>> = vec![None; self.wide.holds.len()];
        for (&column, tag) in &member.tags {
            values[column - FIXED] = Some((Holds::Text, ValueRef::Text(tag)));
        }
        for (no, columns) in member.fields.iter().filter(|(_, columns)| self.wants(columns)) {
            let cell = rows.cells(*no).and_then(|cells| of_key.clone().rev().find_map(|row| cells.get(row)));
            let Some(value) = cell else { continue };
            for &(column, holds) in columns {
                values[column - FIXED] = Some((holds, value));
            }
        }
        for ((column, holds), value) in (FIXED..).zip(&self.wide.holds).zip(values) {
            put(builder, column, *holds, value.map(|(_, value)| value));
        }
    }
}

/// The rows of each key.
fn keys(rows: &Rows) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let key = (from < rows.len()).then(|| rows.key(from))?;
        let to = (from + 1..rows.len()).find(|&row| rows.key(row) != key).unwrap_or(rows.len());
        Some(std::mem::replace(&mut from, to)..to)
    })
}

fn put(builder: &mut Builder, column: usize, holds: Holds, value: Option<ValueRef<'_>>) {
    match holds {
        Holds::Int => builder.int(column, value.and_then(whole)),
        Holds::Float => builder.float(column, value.and_then(|value| value.as_f64())),
        Holds::Bool => builder.bool(column, value.map(|value| matches!(value, ValueRef::Bool(true)))),
        Holds::Text => match value {
            Some(ValueRef::Text(text)) => builder.text(column, Some(text)),
            Some(other) => builder.text(column, Some(&text_of(other))),
            None => builder.text(column, None),
        },
        Holds::Lat | Holds::Lng => {
            let place = match value {
                Some(ValueRef::Location { lat, lng }) => Some(if holds == Holds::Lat { lat } else { lng }),
                _ => None,
            };
            builder.float(column, place);
        }
    }
}

/// An integer may have been kept as the float of the same size.
fn whole(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Int(int) => Some(int),
        other => other.as_f64().map(|float| float as i64),
    }
}

fn text_of(value: ValueRef<'_>) -> String {
    match value.to_value() {
        Value::Float(float) => float.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Location { lat, lng } => format!("{lat},{lng}"),
    }
}
