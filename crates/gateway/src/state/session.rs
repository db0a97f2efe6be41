//! A persistent session as the book holds it.

use std::sync::Arc;

use log::{Offset, Position};
use wire::mqtt::session::Durable;

use super::entry::Will;
use super::positions::Positions;

/// A session of this process: what subscriptions name, and the place of whatever else is kept for it. Given again
/// only after the session is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u32);

/// A will that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedWill {
    /// Whose. [`super::Book::will_failed`] when it could not be published.
    pub session: SessionKey,
    /// Which will of the session: for the [`super::Entry::WillSent`].
    pub opened: Offset,
    /// The tenant of the session; the envelope names it too.
    pub tenant: Arc<str>,
    /// The client id: the batch that publishes the will holds a [`super::Entry::WillSent`] of this session.
    pub client_id: Arc<str>,
    /// Whom the session's last credential named: the publication is authorised against this subject.
    pub subject: Box<str>,
    /// The encoded envelope, its time of arrival still to be set.
    pub envelope: Box<[u8]>,
}

/// A will and when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    /// The offset of the record that opened its connection.
    pub(super) opened: Offset,
    pub(super) due_ms: i64,
    pub(super) will: Will,
    /// Handed out, and not yet found in the log.
    pub(super) taken: bool,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) tenant: Arc<str>,
    pub(super) client_id: Arc<str>,
    pub(super) durable: Durable<Position>,
    pub(super) subject: Box<str>,
    /// Of the connection that is open.
    pub(super) will: Option<Box<(Offset, Will)>>,
    pub(super) owed: Vec<Owed>,
    /// Where the messages of this life of the session begin; dropped once the view is past it.
    pub(super) born: Option<Arc<Positions>>,
    /// Which life this is, no other of this process has the same: what was noted about an earlier one no longer
    /// counts, nor does what was noted about another session that had the same number.
    pub(super) life: u32,
    /// Whether the log knows it.
    pub(super) logged: bool,
    /// It has ended and is kept only for the wills it owes.
    pub(super) ended: bool,
    /// A client has it, though its `Opened` record has not been read yet: it does not expire.
    pub(super) opening: bool,
    pub(super) dirty: bool,
}

impl Session {
    pub(super) fn new(tenant: Arc<str>, client_id: Arc<str>, life: u32) -> Self {
        Self {
            tenant,
            client_id,
            durable: Durable::default(),
            subject: Box::default(),
            will: None,
            owed: Vec::new(),
            born: None,
            life,
            logged: false,
            ended: false,
            opening: false,
            dirty: false,
        }
    }

    /// When it expires, milliseconds since the epoch; `None`: not while things stay as they are.
    pub(super) fn expires_at_ms(&self) -> Option<i64> {
        let closed_at_ms = self.durable.closed_at_ms.filter(|_| self.durable.expiry_s != u32::MAX)?;
        Some(closed_at_ms.saturating_add(i64::from(self.durable.expiry_s) * 1000))
    }

    /// The connection's will becomes due after its delay, at the latest when the session ends (MQTT-3.1.3-9).
    pub(super) fn owe_will(&mut self, at_ms: i64) {
        if let Some((opened, will)) = self.will.take().map(|will| *will) {
            let delay_s = will.delay_s.min(self.durable.expiry_s);
            let due_ms = at_ms.saturating_add(i64::from(delay_s) * 1000);
            self.owed.push(Owed { opened, due_ms, will, taken: false });
        }
    }

    /// The session ends: what it owes is due at once.
    pub(super) fn owe_now(&mut self, at_ms: i64) {
        self.owed.iter_mut().for_each(|owed| owed.due_ms = owed.due_ms.min(at_ms));
    }
}
