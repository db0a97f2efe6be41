//! One column of one row group, encoded in memory; how it is encoded is found by trying on a sample.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::{
    ColumnCloseResult, ColumnWriterImpl, get_column_writer, get_typed_column_writer,
};
use parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::statistics::Statistics;
use parquet::file::writer::TrackedWrite;
use parquet::schema::types::ColumnDescPtr;

use super::leaf::{Leaf, Values};
use super::pack::{Packer, Packing};

/// Fewest rows in a page, if there are as many: what a question about one device reads at least.
pub(super) const PAGE_ROWS: usize = 8 << 10;
/// The same of files that are looked into again and again for a few rows until they are merged.
pub(super) const SMALL_PAGE_ROWS: usize = 1 << 10;
/// Level 9 saves 1 % more and takes four times as long.
const LEVEL: i32 = 3;
/// What is also tried where there are few values: it saves 1 % more and takes three times as long, which is at most
/// 1.5 microseconds for each value. Level 19 saves 0.2 % more and takes twice as long again.
const THOROUGH_LEVEL: i32 = 16;
/// So many values are few: less than a tenth of a second.
const FEW: usize = 48 << 10;
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

/// What encodes the columns of row groups of one size: a writer's settings for each way of encoding.
#[derive(Debug)]
pub(super) struct Encoder {
    rows: usize,
    metrics: usize,
    ways: [WriterPropertiesPtr; 4],
    key: WriterPropertiesPtr,
    packer: Packer,
}

impl Encoder {
    /// `least`: fewest rows in a page.
    pub(super) fn new(rows: usize, metrics: usize, least: usize) -> Result<Self> {
        let page = page_rows(rows, least);
        let of = |how| Arc::new(properties(how, EnabledStatistics::None, page).build());
        let ways = [of(How::Plain), of(How::Delta), of(How::Split), of(How::Dictionary)];
        let key = Arc::new(properties(How::Delta, EnabledStatistics::Page, page).build());
        let thorough = (rows * metrics.max(1) <= FEW).then_some(THOROUGH_LEVEL);
        Ok(Self { rows, metrics, ways, key, packer: Packer::new(LEVEL, thorough)? })
    }

    /// Whether it is for row groups of so many rows and columns of metrics.
    pub(super) fn is_for(&self, rows: usize, metrics: usize) -> bool {
        (self.rows, self.metrics) == (rows, metrics)
    }
}

/// Pages as large as each other, of `least` rows or somewhat more: a last one of a few rows costs as much as another.
/// Few rows are one page: each has a head for each column, and so do the indexes that tell pages apart.
fn page_rows(rows: usize, least: usize) -> usize {
    let pages = if rows < 3 * least { 1 } else { rows / least };
    // The library looks at the limit after each 1024.
    rows.div_ceil(pages).next_multiple_of(1024)
}

pub(super) fn properties(
    how: How,
    statistics: EnabledStatistics,
    page_rows: usize,
) -> parquet::file::properties::WriterPropertiesBuilder {
    let builder = WriterProperties::builder()
        .set_created_by("penstock".to_owned())
        .set_compression(Compression::UNCOMPRESSED)
        .set_data_page_row_count_limit(page_rows)
        .set_statistics_enabled(statistics)
        .set_dictionary_enabled(how == How::Dictionary);
    match how {
        How::Plain | How::Dictionary => builder.set_encoding(Encoding::PLAIN),
        How::Delta => builder.set_encoding(Encoding::DELTA_BINARY_PACKED),
        How::Split => builder.set_encoding(Encoding::BYTE_STREAM_SPLIT),
    }
}

/// A column chunk as it goes into the file.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: bytes::Bytes,
    pub(super) close: ColumnCloseResult,
}

impl Chunk {
    pub(super) fn is_one_page(&self) -> bool {
        self.close.offset_index.as_ref().is_none_or(|index| index.page_locations.len() <= 1)
    }

    pub(super) fn without_index(&mut self) {
        (self.close.offset_index, self.close.column_index) = (None, None);
    }
}

impl Encoder {
    /// Encodes a metric's column.
    pub(super) fn encode(&mut self, leaf: &Leaf, column: &ColumnDescPtr) -> Result<Chunk> {
        use How::{Delta, Dictionary, Plain, Split};
        // A required part of an optional place has the place's levels.
        let levels = (column.max_def_level() > 0).then_some(&leaf.levels[..]);
        match &leaf.values {
            Values::Int32(values) => {
                self.best::<Int32Type>(values, levels, column, &[Delta, Split, Plain, Dictionary])
            }
            Values::Int64(values) => {
                self.best::<Int64Type>(values, levels, column, &[Delta, Split, Plain, Dictionary])
            }
            Values::Float32(values) => {
                self.best::<FloatType>(values, levels, column, &[Split, Plain, Dictionary])
            }
            Values::Float64(values) => {
                self.best::<DoubleType>(values, levels, column, &[Split, Plain, Dictionary])
            }
            Values::Bool(values) => self.one::<BoolType>(values, levels, column, Plain),
            Values::Bytes(values) => self.one::<ByteArrayType>(values, levels, column, Dictionary),
        }
    }

    /// Encodes a column of keys. They are sorted, or nearly: deltas are best.
    pub(super) fn encode_key(&mut self, leaf: &Leaf, column: &ColumnDescPtr) -> Result<Chunk> {
        let levels = (column.max_def_level() > 0).then_some(&leaf.levels[..]);
        // Only of these can it be asked whether a page may hold what is wanted.
        let ranged = ["_group", "_device", "_time"].contains(&column.name());
        let key = Arc::clone(if ranged { &self.key } else { &self.ways[How::Delta as usize] });
        match &leaf.values {
            Values::Int32(values) => self.with::<Int32Type>(values, levels, column, key, true),
            Values::Int64(values) => self.with::<Int64Type>(values, levels, column, key, true),
            Values::Bytes(values) => self.one::<ByteArrayType>(values, levels, column, How::Plain),
            _ => self.encode(leaf, column),
        }
    }

    fn best<T: DataType>(
        &mut self,
        values: &[T::T],
        levels: Option<&[i16]>,
        column: &ColumnDescPtr,
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
                let way_of = Arc::clone(&self.ways[way as usize]);
                let tried = self.with::<T>(sample, present, column, way_of, false)?.bytes.len();
                if tried < smallest {
                    (how, smallest) = (way, tried);
                }
            }
        }
        self.one::<T>(values, levels, column, how)
    }

    fn one<T: DataType>(
        &mut self,
        values: &[T::T],
        levels: Option<&[i16]>,
        column: &ColumnDescPtr,
        how: How,
    ) -> Result<Chunk> {
        let way = Arc::clone(&self.ways[how as usize]);
        self.with::<T>(values, levels, column, way, true)
    }

    fn with<T: DataType>(
        &mut self,
        values: &[T::T],
        levels: Option<&[i16]>,
        column: &ColumnDescPtr,
        properties: WriterPropertiesPtr,
        stays: bool,
    ) -> Result<Chunk> {
        let mut sink = TrackedWrite::new(Vec::with_capacity(values.len()));
        let (packer, width) = (&mut self.packer, size_of::<T::T>());
        let packing = Packing { packer, sink: &mut sink, levels, width, stays };
        let writer = get_column_writer(Arc::clone(column), properties, Box::new(packing));
        let mut writer: ColumnWriterImpl<'_, T> = get_typed_column_writer(writer);
        writer.write_batch(values, levels, None)?;
        let mut close = writer.close()?;
        close.metadata = described(close.metadata)?;
        Ok(Chunk { bytes: sink.into_inner()?.into(), close })
    }
}

/// What the footer says of a chunk: how it is packed, and nothing twice.
fn described(chunk: ColumnChunkMetaData) -> Result<ColumnChunkMetaData> {
    // Smallest and largest also stand where programs of before 2018 look for them.
    let statistics = match chunk.statistics() {
        Some(Statistics::Int64(of)) => Some(of.clone().with_backwards_compatible_min_max(false).into()),
        Some(Statistics::Int32(of)) => Some(of.clone().with_backwards_compatible_min_max(false).into()),
        _ => None,
    };
    let packed = Compression::ZSTD(ZstdLevel::try_new(LEVEL)?);
    let builder = chunk.into_builder().set_compression(packed).clear_page_encoding_stats();
    match statistics {
        Some(statistics) => builder.set_statistics(statistics).build(),
        None => builder.build(),
    }
}
