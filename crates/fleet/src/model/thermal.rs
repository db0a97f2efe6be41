//! A cold store or a heated room.
//!
//! ```text
//! outside  T_o = 8 + 6·cos(2π(h − 15)/24) + 4·weather            °C; a cold store stands in a hall: T_s = 20 + 0.3·(T_o − 8)
//! duty     d   = |T_s − set| / 32, 0.15 to 0.85                  share of the cycle that the compressor runs
//! cycle    T   = set ± band·(1 − e^(−2y))/(1 − e^(−2))            first order towards each end of the band, y through either part
//! door     T  += 0.3·(T_s − set)·(1 − e^(−t/2 min)), decaying with 5 min once it is shut
//! ```
//!
//! The door opens now and then from 6 to 20 o'clock for 20 to 90 s. **Door left open**: T goes for 80 % of the way to
//! T_s, as 1 − e^(−3x) of the fault's course, while the compressor does not stop.

use super::cycle::{HOUR_MS, Local, MINUTE_MS, SECOND_MS, phase};
use super::{Channel, SLOTS, channel, character, state};
use crate::anomaly::Illness;
use crate::random::{mix, smooth, unit};

pub(super) const CHANNELS: [Channel; 7] = [
    channel("temperature", "°C", 1, -2.0, 30.0),
    channel("humidity", "%", 0, 20.0, 100.0),
    state("compressor", "0/1", 0, 0.0, 1.0),
    channel("power_w", "W", 0, 0.0, 2_000.0),
    channel("outside_temperature", "°C", 1, -5.0, 30.0),
    state("setpoint", "°C", 1, 2.0, 23.0),
    state("door_open", "0/1", 0, 0.0, 1.0),
];

/// The door is opened once at most in such a stretch.
const DOOR_SLOT_MS: f64 = 10.0 * MINUTE_MS;

#[derive(Debug)]
pub(crate) struct Thermal {
    own: u64,
    cold: bool,
    set: f64,
    band: f64,
    period_ms: f64,
    offset: f64,
    shift_h: f64,
    running_w: f64,
}

impl Thermal {
    pub(super) fn new(own: u64) -> Self {
        let cold = unit(own ^ 1) < 0.6;
        let set = if cold { character(own, 2, 3.0, 6.0) } else { character(own, 2, 20.0, 22.0) };
        Self {
            own,
            cold,
            set: (set * 2.0).round() / 2.0,
            band: if cold { 1.0 } else { 0.6 },
            period_ms: character(own, 3, 20.0, 40.0) * MINUTE_MS,
            offset: character(own, 4, 0.0, 1.0),
            shift_h: character(own, 5, -1.0, 1.0),
            running_w: character(own, 6, 700.0, 1_500.0),
        }
    }

    pub(super) fn sample(&self, at_ms: i64, illness: Option<&Illness>, out: &mut [f64; SLOTS]) {
        let at = at_ms as f64;
        let local = Local::new(at_ms, self.shift_h);
        let outside = 8.0 + 6.0 * local.daily(15.0) + 4.0 * smooth(self.own ^ 7, at / (6.0 * HOUR_MS));
        let around = if self.cold { 20.0 + 0.3 * (outside - 8.0) } else { outside };
        let duty = ((around - self.set).abs() / 32.0).clamp(0.15, 0.85);
        let (mut running, saw) = self.cycle(phase(at, self.period_ms, self.offset), duty);
        let (mut door, lift) = self.door(local);
        let mut temperature = self.set + self.band * saw + lift * (around - self.set);
        if let Some(illness) = illness {
            (running, door) = (true, true);
            temperature += 0.8 * (around - self.set) * (1.0 - (-3.0 * illness.progress).exp());
        }
        temperature += 0.06 * smooth(self.own ^ 8, at / (20.0 * SECOND_MS));
        let noise = smooth(self.own ^ 9, at / MINUTE_MS);
        let dry = if self.cold { 84.0 - 4.0 * saw } else { 45.0 + 8.0 * smooth(self.own ^ 10, at / HOUR_MS) };
        out[0] = temperature;
        out[1] = dry + 2.0 * noise + if door { 6.0 } else { 0.0 };
        out[2] = f64::from(u8::from(running));
        out[3] = if running { self.running_w + 12.0 * noise } else { 35.0 + noise };
        out[4] = outside;
        out[5] = self.set;
        out[6] = f64::from(u8::from(door));
    }

    /// Whether the compressor runs, and where in its band the temperature is, −1 to 1.
    fn cycle(&self, phase: f64, duty: f64) -> (bool, f64) {
        let course = |y: f64| 2.0 * (1.0 - (-2.0 * y).exp()) / (1.0 - (-2.0f64).exp()) - 1.0;
        let running = phase < duty;
        let way = if running { course(phase / duty) } else { -course((phase - duty) / (1.0 - duty)) };
        // A compressor cools a cold store and heats a room.
        (running, if self.cold { -way } else { way })
    }

    /// Whether the door is open, and for how much of the way to the surroundings it has let the temperature go.
    fn door(&self, local: Local) -> (bool, f64) {
        let slot = (local.ms / DOOR_SLOT_MS).floor();
        let (mut open, mut lift) = (false, 0.0);
        // An opening of three slots ago has decayed to a hundredth.
        for back in 0..4 {
            let begin_ms = (slot - f64::from(back)) * DOOR_SLOT_MS;
            let luck = self.own ^ mix(begin_ms as i64 as u64);
            let hour = Local::new(begin_ms as i64, 0.0).hour;
            if !(6.0..20.0).contains(&hour) || unit(luck) > 0.3 {
                continue;
            }
            let opened_ms = begin_ms + 5.0 * MINUTE_MS * unit(luck ^ 1);
            let stays_ms = (20.0 + 70.0 * unit(luck ^ 2)) * SECOND_MS;
            let since_ms = local.ms - opened_ms;
            if since_ms > 0.0 {
                open |= since_ms < stays_ms;
                let shut_ms = (since_ms - stays_ms).max(0.0);
                let rise = 1.0 - (-since_ms.min(stays_ms) / (2.0 * MINUTE_MS)).exp();
                lift += 0.3 * rise * (-shut_ms / (5.0 * MINUTE_MS)).exp();
            }
        }
        (open, lift)
    }
}
