//! Simulated devices: their clocks are known, so the estimates can be held against them.

use proptest::collection::vec;
use proptest::prelude::*;
use record::{TimeOrigin, Timestamp, When};

use super::{Clock, Config, Estimate, Policy, Rules};

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_700_000_000 * SECOND;
const YEAR: i64 = 31_536_000 * SECOND;

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// A message made at true time `made` by a clock that is `skew` ahead, delivered `delay` later.
fn deliver(clock: &mut Clock, made: i64, skew: i64, delay: i64) {
    clock.observe(at(made + skew), at(made + delay));
}

fn estimate(clock: &Clock) -> Estimate {
    clock.estimate().unwrap()
}

proptest! {
    #[test]
    fn a_constant_skew_is_found_but_for_the_shortest_delay(
        skew in prop_oneof![-3_600_i64..3_600, -60 * 31_536_000..-20 * 31_536_000_i64],
        every_ms in 100_i64..600_000,
        delays_ms in vec(0..5_000_i64, 300),
    ) {
        let (mut clock, skew) = (Clock::new(), skew * SECOND);
        for (n, &delay) in (0..).zip(&delays_ms) {
            deliver(&mut clock, NOW + n * every_ms * 1_000_000, skew, delay * 1_000_000);
        }
        let shortest = *delays_ms.iter().min().unwrap() * 1_000_000;
        let found = estimate(&clock);
        prop_assert!(found.skew_ns <= skew - shortest, "never more than it is");
        // The last 16 messages and more are in it.
        let recent = delays_ms[delays_ms.len() - 16..].iter().min().unwrap() * 1_000_000;
        prop_assert!(found.skew_ns >= skew - recent);
        prop_assert!(found.is_confident);
    }

    #[test]
    fn a_drift_of_100_ppm_is_followed(ppm in -100_i64..100, start in -600_i64..600, every_s in 1..3600_i64) {
        let mut clock = Clock::new();
        for n in 0..500 {
            let passed = n * every_s * SECOND;
            let skew = start * SECOND + passed / 1_000_000 * ppm;
            deliver(&mut clock, NOW + passed, skew, 20_000_000);
            // It lags by at most what the clock drifts over two halves of the window.
            let window = 34 * (every_s * SECOND).max(4 * SECOND) / 1_000_000 * 100;
            let found = estimate(&clock).skew_ns;
            prop_assert!((found - skew).abs() <= 20_000_000 + window, "{found} {skew} message {n}");
        }
        prop_assert!(estimate(&clock).is_confident);
    }

    #[test]
    fn a_backlog_is_no_skew(
        hours in 1..72_i64,
        every_s in 1..120_i64,
        times_as_quick in 2..1000_i64,
        live in any::<bool>(),
        known_before in any::<bool>(),
    ) {
        let mut clock = Clock::new();
        let outage = NOW;
        if known_before {
            (0..100).for_each(|n| deliver(&mut clock, outage - (100 - n) * every_s * SECOND, 0, 30_000_000));
        }
        let back = outage + hours * 3600 * SECOND;
        let messages = (hours * 3600 / every_s).min(3000);
        for n in 0..messages {
            let made = outage + n * every_s * SECOND;
            let arrived = back + n * every_s * SECOND / times_as_quick;
            clock.observe(at(made), at(arrived));
            if live && (arrived - back) / (every_s * SECOND) > (arrived - back - every_s * SECOND / times_as_quick) / (every_s * SECOND) {
                clock.observe(at(arrived - 30_000_000), at(arrived));
            }
            let found = estimate(&clock);
            prop_assert!(!found.is_confident || found.skew_ns.abs() <= 20 * SECOND, "message {n}: {found:?}");
            prop_assert!(!known_before || found.skew_ns.abs() <= 20 * SECOND, "message {n}: {found:?}");
        }
        for n in 0..30 {
            deliver(&mut clock, back + 100 * 3600 * SECOND + n * every_s * SECOND, 0, 30_000_000);
        }
        let found = estimate(&clock);
        prop_assert_eq!(found, Estimate { skew_ns: -30_000_000, is_confident: true });
    }

    #[test]
    fn a_jump_is_recognised_after_a_few_messages(
        before in -7200..7200_i64,
        after in prop_oneof![-7200..7200_i64, Just(-53 * 31_536_000_i64), Just(-24 * 31_536_000_i64)],
        every_s in 1..600_i64,
        jitter_ms in vec(0..3000_i64, 200),
    ) {
        prop_assume!((before - after).abs() > 20);
        let mut clock = Clock::new();
        let (first, then) = jitter_ms.split_at(100);
        for (n, jitter) in (0..).zip(first) {
            deliver(&mut clock, NOW + n * every_s * SECOND, before * SECOND, jitter * 1_000_000);
        }
        let reset = NOW + 100 * every_s * SECOND;
        for (n, jitter) in (0..).zip(then) {
            deliver(&mut clock, reset + n * every_s * SECOND, after * SECOND, jitter * 1_000_000);
            let found = estimate(&clock).skew_ns;
            let is_at = |skew: i64| (found - skew * SECOND).abs() <= 13 * SECOND;
            prop_assert!(is_at(before) || is_at(after), "message {n}");
            let enough = if after > before { n >= 2 } else { n >= 4 && n * every_s >= 24 };
            prop_assert!(!enough || is_at(after), "message {n}: {found}");
        }
        prop_assert!(estimate(&clock).is_confident);
    }

    #[test]
    fn a_single_wrong_time_does_nothing(wrong in -60 * 31_536_000..60 * 31_536_000_i64, place in 10..90_i64) {
        prop_assume!(wrong.abs() > 20);
        let mut clock = Clock::new();
        for n in 0..100 {
            deliver(&mut clock, NOW + n * 10 * SECOND, if n == place { wrong * SECOND } else { 0 }, 0);
            prop_assert_eq!(estimate(&clock).skew_ns, 0);
        }
    }

    #[test]
    fn no_input_makes_it_panic_and_a_checkpoint_keeps_it(messages in vec((any::<i64>(), any::<i64>()), 0..200)) {
        let mut clock = Clock::new();
        let rules = Rules::default();
        for (claimed, arrived) in messages {
            clock.observe(at(claimed), at(arrived));
            let when = rules.apply(When::by_device(at(claimed), at(arrived)), clock.estimate());
            prop_assert_eq!(when.claimed, at(claimed));
        }
        let bytes = postcard::to_stdvec(&clock).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Clock>(&bytes).unwrap(), clock);
    }
}

#[test]
fn a_few_messages_are_not_enough_to_be_sure() {
    for (skew, needed) in [(-3600, 4), (-10, 4), (3600, 3)] {
        let mut clock = Clock::new();
        assert_eq!(clock.estimate(), None);
        for n in 1..10 {
            deliver(&mut clock, NOW + n * 60 * SECOND, skew * SECOND, 0);
            let expected = Estimate { skew_ns: skew * SECOND, is_confident: n >= needed };
            assert_eq!(estimate(&clock), expected, "message {n}");
        }
    }
}

#[test]
fn the_rules_by_example() {
    use TimeOrigin::{Corrected, Device, Suspect};
    let hour = 3600 * SECOND;
    let sure = |skew_ns| Some(Estimate { skew_ns, is_confident: true });
    let unsure = |skew_ns| Some(Estimate { skew_ns, is_confident: false });
    // Claimed and corrected times are relative to the arrival.
    for (what, estimate, claimed, accept, correct, flag) in [
        ("right", sure(0), -SECOND, (Device, -SECOND), (Device, -SECOND), (Device, -SECOND)),
        (
            "within the bound",
            sure(-299 * SECOND),
            -300 * SECOND,
            (Device, -300 * SECOND),
            (Device, -300 * SECOND),
            (Device, -300 * SECOND),
        ),
        (
            "old but right",
            sure(0),
            -48 * hour,
            (Device, -48 * hour),
            (Device, -48 * hour),
            (Device, -48 * hour),
        ),
        (
            "an hour behind",
            sure(-hour),
            -hour - SECOND,
            (Device, -hour - SECOND),
            (Corrected, -SECOND),
            (Suspect, -hour - SECOND),
        ),
        ("behind or late", unsure(-hour), -hour, (Device, -hour), (Device, -hour), (Device, -hour)),
        (
            "an hour ahead",
            sure(hour),
            hour - SECOND,
            (Device, hour - SECOND),
            (Corrected, -SECOND),
            (Suspect, hour - SECOND),
        ),
        ("ahead, the first message", unsure(hour), hour, (Device, hour), (Suspect, hour), (Suspect, hour)),
        ("ahead, never heard", None, hour, (Device, hour), (Suspect, hour), (Suspect, hour)),
        (
            "a backlog with the clock behind",
            sure(-hour),
            -9 * hour,
            (Device, -9 * hour),
            (Corrected, -8 * hour),
            (Suspect, -9 * hour),
        ),
        (
            "from before the clock was reset",
            sure(-20 * YEAR),
            -9 * hour,
            (Device, -9 * hour),
            (Device, -9 * hour),
            (Device, -9 * hour),
        ),
        (
            "reset to 1970",
            sure(-NOW),
            -NOW - 5 * SECOND,
            (Suspect, -NOW - 5 * SECOND),
            (Corrected, -5 * SECOND),
            (Corrected, 0),
        ),
        ("reset to 1970, first message", sure(0), -NOW, (Suspect, -NOW), (Corrected, 0), (Corrected, 0)),
        ("two days ahead", None, 48 * hour, (Suspect, 48 * hour), (Corrected, 0), (Corrected, 0)),
        (
            "two days ahead, known",
            sure(48 * hour),
            47 * hour,
            (Suspect, 47 * hour),
            (Corrected, -hour),
            (Corrected, 0),
        ),
        (
            "not after the arrival",
            sure(-hour),
            -hour + SECOND,
            (Device, -hour + SECOND),
            (Corrected, 0),
            (Suspect, -hour + SECOND),
        ),
    ] {
        for (policy, (origin, time)) in
            [(Policy::Accept, accept), (Policy::Correct, correct), (Policy::Flag, flag)]
        {
            let rules = Rules::new(&Config { policy, ..Config::default() }).unwrap();
            let when = When::by_device(at(NOW + claimed), at(NOW)).with_seq(7);
            let expected = When { time: at(NOW + time), origin, ..when };
            assert_eq!(rules.apply(when, estimate), expected, "{what}, {policy:?}");
        }
    }
}

#[test]
fn messages_that_overtake_one_another_around_a_jump_do_not_hide_it() {
    let mut clock = Clock::new();
    for n in 0..100 {
        // The last before the jump arrives after the first behind it.
        deliver(&mut clock, NOW + n * SECOND, 0, if n == 99 { 3 * SECOND } else { 0 });
    }
    for n in 100..130 {
        deliver(&mut clock, NOW + n * SECOND, -21 * SECOND, 0);
    }
    assert_eq!(estimate(&clock), Estimate { skew_ns: -21 * SECOND, is_confident: true });
}

#[test]
fn a_reading_without_a_device_time_is_left_alone() {
    let when = When::by_server(at(5));
    let estimate = Some(Estimate { skew_ns: 7 * YEAR, is_confident: true });
    assert_eq!(Rules::default().apply(when, estimate), when);
    assert!(Rules::default().is_suspect(estimate));
}

#[test]
fn the_configuration_is_checked() {
    let read = |text: &str| toml::from_str::<Config>(text).map_err(|error| error.to_string());
    assert_eq!(read(""), Ok(Config { policy: Policy::Flag, max_skew_s: 300 }));
    assert_eq!(read("policy = 'correct'\nmax_skew_s = 60").unwrap().policy, Policy::Correct);
    assert!(read("polici = 'flag'").is_err());
    for max_skew_s in [0, 86_401] {
        let refused = Rules::new(&Config { max_skew_s, ..Config::default() }).unwrap_err();
        assert_eq!(refused.to_string(), format!("max_skew_s is {max_skew_s}: write 1 to 86400"));
    }
}
