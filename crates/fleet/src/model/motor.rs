//! An electric motor of four poles at 50 Hz.
//!
//! ```text
//! shift      f = 0.8 + 0.2·cos(2π(h − 13)/24), at weekends times 0.6
//! load       ℓ = f·(0.15 in the first fifth of a cycle of 6 to 12 min, else 0.75 + 0.15·noise)
//! speed      n = 1 492 − 42·ℓ                                        1/min
//! current    I = 8 + 22·ℓ                                            A
//! bearing    T = 32 + 3·cos(2π(h − 15)/24) + 22·f                    °C; it follows the shift, not the cycle
//! winding    T = 38 + 3·cos(…) + 38·f + 4·ℓ                          °C
//! vibration  v = v₀ + 0.8·ℓ + 0.12·noise                             mm/s, v₀ 0.9 to 1.5
//! ```
//!
//! **Bearing wear**: the vibration times 1 + 3·x², the bearing warmer by 18 °C·x over the fault's course x.

use super::cycle::{Local, MINUTE_MS, SECOND_MS, phase};
use super::{Channel, SLOTS, channel, character};
use crate::anomaly::Illness;
use crate::random::{smooth, smoothstep};

pub(super) const CHANNELS: [Channel; 6] = [
    channel("vibration_mm_s", "mm/s", 2, 0.5, 3.0),
    channel("rpm", "1/min", 0, 1_430.0, 1_500.0),
    channel("current_a", "A", 1, 5.0, 32.0),
    channel("bearing_c", "°C", 1, 30.0, 65.0),
    channel("winding_c", "°C", 1, 40.0, 95.0),
    channel("load_pct", "%", 0, 0.0, 100.0),
];

/// The part of a cycle that it idles, and how long it takes to change.
const IDLE: f64 = 0.2;
const RAMP: f64 = 0.04;

#[derive(Debug)]
pub(crate) struct Motor {
    own: u64,
    period_ms: f64,
    offset: f64,
    shift_h: f64,
    rest_mm_s: f64,
}

impl Motor {
    pub(super) fn new(own: u64) -> Self {
        Self {
            own,
            period_ms: character(own, 1, 6.0, 12.0) * MINUTE_MS,
            offset: character(own, 2, 0.0, 1.0),
            shift_h: character(own, 3, -1.0, 1.0),
            rest_mm_s: character(own, 4, 0.9, 1.5),
        }
    }

    pub(super) fn sample(&self, at_ms: i64, illness: Option<&Illness>, out: &mut [f64; SLOTS]) {
        let at = at_ms as f64;
        let local = Local::new(at_ms, self.shift_h);
        let week = if local.weekday() < 5.0 { 1.0 } else { 0.6 };
        let shift = week * (0.8 + 0.2 * local.daily(13.0));
        let works = 0.75 + 0.15 * smooth(self.own ^ 5, at / (30.0 * SECOND_MS));
        let engaged = engaged(phase(at, self.period_ms, self.offset));
        let load = shift * (0.15 + (works - 0.15) * engaged);
        let noise = smooth(self.own ^ 6, at / (2.0 * SECOND_MS));
        let day = 3.0 * local.daily(15.0);
        let worn = illness.map_or(0.0, |illness| illness.progress);
        out[0] = (self.rest_mm_s + 0.8 * load + 0.12 * noise) * (1.0 + 3.0 * worn * worn);
        out[1] = 1_492.0 - 42.0 * load + 1.5 * noise;
        out[2] = 8.0 + 22.0 * load + 0.2 * noise;
        out[3] = 32.0 + day + 22.0 * shift + 0.4 * smooth(self.own ^ 7, at / MINUTE_MS) + 18.0 * worn;
        out[4] = 38.0 + day + 38.0 * shift + 4.0 * load;
        out[5] = 100.0 * load;
    }
}

/// 0 while it idles, 1 while it works, and between them without a jump.
fn engaged(phase: f64) -> f64 {
    let up = smoothstep(((phase - IDLE) / RAMP).clamp(0.0, 1.0));
    let down = smoothstep(((1.0 - phase) / RAMP).clamp(0.0, 1.0));
    up * down
}
