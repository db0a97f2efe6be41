//! Healthy devices are left alone, and faults are found.

use detect::{Automatic, Budget, Detector};

use crate::simulated::{FAULTS, Fault, Noise};
use crate::trial::{Fleet, find, healthy};

#[test]
fn healthy_devices_are_left_alone() {
    let detector = Detector::Automatic(Automatic::default());
    let found = healthy(&detector, Budget::default(), Fleet::new(Noise::White, 40));
    let share = found.hours_scored as f64 / found.hours as f64;
    assert!(share < 0.001, "{share} of hours");
    assert_eq!(found.hours, 40 * 30 * 24);
}

#[test]
fn the_budget_is_kept() {
    let detector = Detector::Automatic(Automatic::default());
    for days in [7.0, 30.0] {
        let found = healthy(&detector, Budget { days, ..Budget::default() }, Fleet::new(Noise::White, 40));
        let days_per_alarm = found.hours as f64 / 24.0 / found.alarms as f64;
        assert!(days_per_alarm > days, "{days_per_alarm} days, the budget is {days}");
        assert!(found.alarms > 0, "a budget that is never used hides what is wrong");
    }
}

#[test]
fn devices_that_send_once_an_hour_are_left_alone_too() {
    let detector = Detector::Automatic(Automatic::default());
    let fleet = Fleet { every: 12, ..Fleet::new(Noise::Wandering, 60) };
    let found = healthy(&detector, Budget::default(), fleet);
    let share = found.hours_scored as f64 / found.hours as f64;
    assert!(share < 0.001, "{share} of hours");
}

#[test]
fn faults_are_found() {
    let detector = Detector::Automatic(Automatic::default());
    for fault in FAULTS {
        let (share, hours) = find(&detector, Noise::White, fault, 12);
        let soon = if fault == Fault::Drift { 24.0 } else { 6.0 };
        assert!(share >= 0.8 && hours <= soon, "{fault:?}: {share} found, after {hours} h");
    }
}
