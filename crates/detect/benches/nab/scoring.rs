//! The scoring of the Numenta Anomaly Benchmark, written from its paper: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection
//! Algorithms – the Numenta Anomaly Benchmark", 2015, section III.

/// A labelled series, and what a detector said of each of its rows.
pub(crate) struct Scored {
    /// From 0 to 1, for each row; a row counts as a detection where it is at least the threshold.
    pub(crate) scores: Vec<f64>,
    /// The first and last row of each window within which something is wrong, in order and apart.
    pub(crate) windows: Vec<(usize, usize)>,
}

/// What a detection is worth.
#[derive(Clone, Copy)]
pub(crate) struct Profile {
    /// Of a window that is found.
    pub(crate) found: f64,
    /// Against it, for a row outside of all windows.
    pub(crate) false_alarm: f64,
    /// Against it, for a window that is missed.
    pub(crate) missed: f64,
}

/// The profiles of the paper: standard, `reward_low_FP_rate`, `reward_low_FN_rate`.
pub(crate) const PROFILES: [Profile; 3] = [
    Profile { found: 1.0, false_alarm: 0.11, missed: 1.0 },
    Profile { found: 1.0, false_alarm: 0.22, missed: 1.0 },
    Profile { found: 1.0, false_alarm: 0.11, missed: 2.0 },
];

/// The first rows of a file, for which a detector may learn: detections there do not count.
pub(crate) fn probation(rows: usize) -> usize {
    (rows * 15 / 100).min(750)
}

/// What a detection is worth by where it is: `at` is −1 at a window's first row, 0 at its end, positive after it.
pub(crate) fn sigmoid(at: f64) -> f64 {
    if at > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * at).exp()) - 1.0 }
}

/// The score at a threshold: 0 for a detector that never says anything, 100 for one that detects each window at its first row and
/// nothing else.
pub(crate) fn at_threshold(files: &[Scored], profile: Profile, threshold: f64) -> f64 {
    let mut tally = Tally::new(files, profile);
    for (file, scored) in files.iter().enumerate() {
        for row in detections(scored, threshold) {
            tally.detect(file, row);
        }
    }
    tally.normalised()
}

/// How many windows are found at a threshold, and how many rows outside of them are detections.
pub(crate) fn counts(files: &[Scored], threshold: f64) -> (usize, usize) {
    let (mut found, mut false_alarms) = (0, 0);
    for scored in files {
        let rows: Vec<usize> = detections(scored, threshold).collect();
        let inside = |row: usize, window: &(usize, usize)| (window.0..=window.1).contains(&row);
        found += scored.windows.iter().filter(|window| rows.iter().any(|row| inside(*row, window))).count();
        false_alarms +=
            rows.iter().filter(|row| !scored.windows.iter().any(|window| inside(**row, window))).count();
    }
    (found, false_alarms)
}

/// The best score over all thresholds, one for all files, and that threshold.
pub(crate) fn best(files: &[Scored], profile: Profile) -> (f64, f64) {
    let mut rows: Vec<(f64, usize, usize)> = Vec::new();
    for (file, scored) in files.iter().enumerate() {
        rows.extend(detections(scored, 0.0).map(|row| (scored.scores[row], file, row)));
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut tally = Tally::new(files, profile);
    let mut best = (tally.normalised(), f64::INFINITY); // a threshold that nothing reaches
    for (n, (score, file, row)) in rows.iter().enumerate() {
        tally.detect(*file, *row);
        let last_of_equals = rows.get(n + 1).is_none_or(|next| next.0 < *score);
        if last_of_equals && tally.normalised() > best.0 {
            best = (tally.normalised(), *score);
        }
    }
    best
}

fn detections(scored: &Scored, threshold: f64) -> impl Iterator<Item = usize> {
    let counted = probation(scored.scores.len())..scored.scores.len();
    counted.filter(move |row| scored.scores[*row] >= threshold)
}

/// The sum so far.
struct Tally<'a> {
    files: &'a [Scored],
    profile: Profile,
    /// The best detection of each window of each file.
    found: Vec<Vec<Option<f64>>>,
    false_alarms: f64,
}

impl<'a> Tally<'a> {
    fn new(files: &'a [Scored], profile: Profile) -> Self {
        let found = files.iter().map(|scored| vec![None; scored.windows.len()]).collect();
        Self { files, profile, found, false_alarms: 0.0 }
    }

    fn detect(&mut self, file: usize, row: usize) {
        let windows = &self.files[file].windows;
        let next = windows.partition_point(|(_, last)| *last < row);
        if let Some((first, last)) = windows.get(next).filter(|(first, _)| *first <= row) {
            let width = (last - first + 1) as f64;
            let worth = sigmoid(-((last - row + 1) as f64) / width) / sigmoid(-1.0);
            let best = &mut self.found[file][next];
            *best = Some(best.map_or(worth, |before: f64| before.max(worth)));
            return;
        }
        // Before any window, or by how far after the last one in widths of it.
        let worth = next.checked_sub(1).map_or(-1.0, |before| {
            let (first, last) = windows[before];
            sigmoid((row - last) as f64 / ((last - first).max(1) as f64))
        });
        self.false_alarms += worth;
    }

    fn normalised(&self) -> f64 {
        let windows = self.found.iter().flatten().count() as f64;
        let found: f64 = self
            .found
            .iter()
            .flatten()
            .map(|best| best.map_or(-self.profile.missed, |worth| worth * self.profile.found))
            .sum();
        let null = -self.profile.missed * windows;
        let perfect = self.profile.found * windows;
        100.0 * (found + self.false_alarms * self.profile.false_alarm - null) / (perfect - null)
    }
}
