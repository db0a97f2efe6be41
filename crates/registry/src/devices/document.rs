//! Facts as JSON: in requests, answers and rows (`docs/formats/metadata.md`).

use std::collections::BTreeMap;

use metadata::Row;
use record::{Facts, Learned, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::broken;
use crate::Error;

/// Facts as people write them. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FactsDocument {
    /// What kind of device it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<Box<str>>,
    /// Where it belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Box<str>>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The version of its firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Box<str>>,
    /// Anything else.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<Box<str>, Box<str>>,
}

/// Where a device stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Location {
    /// Degrees; together with `lng`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lat: Option<f64>,
    /// Degrees; together with `lat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lng: Option<f64>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Box<str>>,
}

impl FactsDocument {
    /// Checked.
    ///
    /// # Errors
    /// [`Error::Refused`] names what is not possible.
    pub fn to_facts(&self) -> Result<Facts, Error> {
        let location = self.location.clone().unwrap_or_default();
        let coordinates = match (location.lat, location.lng) {
            (Some(lat), Some(lng)) => Some((lat, lng)),
            (None, None) => None,
            _ => return Err(Error::Refused("a location has both lat and lng, or neither".to_owned())),
        };
        let facts = Facts {
            device_type: self.device_type.clone(),
            site: self.site.clone(),
            coordinates,
            place: location.text,
            firmware: self.firmware.clone(),
            tags: self.tags.clone(),
        };
        facts.check().map_err(|error| Error::Refused(error.to_string()))?;
        Ok(facts)
    }

    /// Changed by a merge patch (RFC 7396).
    pub(super) fn patched(&self, patch: &Value) -> Result<Self, Error> {
        if !patch.is_object() {
            return Err(Error::Refused("a change of facts is a JSON object".to_owned()));
        }
        let mut value = serde_json::to_value(self).expect("facts are JSON");
        merge(&mut value, patch);
        serde_json::from_value(value).map_err(|error| Error::Refused(format!("these are no facts: {error}")))
    }
}

impl From<&Facts> for FactsDocument {
    fn from(facts: &Facts) -> Self {
        let (lat, lng) = facts.coordinates.unzip();
        let location = Location { lat, lng, text: facts.place.clone() };
        Self {
            device_type: facts.device_type.clone(),
            site: facts.site.clone(),
            location: Some(location).filter(|location| *location != Location::default()),
            firmware: facts.firmware.clone(),
            tags: facts.tags.clone(),
        }
    }
}

impl From<&Learned> for FactsDocument {
    fn from(learned: &Learned) -> Self {
        Self::from(&Facts::default().over(learned))
    }
}

/// RFC 7396, section 2. The patch came out of a parser that bounds its depth.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, change) in changes {
        match change {
            Value::Null => {
                target.remove(key);
            }
            change => merge(target.entry(key.as_str()).or_insert(Value::Null), change),
        }
    }
}

/// A row of `devices`.
#[derive(Debug, Serialize)]
pub(super) struct StoredRow {
    #[serde(flatten)]
    pub(super) document: FactsDocument,
    pub(super) created_at_ms: i64,
    pub(super) changed_at_ms: i64,
}

impl StoredRow {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        // Not through `flatten`, which cannot refuse unknown keys and tell them from these two.
        let wrong = |error: serde_json::Error| broken("devices", row, &error.to_string());
        let mut value: Value = serde_json::from_slice(&row.body).map_err(wrong)?;
        let mut take = |key: &str| {
            let taken = value.as_object_mut().and_then(|object| object.remove(key));
            taken.and_then(|value| value.as_i64()).unwrap_or_default()
        };
        let (created_at_ms, changed_at_ms) = (take("created_at_ms"), take("changed_at_ms"));
        let document = serde_json::from_value(value).map_err(wrong)?;
        Ok(Self { document, created_at_ms, changed_at_ms })
    }

    pub(super) fn facts(&self, tenant: &TenantId, device: &str) -> Result<Facts, Error> {
        self.document.to_facts().map_err(|error| Error::Row {
            table: "devices",
            tenant: tenant.as_str().to_owned(),
            id: device.to_owned(),
            reason: error.to_string(),
        })
    }

    pub(super) fn to_row(&self, tenant: &TenantId, device: &str) -> Row {
        let body = serde_json::to_vec(self).expect("facts are JSON");
        Row { tenant: tenant.as_str().to_owned(), id: device.to_owned(), body }
    }
}

/// A row of `learned`.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct LearnedRow {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    device_type: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    firmware: Option<Box<str>>,
}

impl LearnedRow {
    pub(super) fn of(learned: &Learned) -> Self {
        let Learned { device_type, site, firmware } = learned.clone();
        Self { device_type, site, firmware }
    }

    pub(super) fn read(row: &Row) -> Result<Learned, Error> {
        let read = serde_json::from_slice(&row.body).map_err(|e| broken("learned", row, &e.to_string()))?;
        let Self { device_type, site, firmware } = read;
        Ok(Learned { device_type, site, firmware })
    }

    pub(super) fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("facts are JSON")
    }
}
