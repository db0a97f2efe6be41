//! The configuration: one TOML file, every value overridable by the environment, everything checked before
//! anything starts. Checking touches neither disk (beyond the file itself) nor network.

pub(crate) mod cold;
mod log_output;
mod otlp;
mod overrides;
mod series;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry::{AuthConfig, AuthPolicy};
use serde::{Deserialize, Serialize};
use wire::template::Templates;

pub use cold::{RawCold, Settings as ColdSettings};
pub use log_output::{LogFormat, RawLogOutput, log_filter};
pub use otlp::{RawOtlp, Settings as OtlpSettings};
pub use series::{RawExport, RawKeep, RawRetention, RawSeries, SeriesKind};

use crate::retention::Policy;
use crate::stores::Kind as StoreKind;

/// Why a configuration is refused: where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {file} cannot be read: {reason}")]
    File {
        /// Which.
        file: String,
        /// The system's words.
        reason: String,
    },
    /// The file is not TOML, or a key or value in it is not one of ours.
    #[error("the configuration {file} is refused:\n{reason}")]
    Text {
        /// Which.
        file: String,
        /// Line, column, the line itself and what is wrong.
        reason: String,
    },
    /// A variable of the environment names no key or holds no value of that key.
    #[error("the environment variable {variable} is refused: {reason}")]
    Environment {
        /// Which.
        variable: String,
        /// What is wrong.
        reason: String,
    },
    /// A value is of the right type and still wrong.
    #[error("{0}")]
    Value(String),
}

/// The file as written. Absent parts have their defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// What this node does.
    pub roles: Vec<Role>,
    /// `[gateway]`.
    pub gateway: gateway::config::Raw,
    /// `[http]`.
    pub http: RawHttp,
    /// `[pgwire]`.
    pub pgwire: RawPgwire,
    /// `[query]`.
    pub query: RawQuery,
    /// `[auth]`.
    pub auth: AuthConfig,
    /// `[log]`.
    pub log: RawLog,
    /// `[stream]`.
    pub stream: stream::config::Config,
    /// `[series]`.
    pub series: RawSeries,
    /// `[metadata]`.
    pub metadata: RawMetadata,
    /// `[schemas]`.
    pub schemas: RawSchemas,
    /// `[alert]`.
    pub alert: alert::Config,
    /// `[otlp]`.
    pub otlp: RawOtlp,
    /// `[log_output]`.
    pub log_output: RawLogOutput,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes readings from devices.
    Gateway,
    /// Turns messages into readings.
    Stream,
    /// Keeps readings. On embedded parts the stream writes into the store of its own node.
    Store,
    /// Answers questions.
    Query,
    /// Administration.
    Control,
}

impl Role {
    /// All of them: the default.
    pub const ALL: [Self; 5] = [Self::Gateway, Self::Stream, Self::Store, Self::Query, Self::Control];
}

/// `[http]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHttp {
    /// Where to listen.
    pub listen: String,
}

/// `[pgwire]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPgwire {
    /// Where to listen; empty: nowhere.
    pub listen: String,
}

/// `[query]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawQuery {
    /// What kept answers may take, bytes; 0: none are kept. For those with little memory, or many who look at the same charts.
    pub cache_bytes: usize,
}

/// `[log]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// The backend.
    pub kind: LogKind,
    /// Records older than this may be dropped, hours; absent: 168, a week; 0: never by age.
    pub max_age_hours: Option<u32>,
    /// The oldest records are dropped above this size, bytes; absent: never by size.
    pub max_bytes: Option<u64>,
}

/// A backend of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// Segments in the data directory.
    #[default]
    Embedded,
    /// Apache Kafka.
    Kafka,
}

/// `[metadata]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMetadata {
    /// The backend.
    pub kind: MetadataKind,
}

/// `[schemas]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSchemas {
    /// Which messages have which schema: the first rule that fits counts.
    pub rules: Vec<schema::RawRule>,
}

/// A backend of the metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataKind {
    /// One SQLite file.
    #[default]
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            data_dir: "penstock-data".into(),
            roles: Role::ALL.to_vec(),
            gateway: gateway::config::Raw::default(),
            http: RawHttp::default(),
            pgwire: RawPgwire::default(),
            query: RawQuery::default(),
            auth: AuthConfig::default(),
            log: RawLog::default(),
            stream: stream::config::Config::default(),
            series: RawSeries::default(),
            metadata: RawMetadata::default(),
            schemas: RawSchemas::default(),
            alert: alert::Config::default(),
            otlp: RawOtlp::default(),
            log_output: RawLogOutput::default(),
        }
    }
}

impl Default for RawHttp {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".into() }
    }
}

impl Default for RawPgwire {
    fn default() -> Self {
        Self { listen: "127.0.0.1:5433".into() }
    }
}

impl Default for RawQuery {
    fn default() -> Self {
        Self { cache_bytes: query::CACHE_BYTES }
    }
}

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// What this node does.
    pub roles: BTreeSet<Role>,
    /// The gateway.
    pub gateway: gateway::Config,
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where the PostgreSQL wire listens, if it does.
    pub pgwire: Option<SocketAddr>,
    /// What kept answers may take, bytes.
    pub cache_bytes: usize,
    /// Who may come in.
    pub auth: AuthPolicy,
    /// Which topics are telemetry, and what they say.
    pub templates: Templates,
    /// What the log keeps.
    pub retention: Retention,
    /// Of which kind the store is.
    pub series: StoreKind,
    /// How long the store keeps what it has.
    pub keep: Policy,
    /// Where old runs of the store go, if they do.
    pub cold: Option<ColdSettings>,
    /// Where it is written what the store no longer keeps, if it is.
    pub exports: Option<ColdSettings>,
    /// What is done with readings.
    pub stream: stream::Settings,
    /// Which messages have which schema.
    pub schemas: schema::Rules,
    /// Who is told figures and traces, if anybody is.
    /// How people are told of alerts.
    pub alert: alert::Settings,
    /// To which collector figures and traces go.
    pub otlp: Option<OtlpSettings>,
}

/// What the log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Older records may be dropped.
    pub max_age: Option<Duration>,
    /// The oldest are dropped above this size, bytes.
    pub max_bytes: Option<u64>,
}

/// A week: long enough to repair a store over a holiday, and what R7.1 keeps raw.
const MAX_AGE_HOURS: u32 = 7 * 24;

impl Raw {
    /// Reads the file, if one is named, and lays `environment` over it.
    ///
    /// # Errors
    /// [`ConfigError`] says where and what.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        overrides::read(&name_of(file), &text_of(file)?, environment).map(|(raw, _)| raw)
    }

    /// What [`Raw::load`] would see, as TOML: defaults and environment included; of `[gateway]` what is set.
    ///
    /// # Errors
    /// As [`Raw::load`].
    pub fn show(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<String, ConfigError> {
        let (raw, set) = overrides::read(&name_of(file), &text_of(file)?, environment)?;
        let refused = |error: toml::ser::Error| ConfigError::Value(error.to_string());
        let mut shown = toml::Table::new();
        let parts = [
            ("data_dir", toml::Value::try_from(&raw.data_dir)),
            ("roles", toml::Value::try_from(&raw.roles)),
            ("http", toml::Value::try_from(&raw.http)),
            ("pgwire", toml::Value::try_from(&raw.pgwire)),
            ("query", toml::Value::try_from(&raw.query)),
            ("auth", toml::Value::try_from(&raw.auth)),
            ("log", toml::Value::try_from(&raw.log)),
            ("stream", toml::Value::try_from(&raw.stream)),
            ("series", toml::Value::try_from(&raw.series)),
            ("metadata", toml::Value::try_from(&raw.metadata)),
            ("schemas", toml::Value::try_from(&raw.schemas)),
            ("alert", toml::Value::try_from(&raw.alert)),
            ("otlp", toml::Value::try_from(&raw.otlp)),
            ("log_output", toml::Value::try_from(&raw.log_output)),
        ];
        for (name, part) in parts {
            shown.insert(name.into(), part.map_err(refused)?);
        }
        if let Some(gateway) = set.get("gateway") {
            shown.insert("gateway".into(), gateway.clone());
        }
        toml::to_string(&shown).map_err(refused)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key, what is wrong, and what to do.
    pub fn validate(self) -> Result<Config, ConfigError> {
        let wrong = |text: String| ConfigError::Value(text);
        if self.log.kind == LogKind::Kafka {
            return Err(not_yet("log.kind", "kafka", "embedded"));
        }
        if self.metadata.kind == MetadataKind::Postgres {
            return Err(not_yet("metadata.kind", "postgres", "sqlite"));
        }
        log_filter(&self.log_output.filter)
            .map_err(|reason| wrong(format!("log_output.filter: {reason}")))?;
        let keep = self.series.policy()?;
        let cold = cold::settings(&self.series)?;
        let exports = self.series.exports()?;
        let series = match self.series.kind {
            SeriesKind::Parquet => StoreKind::Parquet,
            SeriesKind::Sqlite => StoreKind::Sqlite,
            SeriesKind::Timescale => return Err(not_yet("series.kind", "timescale", "parquet")),
        };
        if self.roles.is_empty() {
            return Err(wrong("roles: empty: leave it out for all, or name at least one".into()));
        }
        if self.data_dir.as_os_str().is_empty() {
            return Err(wrong("data_dir: empty: name a directory".into()));
        }
        let http = self.http.listen.parse().map_err(|_| {
            wrong(format!(
                "http.listen: {:?} is not an address and port such as \"127.0.0.1:8080\"",
                self.http.listen
            ))
        })?;
        let pgwire = match self.pgwire.listen.as_str() {
            "" => None,
            listen => Some(listen.parse().map_err(|_| {
                wrong(format!(
                    "pgwire.listen: {listen:?} is not an address and port such as \"127.0.0.1:5433\", or \"\" for none"
                ))
            })?),
        };
        let gateway = gateway::Config::try_from(self.gateway).map_err(|error| wrong(error.to_string()))?;
        let templates = gateway.templates.clone();
        let auth = self.auth.validate().map_err(|error| wrong(error.to_string()))?;
        let stream = self.stream.validate().map_err(|error| wrong(error.to_string()))?;
        let schemas = schema::Rules::check(&self.schemas.rules)
            .map_err(|error| wrong(format!("schemas.rules: {error}")))?;
        let hours = self.log.max_age_hours.unwrap_or(MAX_AGE_HOURS);
        let max_age = (hours != 0).then(|| Duration::from_secs(u64::from(hours) * 3600));
        Ok(Config {
            data_dir: self.data_dir,
            roles: self.roles.into_iter().collect(),
            gateway,
            http,
            pgwire,
            cache_bytes: self.query.cache_bytes,
            auth,
            templates,
            retention: Retention { max_age, max_bytes: self.log.max_bytes },
            series,
            keep,
            cold,
            exports,
            stream,
            schemas,
            alert: self.alert.validate().map_err(|error| ConfigError::Value(format!("[alert] {error}")))?,
            otlp: self.otlp.settings()?,
        })
    }
}

impl Config {
    /// Whether the node has a role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

fn name_of(file: Option<&Path>) -> String {
    file.map_or_else(|| "(defaults)".to_owned(), |path| path.display().to_string())
}

fn text_of(file: Option<&Path>) -> Result<String, ConfigError> {
    let Some(path) = file else { return Ok(String::new()) };
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError::File { file: name_of(file), reason: error.to_string() })
}

fn not_yet(key: &str, value: &str, instead: &str) -> ConfigError {
    ConfigError::Value(format!("{key}: {value:?} is not built yet: write {instead:?} or leave it out"))
}
