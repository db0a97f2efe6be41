//! The concrete engines a node runs on, by configuration.

use std::path::Path;
use std::sync::Arc;

use metadata::Metadata;
use query::{Limits, Query, SqliteSql};

use crate::{Config, StartError};

/// The engines, open and recovered.
pub(crate) struct Backends {
    pub(crate) log: Arc<log::MemoryLog>,
    pub(crate) metadata: Arc<dyn Metadata>,
    pub(crate) store: Arc<series::Sqlite>,
}

impl Backends {
    /// Opens everything under the data directory. Blocks.
    pub(crate) fn open(config: &Config) -> Result<Self, StartError> {
        let place = |name: &str| config.data_dir.join(name);
        let log = open_log(config, &place("log"))?;
        let metadata = Arc::new(metadata::Sqlite::open(&place("metadata.db"))?);
        let store = Arc::new(series::Sqlite::open(&place("series.db"))?);
        Ok(Self { log, metadata, store })
    }

    pub(crate) fn query(&self) -> Query {
        let sql = Arc::new(SqliteSql::new(self.store.path()));
        Query::new(self.store.clone(), sql, Limits::default())
    }
}

fn open_log(_config: &Config, _directory: &Path) -> Result<Arc<log::MemoryLog>, StartError> {
    Ok(Arc::new(log::MemoryLog::new(log::Partitions::default())))
}
