//! Devices of a simulated fleet: a shape of the day, for some of them another one at weekends, noise, and values in steps.

use std::f64::consts::TAU;

use fastrand::Rng;
use record::Timestamp;

pub(crate) const MINUTES: i64 = 5;
pub(crate) const PER_HOUR: i64 = 60 / MINUTES;
pub(crate) const PER_DAY: i64 = 24 * PER_HOUR;

/// A device whose readings are healthy.
pub(crate) struct Device {
    level: f64,
    harmonics: [(f64, f64); 3],
    weekend: f64,
    /// The σ of its noise.
    pub(crate) noise: f64,
    /// How much of the noise stays until the next reading, from 0 to 1.
    memory: f64,
    quantum: f64,
    drift_per_day: f64,
    wander: f64,
    last: f64,
    rng: Rng,
}

/// What kind of noise a fleet has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Noise {
    /// Each reading's is its own.
    White,
    /// Four fifths stay until the next reading, and the level drifts.
    Wandering,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// One reading, 10 σ of the noise away.
    Spike,
    /// 5 σ for two days.
    Shift,
    /// To 8 σ within a day, and stays there for another.
    Drift,
    /// The same value for twelve hours.
    Stuck,
    /// Four times the noise for three hours.
    Burst,
    /// The mean of the day instead of its shape, for a day.
    Seasonless,
}

pub(crate) const FAULTS: [Fault; 6] =
    [Fault::Spike, Fault::Shift, Fault::Drift, Fault::Stuck, Fault::Burst, Fault::Seasonless];

impl Fault {
    /// How long it lasts, readings.
    pub(crate) fn lasts(self) -> i64 {
        match self {
            Self::Spike => 1,
            Self::Shift | Self::Drift => 2 * PER_DAY,
            Self::Stuck => PER_DAY / 2,
            Self::Burst => 3 * PER_HOUR,
            Self::Seasonless => PER_DAY,
        }
    }
}

impl Device {
    pub(crate) fn new(noise: Noise, number: u64) -> Self {
        let mut rng = Rng::with_seed(0x5eed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let amplitude = 1.0 + 9.0 * rng.f64();
        let harmonics = [1.0, 0.5, 0.3].map(|share| (share * amplitude * (0.5 + rng.f64()), TAU * rng.f64()));
        let weekend = if rng.u8(0..3) == 0 { 0.3 + 0.4 * rng.f64() } else { 1.0 };
        let wandering = noise == Noise::Wandering;
        Self {
            level: 20.0 + 80.0 * rng.f64(),
            harmonics,
            weekend,
            noise: amplitude * (0.05 + 0.25 * rng.f64()),
            memory: if wandering { 0.8 } else { 0.0 },
            quantum: [0.01, 0.1, 0.5][rng.usize(0..3)],
            drift_per_day: if wandering { amplitude * 0.02 * (rng.f64() - 0.5) } else { 0.0 },
            wander: 0.0,
            last: 0.0,
            rng,
        }
    }

    /// One of many that are alike but for their level.
    pub(crate) fn alike(noise: Noise, number: u64) -> Self {
        let own = Self::new(noise, number);
        Self { level: own.level, rng: own.rng, ..Self::new(noise, 0) }
    }

    /// The time of the `n`th reading. The first is on a Monday at midnight.
    pub(crate) fn at(n: i64) -> Timestamp {
        Timestamp::from_nanos((1_735_516_800 + n * MINUTES * 60) * 1_000_000_000)
    }

    /// The `n`th reading; with a fault, that many readings after it began.
    pub(crate) fn read(&mut self, n: i64, fault: Option<(Fault, i64)>) -> f64 {
        let day = n as f64 / PER_DAY as f64;
        let shape: f64 = self
            .harmonics
            .iter()
            .enumerate()
            .map(|(k, (size, phase))| size * (TAU * (k + 1) as f64 * day + phase).sin())
            .sum();
        let weekend = if day.rem_euclid(7.0) >= 5.0 { self.weekend } else { 1.0 };
        let own = self.normal() * self.noise * (1.0 - self.memory * self.memory).sqrt();
        self.wander = self.memory * self.wander + own;
        let seasonless = matches!(fault, Some((Fault::Seasonless, _)));
        let healthy = self.level + if seasonless { 0.0 } else { shape * weekend } + self.drift_per_day * day;
        let extra = match fault {
            Some((Fault::Spike, _)) => 10.0 * self.noise,
            Some((Fault::Shift, _)) => 5.0 * self.noise,
            Some((Fault::Drift, since)) => 8.0 * self.noise * (since as f64 / PER_DAY as f64).min(1.0),
            Some((Fault::Burst, _)) => 3.87 * self.noise * self.normal(),
            _ => 0.0,
        };
        if !matches!(fault, Some((Fault::Stuck, _))) {
            self.last = ((healthy + self.wander + extra) / self.quantum).round() * self.quantum;
        }
        self.last
    }

    /// By Box and Muller.
    fn normal(&mut self) -> f64 {
        let (a, b) = (1.0 - self.rng.f64(), self.rng.f64());
        (-2.0 * a.ln()).sqrt() * (TAU * b).cos()
    }
}
