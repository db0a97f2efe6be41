//! The cold tier: runs in an object store, with everything that can go wrong.

mod damage;
mod faulty;
mod life;
mod peers;
mod random;
mod restore;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use penstock_series::parquet::cold::{Cold, Limits};
use penstock_series::parquet::store::{ColdAges, ColdPolicy, Options};
use penstock_series::{Error, Parquet};
use record::Timestamp;

use faulty::{Faults, Faulty};

/// A store with a cold tier that can fail.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) limits: Limits,
    options: Options,
}

impl Place {
    pub(crate) fn new(options: Options, in_memory: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let inner: Arc<dyn ObjectStore> = if in_memory {
            Arc::new(InMemory::new())
        } else {
            std::fs::create_dir(dir.path().join("objects")).unwrap();
            Arc::new(LocalFileSystem::new_with_prefix(dir.path().join("objects")).unwrap())
        };
        let rest = (Duration::ZERO, Duration::ZERO);
        let limits = Limits { cache_bytes: 200_000, rest, ..Limits::default() };
        Self { dir, inner, faults: Arc::default(), limits, options }
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("series")
    }

    pub(crate) fn cold(&self) -> Arc<Cold> {
        let store = Faulty { inner: Arc::clone(&self.inner), faults: Arc::clone(&self.faults) };
        let cold = Cold::new(Arc::new(store), "memory:///bucket", self.limits).unwrap();
        let objects = self.dir.path().join("objects");
        Arc::new(if objects.exists() { cold.on_disk(objects) } else { cold })
    }

    pub(crate) fn open(&self) -> Parquet {
        self.open_at(&self.data())
    }

    fn open_at(&self, data: &Path) -> Parquet {
        Parquet::open_with(data, self.options, Some(self.cold())).unwrap()
    }

    /// Keys of all objects of runs, and of catalogues.
    fn objects(&self) -> (Vec<String>, Vec<String>) {
        let keys = on_runtime(async {
            use futures_util::TryStreamExt as _;
            self.inner.list(None).map_ok(|found| found.location.to_string()).try_collect::<Vec<_>>().await
        });
        let mut keys = keys.unwrap();
        keys.sort();
        keys.into_iter().partition(|key| key.contains("/runs/"))
    }

    fn get(&self, key: &str) -> Vec<u8> {
        on_runtime(async { self.inner.get(&key.into()).await.unwrap().bytes().await }).unwrap().to_vec()
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        on_runtime(async { self.inner.put(&key.into(), bytes.to_vec().into()).await }).unwrap();
    }

    fn gets(&self) -> u64 {
        self.faults.gets.load(Ordering::Relaxed)
    }
}

fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Everything that is over becomes cold.
pub(crate) fn at_once() -> ColdPolicy {
    let at_once = Some(Duration::ZERO);
    ColdPolicy { all: ColdAges { readings: at_once, windows: at_once }, ..ColdPolicy::default() }
}

/// So late that everything is over; each day later than the one before, so that what is looked for daily is.
pub(crate) fn late(day: i64) -> Timestamp {
    Timestamp::from_nanos((100_000 + 2 * day) * 86_400_000_000_000)
}

/// Moves all that can be moved. Says how much that was.
pub(crate) fn move_all(store: &Parquet, day: i64) -> usize {
    let before = store.cold_count();
    loop {
        match store.tier(late(day), &at_once()) {
            Ok(true) => {}
            Ok(false) => return store.cold_count() - before,
            // A catalogue of which it was not known whether it was put has the number.
            Err(Error::Database { reason, .. }) if reason.ends_with("the next number is tried") => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A copy of a data directory, as a crash would leave it.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &to);
        } else if !path.to_string_lossy().ends_with("-shm") {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}
