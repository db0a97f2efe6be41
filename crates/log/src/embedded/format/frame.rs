//! Frames: the unit of checksumming. A segment is its head and then frames without a gap.
//!
//! ```text
//!  0  magic         4   "PkFr"
//!  4  kind          u8  1 records, 2 state, 3 positions, 4 index
//!  5  codec         u8  0 as is, 1 LZ4 block, 2 zstd
//!  6  zero          u16
//!  8  segment       u64 number of the segment it was written to
//! 16  position      u64 of this frame in the segment
//! 24  group start   u64 position of the first frame of its commit group. Everything before that was durable
//!                       when this frame was written: so a bad frame with a good one of a later group behind it
//!                       is damage, and a bad one without is the torn end of a crash
//! 32  time          i64 ms since the epoch, never falling from frame to frame
//! 40  stored bytes  u32 of the body that follows
//! 44  body bytes    u32 once decompressed
//! 48  body checksum u32 CRC32C of the stored body
//! 52  head checksum u32 CRC32C of 0..52
//! 56  body
//! ```

use std::borrow::Cow;
use std::io;

use bytes::Bytes;

use super::Take;
use crate::disk::{DiskFile, read_full};

const MAGIC: &[u8; 4] = b"PkFr";

/// Bytes before a frame's body.
pub(crate) const FRAME_HEAD_BYTES: usize = 56;

/// No frame's body is larger: the largest batch and its table. More is damage, checked before allocating.
pub(crate) const BODY_LIMIT_BYTES: u32 = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Records = 1,
    State = 2,
    Positions = 3,
    Index = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Codec {
    AsIs = 0,
    Lz4 = 1,
    Zstd = 2,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: Kind,
    pub(crate) codec: Codec,
    pub(crate) segment: u64,
    pub(crate) position: u64,
    pub(crate) group_start: u64,
    pub(crate) time_ms: i64,
    pub(crate) stored_bytes: u32,
    pub(crate) body_bytes: u32,
    pub(crate) body_checksum: u32,
}

impl FrameHead {
    /// Where the frame after it begins.
    pub(crate) fn end(&self) -> u64 {
        self.position + FRAME_HEAD_BYTES as u64 + u64::from(self.stored_bytes)
    }

    /// Writes the head over the first bytes of `frame`.
    pub(crate) fn write(&self, seed: u32, frame: &mut [u8]) {
        let out = &mut frame[..FRAME_HEAD_BYTES];
        out[0..4].copy_from_slice(MAGIC);
        out[4] = self.kind as u8;
        out[5] = self.codec as u8;
        out[6..8].fill(0);
        out[8..16].copy_from_slice(&self.segment.to_le_bytes());
        out[16..24].copy_from_slice(&self.position.to_le_bytes());
        out[24..32].copy_from_slice(&self.group_start.to_le_bytes());
        out[32..40].copy_from_slice(&self.time_ms.to_le_bytes());
        out[40..44].copy_from_slice(&self.stored_bytes.to_le_bytes());
        out[44..48].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[48..52].copy_from_slice(&self.body_checksum.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &out[..52]);
        out[52..56].copy_from_slice(&checksum.to_le_bytes());
    }

    fn read(seed: u32, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEAD_BYTES)?;
        if &bytes[..4] != MAGIC || crc32c::crc32c_append(seed, &bytes[..52]).to_le_bytes() != bytes[52..] {
            return None;
        }
        let mut take = Take(&bytes[4..]);
        let kind = match take.u8()? {
            1 => Kind::Records,
            2 => Kind::State,
            3 => Kind::Positions,
            4 => Kind::Index,
            _ => return None,
        };
        let codec = match take.u8()? {
            0 => Codec::AsIs,
            1 => Codec::Lz4,
            2 => Codec::Zstd,
            _ => return None,
        };
        take.u16()?;
        let (segment, position, group_start) = (take.u64()?, take.u64()?, take.u64()?);
        let (time_ms, stored_bytes, body_bytes) = (take.i64()?, take.u32()?, take.u32()?);
        if stored_bytes > BODY_LIMIT_BYTES || body_bytes > BODY_LIMIT_BYTES {
            return None;
        }
        let body_checksum = take.u32()?;
        Some(Self {
            kind,
            codec,
            segment,
            position,
            group_start,
            time_ms,
            stored_bytes,
            body_bytes,
            body_checksum,
        })
    }
}

/// A frame as it stands on the disk, its checksums right.
#[derive(Clone, Debug)]
pub(crate) struct RawFrame {
    pub(crate) head: FrameHead,
    pub(crate) stored: Bytes,
}

impl RawFrame {
    /// The body, decompressed; `None` if it does not decompress to what the head says.
    pub(crate) fn body(&self) -> Option<Bytes> {
        let size = self.head.body_bytes as usize;
        let body = match self.head.codec {
            Codec::AsIs => self.stored.clone(),
            Codec::Lz4 => lz4_flex::block::decompress(&self.stored, size).ok()?.into(),
            Codec::Zstd => zstd::bulk::decompress(&self.stored, size).ok()?.into(),
        };
        (body.len() == size).then_some(body)
    }
}

/// Walks the frames of a segment, over damage.
pub(crate) struct Scan<'a> {
    file: &'a dyn DiskFile,
    seed: u32,
    segment: u64,
    at: u64,
    end: u64,
    window: Bytes,
    window_at: u64,
    window_bytes: usize,
}

/// What a walk meets next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A good frame.
    Frame(RawFrame),
    /// Bytes that are no frame, up to the next good one or, with nothing good behind them, to the end.
    Bad { from: u64, to: u64, reason: &'static str },
    /// The end.
    End,
}

impl<'a> Scan<'a> {
    /// From a frame's position to `end`, reading `window_bytes` or a whole frame at a time.
    pub(crate) fn new(
        file: &'a dyn DiskFile,
        seed: u32,
        segment: u64,
        range: std::ops::Range<u64>,
        window_bytes: usize,
    ) -> Self {
        let (at, end) = (range.start, range.end);
        Self { file, seed, segment, at, end, window: Bytes::new(), window_at: at, window_bytes }
    }

    /// Where the next step begins.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    pub(crate) fn step(&mut self) -> io::Result<Step> {
        if self.at >= self.end {
            return Ok(Step::End);
        }
        let from = self.at;
        match self.frame_at(from)? {
            Ok(frame) => {
                self.at = frame.head.end();
                Ok(Step::Frame(frame))
            }
            Err(reason) => {
                self.at = self.resync(from + 1)?;
                Ok(Step::Bad { from, to: self.at, reason })
            }
        }
    }

    /// The frame at the start, if it is good; does not look for another.
    pub(crate) fn single(&mut self) -> io::Result<Option<RawFrame>> {
        Ok(self.frame_at(self.at)?.ok())
    }

    fn frame_at(&mut self, at: u64) -> io::Result<Result<RawFrame, &'static str>> {
        let Some(bytes) = self.bytes(at, FRAME_HEAD_BYTES)? else {
            return Ok(Err("the segment ends inside the head of a frame"));
        };
        let Some(head) = FrameHead::read(self.seed, &bytes) else {
            return Ok(Err("no frame begins here: its head's checksum is wrong"));
        };
        if head.segment != self.segment || head.position != at {
            return Ok(Err("the frame belongs elsewhere"));
        }
        let Some(stored) = self.bytes(at + FRAME_HEAD_BYTES as u64, head.stored_bytes as usize)? else {
            return Ok(Err("the segment ends inside a frame"));
        };
        if crc32c::crc32c_append(self.seed, &stored) != head.body_checksum {
            return Ok(Err("the checksum of a frame's body is wrong"));
        }
        Ok(Ok(RawFrame { head, stored }))
    }

    /// The position of the next good frame at `from` or later; the end if there is none.
    fn resync(&mut self, mut from: u64) -> io::Result<u64> {
        while from < self.end {
            let wanted = usize::try_from(self.end - from).unwrap_or(usize::MAX).min(self.window_bytes);
            let Some(bytes) = self.bytes(from, wanted)? else { break };
            let bytes: Cow<'_, [u8]> = Cow::Owned(bytes.to_vec());
            for found in memchr::memmem::find_iter(&bytes, MAGIC) {
                let at = from + found as u64;
                if self.frame_at(at)?.is_ok() {
                    return Ok(at);
                }
            }
            // A magic may lie across the border.
            let step = wanted.saturating_sub(MAGIC.len() - 1);
            if step == 0 {
                break;
            }
            from += step as u64;
        }
        Ok(self.end)
    }

    /// `count` bytes at a position, read through the window; `None` where they are not all there.
    fn bytes(&mut self, at: u64, count: usize) -> io::Result<Option<Bytes>> {
        if at + count as u64 > self.end {
            return Ok(None);
        }
        let inside = at >= self.window_at && at + count as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let most = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            let mut window = vec![0; self.window_bytes.clamp(count, most.max(count))];
            let have = read_full(self.file, at, &mut window)?;
            window.truncate(have);
            (self.window, self.window_at) = (window.into(), at);
            if have < count {
                return Ok(None);
            }
        }
        let start = usize::try_from(at - self.window_at).expect("inside the window");
        Ok(Some(self.window.slice(start..start + count)))
    }
}
