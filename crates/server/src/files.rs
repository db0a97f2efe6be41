//! From the columns of SQL to those of files: types that every reader knows. Files are written so by `penstock export`, and by a server
//! of what it is about to remove.
//!
//! Athena and most readers of Avro know no nanoseconds, and an older Spark refuses a file that has them. So a time is in
//! microseconds, and the digits below stand in a column beside it, `time_nanos`: nothing is lost, and nobody stumbles.

use std::fs::File;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType, TimestampNanosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// Why rows cannot be put into the columns of files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// A column of a type that no version before this one had.
    #[error("the column {name} is of type {kind}, which this version cannot write")]
    Type {
        /// Which.
        name: String,
        /// Its type.
        kind: String,
    },
    /// Not those of the rows before.
    #[error("the columns are not those of the rows before: run it again ({0})")]
    Columns(String),
    /// A value that the file's type has no room for.
    #[error("{0}")]
    Value(&'static str),
}

/// How exactly times are kept in one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// Microseconds, for every reader; what is finer stands in columns of its own, such as `time_nanos`.
    #[default]
    Us,
    /// Nanoseconds, for readers that know them: `DuckDB`, pandas, Polars.
    Ns,
}

/// Behind the name of a column of times: nanoseconds beyond the microsecond, 0 to 999.
pub const NANOS: &str = "_nanos";

/// Zstandard's default level: higher ones take several times as long for some per cent.
const ZSTD_LEVEL: i32 = 3;
/// Rows of a Parquet row group, and bytes: what a reader works on at a time, and what is in memory until it is written. Numbers reach the
/// rows first, some megabytes; texts the bytes.
const ROW_GROUP_ROWS: usize = 500_000;
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Times that devices sent. The server's own are always in nanoseconds, which nobody needs to be told.
const DEVICES_OWN: [&str; 2] = ["time", "device_time"];

const UTC: &str = "UTC";

/// What becomes of the columns of a table.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Those of the file.
    pub schema: SchemaRef,
    times: Times,
}

impl Columns {
    /// For the columns of a table.
    ///
    /// # Errors
    /// [`FilesError::Type`].
    pub fn new(of: &Schema, times: Times) -> Result<Self, FilesError> {
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
                other => return Err(FilesError::Type { name: name.clone(), kind: other.to_string() }),
            };
            fields.push(Field::new(name, kind, null));
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), times })
    }

    /// An answer in the columns of files, and whether a device's time in it is finer than a microsecond.
    ///
    /// # Errors
    /// [`FilesError`].
    pub fn convert(&self, batch: &RecordBatch) -> Result<(RecordBatch, bool), FilesError> {
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
        Ok((batch.map_err(|error| FilesError::Columns(error.to_string()))?, finer))
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
fn nanos(column: &dyn Array) -> Result<Int64Array, FilesError> {
    let micros = |time: i64| {
        time.checked_mul(1_000).ok_or(FilesError::Value("a time is beyond 64 bits of nanoseconds"))
    };
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Ok(column.as_primitive::<TimestampNanosecondType>().reinterpret_cast::<Int64Type>())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => column
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .map(|time| time.map(micros).transpose())
            .collect(),
        other => Err(FilesError::Type { name: "of times".to_owned(), kind: other.to_string() }),
    }
}

fn signed(column: &dyn Array) -> Result<Int64Array, FilesError> {
    let numbers = column.as_primitive::<UInt64Type>().iter();
    let signed = numbers.map(|number| number.map(i64::try_from).transpose());
    signed.collect::<Result<_, _>>().map_err(|_| FilesError::Value("a number is beyond 63 bits"))
}

/// A writer of a Parquet file with these columns.
///
/// # Errors
/// As the crate `parquet` says.
pub fn parquet_writer(file: File, schema: &SchemaRef) -> parquet::errors::Result<ArrowWriter<File>> {
    ArrowWriter::try_new(file, Arc::clone(schema), Some(properties(schema)?))
}

fn properties(schema: &Schema) -> parquet::errors::Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
    // Rows are in the order of devices and times: a difference is a few bits where a dictionary would be the times themselves.
    for field in schema.fields() {
        let is_time = matches!(field.data_type(), DataType::Timestamp(..));
        if is_time {
            let path = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(properties.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of a kilobyte each, which no compression makes small.
    #[test]
    fn a_row_group_of_long_texts_is_bounded_by_bytes() {
        let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, true)]));
        let mut writer = parquet_writer(tempfile::tempfile().expect("a file"), &schema).expect("a writer");
        let mut state = 1_u64;
        let mut text = |_| -> String {
            let byte = |_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from(b'0' + (state >> 58) as u8)
            };
            (0..1024).map(byte).collect()
        };
        for _ in 0..120 {
            let texts: StringArray = (0..1000).map(|n| Some(text(n))).collect();
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(texts)]).expect("one column");
            writer.write(&batch).expect("it is written");
        }
        let written = writer.finish().expect("it is written");
        let bytes: Vec<i64> = written.row_groups().iter().map(|group| group.compressed_size()).collect();
        let most = ROW_GROUP_BYTES as i64 * 11 / 10;
        assert!(bytes.len() > 1 && bytes.iter().all(|&bytes| bytes < most), "{bytes:?}");
    }

    #[test]
    fn times_before_1970_are_exact_too() {
        let field =
            Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let times = [Some(-1), Some(1_999), None, Some(2_000_000), Some(i64::MIN), Some(i64::MAX)];
        let array = TimestampNanosecondArray::from(times.to_vec()).with_timezone("+00:00");
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(array)]).expect("they are of one length");
        let columns = Columns::new(&schema, Times::Us).expect("known types");
        let (batch, finer) = columns.convert(&batch).expect("known types");
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
