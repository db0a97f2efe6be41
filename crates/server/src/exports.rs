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
        if let Some((_, mut writer)) = open {
            writer.finish().map_err(|error| self.broken(&error))?;
            writer.inner().sync_all().map_err(|error| self.broken(&error))?;
        }
        Ok(count)
    }

    fn begin(&self, batch: &RecordBatch) -> Result<(Columns, ArrowWriter<File>)> {
        let columns = Columns::new(&batch.schema(), Times::Us).map_err(|error| self.broken(&error))?;
        let file = File::create(&self.path).map_err(|error| self.broken(&error))?;
        let writer = parquet_writer(file, &columns.schema).map_err(|error| self.broken(&error))?;
        Ok((columns, writer))
    }

    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        Error::refused("writing what is to be removed", self.path.display().to_string(), error)
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

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;
    use crate::config::ColdSettings;

    fn exports(url: &str, directory: &Path) -> Exports {
        let settings = ColdSettings::at(url, "url").expect("an address");
        Exports::new(crate::cold::open(&settings).expect("a directory"), directory)
    }

    fn rows(count: i64) -> impl Iterator<Item = Result<RecordBatch>> {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let numbers: ArrayRef = Arc::new((0..count).map(Some).collect::<Int64Array>());
        std::iter::once(Ok(RecordBatch::try_new(schema, vec![numbers]).expect("one column")))
    }

    #[test]
    fn a_full_disk_is_told_as_such_when_a_row_group_is_written_and_at_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let exports = exports(&format!("file://{}/to", dir.path().display()), dir.path());
        for count in [3, 600_000] {
            std::os::unix::fs::symlink("/dev/full", &exports.path).expect("a link");
            let refused = exports.write("a/b.parquet", &mut rows(count)).expect_err("the disk is full");
            assert!(matches!(&refused, Error::Full { place } if place.ends_with(".tmp")), "{refused}");
        }
        assert_eq!(exports.figures(), Figures { failures: 2, ..Figures::default() });
        exports.write("a/b.parquet", &mut rows(3)).expect("there is room again");
        assert_eq!(exports.figures(), Figures { objects: 1, rows: 3, failures: 2 });
        assert!(dir.path().join("to/a/b.parquet").exists() && !exports.path.exists());
    }

    /// Keys are noted as what stands below the address.
    #[test]
    fn what_was_written_is_found_again_however_its_address_is_spelled() {
        let dir = tempfile::tempdir().expect("a directory");
        let (place, other) = (dir.path().join("to here"), dir.path().join("elsewhere"));
        let key = "tenant=a%20b/table=telemetry/date=2026-11-20/x.parquet".to_owned();
        let at = dir.path().display();
        let spelled = [
            format!("file://{at}/to%20here"),
            format!("file://{at}/to%20here/"),
            format!("file://localhost{at}/./elsewhere/../to here"),
        ];
        for (first, second) in spelled.iter().zip(spelled.iter().cycle().skip(1)) {
            exports(first, dir.path()).write(&key, &mut rows(3)).expect("it is written");
            assert!(place.join(&key).exists(), "{first}");
            exports(second, dir.path()).remove(std::slice::from_ref(&key)).expect("it is removed");
            assert!(!place.join(&key).exists(), "{first} {second}");
        }
        // All of it was moved, and the address with it.
        exports(&spelled[0], dir.path()).write(&key, &mut rows(3)).expect("it is written");
        std::fs::rename(&place, &other).expect("it is moved");
        exports(&format!("file://{at}/elsewhere"), dir.path())
            .remove(std::slice::from_ref(&key))
            .expect("it is removed");
        assert!(!other.join(&key).exists());
    }
}
