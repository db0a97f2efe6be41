//! A pack of 14 cells and 100 Ah that works by day and is charged from 22 to 5 o'clock.
//!
//! ```text
//! by day    s = 1 − (1 − s_low)·(φ − 0.6·sin(2πφ)/2π)              φ = (h − 5)/17; s_low 0.25 to 0.45
//! at night  s = s_low + (1 − s_low)·(1 − e^(−3y))/(1 − e^(−3))      y = (h − 22)/7
//! current   I = −100 Ah·ds/dt, by day times 1 + 0.5·noise          A; positive when it gives
//! cell      E = 3.30 + 0.60·s + 0.25·s⁴ − 0.30·e^(−15 s)           V at rest
//! pack      U = 14·E − I·R,  R = R_25·(1 + 0.01·(25 − T))          the voltage sags with the load
//! warmth    T = 22 + 4·cos(2π(h − 15)/24) + 0.01·I²                °C
//! ```
//!
//! **A cell failing**: its voltage falls by 0.7 V·x and the pack's resistance grows by 150 %·x over the fault's course x.

use std::f64::consts::TAU;

use super::cycle::{Local, MINUTE_MS};
use super::{Channel, SLOTS, channel, character};
use crate::anomaly::Illness;
use crate::random::smooth;

pub(super) const CHANNELS: [Channel; 6] = [
    channel("voltage", "V", 2, 44.0, 60.0),
    channel("current_a", "A", 2, -40.0, 20.0),
    channel("soc_pct", "%", 1, 20.0, 100.0),
    channel("temperature", "°C", 1, 15.0, 40.0),
    channel("cell_min_v", "V", 3, 3.1, 4.3),
    channel("resistance_mohm", "mΩ", 1, 15.0, 45.0),
];

const CELLS: f64 = 14.0;
const CAPACITY_AH: f64 = 100.0;
const DAY_BEGINS_H: f64 = 5.0;
const DAY_LASTS_H: f64 = 17.0;
const NIGHT_LASTS_H: f64 = 7.0;

#[derive(Debug)]
pub(crate) struct Battery {
    own: u64,
    low: f64,
    resistance_ohm: f64,
    /// How far the weakest cell is under the mean.
    spread_v: f64,
    shift_h: f64,
}

impl Battery {
    pub(super) fn new(own: u64) -> Self {
        Self {
            own,
            low: character(own, 1, 0.25, 0.45),
            resistance_ohm: character(own, 2, 0.020, 0.038),
            spread_v: character(own, 3, 0.004, 0.020),
            shift_h: character(own, 4, -1.0, 1.0),
        }
    }

    pub(super) fn sample(&self, at_ms: i64, illness: Option<&Illness>, out: &mut [f64; SLOTS]) {
        let local = Local::new(at_ms, self.shift_h);
        let (charge, current) = self.charge(local);
        let warmth = 22.0 + 4.0 * local.daily(15.0) + 0.01 * current * current;
        let failed = illness.map_or(0.0, |illness| illness.progress);
        let resistance = self.resistance_ohm * (1.0 + 0.01 * (25.0 - warmth)) * (1.0 + 1.5 * failed);
        let cell = 3.30 + 0.60 * charge + 0.25 * charge.powi(4) - 0.30 * (-15.0 * charge).exp();
        let lost = 0.7 * failed;
        out[0] = CELLS * cell - current * resistance - lost;
        out[1] = current;
        out[2] = charge * 100.0;
        out[3] = warmth;
        out[4] = cell - current * resistance / CELLS - self.spread_v - lost;
        out[5] = resistance * 1000.0;
    }

    /// The state of charge, 0 to 1, and the current, amperes.
    fn charge(&self, local: Local) -> (f64, f64) {
        let span = 1.0 - self.low;
        let hour = (local.hour - DAY_BEGINS_H).rem_euclid(24.0);
        if hour < DAY_LASTS_H {
            let turn = hour / DAY_LASTS_H * TAU;
            let used = (turn - 0.6 * turn.sin()) / TAU;
            let mean = CAPACITY_AH * span / DAY_LASTS_H * (1.0 - 0.6 * turn.cos());
            return (1.0 - span * used, mean * (1.0 + 0.5 * smooth(self.own ^ 5, local.ms / MINUTE_MS)));
        }
        let y = (hour - DAY_LASTS_H) / NIGHT_LASTS_H;
        let whole = 1.0 - (-3.0f64).exp();
        let filled = (1.0 - (-3.0 * y).exp()) / whole;
        let current = -CAPACITY_AH * span * 3.0 * (-3.0 * y).exp() / (NIGHT_LASTS_H * whole);
        (self.low + span * filled, current)
    }
}
