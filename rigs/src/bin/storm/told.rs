//! What a message says, whichever way it came.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use rigs::mail::Mail;
use serde_json::Value;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// When it was written, milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Of how many alerts it tells for the first time.
    pub(crate) count: u64,
    pub(crate) says: Says,
}

/// Of what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// One alert.
    Alert { rule: String, is_critical: bool },
    /// Alerts of a rule.
    Group { rule: String },
    /// Numbers.
    Digest(Digest),
}

/// The numbers of a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) held: u64,
    pub(crate) muted: u64,
    pub(crate) by_rule: BTreeMap<String, u64>,
    pub(crate) other_rules: u64,
}

impl Told {
    /// A webhook's body.
    pub(crate) fn by_webhook(body: &Value) -> anyhow::Result<Self> {
        let rule = || body["rule"]["name"].as_str().map(str::to_owned).context("a message without its rule");
        let says = match body["type"].as_str() {
            Some("alert.digest") => Says::Digest(Digest::of(&body["digest"])?),
            Some("alert.group") => Says::Group { rule: rule()? },
            _ => Says::Alert { rule: rule()?, is_critical: body["severity"] == "critical" },
        };
        Ok(Self {
            at_ms: body["at_ms"].as_i64().context("a message without its time")?,
            count: body["count"].as_u64().context("a message without a count")?,
            says,
        })
    }

    /// An e-mail, read as people read it: what it is and of which rule, how bad, of which devices, and why.
    pub(crate) fn by_mail(mail: &Mail) -> anyhow::Result<Self> {
        let read = || {
            let (head, why) = mail.text.split_once("\n\n").context("it ends after its head")?;
            let (what, rule) = head
                .split_once('\n')
                .and_then(|(line, _)| line.split_once(": "))
                .context("it does not begin with what it is")?;
            let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            let devices = line("Device: ").context("it names no device")?;
            let rule = rule.to_owned();
            let (count, says) = match what {
                "Held back" => {
                    let count = devices.strip_suffix(" alerts").context("a digest counts alerts")?;
                    (number(count)?, Says::Digest(Digest::in_words(why)?))
                }
                "Raised, together" => (named(devices)?, Says::Group { rule }),
                "Raised" | "Resolved" => {
                    let is_critical = line("Severity: ") == Some("critical");
                    (u64::from(what == "Raised"), Says::Alert { rule, is_critical })
                }
                other => bail!("nobody asked to be told {other:?}"),
            };
            anyhow::Ok(Self { at_ms: mail.at_ms, count, says })
        };
        read().with_context(|| format!("an e-mail that says {:?}", mail.text))
    }
}

impl Digest {
    fn of(digest: &Value) -> anyhow::Result<Self> {
        let of = |key: &str| digest[key].as_u64().with_context(|| format!("a digest without {key}"));
        let by_rule = digest["by_rule"].as_object().context("a digest without rules")?;
        let by_rule = by_rule.iter().map(|(rule, number)| {
            anyhow::Ok((rule.clone(), number.as_u64().context("a rule without its number")?))
        });
        Ok(Self {
            held: of("held")?,
            muted: of("muted")?,
            by_rule: by_rule.collect::<anyhow::Result<_>>()?,
            other_rules: of("other_rules")?,
        })
    }

    /// A line for each number. That alerts are over is told of alerts that were told before.
    fn in_words(words: &str) -> anyhow::Result<Self> {
        let mut digest = Self::default();
        let is_of_alerts = |line: &&str| !line.ends_with(" notices that an alert is over were held back");
        for line in words.lines().take_while(|line| !line.is_empty()).filter(is_of_alerts) {
            if let Some(held) = line.strip_suffix(" alerts were held back") {
                digest.held = number(held)?;
            } else if let Some(muted) = line.strip_suffix(" alerts were muted") {
                digest.muted = number(muted)?;
            } else if let Some(others) = line.strip_prefix("other rules: ") {
                digest.other_rules = number(others)?;
            } else {
                let (rule, of_rule) = line.rsplit_once(": ").with_context(|| format!("{line:?}"))?;
                digest.by_rule.insert(rule.to_owned(), number(of_rule)?);
            }
        }
        Ok(digest)
    }
}

/// How many devices these words are of: `pump-1, pump-2 and 4 312 more`.
fn named(devices: &str) -> anyhow::Result<u64> {
    let (shown, more) = match devices.strip_suffix(" more").and_then(|words| words.rsplit_once(" and ")) {
        Some((shown, more)) => (shown, number(more)?),
        None => (devices, 0),
    };
    ensure!(!shown.is_empty(), "no device is named");
    Ok(shown.split(", ").count() as u64 + more)
}

/// A number as people get it: `4 312`.
fn number(text: &str) -> anyhow::Result<u64> {
    text.replace(' ', "").parse().with_context(|| format!("{text:?} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_counted_in_words() {
        for (words, count) in [("a", 1), ("a, b", 2), ("a and 1 more", 2), ("a, b and 4 312 more", 4314)] {
            assert_eq!(named(words).unwrap(), count, "{words}");
        }
        assert!(named("").is_err() && named("a and many more").is_err());
    }

    #[test]
    fn a_digest_is_read_in_words() {
        let words = "1 200 alerts were held back\n3 alerts were muted\n7 notices that an alert is over were held back\nhot: 1 000\nwet: 203\n\nlink";
        let digest = Digest::in_words(words);
        let by_rule = [("hot".to_owned(), 1000), ("wet".to_owned(), 203)].into();
        assert_eq!(digest.unwrap(), Digest { held: 1200, muted: 3, by_rule, other_rules: 0 });
        assert!(Digest::in_words("several alerts were held back").is_err());
    }
}
