//! What persistent sessions and retained messages are, said as simply as it can be: one list for everything.

use std::collections::{BTreeMap, BTreeSet};

use log::Position;
use record::Qos;
use wire::mqtt::SubscribeOptions;
use wire::mqtt::session::Progress;

use crate::topics::fits;

/// A message on its way to a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Copy {
    pub(super) message: Position,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) ids: Vec<u32>,
    pub(super) progress: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Queued,
    Sent(u16),
    Received(u16),
}

impl From<Progress> for Step {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Queued => Self::Queued,
            Progress::Sent(id) => Self::Sent(id),
            Progress::Received(id) => Self::Received(id),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) connected: bool,
    pub(super) expiry_s: u32,
    pub(super) closed_at_ms: i64,
    pub(super) subscriptions: BTreeMap<String, (SubscribeOptions, u32)>,
    pub(super) arrived: BTreeMap<u16, Position>,
    pub(super) queue: Vec<Copy>,
    /// May be in the queue too: published while SUBSCRIBE or UNSUBSCRIBE was under way.
    pub(super) maybe: BTreeSet<Position>,
    /// Of the open connection: payload and delay.
    pub(super) will: Option<(u32, u32)>,
    /// Wills owed: payload and when.
    pub(super) owed: Vec<(u32, i64)>,
}

pub(super) struct Published {
    pub(super) at: Position,
    pub(super) topic: String,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) publisher: Option<String>,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) sessions: BTreeMap<String, Session>,
    /// Wills of sessions that are over.
    pub(super) orphaned: Vec<(u32, i64)>,
    pub(super) retained: BTreeMap<String, Position>,
    pub(super) published: Vec<Published>,
}

impl Model {
    pub(super) fn publish(&mut self, published: Published, empty: bool) {
        if published.retain {
            if empty {
                self.retained.remove(&published.topic);
            } else {
                self.retained.insert(published.topic.clone(), published.at);
            }
        }
        for (client, session) in &mut self.sessions {
            if let Some(copy) = copy_for(client, session, &published) {
                session.queue.push(copy);
            }
        }
        self.published.push(published);
    }

    /// The messages of `topic`s that `filter` fits, before they are read by the book.
    pub(super) fn fitting<'a>(&'a self, filter: &'a str) -> impl Iterator<Item = Position> + 'a {
        self.published.iter().filter(move |p| fits(filter, &p.topic)).map(|p| p.at)
    }

    pub(super) fn close(&mut self, client: &str, at_ms: i64, expiry_s: u32, will_owed: bool) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        session.connected = false;
        session.closed_at_ms = at_ms;
        session.expiry_s = expiry_s;
        if let Some((payload, delay_s)) = session.will.take().filter(|_| will_owed) {
            session.owed.push((payload, at_ms + i64::from(delay_s.min(expiry_s)) * 1000));
        }
        if expiry_s == 0 {
            self.end(client, at_ms);
        }
    }

    pub(super) fn end(&mut self, client: &str, at_ms: i64) {
        if let Some(session) = self.sessions.remove(client) {
            self.orphaned.extend(session.owed.into_iter().map(|(payload, due)| (payload, due.min(at_ms))));
        }
    }

    pub(super) fn expire(&mut self, now_ms: i64) {
        let over = |s: &Session| !s.connected && s.closed_at_ms + i64::from(s.expiry_s) * 1000 <= now_ms;
        let ended: Vec<String> =
            self.sessions.iter().filter(|(_, s)| over(s)).map(|(client, _)| client.clone()).collect();
        ended.iter().for_each(|client| self.end(client, now_ms));
    }

    /// Every will that is owed, by payload.
    pub(super) fn wills(&self) -> BTreeSet<u32> {
        let of_sessions = self.sessions.values().flat_map(|s| &s.owed);
        of_sessions.chain(&self.orphaned).map(|(payload, _)| *payload).collect()
    }

    pub(super) fn will_sent(&mut self, payload: u32) {
        self.orphaned.retain(|(owed, _)| *owed != payload);
        self.sessions.values_mut().for_each(|s| s.owed.retain(|(owed, _)| *owed != payload));
    }
}

fn copy_for(client: &str, session: &Session, published: &Published) -> Option<Copy> {
    let own = published.publisher.as_deref() == Some(client);
    let matching: Vec<&(SubscribeOptions, u32)> = session
        .subscriptions
        .iter()
        .filter(|(filter, (options, _))| fits(filter, &published.topic) && !(options.no_local && own))
        .map(|(_, subscription)| subscription)
        .collect();
    let qos = matching.iter().map(|(options, _)| options.qos).max()?.min(published.qos);
    let ids: BTreeSet<u32> = matching.iter().map(|(_, id)| *id).filter(|id| *id != 0).collect();
    (qos != Qos::AtMostOnce).then(|| Copy {
        message: published.at,
        qos,
        retain: published.retain && matching.iter().any(|(options, _)| options.retain_as_published),
        ids: ids.into_iter().collect(),
        progress: Step::Queued,
    })
}
