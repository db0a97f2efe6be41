//! Conditions: as SQL, and what they are by the definition of the language.

use proptest::prelude::*;

use super::world::{METRICS, Sample, TYPES};

/// A rule that is drawn.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) when: Condition,
    pub(super) clear: Option<Condition>,
    /// Seconds.
    pub(super) hold: i64,
    /// The type of devices that it is for.
    pub(super) scope: Option<&'static str>,
    pub(super) retrospective: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Condition {
    Compare(usize, &'static str, i64),
    Text(usize, &'static str),
    IsNull(usize),
    /// Of two metrics, the sum.
    Sum(usize, usize, &'static str, i64),
    Changed(usize),
    Type(&'static str),
    /// A function, of a metric, over seconds.
    Window(&'static str, usize, i64, &'static str, f64),
    Deviation(usize, f64),
    /// Of the device or a metric, for seconds.
    Silent(Option<usize>, i64),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

/// What a condition is looked at with. Times are seconds.
pub(super) struct View<'a> {
    /// Of each metric the last value, and when it was heard.
    pub(super) last: &'a [Option<(Sample, i64)>; 3],
    /// Whether the moment changed it.
    pub(super) changed: &'a [bool; 3],
    /// Of each metric all readings that windows may hold: time and value, in the order in which they came.
    pub(super) held: &'a [Vec<(i64, f64)>; 3],
    /// Of each metric the values in the order of time.
    pub(super) ordered: &'a [Vec<f64>; 3],
    pub(super) device_type: Option<&'static str>,
    pub(super) heard: i64,
    pub(super) seen: i64,
    pub(super) now: i64,
}

impl Condition {
    pub(super) fn sql(&self) -> String {
        let all = |parts: &[Self], word: &str| {
            parts.iter().map(|part| format!("({})", part.sql())).collect::<Vec<_>>().join(word)
        };
        match self {
            Self::Compare(metric, op, value) => format!("{} {op} {value}", METRICS[*metric]),
            Self::Text(metric, text) => format!("{} = '{text}'", METRICS[*metric]),
            Self::IsNull(metric) => format!("{} IS NULL", METRICS[*metric]),
            Self::Sum(a, b, op, value) => format!("{} + {} {op} {value}", METRICS[*a], METRICS[*b]),
            Self::Changed(metric) => format!("changed({})", METRICS[*metric]),
            Self::Type(name) => format!("device.type = '{name}'"),
            Self::Window(func, metric, seconds, op, value) => {
                format!("{func}({}, '{seconds}s') {op} {value}", METRICS[*metric])
            }
            Self::Deviation(metric, value) => format!("zscore({}, 12) > {value}", METRICS[*metric]),
            Self::Silent(None, seconds) => format!("no_data('{seconds} seconds')"),
            Self::Silent(Some(metric), seconds) => format!("no_data({}, '{seconds}s')", METRICS[*metric]),
            Self::Not(of) => format!("NOT ({})", of.sql()),
            Self::And(parts) => all(parts, " AND "),
            Self::Or(parts) => all(parts, " OR "),
        }
    }

    pub(super) fn any(&self, what: &dyn Fn(&Self) -> bool) -> bool {
        what(self)
            || match self {
                Self::Not(of) => of.any(what),
                Self::And(parts) | Self::Or(parts) => parts.iter().any(|part| part.any(what)),
                _ => false,
            }
    }

    pub(super) fn names(&self, metric: usize) -> bool {
        self.any(&|part| match part {
            Self::Compare(of, ..)
            | Self::Text(of, _)
            | Self::IsNull(of)
            | Self::Changed(of)
            | Self::Deviation(of, _) => *of == metric,
            Self::Sum(a, b, ..) => *a == metric || *b == metric,
            Self::Window(_, of, ..) => *of == metric,
            Self::Silent(of, _) => *of == Some(metric),
            _ => false,
        })
    }

    /// The silences that it asks for.
    pub(super) fn silences(&self) -> Vec<(Option<usize>, i64)> {
        match self {
            Self::Silent(metric, seconds) => vec![(*metric, *seconds)],
            Self::Not(of) => of.silences(),
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::silences).collect(),
            _ => Vec::new(),
        }
    }

    /// What of it says something of facts alone must be so for the rule to be for a device.
    pub(super) fn is_for(&self, device_type: Option<&str>) -> bool {
        let is_facts = |part: &Self| {
            !part.any(&|part| !matches!(part, Self::Type(_) | Self::Not(_) | Self::And(_) | Self::Or(_)))
        };
        match self {
            Self::And(parts) if !is_facts(self) => parts.iter().all(|part| part.is_for(device_type)),
            part if is_facts(part) => part.of_type(device_type) == Some(true),
            _ => true,
        }
    }

    fn of_type(&self, device_type: Option<&str>) -> Option<bool> {
        match self {
            Self::Type(name) => device_type.map(|device_type| device_type == *name),
            Self::Not(of) => of.of_type(device_type).map(|truth| !truth),
            Self::And(parts) => all(parts.iter().map(|part| part.of_type(device_type)), true),
            Self::Or(parts) => all(parts.iter().map(|part| part.of_type(device_type)), false),
            _ => None,
        }
    }

    pub(super) fn truth(&self, view: &View<'_>) -> Option<bool> {
        match self {
            Self::Compare(metric, op, value) => Some(compare(number(view, *metric)?, op, *value as f64)),
            Self::Text(metric, text) => match view.last[*metric]?.0 {
                Sample::Text(found) => Some(found == *text),
                _ => None,
            },
            Self::IsNull(metric) => Some(view.last[*metric].is_none_or(|(value, _)| value == Sample::NaN)),
            Self::Sum(a, b, op, value) => {
                Some(compare(number(view, *a)? + number(view, *b)?, op, *value as f64))
            }
            Self::Changed(metric) => view.last[*metric].map(|_| view.changed[*metric]),
            Self::Type(name) => view.device_type.map(|device_type| device_type == *name),
            Self::Window(func, metric, seconds, op, value) => {
                Some(compare(window(func, &view.held[*metric], *seconds, view.seen)?, op, *value))
            }
            Self::Deviation(metric, value) => Some(deviation(&view.ordered[*metric])? > *value),
            Self::Silent(None, seconds) => Some(view.now >= view.heard + seconds),
            Self::Silent(Some(metric), seconds) => {
                view.last[*metric].map(|(_, heard)| view.now >= heard + seconds)
            }
            Self::Not(of) => of.truth(view).map(|truth| !truth),
            Self::And(parts) => all(parts.iter().map(|part| part.truth(view)), true),
            Self::Or(parts) => all(parts.iter().map(|part| part.truth(view)), false),
        }
    }
}

/// SQL's AND (of true) and OR (of false).
fn all(truths: impl Iterator<Item = Option<bool>>, neutral: bool) -> Option<bool> {
    let truths: Vec<_> = truths.collect();
    if truths.contains(&Some(!neutral)) {
        return Some(!neutral);
    }
    if truths.contains(&None) { None } else { Some(neutral) }
}

fn number(view: &View<'_>, metric: usize) -> Option<f64> {
    match view.last[metric]?.0 {
        Sample::Number(value) => Some(value as f64),
        Sample::Bool(value) => Some(f64::from(u8::from(value))),
        _ => None,
    }
}

fn compare(a: f64, op: &str, b: f64) -> bool {
    match op {
        ">" => a > b,
        ">=" => a >= b,
        "<" => a < b,
        "<=" => a <= b,
        "=" => a == b,
        _ => a != b,
    }
}

/// A window is the pane of its end, whole, and the 23 before it; what lies a whole window behind the newest reading is not held.
fn window(func: &str, held: &[(i64, f64)], seconds: i64, seen: i64) -> Option<f64> {
    let start = crate::given::START;
    let second = crate::given::SECOND;
    let width = (seconds * second + 23) / 24;
    let pane = |at: i64| (start + at * second).div_euclid(width);
    let newest = held.iter().map(|(at, _)| *at).max()?;
    if func == "p95" {
        let mut values: Vec<f64> = held
            .iter()
            .filter(|(at, _)| *at > newest.max(seen) - seconds && *at <= seen)
            .map(|(_, value)| *value)
            .collect();
        values.sort_by(f64::total_cmp);
        return values.get((values.len() * 95).div_ceil(100).max(1) - 1).copied();
    }
    let mut within: Vec<(i64, f64)> = held
        .iter()
        .copied()
        .filter(|(at, _)| pane(*at) > pane(newest.max(seen)) - 24 && pane(*at) <= pane(seen))
        .collect();
    within.sort_by_key(|(at, _)| *at);
    if func == "count" {
        return (!held.is_empty()).then_some(within.len() as f64);
    }
    let (first, last) = (within.first()?, within.last()?);
    let values = || within.iter().map(|(_, value)| *value);
    Some(match func {
        "avg" => values().sum::<f64>() / within.len() as f64,
        "sum" => values().sum(),
        "min" => values().fold(f64::INFINITY, f64::min),
        "max" => values().fold(f64::NEG_INFINITY, f64::max),
        "first" => first.1,
        "last" => last.1,
        "delta" => last.1 - first.1,
        "rate" if last.0 > first.0 => (last.1 - first.1) / (last.0 - first.0) as f64,
        "stddev" if within.len() > 1 => {
            let mean = values().sum::<f64>() / within.len() as f64;
            (values().map(|value| (value - mean).powi(2)).sum::<f64>() / (within.len() - 1) as f64).sqrt()
        }
        _ => return None,
    })
}

/// Of the newest value among the twelve before it.
fn deviation(ordered: &[f64]) -> Option<f64> {
    let (newest, before) = ordered.split_last()?;
    let before = &before[before.len().saturating_sub(12)..];
    if before.len() < 10 {
        return None;
    }
    let count = before.len() as f64;
    let mean = before.iter().sum::<f64>() / count;
    let spread = (before.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    if *newest == mean {
        return Some(0.0);
    }
    Some(if spread == 0.0 { f64::INFINITY.copysign(newest - mean) } else { (newest - mean) / spread })
}

impl Asked {
    pub(super) fn document(&self, name: &str) -> String {
        let mut document = serde_json::json!({
            "name": name, "when": self.when.sql(), "for": format!("{}s", self.hold), "retrospective": self.retrospective,
        });
        if let Some(clear) = &self.clear {
            document["clear_when"] = clear.sql().into();
        }
        if let Some(scope) = self.scope {
            document["scope"] = serde_json::json!({"type": scope});
        }
        document.to_string()
    }
}

pub(super) fn asked() -> impl Strategy<Value = Asked> {
    let hold = prop_oneof![2 => Just(0_i64), 1 => 1..40_i64];
    (any::<bool>(), hold, any::<u8>()).prop_flat_map(|(looks_back, hold, dice)| {
        let condition = || {
            if looks_back {
                any_condition(leaf_that_looks_back().boxed())
            } else {
                any_condition(leaf().boxed())
            }
        };
        let clear = if dice % 3 == 0 { condition().prop_map(Some).boxed() } else { Just(None).boxed() };
        // A window is there for a device as long as some rule for it asks: rules that look back are for all.
        let scope = (!looks_back && dice % 5 == 0).then_some(TYPES[0]);
        let wanted = |condition: &Condition| {
            condition.any(&|part| {
                !matches!(part, Condition::Type(_) | Condition::Not(_) | Condition::And(_) | Condition::Or(_))
            })
        };
        (
            condition().prop_filter("names something", wanted),
            clear.prop_filter("names something", move |clear| clear.as_ref().is_none_or(wanted)),
        )
            .prop_map(move |(when, clear)| Asked {
                when,
                clear,
                hold,
                scope,
                retrospective: dice % 2 == 0,
            })
    })
}

fn any_condition(leaf: BoxedStrategy<Condition>) -> BoxedStrategy<Condition> {
    leaf.prop_recursive(3, 6, 3, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::And),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Or),
            1 => inner.prop_map(|of| Condition::Not(Box::new(of))),
        ]
    })
    .boxed()
}

fn op() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![">", ">=", "<", "<=", "=", "<>"])
}

fn leaf() -> impl Strategy<Value = Condition> {
    let metric = || 0..METRICS.len();
    prop_oneof![
        8 => (metric(), op(), 0..10_i64).prop_map(|(metric, op, value)| Condition::Compare(metric, op, value)),
        1 => metric().prop_map(|metric| Condition::Text(metric, "fault")),
        1 => metric().prop_map(Condition::IsNull),
        1 => (metric(), metric(), op(), 0..20_i64).prop_map(|(a, b, op, value)| Condition::Sum(a, b, op, value)),
        1 => metric().prop_map(Condition::Changed),
        2 => prop::sample::select(TYPES.to_vec()).prop_map(Condition::Type),
        1 => (5..60_i64).prop_map(|seconds| Condition::Silent(None, seconds)),
        1 => (metric(), 5..60_i64).prop_map(|(metric, seconds)| Condition::Silent(Some(metric), seconds)),
    ]
}

fn leaf_that_looks_back() -> impl Strategy<Value = Condition> {
    let metric = || 0..METRICS.len();
    let func = prop::sample::select(vec![
        "avg", "sum", "min", "max", "count", "first", "last", "delta", "rate", "stddev", "p95",
    ]);
    prop_oneof![
        6 => (func, metric(), prop::sample::select(vec![10_i64, 24, 60]), op(), 0..6_i64).prop_map(|(func, metric, seconds, op, value)| {
            // What is divided is not compared with what it could be to the last digit.
            let value = value as f64 + if matches!(func, "avg" | "stddev" | "rate") { 0.173 } else { 0.0 };
            Condition::Window(func, metric, seconds, op, value)
        }),
        1 => metric().prop_map(|metric| Condition::Deviation(metric, 1.173)),
        2 => (metric(), op(), 0..10_i64).prop_map(|(metric, op, value)| Condition::Compare(metric, op, value)),
        1 => metric().prop_map(Condition::Changed),
        1 => (5..60_i64).prop_map(|seconds| Condition::Silent(None, seconds)),
        1 => (metric(), 5..60_i64).prop_map(|(metric, seconds)| Condition::Silent(Some(metric), seconds)),
    ]
}
