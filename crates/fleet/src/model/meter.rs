//! An electricity meter.
//!
//! ```text
//! power   P = P₀·(1 + 0.45·cos(2π(h − 18)/24) + 0.15·cos(4π(h − 8)/24) + 0.2·cos(2π(d − 2.5)/7))
//! energy  W = ∫ P dt since 2020-01-01, in closed form               kWh; the sum of the amplitudes is under 1: it only rises
//! shown   P·(1 + 0.03·noise);  I = P / (U·cos φ)
//! ```
//!
//! P₀ is 0.5 to 4 kW, d the day of the week from Monday. **Running backwards**: from the beginning of the fault the
//! counter falls by as much as it should rise, and power and current are negative; put right, it shows what it should.

use std::f64::consts::TAU;

use super::cycle::{DAY_MS, HOUR_MS, Local, MINUTE_MS, SECOND_MS};
use super::{Channel, SLOTS, channel, character, counter};
use crate::anomaly::Illness;
use crate::random::smooth;

pub(super) const CHANNELS: [Channel; 6] = [
    counter("energy_kwh", "kWh", 3),
    channel("power_w", "W", 0, 50.0, 7_600.0),
    channel("voltage", "V", 1, 225.0, 235.0),
    channel("current_a", "A", 2, 0.2, 40.0),
    channel("frequency_hz", "Hz", 2, 49.9, 50.1),
    channel("power_factor", "", 2, 0.85, 1.0),
];

/// 2020-01-01: meters were installed then.
const INSTALLED_MS: f64 = 1_577_836_800_000.0;

#[derive(Debug)]
pub(crate) struct Meter {
    own: u64,
    mean_w: f64,
    shift_h: f64,
}

/// A part of the load: how much of the mean, how long, and when it is at its most, hours since the epoch.
const WAVES: [(f64, f64, f64); 3] = [(0.45, 24.0, 18.0), (0.15, 12.0, 8.0), (0.2, 168.0, 156.0)];

impl Meter {
    pub(super) fn new(own: u64) -> Self {
        Self { own, mean_w: character(own, 1, 500.0, 4_000.0), shift_h: character(own, 2, -1.0, 1.0) }
    }

    pub(super) fn sample(&self, at_ms: i64, illness: Option<&Illness>, out: &mut [f64; SLOTS]) {
        let at = at_ms as f64;
        let local = Local::new(at_ms, self.shift_h);
        let mut energy = self.energy_kwh(local);
        let mut power = self.power_w(local) * (1.0 + 0.03 * smooth(self.own ^ 3, at / (10.0 * SECOND_MS)));
        if let Some(illness) = illness {
            let began = self.energy_kwh(Local::new(illness.from_ms, self.shift_h));
            energy = 2.0 * began - energy;
            power = -power;
        }
        let voltage =
            230.0 + 2.5 * smooth(self.own ^ 4, at / HOUR_MS) + 0.5 * smooth(self.own ^ 5, at / SECOND_MS);
        let factor = 0.93 + 0.05 * smooth(self.own ^ 6, at / (5.0 * MINUTE_MS));
        out[0] = energy;
        out[1] = power;
        out[2] = voltage;
        out[3] = power / (voltage * factor);
        // The grid is one: every meter sees the same.
        out[4] = 50.0 + 0.04 * smooth(7, at / MINUTE_MS) + 0.02 * smooth(8, at / (7.0 * SECOND_MS));
        out[5] = factor;
    }

    fn power_w(&self, local: Local) -> f64 {
        let hours = local.ms / HOUR_MS;
        let waves: f64 =
            WAVES.iter().map(|(size, period, peak)| size * turn(hours - peak, *period).cos()).sum();
        self.mean_w * (1.0 + waves)
    }

    /// The integral of [`Self::power_w`].
    fn energy_kwh(&self, local: Local) -> f64 {
        let hours = local.ms / HOUR_MS;
        let waves: f64 = WAVES
            .iter()
            .map(|(size, period, peak)| size * period / TAU * turn(hours - peak, *period).sin())
            .sum();
        // A day's head start, so that the first hours are not negative.
        let since_h = (local.ms - INSTALLED_MS + 7.0 * DAY_MS) / HOUR_MS;
        self.mean_w / 1000.0 * (since_h + waves)
    }
}

fn turn(hours: f64, period_h: f64) -> f64 {
    (hours / period_h).rem_euclid(1.0) * TAU
}
