//! One run: fetched, looked at as a whole, and left where it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::params;

use super::super::super::manifest::{self, RunFacts};
use super::super::super::remove_files;
use super::super::super::roll::facts_of;
use super::super::tables;
use super::rows::note_rows;
use super::{Listed, Place};
use crate::parquet::run::{Run, Sidecar, read_sidecar, seal, sidecar_path};
use crate::sqlite::{fault, sync_directory_of};
use crate::{Error, Result};

impl Place<'_> {
    /// Takes a run over. [`Error::Damaged`] names its object; nothing of it stays then.
    pub(super) fn take(&self, run: &Listed) -> Result<()> {
        let path = manifest::run_path(&self.runs, run.facts.no);
        let taken = self.take_at(run, &path);
        taken.inspect_err(|_| remove_files(&path)).map_err(|error| self.of_object(error, run))
    }

    fn take_at(&self, run: &Listed, path: &Path) -> Result<()> {
        let Listed { facts, object } = run;
        let [side, file] = [format!("{object}.side"), format!("{object}.parquet")];
        let [side_bytes, file_bytes] = [self.cold.size(&side)?, self.cold.size(&file)?];
        if side_bytes.saturating_add(file_bytes) != facts.size_bytes {
            let reason = format!(
                "it has {file_bytes} bytes and its sidecar {side_bytes}, together the catalogue says {}",
                facts.size_bytes
            );
            return Err(self.damaged(run, reason));
        }
        self.cold.get_file(&side, side_bytes, &sidecar_path(path))?;
        let sidecar = read_sidecar(&sidecar_path(path))?;
        self.check(run, &sidecar).map_err(|reason| self.damaged(run, reason))?;
        self.cold.get_file(&file, file_bytes, path)?;
        // Every page, against the sidecar's checksums; from here on, what is in the object store is held against these hashes.
        seal(path)?;
        let opened = Arc::new(Run::open(path)?);
        let failed = |error| fault("restoring", &self.manifest, error);
        let transaction = self.connection.unchecked_transaction().map_err(failed)?;
        let readings =
            note_rows(&transaction, &opened, |no| self.metrics.get(no).is_some())?.map_err(failed)?;
        if readings != facts.readings {
            let reason = format!("it has {readings} readings, the catalogue says {}", facts.readings);
            return Err(self.damaged(run, reason));
        }
        sync_directory_of(path)?;
        manifest::add_run(&transaction, facts)
            .and_then(|()| tables::add(&transaction, facts.no, object))
            .and_then(|()| transaction.commit())
            .map_err(failed)?;
        // What a crash leaves of it is removed when the store is opened.
        let _ = std::fs::remove_file(path);
        Ok(())
    }

    /// Whether a sidecar is the one that the catalogue means, and its rows are of the tenant they would be shown to.
    fn check(&self, run: &Listed, sidecar: &Sidecar) -> std::result::Result<(), String> {
        let Listed { facts, object } = run;
        let (of_file, size_bytes) = (facts_of(sidecar), facts.size_bytes);
        let RunFacts { no, table, period, level, generation, .. } = *facts;
        if (RunFacts { no, table, period, level, generation, size_bytes, ..of_file }) != *facts
            || !object.ends_with(&format!("{no:012}-{:08x}", sidecar.checksum()))
        {
            return Err("its sidecar is of another run than the catalogue says".to_owned());
        }
        let columns = sidecar.plan.columns.iter().map(|column| column.no);
        if let Some(no) = columns.into_iter().find(|&no| self.metrics.table(no) != Some(table)) {
            return Err(format!("it has a metric of the number {}, which is none of its table", no.0));
        }
        let tenant = self.metrics.tenant_of(table).ok_or("nobody knows its table")?;
        let mut known = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM device WHERE no = ? AND tenant = ?)")
            .map_err(|error| error.to_string())?;
        for rows in &sidecar.entities {
            let device = rows.entity.device();
            match known.query_row(params![device, tenant], |row| row.get(0)) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(format!(
                        "it has rows of a device of the number {device}, which is none of {tenant}"
                    ));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn damaged(&self, run: &Listed, reason: String) -> Error {
        Error::Damaged { place: self.object_name(run), at: "the object itself".to_owned(), reason }
    }

    fn object_name(&self, run: &Listed) -> String {
        self.cold.name(&format!("{}.parquet", run.object))
    }

    /// Damage of the copy on the disk is damage of the object.
    fn of_object(&self, error: Error, run: &Listed) -> Error {
        let is_copy = |place: &str| PathBuf::from(place).starts_with(&self.runs);
        match error {
            Error::Damaged { place, at, reason } if is_copy(&place) => {
                Error::Damaged { place: self.object_name(run), at, reason }
            }
            Error::Newer { place, found, known } if is_copy(&place) => {
                Error::Newer { place: self.object_name(run), found, known }
            }
            other => other,
        }
    }
}
