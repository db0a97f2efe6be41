//! The cold tier of the store: which object store, and who moves runs there.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig};
use record::Timestamp;
use series::Parquet;
use series::parquet::cold::{Cold, Limits};
use series::parquet::store::ColdPolicy;
use url::Url;

use crate::config::ColdSettings;
use crate::stores::NICENESS;

/// A request is tried again so often, and for so long: somebody waits for what it was for.
const RETRIES: usize = 4;
const RETRIED_FOR: Duration = Duration::from_secs(15);

/// How often it is looked whether something is to be moved.
const EVERY: Duration = Duration::from_secs(60);

/// How long it waits after something has failed, at first and at most.
const AFTER_FAILURE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(900));

/// The object store of a configuration. Keys and options come from the environment, by the names that its provider's own tools
/// use. A directory is made; nobody is asked over the network.
pub(crate) fn open(settings: &ColdSettings) -> series::Result<Arc<Cold>> {
    let place = settings.url.as_str();
    let failed = |reason: String| series::Error::Database {
        operation: "opening the cold tier",
        place: place.to_owned(),
        reason,
    };
    let limits = Limits { cache_bytes: settings.cache_bytes, ..Limits::default() };
    let (scheme, prefix) =
        ObjectStoreScheme::parse(&settings.url).map_err(|error| failed(error.to_string()))?;
    if scheme == ObjectStoreScheme::Local {
        let directory =
            settings.url.to_file_path().map_err(|()| failed("it is no path of this machine".to_owned()))?;
        std::fs::create_dir_all(&directory).map_err(|error| failed(error.to_string()))?;
        let store =
            LocalFileSystem::new_with_prefix(&directory).map_err(|error| failed(error.to_string()))?;
        return Ok(Arc::new(Cold::new(Arc::new(store), place, limits)?.on_disk(directory)));
    }
    let store = remote(&scheme, &settings.url).map_err(|error| failed(error.to_string()))?;
    let store: Arc<dyn ObjectStore> = match prefix.as_ref() {
        "" => store,
        _ => Arc::new(PrefixStore::new(store, prefix)),
    };
    Ok(Arc::new(Cold::new(store, place, limits)?))
}

fn remote(scheme: &ObjectStoreScheme, url: &Url) -> object_store::Result<Arc<dyn ObjectStore>> {
    let retry =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRIED_FOR };
    Ok(match scheme {
        ObjectStoreScheme::GoogleCloudStorage => {
            Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).with_retry(retry).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).with_retry(retry).build()?)
        }
        _ => Arc::new(AmazonS3Builder::from_env().with_url(url.as_str()).with_retry(retry).build()?),
    })
}

/// Moves what has become old, on a thread that ends with the store.
pub(crate) fn look_after(store: &Arc<Parquet>, place: &Path, policy: ColdPolicy) -> series::Result<()> {
    let (store, name) = (Arc::downgrade(store), place.display().to_string());
    let failed = |error: std::io::Error| series::Error::Database {
        operation: "starting a thread of the store",
        place: place.display().to_string(),
        reason: error.to_string(),
    };
    let thread = std::thread::Builder::new().name("series-tiering".into());
    thread.spawn(move || upkeep(&store, &name, &policy)).map(|_| ()).map_err(failed)
}

fn upkeep(store: &Weak<Parquet>, place: &str, policy: &ColdPolicy) {
    // Where it cannot be lowered it stays as it is.
    let _ = rustix::process::nice(NICENESS);
    let mut pause = AFTER_FAILURE.0;
    loop {
        let Some(open) = store.upgrade() else { return };
        let outcome = open.tier(Timestamp::now(), policy);
        drop(open);
        match outcome {
            Ok(more) => {
                pause = AFTER_FAILURE.0;
                if !more {
                    std::thread::sleep(EVERY);
                }
            }
            Err(error) => {
                let again_s = pause.as_secs();
                tracing::warn!(%error, store = place, again_s, "the cold tier cannot be looked after; trying again");
                std::thread::sleep(pause);
                pause = (pause * 2).min(AFTER_FAILURE.1);
            }
        }
    }
}
