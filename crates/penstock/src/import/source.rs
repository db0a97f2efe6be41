//! Files to read from, whatever their format.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::account::REJECTED;
use super::cell::Row;
use super::csv_file::CsvFile;
use super::parquet_file::ParquetFile;
use crate::WrongUse;

/// Where in a file reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Position {
    /// A record of CSV begins there.
    Text { byte: u64, line: u64, record: u64 },
    /// So many rows are behind it.
    Rows(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { line, .. } => write!(f, "in line {line}"),
            Self::Rows(rows) => write!(f, "after {rows} rows"),
        }
    }
}

/// A file that is open.
pub(super) enum Source {
    Csv(Box<CsvFile>),
    Parquet(Box<ParquetFile>),
}

impl Source {
    pub(super) fn open(path: &Path, delimiter: Option<u8>) -> anyhow::Result<Self> {
        match Kind::of(path) {
            Some(Kind::Csv) => CsvFile::open(path, delimiter).map(|file| Self::Csv(Box::new(file))),
            Some(Kind::Parquet) => ParquetFile::open(path).map(|file| Self::Parquet(Box::new(file))),
            None => bail!(WrongUse(format!(
                "{} is neither .csv nor .parquet: only these can be imported",
                path.display()
            ))),
        }
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &[String] {
        match self {
            Self::Csv(file) => file.header(),
            Self::Parquet(file) => file.header(),
        }
    }

    /// Whether values are texts whose types are to be found out.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Csv(_))
    }

    /// The next row. `None`: that was all.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Row>> {
        match self {
            Self::Csv(file) => file.next(),
            Self::Parquet(file) => file.next(),
        }
    }

    /// Behind the row that was read last.
    pub(super) fn position(&self) -> Position {
        match self {
            Self::Csv(file) => file.position(),
            Self::Parquet(file) => file.position(),
        }
    }

    pub(super) fn seek(&mut self, position: Position) -> anyhow::Result<()> {
        match (self, position) {
            (Self::Csv(file), Position::Text { .. }) => file.seek(position),
            (Self::Parquet(file), Position::Rows(rows)) => file.seek(rows),
            _ => bail!("the file is of another format than before: import it with --restart"),
        }
    }

    /// Back to the first row.
    pub(super) fn rewind(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Csv(file) => file.rewind(),
            Self::Parquet(file) => file.seek(0),
        }
    }

    /// How far it is, in the unit of [`Source::size`].
    pub(super) fn progress(&self) -> u64 {
        match self.position() {
            Position::Text { byte, .. } => byte,
            Position::Rows(rows) => rows,
        }
    }

    /// CSV: bytes; Parquet: rows.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Csv(file) => file.size(),
            Self::Parquet(file) => file.size(),
        }
    }

    /// What is different once the file is another.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Csv(file) => file.identity(),
            Self::Parquet(file) => file.identity(),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Csv,
    Parquet,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" | "tsv" | "txt" => Some(Self::Csv),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// The files named, and those in the folders named, in order. Hidden ones, those that begin with `_`, and lists of rejected rows are none.
pub(super) fn files(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        let kind = fs::metadata(path)
            .map_err(|error| WrongUse(format!("{} cannot be read: {error}", path.display())))?;
        if kind.is_dir() {
            let before = files.len();
            within(path, &mut files)?;
            if files.len() == before {
                bail!(WrongUse(format!("{} holds no .csv and no .parquet files", path.display())));
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn within(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let listed = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    // A link to a folder may lead back up: it is not followed.
    let listed = listed.map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?.is_dir()))));
    let mut paths = listed.collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    for (path, is_folder) in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) || name.ends_with(REJECTED) {
            continue;
        }
        if is_folder {
            within(&path, files)?;
        } else if Kind::of(&path).is_some() && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Size and time of change of a file.
pub(super) fn identity_of(file: &fs::File) -> anyhow::Result<String> {
    let metadata = file.metadata()?;
    let changed = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{} bytes of {}", metadata.len(), changed.as_nanos()))
}
