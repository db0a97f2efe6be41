//! What can be set, with its defaults and their reasons.

use std::time::Duration;

use super::format::{Codec, FRAME_HEAD_BYTES};
use crate::{Partitions, Topic};

/// How an embedded log is laid out and bounded.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many partitions each topic has; fixed when the log is created.
    pub partitions: Partitions,
    /// A segment that has reached this size is sealed, bytes. Recovery reads one segment, retention drops one:
    /// 64 MiB are read in a fraction of a second.
    pub segment_bytes: u64,
    /// How far apart the marks of the index are, bytes: what a search reads at most before it finds.
    pub index_interval_bytes: u64,
    /// How much of the newest records is kept in memory for readers at the tail, bytes.
    pub tail_bytes: usize,
    /// How much may wait to become durable, bytes, what the caller's records take in memory included; beyond
    /// it, [`crate::Error::Busy`]. At 1 GB/s, a tenth of a second.
    pub queue_bytes: usize,
    /// The largest batch that is taken, bytes: two of the largest records.
    pub batch_bytes: usize,
    /// A commit group is closed when it has reached this size, bytes, so that the first in it does not wait for
    /// everybody's write.
    pub group_bytes: usize,
    /// A frame is closed when it has reached this size, bytes: what a reader takes in at once.
    pub frame_bytes: usize,
    /// How frames are compressed.
    pub compression: Compression,
    /// What is kept.
    pub retention: Retention,
    /// How long positions of readers wait for an append whose fsync they can share. They are advice, so they
    /// can wait.
    pub commit_delay: Duration,
    /// How often a log that cannot write tries again, and how often retention looks.
    pub retry_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            partitions: Partitions::default(),
            segment_bytes: 64 << 20,
            index_interval_bytes: 256 << 10,
            tail_bytes: 32 << 20,
            queue_bytes: 96 << 20,
            batch_bytes: 2 * record::limits::RECORD_BYTES,
            group_bytes: 4 << 20,
            frame_bytes: 1 << 20,
            compression: Compression::None,
            retention: Retention::default(),
            commit_delay: Duration::from_millis(25),
            retry_interval: Duration::from_millis(500),
        }
    }
}

/// What is kept, for the log as a whole: there is one physical sequence, dropped from its beginning segment by
/// segment. With neither bound, everything is kept.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// A segment whose newest record is older is dropped.
    pub max_age: Option<Duration>,
    /// The oldest segments are dropped while all together are larger, bytes. The newest always stays.
    pub max_bytes: Option<u64>,
    /// Readers that must not miss anything: a segment with records that one of them has not committed stays,
    /// whatever the bounds say. A reader that stops for ever fills the disk: the log then says
    /// [`crate::Error::Full`] rather than lose what was not processed.
    pub keep_for: Vec<Protected>,
}

/// A reader for whose sake records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// Its name, as it commits.
    pub reader: String,
    /// The topics it reads. A partition which it never committed counts as unread.
    pub topics: Vec<Topic>,
}

/// How frames are compressed. A frame that does not become smaller is stored as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all: the least CPU.
    #[default]
    None,
    /// LZ4: about half the bytes at hundreds of MB/s.
    Lz4,
    /// zstd at a level from 1 to 19: fewer bytes, more CPU.
    Zstd(i32),
}

impl Compression {
    /// Smaller than this is not worth trying, bytes.
    const LEAST_BYTES: usize = 512;

    /// The compressed body behind room for a frame's head; `None` when it gains nothing.
    pub(crate) fn pack(self, body: &[u8]) -> Option<(Codec, Vec<u8>)> {
        if self == Self::None || body.len() < Self::LEAST_BYTES {
            return None;
        }
        let mut frame = vec![0; FRAME_HEAD_BYTES];
        let codec = match self {
            Self::None => return None,
            Self::Lz4 => {
                frame.resize(FRAME_HEAD_BYTES + lz4_flex::block::get_maximum_output_size(body.len()), 0);
                let size = lz4_flex::block::compress_into(body, &mut frame[FRAME_HEAD_BYTES..]).ok()?;
                frame.truncate(FRAME_HEAD_BYTES + size);
                Codec::Lz4
            }
            Self::Zstd(level) => {
                frame.extend_from_slice(&zstd::bulk::compress(body, level).ok()?);
                Codec::Zstd
            }
        };
        (frame.len() < FRAME_HEAD_BYTES + body.len()).then_some((codec, frame))
    }
}
