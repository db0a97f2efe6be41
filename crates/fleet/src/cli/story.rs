//! What a run's devices went through, beside what the load counted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::anomaly::Fault;
use crate::cli::Format;
use crate::content::Devices;
use crate::device::Maker;
use crate::disorder::Disorder;
use crate::report::{Report, Stats};
use crate::rfc3339::rfc3339;

/// Faults of devices in a report, at most. A detector is judged on fewer; a run without an end has ever more.
const LISTED: usize = 100_000;
/// And in one for people.
const SHOWN: usize = 20;

/// A fault of a device, for judging detectors.
#[derive(Debug, Serialize)]
struct Found {
    device: String,
    kind: Fault,
    /// The metric whose sensor it is; none where the device itself is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    from_ms: i64,
    to_ms: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct Story {
    kind: &'static str,
    #[serde(skip)]
    protocol: &'static str,
    seed: u64,
    /// Readings in acknowledged messages.
    readings_acknowledged: u64,
    readings_per_second: f64,
    /// How often things went wrong on purpose. `skew` and `reset`: devices whose clock was off, and was reset.
    faults: BTreeMap<&'static str, u64>,
    anomalies: Vec<Found>,
}

impl Story {
    pub(super) fn of(devices: &Devices, count: usize, report: &Report, stats: &Stats) -> Self {
        let disorder = devices.disorder(report.began_ms);
        let ended_ms = report.began_ms + (report.seconds * 1e3) as i64;
        let mut faults = stats.faults.clone();
        let episodes = 0..=disorder.schedule.episode_at(ended_ms);
        let numbers = || 0..count as u32;
        let reset = |device: &u32| {
            let windows = episodes.clone().filter_map(|episode| disorder.reset(*device, episode));
            windows.into_iter().any(|window| window.from_ms < ended_ms)
        };
        let clocks = [
            ("skew", devices.faults.skew, numbers().filter(|n| disorder.skew_ms(*n) != 0).count()),
            ("reset", devices.faults.reset, numbers().filter(reset).count()),
        ];
        faults.extend(clocks.iter().filter(|clock| clock.1 > 0.0).map(|clock| (clock.0, clock.2 as u64)));
        Self {
            kind: devices.spec.kind.name(),
            protocol: report.protocol,
            seed: devices.spec.seed,
            readings_acknowledged: stats.readings,
            readings_per_second: stats.readings as f64 / report.seconds.max(1e-9),
            faults,
            anomalies: anomalies(devices, count, &disorder, ended_ms),
        }
    }

    /// Adds the story to a printed report.
    pub(super) fn join(&self, report: &str, format: Format) -> anyhow::Result<String> {
        if format == Format::Json {
            let mut whole: serde_json::Value = serde_json::from_str(report)?;
            whole["fleet"] = serde_json::to_value(self)?;
            return Ok(serde_json::to_string_pretty(&whole)?);
        }
        let mut lines = vec![format!(
            "{} devices over {}: {} readings acknowledged, {:.0}/s",
            self.kind, self.protocol, self.readings_acknowledged, self.readings_per_second
        )];
        if !self.faults.is_empty() {
            let each: Vec<_> = self.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
            lines.push(format!("went wrong on purpose: {}", each.join(", ")));
        }
        if !self.anomalies.is_empty() {
            lines.push(format!("to be found: {} faults of devices", self.anomalies.len()));
        }
        lines.extend(self.anomalies.iter().take(SHOWN).map(Found::line));
        if self.anomalies.len() > SHOWN {
            lines.push(format!("  and {} more; --format json lists them", self.anomalies.len() - SHOWN));
        }
        Ok(format!("{report}\n{}", lines.join("\n")))
    }
}

impl Found {
    fn line(&self) -> String {
        let of = self.metric.as_ref().map_or_else(String::new, |metric| format!(" ({metric})"));
        let (from, to) = (rfc3339(self.from_ms), rfc3339(self.to_ms));
        format!("  {} {}{of} from {from} to {to}", self.device, self.kind.name())
    }
}

fn anomalies(devices: &Devices, count: usize, disorder: &Disorder, ended_ms: i64) -> Vec<Found> {
    if devices.spec.anomalies <= 0.0 {
        return Vec::new();
    }
    let (maker, schedule) = (Maker::new(devices.spec), &disorder.schedule);
    let mut found = Vec::new();
    for number in 0..count as u32 {
        let device = maker.device(number);
        let all = (0..=schedule.episode_at(ended_ms)).filter_map(|n| device.anomaly(schedule, n));
        for anomaly in all.filter(|anomaly| anomaly.from_ms < ended_ms) {
            if found.len() == LISTED {
                return found;
            }
            found.push(Found {
                device: devices.name_of(number),
                kind: anomaly.fault,
                metric: anomaly.channel.map(|channel| device.shape().names()[channel].clone()),
                from_ms: anomaly.from_ms,
                to_ms: anomaly.to_ms,
            });
        }
    }
    found
}
