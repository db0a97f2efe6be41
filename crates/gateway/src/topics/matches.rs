//! What matching a topic gives.

use record::Qos;
use smallvec::SmallVec;

/// How a subscriber stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Has a connection that takes messages.
    Connected,
    /// Has none, but its session keeps messages.
    Away,
    /// Is gone: nothing reaches it any more.
    Gone,
}

/// What matching must know of subscribers.
pub trait Audience<K> {
    /// How `subscriber` stands; asked only of members of share groups.
    fn standing(&self, subscriber: K) -> Standing;
    /// Whether `subscriber` published the message; asked only where a subscription says "no local".
    fn is_publisher(&self, subscriber: K) -> bool;
}

/// A subscriber that a message goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match<K> {
    /// Who.
    pub subscriber: K,
    /// The highest quality of service of the matching subscriptions (MQTT-3.3.4-2); the message goes out with the
    /// lower of this and its own.
    pub qos: Qos,
    /// Whether a matching subscription keeps the retain flag as published.
    pub retain_as_published: bool,
    /// The identifiers of all matching subscriptions that have one (MQTT-3.3.4-3), ascending, none doubled.
    pub ids: SmallVec<[u32; 2]>,
    /// The share group that chose this subscriber, by the number under which the choice is logged. `None` also when
    /// an ordinary subscription of the same subscriber matches: it would have got the message anyway.
    pub group: Option<u64>,
}

/// The subscribers of a message, each once. Kept and reused by the caller, so that matching allocates nothing.
#[derive(Debug)]
pub struct Matches<K> {
    pub(super) found: Vec<Match<K>>,
    pub(super) scratch: String,
    /// Share groups that matched and had nobody to take the message.
    pub(super) unserved: usize,
}

impl<K> Default for Matches<K> {
    fn default() -> Self {
        Self { found: Vec::new(), scratch: String::new(), unserved: 0 }
    }
}

impl<K> Matches<K> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The subscribers.
    #[must_use]
    pub fn as_slice(&self) -> &[Match<K>] {
        &self.found
    }

    /// How many share groups matched but had no member to take the message.
    #[must_use]
    pub fn unserved(&self) -> usize {
        self.unserved
    }

    /// Makes it none.
    pub fn clear(&mut self) {
        self.found.clear();
        self.unserved = 0;
    }

    /// The subscribers, taken out.
    pub fn drain(&mut self) -> impl Iterator<Item = Match<K>> + '_ {
        self.found.drain(..)
    }
}

impl<K: Copy + Ord> Matches<K> {
    /// Makes one of the matches of each subscriber.
    pub(super) fn merge(&mut self) {
        self.found.sort_by_key(|m| m.subscriber); // stable: the order within a subscriber is that of the shapes
        self.found.dedup_by(|next, kept| {
            if next.subscriber != kept.subscriber {
                return false;
            }
            kept.qos = kept.qos.max(next.qos);
            kept.retain_as_published |= next.retain_as_published;
            kept.ids.extend(next.ids.drain(..));
            kept.ids.sort_unstable();
            kept.ids.dedup();
            kept.group = kept.group.and(next.group);
            true
        });
    }
}
