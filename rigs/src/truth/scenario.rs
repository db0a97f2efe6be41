//! What is sent, and what it means.

use std::collections::BTreeSet;

use record::{Lane, Value};

/// A nanosecond count since the epoch: the generator does arithmetic with times all the time.
pub type Nanos = i64;

/// One second.
pub const SECOND: Nanos = 1_000_000_000;
/// One minute.
pub const MINUTE: Nanos = 60 * SECOND;

/// What the server is configured with, and the model knows.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A live reading is late when it is further behind the watermark.
    pub allowed_lateness: Nanos,
    /// A message whose newest reading is older on arrival goes to the backfill lane.
    pub backfill_after: Nanos,
    /// Partitions of the log for raw messages.
    pub partitions: u16,
    /// Largest MQTT packet, bytes.
    pub packet_bytes: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            allowed_lateness: 30 * SECOND,
            // Far above the age of what happens "live" in a scenario, far below that of its backfill.
            backfill_after: 3 * 60 * MINUTE,
            partitions: log::Partitions::default().of(log::Topic::Raw),
            packet_bytes: 32 << 10,
        }
    }
}

/// What the server is configured with beside [`Rules`]. Nothing of it may change what comes out, but for when it does.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Moments of a device whose keys are remembered; what came before them is asked of the store.
    pub recent_keys: u32,
    /// What open windows may take in memory, bytes.
    pub window_bytes: u64,
    /// Seconds between checkpoints.
    pub checkpoint_every_s: u32,
    /// The pause behind each stage, so that checkpoints fall into the scenario.
    pub pause_ms: u64,
}

impl Tuning {
    /// Whether windows have to be given up before they are over.
    #[must_use]
    pub const fn is_short_of_memory(&self) -> bool {
        self.window_bytes < 1 << 28
    }
}

/// Everything a seed stands for.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// When it was made: no message arrives before, none later than [`Scenario::PATIENCE`] after.
    pub made_at: Nanos,
    /// What the server is configured with.
    pub rules: Rules,
    /// And with this.
    pub tuning: Tuning,
    /// The tenants.
    pub tenants: Vec<String>,
    /// The connections.
    pub links: Vec<Link>,
    /// What is sent, one after the other.
    pub stages: Vec<Stage>,
    /// When the server is killed.
    pub kills: Vec<Kill>,
}

impl Scenario {
    /// A scenario that is not played to its end in this time proves nothing.
    pub const PATIENCE: Nanos = 15 * MINUTE;

    /// Devices with credentials of their own, by tenant.
    pub fn credentialed(&self) -> impl Iterator<Item = (usize, &str)> {
        self.links.iter().filter_map(|link| match &link.who {
            Who::Device(device) => Some((link.tenant, device.as_str())),
            Who::Service => None,
        })
    }

    /// How many messages it has.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.stages.iter().flat_map(|stage| &stage.lines).map(|line| line.messages.len()).sum()
    }
}

/// A connection, and who is at its far end.
#[derive(Debug, Clone)]
pub struct Link {
    /// The tenant's place in [`Scenario::tenants`].
    pub tenant: usize,
    /// Who.
    pub who: Who,
    /// How it speaks.
    pub speaks: Speaks,
}

/// Whose credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The tenant's service, which may speak for all of its devices.
    Service,
    /// A device for itself.
    Device(String),
}

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// MQTT 3.1.1.
    Mqtt311,
    /// MQTT 5.
    Mqtt5,
    /// HTTP.
    Http,
}

/// What is sent at the same time on several connections. The next stage begins when all of it is acknowledged.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What it is for.
    pub name: &'static str,
    /// At most one per connection.
    pub lines: Vec<Line>,
    /// Wait afterwards until the store has it all.
    pub settle: bool,
}

/// What a connection sends, in order.
#[derive(Debug, Clone)]
pub struct Line {
    /// The connection's place in [`Scenario::links`].
    pub link: usize,
    /// The messages.
    pub messages: Vec<Message>,
}

/// A SIGKILL.
#[derive(Debug, Clone, Copy)]
pub struct Kill {
    /// In which stage.
    pub stage: usize,
    /// How long after its beginning.
    pub after_ms: u64,
}

/// A message, its bytes and its meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// How it is sent.
    pub way: Way,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// The lane it asks for.
    pub lane: Option<Lane>,
    /// Its good readings, those together whose lane is chosen together.
    pub units: Vec<Vec<Reading>>,
    /// Its dead letters.
    pub dead: Vec<Dead>,
    /// What the sender is told.
    pub answer: Answer,
}

/// How a message is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// MQTT PUBLISH.
    Publish {
        /// The topic.
        topic: String,
        /// The quality of service.
        qos: u8,
    },
    /// HTTP POST.
    Post {
        /// Path and query.
        target: String,
        /// Content-Type.
        content_type: &'static str,
    },
}

/// What the sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// All of it was taken.
    Taken,
    /// Its good readings were taken.
    Partly,
    /// It has no good reading.
    Refused,
    /// It is larger than the listener takes; nothing of it was looked at.
    TooLarge,
    /// The sender may not say that; nothing of it was looked at.
    Forbidden,
}

impl Answer {
    /// Whether the message became part of the account.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        !matches!(self, Self::TooLarge | Self::Forbidden)
    }
}

/// A good reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The device.
    pub device: String,
    /// The metric.
    pub metric: String,
    /// The device's time; `None`: it has no clock.
    pub time: Option<Nanos>,
    /// Its sequence number.
    pub seq: Option<u64>,
    /// The value.
    pub value: Value,
}

/// A dead letter to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dead {
    /// The payload it keeps, as SQL shows it.
    pub payload: String,
    /// Which element of the payload; `None`: all of it.
    pub index: Option<u32>,
    /// What the reason must say, by the documentation's words for it.
    pub says: &'static str,
}

impl Message {
    /// All good readings.
    pub fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.units.iter().flatten()
    }

    /// Readings, good and bad.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.units.iter().map(Vec::len).sum::<usize>() + self.dead.len()
    }

    /// The devices it has good readings of.
    #[must_use]
    pub fn devices(&self) -> BTreeSet<&str> {
        self.readings().map(|reading| reading.device.as_str()).collect()
    }
}
