//! `anomaly` and `anomalous`: what a detector says of a metric, or of several together.

use detect::{Budget, limits};
use sqlparser::ast::{Expr as Tree, Value};

use super::build::{Builder, Kind, Typed};
use super::expr::{Compare, Expr, Func};
use super::functions::{metric_of, text_of, track};
use super::names::TrackKind;
use crate::detectors::{Asked, LastValues};
use crate::limits::{BUDGET_DAYS, MODEL_NAME_BYTES};
use crate::window::Parts;
use crate::{CompileError, Duration};

/// The detectors of one metric. The first is also called `usual`.
const DETECTORS: [&str; 4] = ["automatic", "seasonal", "robust", "zscore"];
/// What the name of a user's model stands behind.
const MODEL: &str = "model:";
/// Values that detectors over the last ones may look at.
const VALUES: std::ops::RangeInclusive<u16> = 8..=limits::WINDOW;
/// How far a clock may be ahead of UTC, minutes.
const OFFSET_MINUTES: i16 = 18 * 60;
const NANOS_PER_DAY: f64 = 86_400e9;

/// `anomaly(metric, …[, detector[, setting]])`: how likely the newest value is an anomaly.
pub(super) fn score(builder: &mut Builder<'_>, tree: &Tree, args: &[&Tree]) -> Result<Typed, CompileError> {
    let (metrics, options) = metrics_first(args);
    let asked = asked(builder, tree, metrics, options, false)?;
    scored(builder, tree, metrics, asked)
}

/// `anomalous(metric, …, budget[, detector[, setting]])`: whether that is more than a budget of false alarms bears. That is a threshold
/// of the score, so all budgets share a detector.
pub(super) fn beyond(builder: &mut Builder<'_>, tree: &Tree, args: &[&Tree]) -> Result<Typed, CompileError> {
    let (metrics, options) = metrics_first(args);
    let Some((budget, options)) = options.split_first() else {
        let message = "anomalous takes a metric, or several, and in how long a time one false alarm is bearable: anomalous(temperature, '30 days')";
        return Err(builder.parsed.error(tree, message));
    };
    let days = days_of(builder, budget)?;
    let asked = asked(builder, tree, metrics, options, true)?;
    let leaves = builder.condition.leaves.len();
    let (score, _) = scored(builder, tree, metrics, asked)?;
    // For people it is the question as a whole that has a value.
    builder.condition.leaves.truncate(leaves);
    let threshold = Expr::Number(Budget { days, ..Budget::default() }.threshold());
    let beyond = Expr::Compare(Compare::GreaterOrEqual, Box::new([score, threshold]));
    Ok(builder.leaf(tree, beyond, Kind::Bool))
}

/// The metrics, which come first, and what follows them.
fn metrics_first<'a, 'b>(args: &'b [&'a Tree]) -> (&'b [&'a Tree], &'b [&'a Tree]) {
    let is_option = |arg: &&Tree| matches!(arg, Tree::Value(_));
    args.split_at(args.iter().position(is_option).unwrap_or(args.len()))
}

fn scored(
    builder: &mut Builder<'_>,
    tree: &Tree,
    metrics: &[&Tree],
    asked: Asked,
) -> Result<Typed, CompileError> {
    let metric = metric_of(builder, metrics[0])?;
    track(builder, tree, metric, TrackKind::Score(asked), Func::Score, Parts::NONE)
}

/// Which detector is asked; `is_held` where a budget is to be kept.
fn asked(
    builder: &mut Builder<'_>,
    tree: &Tree,
    metrics: &[&Tree],
    options: &[&Tree],
    is_held: bool,
) -> Result<Asked, CompileError> {
    let with = others(builder, tree, metrics)?;
    let (name, setting) = match *options {
        [] if with.is_empty() => return Ok(Asked::Usual { utc_offset_minutes: 0 }),
        [] => return Ok(Asked::Joint(with)),
        [name] => (name, None),
        [name, setting] => (name, Some(setting)),
        [.., more] => {
            let message = format!("{more} is one too many: a detector takes one setting");
            return Err(builder.parsed.error(more, message));
        }
    };
    let text = text_of(builder, name)?;
    if let Some(model) = text.strip_prefix(MODEL) {
        let name = model_of(builder, name, model)?;
        return no_setting(builder, setting).map(|()| Asked::Model { name, with });
    }
    if !with.is_empty() {
        let message = format!(
            "{name} is for one metric: leave it out to have several looked at together, or name a model, 'model:NAME'"
        );
        return Err(builder.parsed.error(name, message));
    }
    Ok(match text {
        "automatic" | "usual" => Asked::Usual { utc_offset_minutes: offset_of(builder, setting)? },
        "seasonal" => Asked::Seasonal { utc_offset_minutes: offset_of(builder, setting)? },
        "robust" => Asked::Robust(values_of(builder, setting, is_held)?),
        "zscore" => Asked::ZScore(values_of(builder, setting, is_held)?),
        _ => {
            let message =
                format!("there is no detector {text:?}: there are {}, and model:NAME", DETECTORS.join(", "));
            return Err(builder.parsed.error(name, message));
        }
    })
}

/// The names of the metrics beside the first.
fn others(builder: &mut Builder<'_>, tree: &Tree, metrics: &[&Tree]) -> Result<Vec<Box<str>>, CompileError> {
    if metrics.is_empty() {
        let message = "a metric is needed first, or several: anomaly(temperature, 'seasonal')";
        return Err(builder.parsed.error(tree, message));
    }
    if metrics.len() > usize::from(limits::METRICS) {
        let message = format!("more than {} metrics cannot be looked at together", limits::METRICS);
        return Err(builder.parsed.error(metrics[usize::from(limits::METRICS)], message));
    }
    let mut numbers = Vec::with_capacity(metrics.len());
    for &metric in metrics {
        if let Tree::Identifier(name) = metric
            && name.quote_style.is_none()
            && !numbers.is_empty()
            && (DETECTORS.contains(&name.value.as_str()) || name.value == "usual")
        {
            let message = format!(
                "{metric} is the name of a detector: write it in single quotes, or, if it is a metric, in double quotes"
            );
            return Err(builder.parsed.error(metric, message));
        }
        let number = metric_of(builder, metric)?;
        if numbers.contains(&number) {
            return Err(builder.parsed.error(metric, format!("{metric} is named twice")));
        }
        numbers.push(number);
    }
    let name = |number: &u32| builder.names.metrics()[*number as usize].clone();
    Ok(numbers[1..].iter().map(name).collect())
}

fn model_of(builder: &Builder<'_>, tree: &Tree, name: &str) -> Result<Box<str>, CompileError> {
    if cfg!(not(feature = "onnx")) {
        let message = "this build runs no models: it was made without its feature onnx (docs/detectors.md)";
        return Err(builder.parsed.error(tree, message));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty()
        || name.len() > MODEL_NAME_BYTES
        || !name.chars().all(is_plain)
        || name.starts_with('.')
    {
        let message = format!(
            "a model's name is that of its file without .onnx: letters, digits, - _ and . inside, at most {MODEL_NAME_BYTES} bytes"
        );
        return Err(builder.parsed.error(tree, message));
    }
    Ok(name.into())
}

fn no_setting(builder: &Builder<'_>, setting: Option<&Tree>) -> Result<(), CompileError> {
    setting.map_or(Ok(()), |setting| Err(builder.parsed.error(setting, "a model takes no setting")))
}

/// How many of the last values are looked at.
fn values_of(
    builder: &Builder<'_>,
    setting: Option<&Tree>,
    is_held: bool,
) -> Result<LastValues, CompileError> {
    let Some(setting) = setting else { return Ok(LastValues { is_held, ..LastValues::default() }) };
    let number = match setting {
        Tree::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    let Some(last) = number.filter(|last| VALUES.contains(last)) else {
        let (fewest, most) = (VALUES.start(), VALUES.end());
        let message =
            format!("the number of the last values to compare with is needed here, {fewest} to {most}");
        return Err(builder.parsed.error(setting, message));
    };
    Ok(LastValues { last, is_held })
}

/// By how many minutes the people's clock is ahead of UTC: `'+05:30'`.
fn offset_of(builder: &Builder<'_>, setting: Option<&Tree>) -> Result<i16, CompileError> {
    let Some(setting) = setting else { return Ok(0) };
    let minutes = |text: &str| {
        let (sign, rest) = (text.chars().next()?, text.get(1..)?);
        let (hours, minutes) = rest.split_once(':')?;
        let two = |digits: &str| {
            let is_two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
            is_two.then(|| digits.parse::<i16>().ok()).flatten()
        };
        let ahead = two(hours)? * 60 + two(minutes).filter(|minutes| *minutes < 60)?;
        let ahead = match sign {
            '+' => ahead,
            '-' => -ahead,
            _ => return None,
        };
        (ahead.abs() <= OFFSET_MINUTES).then_some(ahead)
    };
    minutes(text_of(builder, setting)?).ok_or_else(|| {
        let message =
            "how far the people's clock is ahead of UTC is written '+05:30' or '-03:00', at most 18 hours";
        builder.parsed.error(setting, message)
    })
}

/// The days of a budget.
fn days_of(builder: &Builder<'_>, tree: &Tree) -> Result<f64, CompileError> {
    let duration = Duration::parse(text_of(builder, tree)?);
    let duration = duration.map_err(|error| builder.parsed.error(tree, error.to_string()))?;
    let days = duration.nanos() as f64 / NANOS_PER_DAY;
    if BUDGET_DAYS.contains(&days) {
        return Ok(days);
    }
    let (least, most) = (BUDGET_DAYS.start(), BUDGET_DAYS.end());
    let message = format!("one false alarm is bearable in {least} to {most} days: '30 days'");
    Err(builder.parsed.error(tree, message))
}
