//! Pages between zstd and the Parquet library. The library would make a context for each column that is read and drop
//! it again, which takes as long as unpacking a page does; here a thread has one for all pages.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::serialized_reader::SerializedPageReader;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

use super::source::{Source, damage};

/// Most a page may take once unpacked, bytes. A page ends behind the value that makes it larger than 1 MiB.
const PAGE_BYTES: u64 = 256 << 20;

thread_local! {
    static UNPACKING: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A footer's facts as the library has to see them when pages come to it unpacked.
pub(super) fn unpacked(metadata: ParquetMetaData) -> Result<ParquetMetaData> {
    let mut builder = metadata.into_builder();
    let groups = builder.take_row_groups().into_iter().map(unpacked_group).collect::<Result<Vec<_>>>()?;
    Ok(builder.set_row_groups(groups).build())
}

fn unpacked_group(group: RowGroupMetaData) -> Result<RowGroupMetaData> {
    let mut builder = group.into_builder();
    let of = |chunk: ColumnChunkMetaData| match chunk.compression() {
        Compression::ZSTD(_) => chunk.into_builder().set_compression(Compression::UNCOMPRESSED).build(),
        other => Err(damage(0, format!("a column is packed by {other}"))),
    };
    let chunks = builder.take_columns().into_iter().map(of).collect::<Result<Vec<_>>>()?;
    builder.set_column_metadata(chunks).build()
}

/// Where the page is of a chunk that has one only: files of few rows have no offset index.
pub(super) fn only(chunk: &ColumnChunkMetaData) -> PageLocation {
    let (start, bytes) = chunk.byte_range();
    let offset = chunk.data_page_offset();
    let end = i64::try_from(start + bytes).unwrap_or(i64::MAX);
    let compressed_page_size = i32::try_from(end.saturating_sub(offset)).unwrap_or(0);
    PageLocation { offset, compressed_page_size, first_row_index: 0 }
}

/// The pages of a column chunk, unpacked.
pub(super) struct Pages(SerializedPageReader<Source>);

impl Pages {
    /// The chunk is one of [`unpacked`].
    pub(super) fn new(
        source: &Arc<Source>,
        chunk: &ColumnChunkMetaData,
        rows: usize,
        pages: Vec<PageLocation>,
    ) -> Result<Self> {
        SerializedPageReader::new(Arc::clone(source), chunk, rows, Some(pages)).map(Self)
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some(mut page) = self.0.get_next_page()? else { return Ok(None) };
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = unpack(buf)?,
            Page::DataPageV2 { .. } => return Err(damage(0, "a page is of a kind that is not written")),
        }
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }
}

fn unpack(packed: &[u8]) -> Result<Bytes> {
    let size = get_frame_content_size(packed).ok().flatten().filter(|&size| size <= PAGE_BYTES);
    let size = size.ok_or_else(|| damage(0, "a page does not say how large it is"))?;
    let unpacked = UNPACKING.with_borrow_mut(|kept| {
        let context = match kept {
            Some(context) => context,
            none => none.insert(Decompressor::new()?),
        };
        context.decompress(packed, size as usize)
    });
    unpacked.map(Bytes::from).map_err(|error| damage(0, format!("a page cannot be unpacked: {error}")))
}
