//! What simulated devices measure: a physical model each, as a pure function of (seed, device, time).
//!
//! Nothing is integrated and nothing is kept, so a reading can be computed again when the server is asked for it.
//! What a sensor would round, [`crate::device`] rounds.

mod battery;
mod cycle;
mod machine;
mod meter;
mod motor;
mod roads;
mod simple;
mod thermal;
mod vehicle;

use clap::ValueEnum;

use crate::anomaly::{Fault, Illness};
use crate::random::unit;

/// Which device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum Kind {
    /// All of the following but `simple`, in turn
    #[default]
    Mixed,
    /// A vehicle on a road network: position, speed, heading, odometer, fuel, coolant
    Vehicle,
    /// A cold store or a heated room: temperature, humidity, compressor, door
    Thermal,
    /// An electric motor: vibration, speed, current, temperatures, load
    Motor,
    /// An electricity meter: a counter that only rises, power, voltage, current
    Meter,
    /// A battery pack: voltage, current, state of charge, the weakest cell
    Battery,
    /// A server: processor, memory, disk, load, network
    Machine,
    /// Eight quantities without a story, and as many more as wanted: for load
    Simple,
}

impl Kind {
    /// The six that `mixed` gives out in turn.
    pub const STORIES: [Self; 6] =
        [Self::Vehicle, Self::Thermal, Self::Motor, Self::Meter, Self::Battery, Self::Machine];

    /// How many quantities `simple` has before they come again.
    pub(crate) const SIMPLE_CHANNELS: usize = simple::CHANNELS.len();

    /// What device number `device` of a fleet of this kind is.
    #[must_use]
    pub const fn of(self, device: u32) -> Self {
        match self {
            Self::Mixed => Self::STORIES[device as usize % Self::STORIES.len()],
            other => other,
        }
    }

    /// Its name on the command line, and for `{kind}` in topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Vehicle => "vehicle",
            Self::Thermal => "thermal",
            Self::Motor => "motor",
            Self::Meter => "meter",
            Self::Battery => "battery",
            Self::Machine => "machine",
            Self::Simple => "simple",
        }
    }

    /// What its story measures, the most telling first; `Simple` has none, and of `Mixed` ask [`Kind::of`].
    #[must_use]
    pub const fn channels(self) -> &'static [Channel] {
        match self {
            Self::Vehicle => &vehicle::CHANNELS,
            Self::Thermal => &thermal::CHANNELS,
            Self::Motor => &motor::CHANNELS,
            Self::Meter => &meter::CHANNELS,
            Self::Battery => &battery::CHANNELS,
            Self::Machine => &machine::CHANNELS,
            Self::Simple | Self::Mixed => &[],
        }
    }

    /// The fault that only this kind has.
    #[must_use]
    pub const fn own_fault(self) -> Option<Fault> {
        match self {
            Self::Thermal => Some(Fault::DoorLeftOpen),
            Self::Motor => Some(Fault::BearingWear),
            Self::Meter => Some(Fault::MeterBackwards),
            Self::Battery => Some(Fault::CellFailing),
            Self::Vehicle | Self::Machine | Self::Simple | Self::Mixed => None,
        }
    }
}

/// What a channel's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A measured quantity.
    Number,
    /// A counter: it rises, or stays.
    Counter,
    /// 0 or 1, or a setting: sensors of these neither drift nor stick.
    State,
    /// Two values, degrees of latitude and longitude, sent as one location.
    Location,
}

/// A metric of a kind of device, and the sensor that measures it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// The metric's name; it ends in its unit where that does not go without saying.
    pub name: &'static str,
    /// What it is measured in.
    pub unit: &'static str,
    /// Digits after the point that the sensor gives.
    pub decimals: u32,
    /// A sound device does not measure less.
    pub low: f64,
    /// A sound device does not measure more.
    pub high: f64,
    /// What its values are.
    pub form: Form,
}

impl Channel {
    /// How many values it takes in a sample.
    #[must_use]
    pub const fn slots(&self) -> usize {
        match self.form {
            Form::Location => 2,
            _ => 1,
        }
    }
}

const fn channel(name: &'static str, unit: &'static str, decimals: u32, low: f64, high: f64) -> Channel {
    Channel { name, unit, decimals, low, high, form: Form::Number }
}

const fn state(name: &'static str, unit: &'static str, decimals: u32, low: f64, high: f64) -> Channel {
    Channel { name, unit, decimals, low, high, form: Form::State }
}

const fn counter(name: &'static str, unit: &'static str, decimals: u32) -> Channel {
    Channel { name, unit, decimals, low: 0.0, high: 1e9, form: Form::Counter }
}

/// The most values that a model gives at once.
pub(crate) const SLOTS: usize = 8;

/// A device's physics.
#[derive(Debug)]
pub(crate) enum Model {
    Vehicle(Box<vehicle::Vehicle>),
    Thermal(thermal::Thermal),
    Motor(motor::Motor),
    Meter(meter::Meter),
    Battery(battery::Battery),
    Machine(machine::Machine),
}

impl Model {
    /// The story of a kind, if it has one; `own` is what tells the device from all others.
    pub(crate) fn new(kind: Kind, own: u64) -> Option<Self> {
        match kind {
            Kind::Vehicle => Some(Self::Vehicle(Box::new(vehicle::Vehicle::new(own)))),
            Kind::Thermal => Some(Self::Thermal(thermal::Thermal::new(own))),
            Kind::Motor => Some(Self::Motor(motor::Motor::new(own))),
            Kind::Meter => Some(Self::Meter(meter::Meter::new(own))),
            Kind::Battery => Some(Self::Battery(battery::Battery::new(own))),
            Kind::Machine => Some(Self::Machine(machine::Machine::new(own))),
            Kind::Simple | Kind::Mixed => None,
        }
    }

    /// What is there at `at_ms`, milliseconds since the epoch, before any sensor has rounded it: a value for each
    /// slot of the kind's channels.
    pub(crate) fn sample(&self, at_ms: i64, illness: Option<&Illness>, out: &mut [f64; SLOTS]) {
        match self {
            Self::Vehicle(vehicle) => vehicle.sample(at_ms, out),
            Self::Thermal(thermal) => thermal.sample(at_ms, illness, out),
            Self::Motor(motor) => motor.sample(at_ms, illness, out),
            Self::Meter(meter) => meter.sample(at_ms, illness, out),
            Self::Battery(battery) => battery.sample(at_ms, illness, out),
            Self::Machine(machine) => machine.sample(at_ms, out),
        }
    }
}

/// What metric number `index` of a device measures that is not of its kind's story: all of `simple`, and those of
/// other kinds that go beyond their channels.
pub(crate) fn further(own: u64, index: usize, at_ms: i64) -> f64 {
    simple::one(own, index, at_ms)
}

/// The sensor of such a metric.
pub(crate) fn further_channel(index: usize) -> Channel {
    simple::CHANNELS[index % simple::CHANNELS.len()]
}

/// A number between `low` and `high` that a device has for life; `salt` tells its traits apart.
fn character(own: u64, salt: u64, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(own ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}
