//! Pages on their way into the file: packed by one zstd context for all columns, where the library would make one for
//! each.
//!
//! A page of BYTE_STREAM_SPLIT holds all first bytes, then all second bytes, and so on. A zstd block has one table of
//! how frequent bytes are, and the lowest bytes of a measurement are noise and the highest hardly change: so each of the
//! streams becomes blocks of its own. It is one zstd frame as any other.

use parquet::basic::Encoding;
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use zstd::zstd_safe::{self, CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

use super::varint::put;

/// Streams shorter than this do not pay for a table of their own.
const LEAST_STREAM: usize = 512;

pub(super) struct Packer {
    quick: CCtx<'static>,
    /// Where time does not matter: another try.
    thorough: Option<CCtx<'static>>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// With zstd's levels.
    pub(super) fn new(level: i32, thorough: Option<i32>) -> Result<Self> {
        Ok(Self { quick: context(level)?, thorough: thorough.map(context).transpose()? })
    }

    /// Packs bytes with a block ending at each of these places; the last is the end.
    fn quick(&mut self, bytes: &[u8], ends: &[usize]) -> Result<Vec<u8>> {
        pack(&mut self.quick, bytes, ends)
    }

    /// Whatever is smallest.
    fn thorough(&mut self, bytes: &[u8], ends: &[usize]) -> Result<Vec<u8>> {
        let quick = self.quick(bytes, ends)?;
        let Some(context) = &mut self.thorough else { return Ok(quick) };
        let thorough = pack(context, bytes, ends)?;
        Ok(if thorough.len() < quick.len() { thorough } else { quick })
    }
}

fn context(level: i32) -> Result<CCtx<'static>> {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
    Ok(context)
}

fn pack(context: &mut CCtx<'_>, bytes: &[u8], ends: &[usize]) -> Result<Vec<u8>> {
    // A block has a head of three bytes.
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()) + 8 * ends.len());
    if ends.len() == 1 {
        context.compress2(&mut packed, bytes).map_err(failed)?;
        return Ok(packed);
    }
    context.reset(ResetDirective::SessionOnly).map_err(failed)?;
    context.set_pledged_src_size(Some(bytes.len() as u64)).map_err(failed)?;
    let mut out = OutBuffer::around(&mut packed);
    let mut start = 0;
    for &end in ends {
        let mut part = InBuffer::around(&bytes[start..end]);
        while part.pos < end - start {
            context.compress_stream(&mut out, &mut part).map_err(failed)?;
        }
        while end < bytes.len() && context.flush_stream(&mut out).map_err(failed)? > 0 {}
        start = end;
    }
    while context.end_stream(&mut out).map_err(failed)? > 0 {}
    Ok(packed)
}

fn failed(code: usize) -> ParquetError {
    ParquetError::General(format!("a page cannot be packed: {}", zstd_safe::get_error_name(code)))
}

/// Where the blocks of a page are to end that holds streams of bytes behind its levels.
fn streams(bytes: &[u8], head: usize, width: usize) -> Vec<usize> {
    let values = bytes.len().saturating_sub(head) / width;
    if values < LEAST_STREAM {
        return vec![bytes.len()];
    }
    // Streams of one byte only are left together with the next.
    let constant = |n: usize| {
        let stream = &bytes[head + n * values..][..values];
        stream.iter().all(|&byte| byte == stream[0])
    };
    let ends = (1..width).filter(|&n| !(constant(n - 1) && constant(n))).map(|n| head + n * values);
    ends.chain([bytes.len()]).collect()
}

/// Takes a column's pages from the library, which believes that they are not to be packed.
pub(super) struct Packing<'a> {
    pub(super) packer: &'a mut Packer,
    pub(super) sink: &'a mut TrackedWrite<Vec<u8>>,
    /// The levels of the rows that are to come, if pages begin with levels: 1 or 0.
    pub(super) levels: Option<&'a [i16]>,
    /// Bytes of a value, where all have the same.
    pub(super) width: usize,
    /// Whether this is to stay: then it may take its time.
    pub(super) stays: bool,
}

impl Packing<'_> {
    fn data_page(&mut self, bytes: &[u8], rows: usize, encoding: Encoding) -> Result<(Vec<u8>, usize)> {
        let head = match bytes {
            [a, b, c, d, ..] if self.levels.is_some() => 4 + u32::from_le_bytes([*a, *b, *c, *d]) as usize,
            _ => 0,
        };
        let ends = match encoding {
            Encoding::BYTE_STREAM_SPLIT => streams(bytes, head, self.width),
            _ => vec![bytes.len()],
        };
        if !self.stays || self.packer.thorough.is_none() {
            return Ok((self.packer.quick(bytes, &ends)?, bytes.len()));
        }
        let packed = self.packer.thorough(bytes, &ends)?;
        let levels = self.levels.map(|levels| levels.split_at(rows.min(levels.len())));
        self.levels = levels.map(|(_, left)| left);
        let Some((levels, _)) = levels.filter(|(here, _)| here.iter().any(|level| *level != here[0])) else {
            return Ok((packed, bytes.len()));
        };
        // The library writes short runs and bits by turns; bits alone have more in common.
        let other = [&bit_levels(levels)[..], &bytes[head..]].concat();
        let moved = other.len().wrapping_sub(bytes.len());
        let ends: Vec<usize> = ends.iter().map(|end| end.wrapping_add(moved)).collect();
        let smaller = self.packer.thorough(&other, &ends)?;
        Ok(if smaller.len() < packed.len() { (smaller, other.len()) } else { (packed, bytes.len()) })
    }
}

/// Levels as a page begins with them, as a single run of bits.
fn bit_levels(levels: &[i16]) -> Vec<u8> {
    let mut run = Vec::new();
    put(&mut run, (levels.len().div_ceil(8) as u64) << 1 | 1);
    let byte = |levels: &[i16]| levels.iter().rev().fold(0, |byte, &level| byte << 1 | level as u8);
    run.extend(levels.chunks(8).map(byte));
    let length = run.len() as u32;
    [&length.to_le_bytes()[..], &run].concat()
}

impl PageWriter for Packing<'_> {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        let mut packed = page.compressed_page().clone();
        let mut size = page.uncompressed_size();
        match &mut packed {
            Page::DataPage { buf, encoding, num_values, .. } => {
                let (bytes, unpacked) = self.data_page(buf, *num_values as usize, *encoding)?;
                (*buf, size) = (bytes.into(), unpacked);
            }
            Page::DictionaryPage { buf, .. } => {
                let ends = [buf.len()];
                let pack = if self.stays { Packer::thorough } else { Packer::quick };
                *buf = pack(self.packer, buf, &ends)?.into();
            }
            Page::DataPageV2 { .. } => return Err(ParquetError::General("a page of version 2".to_owned())),
        }
        SerializedPageWriter::new(self.sink).write_page(CompressedPage::new(packed, size))
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
