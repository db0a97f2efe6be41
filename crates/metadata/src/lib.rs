//! Small relational facts: what is true of devices, credentials, sessions, retained messages and alerts now.
//!
//! The seam is four methods over tables of one shape, `(tenant, id, body)`, so that a backend is small: SQLite
//! here, PostgreSQL later. Bodies meant for people are JSON, so that `sqlite3` and its JSON functions can look
//! into them; the gateway's own state is binary with a version.

mod memory;
mod sqlite;

pub use memory::Memory;
pub use sqlite::Sqlite;

/// A table. The name is the one in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Persistent MQTT sessions, by client id.
    Sessions,
    /// Retained messages, by topic.
    Retained,
    /// Log offsets that the other tables of the same commit contain, by reader and partition.
    Offsets,
    /// Devices that people registered, and what they said of them, by device id.
    Devices,
    /// Device credentials, by user name or certificate subject.
    Credentials,
    /// Revoked certificates and tokens, by serial or token id.
    Revocations,
    /// Tenants, by tenant id (the tenant column is empty).
    Tenants,
    /// Schemas, their versions and settings, by what they are: docs/formats/metadata.md.
    Schemas,
    /// What data said of devices in passing, by device id.
    Learned,
    /// By table: a mark that is another one after each change of it (the tenant column is empty). Whoever keeps rows in
    /// memory looks at it, because other processes write too.
    Changes,
    /// Rules and their versions, by what they are: docs/formats/metadata.md.
    Rules,
    /// Alerts, by id: the newest first.
    Alerts,
    /// By rule and device: the last alert that stood, for the suppression of those that follow.
    AlertPairs,
    /// By rule and device: the cause that holds now and has its alert.
    AlertCauses,
    /// What alerting has to do later, by time (the tenant column is empty).
    AlertDue,
    /// What alerting has gathered for people and mutes, and (the tenant column is empty) where its readers stand.
    AlertState,
    /// Messages that are still to be delivered, by message and channel.
    Outbox,
    /// Messages that were delivered or given up, by message and channel: the newest first.
    Deliveries,
    /// Who is told of alerts, and who else when nobody answers.
    People,
    /// When alerts are not told.
    Mutes,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 20] = [
        Self::Sessions,
        Self::Retained,
        Self::Offsets,
        Self::Devices,
        Self::Credentials,
        Self::Revocations,
        Self::Tenants,
        Self::Schemas,
        Self::Learned,
        Self::Changes,
        Self::Rules,
        Self::Alerts,
        Self::AlertPairs,
        Self::AlertCauses,
        Self::AlertDue,
        Self::AlertState,
        Self::Outbox,
        Self::Deliveries,
        Self::People,
        Self::Mutes,
    ];

    /// The name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Retained => "retained",
            Self::Offsets => "offsets",
            Self::Devices => "devices",
            Self::Credentials => "credentials",
            Self::Revocations => "revocations",
            Self::Tenants => "tenants",
            Self::Schemas => "schemas",
            Self::Learned => "learned",
            Self::Changes => "changes",
            Self::Rules => "rules",
            Self::Alerts => "alerts",
            Self::AlertPairs => "alert_pairs",
            Self::AlertCauses => "alert_causes",
            Self::AlertDue => "alert_due",
            Self::AlertState => "alert_state",
            Self::Outbox => "outbox",
            Self::Deliveries => "deliveries",
            Self::People => "people",
            Self::Mutes => "mutes",
        }
    }

    /// Whether its bodies are JSON, for people to look into. The others are binary, with a version.
    #[must_use]
    pub const fn is_json(self) -> bool {
        !matches!(self, Self::Sessions | Self::Retained | Self::Offsets)
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose it is; empty for facts of the whole installation.
    pub tenant: String,
    /// Its key within the tenant.
    pub id: String,
    /// What is known.
    pub body: Vec<u8>,
}

/// A change to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Insert or replace.
    Put(Table, Row),
    /// Remove, if it is there.
    Delete {
        /// The table.
        table: Table,
        /// Whose.
        tenant: String,
        /// Which.
        id: String,
    },
}

/// Why a fact could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database said no.
    #[error("{operation} failed on {place}: {reason}")]
    Database {
        /// What was tried.
        operation: &'static str,
        /// On which file or server.
        place: String,
        /// Its words.
        reason: String,
    },
    /// A later version wrote the database.
    #[error("{place} has schema version {found}, this build knows up to {known}: upgrade Penstock first")]
    Newer {
        /// Which file or server.
        place: String,
        /// Its version.
        found: u32,
        /// The newest this build knows.
        known: u32,
    },
}

/// The result of a call on the metadata.
pub type Result<T> = std::result::Result<T, Error>;

/// Small relational facts. Calls block for a disk access; async callers use a blocking thread.
///
/// # What every backend promises
/// 1. `commit` is atomic and durable when it returns `Ok`; after an error nothing of it is visible.
/// 2. Reads see every commit that returned before they began.
/// 3. A `scan` or `scan_after` shows one state of the table: what is committed while it runs, even by `visit`, is not in it.
/// 4. Bodies come back byte for byte; ids are compared byte by byte.
pub trait Metadata: Send + Sync + 'static {
    /// One row.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn get(&self, table: Table, tenant: &str, id: &str) -> Result<Option<Row>>;

    /// Every row of a table, or of one tenant's part of it, ordered by tenant and id. `visit` returns
    /// `false` to stop.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn scan(&self, table: Table, tenant: Option<&str>, visit: &mut dyn FnMut(Row) -> bool) -> Result<()>;

    /// The rows of one tenant's part of a table whose ids are greater than `after`, ordered by id. `visit` returns
    /// `false` to stop. What stands before is not read, so a page costs the same wherever it begins.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn scan_after(
        &self,
        table: Table,
        tenant: &str,
        after: &str,
        visit: &mut dyn FnMut(Row) -> bool,
    ) -> Result<()>;

    /// Applies all changes, or none.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn commit(&self, changes: &[Change]) -> Result<()>;
}
