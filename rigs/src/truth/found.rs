//! What a server has of a tenant.

use std::collections::BTreeMap;

use record::Value;

use super::model::{Account, Key, WindowKey};
use super::windows::Numbers;

/// What a tenant finds when it asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Stored readings with a time of the device's.
    pub rows: Vec<(Key, Value)>,
    /// Stored readings with the server's time.
    pub clockless: Vec<(Key, Value)>,
    /// Keys of late readings.
    pub late: Vec<Key>,
    /// Dead letters.
    pub dead: Vec<Letter>,
    /// Windows.
    pub windows: BTreeMap<WindowKey, WindowFound>,
    /// Values that were replaced.
    pub replaced: Vec<(Key, Value)>,
    /// The account.
    pub account: Account,
    /// Readings left out by sampling: there is no sampling.
    pub shed: i64,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Letter {
    /// The payload it keeps.
    pub payload: String,
    /// Which element of it.
    pub index: Option<u32>,
    /// What was wrong.
    pub reason: String,
}

/// A window's row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowFound {
    /// Its numbers.
    pub numbers: Numbers,
    /// Whether it is marked as revised.
    pub revised: bool,
}
