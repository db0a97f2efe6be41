//! What fleets have in common, for devices that are new: learned now and then from all partitions, and noted together with the places
//! in the log from which on it is used. So what is given again after a crash begins with the same.
//!
//! Format (version 1, documented in `docs/formats/fleet-priors.md`; integers little-endian):
//!
//! ```text
//! 8 bytes  magic "PENSPRIO"
//! u16      version = 1
//! i64      when it was learned, by the server's clock, ns
//! u16      how many partitions follow, each: u16 partition, u64 the live offset from which on `now` is used
//! u32      length of `before`, and that: what was learned the time before
//! u32      length of `now`, and that
//! u32      CRC32C of all before it
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::Timestamp;
use rule::Priors;

use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"PENSPRIO";
const VERSION: u16 = 1;
/// How often it is learned. Series count once they have seen a week, so a quarter of a day changes little, and each of them is looked
/// at while no rule is evaluated.
const LEARN_EVERY_NANOS: i64 = 6 * 3600 * 1_000_000_000;

/// What is known of fleets, in a file beside the checkpoints.
#[derive(Debug)]
pub(super) struct Fleet {
    file: PathBuf,
    noted: Noted,
}

/// What is in the file.
#[derive(Clone, Debug, PartialEq)]
struct Noted {
    /// ns; the smallest there is before the first time.
    learned_at: i64,
    /// By partition, the live offset from which on `now` is used; `before` until then.
    since: BTreeMap<u16, u64>,
    before: Arc<Priors>,
    now: Arc<Priors>,
}

/// What a partition uses, until which offset, and what from there on.
pub(super) struct Succession {
    pub(super) before: Arc<Priors>,
    pub(super) since: u64,
    pub(super) now: Arc<Priors>,
}

impl Fleet {
    /// Reads what is kept in a folder. What cannot be read is told, and learned again.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let file = folder.join("fleet.priors");
        let noted = match fs::read(&file) {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Noted::nothing()),
            Err(error) => return Err(failed(&file, &error)),
        };
        if noted.is_none() {
            let place = file.display();
            tracing::error!(%place, "what fleets have in common cannot be used: new devices begin without until it is learned again");
        }
        Ok(Self { file, noted: noted.unwrap_or_else(Noted::nothing) })
    }

    /// What a partition uses.
    pub(super) fn of(&self, partition: u16) -> Succession {
        let since = self.noted.since.get(&partition).copied().unwrap_or_default();
        let Noted { before, now, .. } = &self.noted;
        Succession { before: Arc::clone(before), since, now: Arc::clone(now) }
    }

    /// Whether it is time to learn again.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.nanos().saturating_sub(self.noted.learned_at) >= LEARN_EVERY_NANOS
    }

    /// Notes what was learned, for good, and from where on it is used. No checkpoint may be left of before the last such places.
    pub(super) fn note(
        &mut self,
        learned_at: Timestamp,
        since: BTreeMap<u16, u64>,
        learned: Priors,
    ) -> Result<()> {
        let learned_at = learned_at.nanos();
        let before = Arc::clone(&self.noted.now);
        let noted = Noted { learned_at, since, before, now: Arc::new(learned) };
        let new = self.file.with_extension("new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(&encode(&noted))?;
            file.sync_all()?;
            fs::rename(&new, &self.file)?;
            self.file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        });
        written.map_err(|error| failed(&new, &error))?;
        self.noted = noted;
        Ok(())
    }
}

impl Noted {
    fn nothing() -> Self {
        Self { learned_at: i64::MIN, since: BTreeMap::new(), before: Arc::default(), now: Arc::default() }
    }
}

fn encode(noted: &Noted) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&noted.learned_at.to_le_bytes());
    let partitions = u16::try_from(noted.since.len()).expect("there are at most 32 768 partitions");
    out.extend_from_slice(&partitions.to_le_bytes());
    for (partition, since) in &noted.since {
        out.extend_from_slice(&partition.to_le_bytes());
        out.extend_from_slice(&since.to_le_bytes());
    }
    for priors in [&noted.before, &noted.now] {
        let bytes = priors.encode();
        let length = u32::try_from(bytes.len()).expect("a thousand priors are a few megabytes");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&bytes);
    }
    let sum = crc32c::crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// `None`: it is damaged, or of another version.
fn decode(bytes: &[u8]) -> Option<Noted> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    if u16::from_le_bytes(take(&mut rest)?) != VERSION {
        return None;
    }
    let learned_at = i64::from_le_bytes(take(&mut rest)?);
    let partitions = u16::from_le_bytes(take(&mut rest)?);
    let mut pair = || Some((u16::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?)));
    let since = (0..partitions).map(|_| pair()).collect::<Option<_>>()?;
    let mut priors = || {
        let length = u32::from_le_bytes(take(&mut rest)?);
        let (bytes, others) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = others;
        Priors::decode(bytes).ok().map(Arc::new)
    };
    let (before, now) = (priors()?, priors()?);
    rest.is_empty().then_some(Noted { learned_at, since, before, now })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, others) = rest.split_first_chunk::<N>()?;
    *rest = others;
    Some(*head)
}

fn failed(place: &Path, error: &io::Error) -> Error {
    Error::Checkpoint { place: place.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prior as version 1 has it.
    const PRIOR: &[u8] = include_bytes!("../../../detect/tests/it/states/prior.v1");

    /// What is known of the metric `t` of the motors of `acme`, an hour ahead of UTC, by postcard.
    fn priors() -> Vec<u8> {
        let kind = [&[1, 4][..], b"acme", &[1], b"t", &[5], b"motor", &[120]].concat();
        let length = [PRIOR.len() as u8 | 0x80, (PRIOR.len() >> 7) as u8];
        [&kind, &length[..], PRIOR].concat()
    }

    #[test]
    fn what_is_noted_keeps_its_bytes_and_what_is_damaged_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = Fleet::open(folder.path()).unwrap();
        assert!(fleet.is_due(Timestamp::from_nanos(0)));
        let learned = Priors::decode(&priors()).unwrap();
        fleet.note(Timestamp::from_nanos(7), BTreeMap::from([(0, 5), (3, 300)]), learned.clone()).unwrap();
        // Fixed for ever: folders out there hold it.
        let head = [
            80, 69, 78, 83, 80, 82, 73, 79, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
            3, 0, 44, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
        ];
        let length = (priors().len() as u32).to_le_bytes();
        let expected = [&head[..], &length, &priors()].concat();
        let bytes = fs::read(&fleet.file).unwrap();
        assert_eq!(bytes[..bytes.len() - 4], expected);
        let again = Fleet::open(folder.path()).unwrap();
        assert_eq!(again.noted, fleet.noted);
        let Succession { before, since, now } = again.of(3);
        assert_eq!((before, since, now), (Arc::default(), 300, Arc::new(learned)));
        assert_eq!(again.of(1).since, 0, "of a partition that is new");
        assert!(!again.is_due(Timestamp::from_nanos(8)));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(decode(&bad), None, "byte {at}");
            assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
