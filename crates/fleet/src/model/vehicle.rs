//! A vehicle that drives up and down a route of its own on the road network.
//!
//! ```text
//! way       s = v₀·(u + 0.45·sin(2πu/20 min)·20 min/2π + 0.35·sin(2πu/3 min)·3 min/2π)    v₀ 50 to 62 km/h
//! speed     v = v₀·(1 + 0.45·cos(…) + 0.35·cos(…)) while it drives, 0 while it rests
//! ```
//!
//! u is the time it has driven: 2 h, then 20 min of rest, from 2026-01-01 on. The place is the point at s on the
//! route, to a metre; the heading is the road's. Fuel falls over 900 km and is filled up; the coolant is 82 to 94 °C.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use super::cycle::{HOUR_MS, MINUTE_MS, SECOND_MS};
use super::roads::{Roads, Route};
use super::{Channel, Form, SLOTS, channel, character, counter};
use crate::random::smooth;

pub(super) const CHANNELS: [Channel; 6] = [
    Channel { name: "position", unit: "°", decimals: 5, low: 5.0, high: 55.0, form: Form::Location },
    channel("speed_kmh", "km/h", 1, 0.0, 115.0),
    channel("heading_deg", "°", 0, 0.0, 360.0),
    counter("odometer_km", "km", 1),
    channel("fuel_pct", "%", 1, 10.0, 95.0),
    channel("coolant_c", "°C", 1, 80.0, 96.0),
];

/// 2026-01-01: the vehicles were bought then.
const BOUGHT_MS: f64 = 1_767_225_600_000.0;
const DRIVES_MS: f64 = 2.0 * HOUR_MS;
const TURN_MS: f64 = DRIVES_MS + 20.0 * MINUTE_MS;
/// How the speed changes: the share of the mean, and the time it takes, milliseconds.
const WAVES: [(f64, f64); 2] = [(0.45, 20.0 * MINUTE_MS), (0.35, 3.0 * MINUTE_MS)];

/// A constant of the model, made once.
static ROADS: LazyLock<Roads> = LazyLock::new(Roads::default);

#[derive(Debug)]
pub(crate) struct Vehicle {
    own: u64,
    route: Route,
    mean_kmh: f64,
    offset_ms: f64,
    bought_km: f64,
    fuel: f64,
}

impl Vehicle {
    pub(super) fn new(own: u64) -> Self {
        Self {
            own,
            route: ROADS.route(own),
            mean_kmh: character(own, 1, 50.0, 62.0),
            offset_ms: character(own, 2, 0.0, TURN_MS),
            bought_km: character(own, 3, 0.0, 80_000.0).round(),
            fuel: character(own, 4, 0.0, 1.0),
        }
    }

    pub(super) fn sample(&self, at_ms: i64, out: &mut [f64; SLOTS]) {
        let at = at_ms as f64;
        let (driven_ms, drives) = self.driven(at - BOUGHT_MS + self.offset_ms);
        let (mut way_ms, mut pace) = (driven_ms, 1.0);
        for (size, period_ms) in WAVES {
            let turn = (driven_ms / period_ms).rem_euclid(1.0) * TAU;
            way_ms += size * turn.sin() * period_ms / TAU;
            pace += size * turn.cos();
        }
        let km = self.mean_kmh * way_ms / HOUR_MS;
        let place = ROADS.place(&self.route, km);
        out[0] = place.lat;
        out[1] = place.lng;
        out[2] = if drives { self.mean_kmh * pace } else { 0.0 };
        out[3] = place.heading;
        out[4] = self.bought_km + km;
        out[5] = 95.0 - 85.0 * (km / 900.0 + self.fuel).rem_euclid(1.0);
        out[6] = 88.0
            + 5.0 * smooth(self.own ^ 5, at / (10.0 * MINUTE_MS))
            + smooth(self.own ^ 6, at / (15.0 * SECOND_MS));
    }

    /// How long it has driven since it was bought, and whether it drives now.
    fn driven(&self, since_ms: f64) -> (f64, bool) {
        let in_turn_ms = since_ms.rem_euclid(TURN_MS);
        let turns = (since_ms - in_turn_ms) / TURN_MS;
        (turns * DRIVES_MS + in_turn_ms.min(DRIVES_MS), in_turn_ms < DRIVES_MS)
    }
}
