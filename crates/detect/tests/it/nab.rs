//! The scoring of the Numenta Anomaly Benchmark on examples that can be computed by hand, and the files where they are there.

use detect::{Automatic, Detector};

use crate::files;
use crate::runs::run;
use crate::scoring::{PROFILES, Profile, Scored, at_threshold, best, counts, probation, sigmoid};

const STANDARD: Profile = PROFILES[0];

/// 100 rows, windows at 40 to 49 and 70 to 79, and detections at `rows`.
fn scored(rows: &[usize]) -> [Scored; 1] {
    let scores = (0..100).map(|row| if rows.contains(&row) { 0.9 } else { 0.1 }).collect();
    [Scored { scores, windows: vec![(40, 49), (70, 79)] }]
}

/// The score of detections at `rows`, and what it is by hand.
fn check(profile: Profile, rows: &[usize], expected: f64) {
    let score = at_threshold(&scored(rows), profile, 0.5);
    assert!((score - expected).abs() < 1e-9, "{rows:?}: {score}, by hand {expected}");
}

#[test]
fn a_file_is_scored_as_by_hand() {
    check(STANDARD, &[40, 70], 100.0); // perfect
    check(STANDARD, &[], 0.0); // null
    check(STANDARD, &[40], 50.0); // one of two: (1 − 1 + 2) ÷ 4
    check(PROFILES[2], &[40], 50.0); // missing is dearer, but the same scale is: (1 − 2 + 4) ÷ 6
    check(STANDARD, &[40, 44, 49, 70], 100.0); // the first detection of a window counts
    check(STANDARD, &[14, 40, 70], 100.0); // probation: 15 of 100 rows
    check(STANDARD, &[15, 40, 70], 100.0 * (4.0 - 0.11) / 4.0); // before any window it is as bad as can be
    check(PROFILES[1], &[15, 40, 70], 100.0 * (4.0 - 0.22) / 4.0);
    // Half way through a window: −(49 − 45 + 1) ÷ 10 = −0.5.
    check(STANDARD, &[45, 70], 100.0 * (sigmoid(-0.5) / sigmoid(-1.0) + 3.0) / 4.0);
    // Just after a window, (50 − 49) ÷ 9 of its width, little is lost; more than three widths after it, all.
    check(STANDARD, &[40, 50, 70], 100.0 * (4.0 + 0.11 * sigmoid(1.0 / 9.0)) / 4.0);
}

#[test]
fn the_sigmoid_is_that_of_the_paper() {
    assert_eq!(sigmoid(0.0), 0.0);
    assert!((sigmoid(-1.0) - 0.986_614_298_151_430_1).abs() < 1e-12); // 2 ÷ (1 + e⁻⁵) − 1
    assert!((sigmoid(1.0) + 0.986_614_298_151_430_1).abs() < 1e-12);
    assert_eq!(sigmoid(3.1), -1.0);
    assert_eq!((probation(100), probation(5000), probation(20_000)), (15, 750, 750));
}

#[test]
fn the_best_threshold_is_found() {
    // 0.9 finds one window, 0.8 the other, 0.7 nothing but false alarms.
    let mut scores = vec![0.0; 100];
    (scores[40], scores[70]) = (0.9, 0.8);
    (20..30).for_each(|row| scores[row] = 0.7);
    let files = [Scored { scores, windows: vec![(40, 49), (70, 79)] }];
    assert_eq!(best(&files, STANDARD), (100.0, 0.8));
    assert_eq!(counts(&files, 0.7), (2, 10));
    assert_eq!(best(&scored(&[20]), STANDARD).0, 0.0); // nothing is better than nonsense
}

#[test]
fn the_detector_without_settings_is_good_at_it() {
    let files = match files::read() {
        Ok(files) => files,
        Err(folder) => return println!("skipped: the benchmark's data is not at {}", folder.display()),
    };
    assert!(files.iter().all(|file| file.name.ends_with(".csv") && !file.windows.is_empty()));
    let run = run(&Detector::Automatic(Automatic::default()), &files);
    let (swept, _) = best(&run.alarms, STANDARD);
    let default = at_threshold(&run.default, STANDARD, 1.0);
    // The figures are in docs/detectors.md; one window more or less is 5.
    assert!(swept >= 60.0 && default >= 55.0, "{swept} with a threshold looked for, {default} without");
}
