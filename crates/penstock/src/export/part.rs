//! One file of an export, in the format asked for.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use apache_avro::types::Value;
use apache_avro::{Codec, DeflateSettings};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use record::Timestamp;
use serde_json::json;
use server::files::{NANOS, parquet_writer};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Compressed columns (zstd)
    #[default]
    Parquet,
    /// RFC 4180 with a header line; times as RFC 3339
    Csv,
    /// Avro's container files (deflate)
    Avro,
}

impl Format {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Avro => "avro",
        }
    }
}

/// Bytes of an Avro block before compression.
const AVRO_BLOCK_BYTES: usize = 256 << 10;
/// Columns of floats, and those with their whole numbers (docs/sql.md): as text a number is shown exactly.
const EXACT: [(&str, &str); 2] = [("value", "integer"), ("old_value", "old_integer")];

/// What is the same for all files of an export.
pub(super) struct Writing {
    format: Format,
    schema: SchemaRef,
    avro: Option<apache_avro::Schema>,
}

/// A file being written.
pub(super) enum Part<'w> {
    Parquet(Box<ArrowWriter<File>>),
    Csv(Box<csv::Writer<File>>, Vec<TextColumn>),
    Avro(Box<apache_avro::Writer<'w, BufWriter<File>>>, &'w Schema),
}

impl Writing {
    pub(super) fn new(format: Format, table: &str, schema: SchemaRef) -> anyhow::Result<Self> {
        let avro = match format {
            Format::Avro => Some(avro_schema(table, &schema)?),
            Format::Parquet | Format::Csv => None,
        };
        Ok(Self { format, schema, avro })
    }

    pub(super) fn open(&self, path: &Path) -> anyhow::Result<Part<'_>> {
        let file = File::create_new(path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(match (self.format, &self.avro) {
            (Format::Avro, Some(schema)) => {
                let writer = apache_avro::Writer::builder()
                    .schema(schema)
                    .writer(BufWriter::new(file))
                    .codec(Codec::Deflate(DeflateSettings::default()))
                    .block_size(AVRO_BLOCK_BYTES)
                    .build()?;
                Part::Avro(Box::new(writer), &self.schema)
            }
            (Format::Csv, _) => {
                let columns = text_columns(&self.schema);
                let mut writer =
                    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(file);
                writer.write_record(columns.iter().map(|column| &column.name))?;
                Part::Csv(Box::new(writer), columns)
            }
            _ => Part::Parquet(Box::new(parquet_writer(file, &self.schema)?)),
        })
    }
}

impl Part<'_> {
    pub(super) fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        match self {
            Self::Parquet(writer) => writer.write(batch)?,
            Self::Csv(writer, columns) => {
                for row in 0..batch.num_rows() {
                    for column in columns.iter() {
                        writer.write_field(column.text(batch, row))?;
                    }
                    writer.write_record(None::<&[u8]>)?;
                }
            }
            Self::Avro(writer, schema) => {
                for row in 0..batch.num_rows() {
                    let fields = schema.fields().iter().zip(batch.columns());
                    let fields = fields.map(|(field, column)| {
                        let value = avro_value(column, row);
                        let value = match (field.is_nullable(), &value) {
                            (true, Value::Null) => Value::Union(0, Box::new(value)),
                            (true, _) => Value::Union(1, Box::new(value)),
                            (false, _) => value,
                        };
                        (field.name().clone(), value)
                    });
                    writer.unvalidated_append_value(Value::Record(fields.collect()))?;
                }
            }
        }
        Ok(())
    }

    /// Ends the file; it is on the disk when this returns. Its size, bytes.
    pub(super) fn finish(self) -> anyhow::Result<u64> {
        let file = match self {
            Self::Parquet(writer) => writer.into_inner()?,
            Self::Csv(writer, _) => writer.into_inner().map_err(csv::IntoInnerError::into_error)?,
            Self::Avro(writer, _) => {
                let mut buffered = writer.into_inner()?;
                buffered.flush()?;
                buffered.into_inner().map_err(std::io::IntoInnerError::into_error)?
            }
        };
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

/// How a column of text is made of one or two of a batch.
pub(super) struct TextColumn {
    name: String,
    at: usize,
    /// The column that is shown instead where it has something.
    exact: Option<usize>,
}

/// As text a time has all its digits, so that there need not be a second column for them.
fn text_columns(schema: &Schema) -> Vec<TextColumn> {
    let shown = schema.fields().iter().enumerate().filter(|(at, field)| {
        let before = at.checked_sub(1).map(|before| schema.field(before));
        before.is_none_or(|before| *field.name() != format!("{}{NANOS}", before.name()))
    });
    let column = |(at, field): (usize, &std::sync::Arc<arrow_schema::Field>)| {
        let exact = EXACT.iter().find(|(float, _)| float == field.name());
        let exact = exact.and_then(|(_, whole)| schema.index_of(whole).ok());
        TextColumn { name: field.name().clone(), at, exact }
    };
    shown.map(column).collect()
}

impl TextColumn {
    fn text(&self, batch: &RecordBatch, row: usize) -> String {
        if let Some(exact) = self.exact.map(|exact| batch.column(exact).as_primitive::<Int64Type>())
            && exact.is_valid(row)
        {
            return exact.value(row).to_string();
        }
        let column = batch.column(self.at);
        if column.is_null(row) {
            return String::new();
        }
        match column.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
                let below = batch.column(self.at + 1).as_primitive::<Int32Type>().value(row);
                // What came from 64 bits of nanoseconds is within them, though its microseconds, rounded down, need not be.
                let nanos = i128::from(micros) * 1_000 + i128::from(below);
                time_text(i64::try_from(nanos).unwrap_or(i64::MIN))
            }
            DataType::Timestamp(..) => time_text(column.as_primitive::<TimestampNanosecondType>().value(row)),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
            // Shortest digits that mean the same bits, and always with a point or an exponent.
            DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
            DataType::Boolean => column.as_boolean().value(row).to_string(),
            _ => column.as_string::<i32>().value(row).to_owned(),
        }
    }
}

fn time_text(nanos: i64) -> String {
    query::rfc3339(Timestamp::from_nanos(nanos))
}

fn avro_schema(table: &str, schema: &Schema) -> anyhow::Result<apache_avro::Schema> {
    let fields = schema.fields().iter().map(|field| {
        let kind = match field.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                json!({ "type": "long", "logicalType": "timestamp-micros" })
            }
            DataType::Timestamp(..) => json!({ "type": "long", "logicalType": "timestamp-nanos" }),
            DataType::Int64 => json!("long"),
            DataType::Int32 => json!("int"),
            DataType::Float64 => json!("double"),
            DataType::Boolean => json!("boolean"),
            _ => json!("string"),
        };
        let kind = if field.is_nullable() { json!(["null", kind]) } else { kind };
        json!({ "name": field.name(), "type": kind })
    });
    let fields: Vec<_> = fields.collect();
    let schema = json!({ "type": "record", "name": table, "namespace": "penstock", "fields": fields });
    apache_avro::Schema::parse(&schema).context("the table's columns have names that Avro cannot have")
}

fn avro_value(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Value::TimestampMicros(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Timestamp(..) => {
            Value::TimestampNanos(column.as_primitive::<TimestampNanosecondType>().value(row))
        }
        DataType::Int64 => Value::Long(column.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row)),
        DataType::Float64 => Value::Double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        _ => Value::String(column.as_string::<i32>().value(row).to_owned()),
    }
}
