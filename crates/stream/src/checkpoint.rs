//! Checkpoints: a partition's state on disk.
//!
//! Format (version 1, documented in `docs/formats/stream-state.md`; integers little-endian):
//!
//! ```text
//! 8 bytes  magic "PENSTCKP"
//! u16      version = 1
//! u16      partition
//! u64      number of the first note that is not in it
//! u64      next offset of the live lane
//! u64      next offset of the backfill lane
//! u64      length of the state
//!          the state: postcard, zstd
//! u32      CRC32C of all before it
//! ```
//!
//! A file is written beside its place, synced, renamed, and the directory synced; the one before it stays as
//! `.old`, so that a file that went bad costs a longer replay and nothing else.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"PENSTCKP";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 8 + 2 + 2 + 8 * 4;
/// The quickest level: a checkpoint is written every half minute and read after a crash.
const ZSTD_LEVEL: i32 = 1;

/// A partition's state as of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) partition: u16,
    /// The first note that is not in it.
    pub(crate) note: u64,
    /// The next offsets, live and backfill.
    pub(crate) next: [u64; 2],
    /// The state's bytes.
    pub(crate) state: Vec<u8>,
}

/// Why a checkpoint could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckpointError {
    /// The disk.
    #[error("{operation} failed on {place}: {reason}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        place: String,
        /// The system's words.
        reason: String,
    },
    /// The file is not what was written.
    #[error("{place} is damaged: {reason}")]
    Damaged {
        /// Which file.
        place: String,
        /// What was found.
        reason: String,
    },
    /// A later version wrote it.
    #[error("{place} has version {found}, this build reads version 1: upgrade before starting on these data")]
    Newer {
        /// Which file.
        place: String,
        /// Its version.
        found: u16,
    },
}

/// The folder that holds them.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    directory: PathBuf,
}

impl Checkpoints {
    /// Opens the folder, making it if need be.
    pub(crate) fn open(directory: &Path) -> Result<Self, CheckpointError> {
        fs::create_dir_all(directory).map_err(|error| io_error("making the folder", directory, &error))?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        Ok(Self { directory: directory.to_owned() })
    }

    fn path(&self, partition: u16, ending: &str) -> PathBuf {
        self.directory.join(format!("partition-{partition:05}.{ending}"))
    }

    /// Makes a checkpoint durable; the one before it stays readable.
    pub(crate) fn write(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let (new, place) =
            (self.path(checkpoint.partition, "new"), self.path(checkpoint.partition, "checkpoint"));
        let old = self.path(checkpoint.partition, "old");
        let bytes = encode(checkpoint).map_err(|error| io_error("compressing", &new, &error))?;
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(|error| io_error("writing", &new, &error))?;
        match fs::rename(&place, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("renaming", &place, &error));
            }
            _ => {}
        }
        fs::rename(&new, &place).map_err(|error| io_error("renaming", &new, &error))?;
        sync_directory(&self.directory)
    }

    /// The checkpoints of a partition that can be read, the newest first. What cannot be read is told and left out.
    ///
    /// # Errors
    /// [`CheckpointError::Newer`]: an older build must not go on from less than what is there.
    pub(crate) fn read(&self, partition: u16) -> Result<Vec<Checkpoint>, CheckpointError> {
        let mut found = Vec::new();
        for ending in ["checkpoint", "old"] {
            let place = self.path(partition, ending);
            let bytes = match fs::read(&place) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error("reading", &place, &error)),
            };
            match decode(&bytes, &place) {
                Ok(checkpoint) if checkpoint.partition == partition => found.push(checkpoint),
                Ok(other) => {
                    tracing::error!(place = %place.display(), partition = other.partition, "a checkpoint of another partition; left alone");
                }
                Err(error @ CheckpointError::Newer { .. }) => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "a checkpoint cannot be used; the one before it is tried")
                }
            }
        }
        Ok(found)
    }
}

fn encode(checkpoint: &Checkpoint) -> io::Result<Vec<u8>> {
    let state = zstd::bulk::compress(&checkpoint.state, ZSTD_LEVEL)?;
    let mut out = Vec::with_capacity(HEADER_BYTES + state.len() + 4);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&checkpoint.partition.to_le_bytes());
    out.extend_from_slice(&checkpoint.note.to_le_bytes());
    for next in checkpoint.next {
        out.extend_from_slice(&next.to_le_bytes());
    }
    out.extend_from_slice(&(checkpoint.state.len() as u64).to_le_bytes());
    out.extend_from_slice(&state);
    let sum = crc32c::crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    Ok(out)
}

fn decode(bytes: &[u8], place: &Path) -> Result<Checkpoint, CheckpointError> {
    let damaged = |reason: &str| CheckpointError::Damaged {
        place: place.display().to_string(),
        reason: reason.to_owned(),
    };
    if bytes.len() < HEADER_BYTES + 4 || &bytes[..8] != MAGIC {
        return Err(damaged("it is no checkpoint"));
    }
    let version = u16::from_le_bytes([bytes[8], bytes[9]]);
    if version != VERSION {
        return Err(CheckpointError::Newer { place: place.display().to_string(), found: version });
    }
    let (body, sum) = bytes.split_last_chunk::<4>().expect("it is longer than its header");
    if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
        return Err(damaged("its checksum does not fit"));
    }
    let word =
        |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().expect("eight bytes of the header"));
    let length = usize::try_from(word(36)).map_err(|_| damaged("its length cannot be"))?;
    let state = zstd::bulk::decompress(&body[HEADER_BYTES..], length)
        .map_err(|_| damaged("its state cannot be unpacked"))?;
    Ok(Checkpoint {
        partition: u16::from_le_bytes([bytes[10], bytes[11]]),
        note: word(12),
        next: [word(20), word(28)],
        state,
    })
}

fn sync_directory(directory: &Path) -> Result<(), CheckpointError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| io_error("syncing the folder", directory, &error))
}

fn io_error(operation: &'static str, place: &Path, error: &io::Error) -> CheckpointError {
    CheckpointError::Io { operation, place: place.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(note: u64) -> Checkpoint {
        Checkpoint { partition: 3, note, next: [5, 6], state: vec![7; 1000] }
    }

    #[test]
    fn the_newest_that_can_be_read_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let all = Checkpoints::open(&dir.path().join("stream")).unwrap();
        assert_eq!(all.read(3).unwrap(), []);
        all.write(&checkpoint(1)).unwrap();
        all.write(&checkpoint(2)).unwrap();
        all.write(&checkpoint(3)).unwrap();
        assert_eq!(all.read(3).unwrap(), [checkpoint(3), checkpoint(2)]);
        // Any flipped bit of the newest is found, and the one before it still serves.
        let place = all.path(3, "checkpoint");
        let good = fs::read(&place).unwrap();
        for at in (0..good.len()).filter(|at| !(8..10).contains(at)) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&place, bad).unwrap();
            assert_eq!(all.read(3).unwrap(), [checkpoint(2)], "byte {at}");
        }
        for cut in 0..good.len() {
            fs::write(&place, &good[..cut]).unwrap();
            assert_eq!(all.read(3).unwrap(), [checkpoint(2)], "cut at {cut}");
        }
        // A later version is not passed over in silence.
        let mut newer = good;
        newer[8] = 9;
        fs::write(&place, newer).unwrap();
        assert!(matches!(all.read(3), Err(CheckpointError::Newer { found: 9, .. })));
    }
}
