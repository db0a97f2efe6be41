//! Rules: which messages have which schema. The first that fits counts.

use record::TenantId;
use serde::{Deserialize, Serialize};

use super::Facts;
use super::filter::{Beginning, TopicFilter};
use crate::model::{Selector, Subject};

/// How much of a schema counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// What does not fit is refused.
    #[default]
    Strict,
    /// Required fields must be there; the rest is as it is.
    Lenient,
}

/// A rule as written: `[[schemas.rules]]`. What is left out fits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRule {
    /// The tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Topics: a template or a filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The device's type; with a `*` at the end, its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// The device's firmware; with a `*` at the end, its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// The subject of the schema.
    pub subject: String,
    /// Its version; absent: the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// How much of it counts.
    pub mode: Strictness,
    /// Messages are bare Avro or Protobuf, without the schema's id before them.
    pub raw: bool,
}

/// Why a rule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {number}: {key}: {reason}")]
pub struct RuleError {
    /// Which, from 1.
    number: usize,
    key: &'static str,
    reason: String,
}

/// The rules, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    tenant: Option<TenantId>,
    topic: Option<TopicFilter>,
    device_type: Option<Beginning>,
    firmware: Option<Beginning>,
    pub(super) subject: Subject,
    pub(super) version: Selector,
    pub(super) mode: Strictness,
    pub(super) raw: bool,
}

/// Most rules. Each message is held against them one by one.
const RULES: usize = 1000;

impl Rules {
    /// Checks rules. None at all is fine: then only messages that name their schema are checked.
    ///
    /// # Errors
    /// [`RuleError`] names the rule, the key and what is wrong.
    pub fn check(raw: &[RawRule]) -> Result<Self, RuleError> {
        if raw.len() > RULES {
            let reason = format!("more than {RULES} rules");
            return Err(RuleError { number: raw.len(), key: "rules", reason });
        }
        let rules = raw.iter().enumerate().map(|(n, raw)| {
            Rule::check(raw).map_err(|(key, reason)| RuleError { number: n + 1, key, reason })
        });
        rules.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn pick(&self, facts: &Facts<'_>) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.fits(facts))
    }
}

impl Rule {
    fn check(raw: &RawRule) -> Result<Self, (&'static str, String)> {
        let text = |key: &'static str, text: &Option<String>| {
            let beginning = text.as_deref().map(|text| (text, Beginning::parse(text)));
            match beginning {
                None => Ok(None),
                Some((_, Ok(beginning))) => Ok(Some(beginning)),
                Some((text, Err(reason))) => Err((key, format!("{text:?} {reason}"))),
            }
        };
        let tenant = raw.tenant.as_deref().map(TenantId::parse).transpose();
        let topic = raw.topic.as_deref().map(|topic| {
            TopicFilter::parse(topic).map_err(|reason| ("topic", format!("{topic:?} {reason}")))
        });
        if raw.raw && raw.version.is_none() {
            let reason =
                "must be given with raw = true: bare bytes do not say which version they were written with";
            return Err(("version", reason.into()));
        }
        Ok(Self {
            tenant: tenant.map_err(|error| ("tenant", error.to_string()))?,
            topic: topic.transpose()?,
            device_type: text("device_type", &raw.device_type)?,
            firmware: text("firmware", &raw.firmware)?,
            subject: Subject::parse(&raw.subject).map_err(|error| ("subject", error.to_string()))?,
            version: match raw.version {
                None => Selector::Latest,
                Some(0) => return Err(("version", "counts from 1".into())),
                Some(version) => Selector::Number(version),
            },
            mode: raw.mode,
            raw: raw.raw,
        })
    }

    fn fits(&self, facts: &Facts<'_>) -> bool {
        let beginning = |rule: &Option<Beginning>, fact: Option<&str>| {
            rule.as_ref().is_none_or(|rule| fact.is_some_and(|fact| rule.matches(fact)))
        };
        self.tenant.as_ref().is_none_or(|tenant| tenant.as_str() == facts.tenant)
            && self.topic.as_ref().is_none_or(|topic| topic.matches(facts.topic))
            && beginning(&self.device_type, facts.device_type)
            && beginning(&self.firmware, facts.firmware)
    }

    /// Whether messages may be written with this version.
    pub(super) fn takes(&self, version: u32) -> bool {
        self.version == Selector::Latest || self.version == Selector::Number(version)
    }
}
