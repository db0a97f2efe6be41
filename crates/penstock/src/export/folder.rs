//! Where an export goes: `DIR/TABLE/date=2026-11-20/part-000.parquet`.
//!
//! A date is written beside, under `DIR/.penstock`, and put in the place of the one before in one step when all of it is on the
//! disk. So a reader sees the date as it was or as it is, and an export that ended in the middle has changed nothing (docs/formats/export.md).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arrow_array::RecordBatch;
use record::Timestamp;
use serde::{Deserialize, Serialize};

use super::pages::{DAY_NANOS, Day};
use super::part::{Part, Writing};
use crate::WrongUse;

/// The version of both manifests.
const VERSION: u32 = 1;
/// What the table's folder holds, in it.
const SETTINGS: &str = "_export.json";
/// What a date's folder holds, in it.
const MANIFEST: &str = "_manifest.json";
/// There, the last export went through to its end.
const SUCCESS: &str = "_SUCCESS";
/// Rows of a file: some hundred megabytes at most, and enough for several readers to share a date.
const PART_ROWS: u64 = 5_000_000;

/// What all dates of a folder have in common. Another export into it must have the same, or the folder would be of two kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) version: u32,
    pub(super) table: String,
    pub(super) format: String,
    /// The columns' names, in order.
    pub(super) columns: Vec<String>,
    /// Devices it is narrowed to; empty: all.
    pub(super) devices: Vec<String>,
    pub(super) metrics: Vec<String>,
}

impl Settings {
    pub(super) fn new(table: &str, format: &str) -> Self {
        let none = Vec::new;
        let (table, format) = (table.to_owned(), format.to_owned());
        Self { version: VERSION, table, format, columns: none(), devices: none(), metrics: none() }
    }
}

/// A file of a date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) size_bytes: u64,
}

/// What a date's folder holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) version: u32,
    pub(super) date: String,
    pub(super) rows: u64,
    pub(super) exported_at: String,
    pub(super) files: Vec<Listed>,
}

/// The folder of a table, held against other exports.
pub(super) struct Folder {
    table: PathBuf,
    staging: PathBuf,
    extension: String,
    /// Locked as long as it is open.
    _lock: File,
}

impl Folder {
    /// Opens `to` for an export; what an interrupted one left is removed.
    pub(super) fn open(to: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let own = to.join(".penstock");
        let table = to.join(&settings.table);
        for folder in [&own, &table] {
            fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        let lock = File::create(own.join("lock")).with_context(|| unwritable(&own))?;
        if lock.try_lock().is_err() {
            bail!("another export is writing to {}", to.display());
        }
        check(&table, settings)?;
        let staging = own.join(&settings.table);
        if staging.exists() {
            fs::remove_dir_all(&staging).with_context(|| unwritable(&staging))?;
        }
        fs::create_dir(&staging).with_context(|| unwritable(&staging))?;
        match fs::remove_file(table.join(SUCCESS)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| unwritable(&table));
            }
            _ => {}
        }
        write(&table.join(SETTINGS), settings)?;
        Ok(Self { table, staging, extension: settings.format.clone(), _lock: lock })
    }

    /// Begins a date.
    pub(super) fn date<'w>(&self, day: Day, writing: &'w Writing) -> anyhow::Result<Date<'w>> {
        let name = date_of(day);
        let folder = self.staging.join(format!("date={name}"));
        fs::create_dir(&folder).with_context(|| unwritable(&folder))?;
        Ok(Date { name, folder, writing, extension: self.extension.clone(), open: None, files: Vec::new() })
    }

    /// Puts a date that is complete in the place of the one before.
    pub(super) fn replace(&self, date: Date<'_>) -> anyhow::Result<Manifest> {
        let (staged, manifest) = date.finish()?;
        let place = self.table.join(format!("date={}", manifest.date));
        sync(&staged)?;
        self.take_place(&staged, &place).with_context(|| unwritable(&place))?;
        sync(&self.table)?;
        Ok(manifest)
    }

    /// How many rows a date has in the folder.
    pub(super) fn rows_before(&self, day: Day) -> Option<u64> {
        let manifest = self.table.join(format!("date={}", date_of(day))).join(MANIFEST);
        let manifest: Manifest = serde_json::from_slice(&fs::read(manifest).ok()?).ok()?;
        Some(manifest.rows)
    }

    /// The dates in the folder, in order.
    pub(super) fn dates(&self) -> anyhow::Result<Vec<String>> {
        let mut dates = Vec::new();
        for entry in fs::read_dir(&self.table)? {
            let name = entry?.file_name();
            dates.extend(name.to_str().and_then(|name| name.strip_prefix("date=")).map(str::to_owned));
        }
        dates.sort();
        Ok(dates)
    }

    /// Takes a date away.
    pub(super) fn remove(&self, date: &str) -> anyhow::Result<()> {
        let name = format!("date={date}");
        let place = self.table.join(&name);
        check_ours(&place, &self.extension)?;
        let away = self.staging.join(name);
        fs::rename(&place, &away).with_context(|| unwritable(&place))?;
        fs::remove_dir_all(&away).with_context(|| unwritable(&away))?;
        sync(&self.table)
    }

    /// Says that all of it is there.
    pub(super) fn succeed(&self, summary: &impl Serialize) -> anyhow::Result<()> {
        write(&self.table.join(SUCCESS), summary)
    }

    fn take_place(&self, staged: &Path, place: &Path) -> anyhow::Result<()> {
        if !place.exists() {
            fs::rename(staged, place)?;
            return Ok(());
        }
        check_ours(place, &self.extension)?;
        if !exchange(staged, place) {
            // A file system that cannot exchange: for a moment there is neither.
            let away = self.staging.join("replaced");
            fs::rename(place, &away)?;
            fs::rename(staged, place)?;
            fs::rename(&away, staged)?;
        }
        fs::remove_dir_all(staged)?;
        Ok(())
    }
}

/// An export that could not be ended leaves nothing behind: what was staged may be what filled the disk.
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.staging); // gone already, or the next export does it
    }
}

/// A date being written.
pub(super) struct Date<'w> {
    name: String,
    folder: PathBuf,
    writing: &'w Writing,
    extension: String,
    open: Option<(Part<'w>, Listed)>,
    files: Vec<Listed>,
}

impl Date<'_> {
    pub(super) fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        if self.open.as_ref().is_some_and(|(_, listed)| listed.rows >= PART_ROWS) {
            self.close()?;
        }
        if self.open.is_none() {
            let name = format!("part-{:03}.{}", self.files.len(), self.extension);
            let part = self.writing.open(&self.folder.join(&name))?;
            self.open = Some((part, Listed { name, rows: 0, size_bytes: 0 }));
        }
        let (part, listed) = self.open.as_mut().expect("it was opened just now");
        part.write(batch).with_context(|| unwritable(&self.folder.join(&listed.name)))?;
        listed.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn close(&mut self) -> anyhow::Result<()> {
        if let Some((part, mut listed)) = self.open.take() {
            listed.size_bytes = part.finish().with_context(|| unwritable(&self.folder.join(&listed.name)))?;
            self.files.push(listed);
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<(PathBuf, Manifest)> {
        self.close()?;
        let manifest = Manifest {
            version: VERSION,
            date: self.name,
            rows: self.files.iter().map(|file| file.rows).sum(),
            exported_at: query::rfc3339(Timestamp::now()),
            files: self.files,
        };
        write(&self.folder.join(MANIFEST), &manifest)?;
        Ok((self.folder, manifest))
    }
}

/// The date of a day in UTC, `2026-11-20`.
pub(super) fn date_of(day: Day) -> String {
    let noon = day.saturating_mul(DAY_NANOS).saturating_add(DAY_NANOS / 2);
    Timestamp::from_nanos(noon).to_rfc3339()[..10].to_owned()
}

/// Whether a folder may get an export with these settings.
fn check(table: &Path, settings: &Settings) -> anyhow::Result<()> {
    let path = table.join(SETTINGS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let foreign = fs::read_dir(table)?.next();
            match foreign {
                None => return Ok(()),
                Some(_) => bail!(WrongUse(format!(
                    "{} holds files and is not of an export: name another folder with --to",
                    table.display()
                ))),
            }
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let before: Settings = serde_json::from_str(&text)
        .with_context(|| format!("{} is not what an export writes", path.display()))?;
    if before == *settings {
        return Ok(());
    }
    let differ = [
        ("--format", before.format != settings.format),
        ("--device", before.devices != settings.devices),
        ("--metric", before.metrics != settings.metrics),
        ("its columns (--times, or the server's version)", before.columns != settings.columns),
    ];
    let differ: Vec<_> = differ.iter().filter(|(_, differs)| *differs).map(|(what, _)| *what).collect();
    bail!(WrongUse(format!(
        "{} holds an export that differs in {}: name another folder with --to",
        table.display(),
        if differ.is_empty() { "its version".to_owned() } else { differ.join(", ") }
    )));
}

/// What is about to be replaced must be nothing but what an export wrote.
fn check_ours(folder: &Path, extension: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let part = name.starts_with("part-") && name.ends_with(&format!(".{extension}"));
        if !part && name != MANIFEST {
            bail!("{} is not of an export: move it away", path.display());
        }
    }
    Ok(())
}

/// Swaps two folders in one step, where the system can.
fn exchange(one: &Path, other: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (one, other);
        false
    }
}

/// Writes a small file so that it is there whole or as it was.
fn write(path: &Path, content: &impl Serialize) -> anyhow::Result<()> {
    let beside = path.with_extension("tmp");
    let write = || -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(content)?;
        text.push(b'\n');
        let mut file = File::create(&beside)?;
        std::io::Write::write_all(&mut file, &text)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        Ok(())
    };
    write().with_context(|| unwritable(path))
}

fn sync(folder: &Path) -> anyhow::Result<()> {
    File::open(folder)?.sync_all().with_context(|| unwritable(folder))
}

fn unwritable(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_read_for_ever() {
        let fixture = include_str!("../../tests/fixtures/export-v1.json");
        let settings: Settings = serde_json::from_str(fixture).unwrap();
        let expect = Settings {
            columns: ["time", "time_nanos", "device_id"].map(str::to_owned).to_vec(),
            devices: vec!["d1".to_owned()],
            ..Settings::new("telemetry", "parquet")
        };
        assert_eq!(settings, expect);
    }

    #[test]
    fn dates_are_those_of_utc() {
        for (day, date) in
            [(0, "1970-01-01"), (-1, "1969-12-31"), (20_777, "2026-11-20"), (i64::MIN, "1677-09-21")]
        {
            assert_eq!(date_of(day), date);
        }
    }
}
