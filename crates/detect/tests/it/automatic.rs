//! What the detectors that learn seasons say, and how.

use detect::{Automatic, Budget, Detector, Reason, Seasonal, State, Watch};

use crate::simulated::{Device, Fault, Noise, PER_DAY, PER_HOUR};

/// A day as a device has it: warm by day, 70 ± 20, with a little noise that is no one's.
fn value(n: i64) -> f64 {
    let hour = (n % PER_DAY) as f64 / PER_HOUR as f64;
    70.0 - 20.0 * (hour / 24.0 * std::f64::consts::TAU).cos() + f64::from((n * 7919 % 101) as i32 - 50) * 0.04
}

fn after_days(detector: Detector, days: i64) -> State {
    let mut state = detector.start().unwrap();
    for n in 0..days * PER_DAY {
        state.observe(Device::at(n), value(n));
    }
    state
}

#[test]
fn the_reason_names_the_hour_and_what_is_usual_there() {
    let mut state = after_days(Detector::Seasonal(Seasonal::default()), 21); // until a Monday
    let at = 21 * PER_DAY + 14 * PER_HOUR;
    let score = state.observe(Device::at(at), 97.1);
    assert!(score.score > 0.99, "{score:?}");
    let why = score.why.to_string();
    // At 14:00 the usual is 70 − 20 cos(210°) = 87.3; the noise spreads evenly over ± 2, so its σ is 1.2.
    assert!(why.contains("σ above its usual at this hour (14:00): 97.1 against 87.4 ± 1."), "{why}");
    // At midnight the same value is much further out, and the usual one is none of it.
    let score = state.observe(Device::at(22 * PER_DAY), 87.3);
    assert!(score.score > 0.999, "{score:?}");
    let same = state.observe(Device::at(22 * PER_DAY + 14 * PER_HOUR), 87.3).score;
    assert!(same < 0.01, "{same}");
}

#[test]
fn a_week_with_days_of_rest_is_learned() {
    let value = |n: i64| if n / PER_DAY % 7 >= 5 { 20.0 + value(n) * 0.1 } else { value(n) };
    let mut state = Detector::Seasonal(Seasonal::default()).start().unwrap();
    for n in 0..28 * PER_DAY + 12 * PER_HOUR {
        state.observe(Device::at(n), value(n));
    }
    let why = state.observe(Device::at(28 * PER_DAY + 12 * PER_HOUR), 30.0).why.to_string();
    assert!(why.contains("σ below its usual at this hour (Monday 12:00): 30 against "), "{why}");
}

#[test]
fn hours_are_those_of_the_people() {
    let mut state = after_days(Detector::Seasonal(Seasonal { utc_offset_minutes: -90 }), 21);
    let why = state.observe(Device::at(21 * PER_DAY + 14 * PER_HOUR), 97.1).why.to_string();
    assert!(why.contains("(12:00)"), "{why}");
}

#[test]
fn the_first_day_is_for_learning() {
    let mut state = Detector::Automatic(Automatic::default()).start().unwrap();
    for n in 0..23 * PER_HOUR {
        let score = state.observe(Device::at(n), if n == 100 { 1e9 } else { value(n) });
        assert_eq!(score.score, 0.0, "{n}");
    }
    let why = state.observe(Device::at(23 * PER_HOUR), 70.0).why.to_string();
    assert_eq!(why, "still learning: 22 of 24 hours seen");
}

/// The reason of the first alarm after a fault begins.
fn reason(fault: Fault) -> Option<Reason> {
    let mut watch = Watch::new(&Detector::Automatic(Automatic::default()), Budget::default()).unwrap();
    let mut device = Device::new(Noise::White, 5);
    let begin = 20 * PER_DAY + 3;
    (0..begin + fault.lasts()).find_map(|n| {
        let since = (n >= begin).then_some((fault, n - begin));
        let verdict = watch.observe(Device::at(n), device.read(n, since));
        (n >= begin && verdict.alarm).then_some(verdict.score.why)
    })
}

#[test]
fn the_reason_fits_the_fault() {
    let is = |fault: Fault, fits: fn(&Reason) -> bool| {
        let why = reason(fault).unwrap_or_else(|| panic!("{fault:?} was not found"));
        assert!(fits(&why), "{fault:?}: {why}");
    };
    is(Fault::Spike, |why| matches!(why, Reason::Far { .. } | Reason::Stepped { .. }));
    is(Fault::Shift, |why| {
        matches!(why, Reason::Far { .. } | Reason::Stepped { .. } | Reason::Shifted { .. })
    });
    is(Fault::Drift, |why| matches!(why, Reason::Far { .. } | Reason::Shifted { .. }));
    is(Fault::Stuck, |why| matches!(why, Reason::Still { .. }));
    is(Fault::Burst, |why| !matches!(why, Reason::Still { .. } | Reason::Usual));
}

#[test]
fn reasons_are_sentences() {
    for (reason, expected) in [
        (
            Reason::Stepped { from: 71.0, to: 97.1, times: 8.7 },
            "a step of 8.7 times the usual one: from 71 to 97.1",
        ),
        (
            Reason::Shifted {
                sigmas: -2.3,
                hours: 2.0,
                value: 60.0,
                usual: 71.0,
                basis: detect::Basis::Level,
            },
            "for about 2 h on average 2.3 σ below its usual: now 60 against 71",
        ),
        (Reason::Restless { times: 4.1, hours: 2.0 }, "for about 2 h it moves 4.1 times as much as usual"),
        (Reason::Still { value: 21.5, readings: 40 }, "stands still: 21.5 for 40 readings"),
        (Reason::Infinite, "infinite, or as good as"),
    ] {
        assert_eq!(reason.to_string(), expected);
    }
}

/// What changes for good becomes usual: after two weeks at another level nothing is said any more.
#[test]
fn a_new_level_becomes_usual() {
    let mut watch = Watch::new(&Detector::Automatic(Automatic::default()), Budget::default()).unwrap();
    let mut alarms_by_week = [0; 6];
    for n in 0..42 * PER_DAY {
        let shift = if n >= 21 * PER_DAY { 15.0 } else { 0.0 };
        let verdict = watch.observe(Device::at(n), value(n) + shift);
        alarms_by_week[(n / PER_DAY / 7) as usize] += i32::from(verdict.alarm);
    }
    assert_eq!(alarms_by_week[..3], [0; 3]);
    assert!(alarms_by_week[3] > 0);
    assert_eq!(alarms_by_week[5], 0, "{alarms_by_week:?}");
}
