//! What simulated devices measure: simple physics as pure functions of time, quantised as sensors quantise.
//!
//! Every value depends on (seed, device, metric, time) alone, so a reading can be computed again when the server
//! is asked for it, without keeping what was sent.

use std::f64::consts::TAU;
use std::fmt::Write as _;

use crate::random::{mix, smooth, unit};

const DAY_MS: f64 = 86_400_000.0;

/// A physical quantity and how it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Follows the day with a lag, plus slow weather and fast noise.
    Thermal,
    /// Moves against the temperature.
    Humidity,
    /// A load that follows the day and switches.
    Power,
    /// The sum of a load over time: only ever rises.
    Meter,
    /// Mains: tight around its nominal value.
    Voltage,
    /// Falls slowly, rises fast: charged once in a few days.
    Battery,
    /// Slow weather.
    Pressure,
    /// Radio: a level per site and noise.
    Signal,
}

/// Name, kind, decimals of the first eight metrics; later ones repeat them with a number.
const KINDS: [(&str, Kind, u32); 8] = [
    ("temperature", Kind::Thermal, 1),
    ("humidity", Kind::Humidity, 0),
    ("power_w", Kind::Power, 1),
    ("energy_kwh", Kind::Meter, 2),
    ("voltage", Kind::Voltage, 1),
    ("battery", Kind::Battery, 0),
    ("pressure_hpa", Kind::Pressure, 1),
    ("rssi_dbm", Kind::Signal, 0),
];

/// A metric of a device: its name and what it takes to compute it.
#[derive(Debug, Clone)]
pub struct Metric {
    name: String,
    kind: Kind,
    decimals: u32,
    salt: u64,
}

/// A quantised value: `scaled / 10^decimals`, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantised {
    /// The value times ten to the `decimals`.
    pub scaled: i64,
    /// Digits after the point.
    pub decimals: u32,
}

impl Quantised {
    /// The number that the decimal text of this value parses to.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.scaled as f64 / 10f64.powi(self.decimals as i32)
    }

    fn write(self, out: &mut String) {
        let unit = 10u64.pow(self.decimals);
        let (sign, size) = (if self.scaled < 0 { "-" } else { "" }, self.scaled.unsigned_abs());
        let width = self.decimals as usize;
        // Writing to a String cannot fail.
        let _ = match width {
            0 => write!(out, "{sign}{size}"),
            _ => write!(out, "{sign}{}.{:0width$}", size / unit, size % unit),
        };
    }
}

/// The metrics of a device that reports `count` of them.
#[must_use]
pub fn metrics(count: usize) -> Vec<Metric> {
    (0..count)
        .map(|index| {
            let (base, kind, decimals) = KINDS[index % KINDS.len()];
            let round = index / KINDS.len();
            let name = if round == 0 { base.to_owned() } else { format!("{base}_{}", round + 1) };
            Metric { name, kind, decimals, salt: mix(index as u64) }
        })
        .collect()
}

impl Metric {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What device number `device` of the fleet `seed` measures at `at_ms` (milliseconds since the epoch).
    #[must_use]
    pub fn at(&self, seed: u64, device: u32, at_ms: i64) -> Quantised {
        let own = mix(seed ^ mix(u64::from(device)) ^ self.salt);
        let value = self.kind.at(own, at_ms as f64);
        let scaled = (value * 10f64.powi(self.decimals as i32)).round() as i64;
        Quantised { scaled, decimals: self.decimals }
    }
}

impl Kind {
    fn at(self, own: u64, at_ms: f64) -> f64 {
        let character = |salt: u64| unit(own ^ salt);
        // Each device lives in its own hour, so that a fleet does not breathe in step.
        let day = (at_ms / DAY_MS + character(1)) * TAU;
        let slow = smooth(own ^ 2, at_ms / 3_600_000.0);
        let fast = smooth(own ^ 3, at_ms / 20_000.0);
        match self {
            Self::Thermal => 18.0 + 8.0 * character(4) + 5.0 * day.sin() + 2.0 * slow + 0.2 * fast,
            Self::Humidity => (55.0 - 15.0 * day.sin() + 10.0 * slow + fast).clamp(0.0, 100.0),
            Self::Power => {
                let running = smooth(own ^ 5, at_ms / 900_000.0) > -0.3;
                if running { 400.0 + 300.0 * character(6) + 120.0 * day.sin() + 15.0 * fast } else { 2.5 }
            }
            Self::Meter => {
                // The integral of a load that follows the day: closed form, and never falling.
                let days = at_ms / DAY_MS - 19_000.0;
                (4.0 + 8.0 * character(7)) * (days - 0.8 * day.cos() / TAU)
            }
            Self::Voltage => 230.0 + 2.5 * slow + 0.6 * fast,
            Self::Battery => {
                let cycle_ms = DAY_MS * (2.0 + 3.0 * character(8));
                let at = (at_ms / cycle_ms + character(9)).fract();
                if at < 0.95 { 100.0 - 80.0 * at / 0.95 } else { 20.0 + 80.0 * (at - 0.95) / 0.05 }
            }
            Self::Pressure => 1013.0 + 12.0 * smooth(own ^ 10, at_ms / (DAY_MS / 2.0)) + 0.3 * fast,
            Self::Signal => -70.0 - 25.0 * character(11) + 3.0 * fast,
        }
    }
}

/// Appends the telemetry of a device at a moment: `{"ts":…,"metrics":{…}}`, one object for all its metrics.
pub fn write_telemetry(out: &mut String, metrics: &[Metric], seed: u64, device: u32, at_ms: i64) {
    let _ = write!(out, "{{\"ts\":{at_ms},\"metrics\":{{");
    for (index, metric) in metrics.iter().enumerate() {
        out.push_str(if index == 0 { "\"" } else { ",\"" });
        out.push_str(metric.name());
        out.push_str("\":");
        metric.at(seed, device, at_ms).write(out);
    }
    out.push_str("}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 1_760_000_000_000;

    #[test]
    fn values_are_pure_and_text_parses_to_the_same_number() {
        let metrics = metrics(20);
        let mut text = String::new();
        write_telemetry(&mut text, &metrics, 7, 3, NOON_MS);
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
        assert_eq!(parsed["ts"], NOON_MS);
        for metric in &metrics {
            let expected = metric.at(7, 3, NOON_MS).to_f64();
            assert_eq!(parsed["metrics"][metric.name()].as_f64(), Some(expected), "{}", metric.name());
        }
    }

    #[test]
    fn meters_never_fall_and_batteries_stay_in_range() {
        let metrics = metrics(8);
        for device in 0..20 {
            let mut last = i64::MIN;
            for step in 0..2_000 {
                let at = NOON_MS + step * 60_000;
                let meter = metrics[3].at(1, device, at).scaled;
                assert!(meter >= last, "device {device} step {step}");
                last = meter;
                assert!((0..=100).contains(&metrics[5].at(1, device, at).scaled));
            }
        }
    }

    #[test]
    fn small_negative_values_keep_their_sign() {
        let mut out = String::new();
        Quantised { scaled: -5, decimals: 1 }.write(&mut out);
        assert_eq!(out, "-0.5");
    }
}
