//! Healthy devices watched for a month, and devices with a fault.

use detect::{Budget, DEFAULT_THRESHOLD, Detector, Watch};

use crate::simulated::{Device, Fault, Noise, PER_DAY, PER_HOUR};

const DAYS: i64 = 30;

/// Faults begin some time within the day after this one.
const FAULT_DAY: i64 = 21;

/// A fleet of devices, and how they are watched.
#[derive(Clone, Copy)]
pub(crate) struct Fleet {
    pub(crate) noise: Noise,
    pub(crate) devices: u64,
    /// Only every so many of their readings are sent.
    pub(crate) every: i64,
}

impl Fleet {
    pub(crate) fn new(noise: Noise, devices: u64) -> Self {
        Self { noise, devices, every: 1 }
    }
}

/// Surprises are counted up to this.
const SURPRISES: usize = 15;

/// What was said of healthy devices.
#[derive(Default)]
pub(crate) struct Healthy {
    /// Hours of a device that were watched; those in which it only learns are among them.
    pub(crate) hours: u64,
    /// Of these, hours with a score of at least the default threshold.
    pub(crate) hours_scored: u64,
    /// Hours with a value above the budget.
    pub(crate) hours_above: u64,
    pub(crate) alarms: u64,
    /// Hours with at least so much surprise.
    pub(crate) by_surprise: [u64; SURPRISES],
}

pub(crate) fn healthy(detector: &Detector, budget: Budget, fleet: Fleet) -> Healthy {
    let mut found = Healthy::default();
    for number in 0..fleet.devices {
        let mut device = Device::new(fleet.noise, number);
        let mut watch = Watch::new(detector, budget).expect("the settings are right");
        for hour in 0..DAYS * 24 {
            let (mut score, mut raw, mut above): (f64, f64, bool) = (0.0, 0.0, false);
            for n in hour * PER_HOUR..(hour + 1) * PER_HOUR {
                let value = device.read(n, None);
                if n % fleet.every != 0 {
                    continue;
                }
                let verdict = watch.observe(Device::at(n), value);
                score = score.max(verdict.score.score);
                raw = raw.max(verdict.score.raw);
                above |= verdict.above;
                found.alarms += u64::from(verdict.alarm);
            }
            found.hours += 1;
            found.hours_scored += u64::from(score >= DEFAULT_THRESHOLD);
            found.hours_above += u64::from(above);
            for (surprise, hours) in found.by_surprise.iter_mut().enumerate() {
                *hours += u64::from(raw >= surprise as f64);
            }
        }
    }
    found
}

/// The share of faults with an alarm while they last or in the hour after, and the median hours until it.
pub(crate) fn find(detector: &Detector, noise: Noise, fault: Fault, devices: u64) -> (f64, f64) {
    let mut after: Vec<f64> =
        (0..devices).filter_map(|number| hours_until(detector, noise, fault, number)).collect();
    after.sort_by(f64::total_cmp);
    (after.len() as f64 / devices as f64, after.get(after.len() / 2).copied().unwrap_or(f64::NAN))
}

fn hours_until(detector: &Detector, noise: Noise, fault: Fault, number: u64) -> Option<f64> {
    let mut device = Device::new(noise, number);
    let mut watch = Watch::new(detector, Budget::default()).expect("the settings are right");
    let begin = FAULT_DAY * PER_DAY + (number as i64 * 37) % PER_DAY;
    let end = begin + fault.lasts();
    for n in 0..end + PER_HOUR {
        let since = (begin..end).contains(&n).then_some((fault, n - begin));
        let verdict = watch.observe(Device::at(n), device.read(n, since));
        if n >= begin && verdict.alarm {
            return Some((n - begin) as f64 / PER_HOUR as f64);
        }
    }
    None
}
