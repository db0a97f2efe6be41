//! From an answer's columns to those of files: types that every reader knows.
//!
//! Athena and most readers of Avro know no nanoseconds, and an older Spark refuses a file that has them. So a time is in
//! microseconds, and the digits below stand in a column beside it, `time_nanos`: nothing is lost, and nobody stumbles.

use std::sync::Arc;

use anyhow::{Context, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType, TimestampNanosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// How exactly times are kept in one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Times {
    /// Microseconds, for every reader; what is finer stands in columns of its own, such as time_nanos
    #[default]
    Us,
    /// Nanoseconds, for readers that know them: DuckDB, pandas, Polars
    Ns,
}

/// Behind the name of a column of times: nanoseconds beyond the microsecond, 0 to 999.
pub(crate) const NANOS: &str = "_nanos";

/// Times that devices sent. The server's own are always in nanoseconds, which nobody needs to be told.
const DEVICES_OWN: [&str; 2] = ["time", "device_time"];

const UTC: &str = "UTC";

/// What becomes of the columns of a table.
pub(super) struct Columns {
    pub(super) schema: SchemaRef,
    times: Times,
}

impl Columns {
    pub(super) fn new(of: &Schema, times: Times) -> anyhow::Result<Self> {
        let mut fields = Vec::new();
        for field in of.fields() {
            let (name, null) = (field.name(), field.is_nullable());
            let kind = match field.data_type() {
                DataType::Timestamp(..) if times == Times::Us => {
                    fields.push(Field::new(name, stamp(TimeUnit::Microsecond), null));
                    fields.push(Field::new(format!("{name}{NANOS}"), DataType::Int32, null));
                    continue;
                }
                DataType::Timestamp(..) => stamp(TimeUnit::Nanosecond),
                DataType::Utf8 | DataType::Utf8View => DataType::Utf8,
                // Athena knows no unsigned numbers; what the server has under one stays below 2^63.
                DataType::Int64 | DataType::UInt64 => DataType::Int64,
                same @ (DataType::Float64 | DataType::Boolean) => same.clone(),
                other => bail!("the column {name} is of type {other}, which this version cannot write"),
            };
            fields.push(Field::new(name, kind, null));
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), times })
    }

    /// An answer in the columns of files, and whether a device's time in it is finer than a microsecond.
    pub(super) fn convert(&self, batch: &RecordBatch) -> anyhow::Result<(RecordBatch, bool)> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        let mut finer = false;
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            match column.data_type() {
                DataType::Timestamp(..) => {
                    let is_finer = self.push_times(&nanos(column)?, &mut columns);
                    finer |= is_finer && DEVICES_OWN.contains(&field.name().as_str());
                }
                DataType::Utf8View => {
                    columns.push(Arc::new(column.as_string_view().iter().collect::<StringArray>()));
                }
                DataType::UInt64 => columns.push(Arc::new(signed(column)?)),
                _ => columns.push(Arc::clone(column)),
            }
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        Ok((batch.context("the server's columns changed during the export: run it again")?, finer))
    }

    fn push_times(&self, nanos: &Int64Array, columns: &mut Vec<ArrayRef>) -> bool {
        if self.times == Times::Ns {
            let times: TimestampNanosecondArray = nanos.iter().collect();
            columns.push(Arc::new(times.with_timezone(UTC)));
            return false;
        }
        let micros: TimestampMicrosecondArray =
            nanos.iter().map(|time| Some(time?.div_euclid(1_000))).collect();
        let below: Int32Array = nanos
            .iter()
            .map(|time| Some(i32::try_from(time?.rem_euclid(1_000)).expect("below a thousand")))
            .collect();
        let finer = below.iter().flatten().any(|below| below != 0);
        columns.push(Arc::new(micros.with_timezone(UTC)));
        columns.push(Arc::new(below));
        finer
    }
}

fn stamp(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some(UTC.into()))
}

/// A column of times as nanoseconds since the epoch.
fn nanos(column: &dyn Array) -> anyhow::Result<Int64Array> {
    let micros = |time: i64| time.checked_mul(1_000).context("a time beyond 64 bits of nanoseconds");
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Ok(column.as_primitive::<TimestampNanosecondType>().reinterpret_cast::<Int64Type>())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => column
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .map(|time| time.map(micros).transpose())
            .collect(),
        other => bail!("times of type {other}, which this version cannot write"),
    }
}

fn signed(column: &dyn Array) -> anyhow::Result<Int64Array> {
    let numbers = column.as_primitive::<UInt64Type>().iter();
    let signed = numbers.map(|number| number.map(i64::try_from).transpose());
    signed.collect::<Result<_, _>>().context("a number beyond 63 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_exact_too() {
        let field =
            Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let times = [Some(-1), Some(1_999), None, Some(2_000_000), Some(i64::MIN), Some(i64::MAX)];
        let array = TimestampNanosecondArray::from(times.to_vec()).with_timezone("+00:00");
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(array)]).unwrap();
        let columns = Columns::new(&schema, Times::Us).unwrap();
        let (batch, finer) = columns.convert(&batch).unwrap();
        assert!(finer);
        let micros = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let below = batch.column(1).as_primitive::<arrow_array::types::Int32Type>();
        let again: Vec<_> = micros
            .iter()
            .zip(below.iter())
            .map(|(micros, below)| Some((i128::from(micros?) * 1_000 + i128::from(below?)) as i64))
            .collect();
        assert_eq!(again, times);
    }
}
