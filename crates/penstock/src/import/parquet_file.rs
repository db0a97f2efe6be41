//! Parquet.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::cell::{Cell, Row};
use super::source::{Position, identity_of};

/// Rows read at a time.
const BATCH_ROWS: usize = 8_192;

const DAY_SECONDS: i64 = 86_400;

pub(super) struct ParquetFile {
    file: File,
    metadata: ArrowReaderMetadata,
    header: Vec<String>,
    reader: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    /// Of the batch, the next row.
    at: usize,
    /// Rows given out or skipped.
    rows: u64,
    identity: String,
}

impl ParquetFile {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        // What Parquet itself says of the types, not what the program that wrote it had in memory: no dictionaries.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, options)
            .with_context(|| format!("{} is no Parquet, or damaged", path.display()))?;
        let header = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
        let reader = reader(&file, &metadata, 0)?;
        let identity = identity_of(&file)?;
        Ok(Self { file, metadata, header, reader, batch: None, at: 0, rows: 0, identity })
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    pub(super) fn next(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.at < batch.num_rows()) {
                let cells = batch.columns().iter().map(|column| cell(column, self.at)).collect();
                self.at += 1;
                self.rows += 1;
                return Ok(Some(Row { number: self.rows, cells, broken: None }));
            }
            match self.reader.next() {
                None => return Ok(None),
                Some(batch) => {
                    self.batch =
                        Some(batch.with_context(|| format!("the file is damaged after row {}", self.rows))?);
                    self.at = 0;
                }
            }
        }
    }

    pub(super) fn position(&self) -> Position {
        Position::Rows(self.rows)
    }

    pub(super) fn seek(&mut self, rows: u64) -> anyhow::Result<()> {
        let skipped = usize::try_from(rows).context("more rows than this machine can count")?;
        self.reader = reader(&self.file, &self.metadata, skipped)?;
        (self.batch, self.at, self.rows) = (None, 0, rows);
        Ok(())
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    pub(super) fn identity(&self) -> String {
        self.identity.clone()
    }
}

fn reader(
    file: &File,
    metadata: &ArrowReaderMetadata,
    skipped: usize,
) -> anyhow::Result<ParquetRecordBatchReader> {
    let file = file.try_clone()?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
    builder.with_batch_size(BATCH_ROWS).with_offset(skipped).build().context("the file cannot be read")
}

fn cell(column: &ArrayRef, row: usize) -> Cell {
    macro_rules! number {
        ($type:ty) => {
            Cell::Int(i64::from(column.as_primitive::<$type>().value(row)))
        };
    }
    macro_rules! time {
        ($type:ty, $nanos:expr, $zone:expr) => {{
            let count = column.as_primitive::<$type>().value(row);
            match (count.checked_mul($nanos), $zone) {
                (Some(nanos), true) => Cell::Time(nanos),
                (Some(nanos), false) => Cell::LocalTime(nanos),
                (None, _) => Cell::Unusable(format!("a time beyond 1677 to 2262: {count}")),
            }
        }};
    }
    if column.is_null(row) {
        return Cell::Nothing;
    }
    match column.data_type() {
        DataType::Null => Cell::Nothing,
        DataType::Boolean => Cell::Bool(column.as_boolean().value(row)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => {
            let number = column.as_primitive::<UInt64Type>().value(row);
            i64::try_from(number).map_or_else(|_| Cell::Unusable(number.to_string()), Cell::Int)
        }
        DataType::Float32 => Cell::Float(f64::from(column.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => Cell::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Cell::Text(column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Cell::Text(column.as_string_view().value(row).to_owned()),
        DataType::Timestamp(unit, zone) => match unit {
            TimeUnit::Second => time!(TimestampSecondType, 1_000_000_000, zone.is_some()),
            TimeUnit::Millisecond => time!(TimestampMillisecondType, 1_000_000, zone.is_some()),
            TimeUnit::Microsecond => time!(TimestampMicrosecondType, 1_000, zone.is_some()),
            TimeUnit::Nanosecond => time!(TimestampNanosecondType, 1, zone.is_some()),
        },
        DataType::Date32 => {
            let days = i64::from(column.as_primitive::<Date32Type>().value(row));
            let nanos = days.checked_mul(DAY_SECONDS).and_then(|seconds| seconds.checked_mul(1_000_000_000));
            nanos.map_or_else(|| Cell::Unusable(format!("day {days}")), Cell::LocalTime)
        }
        DataType::Decimal128(_, scale) => {
            decimal(column.as_primitive::<arrow_array::types::Decimal128Type>().value(row), *scale)
        }
        other => Cell::Unusable(format!("a value of type {other}")),
    }
}

/// A decimal number: whole ones exactly, others as the nearest float.
fn decimal(unscaled: i128, scale: i8) -> Cell {
    let power = 10_i128.checked_pow(u32::from(scale.unsigned_abs()));
    let whole = match power {
        Some(power) if scale >= 0 && unscaled % power == 0 => Some(unscaled / power),
        Some(power) if scale < 0 => unscaled.checked_mul(power),
        _ => None,
    };
    if let Some(whole) = whole.filter(|_| scale <= 0) {
        return i64::try_from(whole).map_or_else(|_| Cell::Unusable(whole.to_string()), Cell::Int);
    }
    let text = format!("{unscaled}e{}", -i32::from(scale));
    text.parse().map_or_else(|_| Cell::Unusable(text.clone()), Cell::Float)
}
