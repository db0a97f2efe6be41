//! A run whose Parquet file is in an object store. Its sidecar stays on the disk, and beside it the *seal*: the file's footer,
//! and a hash of each page.
//!
//! A checksum finds what a disk or a cable did. Who may write into a bucket can make bytes whose checksum is right; the
//! hash finds that too. So no byte is decoded that was not written here.
//!
//! ```text
//! "PSTKSEAL" · version u16 · zero u16 · number of pages u32 · CRC32C u32 of what follows
//! the first 16 bytes of each page's SHA-256, in the order of the sidecar · the footer
//! ```

use std::fmt::Debug;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use sha2::{Digest, Sha256};

use super::fault::io_fault;
use super::sidecar::{Block, Sidecar};
use super::sidecar_path;
use super::source::{damage, read_block};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"PSTKSEAL";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 20;

/// The beginning of a page's SHA-256.
type Hash = [u8; 16];

/// Whence the bytes of an object come.
pub(crate) trait Fetch: Debug + Send + Sync + 'static {
    /// Which object, for errors.
    fn place(&self) -> String;

    /// The bytes of these ranges, in their order.
    ///
    /// # Errors
    /// [`Error::Database`] when the object store refuses or does not answer, [`Error::Damaged`] when the object is not
    /// there or too short.
    fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>>;

    /// A page that was fetched before, by its offset.
    fn kept(&self, offset: u64) -> Option<Bytes>;

    /// Keeps a page that was found right, as long as there is room.
    fn keep(&self, offset: u64, page: &Bytes);
}

/// The Parquet file of a run, in an object store.
#[derive(Debug)]
pub(crate) struct Object {
    fetch: Arc<dyn Fetch>,
    sidecar: Arc<Sidecar>,
    hashes: Vec<Hash>,
}

/// Where a run's seal is.
pub(crate) fn seal_path(run: &Path) -> PathBuf {
    run.with_extension("seal")
}

/// Reads every page of a run, checks it, and writes the seal. The run can go to an object store then.
///
/// # Errors
/// [`Error::Damaged`] when a page is; [`Error::Full`] and [`Error::Database`] when the disk refuses.
pub(crate) fn seal(path: &Path) -> Result<()> {
    let sidecar = super::read::read_sidecar(&sidecar_path(path))?;
    let file = File::open(path).map_err(|error| io_fault("opening", path, &error))?;
    let failed = |error| super::read::fault(path, error);
    let mut body = Vec::with_capacity(sidecar.pages.len() * size_of::<Hash>());
    for &page in &sidecar.pages {
        body.extend_from_slice(&hash(&read_block(&file, page).map_err(failed)?));
    }
    body.extend_from_slice(&read_block(&file, sidecar.footer).map_err(failed)?);
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&(sidecar.pages.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    let seal = seal_path(path);
    let written = File::create(&seal).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()
    });
    written.map_err(|error| io_fault("writing", &seal, &error))
}

fn hash(page: &[u8]) -> Hash {
    let whole: [u8; 32] = Sha256::digest(page).into();
    let mut hash = Hash::default();
    hash.copy_from_slice(&whole[..size_of::<Hash>()]);
    hash
}

impl Object {
    /// With what its seal says. Returns the footer too.
    pub(super) fn open(path: &Path, sidecar: &Arc<Sidecar>, fetch: Arc<dyn Fetch>) -> Result<(Self, Bytes)> {
        let seal = seal_path(path);
        let bytes = std::fs::read(&seal).map_err(|error| io_fault("opening", &seal, &error))?;
        let damaged = |reason: &str| Error::Damaged {
            place: seal.display().to_string(),
            at: "the seal".to_owned(),
            reason: reason.to_owned(),
        };
        let (head, body) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("it is cut off"))?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[..8] != *MAGIC {
            return Err(damaged("it does not begin as one"));
        }
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version > VERSION {
            let (found, known) = (version.into(), VERSION.into());
            return Err(Error::Newer { place: seal.display().to_string(), found, known });
        }
        if number(16) != crc32c::crc32c(body) {
            return Err(damaged("its checksum is wrong"));
        }
        let hashes_bytes = sidecar.pages.len() * size_of::<Hash>();
        let footer_bytes = sidecar.footer.length as usize;
        if number(12) as usize != sidecar.pages.len() || body.len() != hashes_bytes + footer_bytes {
            return Err(damaged("it is of another file"));
        }
        let (hashes, footer) = body.split_at(hashes_bytes);
        if crc32c::crc32c(footer) != sidecar.footer.checksum {
            return Err(damaged("it is of another file"));
        }
        let hashes = hashes.as_chunks().0.to_vec();
        Ok((Self { fetch, sidecar: Arc::clone(sidecar), hashes }, Bytes::copy_from_slice(footer)))
    }

    /// Which object, for errors.
    pub(super) fn place(&self) -> String {
        self.fetch.place()
    }

    /// The memory it takes, bytes, nearly.
    pub(super) fn size_bytes(&self) -> usize {
        self.hashes.len() * size_of::<Hash>()
    }

    /// A page.
    pub(super) fn page(&self, page: Block) -> parquet::errors::Result<Bytes> {
        let pages = self.pages(&[page], true).map_err(external)?;
        pages.into_iter().next().ok_or_else(|| damage(page.offset, "nothing was fetched"))
    }

    /// Pages, in their order: those that are kept, and the others fetched together and kept if wanted.
    pub(super) fn pages(&self, pages: &[Block], keep: bool) -> Result<Vec<Bytes>> {
        let mut found: Vec<Option<Bytes>> = pages.iter().map(|page| self.fetch.kept(page.offset)).collect();
        let missing: Vec<usize> = (0..pages.len()).filter(|&at| found[at].is_none()).collect();
        if !missing.is_empty() {
            let ranges: Vec<_> = missing.iter().map(|&at| range(pages[at])).collect();
            for (&at, bytes) in missing.iter().zip(self.fetch.fetch(&ranges)?) {
                found[at] = Some(self.admit(pages[at], bytes, keep)?);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Those of these pages that are not kept.
    pub(crate) fn missing(&self, pages: Vec<Block>) -> Vec<Block> {
        pages.into_iter().filter(|page| self.fetch.kept(page.offset).is_none()).collect()
    }

    /// Checks a page that was fetched.
    pub(crate) fn admit(&self, page: Block, bytes: Bytes, keep: bool) -> Result<Bytes> {
        let damaged = |reason: String| Error::Damaged {
            place: self.place(),
            at: format!("byte {}", page.offset),
            reason,
        };
        let at = self.sidecar.pages.binary_search_by_key(&page.offset, |page| page.offset);
        let expected = at.ok().and_then(|at| self.hashes.get(at));
        if bytes.len() != page.length as usize {
            return Err(damaged(format!("{} bytes came, {} were asked for", bytes.len(), page.length)));
        }
        if crc32c::crc32c(&bytes) != page.checksum || expected != Some(&hash(&bytes)) {
            return Err(damaged(format!("{} bytes are not what was written", page.length)));
        }
        // What was fetched with others would keep them in memory too.
        let bytes = if keep { Bytes::copy_from_slice(&bytes) } else { bytes };
        if keep {
            self.fetch.keep(page.offset, &bytes);
        }
        Ok(bytes)
    }
}

/// Where a page is in its object.
pub(crate) fn range(page: Block) -> Range<u64> {
    page.offset..page.offset + u64::from(page.length)
}

/// An error of ours on its way through the Parquet library.
pub(super) fn external(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
