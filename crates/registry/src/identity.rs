//! Who somebody is, once that is proven.

use std::sync::Arc;

use record::{DeviceId, TenantId, Timestamp};

use crate::pattern::{Asker, Pattern};

/// Who is speaking, as the credential says; never what the message says.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The tenant: the first key of everything this client may touch.
    pub tenant: TenantId,
    /// The device or service.
    pub subject: Subject,
    /// How it was proven.
    pub method: Method,
    /// Which MQTT client ids it may use.
    pub client_id: ClientIdRule,
    /// What it may do beyond what its subject gives it.
    pub grants: Arc<Grants>,
    /// When the proof ends (a JWT's `exp`, a certificate's `notAfter`): the connection should end too.
    pub expires_at: Option<Timestamp>,
    /// What a revocation would name.
    pub(crate) proof: Proof,
}

/// What is speaking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Anyone, in `open` mode.
    Open,
    /// A device: bounded to its own topics.
    Device(DeviceId),
    /// A program of the tenant (a dashboard, a bridge, Telegraf), by name: bounded to its grants.
    Service(Arc<str>),
}

/// How an identity was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Not at all: `open` mode.
    Open,
    /// User name and token.
    Token,
    /// A signed token of a configured issuer.
    Jwt,
    /// A client certificate.
    Certificate,
}

/// Which MQTT client ids an identity may use. A client id names a session, and whoever takes it over gets
/// what waits there; so a device may not choose another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientIdRule {
    /// Any.
    Any,
    /// The name itself, or the name, a `/` and anything: no device id holds a `/`, so these are nobody
    /// else's. An empty client id is allowed: the server assigns one.
    Own(Arc<str>),
}

/// Topics granted by name: patterns for publishing and subscribing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// What it may publish to.
    pub publish: Vec<Pattern>,
    /// What it may subscribe to and receive.
    pub subscribe: Vec<Pattern>,
}

/// What a revocation would name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Open,
    Token { user: Arc<str>, token_id: Arc<str> },
    Jwt { jti: Option<Arc<str>> },
    Certificate { serial: Arc<str> },
}

impl Identity {
    /// The identity of everyone in `open` mode.
    #[must_use]
    pub fn open() -> Self {
        Self {
            tenant: TenantId::default_tenant(),
            subject: Subject::Open,
            method: Method::Open,
            client_id: ClientIdRule::Any,
            grants: Arc::default(),
            expires_at: None,
            proof: Proof::Open,
        }
    }

    /// The device, if it is one.
    #[must_use]
    pub fn device(&self) -> Option<&DeviceId> {
        match &self.subject {
            Subject::Device(device) => Some(device),
            Subject::Open | Subject::Service(_) => None,
        }
    }

    /// The device's or service's name; empty in `open` mode.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.subject {
            Subject::Open => "",
            Subject::Device(device) => device.as_str(),
            Subject::Service(name) => name,
        }
    }

    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker { tenant: self.tenant.as_str(), device: self.device().map(DeviceId::as_str) }
    }
}

impl ClientIdRule {
    /// Whether `client_id` may be used; an empty one asks the server to assign one, and always may.
    #[must_use]
    pub fn allows(&self, client_id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Own(name) => match client_id.strip_prefix(&**name) {
                Some(rest) => rest.is_empty() || rest.starts_with('/'),
                None => client_id.is_empty(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_cannot_take_a_client_id_that_may_be_another_devices() {
        let rule = ClientIdRule::Own("d1".into());
        for (client_id, expect) in [
            ("d1", true),
            ("d1/a", true),
            ("", true),
            ("d10", false),
            ("d1-a", false),
            ("d2", false),
            ("/d1", false),
        ] {
            assert_eq!(rule.allows(client_id), expect, "{client_id}");
        }
    }
}
