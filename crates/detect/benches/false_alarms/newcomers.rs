//! New devices of a kind, with what the others of it know and without.

use detect::{Automatic, Budget, Detector, Prior, State, Watch};

use crate::simulated::{Device, Fault, Noise, PER_DAY, PER_HOUR};

/// Days after which the others are asked.
const KNOWN_DAYS: i64 = 21;

/// A new device's fault begins some time within the day after this hour.
const FAULT_HOUR: i64 = 3;

const AUTOMATIC: fn() -> Detector = || Detector::Automatic(Automatic::default());

/// What the first `devices` of a kind know.
pub(crate) fn prior(noise: Noise, devices: u64) -> Prior {
    let mut prior = Prior::default();
    for number in 0..devices {
        let mut device = Device::alike(noise, number);
        let mut state = AUTOMATIC().start().expect("the settings are right");
        for n in 0..KNOWN_DAYS * PER_DAY {
            state.observe(Device::at(n), device.read(n, None));
        }
        assert!(prior.learn(&state), "three weeks are enough");
    }
    prior
}

/// A new device's state.
pub(crate) fn start(prior: Option<&Prior>) -> State {
    let detector = AUTOMATIC();
    prior
        .map_or_else(|| detector.start(), |prior| detector.start_with(prior))
        .expect("the settings are right")
}

/// The share of the hours of new devices' first `days` with a false alarm by the default budget.
pub(crate) fn false_alarms(noise: Noise, prior: Option<&Prior>, devices: u64, days: i64) -> f64 {
    let mut above = 0;
    for number in 1000..1000 + devices {
        let mut device = Device::alike(noise, number);
        let mut watch = Watch::over(start(prior), Budget::default()).expect("the settings are right");
        for hour in 0..days * 24 {
            let hours = (hour * PER_HOUR..(hour + 1) * PER_HOUR)
                .filter(|n| watch.observe(Device::at(*n), device.read(*n, None)).above)
                .count();
            above += u64::from(hours > 0);
        }
    }
    above as f64 / (devices as i64 * days * 24) as f64
}

/// The share of faults that begin on the first day and are found while they last.
pub(crate) fn found(noise: Noise, fault: Fault, prior: Option<&Prior>, devices: u64) -> f64 {
    let found = (1000..1000 + devices).filter(|number| {
        let mut device = Device::alike(noise, *number);
        let mut watch = Watch::over(start(prior), Budget::default()).expect("the settings are right");
        let begin = FAULT_HOUR * PER_HOUR + (*number as i64 * 37) % (20 * PER_HOUR);
        let end = begin + fault.lasts();
        let mut alarms = (0..end).filter(|n| {
            let since = (*n >= begin).then_some((fault, *n - begin));
            watch.observe(Device::at(*n), device.read(*n, since)).alarm && *n >= begin
        });
        alarms.next().is_some()
    });
    found.count() as f64 / devices as f64
}
