//! Matching messages while the log is replayed: against what was subscribed when they were published.

use std::sync::Arc;

use hashbrown::HashMap;
use log::Position;
use record::{Envelope, Qos};
use smallvec::SmallVec;
use wire::mqtt::session::Subscription;

use super::positions::Positions;
use super::session::SessionKey;
use crate::topics::{Interest, SubscriptionLimits, Subscriptions};

/// A subscription's time: a message matches from where it was made to where it was given up or replaced.
#[derive(Debug)]
struct Interval {
    session: SessionKey,
    life: u32,
    from: Option<Arc<Positions>>,
    until: Option<Arc<Positions>>,
}

/// A session that a message matches.
#[derive(Clone, Debug)]
pub(super) struct Replayed {
    pub(super) session: SessionKey,
    pub(super) life: u32,
    pub(super) qos: Qos,
    pub(super) retain_as_published: bool,
    pub(super) ids: SmallVec<[u32; 2]>,
    pub(super) group: Option<u64>,
}

/// Every subscription there was since the checkpoint, with its interval.
#[derive(Debug)]
pub(super) struct Replay {
    /// Subscriber: index of the interval.
    tree: Subscriptions<u32>,
    intervals: Vec<Interval>,
    open: HashMap<(SessionKey, Box<str>), u32>,
}

impl Replay {
    pub(super) fn new() -> Self {
        // Nothing is refused here: it was let in when it was made.
        let limits = SubscriptionLimits { per_tenant: usize::MAX, shapes_per_tenant: usize::MAX };
        Self { tree: Subscriptions::new(limits), intervals: Vec::new(), open: HashMap::new() }
    }

    pub(super) fn subscribed(
        &mut self,
        tenant: &str,
        session: SessionKey,
        life: u32,
        subscription: &Subscription,
        from: Option<Arc<Positions>>,
    ) {
        self.unsubscribed(session, &subscription.filter, from.clone());
        let at = u32::try_from(self.intervals.len()).expect("a replay has fewer than 2^32 subscriptions");
        self.intervals.push(Interval { session, life, from, until: None });
        self.open.insert((session, subscription.filter.clone()), at);
        let inserted =
            self.tree.insert(tenant, &subscription.filter, at, &subscription.options, subscription.id);
        debug_assert!(inserted.is_ok(), "the replay's tree has no limits");
    }

    pub(super) fn unsubscribed(&mut self, session: SessionKey, filter: &str, until: Option<Arc<Positions>>) {
        if let Some(at) = self.open.remove(&(session, Box::from(filter))) {
            // Without positions: it ends where the replay began, for it cannot be told.
            self.intervals[at as usize].until = Some(until.unwrap_or_default());
        }
    }

    pub(super) fn has_none(&self, tenant: &str) -> bool {
        self.tree.has_none(tenant)
    }

    /// Who gets the message at `at`: ordinary subscribers once each, and apart from them every member that each
    /// share group had at that time. `lives` gives the life a session is in now, `None` when it is gone.
    pub(super) fn matching(
        &self,
        at: Position,
        message: &Envelope<'_>,
        lives: impl Fn(SessionKey) -> Option<(u32, bool)>,
    ) -> (Vec<Replayed>, Vec<Replayed>) {
        let (mut ordinary, mut shared): (Vec<Replayed>, Vec<Replayed>) = (Vec::new(), Vec::new());
        self.tree.visit(message.tenant, message.topic, |interest: Interest<u32>| {
            let interval = &self.intervals[interest.subscriber as usize];
            let began = interval.from.as_ref().is_none_or(|from| !from.contain(at));
            let ended = interval.until.as_ref().is_some_and(|until| !until.contain(at));
            let Some((life, published)) = lives(interval.session) else { return };
            if !began || ended || life != interval.life || (interest.no_local && published) {
                return;
            }
            let found = Replayed {
                session: interval.session,
                life,
                qos: interest.qos,
                retain_as_published: interest.retain_as_published,
                ids: if interest.id == 0 { SmallVec::new() } else { SmallVec::from_slice(&[interest.id]) },
                group: interest.group,
            };
            if found.group.is_some() { shared.push(found) } else { ordinary.push(found) }
        });
        ordinary.sort_by_key(|found| found.session);
        ordinary.dedup_by(|next, kept| next.session == kept.session && kept.join(next));
        shared.sort_by_key(|found| (found.group, found.session));
        shared.dedup_by(|next, kept| {
            (next.group, next.session) == (kept.group, kept.session) && kept.join(next)
        });
        (ordinary, shared)
    }
}

impl Replayed {
    /// Takes another match of the same session in.
    pub(super) fn join(&mut self, other: &mut Self) -> bool {
        self.qos = self.qos.max(other.qos);
        self.retain_as_published |= other.retain_as_published;
        self.ids.extend(other.ids.drain(..));
        self.ids.sort_unstable();
        self.ids.dedup();
        true
    }
}
