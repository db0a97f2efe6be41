//! Rows become columns, only those that are asked for.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampNanosecondBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Schema, SchemaRef};
use record::Timestamp;

use super::{BATCH_ROWS, UTC};

/// Collects the rows of one batch. Each row gives every column, in any order, then [`Builder::end_row`]; what is not
/// asked for is forgotten at once.
pub(crate) struct Builder {
    /// By place in the table; `None`: not asked for.
    columns: Vec<Option<Column>>,
    /// The places asked for, in their order.
    order: Vec<usize>,
    schema: SchemaRef,
    rows: usize,
}

enum Column {
    Time(TimestampNanosecondBuilder),
    Text(StringBuilder),
    Float(Float64Builder),
    Int(Int64Builder),
    UInt(UInt64Builder),
    Bool(BooleanBuilder),
}

impl Builder {
    /// For these columns of a table; `None`: all.
    pub(crate) fn new(table: &SchemaRef, columns: Option<&[usize]>) -> Self {
        let order: Vec<usize> = match columns {
            Some(columns) => columns.iter().copied().filter(|&at| at < table.fields().len()).collect(),
            None => (0..table.fields().len()).collect(),
        };
        let fields: Vec<_> = order.iter().map(|&at| Arc::clone(&table.fields()[at])).collect();
        let mut slots: Vec<Option<Column>> = table.fields().iter().map(|_| None).collect();
        for &at in &order {
            slots[at] = Some(Column::new(table.field(at).data_type()));
        }
        Self { columns: slots, order, schema: Arc::new(Schema::new(fields)), rows: 0 }
    }

    /// Whether a column is asked for: what is dear to compute can be left out.
    pub(crate) fn wants(&self, column: usize) -> bool {
        self.columns[column].is_some()
    }

    pub(crate) fn time(&mut self, column: usize, time: Option<Timestamp>) {
        if let Some(Column::Time(builder)) = &mut self.columns[column] {
            builder.append_option(time.map(Timestamp::nanos));
        }
    }

    pub(crate) fn text(&mut self, column: usize, text: Option<&str>) {
        if let Some(Column::Text(builder)) = &mut self.columns[column] {
            builder.append_option(text);
        }
    }

    /// A NaN is NULL.
    pub(crate) fn float(&mut self, column: usize, float: Option<f64>) {
        if let Some(Column::Float(builder)) = &mut self.columns[column] {
            builder.append_option(float.filter(|float| !float.is_nan()));
        }
    }

    pub(crate) fn int(&mut self, column: usize, int: Option<i64>) {
        if let Some(Column::Int(builder)) = &mut self.columns[column] {
            builder.append_option(int);
        }
    }

    pub(crate) fn uint(&mut self, column: usize, int: Option<u64>) {
        if let Some(Column::UInt(builder)) = &mut self.columns[column] {
            builder.append_option(int);
        }
    }

    pub(crate) fn bool(&mut self, column: usize, value: Option<bool>) {
        if let Some(Column::Bool(builder)) = &mut self.columns[column] {
            builder.append_option(value);
        }
    }

    pub(crate) fn end_row(&mut self) {
        self.end_rows(1);
    }

    /// So many rows have all their columns.
    pub(crate) fn end_rows(&mut self, rows: usize) {
        self.rows += rows;
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS
    }

    /// The rows so far as a batch; the builder is empty again.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        let slots = &mut self.columns;
        // A column asked for twice is built once.
        let built: Vec<Option<ArrayRef>> =
            slots.iter_mut().map(|slot| slot.as_mut().map(Column::finish)).collect();
        let arrays =
            self.order.iter().map(|&at| built[at].clone().expect("what is asked for is built")).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .expect("every row gives every column, in the table's types")
    }
}

impl Column {
    fn new(kind: &DataType) -> Self {
        match kind {
            DataType::Timestamp(..) => {
                Self::Time(TimestampNanosecondBuilder::new().with_timezone(Arc::<str>::from(UTC)))
            }
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            DataType::Int64 => Self::Int(Int64Builder::new()),
            DataType::UInt64 => Self::UInt(UInt64Builder::new()),
            _ => Self::Bool(BooleanBuilder::new()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Int(builder) => Arc::new(builder.finish()),
            Self::UInt(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
        }
    }
}
