//! What people write of a rule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{ADDRESS_BYTES, ENTRIES, FOR_NS, NAME_BYTES};
use crate::{Duration, Schedule, Severity};

/// A rule as it is written, the body of `POST /v1/rules`. `name` and `when` are needed. Unknown keys are refused.
///
/// ```json
/// {"name": "hot", "when": "temperature > 80", "for": "5m", "clear_when": "temperature < 75", "severity": "critical",
///  "scope": {"type": "motor", "tags": {"line": "3"}}, "notify": [{"email": "ops@example.com"}]}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What people call it, 1 to 256 bytes.
    pub name: String,
    /// The condition: a SQL expression (docs/rules.md).
    pub when: String,
    /// How long it must hold without a break.
    #[serde(default, rename = "for", skip_serializing_if = "Duration::is_zero")]
    pub hold: Duration,
    /// What must hold for it to end; without it, it ends when the condition does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_when: Option<String>,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// Of which devices.
    #[serde(default, skip_serializing_if = "Scope::is_everything")]
    pub scope: Scope,
    /// Whether alerts of it may be gathered.
    #[serde(default)]
    pub class: Class,
    /// When it may be raised; without it, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Whether late readings and history are judged, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retrospective: bool,
    /// For how long after an alert of a device another one of it is held back; without it, the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress: Option<Duration>,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Notify>,
    /// The list of who is told further when nobody acknowledges; without it, the one called `default`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<String>,
    /// Where readings go for which the condition holds. A rule with a route raises no alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
}

/// Which devices a rule is for: those for which all of it is so. An empty scope is every device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Of this type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// At this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Whose id fits one of these: `*` stands for any text. None are given: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// With all these tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Whether alerts of a rule may wait for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Told at once.
    #[default]
    Critical,
    /// Told with others, every few minutes.
    Batched,
}

/// Who is told, and how. Not delivered here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// A POST to this URL.
    Webhook(String),
    /// A mail to this address.
    Email(String),
    /// A short message to this number.
    Sms(String),
    /// A message to this topic.
    Mqtt(String),
    /// A person known to the server, in the ways they prefer.
    Person(String),
}

/// Where the readings of a routing rule go. Not delivered here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// To this MQTT topic.
    Mqtt(String),
    /// To this URL.
    Webhook(String),
    /// Into the server's log, at this severity.
    Log(Severity),
}

/// Why a document is no rule, apart from its conditions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {reason}")]
pub struct DocumentError {
    /// Which key of the document.
    pub key: &'static str,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl Scope {
    /// Whether every device is in it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

impl Document {
    /// Whether everything but the conditions is possible.
    ///
    /// # Errors
    /// [`DocumentError`] names the first key that is not.
    pub fn check(&self) -> Result<(), DocumentError> {
        text("name", &self.name, NAME_BYTES)?;
        self.check_scope()?;
        self.check_times()?;
        if self.notify.len() > ENTRIES {
            return error(
                "notify",
                format!("has {} entries, at most {ENTRIES} are possible", self.notify.len()),
            );
        }
        self.notify.iter().try_for_each(check_notify)?;
        self.escalation.as_ref().map_or(Ok(()), |list| text("escalation", list, ADDRESS_BYTES))?;
        self.route.as_ref().map_or(Ok(()), |route| self.check_route(route))
    }

    fn check_scope(&self) -> Result<(), DocumentError> {
        let Scope { device_type, site, devices, tags } = &self.scope;
        if devices.len() > ENTRIES || tags.len() > ENTRIES {
            return error(
                "scope",
                format!("has too many devices or tags, at most {ENTRIES} of each are possible"),
            );
        }
        let texts = device_type.iter().chain(site).chain(devices).chain(tags.keys()).chain(tags.values());
        texts.into_iter().try_for_each(|found| text("scope", found, ADDRESS_BYTES))
    }

    fn check_times(&self) -> Result<(), DocumentError> {
        for (key, duration) in [("for", Some(self.hold)), ("suppress", self.suppress)] {
            if duration.is_some_and(|duration| duration.nanos() > FOR_NS) {
                return error(key, "is longer than 30 days, which is the longest".to_owned());
            }
        }
        let schedule = self.schedule.as_ref().map_or(Ok(()), Schedule::check);
        schedule.map_err(|reason| DocumentError { key: "schedule", reason })
    }

    fn check_route(&self, route: &Route) -> Result<(), DocumentError> {
        match route {
            Route::Mqtt(topic) => check_topic("route", topic)?,
            Route::Webhook(url) => check_url("route", url)?,
            Route::Log(_) => {}
        }
        if !self.hold.is_zero() || self.clear_when.is_some() || !self.notify.is_empty() {
            return error(
                "route",
                "goes with neither for, clear_when nor notify: it takes each reading by itself".to_owned(),
            );
        }
        Ok(())
    }
}

fn check_notify(notify: &Notify) -> Result<(), DocumentError> {
    match notify {
        Notify::Webhook(url) => check_url("notify", url),
        Notify::Mqtt(topic) => check_topic("notify", topic),
        Notify::Email(address) => {
            text("notify", address, ADDRESS_BYTES)?;
            let is_address =
                address.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
            let reason = || format!("email {address:?} is no address: it has no name or no host");
            if is_address { Ok(()) } else { error("notify", reason()) }
        }
        Notify::Sms(other) | Notify::Person(other) => text("notify", other, ADDRESS_BYTES),
    }
}

fn check_url(key: &'static str, url: &str) -> Result<(), DocumentError> {
    text(key, url, ADDRESS_BYTES)?;
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) {
        return Ok(());
    }
    error(key, format!("webhook {url:?} is no URL: it begins with https:// or http:// and a host"))
}

fn check_topic(key: &'static str, topic: &str) -> Result<(), DocumentError> {
    text(key, topic, ADDRESS_BYTES)?;
    if topic.contains(['+', '#']) || topic.starts_with('$') {
        return error(
            key,
            format!("mqtt topic {topic:?} cannot be published to: it has a wildcard or begins with $"),
        );
    }
    Ok(())
}

fn text(key: &'static str, found: &str, most: usize) -> Result<(), DocumentError> {
    if (1..=most).contains(&found.len()) && !found.chars().any(char::is_control) {
        return Ok(());
    }
    let cut: String = found.chars().take(40).collect();
    error(key, format!("{cut:?} is not possible: 1 to {most} bytes without control characters"))
}

fn error(key: &'static str, reason: String) -> Result<(), DocumentError> {
    Err(DocumentError { key, reason })
}
