//! What goes into the store and what comes out.

use std::collections::BTreeMap;
use std::fmt;

use record::{DeviceId, Lane, Readings, TenantId, Timestamp, Value};

/// A log partition, as the store knows it: this floor does not know the log, only how to tell its partitions
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The topic's number in the log.
    pub topic: u8,
    /// The lane.
    pub lane: Lane,
    /// The partition's number.
    pub partition: u16,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = if self.lane == Lane::Live { "live" } else { "backfill" };
        write!(f, "topic {} {lane} partition {}", self.topic, self.partition)
    }
}

/// The next offset of a partition that the store wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The partition.
    pub source: Source,
    /// The next offset.
    pub offset: u64,
}

/// The offsets `from..to` of a partition, whose outcome a batch holds completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The partition.
    pub source: Source,
    /// The first offset.
    pub from: u64,
    /// One past the last.
    pub to: u64,
}

/// How much of a message was unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Nothing of it was stored.
    Whole,
    /// Its good readings were stored.
    Part,
}

/// One unusable thing in a message: a reading, or the message itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which reading of the message, from 0; `None` when the message as a whole is unusable.
    pub index: Option<u32>,
    /// What was wrong, for people.
    pub reason: String,
}

/// A message of which something could not be used, with the record as it stood in the log, so that it can be
/// looked at, repaired and replayed. Keyed by its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadMessage {
    /// Where it came from.
    pub source: Source,
    /// Its offset there.
    pub offset: u64,
    /// Whose, as the record says; empty when the record cannot be read.
    pub tenant: String,
    /// The device as far as known, else empty.
    pub device: String,
    /// The topic it was sent to, else empty.
    pub topic: String,
    /// Which stage refused it: `gateway`, `envelope`, `decode`, `log`.
    pub stage: &'static str,
    /// When it arrived.
    pub arrived_at: Timestamp,
    /// Whether its good readings were kept.
    pub completeness: Completeness,
    /// What was wrong, at least one.
    pub letters: Vec<DeadLetter>,
    /// The whole record from the log ([`record::Envelope`]).
    pub record: Vec<u8>,
}

/// What one `write` makes durable.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    /// The readings of each tenant, in the order of the log.
    pub readings: BTreeMap<TenantId, Readings>,
    /// The messages of which something could not be used.
    pub dead: Vec<DeadMessage>,
    /// The log offsets whose outcome this is; at most one per partition.
    pub spans: Vec<Span>,
}

/// What became of a batch's readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Readings that were new.
    pub stored: u64,
    /// Readings that were there with the same value.
    pub duplicates: u64,
    /// Readings that replaced another value.
    pub corrections: u64,
    /// Dead letters written.
    pub dead_letters: u64,
}

/// A point of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When it happened.
    pub time: Timestamp,
    /// What was measured.
    pub value: Value,
}

/// A device that has sent something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which.
    pub id: DeviceId,
    /// When its first reading arrived.
    pub created_at: Timestamp,
    /// When its latest reading arrived.
    pub last_seen: Timestamp,
}
