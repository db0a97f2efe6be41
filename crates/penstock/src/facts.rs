//! `penstock device set` and `show`: what is known of a device, in a data directory.

use anyhow::{Context, bail};
use record::Timestamp;
use registry::{DeviceEntry, FactsDocument};
use serde_json::{Map, Value, json};

use crate::Answer;
use crate::device::{Desk, Place, name};

/// Facts, on the command line.
#[derive(clap::Args)]
pub(crate) struct Facts {
    /// What kind of device it is
    #[arg(long = "type", value_name = "TYPE")]
    device_type: Option<String>,
    /// Where it belongs
    #[arg(long)]
    site: Option<String>,
    /// Where it stands, degrees
    #[arg(long, requires = "lng", allow_negative_numbers = true)]
    lat: Option<f64>,
    /// Where it stands, degrees
    #[arg(long, requires = "lat", allow_negative_numbers = true)]
    lng: Option<f64>,
    /// Where it stands, in words
    #[arg(long, value_name = "TEXT")]
    place: Option<String>,
    /// The version of its firmware
    #[arg(long, value_name = "VERSION")]
    firmware: Option<String>,
    /// Anything else; may be given more than once
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
}

/// `penstock device set`.
#[derive(clap::Args)]
pub(crate) struct Set {
    /// The device; it need not have sent anything
    id: String,
    #[command(flatten)]
    facts: Facts,
    /// Takes a tag away; may be given more than once
    #[arg(long, value_name = "KEY")]
    untag: Vec<String>,
    /// Takes a fact away; may be given more than once
    #[arg(long, value_parser = ["type", "site", "location", "firmware", "tags"], value_name = "FACT")]
    clear: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// `penstock device show`.
#[derive(clap::Args)]
pub(crate) struct Show {
    /// The device
    id: String,
    /// As JSON
    #[arg(long, value_parser = ["table", "json"], default_value = "table")]
    format: String,
    #[command(flatten)]
    place: Place,
}

impl Facts {
    /// As a merge patch.
    pub(crate) fn patch(&self) -> anyhow::Result<Value> {
        let mut patch = Map::new();
        let texts = [("type", &self.device_type), ("site", &self.site), ("firmware", &self.firmware)];
        for (name, text) in texts {
            patch.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
        }
        let mut location = Map::new();
        location.extend(self.lat.map(|lat| ("lat".to_owned(), json!(lat))));
        location.extend(self.lng.map(|lng| ("lng".to_owned(), json!(lng))));
        location.extend(self.place.as_ref().map(|text| ("text".to_owned(), json!(text))));
        if !location.is_empty() {
            patch.insert("location".into(), location.into());
        }
        let mut tags = Map::new();
        for tag in &self.tags {
            let (key, value) =
                tag.split_once('=').with_context(|| format!("--tag {tag}: write KEY=VALUE"))?;
            tags.insert(key.to_owned(), json!(value));
        }
        if !tags.is_empty() {
            patch.insert("tags".into(), tags.into());
        }
        Ok(patch.into())
    }
}

impl Set {
    pub(crate) fn run(&self) -> anyhow::Result<Answer> {
        let mut patch = self.facts.patch()?;
        for fact in &self.clear {
            if !patch[fact].is_null() {
                bail!("{fact} is set and cleared: leave one out");
            }
            patch[fact] = Value::Null;
        }
        if self.untag.iter().any(|key| !patch["tags"][key].is_null()) {
            bail!("a tag is set and taken away: leave one out");
        }
        if !self.clear.iter().any(|fact| fact == "tags") {
            self.untag.iter().for_each(|key| patch["tags"][key] = Value::Null);
        }
        let desk = self.place.open()?;
        let id = name(&self.id)?;
        let entry = desk.devices.patch(&desk.tenant, &id, &patch, Timestamp::now())?;
        eprintln!("{}/{} is now: {}", desk.tenant, id, line(&entry));
        Ok(Answer::Yes)
    }
}

impl Show {
    #[allow(clippy::print_stdout)] // stdout is data
    pub(crate) fn run(&self) -> anyhow::Result<Answer> {
        let desk = self.place.open()?;
        let Some(entry) = desk.devices.find(&desk.tenant, &name(&self.id)?)? else {
            eprintln!("penstock: nothing is known of {}/{}", desk.tenant, self.id);
            return Ok(Answer::No);
        };
        let described = describe(&desk, &entry);
        if self.format == "json" {
            println!("{described}");
            return Ok(Answer::Yes);
        }
        for (name, value) in described.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
        {
            println!("{name}\t{}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        Ok(Answer::Yes)
    }
}

/// A device for programs.
pub(crate) fn describe(desk: &Desk, entry: &DeviceEntry) -> Value {
    let FactsDocument { device_type, site, location, firmware, tags } = FactsDocument::from(&entry.facts());
    json!({
        "tenant": desk.tenant.as_str(), "id": entry.id.as_str(),
        "type": device_type, "site": site, "location": location, "firmware": firmware, "tags": tags,
        "registered": entry.registered_at.map(|_| FactsDocument::from(&entry.registered)),
        "learned": FactsDocument::from(&entry.learned),
        "registered_at": entry.registered_at.map(query::rfc3339),
        "changed_at": entry.changed_at.map(query::rfc3339),
    })
}

/// What holds of a device, in a line.
pub(crate) fn line(entry: &DeviceEntry) -> String {
    let facts = entry.facts();
    let texts = [("type", facts.device_type), ("site", facts.site), ("firmware", facts.firmware)];
    let mut parts: Vec<String> =
        texts.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", text?))).collect();
    parts.extend(facts.coordinates.map(|(lat, lng)| format!("at={lat},{lng}")));
    parts.extend(facts.place.map(|place| format!("place={place}")));
    parts.extend(facts.tags.iter().map(|(key, value)| format!("{key}={value}")));
    if parts.is_empty() { "nothing known".to_owned() } else { parts.join(" ") }
}
