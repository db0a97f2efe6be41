//! An object store that fails when it is told to, counts, and is slow.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What is called before and after each upload, with its key.
type Hook = Box<dyn Fn(&str) + Send>;

#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) no_put: AtomicBool,
    /// The object is there, and the answer is lost.
    pub(crate) no_put_answer: AtomicBool,
    pub(crate) no_get: AtomicBool,
    pub(crate) no_delete: AtomicBool,
    pub(crate) gets: AtomicU64,
    pub(crate) get_takes: Mutex<Duration>,
    pub(crate) around_put: Mutex<Option<Hook>>,
}

impl Faults {
    /// Everything works again.
    pub(crate) fn mend(&self) {
        for fault in [&self.no_put, &self.no_put_answer, &self.no_get, &self.no_delete] {
            fault.store(false, Ordering::Relaxed);
        }
    }

    fn hook(&self, key: &Path) {
        if let Some(hook) = &*self.around_put.lock().unwrap() {
            hook(key.as_ref());
        }
    }
}

pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) faults: Arc<Faults>,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

fn refused(fault: &AtomicBool) -> Result<()> {
    match fault.load(Ordering::Relaxed) {
        true => Err(Error::Generic { store: "faulty", source: "out of order".into() }),
        false => Ok(()),
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, key: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.faults.hook(key);
        refused(&self.faults.no_put)?;
        let put = self.inner.put_opts(key, payload, options).await?;
        self.faults.hook(key);
        refused(&self.faults.no_put_answer)?;
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        refused(&self.faults.no_put)?;
        self.inner.put_multipart_opts(key, options).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        if !options.head {
            self.faults.gets.fetch_add(1, Ordering::Relaxed);
            let takes = *self.faults.get_takes.lock().unwrap();
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
        }
        refused(&self.faults.no_get)?;
        self.inner.get_opts(key, options).await
    }

    async fn get_ranges(&self, key: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(key, ranges).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match refused(&self.faults.no_delete) {
            Ok(()) => self.inner.delete_stream(keys),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
