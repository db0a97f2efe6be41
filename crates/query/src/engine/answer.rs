//! An answer in columns, and as rows for people.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use record::Timestamp;

use super::broken;
use super::exact::Exact;
use super::session::Attempt;
use crate::{Cell, Error, Limits, Result, Table, rfc3339};

/// An answer in columns. With its columns may come others, which hold whole numbers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The columns of the answer.
    pub schema: SchemaRef,
    /// The rows; each batch may have more columns behind those of `schema`.
    batches: Vec<RecordBatch>,
    whole: Vec<Option<usize>>,
}

pub(super) struct Collecting {
    answer: Answer,
    rows: usize,
    bytes: usize,
    limits: Limits,
}

impl Collecting {
    pub(super) fn new(exact: Exact, limits: Limits) -> Self {
        let fields: Vec<_> = exact.plan.schema().fields().iter().take(exact.shown).cloned().collect();
        let schema = Arc::new(Schema::new(fields));
        let answer = Answer { schema, batches: Vec::new(), whole: exact.whole };
        Self { answer, rows: 0, bytes: 0, limits }
    }

    /// Takes rows in, as long as the answer stays within the limits: never part of one.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Attempt<()> {
        self.rows += batch.num_rows();
        self.bytes += batch.columns().iter().map(|column| bytes(column)).sum::<usize>();
        let Limits { rows, bytes, .. } = self.limits;
        if self.rows > rows {
            let words = format!("the answer has more than {rows} rows: add a LIMIT or a WHERE");
            return Err(Error::TooMuch(words).into());
        }
        if self.bytes > bytes {
            let words = format!("the answer is larger than {bytes} bytes: ask for less");
            return Err(Error::TooMuch(words).into());
        }
        self.answer.batches.push(batch);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Answer {
        // The plan's types are those before it was optimised; what came is what counts.
        if let Some(batch) = self.answer.batches.first() {
            let shown = self.answer.schema.fields().len();
            let fields: Vec<_> = batch.schema().fields().iter().take(shown).cloned().collect();
            self.answer.schema = Arc::new(Schema::new(fields));
        }
        self.answer
    }
}

/// What a column holds, not what it keeps alive: a slice of a large one is small.
fn bytes(column: &dyn Array) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

impl Answer {
    /// What it keeps in memory, at most.
    pub(super) fn bytes(&self) -> usize {
        self.batches.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    /// The rows in batches of the columns of the answer.
    ///
    /// # Errors
    /// [`Error::Engine`], which does not happen.
    pub fn batches(&self) -> Result<Vec<RecordBatch>> {
        let shown: Vec<usize> = (0..self.schema.fields().len()).collect();
        self.batches.iter().map(|batch| batch.project(&shown).map_err(broken)).collect()
    }

    /// As a stream of Arrow's IPC.
    ///
    /// # Errors
    /// [`Error::Engine`] for what Arrow cannot write.
    pub fn to_arrow(&self) -> Result<Vec<u8>> {
        let mut writer = StreamWriter::try_new(Vec::new(), &self.schema).map_err(broken)?;
        for batch in self.batches()? {
            writer.write(&batch).map_err(broken)?;
        }
        writer.into_inner().map_err(broken)
    }

    /// As rows, whole numbers exact.
    ///
    /// # Errors
    /// [`Error::TooMuch`] when as rows it is larger than an answer may be.
    pub fn to_table(&self, limits: Limits) -> Result<Table> {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut rows = Vec::new();
        let mut bytes = 0;
        for batch in &self.batches {
            for row in 0..batch.num_rows() {
                let cells: Result<Vec<Cell>> = (0..names.len()).map(|at| self.cell(batch, at, row)).collect();
                let cells = cells?;
                let texts = cells.iter().map(|cell| if let Cell::Text(text) = cell { text.len() } else { 0 });
                bytes += texts.sum::<usize>() + size_of_val(&*cells);
                if bytes > limits.bytes {
                    let most = limits.bytes;
                    return Err(Error::TooMuch(format!(
                        "the answer is larger than {most} bytes: ask for less"
                    )));
                }
                rows.push(cells);
            }
        }
        Ok(Table::new(&names, rows))
    }

    fn cell(&self, batch: &RecordBatch, at: usize, row: usize) -> Result<Cell> {
        if let Some(whole) = self.whole[at].map(|whole| batch.column(whole).as_primitive::<Int64Type>())
            && whole.is_valid(row)
        {
            return Ok(Cell::Int(whole.value(row)));
        }
        cell(batch.column(at), row)
    }
}

fn cell(column: &dyn Array, row: usize) -> Result<Cell> {
    fn at<T: ArrowPrimitiveType>(column: &dyn Array, row: usize) -> T::Native {
        column.as_primitive::<T>().value(row)
    }
    if column.is_null(row) {
        return Ok(Cell::Null);
    }
    Ok(match column.data_type() {
        DataType::Null => Cell::Null,
        DataType::Boolean => Cell::Bool(column.as_boolean().value(row)),
        DataType::Int8 => Cell::Int(at::<Int8Type>(column, row).into()),
        DataType::Int16 => Cell::Int(at::<Int16Type>(column, row).into()),
        DataType::Int32 => Cell::Int(at::<Int32Type>(column, row).into()),
        DataType::Int64 => Cell::Int(at::<Int64Type>(column, row)),
        DataType::UInt8 => Cell::Int(at::<UInt8Type>(column, row).into()),
        DataType::UInt16 => Cell::Int(at::<UInt16Type>(column, row).into()),
        DataType::UInt32 => Cell::Int(at::<UInt32Type>(column, row).into()),
        DataType::UInt64 => {
            let number = at::<UInt64Type>(column, row);
            i64::try_from(number).map_or_else(|_| Cell::Text(number.to_string()), Cell::Int)
        }
        DataType::Float64 => Cell::Float(at::<Float64Type>(column, row)),
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::Utf8View => Cell::Text(column.as_string_view().value(row).to_owned()),
        DataType::Timestamp(unit, Some(_)) => {
            let (count, nanos) = match unit {
                TimeUnit::Second => (at::<TimestampSecondType>(column, row), 1_000_000_000),
                TimeUnit::Millisecond => (at::<TimestampMillisecondType>(column, row), 1_000_000),
                TimeUnit::Microsecond => (at::<TimestampMicrosecondType>(column, row), 1_000),
                TimeUnit::Nanosecond => (at::<TimestampNanosecondType>(column, row), 1),
            };
            match i64::checked_mul(count, nanos) {
                Some(nanos) => Cell::Text(rfc3339(Timestamp::from_nanos(nanos))),
                None => as_text(column, row)?,
            }
        }
        _ => as_text(column, row)?,
    })
}

/// Anything else as Arrow shows it.
fn as_text(column: &dyn Array, row: usize) -> Result<Cell> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options).map_err(broken)?;
    Ok(Cell::Text(formatter.value(row).try_to_string().map_err(broken)?))
}
