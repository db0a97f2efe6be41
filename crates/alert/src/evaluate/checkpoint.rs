//! The state of a partition's evaluator, in a file.
//!
//! Format (version 1, documented in `docs/formats/rules-checkpoint.md`; integers little-endian):
//!
//! ```text
//! 8 bytes  magic "PENSRCHK"
//! u16      version = 1
//! u16      partition of iot-telemetry-clean
//! u64 × 2  the next offsets, live and backfill
//! u16      how many sources follow, each: u8 lane, u16 partition, u64 offset, u32 part: the last clean record taken of it
//!          the evaluator's state (docs/formats/rules-state.md)
//! u32      CRC32C of all before it
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use record::{CleanSource, Lane};

use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"PENSRCHK";
const VERSION: u16 = 1;
const SOURCE_BYTES: usize = 1 + 2 + 8 + 4;

/// A checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) partition: u16,
    /// The next offsets, live and backfill.
    pub(super) next: [u64; 2],
    /// The last clean record of each source.
    pub(super) last: Vec<CleanSource>,
    pub(super) state: Vec<u8>,
}

/// The folder that holds them.
#[derive(Clone, Debug)]
pub(super) struct Checkpoints(PathBuf);

impl Checkpoints {
    /// Opens the folder, making it if need be.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        Ok(Self(folder.to_owned()))
    }

    /// Makes a checkpoint durable in the place of the one before it.
    pub(super) fn write(&self, checkpoint: &Checkpoint) -> Result<()> {
        let place = self.place(checkpoint.partition);
        let new = place.with_extension("new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(&encode(checkpoint))?;
            file.sync_all()
        });
        written.map_err(|error| failed(&new, &error))?;
        fs::rename(&new, &place).map_err(|error| failed(&new, &error))?;
        File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(|error| failed(&self.0, &error))
    }

    /// A partition's, if there is one that can be read. One that cannot is told: without it windows begin anew.
    pub(super) fn read(&self, partition: u16) -> Result<Option<Checkpoint>> {
        let place = self.place(partition);
        let bytes = match fs::read(&place) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&place, &error)),
        };
        match decode(&bytes).filter(|found| found.partition == partition) {
            Some(checkpoint) => Ok(Some(checkpoint)),
            None => {
                let place = place.display();
                tracing::error!(%place, "a checkpoint of rules cannot be used: their windows begin anew");
                Ok(None)
            }
        }
    }

    fn place(&self, partition: u16) -> PathBuf {
        self.0.join(format!("partition-{partition:05}.checkpoint"))
    }
}

fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let Checkpoint { partition, next, last, state } = checkpoint;
    let mut out = Vec::with_capacity(64 + last.len() * SOURCE_BYTES + state.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&partition.to_le_bytes());
    next.iter().for_each(|next| out.extend_from_slice(&next.to_le_bytes()));
    let sources = u16::try_from(last.len()).expect("there are two lanes of at most 32 768 partitions");
    out.extend_from_slice(&sources.to_le_bytes());
    for source in last {
        out.push(source.lane as u8);
        out.extend_from_slice(&source.partition.to_le_bytes());
        out.extend_from_slice(&source.offset.to_le_bytes());
        out.extend_from_slice(&source.part.to_le_bytes());
    }
    out.extend_from_slice(state);
    let sum = crc32c::crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// `None`: it is damaged, or of another version.
fn decode(bytes: &[u8]) -> Option<Checkpoint> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut rest = Rest(body.strip_prefix(MAGIC)?);
    if u16::from_le_bytes(rest.take()?) != VERSION {
        return None;
    }
    let partition = u16::from_le_bytes(rest.take()?);
    let next = [u64::from_le_bytes(rest.take()?), u64::from_le_bytes(rest.take()?)];
    let sources = u16::from_le_bytes(rest.take()?);
    let last = (0..sources).map(|_| rest.source()).collect::<Option<_>>()?;
    Some(Checkpoint { partition, next, last, state: rest.0.to_vec() })
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn source(&mut self) -> Option<CleanSource> {
        let lane = match u8::from_le_bytes(self.take()?) {
            0 => Lane::Live,
            1 => Lane::Backfill,
            _ => return None,
        };
        let partition = u16::from_le_bytes(self.take()?);
        let offset = u64::from_le_bytes(self.take()?);
        Some(CleanSource { lane, partition, offset, part: u32::from_le_bytes(self.take()?) })
    }
}

fn failed(place: &Path, error: &io::Error) -> Error {
    Error::Checkpoint { place: place.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_keeps_its_bytes_and_what_is_damaged_is_left_out() {
        let last = vec![CleanSource { lane: Lane::Backfill, partition: 3, offset: 9, part: 1 }];
        let checkpoint = Checkpoint { partition: 3, next: [5, 6], last, state: vec![7; 3] };
        let bytes = encode(&checkpoint);
        // Fixed for ever: folders out there hold it.
        let fixture = [
            80, 69, 78, 83, 82, 67, 72, 75, 1, 0, 3, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, 0,
            1, 3, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 7, 7,
        ];
        assert_eq!(bytes[..bytes.len() - 4], fixture);
        let folder = tempfile::tempdir().unwrap();
        let all = Checkpoints::open(&folder.path().join("rules")).unwrap();
        assert_eq!(all.read(3).unwrap(), None);
        all.write(&checkpoint).unwrap();
        assert_eq!(all.read(3).unwrap(), Some(checkpoint));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(all.place(3), &bad).unwrap();
            assert_eq!(all.read(3).unwrap(), None, "byte {at}");
            fs::write(all.place(3), &bytes[..at]).unwrap();
            assert_eq!(all.read(3).unwrap(), None, "cut at {at}");
        }
    }
}
