//! What the windows cost, and what they do when they may not cost that.

use std::sync::Arc;

use penstock_stream::window::{Closed, Held, Plan, Published, RestoreError, Stale, Windows};

use super::{DAY, SECOND, plan};

const LATENESS: i64 = 30 * SECOND;
const MINUTE: i64 = 60 * SECOND;

fn windows(texts: &[&str], memory: usize, series: u32) -> Windows {
    let mut windows = Windows::new(plan(texts), LATENESS, memory);
    (0..series).for_each(|series| windows.register(series, "m"));
    windows
}

/// Closes all up to here.
fn close(windows: &mut Windows, watermark: i64) -> (Vec<Closed>, Vec<Stale>) {
    let (mut out, mut closed, mut stale) = (Vec::new(), Vec::new(), Vec::new());
    while windows.close(watermark, usize::MAX, &mut out) {}
    for published in out {
        match published {
            Published::Closed(result) => closed.push(result),
            Published::Stale(window) => stale.push(window),
            Published::Few => panic!("every result is kept"),
        }
    }
    (closed, stale)
}

/// Rows of twenty metrics, six a minute.
fn fill(windows: &mut Windows, series: u32, minute: i64) {
    for n in 0..6 {
        for device in 0..series / 20 {
            let row: Vec<(u32, f64)> =
                (0..20).map(|metric| (device * 20 + metric, f64::from(metric))).collect();
            windows.add_row(&row, DAY + minute * MINUTE + n * 10 * SECOND);
        }
    }
}

#[test]
fn six_values_take_less_than_a_hundred_bytes() {
    let series = 20_000;
    let mut windows = windows(&["1m"], 1 << 30, series);
    fill(&mut windows, series, 0);
    let each = windows.memory_used() as f64 / f64::from(series);
    assert!(each < 80.0, "{each} bytes in memory");
    let each = postcard::to_stdvec(&windows).unwrap().len() as f64 / f64::from(series);
    assert!(each < 80.0, "{each} bytes in a checkpoint");
}

#[test]
fn a_metric_with_its_own_rate_does_not_cost_its_neighbours() {
    let mut windows = windows(&["1m"], 1 << 30, 64);
    for n in 0..60 {
        windows.add(0, DAY + n * SECOND, 1.0);
        for series in (1..64).filter(|_| n % 10 == 0) {
            windows.add(series, DAY + n * SECOND, 1.0);
        }
    }
    let used = windows.memory_used();
    assert!(used < 64 * 100 + 2_500, "{used} bytes");
    let (closed, _) = close(&mut windows, DAY + 5 * MINUTE);
    assert_eq!(closed.iter().map(|closed| closed.aggregate.count).sum::<u64>(), 60 + 63 * 6);
}

#[test]
fn patterns_leave_no_holes() {
    let plan = Arc::new(Plan::parse([("1m", &["even"]), ("5m", &["odd"])]).unwrap());
    let mut windows = Windows::new(plan, LATENESS, 1 << 30);
    for series in 0..20_000 {
        windows.register(series, if series % 2 == 0 { "even" } else { "odd" });
    }
    fill(&mut windows, 20_000, 0);
    let each = windows.memory_used() as f64 / 20_000.0;
    assert!(each < 80.0, "{each} bytes in memory");
    let (closed, stale) = close(&mut windows, DAY + 10 * MINUTE);
    assert_eq!((closed.len(), stale.len()), (20_000, 0));
    assert!(closed.iter().all(|closed| u32::from(closed.window) == closed.series % 2));
}

#[test]
fn the_limit_holds_and_every_window_is_still_told() {
    let (series, memory) = (20_000, 400_000);
    let mut windows = windows(&["1m", "5m"], memory, series);
    for minute in 0..5 {
        fill(&mut windows, series, minute);
        let used = windows.memory_used();
        assert!(used <= memory + 100_000, "{used} bytes"); // tables, and what is at work
    }
    let (closed, stale) = close(&mut windows, DAY + 10 * MINUTE);
    assert_eq!(closed.len() + stale.len(), 6 * series as usize);
    assert!(closed.len() > 5_000, "what there was room for has its result: {}", closed.len());
    assert!(closed.iter().all(|closed| closed.aggregate.count == if closed.window == 0 { 6 } else { 30 }));
}

#[test]
fn clocks_that_are_ahead_do_not_crowd_out_the_present() {
    let mut windows = windows(&["1m"], 300_000, 64);
    // One device a year ahead and on.
    for minute in 0..10_000 {
        windows.add(63, DAY + (525_600 + minute) * MINUTE, 1.0);
    }
    assert!(windows.memory_used() <= 400_000, "{}", windows.memory_used());
    let series = 20;
    fill(&mut windows, series, 0);
    let (closed, stale) = close(&mut windows, DAY + 2 * MINUTE);
    assert_eq!(closed.len(), 20, "the present has its results");
    assert!(stale.iter().all(|stale| stale.series == 63 && stale.start > DAY + MINUTE));
    // Whatever was given up was told at once, and what was not is told in its time.
    let (later, later_stale) = close(&mut windows, DAY + 600_000 * MINUTE);
    let told: std::collections::BTreeSet<i64> = stale
        .iter()
        .chain(&later_stale)
        .map(|stale| stale.start)
        .chain(later.iter().map(|later| later.start))
        .collect();
    assert_eq!(told.len(), 10_000);
}

#[test]
fn sessions_that_are_ahead_at_random_become_one() {
    let mut windows = windows(&["session 30s"], 1 << 20, 1);
    for n in 0..10_000 {
        windows.add(0, DAY + (n * 7_919 % 10_007) * MINUTE, 1.0);
    }
    assert!(windows.memory_used() < 4_000, "{}", windows.memory_used());
    let (closed, stale) = close(&mut windows, DAY + 20_000 * MINUTE);
    assert!(closed.len() <= 16 && !stale.is_empty(), "{} {}", closed.len(), stale.len());
    let span = (stale.iter().map(|stale| stale.start).min(), stale.iter().map(|stale| stale.end).max());
    assert!(span.1.unwrap() >= DAY + 10_006 * MINUTE, "the rest is in {span:?}");
}

#[test]
fn a_series_that_comes_back_is_not_taken_for_a_new_one() {
    let mut windows = windows(&["1m"], 1 << 20, 1);
    windows.add(0, DAY, 1.0);
    let mut stale = Vec::new();
    windows.forget(0, &mut stale);
    let window = Stale { series: 0, window: 0, start: DAY, end: DAY + MINUTE };
    assert_eq!(stale, [window], "its open window is told");
    windows.register(0, "m");
    windows.add(0, DAY + SECOND, 2.0);
    windows.add(0, DAY + MINUTE, 3.0);
    let (closed, stale) = close(&mut windows, DAY + 5 * MINUTE);
    assert_eq!(stale, [window], "state knows only half of it");
    assert_eq!(closed.iter().map(|closed| closed.start).collect::<Vec<_>>(), [DAY + MINUTE]);
}

#[test]
fn what_state_does_not_know_is_computed_from_the_store() {
    let mut windows = windows(&["1m", "session 30s"], 1 << 20, 1);
    windows.distrust(i64::MIN, DAY + MINUTE + 1);
    for minute in 0..4 {
        windows.add(0, DAY + minute * MINUTE, 1.0);
    }
    let (closed, stale) = close(&mut windows, DAY + 10 * MINUTE);
    let minutes = |window: u16, starts: &mut dyn Iterator<Item = (u16, i64)>| -> Vec<i64> {
        starts.filter(|found| found.0 == window).map(|found| (found.1 - DAY) / MINUTE).collect()
    };
    let mut of_closed = closed.iter().map(|closed| (closed.window, closed.start));
    assert_eq!(minutes(0, &mut of_closed), [2, 3]);
    let mut of_stale = stale.iter().map(|stale| (stale.window, stale.start));
    assert_eq!(minutes(0, &mut of_stale), [0, 1]);
    let mut of_stale = stale.iter().map(|stale| (stale.window, stale.start));
    assert_eq!(minutes(1, &mut of_stale), [0, 1], "sessions, too");
}

#[test]
fn a_reading_that_is_late_after_all_is_told() {
    let mut windows = windows(&["1m"], 1 << 20, 1);
    close(&mut windows, DAY + 2 * MINUTE);
    windows.add(0, DAY, 1.0);
    windows.add(0, DAY + 89 * SECOND, 1.0);
    let (closed, stale) = close(&mut windows, DAY + 10 * MINUTE);
    assert_eq!(stale, [Stale { series: 0, window: 0, start: DAY, end: DAY + MINUTE }]);
    assert_eq!(closed.len(), 1);
}

#[test]
fn state_of_other_windows_is_refused() {
    let windows = windows(&["1m"], 1 << 20, 1);
    let bytes = postcard::to_stdvec(&windows).unwrap();
    let held: Held = postcard::from_bytes(&bytes).unwrap();
    let refused = Windows::restore(plan(&["2m"]), LATENESS, 1 << 20, held).unwrap_err();
    assert_eq!(refused, RestoreError::OtherPlan);
    for cut in 0..bytes.len() {
        assert!(postcard::from_bytes::<Held>(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}
