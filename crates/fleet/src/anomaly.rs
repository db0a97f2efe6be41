//! What goes wrong in devices, for detectors to find: who, what, from when to when.

use serde::Serialize;

use crate::model::{Channel, Form, Kind};
use crate::random::{mix, unit};
use crate::schedule::Schedule;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A motor's bearing: vibration and temperature rise.
    BearingWear,
    /// A sensor says what it said when the fault began.
    StuckSensor,
    /// A sensor's error grows to 30 % of its range.
    DriftingSensor,
    /// A cold store or a room takes the temperature of what is around it.
    DoorLeftOpen,
    /// A battery's cell loses voltage, the pack's resistance grows.
    CellFailing,
    /// A meter that is wired the wrong way round.
    MeterBackwards,
}

impl Fault {
    /// Its name, as in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BearingWear => "bearing_wear",
            Self::StuckSensor => "stuck_sensor",
            Self::DriftingSensor => "drifting_sensor",
            Self::DoorLeftOpen => "door_left_open",
            Self::CellFailing => "cell_failing",
            Self::MeterBackwards => "meter_backwards",
        }
    }
}

/// A fault of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomaly {
    /// What it is.
    pub fault: Fault,
    /// Which of the kind's channels has the sensor that sticks or drifts.
    pub channel: Option<usize>,
    /// When it begins and is put right, milliseconds since the epoch.
    pub from_ms: i64,
    /// The first moment that is sound again.
    pub to_ms: i64,
}

/// A device that may have a fault.
#[derive(Debug, Clone, Copy)]
pub struct Patient<'a> {
    /// What it is; not `Mixed`.
    pub kind: Kind,
    /// What tells it from all others.
    pub own: u64,
    /// The channels that it reports.
    pub sent: &'a [Channel],
}

/// What a model has to know of a fault of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Illness {
    pub(crate) from_ms: i64,
    /// How much of its course is over, 0 to 1.
    pub(crate) progress: f64,
}

impl Anomaly {
    /// The fault of a device in an episode, if it has one. `own` is what tells the device from others, `sent` the
    /// channels that it reports, `share` how many of all devices have a fault. It begins after 20 to 50 % of the
    /// episode and lasts for 25 to 40 %.
    #[must_use]
    pub fn of(device: Patient<'_>, share: f64, schedule: &Schedule, episode: i64) -> Option<Self> {
        let luck = mix(device.own ^ mix(!(episode as u64)));
        if share <= 0.0 || unit(luck) >= share {
            return None;
        }
        let from = 0.2 + 0.3 * unit(luck ^ 1);
        let window = schedule.window(episode, from, from + 0.25 + 0.15 * unit(luck ^ 2));
        let own = device.kind.own_fault();
        let sensor = sensor(device.sent, luck ^ 5);
        let (fault, channel) = match (own, sensor) {
            (Some(fault), None) => (fault, None),
            (Some(fault), Some(_)) if unit(luck ^ 3) < 0.5 => (fault, None),
            (_, Some(_)) if unit(luck ^ 4) < 0.5 => (Fault::StuckSensor, sensor),
            (_, Some(_)) => (Fault::DriftingSensor, sensor),
            (None, None) => return None,
        };
        Some(Self { fault, channel, from_ms: window.from_ms, to_ms: window.to_ms })
    }

    /// How much of its course is over, if it is there at a time.
    #[must_use]
    pub fn progress(&self, at_ms: i64) -> Option<f64> {
        let there = self.from_ms <= at_ms && at_ms < self.to_ms;
        there.then(|| (at_ms - self.from_ms) as f64 / (self.to_ms - self.from_ms).max(1) as f64)
    }
}

/// One of the channels that measure something, if any does.
fn sensor(channels: &[Channel], luck: u64) -> Option<usize> {
    let measures = |index: &usize| channels[*index].form == Form::Number;
    let able = (0..channels.len()).filter(measures).count();
    (0..channels.len()).filter(measures).nth((unit(luck) * able as f64) as usize)
}
