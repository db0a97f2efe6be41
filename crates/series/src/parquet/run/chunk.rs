//! One column of one row group, encoded in memory; how it is encoded is found by trying on a sample.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::page::PageWriter;
use parquet::column::writer::{ColumnCloseResult, ColumnWriterImpl, get_typed_column_writer};
use parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::leaf::{Leaf, Values};

/// Rows in a page: what a question about one device reads at least.
pub(super) const PAGE_ROWS: usize = 8 << 10;
/// How many values are encoded in each way to find the smallest. Enough to fill a zstd block of most encodings.
const SAMPLE: usize = 2 << 10;
/// With fewer values than this, the sample is not worth its time.
const LEAST_TO_SAMPLE: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Plain,
    Delta,
    Split,
    Dictionary,
}

/// Settings of a file's writers, one for each way of encoding.
#[derive(Debug)]
pub(super) struct Settings([WriterPropertiesPtr; 4], WriterPropertiesPtr);

impl Settings {
    pub(super) fn new() -> Result<Self> {
        let of = |how| -> Result<_> { Ok(Arc::new(properties(how, EnabledStatistics::None)?.build())) };
        let each = [of(How::Plain)?, of(How::Delta)?, of(How::Split)?, of(How::Dictionary)?];
        // The key columns are sorted, or nearly: deltas are best, and only their statistics can rule anything out.
        Ok(Self(each, Arc::new(properties(How::Delta, EnabledStatistics::Page)?.build())))
    }

    fn of(&self, how: How) -> WriterPropertiesPtr {
        Arc::clone(&self.0[how as usize])
    }
}

pub(super) fn properties(
    how: How,
    statistics: EnabledStatistics,
) -> Result<parquet::file::properties::WriterPropertiesBuilder> {
    let builder = WriterProperties::builder()
        .set_created_by("penstock".to_owned())
        // Level 9 saves 1 % more and takes four times as long.
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(statistics)
        .set_dictionary_enabled(how == How::Dictionary);
    Ok(match how {
        How::Plain | How::Dictionary => builder.set_encoding(Encoding::PLAIN),
        How::Delta => builder.set_encoding(Encoding::DELTA_BINARY_PACKED),
        How::Split => builder.set_encoding(Encoding::BYTE_STREAM_SPLIT),
    })
}

/// A column chunk as it goes into the file.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: bytes::Bytes,
    pub(super) close: ColumnCloseResult,
}

/// Encodes a metric's column.
pub(super) fn encode(leaf: &Leaf, column: &ColumnDescPtr, settings: &Settings) -> Result<Chunk> {
    use How::{Delta, Dictionary, Plain, Split};
    // A required part of an optional place has the place's levels.
    let levels = (column.max_def_level() > 0).then_some(&leaf.levels[..]);
    match &leaf.values {
        Values::Int32(values) => {
            best::<Int32Type>(values, levels, column, settings, &[Delta, Split, Plain, Dictionary])
        }
        Values::Int64(values) => {
            best::<Int64Type>(values, levels, column, settings, &[Delta, Split, Plain, Dictionary])
        }
        Values::Float32(values) => {
            best::<FloatType>(values, levels, column, settings, &[Split, Plain, Dictionary])
        }
        Values::Float64(values) => {
            best::<DoubleType>(values, levels, column, settings, &[Split, Plain, Dictionary])
        }
        Values::Bool(values) => one::<BoolType>(values, levels, column, settings.of(Plain)),
        Values::Bytes(values) => one::<ByteArrayType>(values, levels, column, settings.of(Dictionary)),
    }
}

/// Encodes a column of keys.
pub(super) fn encode_key(leaf: &Leaf, column: &ColumnDescPtr, settings: &Settings) -> Result<Chunk> {
    let levels = (column.max_def_level() > 0).then_some(&leaf.levels[..]);
    match &leaf.values {
        Values::Int32(values) => one::<Int32Type>(values, levels, column, Arc::clone(&settings.1)),
        Values::Int64(values) => one::<Int64Type>(values, levels, column, Arc::clone(&settings.1)),
        _ => encode(leaf, column, settings),
    }
}

fn best<T: DataType>(
    values: &[T::T],
    levels: Option<&[i16]>,
    column: &ColumnDescPtr,
    settings: &Settings,
    ways: &[How],
) -> Result<Chunk> {
    let mut how = ways[0];
    if values.len() >= LEAST_TO_SAMPLE {
        let size = SAMPLE.min(values.len());
        let from = (values.len() - size) / 2;
        let sample = &values[from..from + size];
        let present = vec![column.max_def_level(); size];
        let present = levels.map(|_| &present[..]);
        let mut smallest = usize::MAX;
        for &way in ways {
            let tried = one::<T>(sample, present, column, settings.of(way))?.bytes.len();
            if tried < smallest {
                (how, smallest) = (way, tried);
            }
        }
    }
    one::<T>(values, levels, column, settings.of(how))
}

fn one<T: DataType>(
    values: &[T::T],
    levels: Option<&[i16]>,
    column: &ColumnDescPtr,
    properties: WriterPropertiesPtr,
) -> Result<Chunk> {
    let mut sink = TrackedWrite::new(Vec::with_capacity(values.len()));
    let page_writer: Box<dyn PageWriter + '_> = Box::new(SerializedPageWriter::new(&mut sink));
    let writer = parquet::column::writer::get_column_writer(Arc::clone(column), properties, page_writer);
    let mut writer: ColumnWriterImpl<'_, T> = get_typed_column_writer(writer);
    writer.write_batch(values, levels, None)?;
    let close = writer.close()?;
    Ok(Chunk { bytes: sink.into_inner()?.into(), close })
}
