//! Files of what retention is about to remove: Parquet, as `penstock export` writes it, in a directory or an object store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use series::parquet::cold::Cold;
use series::{Error, Export, Result};

use crate::files::{Columns, Times, parquet_writer};

/// Writes each object to a file first, so that memory holds a row group of it and the object store is given whole parts.
#[derive(Debug)]
pub(crate) struct Exports {
    to: Arc<Cold>,
    /// The file.
    path: PathBuf,
    /// One object at a time.
    writing: std::sync::Mutex<()>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    objects: AtomicU64,
    rows: AtomicU64,
    failures: AtomicU64,
}

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) objects: u64,
    pub(crate) rows: u64,
    /// Objects that could not be written, or removed where their rows had not gone.
    pub(crate) failures: u64,
}

impl Exports {
    /// `directory`: where the file is written.
    pub(crate) fn new(to: Arc<Cold>, directory: &Path) -> Self {
        let path = directory.join("expired.parquet.tmp");
        Self { to, path, writing: std::sync::Mutex::default(), counts: Counts::default() }
    }

    pub(crate) fn figures(&self) -> Figures {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { objects, rows, failures } = &self.counts;
        Figures { objects: get(objects), rows: get(rows), failures: get(failures) }
    }

    fn failed<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|_| {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Writes the file, and says how many rows it has; none where there are no rows.
    fn write_file(&self, rows: &mut dyn Iterator<Item = Result<RecordBatch>>) -> Result<u64> {
        let mut open: Option<(Columns, ArrowWriter<File>)> = None;
        let mut count = 0;
        for batch in rows {
            let batch = batch?;
            let (columns, writer) = match &mut open {
                Some(open) => open,
                none => none.insert(self.begin(&batch)?),
            };
            let (batch, _) = columns.convert(&batch).map_err(|error| self.broken(&error))?;
            writer.write(&batch).map_err(|error| self.broken(&error))?;
            count += batch.num_rows() as u64;
        }
        if let Some((_, writer)) = open {
            let file = writer.into_inner().map_err(|error| self.broken(&error))?;
            file.sync_all().map_err(|error| self.broken(&error))?;
        }
        Ok(count)
    }

    fn begin(&self, batch: &RecordBatch) -> Result<(Columns, ArrowWriter<File>)> {
        let columns = Columns::new(&batch.schema(), Times::Us).map_err(|error| self.broken(&error))?;
        let file = File::create(&self.path).map_err(|error| self.broken(&error))?;
        let writer = parquet_writer(file, &columns.schema).map_err(|error| self.broken(&error))?;
        Ok((columns, writer))
    }

    fn broken(&self, error: &dyn std::error::Error) -> Error {
        let (place, reason) = (self.path.display().to_string(), error.to_string());
        Error::Database { operation: "writing what is to be removed", place, reason }
    }
}

impl Export for Exports {
    fn write(&self, key: &str, rows: &mut dyn Iterator<Item = Result<RecordBatch>>) -> Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let written = self.write_file(rows).and_then(|rows| match rows {
            0 => Ok(0),
            rows => self.to.put_file(key, &self.path).map(|()| rows),
        });
        // What stays is written over.
        let _ = std::fs::remove_file(&self.path);
        let rows = self.failed(written)?;
        self.counts.objects.fetch_add(u64::from(rows > 0), Ordering::Relaxed);
        self.counts.rows.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self, keys: &[String]) -> Result<()> {
        self.failed(self.to.remove(keys))
    }
}
