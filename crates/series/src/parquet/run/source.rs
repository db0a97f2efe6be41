//! The bytes of a run's Parquet file, checked before anybody decodes them.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::object::Object;
use super::sidecar::{Block, Sidecar};

/// Gives out whole pages, and only such whose checksum is right: so the decoders never see a damaged byte.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) size_bytes: u64,
    /// By rising offset.
    pub(super) pages: Arc<Sidecar>,
}

/// Where the pages are.
#[derive(Debug)]
pub(super) enum Place {
    /// On the disk.
    File(File),
    /// In an object store; of these some were fetched before they are asked for, by their offset.
    Object(Arc<Object>, HashMap<u64, Bytes>),
}

/// What is wrong, and where.
#[derive(Debug, thiserror::Error)]
#[error("byte {at}: {reason}")]
pub(super) struct Damage {
    pub(super) at: u64,
    pub(super) reason: String,
}

pub(super) fn damage(at: u64, reason: impl Into<String>) -> ParquetError {
    ParquetError::External(Box::new(Damage { at, reason: reason.into() }))
}

/// Reads a block of a file and checks it.
pub(super) fn read_block(file: &File, block: Block) -> Result<Bytes> {
    let mut bytes = vec![0; block.length as usize];
    file.read_exact_at(&mut bytes, block.offset).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => damage(block.offset, "the file is cut off"),
        _ => ParquetError::External(Box::new(error)),
    })?;
    if crc32c::crc32c(&bytes) != block.checksum {
        let length = block.length;
        return Err(damage(block.offset, format!("the checksum of {length} bytes is wrong")));
    }
    Ok(bytes.into())
}

impl Source {
    fn read(&self, page: Block) -> Result<Bytes> {
        match &self.place {
            Place::File(file) => read_block(file, page),
            Place::Object(object, ahead) => match ahead.get(&page.offset) {
                Some(bytes) => Ok(bytes.clone()),
                None => object.page(page),
            },
        }
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.size_bytes
    }
}

impl ChunkReader for Source {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Err(damage(start, "something other than a page is asked for"))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let pages = &self.pages.pages;
        let page = pages.binary_search_by_key(&start, |page| page.offset).ok().map(|at| pages[at]);
        match page {
            Some(page) if page.length as usize == length => self.read(page),
            _ => Err(damage(start, format!("there is no page of {length} bytes"))),
        }
    }
}
