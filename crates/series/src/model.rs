//! What goes into the store and what comes out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use record::{DeviceId, Lane, MetricName, Readings, TenantId, Timestamp, Value, ValueRef};

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

/// The stages that make dead letters, in the order a message passes them. `log`: a hole in the log itself.
pub const STAGES: [&str; 8] =
    ["log", "gateway", "envelope", "decode", "schema", "time", "validate", "budget"];

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
    /// Which stage refused it: one of [`STAGES`].
    pub stage: &'static str,
    /// When it arrived.
    pub arrived_at: Timestamp,
    /// How often it was tried: 1, and one more for each replay that failed.
    pub attempts: u32,
    /// When it was tried last, by the arrival of the record that tried it.
    pub last_at: Timestamp,
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
    /// The readings to keep of each tenant, in the order of the log: new ones and corrections.
    pub readings: BTreeMap<TenantId, Readings>,
    /// Those among them that came late: they are listed as such besides being stored.
    pub late: BTreeMap<TenantId, Vec<LateRow>>,
    /// Window results to put in the place of earlier ones. One that takes the place of another result (a different
    /// one, or one that is void) is marked as revised by the store.
    pub windows: Vec<WindowRow>,
    /// Likewise, but only where there is an earlier result: windows of which none is kept any more that is of so few readings.
    pub revised_windows: Vec<WindowRow>,
    /// Window results that are void: sessions that have grown together with another. Removed before `windows`
    /// are put in.
    pub void_windows: Vec<VoidWindows>,
    /// The messages of which something could not be used. One that is there already (same source and offset)
    /// is replaced: a replay that failed again.
    pub dead: Vec<DeadMessage>,
    /// Dead messages that a replay has put right: they leave the table. Applied after `dead`; one that is not
    /// there is nothing wrong.
    pub resolved: Vec<(Source, u64)>,
    /// What became of the readings, to be added to the account.
    pub account: Vec<AccountEntry>,
    /// What is known of devices' clocks, to replace what was known.
    pub clocks: Vec<ClockRow>,
    /// The log offsets whose outcome this is; at most one per partition.
    pub spans: Vec<Span>,
    /// The writer's own notes on this batch, kept until forgotten; at most one per partition.
    pub notes: Vec<Note>,
    /// Notes the writer no longer needs: for a partition, all with a lower number.
    pub forget: Vec<(u16, u64)>,
}

/// A late reading of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateRow {
    /// Its row in the tenant's readings.
    pub row: u32,
    /// The watermark it came behind: every reading before it, less the allowed lateness, is late.
    pub watermark: Timestamp,
}

/// Which result of which window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowKey {
    /// Whose.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceId,
    /// The metric.
    pub metric: MetricName,
    /// The kind of window, as people write it: `1m`, `10m/1m` (sliding: size/slide), `session 30s` (its gap).
    pub window: Arc<str>,
    /// Its start.
    pub start: Timestamp,
}

/// Results of one kind of window that are void: all that start in `key.start..until`. Two sessions become one when a
/// reading between them comes late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidWindows {
    /// Series and kind of window, and the first start.
    pub key: WindowKey,
    /// Exclusive.
    pub until: Timestamp,
}

/// The result of a window: the readings of a series within `start..end`, as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRow {
    /// Which window.
    pub key: WindowKey,
    /// Its end, exclusive. Of a session: its last reading's time plus the gap.
    pub end: Timestamp,
    /// How many readings, at least one.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The standard deviation of the population (divided by `count`).
    pub stddev: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The value of the earliest reading.
    pub first: f64,
    /// The value of the latest reading.
    pub last: f64,
    /// Whether another result was published before. What is written with `false` is set by the store if need be.
    pub revised: bool,
}

/// Where readings of one minute came from, for the account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// Whose; empty when the record could not be read.
    pub tenant: String,
    /// The kind of topic: the text of the template that it matched, `/v1/telemetry`, …: never one per device.
    pub topic: String,
    /// The minute of arrival, its start.
    pub minute: Timestamp,
}

/// What is added to the account: readings, and the log records they came in. A replay moves readings from
/// `dead` to where they went, so each may be negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEntry {
    /// Which line of the account.
    pub key: AccountKey,
    /// The amounts.
    pub amounts: Amounts,
}

/// Amounts of an account: `accepted = stored + duplicate + dead + late + shed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Records of the log.
    pub records: i64,
    /// Readings that were in them, good and bad; a record that cannot be read counts as one.
    pub accepted: i64,
    /// Readings stored in time, corrections among them.
    pub stored: i64,
    /// Readings that were there already.
    pub duplicate: i64,
    /// Dead letters.
    pub dead: i64,
    /// Readings stored late, corrections among them.
    pub late: i64,
    /// Readings left out by a sampling policy.
    pub shed: i64,
    /// Of `stored` and `late`: those that replaced another value, which is why the store has so many rows less.
    pub corrected: i64,
}

impl Amounts {
    /// What is missing from the account: not zero means that a reading was lost or counted twice.
    #[must_use]
    pub const fn residue(&self) -> i64 {
        self.accepted - (self.stored + self.duplicate + self.dead + self.late + self.shed)
    }
}

impl std::ops::AddAssign for Amounts {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.accepted += other.accepted;
        self.stored += other.stored;
        self.duplicate += other.duplicate;
        self.dead += other.dead;
        self.late += other.late;
        self.shed += other.shed;
        self.corrected += other.corrected;
    }
}

/// What is known of a device's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockRow {
    /// Whose.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceId,
    /// How far its clock is ahead of the server's (negative: behind), nanoseconds.
    pub skew_nanos: i64,
    /// Whether it is further off than the policy takes.
    pub suspect: bool,
}

/// What the writer wrote down for itself with a batch: opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The partition's number; both lanes share one row of notes.
    pub partition: u16,
    /// Its number, rising by one.
    pub number: u64,
    /// The note.
    pub bytes: Vec<u8>,
}

/// The key by which a reading is known again (R6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// The device.
    pub device: &'a str,
    /// The metric.
    pub metric: &'a str,
    /// The time the device claimed ([`record::When::claimed`]).
    pub claimed: Timestamp,
    /// The device's sequence number, 0 without.
    pub seq: u64,
}

/// How many devices and series a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Devices that have a stored reading.
    pub devices: u64,
    /// Pairs of device and metric that have a stored reading.
    pub series: u64,
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

/// Whether two values are the same for the contract: numbers of the same size are, whatever their type, and any NaN is
/// the same as any other. So a value that was delivered twice is a duplicate, also where the store keeps an integer among
/// floats.
#[must_use]
pub fn same(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Float(a), ValueRef::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
        (ValueRef::Int(int), ValueRef::Float(float)) | (ValueRef::Float(float), ValueRef::Int(int)) => {
            // Back to an integer, because not every integer is a float. 2^63 would become 2^63 - 1.
            float == int as f64 && (float as i64) == int && float < 9_223_372_036_854_775_808.0
        }
        _ => a == b,
    }
}
