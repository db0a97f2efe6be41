//! Readings of routing rules go to webhooks (R9.7), by the way of alerts: at least once, with a key.

use record::Timestamp;
use rule::{Route, Routed, Severity};

use super::Alerts;
use crate::Result;
use crate::id::{backwards, delivery_key};
use crate::message::Kind;
use crate::outbox::{Delivery, Outcome};
use crate::people::Address;

/// What is delivered of a reading that a routing rule passes on.
#[derive(Clone, Debug)]
pub struct Forward<'a> {
    /// The reading.
    pub routed: &'a Routed,
    /// What the receiver gets, JSON.
    pub body: String,
}

impl Alerts {
    /// Puts readings whose route is a webhook into the outbox, in one commit. The same reading again has the same key. Those for
    /// which there is no room, because a receiver takes none, are given up and counted as failed: they must not hold up rules and alerts.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`].
    pub fn forward(&self, readings: &[Forward<'_>], now: Timestamp) -> Result<()> {
        let (_changing, mut work) = self.begin();
        let mut given_up = 0;
        for forward in readings {
            let Routed { tenant, device, rule, version, route: Route::Webhook(url), at, .. } = forward.routed
            else {
                continue;
            };
            if !self.has_room(&work) {
                given_up += 1;
                continue;
            }
            let name = format!("{}/{version}/{device}", rule.0);
            let message = format!("{}-route.{}", backwards(*at), &delivery_key(tenant.as_str(), &name)[..16]);
            let id = format!("{message}.webhook");
            let delivery = Delivery {
                key: delivery_key(tenant.as_str(), &id),
                id,
                message,
                kind: Kind::Routed,
                severity: Severity::Info,
                person: String::new(),
                channel: "webhook".into(),
                address: Address::Webhook { url: url.clone() },
                subject: None,
                content: forward.body.clone(),
                created_at_ms: now.millis(),
                attempts: 0,
                next_attempt_ms: now.millis(),
                outcome: Outcome::Pending,
                finished_at_ms: None,
                said: None,
            };
            work.outgoing.push((tenant.to_string(), delivery));
        }
        if given_up > 0 {
            work.tally.failed += given_up;
            tracing::error!(given_up, "the outbox is full: readings of routing rules are not passed on");
        }
        self.commit(work)
    }
}
