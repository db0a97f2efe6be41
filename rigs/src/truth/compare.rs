//! The truth beside what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use record::{Timestamp, Value};

use super::found::{Found, Letter, WindowFound};
use super::model::{Key, TenantTruth, WindowKey, is_same, text_of};
use super::scenario::{Dead, MINUTE, Message};
use super::windows::{LENGTHS, WindowTruth};

/// Differences listed of each table.
const LISTED: usize = 5;
/// By how much of the largest value a rounded number may be off.
const ROUNDING: f64 = 1e-12;
/// Up to so many values the percentile is exact, beyond within [`SKETCH`] of it.
const EXACT_P95: usize = 64;
/// The documented error of the percentile's sketch.
const SKETCH: f64 = 0.01 + 1e-9;

/// What may be more than the truth, because messages were sent again of which the server may have taken the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slack {
    /// Dead letters.
    pub dead: BTreeMap<Dead, u64>,
    /// Readings without a time, which cannot be told from others.
    pub clockless: BTreeMap<(String, String, String), u64>,
    /// Readings that are duplicates the second time.
    pub duplicates: i64,
}

impl Slack {
    /// One more message sent in vain, so many times.
    pub fn add(&mut self, message: &Message, times: u32) {
        if !message.answer.is_accepted() {
            return;
        }
        for dead in &message.dead {
            *self.dead.entry(dead.clone()).or_default() += u64::from(times);
        }
        for reading in message.readings() {
            if reading.time.is_some() {
                self.duplicates += i64::from(times);
            } else {
                let what = (reading.device.clone(), reading.metric.clone(), text_of(&reading.value));
                *self.clockless.entry(what).or_default() += u64::from(times);
            }
        }
    }
}

/// What differs, by table: a few lines each. Empty: nothing.
#[must_use]
pub fn differences(truth: &TenantTruth, found: &Found, slack: &Slack) -> BTreeMap<&'static str, Vec<String>> {
    let tables = [
        ("telemetry", rows(truth, found)),
        ("telemetry without a device's time", clockless(truth, found, slack)),
        ("late", keys(truth.late.iter().map(|(key, _)| key), &found.late)),
        ("dlq", dead(truth, found, slack)),
        ("corrections", replaced(truth, found)),
        ("aggregations", windows(truth, found)),
        ("ledger", account(truth, found, slack)),
    ];
    tables.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
}

fn rows(truth: &TenantTruth, found: &Found) -> Vec<String> {
    let mut there: BTreeMap<&Key, Vec<&Value>> = BTreeMap::new();
    for (key, value) in &found.rows {
        there.entry(key).or_default().push(value);
    }
    let mut lines = Vec::new();
    for (key, value) in &truth.rows {
        match there.remove(key).as_deref() {
            Some([held]) if is_same(held, value) => {}
            Some(held) => {
                let held: Vec<_> = held.iter().map(|held| text_of(held)).collect();
                lines.push(format!(
                    "{}: {} expected, {} found",
                    shown(key),
                    text_of(value),
                    held.join(" and ")
                ));
            }
            None => lines.push(format!("{}: {} expected, missing", shown(key), text_of(value))),
        }
    }
    let more = |(key, held): (&Key, Vec<&Value>)| format!("{}: unexpected {held:?}", shown(key));
    lines.extend(there.into_iter().map(more));
    first(lines)
}

fn clockless(truth: &TenantTruth, found: &Found, slack: &Slack) -> Vec<String> {
    let mut there: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for (key, value) in &found.clockless {
        *there.entry((key.device.clone(), key.metric.clone(), text_of(value))).or_default() += 1;
    }
    counted(&truth.clockless, &slack.clockless, there)
}

fn dead(truth: &TenantTruth, found: &Found, slack: &Slack) -> Vec<String> {
    let mut there: BTreeMap<Dead, u64> = BTreeMap::new();
    let mut lines = Vec::new();
    for letter in &found.dead {
        let Letter { payload, index, reason } = letter;
        let is_it = |dead: &&Dead| {
            dead.payload == *payload
                && dead.index == *index
                && reason.to_lowercase().contains(&dead.says.to_lowercase())
        };
        match truth.dead.keys().find(is_it) {
            Some(dead) => *there.entry(dead.clone()).or_default() += 1,
            None => lines.push(format!("unexpected {letter:?}")),
        }
    }
    lines.extend(counted(&truth.dead, &slack.dead, there));
    first(lines)
}

/// As many as expected, or as many more as there is slack for.
fn counted<K: Ord + Debug>(
    expected: &BTreeMap<K, u64>,
    slack: &BTreeMap<K, u64>,
    mut there: BTreeMap<K, u64>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, &least) in expected {
        let most = least + slack.get(what).copied().unwrap_or(0);
        let count = there.remove(what).unwrap_or(0);
        if !(least..=most).contains(&count) {
            lines.push(format!("{what:?}: {least} to {most} expected, {count} found"));
        }
    }
    lines.extend(there.into_iter().map(|(what, count)| format!("{what:?}: unexpected, {count} found")));
    first(lines)
}

fn keys<'a>(expected: impl Iterator<Item = &'a Key>, found: &[Key]) -> Vec<String> {
    let expected: BTreeSet<&Key> = expected.collect();
    let there: BTreeSet<&Key> = found.iter().collect();
    let missing = expected.difference(&there).map(|key| format!("{}: expected, missing", shown(key)));
    let more = there.difference(&expected).map(|key| format!("{}: unexpected", shown(key)));
    let mut lines: Vec<String> = missing.chain(more).collect();
    if there.len() != found.len() {
        lines.push(format!("{} rows for {} keys", found.len(), there.len()));
    }
    first(lines)
}

fn replaced(truth: &TenantTruth, found: &Found) -> Vec<String> {
    let count = |rows: &[(Key, Value)]| {
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (key, value) in rows {
            *counts.entry((shown(key), text_of(value))).or_default() += 1;
        }
        counts
    };
    counted(&count(&truth.replaced), &BTreeMap::new(), count(&found.replaced))
}

fn windows(truth: &TenantTruth, found: &Found) -> Vec<String> {
    let mut expected = truth.windows.clone();
    expected.extend(clockless_windows(found));
    let mut lines = Vec::new();
    for (key, window) in &expected {
        let name = shown_window(key);
        match (window.published, found.windows.get(key)) {
            (Some(true), None) => lines.push(format!("{name}: expected, missing: {:?}", window.numbers())),
            (Some(false), Some(_)) => lines.push(format!("{name}: is not over and has a row")),
            (Some(true), Some(row)) => {
                lines.extend(window_differs(window, row).map(|line| format!("{name}: {line}")))
            }
            // Not known to be over: its row need not be the last.
            (None, _) | (Some(false), None) => {}
        }
    }
    let more = found.windows.keys().filter(|key| !expected.contains_key(key));
    lines.extend(more.map(|key| format!("{}: unexpected", shown_window(key))));
    first(lines)
}

/// The windows of readings with the server's time cannot be known before; whether they are over, not even now.
fn clockless_windows(found: &Found) -> BTreeMap<WindowKey, WindowTruth> {
    let mut windows = BTreeMap::new();
    for (key, value) in &found.clockless {
        let Some(number) = value.as_ref().as_f64() else { continue };
        for length in LENGTHS {
            let (device, metric) = (key.device.clone(), key.metric.clone());
            let of = WindowKey { device, metric, length, start: key.time.div_euclid(length) * length };
            let none = || WindowTruth {
                published: None,
                revised: None,
                values: Vec::new(),
                first: number,
                last: number,
            };
            windows.entry(of).or_insert_with(none).values.push(number);
        }
    }
    windows
}

/// What is wrong with a window's row, if anything.
#[must_use]
pub fn window_differs(window: &WindowTruth, row: &WindowFound) -> Option<String> {
    let (expected, found) = (window.numbers(), row.numbers);
    let size = expected.min.abs().max(expected.max.abs());
    let near = |a: f64, b: f64, size: f64| (a - b).abs() <= ROUNDING * size;
    let p95 = match window.values.len() {
        0..=EXACT_P95 => expected.p95 == found.p95,
        _ => (expected.p95 - found.p95).abs() <= SKETCH * expected.p95.abs(),
    };
    let parts = [
        ("count", expected.count == found.count),
        ("sum", near(expected.sum, found.sum, size * expected.count as f64)),
        ("avg", near(expected.avg, found.avg, size)),
        ("min", expected.min == found.min),
        ("max", expected.max == found.max),
        ("stddev", near(expected.stddev, found.stddev, size)),
        ("p95", p95),
        ("first", expected.first == found.first),
        ("last", expected.last == found.last),
        ("revised", window.revised.is_none_or(|revised| revised == row.revised)),
    ];
    let wrong: Vec<&str> = parts.iter().filter(|(_, right)| !right).map(|&(name, _)| name).collect();
    (!wrong.is_empty()).then(|| {
        let marked = (window.revised, row.revised);
        format!("{} wrong: {expected:?} expected, {found:?} found; revised {marked:?}", wrong.join(", "))
    })
}

fn account(truth: &TenantTruth, found: &Found, slack: &Slack) -> Vec<String> {
    let (expected, there) = (truth.account, found.account);
    let dead = slack.dead.values().sum::<u64>().cast_signed();
    let clockless = slack.clockless.values().sum::<u64>().cast_signed();
    let all = slack.duplicates + dead + clockless;
    let mut lines = Vec::new();
    for (name, least, most, count) in [
        ("accepted", expected.accepted, all, there.accepted),
        ("stored", expected.stored, clockless, there.stored),
        ("duplicate", expected.duplicate, slack.duplicates, there.duplicate),
        ("dead", expected.dead, dead, there.dead),
        ("late", expected.late, 0, there.late),
        ("corrected", expected.corrected, 0, there.corrected),
        ("shed", 0, 0, found.shed),
        ("residue", 0, 0, residue(found)),
        ("dead against the table", there.dead, 0, found.dead.len() as i64),
        (
            "stored + late - corrected against the table",
            there.stored + there.late - there.corrected,
            0,
            (found.rows.len() + found.clockless.len()) as i64,
        ),
        ("corrected against the table", there.corrected, 0, found.replaced.len() as i64),
    ] {
        if !(least..=least + most).contains(&count) {
            lines.push(format!("{name}: {least} to {} expected, {count} found", least + most));
        }
    }
    lines
}

fn residue(found: &Found) -> i64 {
    let of = found.account;
    of.accepted - (of.stored + of.duplicate + of.dead + of.late + found.shed)
}

fn first(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > LISTED {
        let more = lines.len() - LISTED;
        lines.truncate(LISTED);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn shown(key: &Key) -> String {
    let time = Timestamp::from_nanos(key.time).to_rfc3339();
    let seq = key.seq.map(|seq| format!(" #{seq}")).unwrap_or_default();
    format!("{} {} {time}{seq}", key.device, key.metric)
}

fn shown_window(key: &WindowKey) -> String {
    let start = Timestamp::from_nanos(key.start).to_rfc3339();
    format!("{} {} {}m from {start}", key.device, key.metric, key.length / MINUTE)
}
