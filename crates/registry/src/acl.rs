//! What an identity may publish, subscribe to and receive (R2.2).
//!
//! Topics are a tenant's own space: the gateway keys subscriptions by tenant, so nothing here crosses tenants.
//! Within it, **a device** has:
//! - topics that a template or one of `auth.device_topics` (default `cmd/{id}/#`, `devices/{id}/#`,
//!   `assets/{id}/#`, `fleet/{id}/#`) reads as its own: the level for the device is its own id, literally, and
//!   the level for the tenant its tenant;
//! - for publishing only, topics of a template without a device (`sensors/{metric}`): the device is the
//!   credential's;
//! - what its credential grants besides.
//!
//! A topic that two patterns read as different devices is nobody's. A filter is allowed only where every topic
//! it can match is allowed. **A service** has exactly its grants. `$` topics are readable in `open` mode and by
//! grants that spell the `$` level out, and nobody publishes to them.

use record::DeviceId;

use crate::config::{AuthPolicy, Mode};
use crate::identity::{Identity, Subject};
use crate::pattern::{Asker, Pattern, PatternError};

/// Why something is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The topic begins with `$`.
    #[error("topics that begin with $ are the server's: publish to another")]
    Reserved,
    /// The topic or filter is not, or not wholly, the identity's.
    #[error("the topic is not this identity's: it may use its own device's topics and what it was granted")]
    NotYours,
    /// The configuration denies it.
    #[error("subscribing to this topic is switched off (auth.deny_subscribe)")]
    SwitchedOff,
    /// A `$share` subscription without a group or filter.
    #[error("a shared subscription is $share/<group>/<filter>, the group without wildcards")]
    MalformedShare,
}

/// The rules, compiled. Cheap to ask: no allocation, time linear in the topic and the number of patterns.
#[derive(Clone, Debug)]
pub struct Acl {
    mode: Mode,
    /// Read a device from a topic: templates and the configured device topics that name one.
    own: Vec<Pattern>,
    /// Templates that name no device.
    anonymous: Vec<Pattern>,
    deny_subscribe: Vec<Pattern>,
}

impl Acl {
    /// The rules of `policy` over the gateway's topic templates.
    ///
    /// # Errors
    /// [`PatternError`] for a template that is no pattern.
    pub fn new<'t>(
        policy: &AuthPolicy,
        templates: impl IntoIterator<Item = &'t str>,
    ) -> Result<Self, PatternError> {
        let templates = templates.into_iter().map(Pattern::parse).collect::<Result<Vec<_>, _>>()?;
        let (mut own, anonymous): (Vec<_>, Vec<_>) = templates.into_iter().partition(Pattern::names_device);
        own.extend(policy.device_topics.iter().cloned());
        Ok(Self { mode: policy.mode, own, anonymous, deny_subscribe: policy.deny_subscribe.clone() })
    }

    /// Whether `identity` may publish to `topic`, a valid topic name.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn may_publish(&self, identity: &Identity, topic: &str) -> Result<(), Denied> {
        if topic.starts_with('$') {
            return Err(Denied::Reserved);
        }
        if self.mode == Mode::Open {
            return Ok(());
        }
        let asker = identity.asker();
        let own = || match &identity.subject {
            Subject::Device(device) => match self.owner(topic, asker.tenant) {
                Owner::One(owner) => owner == device.as_str(),
                Owner::None => self.anonymous.iter().any(|template| template.matches(topic, asker)),
                Owner::Disputed => false,
            },
            Subject::Open | Subject::Service(_) => false,
        };
        allow(own() || any_matches(&identity.grants.publish, topic, asker))
    }

    /// Whether `identity` may subscribe to `filter`, a valid topic filter, perhaps `$share/<group>/<filter>`.
    /// Asked again for every filter of a resumed session.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn may_subscribe(&self, identity: &Identity, filter: &str) -> Result<(), Denied> {
        let filter = unshared(filter)?;
        let asker = identity.asker();
        if self.deny_subscribe.iter().any(|denied| denied.covers(filter, asker)) {
            return Err(Denied::SwitchedOff);
        }
        if self.mode == Mode::Open {
            return Ok(());
        }
        let own = matches!(identity.subject, Subject::Device(_))
            && self.own.iter().any(|pattern| pattern.covers(filter, asker));
        allow(own || identity.grants.subscribe.iter().any(|grant| grant.covers(filter, asker)))
    }

    /// Whether a message on `topic` may be delivered to `identity`: asked at delivery, so that no wildcard, no
    /// retained message, no will and no resumed session reaches further than the rules do now.
    #[must_use]
    pub fn may_receive(&self, identity: &Identity, topic: &str) -> bool {
        let asker = identity.asker();
        if any_matches(&self.deny_subscribe, topic, asker) {
            return false;
        }
        if self.mode == Mode::Open {
            return true;
        }
        let own = || match &identity.subject {
            Subject::Device(device) => self.owner(topic, asker.tenant) == Owner::One(device.as_str()),
            Subject::Open | Subject::Service(_) => false,
        };
        own() || any_matches(&identity.grants.subscribe, topic, asker)
    }

    /// Whether `identity` may report readings of `device` without a topic (HTTP, line protocol): a device its
    /// own; a service those whose `devices/<device>/telemetry` it may publish to.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn may_report(&self, identity: &Identity, device: &DeviceId) -> Result<(), Denied> {
        match &identity.subject {
            _ if self.mode == Mode::Open => Ok(()),
            Subject::Open => Err(Denied::NotYours),
            Subject::Device(own) => allow(own == device),
            Subject::Service(_) => self.may_publish(identity, &format!("devices/{device}/telemetry")),
        }
    }

    /// Whose a topic is, by every pattern that reads a device from it.
    fn owner<'t>(&self, topic: &'t str, tenant: &str) -> Owner<'t> {
        let mut owner = Owner::None;
        for device in self.own.iter().filter_map(|pattern| pattern.device_in(topic, tenant)) {
            owner = match owner {
                Owner::None => Owner::One(device),
                Owner::One(before) if before == device => owner,
                Owner::One(_) | Owner::Disputed => return Owner::Disputed,
            };
        }
        owner
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner<'t> {
    None,
    One(&'t str),
    Disputed,
}

fn allow(yes: bool) -> Result<(), Denied> {
    if yes { Ok(()) } else { Err(Denied::NotYours) }
}

fn any_matches(patterns: &[Pattern], topic: &str, asker: Asker<'_>) -> bool {
    patterns.iter().any(|pattern| pattern.matches(topic, asker))
}

/// The filter inside a shared subscription (MQTT 5.0 section 4.8.2), or the filter itself.
fn unshared(filter: &str) -> Result<&str, Denied> {
    let Some(shared) = filter.strip_prefix("$share/") else {
        return if filter == "$share" { Err(Denied::MalformedShare) } else { Ok(filter) };
    };
    match shared.split_once('/') {
        Some((group, inner))
            if !group.is_empty()
                && !group.contains(['+', '#'])
                && !inner.is_empty()
                && !inner.starts_with("$share/") =>
        {
            Ok(inner)
        }
        _ => Err(Denied::MalformedShare),
    }
}
