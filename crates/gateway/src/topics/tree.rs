//! The subscriptions of one tenant.

use std::hash::Hash;

use record::Qos;
use smallvec::SmallVec;
use wire::mqtt::SubscribeOptions;

use super::dense::{Dense, Keyed};
use super::filter::{Shape, group_hash, split_share};
use super::matches::{Audience, Match, Matches};
use super::roster::{Member, Roster};

/// A subscription that fits a topic, before any choice between subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest<K> {
    /// Whose.
    pub subscriber: K,
    /// What it granted.
    pub qos: Qos,
    /// Not the subscriber's own messages.
    pub no_local: bool,
    /// Keep the retain flag.
    pub retain_as_published: bool,
    /// Subscription identifier, 0: none.
    pub id: u32,
    /// The share group, by the number under which its choices are logged.
    pub group: Option<u64>,
}

/// A filter and its subscribers.
#[derive(Debug)]
struct Entry<K> {
    filter: Box<str>,
    roster: Roster<K>,
}

impl<K> Keyed for Entry<K> {
    type Key = str;
    fn key(&self) -> &str {
        &self.filter
    }
}

#[derive(Debug)]
pub(super) struct Tree<K> {
    entries: Dense<Entry<K>>,
    /// Shapes in use, and by how many filters.
    shapes: Vec<(Shape, u32)>,
    subscriptions: usize,
}

impl<K> Default for Tree<K> {
    fn default() -> Self {
        Self { entries: Dense::default(), shapes: Vec::new(), subscriptions: 0 }
    }
}

impl<K: Copy + Ord + Hash> Tree<K> {
    pub(super) fn len(&self) -> usize {
        self.subscriptions
    }

    pub(super) fn shapes(&self) -> usize {
        self.shapes.len()
    }

    /// Whether this very subscription is there.
    pub(super) fn holds(&self, whole: &str, key: K) -> bool {
        let (group, filter) = split_share(whole);
        let Some(entry) = self.entries.get(filter) else { return false };
        match group {
            None => match &entry.roster {
                Roster::One(member) => member.key == key,
                Roster::Many(crowd) => crowd.ordinary.get(&key).is_some(),
            },
            Some(_) => {
                let hash = group_hash(whole);
                entry.roster.groups().iter().any(|g| g.hash == hash && g.members.get(&key).is_some())
            }
        }
    }

    /// Whether a filter of this form would add a shape.
    pub(super) fn is_new_shape(&self, whole: &str) -> bool {
        let shape = Shape::of(split_share(whole).1);
        !self.shapes.iter().any(|(known, _)| *known == shape)
    }

    /// Adds or replaces; whether it is new.
    pub(super) fn insert(&mut self, whole: &str, key: K, options: &SubscribeOptions, id: u32) -> bool {
        let (group, filter) = split_share(whole);
        let group = group.map(|name| (name, group_hash(whole)));
        let member = Member {
            key,
            id,
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
        };
        let new = match self.entries.get_mut(filter) {
            Some(entry) => entry.roster.insert(group, member),
            None => {
                self.entries.push(Entry { filter: filter.into(), roster: Roster::new(group, member) });
                self.count_shape(Shape::of(filter));
                true
            }
        };
        self.subscriptions += usize::from(new);
        new
    }

    /// Takes a subscription out; whether it was there.
    pub(super) fn remove(&mut self, whole: &str, key: K) -> bool {
        let (group, filter) = split_share(whole);
        let Some(entry) = self.entries.get_mut(filter) else { return false };
        if !entry.roster.remove(group, &key) {
            return false;
        }
        if entry.roster.is_spent() {
            self.entries.remove(filter);
            let shape = Shape::of(filter);
            if let Some(at) = self.shapes.iter().position(|(known, _)| *known == shape) {
                self.shapes[at].1 -= 1;
                if self.shapes[at].1 == 0 {
                    self.shapes.swap_remove(at);
                }
            }
        }
        self.subscriptions -= 1;
        true
    }

    /// Adds the subscribers of `topic` to `out`, each once.
    pub(super) fn matching(&self, topic: &str, qos: Qos, audience: &impl Audience<K>, out: &mut Matches<K>) {
        let mut scratch = std::mem::take(&mut out.scratch);
        let mut sources = 0;
        self.each_roster(topic, &mut scratch, |roster| {
            let ordinary = roster.ordinary();
            sources += usize::from(!ordinary.is_empty());
            for member in ordinary {
                if !(member.no_local && audience.is_publisher(member.key)) {
                    out.found.push(chosen(member, None));
                }
            }
            for group in roster.groups() {
                match group.choose(qos, audience) {
                    Some(member) => {
                        sources += 1;
                        out.found.push(chosen(member, Some(group.hash)));
                    }
                    None => out.unserved += 1,
                }
            }
        });
        if sources > 1 {
            out.merge();
        }
        out.scratch = scratch;
    }

    /// Shows every subscription that fits `topic`, members of share groups one by one.
    pub(super) fn visit(&self, topic: &str, visit: &mut impl FnMut(Interest<K>)) {
        let mut scratch = String::new();
        self.each_roster(topic, &mut scratch, |roster| {
            roster.ordinary().iter().for_each(|member| visit(interest(member, None)));
            for group in roster.groups() {
                group.members.items().iter().for_each(|member| visit(interest(member, Some(group.hash))));
            }
        });
    }

    fn each_roster(&self, topic: &str, scratch: &mut String, mut of: impl FnMut(&Roster<K>)) {
        let levels = topic.bytes().filter(|byte| *byte == b'/').count() + 1;
        let dollar = topic.starts_with('$');
        for (shape, _) in &self.shapes {
            if shape.fits(levels, dollar)
                && let Some(entry) = self.entries.get(shape.filter_for(topic, scratch))
            {
                of(&entry.roster);
            }
        }
    }

    fn count_shape(&mut self, shape: Shape) {
        match self.shapes.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, count)) => *count += 1,
            None => self.shapes.push((shape, 1)),
        }
    }
}

fn chosen<K: Copy>(member: &Member<K>, group: Option<u64>) -> Match<K> {
    Match {
        subscriber: member.key,
        qos: member.qos,
        retain_as_published: member.retain_as_published,
        ids: if member.id == 0 { SmallVec::new() } else { SmallVec::from_slice(&[member.id]) },
        group,
    }
}

fn interest<K: Copy>(member: &Member<K>, group: Option<u64>) -> Interest<K> {
    Interest {
        subscriber: member.key,
        qos: member.qos,
        no_local: member.no_local,
        retain_as_published: member.retain_as_published,
        id: member.id,
        group,
    }
}
