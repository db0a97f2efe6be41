//! The blackout: a fleet comes back at once, each device with all that it could not send.
//!
//! What is sent is a function of (device, set, metric), so that what must be found can be worked out for any of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fleet::random::{mix, unit};
use record::Value;

use crate::swarm::Outgoing;
use crate::truth::model::{Key, WindowKey};
use crate::truth::scenario::{Nanos, SECOND};
use crate::truth::windows::{Touches, WindowTruth};

/// What the devices bring back.
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    /// Devices.
    pub devices: u64,
    /// Sets of readings of each.
    pub sets: u64,
    /// From one set to the next.
    pub every: Nanos,
    /// Readings in a set.
    pub metrics: u64,
    /// Sets in a message.
    pub per_message: u64,
    /// When the last set was taken.
    pub ends_at: Nanos,
}

impl Backlog {
    /// Readings in all.
    #[must_use]
    pub fn readings(&self) -> u64 {
        self.devices * self.sets * self.metrics
    }

    /// Messages of a device.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.sets.div_ceil(self.per_message)
    }

    /// The device's name.
    #[must_use]
    pub fn name(device: u64) -> String {
        format!("off-{device}")
    }

    /// When a set was taken. Devices are not in step.
    #[must_use]
    pub fn time(&self, device: u64, set: u64) -> Nanos {
        let back = (self.sets - 1 - set) as i64 * self.every;
        let step = (mix(device) % (self.every / 1_000_000) as u64) as i64 * 1_000_000;
        self.ends_at - back - step
    }

    /// What was measured, with a tenth's resolution.
    #[must_use]
    pub fn value(device: u64, set: u64, metric: u64) -> f64 {
        (unit(mix(device) ^ mix(set << 8 | metric)) * 1000.0).round() / 10.0
    }

    /// Writes a device's message.
    pub fn write(&self, device: u64, message: u64, out: &mut Outgoing) {
        let _ = write!(out.topic, "devices/{}/telemetry", Self::name(device));
        let first = message * self.per_message;
        let sets = first..(first + self.per_message).min(self.sets);
        let payload = &mut String::from(if self.per_message > 1 { "[" } else { "" });
        for set in sets.clone() {
            let _ = write!(payload, "{{\"ts\":{},\"metrics\":{{", self.time(device, set) / 1_000_000);
            for metric in 0..self.metrics {
                let comma = if metric > 0 { "," } else { "" };
                let _ = write!(payload, "{comma}\"m{metric}\":{:?}", Self::value(device, set, metric));
            }
            payload.push_str(if set + 1 < sets.end { "}}," } else { "}}" });
        }
        payload.push_str(if self.per_message > 1 { "]" } else { "" });
        out.payload.extend_from_slice(payload.as_bytes());
    }

    /// The windows of a device.
    #[must_use]
    pub fn windows(&self, device: u64) -> BTreeMap<WindowKey, WindowTruth> {
        let mut rows = BTreeMap::new();
        for set in 0..self.sets {
            for metric in 0..self.metrics {
                let key = Key {
                    device: Self::name(device),
                    metric: format!("m{metric}"),
                    time: self.time(device, set),
                    seq: None,
                };
                rows.insert(key, Value::Float(Self::value(device, set, metric)));
            }
        }
        Touches::default().windows(&rows)
    }

    /// Its windows that end this long before the backlog did are over whatever the server does.
    #[must_use]
    pub fn is_over(&self, key: &WindowKey) -> bool {
        key.start + key.length + 60 * SECOND <= self.ends_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKLOG: Backlog = Backlog {
        devices: 2,
        sets: 3,
        every: SECOND,
        metrics: 2,
        per_message: 2,
        ends_at: 1_700_000_000 * SECOND,
    };

    #[test]
    fn messages_hold_all_sets() {
        let texts: Vec<_> = (0..BACKLOG.messages())
            .map(|message| {
                let mut out = Outgoing::default();
                BACKLOG.write(1, message, &mut out);
                assert_eq!(out.topic, "devices/off-1/telemetry");
                serde_json::from_slice::<serde_json::Value>(&out.payload).expect("JSON")
            })
            .collect();
        let sets: Vec<_> = texts.iter().flat_map(|text| text.as_array().expect("an array")).collect();
        assert_eq!(sets.len(), 3);
        for (set, said) in sets.iter().enumerate() {
            assert_eq!(said["ts"], BACKLOG.time(1, set as u64) / 1_000_000);
            assert_eq!(said["metrics"]["m1"], Backlog::value(1, set as u64, 1));
        }
        assert!(BACKLOG.time(1, 2) <= BACKLOG.ends_at && BACKLOG.time(1, 2) - BACKLOG.time(1, 1) == SECOND);
        assert_eq!(
            BACKLOG.windows(1).values().map(|window| window.values.len()).sum::<usize>(),
            2 * BACKLOG.readings() as usize / 2
        );
    }
}
