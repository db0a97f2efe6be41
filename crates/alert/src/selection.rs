//! Which alerts are meant: by rule, device, and facts of the device.

use std::collections::BTreeMap;

use record::Facts;
use serde::{Deserialize, Serialize};

/// Longest pattern, bytes: as the longest device id.
const PATTERN_BYTES: usize = 256;
/// Most tags of a selection: as many as a device has.
const TAGS: usize = 32;

/// Which alerts are meant. Each part is a pattern, `*` stands for any characters; a part that is absent means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Of which rules, by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Of which devices, by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Of devices of which types.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// Of devices at which sites.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Of devices with these tags; all of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl Selection {
    /// Whether an alert of this rule and device is meant.
    #[must_use]
    pub fn means(&self, rule: &str, device: &str, facts: &Facts) -> bool {
        let is = |pattern: &Option<String>, text: Option<&str>| {
            pattern.as_deref().is_none_or(|pattern| text.is_some_and(|text| matches(pattern, text)))
        };
        is(&self.rule, Some(rule))
            && is(&self.device, Some(device))
            && is(&self.device_type, facts.device_type.as_deref())
            && is(&self.site, facts.site.as_deref())
            && self.tags.iter().all(|(key, pattern)| {
                facts.tags.get(key.as_str()).is_some_and(|value| matches(pattern, value))
            })
    }

    /// Whether it is one.
    ///
    /// # Errors
    /// Which part is not possible, and what is.
    pub fn check(&self) -> Result<(), String> {
        let named = [
            ("rule", &self.rule),
            ("device", &self.device),
            ("type", &self.device_type),
            ("site", &self.site),
        ];
        let named = named.into_iter().filter_map(|(what, pattern)| Some((what, pattern.as_ref()?)));
        for (what, pattern) in named.chain(self.tags.values().map(|pattern| ("tags", pattern))) {
            if pattern.is_empty() || pattern.len() > PATTERN_BYTES {
                return Err(format!("{what} is a pattern of 1 to {PATTERN_BYTES} bytes"));
            }
        }
        if self.tags.len() > TAGS {
            return Err(format!("tags has {} entries, at most {TAGS} are possible", self.tags.len()));
        }
        Ok(())
    }
}

/// Whether `text` is what `pattern` says; `*` is any characters. Never goes back further than the last star, so it costs at
/// most the product of the lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_characters() {
        for (pattern, text, expect) in [
            ("*", "", true),
            ("", "", true),
            ("pump-*", "pump-7", true),
            ("pump-*", "pump", false),
            ("*-hot", "line-hot-hot", true),
            ("a*b*c", "a--b-bc", true),
            ("a*b*c", "a--b-bd", false),
            ("*a", "b", false),
            ("hämburg", "hämburg", true),
        ] {
            assert_eq!(matches(pattern, text), expect, "{pattern} {text}");
        }
    }

    #[test]
    fn every_part_must_agree() {
        let facts = Facts {
            site: Some("hamburg".into()),
            tags: [("line".into(), "4".into())].into(),
            ..Facts::default()
        };
        let of = |text: &str| serde_json::from_str::<Selection>(text).unwrap();
        for (selection, expect) in [
            ("{}", true),
            (r#"{"rule":"hot","device":"p*","site":"ham*","tags":{"line":"4"}}"#, true),
            (r#"{"rule":"cold"}"#, false),
            (r#"{"type":"*"}"#, false),
            (r#"{"tags":{"line":"5"}}"#, false),
            (r#"{"tags":{"hall":"*"}}"#, false),
        ] {
            assert_eq!(of(selection).means("hot", "p1", &facts), expect, "{selection}");
        }
        assert!(of(r#"{"rule":""}"#).check().unwrap_err().starts_with("rule is a pattern"));
    }
}
