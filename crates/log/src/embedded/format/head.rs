//! The head of a segment: who it is, and where the one before it ends.
//!
//! It stands twice, each copy checksummed, because it alone says where the segment before it ends: bytes beyond
//! that end were never promised to anyone and must not come back.
//!
//! ```text
//!   0  magic           8   "PNSTKLOG"
//!   8  version         u32 1
//!  12  zero            u32
//!  16  log id          16
//!  32  number          u64 of this segment
//!  40  previous        u64 number of the segment before it, 0: none
//!  48  previous end    u64 where that one ends, bytes
//!  56  birth end       u64 what was written and made durable before this segment counted at all, bytes
//!  64  born            i64 ms since the epoch; no record in it is older
//!  72  zero            52
//! 124  checksum        u32 CRC32C of 0..124
//! 128  the same again
//! 256  frames
//! ```

use super::{Take, VERSION};

const MAGIC: &[u8; 8] = b"PNSTKLOG";
const COPY_BYTES: usize = 128;

/// Where the frames of a segment begin.
pub(crate) const FRAMES_START: u64 = 2 * COPY_BYTES as u64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) log_id: u128,
    pub(crate) number: u64,
    pub(crate) previous: u64,
    pub(crate) previous_end: u64,
    pub(crate) birth_end: u64,
    pub(crate) born_ms: i64,
}

/// What the first bytes of a segment say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeadFound {
    /// Both copies agree.
    Whole(SegmentHead),
    /// One copy is damaged.
    OneCopy(SegmentHead),
    /// A later version wrote it.
    Later(u32),
    /// Nothing legible.
    None,
}

impl SegmentHead {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.log_id.to_le_bytes());
        for number in [self.number, self.previous, self.previous_end, self.birth_end] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.born_ms.to_le_bytes());
        out.resize(start + COPY_BYTES - 4, 0);
        let checksum = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_within(start..);
    }

    pub(crate) fn find(bytes: &[u8]) -> HeadFound {
        let copies = [0, COPY_BYTES].map(|at| bytes.get(at..at + COPY_BYTES).and_then(decode_copy));
        match copies {
            [Some(Err(version)), _] | [_, Some(Err(version))] => HeadFound::Later(version),
            [Some(Ok(head)), Some(Ok(_))] => HeadFound::Whole(head),
            [Some(Ok(head)), None] | [None, Some(Ok(head))] => HeadFound::OneCopy(head),
            [None, None] => HeadFound::None,
        }
    }
}

/// The head, or the later version that wrote it.
fn decode_copy(copy: &[u8]) -> Option<Result<SegmentHead, u32>> {
    let (content, checksum) = copy.split_at(COPY_BYTES - 4);
    if crc32c::crc32c(content).to_le_bytes() != checksum {
        return None;
    }
    let mut take = Take(content);
    if take.bytes(8)? != MAGIC {
        return None;
    }
    let version = take.u32()?;
    if version != VERSION {
        return Some(Err(version));
    }
    take.u32()?;
    let log_id = u128::from_le_bytes(take.bytes(16)?.try_into().ok()?);
    let (number, previous, previous_end, birth_end) = (take.u64()?, take.u64()?, take.u64()?, take.u64()?);
    Some(Ok(SegmentHead { log_id, number, previous, previous_end, birth_end, born_ms: take.i64()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_is_enough_and_its_loss_is_noticed() {
        let head =
            SegmentHead { log_id: 7, number: 3, previous: 2, previous_end: 999, birth_end: 400, born_ms: -5 };
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        assert_eq!(bytes.len() as u64, FRAMES_START);
        assert_eq!(SegmentHead::find(&bytes), HeadFound::Whole(head.clone()));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHead::find(&bytes), HeadFound::OneCopy(head.clone()), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(SegmentHead::find(&bytes[..100]), HeadFound::None);
    }
}
