//! Eight quantities that follow the day, each with its own noise: for load, with as many metrics as wanted.
//!
//! ```text
//! temperature   m + 5·sin(day) + 2·slow + 0.2·fast      energy_kwh  the integral of a load that follows the day
//! humidity      55 − 15·sin(day) + 10·slow + fast        battery     falls for 95 % of 2 to 5 days, then is charged
//! power_w       a load that follows the day, or 2.5       pressure    1013 + 12·weather + 0.3·fast
//! voltage       230 + 2.5·slow + 0.6·fast                 rssi_dbm    a level per device and noise
//! ```

use std::f64::consts::TAU;

use super::cycle::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};
use super::{Channel, channel, character, counter};
use crate::random::{mix, smooth};

pub(super) const CHANNELS: [Channel; 8] = [
    channel("temperature", "°C", 1, 10.0, 34.0),
    channel("humidity", "%", 0, 28.0, 82.0),
    channel("power_w", "W", 1, 2.0, 850.0),
    counter("energy_kwh", "kWh", 2),
    channel("voltage", "V", 1, 226.0, 234.0),
    channel("battery", "%", 0, 20.0, 100.0),
    channel("pressure_hpa", "hPa", 1, 1_000.0, 1_026.0),
    channel("rssi_dbm", "dBm", 0, -98.0, -67.0),
];

/// The day that meters were set to zero, days since the epoch.
const METERS_SINCE_DAYS: f64 = 18_000.0;

/// Metric number `index`; after eight the same quantities come again, of other sensors.
pub(super) fn one(own: u64, index: usize, at_ms: i64) -> f64 {
    let own = mix(own ^ mix(index as u64));
    let at = at_ms as f64;
    let own_trait = |salt: u64, low: f64, high: f64| character(own, salt, low, high);
    // Each sensor lives in its own hour, so that a fleet does not breathe in step.
    let day = (at / DAY_MS + own_trait(1, 0.0, 1.0)).fract() * TAU;
    let slow = || smooth(own ^ 2, at / HOUR_MS);
    let fast = || smooth(own ^ 3, at / (20.0 * SECOND_MS));
    match index % CHANNELS.len() {
        0 => own_trait(4, 18.0, 26.0) + 5.0 * day.sin() + 2.0 * slow() + 0.2 * fast(),
        1 => 55.0 - 15.0 * day.sin() + 10.0 * slow() + fast(),
        2 if smooth(own ^ 5, at / (15.0 * MINUTE_MS)) > -0.3 => {
            own_trait(6, 400.0, 700.0) + 120.0 * day.sin() + 15.0 * fast()
        }
        2 => 2.5,
        3 => own_trait(7, 4.0, 12.0) * (at / DAY_MS - METERS_SINCE_DAYS - 0.8 * day.cos() / TAU),
        4 => 230.0 + 2.5 * slow() + 0.6 * fast(),
        5 => battery(at / (DAY_MS * own_trait(8, 2.0, 5.0)) + own_trait(9, 0.0, 1.0)),
        6 => 1013.0 + 12.0 * smooth(own ^ 10, at / (12.0 * HOUR_MS)) + 0.3 * fast(),
        _ => own_trait(11, -95.0, -70.0) + 3.0 * fast(),
    }
}

fn battery(cycles: f64) -> f64 {
    let at = cycles.fract();
    if at < 0.95 { 100.0 - 80.0 * at / 0.95 } else { 20.0 + 80.0 * (at - 0.95) / 0.05 }
}
