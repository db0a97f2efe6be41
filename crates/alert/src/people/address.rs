//! Where a message goes.

use serde::{Deserialize, Serialize};
use url::Url;

/// Longest address, bytes: a URL with a long path.
const ADDRESS_BYTES: usize = 2048;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Address {
    /// By e-mail.
    Email {
        /// Whose mailbox, `ann@example.com`.
        to: String,
    },
    /// As a text message, by the gateway of the configuration.
    Sms {
        /// Which number, `+` and digits.
        to: String,
    },
    /// As an HTTP request.
    Webhook {
        /// Where to, `https://…` or `http://…`.
        url: String,
    },
    /// As an MQTT message of the tenant.
    Mqtt {
        /// To which topic.
        topic: String,
    },
}

/// Why an address is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} address {address:?}: {reason}")]
pub struct AddressError {
    kind: &'static str,
    address: String,
    reason: String,
}

impl Address {
    /// Its kind, as in its JSON and on `/metrics`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email { .. } => "email",
            Self::Sms { .. } => "sms",
            Self::Webhook { .. } => "webhook",
            Self::Mqtt { .. } => "mqtt",
        }
    }

    /// Whether it is one. Whether it is a private one is looked at when it is used.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn check(&self) -> Result<(), AddressError> {
        let (address, outcome) = match self {
            Self::Email { to } => (to, email(to)),
            Self::Sms { to } => (to, number(to)),
            Self::Webhook { url } => (url, webhook(url)),
            Self::Mqtt { topic } => (topic, mqtt(topic)),
        };
        let outcome = if address.len() > ADDRESS_BYTES {
            Err(format!("has {} bytes, at most {ADDRESS_BYTES} are possible", address.len()))
        } else {
            outcome
        };
        let shown = crate::alert::cut(address, 200).to_owned();
        outcome.map_err(|reason| AddressError { kind: self.kind(), address: shown, reason })
    }

    /// Who is waited for when it is slow: deliveries to one destination hold each other up, and nobody else.
    pub(crate) fn destination(&self) -> String {
        match self {
            Self::Webhook { url } => match Url::parse(url) {
                Ok(url) => format!(
                    "{}:{}",
                    url.host_str().unwrap_or_default(),
                    url.port_or_known_default().unwrap_or_default()
                ),
                Err(_) => "webhook".into(),
            },
            other => other.kind().into(),
        }
    }
}

fn email(to: &str) -> Result<(), String> {
    to.parse::<lettre::Address>().map(drop).map_err(|error| format!("{error}: write name@host"))
}

fn number(to: &str) -> Result<(), String> {
    let digits = to.strip_prefix('+').unwrap_or(to);
    // E.164: at most 15 digits.
    let is_number = (3..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(()).ok_or_else(|| "write + and 3 to 15 digits".into())
}

fn webhook(url: &str) -> Result<(), String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("write https://… or http://…".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a password in it would be shown with it: sign instead".into());
    }
    url.host_str().map(drop).ok_or_else(|| "has no host".into())
}

fn mqtt(topic: &str) -> Result<(), String> {
    let good = !topic.is_empty() && !topic.starts_with('$') && !topic.contains(['+', '#', '\0']);
    good.then_some(()).ok_or_else(|| "write a topic without wildcards that does not begin with $".into())
}
