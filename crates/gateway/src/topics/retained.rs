//! The last message of each topic that was published with the retain flag.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use log::{Position, Topic};
use parking_lot::RwLock;
use record::{Envelope, EnvelopeError, Qos, Timestamp};

use super::filter::split_share;

/// How much may be retained for one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedLimits {
    /// Messages. Each costs its size and about 200 bytes.
    pub messages: usize,
    /// Bytes of topics, properties and payloads.
    pub bytes: usize,
}

impl Default for RetainedLimits {
    fn default() -> Self {
        Self { messages: 1_000_000, bytes: 1 << 30 }
    }
}

/// A retained message: the envelope as it stands in the log, and what is asked of it often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it stands in the log.
    pub position: Position,
    /// The encoded [`Envelope`]. The message outlives the log's retention, so it is kept whole.
    pub envelope: Bytes,
    /// When it arrived, by the server's clock.
    pub arrived_at: Timestamp,
    /// When it expires (MQTT 5 message expiry), milliseconds since the epoch.
    pub expires_at_ms: Option<i64>,
    /// The quality of service it was published with.
    pub qos: Qos,
    /// An empty payload: the topic's message was deleted. Kept for a moment, see [`Retained::update`].
    pub deleted: bool,
}

impl Kept {
    /// Takes a record of the log.
    ///
    /// # Errors
    /// When the bytes are not an envelope.
    pub fn new(position: Position, envelope: &[u8]) -> Result<Self, EnvelopeError> {
        let message = Envelope::decode(envelope)?;
        Ok(Self::of(position, &message, Bytes::copy_from_slice(envelope)))
    }

    fn of(position: Position, message: &Envelope<'_>, envelope: Bytes) -> Self {
        Self {
            position,
            envelope,
            arrived_at: message.arrived_at,
            expires_at_ms: expires_at_ms(message),
            qos: message.qos,
            deleted: message.payload.is_empty(),
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> Envelope<'_> {
        Envelope::decode(&self.envelope).expect("it was decoded when it was kept")
    }

    /// Whether it is still to be sent at `now_ms`.
    #[must_use]
    pub fn is_live(&self, now_ms: i64) -> bool {
        !self.deleted && self.expires_at_ms.is_none_or(|at| now_ms < at)
    }

    /// Whether this one came after `other`, a message of the same topic. Nearly always both lie in one partition,
    /// whose order decides; telemetry whose device stands only in the payload may put one topic into several, and
    /// then the time of arrival does.
    fn is_after(&self, other: &Self) -> bool {
        if self.position.partition == other.position.partition {
            self.position.offset > other.position.offset
        } else {
            (self.arrived_at, self.position) > (other.arrived_at, other.position)
        }
    }

    fn size_bytes(&self) -> usize {
        self.envelope.len()
    }
}

/// When a message expires, milliseconds since the epoch: MQTT 5 message expiry interval from its arrival.
#[must_use]
pub(crate) fn expires_at_ms(message: &Envelope<'_>) -> Option<i64> {
    let seconds = message_expiry_s(message.properties)?;
    Some(message.arrived_at.millis().saturating_add(i64::from(seconds) * 1000))
}

/// The message expiry interval among a message's properties (2.2.2.2), which came through the strict decoder.
fn message_expiry_s(mut rest: &[u8]) -> Option<u32> {
    let skip_text = |rest: &[u8]| -> Option<usize> {
        Some(2 + usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?)))
    };
    while let Some((&id, tail)) = rest.split_first() {
        let length = match id {
            0x01 => 1,
            0x02 => return tail.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)),
            0x03 | 0x08 | 0x09 => skip_text(tail)?,
            0x26 => {
                let name = skip_text(tail)?;
                name + skip_text(tail.get(name..)?)?
            }
            _ => return None,
        };
        rest = tail.get(length..)?;
    }
    None
}

/// What became of a message with the retain flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the topic's message now.
    Kept,
    /// It was empty: the topic has none now.
    Deleted,
    /// A later one is known already.
    Stale,
    /// The tenant retains as much as it may; the topic's earlier message, if any, is gone, for it is no longer the
    /// last. To be counted.
    Refused,
}

/// Some of the retained messages that match a filter.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In the order of their topics.
    pub messages: Vec<Arc<Kept>>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Arc<str>>,
}

/// Which tenants retain as much as they may: shared with the workers, which refuse a retained publish of such a
/// tenant with 0x97 before it is logged.
#[derive(Clone, Debug, Default)]
pub struct FullTenants(Arc<RwLock<HashSet<Box<str>>>>);

impl FullTenants {
    /// Whether `tenant` is full.
    #[must_use]
    pub fn contains(&self, tenant: &str) -> bool {
        self.0.read().contains(tenant)
    }
}

/// A deletion is remembered so long, nanoseconds: an earlier message of the topic in another partition may be read
/// after it. Readers are milliseconds behind the log, a replay a checkpoint interval.
const DELETION_KEPT_NS: i64 = 60_000_000_000;
/// At most so many deletions are remembered; beyond, the oldest go early.
const DELETIONS: usize = 65_536;

/// The retained messages of all tenants. Owned by the dispatcher; not shared.
#[derive(Debug, Default)]
pub struct Retained {
    limits: RetainedLimits,
    tenants: HashMap<Box<str>, Topics>,
    /// Retained messages outlive the log's retention: a session's place in the log may be found only here.
    by_position: HashMap<Position, (Arc<str>, Arc<str>)>,
    deletions: VecDeque<(Arc<str>, Arc<str>, Position)>,
    full: FullTenants,
}

#[derive(Debug)]
struct Topics {
    name: Arc<str>,
    /// Ordered, so that a filter's leading literal levels are one range and a long scan can be cut into pages.
    messages: BTreeMap<Arc<str>, Arc<Kept>>,
    live: usize,
    bytes: usize,
}

impl Retained {
    /// None yet.
    #[must_use]
    pub fn new(limits: RetainedLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a message that was published with the retain flag, in any order between partitions. An empty payload
    /// deletes (MQTT-3.3.1-6); the deletion is remembered for a minute where an earlier message may still follow.
    ///
    /// # Errors
    /// When the bytes are not an envelope.
    pub fn update(&mut self, position: Position, envelope: &[u8]) -> Result<Outcome, EnvelopeError> {
        let message = Envelope::decode(envelope)?;
        let kept = Kept::of(position, &message, Bytes::copy_from_slice(envelope));
        Ok(self.put(message.tenant, message.topic, kept))
    }

    /// Takes a message that was kept before, from a checkpoint.
    ///
    /// # Errors
    /// When its bytes are not an envelope.
    pub fn restore(&mut self, kept: Kept) -> Result<Outcome, EnvelopeError> {
        let envelope = kept.envelope.clone();
        let message = Envelope::decode(&envelope)?;
        Ok(self.put(message.tenant, message.topic, kept))
    }

    fn put(&mut self, tenant: &str, topic: &str, kept: Kept) -> Outcome {
        let topics = self.tenants.entry_ref(tenant).or_insert_with(|| Topics::new(tenant));
        let old = topics.messages.get(topic);
        if old.is_some_and(|old| !kept.is_after(old)) {
            return Outcome::Stale;
        }
        if let Some(old) = topics.take(topic) {
            self.by_position.remove(&old.position);
        }
        let position = kept.position;
        let outcome = if kept.deleted {
            Outcome::Deleted
        } else if topics.live >= self.limits.messages
            || topics.bytes.saturating_add(kept.size_bytes()) > self.limits.bytes
        {
            Outcome::Refused
        } else {
            Outcome::Kept
        };
        match outcome {
            Outcome::Kept => {
                let topic = topics.put(topic, kept);
                self.by_position.insert(position, (Arc::clone(&topics.name), topic));
            }
            // Plain messages of a topic lie in one partition: nothing earlier can follow.
            Outcome::Deleted if position.partition.topic != Topic::Messages => {
                let topic = topics.put(topic, kept);
                self.deletions.push_back((Arc::clone(&topics.name), topic, position));
            }
            _ => {}
        }
        let full = topics.live >= self.limits.messages || topics.bytes >= self.limits.bytes;
        self.note_full(tenant, full || outcome == Outcome::Refused);
        outcome
    }

    fn note_full(&self, tenant: &str, full: bool) {
        // Written only when it changes: workers read it for every retained publish.
        if self.full.contains(tenant) != full {
            let mut tenants = self.full.0.write();
            if full {
                tenants.insert(tenant.into())
            } else {
                tenants.remove(tenant)
            };
        }
    }

    /// The retained messages of `tenant` that match `filter` (`$share/…` matches none: MQTT 5, 4.8.2) and have not
    /// expired, looking at no more than `look_at` topics; `from` is the `next` of the page before.
    #[must_use]
    pub fn matching(
        &self,
        tenant: &str,
        filter: &str,
        from: Option<&str>,
        look_at: usize,
        now_ms: i64,
    ) -> Page {
        let (None, Some(topics)) = (split_share(filter).0, self.tenants.get(tenant)) else {
            return Page::default();
        };
        if !filter.contains(['+', '#']) {
            let live = topics.messages.get(filter).filter(|kept| kept.is_live(now_ms));
            return Page { messages: live.cloned().into_iter().collect(), next: None };
        }
        let literal = &filter[..filter.find(['+', '#']).unwrap_or(filter.len())];
        // `a/#` matches `a` too, which sorts before `a/`.
        let start = literal.strip_suffix('/').unwrap_or(literal);
        let mut page = Page::default();
        let range =
            topics.messages.range::<str, _>((Bound::Included(from.unwrap_or(start)), Bound::Unbounded));
        for (looked_at, (topic, kept)) in range.enumerate() {
            if !topic.starts_with(start) {
                break;
            }
            if looked_at >= look_at {
                page.next = Some(Arc::clone(topic));
                break;
            }
            if kept.is_live(now_ms) && matches(filter, topic) {
                page.messages.push(Arc::clone(kept));
            }
        }
        page
    }

    /// The message retained for a topic, deletions and expired ones included.
    #[must_use]
    pub fn get(&self, tenant: &str, topic: &str) -> Option<&Arc<Kept>> {
        self.tenants.get(tenant)?.messages.get(topic)
    }

    /// The message that stands at `position` of the log, if it is a retained one: for a session whose place lies
    /// before what the log's retention has left.
    #[must_use]
    pub fn at(&self, position: Position) -> Option<&Arc<Kept>> {
        let (tenant, topic) = self.by_position.get(&position)?;
        self.get(tenant, topic)
    }

    /// Forgets deletions older than a minute. Returns tenant and topic of each.
    pub fn forget_deletions(&mut self, now: Timestamp) -> Vec<(Arc<str>, Arc<str>)> {
        let mut forgotten = Vec::new();
        while let Some((tenant, topic, position)) = self.deletions.front() {
            let topics = self.tenants.get_mut(&**tenant).expect("a deletion's tenant is never removed");
            let kept = topics.messages.get(topic).filter(|kept| kept.position == *position);
            let fresh = |kept: &Arc<Kept>| now.nanos() - kept.arrived_at.nanos() < DELETION_KEPT_NS;
            if kept.is_some_and(fresh) && self.deletions.len() <= DELETIONS {
                break;
            }
            if kept.is_some() {
                topics.take(topic);
                forgotten.push((Arc::clone(tenant), Arc::clone(topic)));
            }
            self.deletions.pop_front();
        }
        forgotten
    }

    /// Forgets the messages that have expired. Looks at every message: to be called once in minutes. Returns tenant
    /// and topic of each.
    pub fn forget_expired(&mut self, now_ms: i64) -> Vec<(Arc<str>, Arc<str>)> {
        let mut forgotten = Vec::new();
        for topics in self.tenants.values_mut() {
            let expired: Vec<Arc<str>> = topics
                .messages
                .iter()
                .filter(|(_, kept)| !kept.deleted && !kept.is_live(now_ms))
                .map(|(topic, _)| Arc::clone(topic))
                .collect();
            for topic in expired {
                if let Some(kept) = topics.take(&topic) {
                    self.by_position.remove(&kept.position);
                }
                forgotten.push((Arc::clone(&topics.name), topic));
            }
        }
        forgotten
    }

    /// Every message of every tenant, deletions included; tenants in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Arc<Kept>)> {
        self.tenants.iter().flat_map(|(tenant, topics)| {
            topics.messages.iter().map(move |(topic, kept)| (&**tenant, &**topic, kept))
        })
    }

    /// How many messages are retained, deletions not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tenants.values().map(|topics| topics.live).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which tenants are full, to share with the workers.
    #[must_use]
    pub fn full_tenants(&self) -> FullTenants {
        self.full.clone()
    }
}

impl Topics {
    fn new(name: &str) -> Self {
        Self { name: name.into(), messages: BTreeMap::new(), live: 0, bytes: 0 }
    }

    fn take(&mut self, topic: &str) -> Option<Arc<Kept>> {
        let kept = self.messages.remove(topic)?;
        if !kept.deleted {
            self.live -= 1;
            self.bytes -= kept.size_bytes();
        }
        Some(kept)
    }

    fn put(&mut self, topic: &str, kept: Kept) -> Arc<str> {
        if !kept.deleted {
            self.live += 1;
            self.bytes += kept.size_bytes();
        }
        let topic: Arc<str> = topic.into();
        self.messages.insert(Arc::clone(&topic), Arc::new(kept));
        topic
    }
}

/// Whether a filter without share group matches a topic (4.7).
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false; // MQTT-4.7.2-1
    }
    let mut levels = topic.split('/');
    for want in filter.split('/') {
        match (want, levels.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (want, Some(have)) if want == have => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}
