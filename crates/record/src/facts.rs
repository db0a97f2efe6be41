//! What is known of a device apart from its readings (R4.6).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits::{FACT_BYTES, TAG_KEY_BYTES, TAGS_PER_DEVICE};

/// Facts of a device. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What kind of device it is.
    pub device_type: Option<Box<str>>,
    /// Where it belongs: a plant, a shop, a town.
    pub site: Option<Box<str>>,
    /// Where it stands, degrees: latitude, longitude.
    pub coordinates: Option<(f64, f64)>,
    /// Where it stands, in words.
    pub place: Option<Box<str>>,
    /// The version of its firmware.
    pub firmware: Option<Box<str>>,
    /// Anything else, by key.
    pub tags: BTreeMap<Box<str>, Box<str>>,
}

/// What data said of its device, in passing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// What kind of device it is.
    pub device_type: Option<Box<str>>,
    /// Where it belongs.
    pub site: Option<Box<str>>,
    /// The version of its firmware.
    pub firmware: Option<Box<str>>,
}

/// What people registered of a device, and what was learned of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// What people said. Where it says something, that holds.
    pub registered: Facts,
    /// What data said.
    pub learned: Learned,
    encoded: Arc<[u8]>,
}

/// Why something is no fact.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FactError {
    /// A text is empty, too long, or holds a control character.
    #[error("{what} {found:?} is not possible: 1 to {most} bytes without control characters")]
    Text {
        /// Which fact.
        what: &'static str,
        /// The text, cut.
        found: String,
        /// The longest, bytes.
        most: usize,
    },
    /// A latitude or longitude is none.
    #[error("the location {lat}, {lng} is not on earth: lat is -90 to 90, lng -180 to 180")]
    Coordinates {
        /// Degrees.
        lat: f64,
        /// Degrees.
        lng: f64,
    },
    /// Too many tags.
    #[error("there are {found} tags, at most {TAGS_PER_DEVICE} are possible")]
    Tags {
        /// How many.
        found: usize,
    },
}

/// Whether a text may be a fact of so many bytes.
fn is_fact(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
}

fn check(what: &'static str, text: &str, most: usize) -> Result<(), FactError> {
    if is_fact(text, most) {
        return Ok(());
    }
    let found = text.chars().take(40).collect();
    Err(FactError::Text { what, found, most })
}

impl Facts {
    /// Whether each of them is possible.
    ///
    /// # Errors
    /// [`FactError`] names the first that is not.
    pub fn check(&self) -> Result<(), FactError> {
        let texts = [
            ("type", &self.device_type),
            ("site", &self.site),
            ("location text", &self.place),
            ("firmware", &self.firmware),
        ];
        for (what, text) in texts {
            text.as_deref().map_or(Ok(()), |text| check(what, text, FACT_BYTES))?;
        }
        if let Some((lat, lng)) = self.coordinates
            && !((-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lng))
        {
            return Err(FactError::Coordinates { lat, lng });
        }
        if self.tags.len() > TAGS_PER_DEVICE {
            return Err(FactError::Tags { found: self.tags.len() });
        }
        for (key, value) in &self.tags {
            check("tag key", key, TAG_KEY_BYTES)?;
            check("tag", value, FACT_BYTES)?;
        }
        Ok(())
    }

    /// These, and where they say nothing, what was learned.
    #[must_use]
    pub fn over(&self, learned: &Learned) -> Self {
        let mut facts = self.clone();
        for (registered, learned) in [
            (&mut facts.device_type, &learned.device_type),
            (&mut facts.site, &learned.site),
            (&mut facts.firmware, &learned.firmware),
        ] {
            if registered.is_none() {
                registered.clone_from(learned);
            }
        }
        facts
    }
}

impl Learned {
    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing, what `before` said.
    #[must_use]
    pub fn over(&self, before: &Self) -> Self {
        let first = |a: &Option<Box<str>>, b: &Option<Box<str>>| a.clone().or_else(|| b.clone());
        Self {
            device_type: first(&self.device_type, &before.device_type),
            site: first(&self.site, &before.site),
            firmware: first(&self.firmware, &before.firmware),
        }
    }
}

impl Known {
    /// Both together.
    #[must_use]
    pub fn new(registered: Facts, learned: Learned) -> Self {
        let encoded = crate::clean::encoded(&registered.over(&learned)).into();
        Self { registered, learned, encoded }
    }

    /// What holds: the registered facts, and where they say nothing, the learned ones.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.registered.over(&self.learned)
    }

    /// [`Known::facts`] as they stand in a [`crate::CleanRecord`].
    #[must_use]
    pub fn encoded(&self) -> &Arc<[u8]> {
        &self.encoded
    }
}

/// What a message says of its device, borrowed from it. What is no fact is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said<'a> {
    device_type: Option<&'a str>,
    site: Option<&'a str>,
    firmware: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// From what a topic or a property says.
    #[must_use]
    pub fn new(device_type: Option<&'a str>, site: Option<&'a str>, firmware: Option<&'a str>) -> Self {
        let fact = |text: Option<&'a str>| text.filter(|text| is_fact(text, FACT_BYTES));
        Self { device_type: fact(device_type), site: fact(site), firmware: fact(firmware) }
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `learned` holds all that it says.
    #[must_use]
    pub fn is_in(&self, learned: &Learned) -> bool {
        let agrees =
            |said: Option<&str>, known: &Option<Box<str>>| said.is_none() || said == known.as_deref();
        agrees(self.device_type, &learned.device_type)
            && agrees(self.site, &learned.site)
            && agrees(self.firmware, &learned.firmware)
    }

    /// Kept.
    #[must_use]
    pub fn to_learned(&self) -> Learned {
        Learned {
            device_type: self.device_type.map(Into::into),
            site: self.site.map(Into::into),
            firmware: self.firmware.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_registered_holds_and_what_is_learned_fills_in() {
        let registered = Facts { device_type: Some("pump".into()), ..Facts::default() };
        let said = Said::new(Some("valve"), None, Some("2.1"));
        let known = Known::new(registered, said.to_learned());
        let facts = known.facts();
        assert_eq!((facts.device_type.as_deref(), facts.firmware.as_deref()), (Some("pump"), Some("2.1")));
        assert!(said.is_in(&known.learned) && !Said::new(None, Some("s"), None).is_in(&known.learned));
        let newer = Said::new(None, Some("hamburg"), Some("2.2")).to_learned().over(&known.learned);
        assert_eq!(newer, Said::new(Some("valve"), Some("hamburg"), Some("2.2")).to_learned());
    }

    #[test]
    fn what_is_no_fact_is_named_or_not_learned() {
        let long = "x".repeat(FACT_BYTES + 1);
        for (facts, words) in [
            (Facts { device_type: Some("".into()), ..Facts::default() }, "type"),
            (Facts { site: Some("a\nb".into()), ..Facts::default() }, "site"),
            (Facts { place: Some(long.as_str().into()), ..Facts::default() }, "location text"),
            (Facts { coordinates: Some((91.0, 0.0)), ..Facts::default() }, "not on earth"),
            (Facts { coordinates: Some((0.0, f64::NAN)), ..Facts::default() }, "not on earth"),
            (Facts { tags: [("".into(), "v".into())].into(), ..Facts::default() }, "tag key"),
            (
                Facts {
                    tags: (0..33).map(|n| (n.to_string().into(), "v".into())).collect(),
                    ..Facts::default()
                },
                "33 tags",
            ),
        ] {
            let told = facts.check().unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
        assert!(Said::new(Some(&long), Some(""), Some("a\0")).is_empty());
        let good = Facts { coordinates: Some((-90.0, 180.0)), ..Facts::default() };
        assert_eq!(good.check(), Ok(()));
    }
}
