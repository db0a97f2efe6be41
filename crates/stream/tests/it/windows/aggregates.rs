//! Results against exact arithmetic.

use num_bigint::BigInt;
use penstock_stream::window::{Aggregate, EXACT_UP_TO, P95_RELATIVE_ERROR, Session, aggregate, sessions};
use proptest::prelude::*;

/// Every finite f64 is a whole number of these.
const UNIT: u32 = 1074;

fn exact(value: f64) -> BigInt {
    let bits = value.to_bits();
    let (biased, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
    let magnitude = match biased {
        0 => BigInt::from(fraction),
        _ => BigInt::from(fraction | 1 << 52) << (biased - 1) as usize,
    };
    if value < 0.0 { -magnitude } else { magnitude }
}

fn distance(a: &BigInt, b: &BigInt) -> BigInt {
    if a > b { a - b } else { b - a }
}

/// Whether `rounded` is the f64 nearest to `value`, the even one of two.
fn is_nearest(rounded: f64, value: &BigInt) -> bool {
    if rounded.is_infinite() {
        let half_beyond = exact(f64::MAX) + (BigInt::from(1) << (970 + UNIT) as usize >> 0) / 2;
        return if rounded > 0.0 { *value >= half_beyond } else { -value >= half_beyond };
    }
    let own = distance(&exact(rounded), value);
    [rounded.next_down(), rounded.next_up()].into_iter().filter(|other| other.is_finite()).all(|other| {
        let others = distance(&exact(other), value);
        own < others || own == others && rounded.to_bits() & 1 == 0
    })
}

/// Whether the result is that of these values, computed without rounding.
fn check(values: &[f64], found: &Aggregate) -> Result<(), TestCaseError> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = values.len();
    prop_assert_eq!(found.count, n as u64);
    prop_assert_eq!((found.min, found.max), (sorted[0], sorted[n - 1]));

    let sum: BigInt = values.iter().map(|&value| exact(value)).sum();
    prop_assert!(is_nearest(found.sum, &sum), "sum {} of {values:?}", found.sum);

    // |avg n - sum| <= 2^-52 |sum|, a rounding each for the sum and the quotient
    if found.avg.is_normal() {
        let off = distance(&(exact(found.avg) * n), &sum);
        prop_assert!(off << 52 <= distance(&sum, &BigInt::ZERO), "avg {} of {values:?}", found.avg);
    }
    prop_assert!(found.min <= found.avg && found.avg <= found.max);

    // (stddev n)^2 is n sum(v^2) - sum(v)^2, within 2^-50 of it: a rounding each for it, its root, the quotient
    let squares: BigInt = values.iter().map(|&value| exact(value) * exact(value)).sum();
    let spread = squares * n - &sum * &sum;
    if found.stddev.is_normal() {
        let own = (exact(found.stddev) * n).pow(2);
        prop_assert!(distance(&own, &spread) << 50 <= spread, "stddev {} of {values:?}", found.stddev);
    } else if found.stddev == 0.0 {
        prop_assert!(spread < BigInt::from(n * n), "stddev 0 of {values:?}");
    }

    if n as u64 > EXACT_UP_TO && !narrow(&sorted) {
        return Ok(()); // the smallest are taken together
    }
    let nearest_rank = sorted[(95 * n).div_ceil(100) - 1];
    let off = (found.p95 - nearest_rank).abs();
    let allowed =
        if n as u64 <= EXACT_UP_TO { 0.0 } else { P95_RELATIVE_ERROR * nearest_rank.abs() * (1.0 + 1e-9) };
    prop_assert!(off <= allowed || nearest_rank.is_subnormal(), "p95 {} for {nearest_rank}", found.p95);
    Ok(())
}

/// Whether the values of each sign span no more than a sketch can tell apart.
fn narrow(values: &[f64]) -> bool {
    let span = |sign: f64| {
        let sizes = values.iter().map(|value| value * sign).filter(|&size| size >= f64::MIN_POSITIVE);
        let (min, max) =
            sizes.fold((f64::MAX, 0.0), |(min, max): (f64, f64), size| (min.min(size), max.max(size)));
        max / min
    };
    span(1.0) < 1e17 && span(-1.0) < 1e17
}

fn timed(values: &[f64]) -> Vec<(i64, f64)> {
    (0..).zip(values.iter().copied()).collect()
}

/// Values as devices send them, and as they should not.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let decimal = |range: std::ops::Range<i64>| range.prop_map(|tenths| tenths as f64 / 10.0);
    let many = prop_oneof![4 => 1_usize..12, 2 => 12_usize..70, 1 => 70_usize..300];
    many.prop_flat_map(move |n| {
        prop_oneof![
            prop::collection::vec(decimal(190..230), n),
            prop::collection::vec(decimal(-1000..1000), n),
            prop::collection::vec(decimal(0..1_000_000_000_000), n),
            prop::collection::vec((0_i64..100).prop_map(|x| x as f64 * 1e-6 + 101_325.0), n),
            prop::collection::vec(prop_oneof![Just(0.1), Just(0.3), Just(1e16), Just(-1e16)], n),
            prop::collection::vec((-5.0..5.0_f64).prop_map(|x| 10_f64.powf(x)), n),
            prop::collection::vec(
                prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
                n
            )
            .prop_map(|values| values.into_iter().map(|value| value + 0.0).collect()),
            prop::collection::vec((-1.0..1.0_f64).prop_map(|x| x * 1e-160), n),
            prop::collection::vec((-1.0..1.0_f64).prop_map(|x| x * f64::MAX), n),
        ]
    })
}

proptest! {

    #[test]
    fn results_are_those_of_exact_arithmetic(values in values()) {
        check(&values, &aggregate(timed(&values)).unwrap())?;
    }

    #[test]
    fn the_order_does_not_show(
        (values, shuffled) in values()
            .prop_map(|values| timed(&values))
            .prop_flat_map(|points| (Just(points.clone()), Just(points).prop_shuffle())),
    ) {
        prop_assert_eq!(aggregate(values), aggregate(shuffled));
    }

    #[test]
    fn a_sketch_holds_any_range(
        exponents in prop::collection::vec((-300.0..300.0_f64, any::<bool>()), 65..400),
    ) {
        let value = |&(exponent, negative): &(f64, bool)| 10_f64.powf(exponent) * if negative { -1.0 } else { 1.0 };
        let values: Vec<f64> = exponents.iter().map(value).collect();
        let found = aggregate(timed(&values)).unwrap();
        let mut sorted = timed(&values);
        sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
        prop_assert_eq!(Some(found), aggregate(sorted.clone()));
        sorted.reverse();
        prop_assert_eq!(Some(found), aggregate(sorted));
    }
}

#[test]
fn figures_by_hand() {
    let found = aggregate([(3, 4.0), (1, 2.0), (2, 9.0), (0, 5.0)]).unwrap();
    let wanted = Aggregate {
        count: 4,
        sum: 20.0,
        avg: 5.0,
        min: 2.0,
        max: 9.0,
        stddev: (26.0_f64 / 4.0).sqrt(),
        p95: 9.0,
        first: 5.0,
        last: 4.0,
    };
    assert_eq!(found, wanted);
    // Where the mean is large and the spread small, the school's formula gives nonsense.
    let found = aggregate((0..60).map(|n| (n, 1e9 + (n % 2) as f64))).unwrap();
    assert_eq!((found.avg, found.stddev), (1e9 + 0.5, 0.5));
    let found = aggregate((0..600).map(|n| (n, 1e9 + (n % 2) as f64))).unwrap();
    assert_eq!((found.avg, found.stddev), (1e9 + 0.5, 0.5));
}

#[test]
fn the_nearest_rank() {
    for (n, rank) in [(1, 1), (19, 19), (20, 19), (21, 20), (39, 38), (40, 38), (60, 57), (64, 61)] {
        let values: Vec<f64> = (1..=n).rev().map(f64::from).collect();
        assert_eq!(aggregate(timed(&values)).unwrap().p95, f64::from(rank), "{n} values");
    }
}

#[test]
fn values_that_are_no_numbers_take_no_part() {
    assert_eq!(aggregate([]), None);
    assert_eq!(aggregate([(0, f64::NAN), (1, f64::INFINITY), (2, f64::NEG_INFINITY)]), None);
    let with = aggregate([(0, f64::NAN), (1, 1.0), (2, f64::INFINITY), (3, 2.0)]);
    assert_eq!(with, aggregate([(1, 1.0), (3, 2.0)]));
    let zero = aggregate([(0, -0.0)]).unwrap();
    assert!([zero.sum, zero.min, zero.first, zero.p95].iter().all(|zero| zero.to_bits() == 0), "{zero:?}");
    assert_eq!(aggregate([(i64::MAX, 1.0), (i64::MIN, 1.0)]), None, "times that far out have no windows");
}

#[test]
fn readings_of_one_time_are_told_apart_by_value() {
    let points = [(0, 2.0), (0, 1.0), (0, 3.0), (5, 7.0), (5, 9.0), (5, 8.0)];
    let mut reversed = points;
    reversed.reverse();
    let found = aggregate(points).unwrap();
    assert_eq!((found.first, found.last), (1.0, 9.0));
    assert_eq!(aggregate(reversed), Some(found));
}

#[test]
fn sessions_end_with_a_gap() {
    let points = [(20, 3.0), (0, 1.0), (9, 2.0), (41, 5.0), (30, 4.0)];
    let found = sessions(points, 10);
    let of = |points: &[(i64, f64)]| aggregate(points.iter().copied()).unwrap();
    let wanted = [
        Session { start: 0, end: 19, aggregate: of(&[(0, 1.0), (9, 2.0)]) },
        Session { start: 20, end: 30, aggregate: of(&[(20, 3.0)]) },
        Session { start: 30, end: 40, aggregate: of(&[(30, 4.0)]) },
        Session { start: 41, end: 51, aggregate: of(&[(41, 5.0)]) },
    ];
    assert_eq!(found, wanted);
    assert_eq!(sessions([], 10), []);
}
