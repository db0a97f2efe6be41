//! The rules of a storm, and the people who hear of it, each at a receiver of their own: of webhooks, or a mailbox.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rigs::mail::MailServer;
use rigs::receiver::Receiver;
use serde_json::{Value, json};

use crate::told::Told;

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its id and its name.
    pub(crate) name: &'static str,
    /// What it looks at.
    pub(crate) metric: &'static str,
    severity: &'static str,
    class: &'static str,
}

/// One of each kind: told at once, above the limit a little, gathered, and what only those hear who ask for it.
pub(crate) const RULES: [Rule; 4] = [
    Rule { name: "hot", metric: "heat", severity: "warning", class: "critical" },
    Rule { name: "dusty", metric: "dust", severity: "critical", class: "critical" },
    Rule { name: "wet", metric: "humidity", severity: "warning", class: "batched" },
    Rule { name: "loud", metric: "noise", severity: "info", class: "critical" },
];

/// Messages an hour of who has no limit of their own, and about critical alerts beyond the limit: the server's defaults.
const PER_HOUR: usize = 30;
pub(crate) const CRITICAL_PER_HOUR: usize = 5;
/// A limit that is not what is promised.
const WRONG_PER_HOUR: usize = 600;
/// One device of a hundred is muted until the storm is over.
const MUTED: &str = "storm-*07";

/// Somebody who is told.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    /// Of which rules they want to hear.
    pub(crate) rules: &'static [&'static str],
    /// Messages in an hour.
    pub(crate) per_hour: usize,
    pub(crate) way: Way,
}

/// How somebody is told.
#[derive(Debug)]
pub(crate) enum Way {
    Webhook(Receiver),
    Mail { server: Arc<MailServer>, address: String },
}

impl Way {
    fn webhook() -> anyhow::Result<Self> {
        Ok(Self::Webhook(Receiver::listen(0)?))
    }

    /// As a person's document has it.
    fn channel(&self) -> Value {
        match self {
            Self::Webhook(receiver) => json!({ "kind": "webhook", "url": receiver.url }),
            Self::Mail { address, .. } => json!({ "kind": "email", "to": address }),
        }
    }

    /// What came so far; what came again is there once.
    ///
    /// # Errors
    /// Something came that cannot be read.
    pub(crate) fn told(&self) -> anyhow::Result<Vec<Told>> {
        match self {
            Self::Webhook(receiver) => {
                receiver.received().values().map(|received| Told::by_webhook(&received.body)).collect()
            }
            Self::Mail { server, address } => server.received(address)?.iter().map(Told::by_mail).collect(),
        }
    }
}

/// Everybody.
#[derive(Debug)]
pub(crate) struct Crowd(pub(crate) Vec<Person>);

impl Crowd {
    /// People, and a mute of some devices.
    ///
    /// # Errors
    /// The server refuses one.
    pub(crate) fn gather(http: SocketAddr, mail: MailServer, is_limit_wrong: bool) -> anyhow::Result<Self> {
        let mail = Way::Mail { server: Arc::new(mail), address: "eve@example.com".to_owned() };
        let person = |name, rules, per_hour, way| Person { name, rules, per_hour, way };
        let crowd = Self(vec![
            person("ann", &["hot", "dusty", "wet"], PER_HOUR, Way::webhook()?),
            person("bob", &["hot", "dusty", "wet", "loud"], 12, Way::webhook()?),
            person("cid", &["dusty"], 20, Way::webhook()?),
            person("dan", &["wet"], PER_HOUR, Way::webhook()?),
            person("eve", &["hot", "dusty", "wet"], 15, mail),
        ]);
        for person in &crowd.0 {
            let wants: Vec<Value> =
                person.rules.iter().map(|rule| json!({ "of": { "rule": rule }, "from": "info" })).collect();
            let per_hour = if is_limit_wrong { WRONG_PER_HOUR } else { person.per_hour };
            let document = json!({
                "name": person.name,
                "channels": { "way": person.way.channel() },
                "wants": wants,
                "per_hour": per_hour,
            });
            put(http, &format!("/v1/people/{}", person.name), &document)?;
        }
        put(http, "/v1/mutes/works", &json!({ "of": { "device": MUTED }, "when": { "for": "2h" } }))?;
        Ok(crowd)
    }

    /// Ends the mute: people hear of what it kept from them.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) fn unmute(&self, http: SocketAddr) -> anyhow::Result<()> {
        agent().delete(format!("http://{http}/v1/mutes/works")).call().context("the mute does not end")?;
        Ok(())
    }
}

/// Adds [`RULES`].
///
/// # Errors
/// The server refuses one.
pub(crate) fn add_rules(http: SocketAddr, suppress: &str) -> anyhow::Result<()> {
    for Rule { name, metric, severity, class } in &RULES {
        let rule = json!({
            "name": name, "when": format!("{metric} > 80"), "severity": severity, "class": class, "suppress": suppress,
        });
        let answer = agent().post(format!("http://{http}/v1/rules")).send_json(&rule);
        answer.with_context(|| format!("the server refuses {rule}"))?;
    }
    Ok(())
}

fn put(http: SocketAddr, path: &str, document: &Value) -> anyhow::Result<()> {
    let answer = agent().put(format!("http://{http}{path}")).send_json(document);
    answer.with_context(|| format!("the server refuses {path} {document}"))?;
    Ok(())
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).build().into()
}
