//! Who subscribed to one filter.

use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};

use record::Qos;

use super::dense::{Dense, Keyed};
use super::matches::{Audience, Standing};

/// A subscriber of a filter, 16 bytes with a key of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member<K> {
    pub(super) key: K,
    /// Subscription identifier, 0: none.
    pub(super) id: u32,
    pub(super) qos: Qos,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
}

impl<K: Hash + Eq> Keyed for Member<K> {
    type Key = K;
    fn key(&self) -> &K {
        &self.key
    }
}

/// The subscribers of a filter. Nearly every filter of a fleet (a device's own topic) has one.
#[derive(Debug)]
pub(super) enum Roster<K> {
    One(Member<K>),
    Many(Box<Crowd<K>>),
}

#[derive(Debug)]
pub(super) struct Crowd<K> {
    pub(super) ordinary: Dense<Member<K>>,
    pub(super) groups: Vec<Group<K>>,
}

/// A share group of a filter.
#[derive(Debug)]
pub(super) struct Group<K> {
    name: Box<str>,
    pub(super) hash: u64,
    pub(super) members: Dense<Member<K>>,
    /// Whose turn it is; readers move it, so that it takes no write lock.
    turn: AtomicU32,
}

impl<K: Copy + Eq + Hash> Roster<K> {
    pub(super) fn new(group: Option<(&str, u64)>, member: Member<K>) -> Self {
        if group.is_none() {
            return Self::One(member);
        }
        let mut roster = Self::Many(Box::new(Crowd { ordinary: Dense::default(), groups: Vec::new() }));
        roster.insert(group, member);
        roster
    }

    /// Adds or replaces; whether it is new.
    pub(super) fn insert(&mut self, group: Option<(&str, u64)>, member: Member<K>) -> bool {
        match self {
            Self::One(known) if group.is_none() && known.key == member.key => {
                *known = member;
                false
            }
            Self::One(known) => {
                let mut ordinary = Dense::default();
                ordinary.push(*known);
                *self = Self::Many(Box::new(Crowd { ordinary, groups: Vec::new() }));
                self.insert(group, member)
            }
            Self::Many(crowd) => put(crowd.members_mut(group), member),
        }
    }

    /// Takes one out; whether it was there.
    pub(super) fn remove(&mut self, group: Option<&str>, key: &K) -> bool {
        match self {
            // The caller drops a roster that has nobody left.
            Self::One(known) => group.is_none() && known.key == *key,
            Self::Many(crowd) => match group {
                None => crowd.ordinary.remove(key).is_some(),
                Some(name) => {
                    let Some(at) = crowd.groups.iter().position(|g| *g.name == *name) else { return false };
                    let removed = crowd.groups[at].members.remove(key).is_some();
                    if crowd.groups[at].members.is_empty() {
                        crowd.groups.remove(at);
                    }
                    removed
                }
            },
        }
    }

    /// Whether nobody is left once a removal has succeeded.
    pub(super) fn is_spent(&self) -> bool {
        match self {
            Self::One(_) => true,
            Self::Many(crowd) => crowd.ordinary.is_empty() && crowd.groups.is_empty(),
        }
    }

    pub(super) fn ordinary(&self) -> &[Member<K>] {
        match self {
            Self::One(member) => std::slice::from_ref(member),
            Self::Many(crowd) => crowd.ordinary.items(),
        }
    }

    pub(super) fn groups(&self) -> &[Group<K>] {
        match self {
            Self::One(_) => &[],
            Self::Many(crowd) => &crowd.groups,
        }
    }
}

fn put<K: Copy + Eq + Hash>(members: &mut Dense<Member<K>>, member: Member<K>) -> bool {
    match members.get_mut(&member.key) {
        Some(known) => {
            *known = member;
            false
        }
        None => {
            members.push(member);
            true
        }
    }
}

impl<K: Copy + Eq + Hash> Crowd<K> {
    fn members_mut(&mut self, group: Option<(&str, u64)>) -> &mut Dense<Member<K>> {
        let Some((name, hash)) = group else { return &mut self.ordinary };
        let at = self.groups.iter().position(|g| *g.name == *name).unwrap_or_else(|| {
            let (members, turn) = (Dense::default(), AtomicU32::new(0));
            self.groups.push(Group { name: name.into(), hash, members, turn });
            self.groups.len() - 1
        });
        &mut self.groups[at].members
    }
}

/// At most so many members of a group are asked whether they are connected. In a group of thousands that are
/// nearly all offline a connected one may be missed; the message then waits for a member that was offline.
const ASKED: usize = 256;

impl<K: Copy + Eq + Hash> Group<K> {
    /// Who gets a message of this quality of service: the next in turn that is connected, else the next that
    /// keeps messages while it is away; `None` when it would be lost with every member.
    pub(super) fn choose(&self, qos: Qos, audience: &impl Audience<K>) -> Option<&Member<K>> {
        let members = self.members.items();
        let start = self.turn.load(Ordering::Relaxed) as usize % members.len().max(1);
        let mut waiting = None;
        for step in 0..members.len().min(ASKED) {
            let at = (start + step) % members.len();
            let member = &members[at];
            match audience.standing(member.key) {
                Standing::Connected => {
                    self.turn.store(next(at), Ordering::Relaxed);
                    return Some(member);
                }
                Standing::Away if waiting.is_none() && qos.min(member.qos) != Qos::AtMostOnce => {
                    waiting = Some(at);
                }
                Standing::Away | Standing::Gone => {}
            }
        }
        let at = waiting?;
        self.turn.store(next(at), Ordering::Relaxed);
        Some(&members[at])
    }
}

fn next(at: usize) -> u32 {
    u32::try_from(at + 1).unwrap_or(0)
}
