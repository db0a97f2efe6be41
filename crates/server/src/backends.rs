//! The concrete engines a node runs on, by configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::{EmbeddedLog, Protected, Topic};
use metadata::Metadata;
use query::{Cache, Engine, Limits, Query, Tail, Tailed, Watched};
use registry::Devices;
use series::parquet::cold::Cold;
use series::{SeriesRemove, SeriesWriter};

use crate::alerting::{Alerting, Shown};
use crate::cold;
use crate::config::Role;
use crate::exports::Exports;
use crate::stores::{self, Kind, Removing, Share, Store};
use crate::{Config, StartError};

/// The engines, open and recovered.
pub(crate) struct Backends {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) metadata: Arc<dyn Metadata>,
    /// What is known of devices, over the metadata.
    pub(crate) devices: Arc<Devices>,
    /// Only where something writes or asks.
    pub(crate) store: Option<Arc<dyn Store>>,
    /// Rules and alerts.
    pub(crate) alerting: Alerting,
    /// SQL over the store, where there is one; over data sets too.
    pub(crate) engine: Option<Engine>,
    /// Kept answers, where this node writes the store and so knows when they no longer hold.
    pub(crate) cache: Option<Arc<Cache>>,
    /// Who watches what is stored, where this node writes the store.
    pub(crate) tail: Option<Arc<Tail>>,
    /// Where the store's old runs are, if that is configured.
    pub(crate) cold: Option<Arc<Cold>>,
    /// Where it is written what the store no longer keeps, if that is configured.
    pub(crate) exports: Option<Arc<Exports>>,
}

impl Backends {
    /// Opens everything under the data directory. Blocks.
    pub(crate) fn open(config: &Config) -> Result<Self, StartError> {
        let place = |name: &str| config.data_dir.join(name);
        let log = open_log(config, &place("log"))?;
        let metadata: Arc<dyn Metadata> = Arc::new(metadata::Sqlite::open(&metadata_file(config))?);
        let devices = Arc::new(Devices::new(Arc::clone(&metadata), Some(&config.data_dir)));
        let has_store = [Role::Stream, Role::Store, Role::Query].iter().any(|role| config.has(*role));
        let cold = config.cold.as_ref().filter(|_| has_store).map(cold::open).transpose()?;
        let exports = config
            .exports
            .as_ref()
            .filter(|_| has_store)
            .map(|settings| cold::open(settings).map(|to| Arc::new(Exports::new(to, &place("series")))));
        let exports = exports.transpose()?;
        let store = has_store.then(|| open_store(config, cold.clone(), exports.clone())).transpose()?;
        let engine =
            store.clone().map(|store| Engine::new(store as Arc<dyn series::SeriesScan>)).transpose()?;
        let alerting = Alerting::open(config, &metadata, &devices, &log)?;
        let shown: Arc<dyn query::Alerts> = Arc::new(Shown(Arc::clone(&alerting.alerts)));
        let engine = engine.map(|engine| engine.with_facts(Arc::clone(&devices)).with_alerts(shown));
        let cache = config.has(Role::Stream).then(|| Arc::new(Cache::new(config.cache_bytes)));
        let engine = engine.map(|engine| match &cache {
            Some(cache) => engine.with_cache(Arc::clone(cache)),
            None => engine,
        });
        let tail = config.has(Role::Stream).then(Arc::default);
        Ok(Self { log, metadata, devices, alerting, store, engine, cache, tail, cold, exports })
    }

    /// The store's writer, which tells the kept answers and then those who watch.
    pub(crate) fn watched(&self, writer: Arc<dyn SeriesWriter>) -> Arc<dyn SeriesWriter> {
        let writer: Arc<dyn SeriesWriter> = match &self.cache {
            Some(cache) => Arc::new(Watched::new(writer, Arc::clone(cache))),
            None => writer,
        };
        match &self.tail {
            Some(tail) => Arc::new(Tailed::new(writer, Arc::clone(tail))),
            None => writer,
        }
    }

    /// What removes from the store, and tells the kept answers.
    pub(crate) fn removes(&self) -> Option<Arc<dyn SeriesRemove>> {
        let store = self.store.clone()?;
        Some(match &self.cache {
            Some(cache) => Arc::new(Removing { store, cache: Arc::clone(cache) }),
            None => store,
        })
    }

    /// What answers, on a node that does.
    pub(crate) fn query(&self, config: &Config) -> Option<Query> {
        let store = self.store.clone().filter(|_| config.has(Role::Query))?;
        let sql = Arc::new(self.engine.clone()?);
        let query = Query::new(store.clone(), store.clone(), sql, Limits::default()).with_removals(store);
        Some(match &self.cache {
            Some(cache) => query.with_cache(Arc::clone(cache)),
            None => query,
        })
    }
}

fn metadata_file(config: &Config) -> PathBuf {
    config.data_dir.join("metadata.db")
}

fn open_store(
    config: &Config,
    cold: Option<Arc<Cold>>,
    exports: Option<Arc<Exports>>,
) -> Result<Arc<dyn Store>, StartError> {
    let place = config.data_dir.join("series");
    let unfinished = series::parquet::store::restore::folder(&place);
    if unfinished.exists() {
        return Err(StartError::Unfinished { place: unfinished });
    }
    // What was stored is not looked for twice: a store of the other kind would be passed over in silence.
    let (other, kind) = match config.series {
        Kind::Sqlite => (place.clone(), "parquet"),
        Kind::Parquet => (place.with_extension("db"), "sqlite"),
    };
    if other.exists() {
        return Err(StartError::OtherStore { place: other, kind });
    }
    Ok(match config.series {
        Kind::Sqlite => stores::open(config.series, &place, Share::Whole)?,
        Kind::Parquet => {
            let tier = cold.zip(config.cold.as_ref().map(|settings| &settings.policy));
            stores::open_parquet(&place, tier, exports)?
        }
    })
}

fn open_log(config: &Config, directory: &Path) -> Result<Arc<EmbeddedLog>, StartError> {
    // There is no other copy: what the store, or the gateway's checkpoint, has not taken yet stays, whatever the
    // bounds say.
    let readers = [
        (Role::Stream, stream::READER, vec![Topic::Raw]),
        (Role::Stream, alert::READER, vec![Topic::Clean]),
        (Role::Gateway, gateway::READER, vec![Topic::Sessions, Topic::Messages, Topic::Raw]),
    ];
    let here = readers.into_iter().filter(|(role, ..)| config.has(*role));
    let keep_for = here.map(|(_, reader, topics)| Protected { reader: reader.to_owned(), topics }).collect();
    let retention =
        log::Retention { max_age: config.retention.max_age, max_bytes: config.retention.max_bytes, keep_for };
    Ok(Arc::new(EmbeddedLog::open(directory, log::Options { retention, ..log::Options::default() })?))
}
