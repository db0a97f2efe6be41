//! `[stream]` of the configuration, as written and as checked.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, BudgetConfig};
use crate::settings::Settings;
use crate::window::{Plan, PlanError};
use crate::{clock, devices, sample, validate};

/// `[stream]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A live reading so far behind the newest of its partition is late, seconds.
    pub allowed_lateness_s: u32,
    /// A partition without live messages for so long lets time pass by the clock, seconds.
    pub idle_after_s: u32,
    /// Windows for every metric: sizes (`1m`), size and slide (`10m/1m`), `session` and a gap (`session 30s`), each with the
    /// number of readings from which on its results are kept (`1m at least 20`) or without.
    pub windows: Vec<String>,
    /// Windows for some metrics.
    pub window: Vec<Window>,
    /// Moments of a device whose keys are remembered; older ones are looked up in the store.
    pub recent_keys: usize,
    /// What the open windows of all partitions may take in memory, bytes. Beyond it windows are computed from the stored
    /// readings when they close.
    pub window_bytes: usize,
    /// Devices of all tenants that are remembered, some 2.3 KB each. What was used longest ago is forgotten: when it is
    /// heard again its state is asked of the store, and its open windows are computed from the stored readings.
    pub devices_in_memory: usize,
    /// Series of all tenants that are remembered, some 100 bytes each beside their open windows; likewise.
    pub series_in_memory: usize,
    /// How often the state is made durable, seconds: what a start after a crash has to do again at most.
    pub checkpoint_every_s: u32,
    /// Whether clean readings, with the facts of their devices, go into the topic `iot-telemetry-clean` for readers of
    /// their own. They double what is written to the log.
    pub clean: bool,
    /// What is done with clocks that are off.
    pub clock: clock::Config,
    /// How many devices and series a tenant may have.
    pub budget: BudgetConfig,
    /// What values of metrics may be.
    pub limit: Vec<validate::LimitConfig>,
    /// Metrics of which not every reading is kept.
    pub sample: Vec<sample::SampleConfig>,
}

/// By the minute what comes every three seconds or faster, and everything by five minutes: of fewer readings a result takes more
/// room than they do, and its 95th percentile is the largest of them.
const WINDOWS: [&str; 2] = ["1m at least 20", "5m"];

/// `[[stream.window]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// As in [`Config::windows`].
    pub window: String,
    /// Names of metrics, `*` for any characters.
    pub metrics: Vec<String>,
}

/// Why `[stream]` is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A window.
    #[error("stream.windows: {0}")]
    Window(#[from] PlanError),
    /// The clocks' rules.
    #[error("stream.clock.{0}")]
    Clock(#[from] clock::ConfigError),
    /// A limit on values.
    #[error("stream.{0}")]
    Limit(#[from] validate::LimitError),
    /// A sampling policy.
    #[error("stream.{0}")]
    Sample(#[from] sample::SampleError),
    /// A number.
    #[error("stream.{key}: {found} is not possible: write {wanted}")]
    Number {
        /// Which key.
        key: &'static str,
        /// What stands there.
        found: u64,
        /// What may.
        wanted: &'static str,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allowed_lateness_s: 30,
            idle_after_s: 30,
            windows: WINDOWS.map(String::from).into(),
            window: Vec::new(),
            recent_keys: crate::dedup::DEFAULT_KEYS,
            window_bytes: 2 << 30,
            devices_in_memory: devices::Limits::default().max_devices,
            series_in_memory: devices::Limits::default().max_series,
            checkpoint_every_s: 30,
            clean: false,
            clock: clock::Config::default(),
            budget: BudgetConfig::default(),
            limit: Vec::new(),
            sample: Vec::new(),
        }
    }
}

impl Config {
    /// Checks it.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and what to write.
    pub fn validate(&self) -> Result<Settings, ConfigError> {
        for (key, found, possible, wanted) in [
            ("allowed_lateness_s", u64::from(self.allowed_lateness_s), 0..=86_400, "0 to 86400"),
            ("idle_after_s", u64::from(self.idle_after_s), 1..=86_400, "1 to 86400"),
            ("checkpoint_every_s", u64::from(self.checkpoint_every_s), 1..=3600, "1 to 3600"),
            ("recent_keys", self.recent_keys as u64, 1..=65_536, "1 to 65536"),
            ("window_bytes", self.window_bytes as u64, 1 << 20..=1 << 50, "at least 1048576"),
            ("devices_in_memory", self.devices_in_memory as u64, 1000..=1 << 31, "1000 to 2147483648"),
            ("series_in_memory", self.series_in_memory as u64, 1000..=1 << 31, "1000 to 2147483648"),
        ] {
            if !possible.contains(&found) {
                return Err(ConfigError::Number { key, found, wanted });
            }
        }
        let nanos = |seconds: u32| i64::from(seconds) * 1_000_000_000;
        let everywhere: &[String] = &[];
        let windows = self.windows.iter().map(|window| (window.as_str(), everywhere));
        let some = self.window.iter().map(|window| (window.window.as_str(), window.metrics.as_slice()));
        let plan = Plan::parse(windows.chain(some))?;
        let settings = Settings {
            allowed_lateness_nanos: nanos(self.allowed_lateness_s),
            idle_after_nanos: nanos(self.idle_after_s),
            clock: clock::Rules::new(&self.clock)?,
            budget: Arc::new(Budget::new(self.budget.clone())),
            limits: validate::Limits::new(&self.limit)?,
            sampling: sample::Sampling::new(&self.sample)?,
            window_bytes: self.window_bytes,
            recent_keys: self.recent_keys,
            devices: devices::Limits {
                max_devices: self.devices_in_memory,
                max_series: self.series_in_memory,
                ..devices::Limits::default()
            },
            clean: self.clean,
            tick_every: Duration::from_millis(500),
            checkpoint_every: Duration::from_secs(u64::from(self.checkpoint_every_s)),
            plan: Arc::new(plan.clone()),
            window_names: Vec::new(),
            longest_window_nanos: 0,
        };
        Ok(settings.with_plan(plan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let default = Config::default();
        assert!(default.validate().is_ok());
        let wrong = [
            Config { idle_after_s: 0, ..default.clone() },
            Config { recent_keys: 0, ..default.clone() },
            Config { windows: vec!["7".into()], ..default.clone() },
            Config { clock: clock::Config { max_skew_s: 0, ..clock::Config::default() }, ..default.clone() },
        ];
        let told: Vec<String> =
            wrong.iter().map(|config| config.validate().unwrap_err().to_string()).collect();
        for (told, key) in told.iter().zip(["idle_after_s", "recent_keys", "windows", "clock.max_skew_s"]) {
            assert!(told.starts_with(&format!("stream.{key}")), "{told}");
        }
    }

    #[test]
    fn the_room_for_devices_and_series_is_what_is_written_shared_among_partitions() {
        let config = Config { devices_in_memory: 16_000, series_in_memory: 320_000, ..Config::default() };
        let settings = config.validate().expect("both are possible").per_partition(16);
        assert_eq!((settings.devices.max_devices, settings.devices.max_series), (1_250, 25_000));
        for config in [
            Config { devices_in_memory: 999, ..Config::default() },
            Config { series_in_memory: usize::MAX, ..Config::default() },
        ] {
            let refused = config.validate().expect_err("neither is possible").to_string();
            assert!(
                refused.contains("_in_memory") && refused.contains("write 1000 to 2147483648"),
                "{refused}"
            );
        }
    }
}
