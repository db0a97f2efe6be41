//! How rules are evaluated, apart from what they say.

use std::sync::Arc;

use super::score::{Detectors, NoDetectors};
use crate::{Duration, limits};

/// How rules are evaluated, apart from what they say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How far behind the partition's watermark a reading may be, in event time, to be judged live.
    pub allowed_lateness: Duration,
    /// Most devices that are remembered.
    pub devices: usize,
    /// Most devices whose past is, for rules that judge it.
    pub past_devices: usize,
    /// Most that is kept of readings for windows, z-scores and detectors, bytes, live and past by themselves. Beyond it the devices heard
    /// least recently are forgotten.
    pub kept_bytes: usize,
    /// Most rules in the indexes of a tenant. Devices for which there is no room share one index of all rules.
    pub indexed_rules: usize,
    /// Whether windows that are new wait until somebody fills them with what was stored ([`super::Evaluator::fill`]).
    pub fills: bool,
    /// What `anomaly` asks.
    pub detectors: Arc<dyn Detectors>,
}

impl Default for Settings {
    /// A lateness of 10 seconds, the limits of [`limits`], no detectors, windows that begin empty.
    fn default() -> Self {
        Self {
            allowed_lateness: Duration::from_nanos(10_000_000_000),
            devices: limits::DEVICES,
            past_devices: limits::PAST_DEVICES,
            kept_bytes: limits::KEPT_BYTES,
            indexed_rules: limits::INDEXED_RULES,
            fills: false,
            detectors: Arc::new(NoDetectors),
        }
    }
}
