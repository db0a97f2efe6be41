//! A simulated fleet: 20 quantities of plausible physics, quantised as sensors quantise, on clocks that jitter. The
//! same seed gives the same fleet.

use penstock_series::parquet::{ColumnNo, Entity, Rows};
use record::{Timestamp, ValueRef, When};

/// What a metric is like: its name, decimals (`None`: an integer), where it starts, and how it moves.
struct Metric {
    name: &'static str,
    decimals: Option<i32>,
    start: f64,
    /// How far it swings over a day, wanders in ten seconds, and is blurred by noise.
    day: f64,
    wander: f64,
    noise: f64,
}

const fn metric(
    name: &'static str,
    decimals: Option<i32>,
    start: f64,
    day: f64,
    wander: f64,
    noise: f64,
) -> Metric {
    Metric { name, decimals, start, day, wander, noise }
}

const METRICS: [Metric; 18] = [
    metric("temperature", Some(1), 21.0, 4.0, 0.01, 0.05),
    metric("humidity", Some(1), 55.0, 10.0, 0.03, 0.15),
    metric("pressure", Some(1), 1013.0, 1.0, 0.01, 0.05),
    metric("board_temperature", Some(2), 38.0, 4.0, 0.02, 0.03),
    metric("voltage", Some(1), 230.0, 1.5, 0.05, 0.3),
    metric("current", Some(2), 4.0, 2.0, 0.03, 0.05),
    metric("power", Some(0), 900.0, 400.0, 6.0, 10.0),
    metric("vibration", Some(3), 0.2, 0.05, 0.002, 0.01),
    metric("flow", Some(2), 12.0, 5.0, 0.02, 0.05),
    metric("level", Some(1), 140.0, 20.0, 0.1, 0.1),
    metric("co2", None, 600.0, 150.0, 1.0, 4.0),
    metric("pm25", Some(1), 8.0, 3.0, 0.05, 0.2),
    metric("light", None, 400.0, 390.0, 1.0, 3.0),
    metric("noise", Some(1), 45.0, 8.0, 0.1, 1.0),
    metric("rpm", None, 1480.0, 5.0, 0.3, 2.0),
    metric("rssi", None, -70.0, 0.0, 0.05, 1.5),
    metric("battery", None, 90.0, 8.0, 0.001, 0.0),
    metric("valve", None, 40.0, 30.0, 0.0, 0.0),
];
/// Beside those: a meter that only rises, and a state that switches.
const OTHERS: [&str; 2] = ["energy", "state"];

pub(crate) const METRICS_PER_DEVICE: usize = METRICS.len() + OTHERS.len();
pub(crate) const INTERVAL_MS: i64 = 10_000;
pub(crate) const START_MS: i64 = 1_764_288_000_000; // a midnight

pub(crate) fn name(no: ColumnNo) -> String {
    let no = no.0 as usize;
    METRICS.get(no).map_or_else(|| OTHERS[no - METRICS.len()], |metric| metric.name).to_owned()
}

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal: four uniforms from one draw, summed; standard deviation 1.
    fn normal(&mut self) -> f64 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|n| bits >> (16 * n) & 0xffff).sum();
        (sum as f64 / 65_536.0 - 2.0) * 3.0_f64.sqrt()
    }
}

struct Device {
    random: Random,
    /// When it measures, milliseconds after each tenth second, and how its clock drifts.
    phase_ms: f64,
    drift: f64,
    day_phase: f64,
    wandered: [f64; METRICS.len()],
    energy: f64,
    state: i64,
}

pub(crate) struct Fleet {
    devices: Vec<Device>,
}

impl Fleet {
    pub(crate) fn new(devices: u32, seed: u64) -> Self {
        let devices = (0..devices).map(|no| {
            let mut random = Random(seed ^ (u64::from(no) << 32));
            let phase_ms = random.unit() * INTERVAL_MS as f64;
            let (drift, day_phase) = (1.0 + random.normal() * 2e-5, random.unit());
            Device {
                random,
                phase_ms,
                drift,
                day_phase,
                wandered: [0.0; METRICS.len()],
                energy: 1e3,
                state: 0,
            }
        });
        Self { devices: devices.collect() }
    }

    /// What all devices measure in a stretch of intervals, sorted.
    pub(crate) fn rows(&mut self, intervals: std::ops::Range<i64>) -> Rows {
        let mut rows = Rows::new((0..METRICS_PER_DEVICE as u32).map(ColumnNo));
        for (no, device) in self.devices.iter_mut().enumerate() {
            for interval in intervals.clone() {
                let (when, values) = device.measure(interval);
                rows.push(Entity::new(0, no as u32), when, values.map(Some));
            }
        }
        rows
    }
}

impl Device {
    fn measure(&mut self, interval: i64) -> (When, [ValueRef<'static>; METRICS_PER_DEVICE]) {
        let random = &mut self.random;
        let at_ms =
            interval as f64 * INTERVAL_MS as f64 * self.drift + self.phase_ms + random.normal() * 30.0;
        let time_ms = START_MS + at_ms as i64;
        let delay_ms = 20 + (-random.unit().max(1e-9).ln() * 30.0) as i64;
        let at = |ms| Timestamp::from_millis(ms).expect("the time is of this century");
        let when = When::by_device(at(time_ms), at(time_ms + delay_ms));
        let day = ((at_ms / 86_400_000.0 + self.day_phase) * std::f64::consts::TAU).sin();
        let mut values = [ValueRef::Int(0); METRICS_PER_DEVICE];
        for (n, metric) in METRICS.iter().enumerate() {
            self.wandered[n] = self.wandered[n] * 0.999 + random.normal() * metric.wander;
            let value = metric.start + metric.day * day + self.wandered[n] + random.normal() * metric.noise;
            values[n] = match metric.decimals {
                None => ValueRef::Int(value.round() as i64),
                Some(decimals) => {
                    let scale = 10_f64.powi(decimals);
                    ValueRef::Float((value * scale).round() / scale)
                }
            };
        }
        self.energy += (900.0 + 400.0 * day) / 360_000.0;
        values[METRICS.len()] = ValueRef::Float((self.energy * 100.0).round() / 100.0);
        if random.unit() < 0.002 {
            self.state = (random.next() % 5) as i64;
        }
        values[METRICS.len() + 1] = ValueRef::Int(self.state);
        (when, values)
    }
}
