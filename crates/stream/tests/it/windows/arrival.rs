//! Orders and ways of arrival.

use std::sync::Arc;

use penstock_stream::window::{Plan, Published, Windows};
use proptest::prelude::*;

use super::world::World;
use super::{DAY, SECOND, plan};

const LATENESS: i64 = 30 * SECOND;
const AMPLE: usize = 1 << 30;

/// Plans whose windows do not fit each other too well.
fn plans() -> impl Strategy<Value = Arc<Plan>> {
    let texts = [
        "1m",
        "5m",
        "30s",
        "90s",
        "1h",
        "10m/1m",
        "10m/4m",
        "2m/50s",
        "session 30s",
        "session 5m",
        "7s",
        "2m at least 4",
        "session 20s at least 3",
    ];
    let some = prop::sample::subsequence(texts.to_vec(), 1..=4).prop_shuffle();
    let patterns = prop_oneof![Just(vec![]), Just(vec!["a*"]), Just(vec!["b", "c"])];
    prop::collection::vec(patterns, 4).prop_flat_map(move |patterns| {
        some.clone().prop_map(move |texts| {
            Arc::new(Plan::parse(texts.iter().copied().zip(patterns.iter().map(Vec::as_slice))).unwrap())
        })
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// A reading of a series, so many ms before (or after) now.
    Live {
        series: u32,
        ago_ms: i64,
        value: f64,
    },
    Backfill {
        series: u32,
        ago_ms: i64,
        value: f64,
    },
    Correct {
        nth: usize,
        value: f64,
    },
    /// Time goes on.
    Wait {
        ms: i64,
    },
    /// The lane has nothing to read.
    Tick,
    Close {
        limit: usize,
    },
    Forget {
        series: u32,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let series = 0_u32..5;
    let value = || prop_oneof![20 => (-500_i64..500).prop_map(|x| x as f64 / 10.0), 2 => -1e9..1e9_f64, 1 => Just(f64::NAN)];
    let ago = || {
        prop_oneof![
            12 => 0_i64..25_000,
            3 => 25_000_i64..200_000,
            1 => 0_i64..4_000_000,
            1 => -400_000_i64..0,
        ]
    };
    let step = prop_oneof![
        40 => (series.clone(), ago(), value()).prop_map(|(series, ago_ms, value)| Step::Live { series, ago_ms, value }),
        4 => (series.clone(), ago(), value()).prop_map(|(series, ago_ms, value)| Step::Backfill { series, ago_ms, value }),
        3 => (any::<usize>(), value()).prop_map(|(nth, value)| Step::Correct { nth, value }),
        20 => (0_i64..9_000).prop_map(|ms| Step::Wait { ms }),
        2 => (0_i64..400_000).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Tick),
        10 => (1_usize..6).prop_map(|limit| Step::Close { limit }),
        1 => series.prop_map(|series| Step::Forget { series }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..300)
}

fn run(world: &mut World, steps: &[Step], restarts: bool) {
    let mut now = DAY + 17 * SECOND;
    for (seq, step) in (0..).zip(steps) {
        match *step {
            Step::Live { series, ago_ms, value } => {
                world.live(series, now - ago_ms * 1_000_000, now, seq, value)
            }
            Step::Backfill { series, ago_ms, value } => {
                world.other(series, now - ago_ms * 1_000_000, seq, value)
            }
            Step::Correct { nth, value } => world.correct(nth, value),
            Step::Wait { ms } => now += ms * 1_000_000,
            Step::Tick => world.watermark.tick(now, 30 * SECOND),
            Step::Close { limit } => drop(world.close(limit)),
            Step::Forget { series } => world.forget(series),
            Step::Restart if restarts => world.restart(),
            Step::Restart => {}
        }
    }
    world.end();
}

const METRICS: [&str; 3] = ["a1", "b", "c"];

proptest! {


    #[test]
    fn rows_are_those_of_the_final_set(plan in plans(), steps in steps()) {
        let mut world = World::new(&plan, LATENESS, AMPLE, &METRICS);
        run(&mut world, &steps, false);
        prop_assert_eq!(world.wrong(), vec![]);
        prop_assert_eq!(world.windows.memory_used(), 0, "everything has closed");
    }

    #[test]
    fn a_break_changes_nothing(plan in plans(), steps in steps()) {
        let mut without = World::new(&plan, LATENESS, AMPLE, &METRICS);
        run(&mut without, &steps, false);
        let mut with = World::new(&plan, LATENESS, AMPLE, &METRICS);
        run(&mut with, &steps, true);
        prop_assert_eq!(&with.rows, &without.rows);
        prop_assert_eq!(&with.closed, &without.closed);
        prop_assert_eq!(with.recomputed, without.recomputed);
    }

    #[test]
    fn too_little_memory_costs_only_recomputations(plan in plans(), steps in steps(), memory in 0_usize..40_000) {
        let mut world = World::new(&plan, LATENESS, memory, &METRICS);
        run(&mut world, &steps, true);
        prop_assert_eq!(world.wrong(), vec![]);
        prop_assert_eq!(world.windows.memory_used(), 0, "everything has closed");
    }

    #[test]
    fn any_order_within_lateness_gives_the_same(
        plan in plans(),
        readings in prop::collection::vec((0_u32..4, 0_i64..2_000, -400_i64..400, 0_i64..29_000), 1..200),
        every in 1_usize..20,
    ) {
        // Each reading comes up to 29 s after it happened, the watermark with it.
        let mut readings: Vec<_> = readings
            .into_iter()
            .enumerate()
            .map(|(n, (series, second, value, delay_ms))| {
                let time = DAY + second * SECOND + n as i64;
                (time + delay_ms * 1_000_000, series, time, value as f64 / 10.0)
            })
            .collect();
        let published = |readings: &[(i64, u32, i64, f64)]| {
            let mut windows = Windows::new(Arc::clone(&plan), LATENESS, AMPLE);
            METRICS.iter().chain(["a2"].iter()).zip(0..).for_each(|(metric, series)| windows.register(series, metric));
            let (mut out, mut watermark) = (Vec::new(), i64::MIN);
            for (n, &(_, series, time, value)) in readings.iter().enumerate() {
                windows.add(series, time, value);
                watermark = watermark.max(time);
                if n % every == 0 {
                    while windows.close(watermark, usize::MAX, &mut out) {}
                }
            }
            while windows.close(i64::MAX, usize::MAX, &mut out) {}
            out.retain(|published| *published != Published::Few);
            out
        };
        let key = |published: &Published| match published {
            Published::Closed(closed) => (closed.end, closed.window, closed.series, closed.start),
            other => panic!("{other:?}"),
        };
        readings.sort_unstable_by_key(|reading| reading.2);
        let mut in_order = published(&readings);
        readings.sort_unstable_by_key(|reading| reading.0);
        let mut as_they_came = published(&readings);
        in_order.sort_by_key(key);
        as_they_came.sort_by_key(key);
        prop_assert_eq!(in_order, as_they_came);
    }
}

#[test]
fn what_is_published_comes_in_order_and_once() {
    let plan = plan(&["1m", "5m"]);
    let mut windows = Windows::new(plan, LATENESS, AMPLE);
    for series in 0..200 {
        windows.register(series, "m");
    }
    for minute in 0..5 {
        for series in (0..200).rev() {
            windows.add(series, DAY + minute * 60 * SECOND, f64::from(series));
        }
    }
    let mut out = Vec::new();
    let mut calls = 0;
    while windows.close(DAY + 330 * SECOND, out.len() + 50, &mut out) {
        calls += 1;
    }
    assert!(calls > 10, "it stops at the limit");
    let keys: Vec<_> = out
        .iter()
        .map(|published| match published {
            Published::Closed(closed) => (closed.end, closed.series, closed.window),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(keys.is_sorted(), "ends, then series, then windows");
    assert_eq!(keys.len(), 200 * 6);
    let before = out.len();
    assert!(!windows.close(DAY, usize::MAX, &mut out), "a watermark that went back");
    assert!(!windows.close(DAY + 330 * SECOND, usize::MAX, &mut out));
    assert_eq!(out.len(), before, "nothing is published twice");
}

/// Values of a series leave the planes of their page at another number in each page, and wait before they are added to sums.
#[test]
fn however_many_values_a_window_has_its_row_is_right() {
    let counts = [1, 31, 63, 64, 65, 67, 68, 69, 72, 76, 77, 96, 97, 100, 101, 128, 129, 160, 193, 300];
    for (names, pace) in [(200, "one"), (200, "each its own"), (3, "one")] {
        let plan = plan(&["1m", "5m", "10m/1m"]);
        let mut world = World::new(&plan, LATENESS, AMPLE, &["a"]);
        for (minute, &most) in (0..).zip(&counts) {
            let of = |name: u32| match pace {
                "one" => most,
                _ => counts[name as usize % counts.len()],
            };
            for n in 0..300_i64 {
                for name in (0..names).filter(|&name| n < of(name)) {
                    let time = DAY + minute * 60 * SECOND + n * SECOND / 5 + i64::from(name);
                    let value = f64::from(name) + ((n * 7919 + minute) % 1000) as f64 / 10.0;
                    world.live(name, time, time, n as u64, value);
                }
                if n == 70 || n == 97 {
                    world.restart();
                }
            }
            while world.close(64) {}
            assert_eq!(world.windows.overdue(), 0, "all that is over was published");
        }
        world.end();
        assert_eq!(world.wrong(), vec![], "{names} series, {pace} pace");
        assert_eq!(world.recomputed, 0);
        assert_eq!(world.windows.memory_used(), 0);
    }
}
