//! When what is visible becomes durable.
//!
//! A commit goes into SQLite's write-ahead file (`-wal`) without an fsync: the log still has everything, so all that a
//! power cut may cost is the time to read it again. [`flush`](crate::SeriesWriter::flush) syncs that file. What is in it
//! is carried into the database by a thread of its own, because that takes two fsyncs and thousands of scattered pages,
//! and a live reading would wait for them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::sync_directory_of;
use crate::{Error, Result};

/// Rows written, of whatever table, after which the write-ahead file is carried over: some megabytes.
const ROWS: u64 = 2_000;

/// Pages that came during a round and may be carried over while the writer waits.
const FEW_PAGES: i64 = 64;
/// Rounds beside the writer: under a load that never ends there are always some more.
const ROUNDS: usize = 8;

/// What makes commits durable.
#[derive(Debug)]
pub(crate) struct Durable {
    path: PathBuf,
    /// A sync has failed: what the system had not yet written may be gone although later syncs succeed.
    failed: AtomicBool,
    rows: AtomicU64,
    carry: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Durable {
    /// `writer` is locked while the write-ahead file is begun anew: nothing is written meanwhile.
    pub(crate) fn start<W: Send + 'static>(path: &Path, writer: Arc<Mutex<W>>) -> Result<Self> {
        let (carry, wanted) = sync_channel(1);
        let place = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("series-carry".into())
            .spawn(move || carry_over(&place, &writer, &wanted))
            .map_err(|error| Error::Database {
                operation: "starting a thread of the store",
                place: path.display().to_string(),
                reason: error.to_string(),
            })?;
        let (failed, rows) = (AtomicBool::new(false), AtomicU64::new(0));
        Ok(Self { path: path.to_owned(), failed, rows, carry: Some(carry), thread: Some(thread) })
    }

    /// Notes that so many rows were committed.
    pub(crate) fn committed(&self, rows: u64) {
        if self.rows.fetch_add(rows, Ordering::Relaxed) + rows >= ROWS {
            self.carry();
        }
    }

    /// Has the write-ahead file carried over, soon.
    pub(crate) fn carry(&self) {
        self.rows.store(0, Ordering::Relaxed);
        if let Some(carry) = &self.carry {
            // Full: it is asked already.
            let _ = carry.try_send(());
        }
    }

    /// Syncs what was committed before the call.
    pub(crate) fn sync(&self) -> Result<()> {
        let failed = |reason: String| Error::Database {
            operation: "syncing the store",
            place: self.path.display().to_string(),
            reason,
        };
        if self.failed.load(Ordering::Relaxed) {
            return Err(failed(
                "an earlier sync failed; what was not on disk is read from the log again after \
                               a restart: free or repair the disk and restart"
                    .into(),
            ));
        }
        let ahead = self.write_ahead_file();
        // Absent: everything was carried over, and synced there.
        let synced = match File::open(&ahead) {
            Ok(file) => file.sync_data(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => return Err(failed(error.to_string())),
        };
        if let Err(error) = synced {
            self.failed.store(true, Ordering::Relaxed);
            return Err(failed(error.to_string()));
        }
        sync_directory_of(&self.path)
    }

    fn write_ahead_file(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push("-wal");
        name.into()
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.carry = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // So that a store that was closed is one file, as small as what is in it. What is left is carried over when it is
        // opened again.
        let closed = Connection::open(&self.path).and_then(|connection| {
            // A snapshot that somebody still reads may last: nobody waits for it.
            connection.busy_timeout(std::time::Duration::ZERO)?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        });
        if let Err(error) = closed {
            tracing::warn!(%error, store = %self.path.display(), "the store's write-ahead file could not be carried over");
        }
    }
}

fn carry_over<W>(path: &Path, writer: &Mutex<W>, wanted: &Receiver<()>) {
    while wanted.recv().is_ok() {
        if let Err(error) = once(path, writer) {
            // It only grows; the next time may succeed.
            tracing::warn!(%error, store = %path.display(), "the store's write-ahead file could not be carried over");
        }
    }
}

/// Most of it beside the writer, which goes on meanwhile; then the little that is left while the writer waits, so that
/// the file can begin anew.
fn once<W>(path: &Path, writer: &Mutex<W>) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    let carry = || {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })
    };
    let mut before = 0;
    for _ in 0..ROUNDS {
        let (pages, carried) = carry()?;
        if pages == carried {
            return Ok(());
        }
        if pages - before <= FEW_PAGES {
            break;
        }
        before = pages;
    }
    let _writer = writer.lock();
    carry().map(|_| ())
}
