//! `[series.cold]`: where runs of the store go once they are old, and when.

use std::time::Duration;

use object_store::ObjectStoreScheme;
use record::TenantId;
use serde::{Deserialize, Serialize};
use series::parquet::store::{ColdAges, ColdPolicy};
use url::Url;

use super::{ConfigError, RawSeries, SeriesKind};

/// `[series.cold]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCold {
    /// A directory (`file:///…`), or a bucket and a prefix (`s3://…`, `gs://…`, `az://…`); empty: there is no cold tier.
    pub url: String,
    /// So many days after the end of their period readings move there; 0: never.
    pub after_days: u32,
    /// The same for results of windows.
    pub after_windows_days: u32,
    /// Memory for what was fetched from there, bytes. For those who ask much of old data, or have little memory.
    pub cache_bytes: usize,
}

impl Default for RawCold {
    fn default() -> Self {
        let cache_bytes = series::parquet::cold::Limits::default().cache_bytes;
        Self { url: String::new(), after_days: 30, after_windows_days: 0, cache_bytes }
    }
}

/// The cold tier, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub url: Url,
    /// When what moves there.
    pub policy: ColdPolicy,
    /// Memory for what was fetched, bytes.
    pub cache_bytes: usize,
}

impl Settings {
    /// The cold tier at an address, from which nothing is moved there. `key`: what the address was given as, for people.
    pub(crate) fn at(url: &str, key: &str) -> Result<Self, ConfigError> {
        let cache_bytes = RawCold::default().cache_bytes;
        Ok(Self { url: place(key, url)?, policy: ColdPolicy::default(), cache_bytes })
    }
}

pub(super) fn settings(series: &RawSeries) -> Result<Option<Settings>, ConfigError> {
    let RawCold { url, after_days, after_windows_days, cache_bytes } = &series.cold;
    if url.is_empty() {
        return match series
            .tenants
            .iter()
            .find(|(_, keep)| keep.cold_after_days.is_some() || keep.cold_after_windows_days.is_some())
        {
            Some((name, _)) => Err(ConfigError::Value(format!(
                "series.tenants.{name}: says when data becomes cold, and there is no cold tier: name one with series.cold.url"
            ))),
            None => Ok(None),
        };
    }
    if series.kind != SeriesKind::Parquet {
        return Err(ConfigError::Value(
            "series.cold.url: only the store of kind \"parquet\" has a cold tier: leave it out".into(),
        ));
    }
    let ages = |readings: u32, windows: u32| ColdAges { readings: age(readings), windows: age(windows) };
    let mut policy = ColdPolicy { all: ages(*after_days, *after_windows_days), ..ColdPolicy::default() };
    for (name, keep) in &series.tenants {
        let tenant = TenantId::parse(name)
            .map_err(|error| ConfigError::Value(format!("series.tenants: {name:?} is no tenant: {error}")))?;
        let own = ages(
            keep.cold_after_days.unwrap_or(*after_days),
            keep.cold_after_windows_days.unwrap_or(*after_windows_days),
        );
        policy.tenants.insert(tenant, own);
    }
    Ok(Some(Settings { url: place("series.cold.url", url)?, policy, cache_bytes: *cache_bytes }))
}

fn age(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
}

/// Whether an address is one of those that are understood. Nobody is asked.
fn place(key: &str, text: &str) -> Result<Url, ConfigError> {
    let wrong = |reason: &str| ConfigError::Value(format!("{key}: {text:?} {reason}"));
    const WRITE: &str = "write \"file:///directory\", \"s3://bucket/prefix\", \"gs://bucket/prefix\" or \"az://container/prefix\"";
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no address ({error}): {WRITE}")))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong("holds a secret or options: they come from the environment (docs/tiers.md)"));
    }
    match ObjectStoreScheme::parse(&url) {
        Ok((ObjectStoreScheme::Local, _)) if url.path() == "/" => {
            Err(wrong("is the root of the disk: name a directory"))
        }
        Ok((
            ObjectStoreScheme::Local
            | ObjectStoreScheme::AmazonS3
            | ObjectStoreScheme::GoogleCloudStorage
            | ObjectStoreScheme::MicrosoftAzure,
            _,
        )) => Ok(url),
        _ => Err(wrong(&format!("is of a kind that is not known: {WRITE}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Raw;
    use super::*;

    fn settings_of(text: &str) -> Result<Option<Settings>, String> {
        let raw: Raw = toml::from_str(text).map_err(|error| error.to_string())?;
        raw.validate().map(|config| config.cold).map_err(|error| error.to_string())
    }

    #[test]
    fn a_tenant_has_what_it_says_and_else_what_all_have() {
        let settings = settings_of(
            "[series.cold]\nurl = 's3://bucket/a/b'\nafter_days = 7\n[series.tenants.acme]\ncold_after_windows_days = 90\n",
        );
        let settings = settings.expect("it is right").expect("there is one");
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        assert_eq!(settings.policy.all, ColdAges { readings: days(7), windows: None });
        let acme = TenantId::parse("acme").expect("a tenant's name");
        assert_eq!(settings.policy.tenants[&acme], ColdAges { readings: days(7), windows: days(90) });
        assert_eq!((settings.url.as_str(), settings.cache_bytes), ("s3://bucket/a/b", 64 << 20));
        assert_eq!(settings_of(""), Ok(None));
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_to_write() {
        for (text, expected) in [
            ("url = 'bucket'", "is no address"),
            ("url = 'ftp://a/b'", "is of a kind that is not known: write \"file:///directory\""),
            ("url = 'file:///'", "is the root of the disk"),
            ("url = 's3://key:secret@bucket/a'", "holds a secret"),
            ("url = 'az://container/a?sig=secret'", "holds a secret"),
            ("url = 's3://bucket'\nafter = '30d'", "unknown field `after`"),
        ] {
            let refused = settings_of(&format!("[series.cold]\n{text}\n")).expect_err(text);
            assert!(refused.contains(expected), "{text}: {refused}");
        }
        let refused = settings_of("[series.tenants.acme]\ncold_after_days = 3\n").expect_err("no cold tier");
        assert!(refused.contains("series.cold.url"), "{refused}");
        let refused = settings_of("[series]\nkind = 'sqlite'\n[series.cold]\nurl = 's3://b'\n")
            .expect_err("another kind");
        assert!(refused.contains("parquet"), "{refused}");
        for good in ["file:///var/cold", "gs://bucket/p", "az://container/p", "s3://bucket"] {
            assert!(
                settings_of(&format!("[series.cold]\nurl = '{good}'\n")).is_ok_and(|of| of.is_some()),
                "{good}"
            );
        }
    }
}
