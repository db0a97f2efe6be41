//! A look inside a log's directory: read-only, without its lock, so also while the log is in use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::disk::{Disk, RealDisk, read_file};
use crate::embedded::inspection::{self, Found};
use crate::{Error, Offset, Result};

/// What a log's directory holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The directory.
    pub place: String,
    /// The log's id, hexadecimal.
    pub id: String,
    /// Oldest first.
    pub segments: Vec<SegmentReport>,
    /// By name; partitions without records are left out.
    pub partitions: BTreeMap<String, PartitionReport>,
    /// How far named readers have come: reader → partition → next offset.
    pub readers: BTreeMap<String, BTreeMap<String, Offset>>,
    /// Everything that is not as it was written.
    pub damage: Vec<Damage>,
}

/// A segment's file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SegmentReport {
    /// Its name.
    pub file: String,
    /// Size of the file, bytes.
    pub file_bytes: u64,
    /// As far as it counts: the head of the next segment says, for the last one its last good frame.
    pub valid_bytes: u64,
    /// Frames of all kinds.
    pub frames: u64,
    /// Records.
    pub records: u64,
    /// Bytes of these records.
    pub record_bytes: u64,
    /// Bytes of the frames of records, as stored.
    pub stored_bytes: u64,
    /// When its first records were appended, ms since the epoch.
    pub first_ms: Option<i64>,
    /// When its last records were appended, ms since the epoch.
    pub last_ms: Option<i64>,
    /// Whether it ends with its index.
    pub sealed: bool,
}

/// A partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// The first offset there is.
    pub start: Offset,
    /// One past the last.
    pub end: Offset,
    /// How many readable records lie between.
    pub records: u64,
    /// Bytes of these records.
    pub record_bytes: u64,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Which file.
    pub file: String,
    /// Where in it, bytes.
    pub at: u64,
    /// How many bytes are unreadable because of it.
    pub bytes: u64,
    /// What was found.
    pub reason: String,
}

/// Reads everything in a log's directory and says what is there.
///
/// The last segment of a log in use, or of one that was cut off, may end in bytes which are no frame yet: they
/// are not damage, and show as the difference between file and valid bytes.
///
/// # Errors
/// [`Error::Open`] when it is no log, or `log.meta` is damaged; [`Error::Io`].
pub fn inspect(dir: &Path) -> Result<Report> {
    let place = dir.display().to_string();
    let disk = RealDisk::read_only(dir).map_err(|error| Error::Io {
        operation: "listing",
        place,
        reason: error.to_string(),
    })?;
    inspect_on(&disk)
}

/// As [`inspect`], on any disk.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_on(disk: &dyn Disk) -> Result<Report> {
    let place = disk.place();
    let meta = read_file(disk, inspection::META_FILE).map_err(|error| Error::Open {
        place: place.clone(),
        reason: format!("{}: {error}: is it a log?", inspection::META_FILE),
    })?;
    let (id, found) = inspection::look(disk, &meta)?;
    let mut report = Report { place, id: format!("{id:032x}"), ..Report::default() };
    for segment in found {
        take_in(&mut report, segment);
    }
    Ok(report)
}

/// Adds a segment to the sums, which are complete once the last one is in.
fn take_in(report: &mut Report, found: Found) {
    let Found { segment, starts, runs, positions, damage } = found;
    if let Some(starts) = starts {
        for (partition, start) in starts {
            let known = report.partitions.entry(partition.to_string());
            let known = known.or_insert_with(|| PartitionReport { start, ..Default::default() });
            known.end = known.end.max(start);
        }
    }
    for run in runs {
        let known = report.partitions.entry(run.partition.to_string());
        let known = known.or_insert_with(|| PartitionReport { start: run.base, ..Default::default() });
        if run.base >= known.end || known.records == 0 {
            known.end = run.base + run.count;
            known.records += run.count;
            known.record_bytes += run.bytes;
        }
    }
    for (reader, offsets) in positions {
        let known = report.readers.entry(reader).or_default();
        known.extend(offsets.into_iter().map(|(partition, offset)| (partition.to_string(), offset)));
    }
    report.damage.extend(damage);
    report.segments.push(segment);
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "log {} in {}", self.id, self.place)?;
        let bytes: u64 = self.segments.iter().map(|segment| segment.valid_bytes).sum();
        writeln!(f, "\n{} segments, {bytes} bytes", self.segments.len())?;
        for s in &self.segments {
            let span = match (s.first_ms, s.last_ms) {
                (Some(first), Some(last)) => format!("{} … {}", utc(first), utc(last)),
                _ => "no records".to_owned(),
            };
            let state = if s.sealed { "sealed" } else { "open" };
            writeln!(
                f,
                "  {}  {:>12} B  {:>7} frames  {:>9} records  {state:6}  {span}",
                s.file, s.valid_bytes, s.frames, s.records
            )?;
        }
        writeln!(f, "\n{} partitions with records", self.partitions.len())?;
        for (partition, p) in &self.partitions {
            writeln!(
                f,
                "  {partition:32}  {:>12} … {:<12}  {:>9} records  {:>12} B",
                p.start, p.end, p.records, p.record_bytes
            )?;
        }
        writeln!(f, "\n{} readers", self.readers.len())?;
        for (reader, offsets) in &self.readers {
            for (partition, offset) in offsets {
                let end = self.partitions.get(partition).map_or(0, |p| p.end);
                writeln!(
                    f,
                    "  {reader:20}  {partition:32}  at {offset}, lag {}",
                    end.saturating_sub(*offset)
                )?;
            }
        }
        if self.damage.is_empty() {
            return writeln!(f, "\nno damage");
        }
        writeln!(f, "\n{} damaged places", self.damage.len())?;
        for d in &self.damage {
            writeln!(f, "  {} at byte {}, {} bytes: {}", d.file, d.at, d.bytes, d.reason)?;
        }
        Ok(())
    }
}

/// A time for people: `2026-11-20T13:05:00.250Z` (days to date by the proleptic Gregorian calendar).
fn utc(time_ms: i64) -> String {
    let (days, ms) = (time_ms.div_euclid(86_400_000), time_ms.rem_euclid(86_400_000));
    // Years that begin in March, so that the leap day is the last of them.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + carry;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_179_900_250, "2026-11-20T13:05:00.250Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(utc(ms), text);
        }
    }
}
