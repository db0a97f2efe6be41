//! Requests to the object store, for threads that block.

use std::fs::File;
use std::future::Future;
use std::io::{Read, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::Limits;
use super::ranges::{cut, requests};
use crate::parquet::run::fault::io_fault;
use crate::{Error, Result};

/// Requests that are on their way at the same time for one question.
const AT_ONCE: usize = 16;
/// A file up to this size is put in one request, a larger one in parts of it, so that it is never in memory as a whole. S3 wants
/// parts of 5 MiB at least.
const PART_BYTES: usize = 8 << 20;
/// Parts of a file that are fetched at once: what is in memory then.
const PARTS_AT_ONCE: usize = 8;

#[derive(Debug)]
pub(super) struct Client {
    store: Arc<dyn ObjectStore>,
    place: String,
    limits: Limits,
    pub(super) directory: Option<PathBuf>,
    pub(super) counts: Counts,
    resting: Mutex<Option<Resting>>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) gets: AtomicU64,
    pub(super) got_bytes: AtomicU64,
    pub(super) moved: AtomicU64,
    pub(super) moved_bytes: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// The object store failed, and is left alone for a while.
#[derive(Debug)]
struct Resting {
    until: Instant,
    pause: Duration,
    reason: String,
}

/// An object that is there.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) key: String,
    /// When it was put there, nanoseconds since the epoch, by the object store's clock.
    pub(crate) at: i64,
}

type Answer<T> = std::result::Result<T, object_store::Error>;

impl Client {
    pub(super) fn start(store: Arc<dyn ObjectStore>, place: &str, limits: Limits) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(AT_ONCE)
            .thread_name("series-cold")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Error::Database {
            operation: "starting the threads of the cold tier",
            place: place.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            store,
            place: place.trim_end_matches('/').to_owned(),
            limits,
            directory: None,
            counts: Counts::default(),
            resting: Mutex::new(None),
            runtime: Some(runtime),
        })
    }

    fn name(&self, key: &str) -> String {
        format!("{}/{key}", self.place)
    }

    /// Waits for an answer. Works wherever the caller is, also on a thread of another runtime.
    fn wait<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        asked: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Result<T> {
        let failed = |reason: String| Error::Database { operation, place: self.name(key), reason };
        if let Some(resting) = self.resting.lock().as_ref().filter(|resting| Instant::now() < resting.until) {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            return Err(failed(format!(
                "the object store failed and is left alone for a while: {}",
                resting.reason
            )));
        }
        let (done, answer) = sync_channel(1);
        let patience = self.limits.patience;
        let runtime = self.runtime.as_ref().expect("it is taken when the client is dropped");
        runtime.spawn(async move {
            // Nobody waits any more: then it does not matter.
            let _ = done.send(tokio::time::timeout(patience, asked).await);
        });
        let outcome = match answer.recv() {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => return Err(self.rest(failed(format!("no answer within {patience:?}")))),
            Err(_) => return Err(self.rest(failed("the object store's client gave up".into()))),
        };
        match outcome {
            Ok(value) => {
                *self.resting.lock() = None;
                Ok(value)
            }
            Err(object_store::Error::NotFound { .. }) => {
                Err(self.damaged(key, "the object itself", "it is not there"))
            }
            Err(error) => Err(self.rest(Error::refused(operation, self.name(key), &error))),
        }
    }

    fn damaged(&self, key: &str, at: &str, reason: &str) -> Error {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        Error::Damaged { place: self.name(key), at: at.to_owned(), reason: reason.to_owned() }
    }

    fn rest(&self, error: Error) -> Error {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        let reason = match &error {
            Error::Database { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        let mut resting = self.resting.lock();
        let pause =
            resting.as_ref().map_or(self.limits.rest.0, |before| (before.pause * 2).min(self.limits.rest.1));
        *resting = Some(Resting { until: Instant::now() + pause, pause, reason });
        error
    }

    /// Ranges of several objects, all at once.
    pub(super) fn fetch(&self, wanted: Vec<(String, Vec<Range<u64>>)>) -> Result<Vec<Vec<Bytes>>> {
        let plans: Vec<_> = wanted.iter().map(|(_, ranges)| requests(ranges)).collect();
        let asked: Vec<(usize, Key, Range<u64>)> = plans
            .iter()
            .enumerate()
            .flat_map(|(at, requests)| requests.iter().map(move |range| (at, range.clone())))
            .map(|(at, range)| (at, path_of(&wanted[at].0), range))
            .collect();
        let Some((first, ..)) = asked.first() else { return Ok(vec![Vec::new(); wanted.len()]) };
        let store = Arc::clone(&self.store);
        self.counts.gets.fetch_add(asked.len() as u64, Ordering::Relaxed);
        let (name, known) = (wanted[*first].0.clone(), asked.clone());
        // Which object it was that failed.
        let failing = Arc::new(Mutex::new(name.clone()));
        let noted = Arc::clone(&failing);
        let outcome = self.wait("reading", &name, async move {
            let one = |(_, key, range): (usize, Key, Range<u64>)| {
                let (store, noted) = (Arc::clone(&store), Arc::clone(&noted));
                async move {
                    let came = get(&*store, &key, range).await;
                    came.inspect_err(|_| *noted.lock() = key.to_string())
                }
            };
            stream::iter(known).map(one).buffered(AT_ONCE).try_collect::<Vec<Bytes>>().await
        });
        let came = outcome.map_err(|error| self.renamed(error, &name, &failing.lock()))?;
        let got: usize = came.iter().map(Bytes::len).sum();
        self.counts.got_bytes.fetch_add(got as u64, Ordering::Relaxed);
        let mut came = came.into_iter();
        let mut fetched = Vec::with_capacity(wanted.len());
        for ((key, ranges), requests) in wanted.iter().zip(&plans) {
            let of_object: Vec<Bytes> = came.by_ref().take(requests.len()).collect();
            let cut = cut(ranges, requests, &of_object);
            fetched.push(cut.map_err(|at| self.damaged(key, &format!("byte {at}"), "it is cut off"))?);
        }
        Ok(fetched)
    }

    /// The error, of the object that it is of.
    fn renamed(&self, error: Error, asked: &str, failing: &str) -> Error {
        let of = |place: String| if place == self.name(asked) { self.name(failing) } else { place };
        match error {
            Error::Database { operation, place, reason } => {
                Error::Database { operation, place: of(place), reason }
            }
            Error::Damaged { place, at, reason } => Error::Damaged { place: of(place), at, reason },
            other => other,
        }
    }

    pub(super) fn put_file(&self, key: &str, path: &Path) -> Result<()> {
        let size_bytes = std::fs::metadata(path).map_err(|error| io_fault("reading", path, &error))?.len();
        if size_bytes <= PART_BYTES as u64 {
            let bytes = std::fs::read(path).map_err(|error| io_fault("reading", path, &error))?;
            let (store, to) = (Arc::clone(&self.store), path_of(key));
            let asked = async move { store.put(&to, PutPayload::from(bytes)).await.map(drop) };
            self.wait("writing", key, asked)?;
        } else {
            self.put_parts(key, path)?;
        }
        let (store, to) = (Arc::clone(&self.store), path_of(key));
        let found = self.wait("looking at", key, async move { store.head(&to).await })?;
        if found.size != size_bytes {
            return Err(Error::Database {
                operation: "writing",
                place: self.name(key),
                reason: format!("{} bytes arrived, {size_bytes} were sent", found.size),
            });
        }
        self.sync(key)
    }

    /// Each part has its own patience: how long a file takes depends on its size.
    fn put_parts(&self, key: &str, path: &Path) -> Result<()> {
        let mut file = File::open(path).map_err(|error| io_fault("opening", path, &error))?;
        let (store, to) = (Arc::clone(&self.store), path_of(key));
        let mut upload = self.wait("writing", key, async move { store.put_multipart(&to).await })?;
        loop {
            let mut part = Vec::with_capacity(PART_BYTES);
            let read = Read::by_ref(&mut file).take(PART_BYTES as u64).read_to_end(&mut part);
            let sent = match read.map_err(|error| io_fault("reading", path, &error)) {
                Ok(0) => break,
                Ok(_) => self.wait("writing", key, upload.put_part(part.into())),
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                // What stays of it the bucket's rules remove.
                let _ = self.wait("giving up", key, async move { upload.abort().await });
                return Err(error);
            }
        }
        self.wait("writing", key, async move { upload.complete().await }).map(drop)
    }

    pub(super) fn put_new(&self, key: &str, bytes: Bytes) -> Result<bool> {
        let (store, to) = (Arc::clone(&self.store), path_of(key));
        let asked = async move {
            let create = PutOptions::from(PutMode::Create);
            match store.put_opts(&to, PutPayload::from(bytes.clone()), create).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    Ok(false)
                }
                Err(object_store::Error::NotImplemented { .. }) => {
                    store.put(&to, PutPayload::from(bytes)).await.map(|_| true)
                }
                Err(error) => Err(error),
            }
        };
        let put = self.wait("writing", key, asked)?;
        if put {
            self.sync(key)?;
        }
        Ok(put)
    }

    pub(super) fn rests(&self) -> (Duration, Duration) {
        self.limits.rest
    }

    pub(super) fn size(&self, key: &str) -> Result<u64> {
        let (store, of) = (Arc::clone(&self.store), path_of(key));
        self.wait("looking at", key, async move { store.head(&of).await }).map(|found| found.size)
    }

    /// Some megabytes at a time, of which the requests go out side by side.
    pub(super) fn get_file(&self, key: &str, size_bytes: u64, path: &Path) -> Result<()> {
        let broken = |error: std::io::Error| io_fault("writing", path, &error);
        let mut file = File::create(path).map_err(broken)?;
        let part = PART_BYTES as u64;
        let mut parts = (0..size_bytes.div_ceil(part)).map(|n| n * part..size_bytes.min((n + 1) * part));
        loop {
            let ranges: Vec<Range<u64>> = parts.by_ref().take(PARTS_AT_ONCE).collect();
            if ranges.is_empty() {
                return file.sync_all().map_err(broken);
            }
            for bytes in self.fetch(vec![(key.to_owned(), ranges)])?.iter().flatten() {
                file.write_all(bytes).map_err(broken)?;
            }
        }
    }

    /// A directory's client does not sync what it writes.
    fn sync(&self, key: &str) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let path = directory.join(key);
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        let mut above = path.ancestors().take_while(|above| above.starts_with(directory));
        above.try_for_each(sync).map_err(|error| io_fault("syncing", &path, &error))
    }

    pub(super) fn remove(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            let (store, of) = (Arc::clone(&self.store), path_of(key));
            self.wait("removing", key, async move {
                match store.delete(&of).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            })?;
        }
        Ok(())
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<Found>> {
        let (store, of) = (Arc::clone(&self.store), path_of(prefix));
        let asked = async move { store.list(Some(&of)).try_collect::<Vec<_>>().await };
        let found = self.wait("listing", prefix, asked)?;
        let one = |of: object_store::ObjectMeta| Found {
            key: of.location.to_string(),
            at: of.last_modified.timestamp_nanos_opt().unwrap_or(i64::MAX),
        };
        Ok(found.into_iter().map(one).collect())
    }
}

/// Keys are made here, of plain characters.
fn path_of(key: &str) -> Key {
    Key::parse(key).unwrap_or_else(|_| Key::from(key))
}

/// A range of an object; less of it where the object ends before: that is damage, and no failure of the object store.
async fn get(store: &dyn ObjectStore, key: &Key, range: Range<u64>) -> Answer<Bytes> {
    let end = range.end;
    match store.get_range(key, range).await {
        Ok(bytes) => Ok(bytes),
        Err(error @ object_store::Error::NotFound { .. }) => Err(error),
        Err(error) => match store.head(key).await {
            Ok(found) if found.size < end => Ok(Bytes::new()),
            _ => Err(error),
        },
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: the caller may be on a thread that must not block.
            runtime.shutdown_background();
        }
    }
}
