//! `[series]`: which store there is, and how long it keeps what.

use std::collections::BTreeMap;
use std::time::Duration;

use record::{MetricPattern, TenantId};
use serde::{Deserialize, Serialize};

use super::{ColdSettings, ConfigError, RawCold};
use crate::retention::{Age, Ages, OfMetrics, Policy};

/// `[series]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSeries {
    /// The backend.
    pub kind: SeriesKind,
    /// Readings older than this are removed, days; 0: none.
    pub keep_days: u32,
    /// Windows that ended before this are removed, days; 0: none.
    pub keep_windows_days: u32,
    /// `[series.cold]`.
    pub cold: RawCold,
    /// `[series.export_before_expiry]`.
    pub export_before_expiry: RawExport,
    /// What some metrics have of their own: the first that names a metric and its tenant holds.
    pub retention: Vec<RawRetention>,
    /// What tenants have of their own.
    pub tenants: BTreeMap<String, RawKeep>,
}

/// `[series.export_before_expiry]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawExport {
    /// Where readings and windows are written before retention removes them, as `series.cold.url`; empty: they are not.
    pub url: String,
}

/// `[[series.retention]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawRetention {
    /// The metrics, by names or by patterns with `*`.
    pub metrics: Vec<String>,
    /// Whose; absent: all tenants'.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Readings of these older than this are removed, days; 0: none. Absent: as the tenant's.
    #[serde(default)]
    pub keep_days: Option<u32>,
    /// Their windows that ended before this are removed, days; 0: none. Absent: as the tenant's.
    #[serde(default)]
    pub keep_windows_days: Option<u32>,
}

/// `[series.tenants.NAME]`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawKeep {
    /// As `series.keep_days`.
    pub keep_days: u32,
    /// As `series.keep_windows_days`.
    pub keep_windows_days: u32,
    /// As `series.cold.after_days`, which holds where this is absent.
    pub cold_after_days: Option<u32>,
    /// As `series.cold.after_windows_days`, which holds where this is absent.
    pub cold_after_windows_days: Option<u32>,
}

/// A backend of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SeriesKind {
    /// Parquet files, and one of SQLite beside them.
    #[default]
    Parquet,
    /// One SQLite file: for a small site (docs/decisions/0002).
    Sqlite,
    /// TimescaleDB.
    Timescale,
}

impl RawSeries {
    pub(super) fn policy(&self) -> Result<Policy, ConfigError> {
        let ages = |readings, windows| Ages { readings: age(readings), windows: age(windows) };
        let mut tenants = BTreeMap::new();
        for (name, keep) in &self.tenants {
            let tenant = TenantId::parse(name).map_err(|error| {
                ConfigError::Value(format!("series.tenants: {name:?} is no tenant: {error}"))
            })?;
            tenants.insert(tenant, ages(keep.keep_days, keep.keep_windows_days));
        }
        let mut metrics: Vec<OfMetrics> = Vec::new();
        for (number, raw) in (1..).zip(&self.retention) {
            let checked = raw.check(&metrics);
            metrics.push(checked.map_err(|problem| {
                ConfigError::Value(format!("series.retention: entry {number}: {problem}"))
            })?);
        }
        Ok(Policy { all: ages(self.keep_days, self.keep_windows_days), tenants, metrics })
    }
}

impl RawSeries {
    /// Where what is about to be removed is written first.
    pub(super) fn exports(&self) -> Result<Option<ColdSettings>, ConfigError> {
        let key = "series.export_before_expiry.url";
        match self.export_before_expiry.url.as_str() {
            "" => Ok(None),
            _ if self.kind != SeriesKind::Parquet => Err(ConfigError::Value(format!(
                "{key}: only the store of kind \"parquet\" writes what it removes: leave it out"
            ))),
            url => ColdSettings::at(url, key).map(Some),
        }
    }
}

impl RawRetention {
    /// Checks it, where these come before it.
    fn check(&self, before: &[OfMetrics]) -> Result<OfMetrics, String> {
        if self.metrics.is_empty() {
            return Err("metrics: empty: name at least one, or a pattern such as \"debug.*\"".into());
        }
        if self.keep_days.is_none() && self.keep_windows_days.is_none() {
            return Err(
                "says nothing: write keep_days, keep_windows_days or both, or leave the entry out".into()
            );
        }
        let tenant = self.tenant.as_deref().map(TenantId::parse).transpose();
        let tenant = tenant.map_err(|error| format!("tenant: {error}"))?;
        let mut patterns: Vec<MetricPattern> = Vec::new();
        for text in &self.metrics {
            let pattern = MetricPattern::parse(text).map_err(|_| {
                format!("{text:?} is neither a metric's name nor a pattern such as \"debug.*\"")
            })?;
            if patterns.contains(&pattern) {
                return Err(format!("{text:?} stands twice: take one away"));
            }
            // The first entry holds: what it covers is never asked of a later one.
            let of_tenant = |of: &&OfMetrics| of.tenant.is_none() || of.tenant == tenant;
            let mut earlier = (1..).zip(before).filter(|(_, of)| of_tenant(of));
            let covered = earlier.find_map(|(number, of)| {
                of.metrics.iter().find(|wide| wide.covers(&pattern)).map(|wide| (number, wide.as_str()))
            });
            if let Some((number, wide)) = covered {
                return Err(format!(
                    "{text:?} can never hold, because the first entry that names a metric does, and entry {number} names {wide:?}: \
                     put this entry before that one, or take it away"
                ));
            }
            patterns.push(pattern);
        }
        let own = |days: Option<u32>| days.map_or(Age::AsTenant, |days| Age::Own(age(days)));
        Ok(OfMetrics {
            tenant,
            metrics: patterns,
            readings: own(self.keep_days),
            windows: own(self.keep_windows_days),
        })
    }
}

fn age(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
}

#[cfg(test)]
mod tests {
    use super::super::Raw;
    use super::*;

    fn policy_of(text: &str) -> Result<Policy, String> {
        let raw: Raw = toml::from_str(text).map_err(|error| error.to_string())?;
        raw.validate().map(|config| config.keep).map_err(|error| error.to_string())
    }

    #[test]
    fn an_entry_says_what_is_different_for_its_metrics() {
        let policy = policy_of(
            "[series]\nkeep_days = 90\n[[series.retention]]\nmetrics = ['debug.*']\ntenant = 'acme'\nkeep_days = 7\n\
             [[series.retention]]\nmetrics = ['debug.*', 'vibration']\nkeep_days = 0\nkeep_windows_days = 365\n",
        )
        .expect("it is right");
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let [acme, all] = &policy.metrics[..] else { panic!("{policy:?}") };
        assert_eq!(acme.tenant.as_ref().map(TenantId::as_str), Some("acme"));
        assert_eq!((acme.readings, acme.windows), (Age::Own(days(7)), Age::AsTenant));
        assert_eq!((all.readings, all.windows), (Age::Own(None), Age::Own(days(365))));
        assert_eq!(policy.all, Ages { readings: days(90), windows: None });
    }

    #[test]
    fn what_expires_is_exported_to_a_place_that_is_known() {
        let exports_of = |text: &str| {
            let raw: Raw = toml::from_str(text).map_err(|error| error.to_string())?;
            raw.validate().map(|config| config.exports).map_err(|error| error.to_string())
        };
        let to =
            exports_of("[series.export_before_expiry]\nurl = 's3://bucket/expired'\n").expect("it is right");
        assert_eq!(to.expect("there is one").url.as_str(), "s3://bucket/expired");
        assert_eq!(exports_of(""), Ok(None));
        for (text, expected) in [
            ("[series.export_before_expiry]\nurl = 'bucket'\n", "series.export_before_expiry.url"),
            (
                "[series]\nkind = 'sqlite'\n[series.export_before_expiry]\nurl = 's3://b'\n",
                "only the store of kind \"parquet\"",
            ),
            ("[series.export_before_expiry]\nto = 's3://b'\n", "unknown field `to`"),
        ] {
            let refused = exports_of(text).expect_err(text);
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn what_says_nothing_or_can_never_hold_is_refused_with_what_to_write() {
        let first = "metrics = ['debug.*']\nkeep_days = 7";
        for (entries, expected) in [
            (&["metrics = []\nkeep_days = 7"][..], "entry 1: metrics: empty: name at least one"),
            (&["metrics = ['a']"], "entry 1: says nothing: write keep_days, keep_windows_days or both"),
            (&["metrics = ['']\nkeep_days = 7"], "entry 1: \"\" is neither a metric's name nor a pattern"),
            (&["metrics = ['a', 'a']\nkeep_days = 7"], "entry 1: \"a\" stands twice: take one away"),
            (&["metrics = ['a']\ntenant = 'a/b'\nkeep_days = 7"], "entry 1: tenant: the tenant id holds"),
            (
                &[first, "metrics = ['debug.error']\ntenant = 'acme'\nkeep_days = 0"],
                "entry 2: \"debug.error\" can never hold, because the first entry that names a metric does, and entry 1 names \
                 \"debug.*\": put this entry before that one, or take it away",
            ),
            (&[first, first], "entry 2: \"debug.*\" can never hold"),
            (&["keep_days = 7"], "missing field `metrics`"),
            (&["metrics = ['a']\nkeep = 7"], "unknown field `keep`"),
        ] {
            let text: String =
                entries.iter().map(|entry| format!("[[series.retention]]\n{entry}\n")).collect();
            let refused = policy_of(&text).expect_err(&text);
            assert!(refused.contains(expected), "{text}: {refused}");
        }
        // Of another tenant, wider, or for what the first leaves.
        for entries in [
            ["metrics = ['a']\ntenant = 'x'\nkeep_days = 7", "metrics = ['a']\ntenant = 'y'\nkeep_days = 7"],
            ["metrics = ['a']\ntenant = 'x'\nkeep_days = 7", "metrics = ['a']\nkeep_days = 7"],
            [first, "metrics = ['*']\nkeep_days = 0"],
        ] {
            let text: String =
                entries.iter().map(|entry| format!("[[series.retention]]\n{entry}\n")).collect();
            assert!(policy_of(&text).is_ok(), "{text}");
        }
    }
}
