//! The cold tier's objects: Parquet files in an object store (a directory, S3, GCS, Azure), asked for by threads that block.
//!
//! The store of this crate is synchronous, the clients of object stores are not: two threads here do the asking, and who
//! wants something waits for them. What is asked together goes out together.

mod client;
mod pages;
mod ranges;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStore;
use parking_lot::Mutex;
use std::ops::Range;

use super::run::Fetch;
use crate::Result;
use client::Client;
use pages::Pages;

pub(crate) use client::Found;

/// Limits of what is done with an object store.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory for pages that were fetched, bytes.
    pub cache_bytes: usize,
    /// A request that takes longer has failed.
    pub patience: Duration,
    /// So long after a failure nothing is asked, at first and at most: whoever needs it is told at once, and does not keep
    /// others waiting.
    pub rest: (Duration, Duration),
}

impl Default for Limits {
    fn default() -> Self {
        let rest = (Duration::from_millis(500), Duration::from_secs(30));
        Self { cache_bytes: 64 << 20, patience: Duration::from_secs(60), rest }
    }
}

/// An object store, with the pages of it that are kept in memory, and figures of what was done.
#[derive(Debug)]
pub struct Cold {
    client: Client,
    /// Where it is, in words for errors.
    place: String,
    pages: Pages,
    /// Objects that somebody reads or may read.
    in_use: Mutex<HashSet<String>>,
    unwanted: AtomicU64,
}

/// What the cold tier did since it was opened, and what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests for bytes that went out.
    pub gets: u64,
    /// Bytes that came.
    pub got_bytes: u64,
    /// Pages that were in memory already.
    pub hits: u64,
    /// Runs that were moved.
    pub moved: u64,
    /// Bytes of them.
    pub moved_bytes: u64,
    /// Requests that failed, those that were refused at once because others had failed included.
    pub failures: u64,
    /// Objects that are there and known.
    pub objects: u64,
    /// Objects that are to be removed and still there.
    pub unwanted: u64,
}

impl Cold {
    /// Over an object store. `place` names it for people: its address, without a secret.
    ///
    /// # Errors
    /// [`crate::Error::Database`] when no thread can be started.
    pub fn new(store: Arc<dyn ObjectStore>, place: &str, limits: Limits) -> Result<Self> {
        Ok(Self {
            client: Client::start(store, place, limits)?,
            place: place.trim_end_matches('/').to_owned(),
            pages: Pages::new(limits.cache_bytes),
            in_use: Mutex::default(),
            unwanted: AtomicU64::new(0),
        })
    }

    /// The objects are files of this directory: what was put there is synced.
    #[must_use]
    pub fn on_disk(mut self, directory: PathBuf) -> Self {
        self.client.directory = Some(directory);
        self
    }

    /// What was done so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let counts = &self.client.counts;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            gets: get(&counts.gets),
            got_bytes: get(&counts.got_bytes),
            hits: self.pages.hits(),
            moved: get(&counts.moved),
            moved_bytes: get(&counts.moved_bytes),
            failures: get(&counts.failures),
            objects: self.in_use.lock().len() as u64,
            unwanted: get(&self.unwanted),
        }
    }

    pub(crate) fn set_unwanted(&self, count: u64) {
        self.unwanted.store(count, Ordering::Relaxed);
    }

    /// An object, for errors.
    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}/{key}", self.place)
    }

    /// Puts a file there and looks whether all of it arrived. One that was there is written over.
    ///
    /// # Errors
    /// [`crate::Error::Database`] when the disk or the object store refuses.
    pub fn put_file(&self, key: &str, path: &Path) -> Result<()> {
        self.client.put_file(key, path)
    }

    /// Notes that a run was moved.
    pub(crate) fn moved(&self, bytes: u64) {
        self.client.counts.moved.fetch_add(1, Ordering::Relaxed);
        self.client.counts.moved_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Puts bytes there, unless there is something under this key: `false`.
    pub(crate) fn put_new(&self, key: &str, bytes: Bytes) -> Result<bool> {
        self.client.put_new(key, bytes)
    }

    /// Removes objects. One that is not there is removed.
    ///
    /// # Errors
    /// [`crate::Error::Database`] when the object store refuses.
    pub fn remove(&self, keys: &[String]) -> Result<()> {
        self.client.remove(keys)
    }

    /// The objects whose keys begin so.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<Found>> {
        self.client.list(prefix)
    }

    /// How large an object is.
    pub(crate) fn size(&self, key: &str) -> Result<u64> {
        self.client.size(key)
    }

    /// Fetches an object of this size into a file, and syncs it.
    pub(crate) fn get_file(&self, key: &str, size_bytes: u64, path: &Path) -> Result<()> {
        self.client.get_file(key, size_bytes, path)
    }

    /// How long it is left alone after failures: at first, and at most.
    pub(crate) fn rests(&self) -> (Duration, Duration) {
        self.client.rests()
    }

    /// Ranges of several objects, all at once.
    pub(crate) fn fetch(&self, wanted: Vec<(String, Vec<Range<u64>>)>) -> Result<Vec<Vec<Bytes>>> {
        self.client.fetch(wanted)
    }

    pub(crate) fn is_in_use(&self, key: &str) -> bool {
        self.in_use.lock().contains(key)
    }
}

/// The object of a run, as long as somebody may read it.
#[derive(Debug)]
pub(crate) struct Held(Remote);

/// Where the bytes of a run come from. Whoever asks holds the object.
#[derive(Clone, Debug)]
struct Remote {
    cold: Arc<Cold>,
    /// The number of its run.
    no: u64,
    /// Without the ending.
    key: String,
}

impl Held {
    pub(crate) fn new(cold: &Arc<Cold>, no: u64, key: &str) -> Self {
        cold.in_use.lock().insert(key.to_owned());
        Self(Remote { cold: Arc::clone(cold), no, key: key.to_owned() })
    }

    /// Where it is.
    pub(crate) fn cold(&self) -> &Arc<Cold> {
        &self.0.cold
    }

    /// The key of its object, without the ending.
    pub(crate) fn key(&self) -> &str {
        &self.0.key
    }

    /// What gives its bytes.
    pub(crate) fn bytes(&self) -> Arc<dyn Fetch> {
        Arc::new(self.0.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Remote { cold, no, key } = &self.0;
        cold.in_use.lock().remove(key);
        cold.pages.forget(*no);
    }
}

impl Fetch for Remote {
    fn place(&self) -> String {
        self.cold.name(&format!("{}.parquet", self.key))
    }

    fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fetched = self.cold.fetch(vec![(format!("{}.parquet", self.key), ranges.to_vec())])?;
        Ok(fetched.into_iter().next().unwrap_or_default())
    }

    fn kept(&self, offset: u64) -> Option<Bytes> {
        self.cold.pages.get(self.no, offset)
    }

    fn keep(&self, offset: u64, page: &Bytes) {
        self.cold.pages.keep(self.no, offset, page);
    }
}
