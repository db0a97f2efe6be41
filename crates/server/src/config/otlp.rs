//! `[otlp]`: figures and traces for an OpenTelemetry collector.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
pub use crate::otlp::Settings;

/// `[otlp]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOtlp {
    /// The collector, `http://host:4318`; empty: nothing is told. For who has a collector and no Prometheus.
    pub endpoint: String,
    /// Seconds between two messages with figures.
    pub figures_every_s: u32,
    /// The way of one record in so many is told; 0: of none.
    pub trace_one_in: u64,
}

impl Default for RawOtlp {
    fn default() -> Self {
        Self { endpoint: String::new(), figures_every_s: 15, trace_one_in: 1_000 }
    }
}

impl RawOtlp {
    pub(super) fn settings(&self) -> Result<Option<Settings>, ConfigError> {
        if self.endpoint.is_empty() {
            return Ok(None);
        }
        let refused = |words: String| Err(ConfigError::Value(format!("otlp.{words}")));
        let endpoint = self.endpoint.trim_end_matches('/');
        match url::Url::parse(endpoint) {
            Ok(url) if url.scheme() == "http" && url.host().is_some() => {}
            Ok(url) if url.scheme() == "https" => {
                return refused(format!(
                    "endpoint: {endpoint:?}: TLS is the collector's business: name one on this machine or a network you trust, http://…:4318"
                ));
            }
            _ => {
                return refused(format!(
                    "endpoint: {endpoint:?} is no address of a collector: write http://127.0.0.1:4318"
                ));
            }
        }
        if self.figures_every_s == 0 {
            return refused("figures_every_s: must be 1 or more".into());
        }
        Ok(Some(Settings {
            endpoint: endpoint.to_owned(),
            figures_every: Duration::from_secs(self.figures_every_s.into()),
            trace_one_in: self.trace_one_in,
        }))
    }
}
