//! The functions of conditions.

use sqlparser::ast::{Expr as Tree, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};

use super::anomaly;
use super::build::{Builder, Kind, Typed};
use super::expr::{Call, Expr, Func};
use super::names::{Fact, TrackKind};
use crate::limits::{SHORTEST_WINDOW_NS, TRACKS_PER_METRIC, WINDOW_NS, ZSCORE_VALUES};
use crate::window::Parts;
use crate::{CompileError, Duration};

/// A call of a function.
pub(super) fn build(
    builder: &mut Builder<'_>,
    tree: &Tree,
    function: &Function,
) -> Result<Typed, CompileError> {
    let name = function.name.to_string().to_ascii_lowercase();
    let args = arguments(builder, tree, function)?;
    if let Some((func, parts)) = window_of(&name) {
        let [metric, duration] =
            exactly(builder, tree, &args, "a metric and a duration: avg(temperature, '5 minutes')")?;
        return window(builder, tree, metric, duration, func, parts);
    }
    if let Some(call) = call_of(&name) {
        return plain(builder, tree, call, &args);
    }
    match name.as_str() {
        "no_data" => silent(builder, tree, &args),
        "changed" => {
            let [metric] = exactly(builder, tree, &args, "a metric: changed(state)")?;
            let metric = metric_of(builder, metric)?;
            Ok(builder.leaf(tree, Expr::Changed(metric), Kind::Bool))
        }
        "distance" => distance(builder, tree, &args),
        "zscore" => deviation(builder, tree, &args),
        "anomaly" => anomaly::score(builder, tree, &args),
        "anomalous" => anomaly::beyond(builder, tree, &args),
        "device.tag" => {
            let [key] = exactly(builder, tree, &args, "a key: device.tag('line')")?;
            let key = text_of(builder, key)?;
            Ok(builder.fact(tree, Fact::Tag(key.into())))
        }
        _ => Err(builder
            .parsed
            .error(tree, format!("there is no function {name}: see docs/rules.md for those there are"))),
    }
}

/// `FLOOR(x)` and `CEIL(x)`, which the parser has as words of their own.
pub(super) fn rounded(builder: &mut Builder<'_>, tree: &Tree, of: &Tree) -> Result<Typed, CompileError> {
    let call = if matches!(tree, Tree::Floor { .. }) { Call::Floor } else { Call::Ceil };
    Ok((Expr::Call(call, vec![builder.number(of)?]), Kind::Number))
}

fn window_of(name: &str) -> Option<(Func, Parts)> {
    Some(match name {
        "avg" | "mean" => (Func::Avg, Parts::SUM),
        "min" => (Func::Min, Parts::EXTREMES),
        "max" => (Func::Max, Parts::EXTREMES),
        "sum" => (Func::Sum, Parts::SUM),
        "count" => (Func::Count, Parts::SUM),
        "stddev" => (Func::Stddev, Parts::MOMENTS),
        "first" => (Func::First, Parts::ENDS),
        "last" => (Func::Last, Parts::ENDS),
        "rate" => (Func::Rate, Parts::ENDS),
        "delta" => (Func::Delta, Parts::ENDS),
        "increase" => (Func::Increase, Parts::ENDS),
        "p95" => (Func::P95, Parts::NONE),
        _ => return None,
    })
}

fn call_of(name: &str) -> Option<Call> {
    Some(match name {
        "abs" => Call::Abs,
        "round" => Call::Round,
        "floor" => Call::Floor,
        "ceil" => Call::Ceil,
        "sqrt" => Call::Sqrt,
        "least" => Call::Least,
        "greatest" => Call::Greatest,
        "coalesce" => Call::Coalesce,
        _ => return None,
    })
}

fn arguments<'a>(
    builder: &Builder<'_>,
    tree: &Tree,
    function: &'a Function,
) -> Result<Vec<&'a Tree>, CompileError> {
    let refused = || {
        builder
            .parsed
            .error(tree, format!("{tree} is more than a call of a function, and no part of conditions"))
    };
    let FunctionArguments::List(list) = &function.args else { return Err(refused()) };
    let is_plain = function.filter.is_none()
        && function.over.is_none()
        && function.within_group.is_empty()
        && function.null_treatment.is_none()
        && list.duplicate_treatment.is_none()
        && list.clauses.is_empty();
    if !is_plain {
        return Err(refused());
    }
    let arg = |arg: &'a FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(tree)) => Ok(tree),
        _ => Err(refused()),
    };
    list.args.iter().map(arg).collect()
}

fn exactly<'a, const N: usize>(
    builder: &Builder<'_>,
    tree: &Tree,
    args: &[&'a Tree],
    wanted: &str,
) -> Result<[&'a Tree; N], CompileError> {
    args.try_into().map_err(|_| {
        builder.parsed.error(tree, format!("{tree} has {} arguments; it takes {wanted}", args.len()))
    })
}

pub(super) fn metric_of(builder: &mut Builder<'_>, tree: &Tree) -> Result<u32, CompileError> {
    match tree {
        Tree::Identifier(name) => builder.metric_number(tree, &name.value),
        Tree::CompoundIdentifier(names) if names[0].value != "device" || names[0].quote_style.is_some() => {
            let name: Vec<_> = names.iter().map(|name| name.value.as_str()).collect();
            builder.metric_number(tree, &name.join("."))
        }
        _ => Err(builder.parsed.error(tree, format!("the name of a metric is needed here, not {tree}"))),
    }
}

pub(super) fn text_of<'a>(builder: &Builder<'_>, tree: &'a Tree) -> Result<&'a str, CompileError> {
    match tree {
        Tree::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Ok(text),
            _ => {
                Err(builder.parsed.error(tree, format!("a text in single quotes is needed here, not {tree}")))
            }
        },
        _ => Err(builder.parsed.error(tree, format!("a text in single quotes is needed here, not {tree}"))),
    }
}

/// Nanoseconds of a duration that a window may have.
fn duration_of(builder: &Builder<'_>, tree: &Tree) -> Result<i64, CompileError> {
    let duration = Duration::parse(text_of(builder, tree)?);
    let nanos = duration.map_err(|error| builder.parsed.error(tree, error.to_string()))?.nanos();
    if (SHORTEST_WINDOW_NS..=WINDOW_NS).contains(&nanos) {
        return Ok(nanos);
    }
    Err(builder.parsed.error(tree, "a duration here is from 1 second to 7 days"))
}

fn window(
    builder: &mut Builder<'_>,
    tree: &Tree,
    metric: &Tree,
    duration: &Tree,
    func: Func,
    parts: Parts,
) -> Result<Typed, CompileError> {
    let metric = metric_of(builder, metric)?;
    let nanos = duration_of(builder, duration)?;
    let kind = if func == Func::P95 { TrackKind::Values(nanos) } else { TrackKind::Window(nanos) };
    track(builder, tree, metric, kind, func, parts)
}

pub(super) fn track(
    builder: &mut Builder<'_>,
    tree: &Tree,
    metric: u32,
    kind: TrackKind,
    func: Func,
    parts: Parts,
) -> Result<Typed, CompileError> {
    let is_new = builder.names.find_track(metric, &kind).is_none();
    if is_new && builder.names.tracks_of(metric) >= TRACKS_PER_METRIC {
        let message = format!(
            "rules keep {TRACKS_PER_METRIC} different windows of this metric already: use one of their durations"
        );
        return Err(builder.parsed.error(tree, message));
    }
    let track = builder.names.track(metric, kind, parts);
    builder.note_track(tree, track)?;
    Ok(builder.leaf(tree, Expr::Track(track, func), Kind::Number))
}

fn silent(builder: &mut Builder<'_>, tree: &Tree, args: &[&Tree]) -> Result<Typed, CompileError> {
    let (metric, duration) = match *args {
        [duration] => (None, duration),
        [metric, duration] => (Some(metric_of(builder, metric)?), duration),
        _ => {
            return Err(builder
                .parsed
                .error(tree, "no_data takes a duration, or a metric and a duration: no_data('10 minutes')"));
        }
    };
    let silence = (metric, duration_of(builder, duration)?);
    if !builder.condition.silences.contains(&silence) {
        builder.condition.silences.push(silence);
    }
    Ok(builder.leaf(tree, Expr::Silent(silence.0, silence.1), Kind::Bool))
}

fn distance(builder: &mut Builder<'_>, tree: &Tree, args: &[&Tree]) -> Result<Typed, CompileError> {
    let [metric, lat, lng] = exactly(
        builder,
        tree,
        args,
        "a metric, a latitude and a longitude: distance(position, 53.55, 9.99)",
    )?;
    let metric = metric_of(builder, metric)?;
    let to = Box::new([builder.number(lat)?, builder.number(lng)?]);
    Ok(builder.leaf(tree, Expr::Distance(metric, to), Kind::Number))
}

fn deviation(builder: &mut Builder<'_>, tree: &Tree, args: &[&Tree]) -> Result<Typed, CompileError> {
    let [metric, count] =
        exactly(builder, tree, args, "a metric and a number of values: zscore(temperature, 100)")?;
    let metric = metric_of(builder, metric)?;
    let number = match count {
        Tree::Value(value) => value.value.to_string().parse::<usize>().ok(),
        _ => None,
    };
    let Some(count) = number.filter(|count| ZSCORE_VALUES.contains(count)) else {
        let (fewest, most) = (ZSCORE_VALUES.start(), ZSCORE_VALUES.end());
        return Err(builder
            .parsed
            .error(args[1], format!("the number of values to compare with is from {fewest} to {most}")));
    };
    let kind = TrackKind::Deviation(u32::try_from(count).expect("it was checked against its limit"));
    track(builder, tree, metric, kind, Func::Deviation, Parts::NONE)
}

/// Functions of values.
fn plain(builder: &mut Builder<'_>, tree: &Tree, call: Call, args: &[&Tree]) -> Result<Typed, CompileError> {
    let fits = match call {
        Call::Abs | Call::Floor | Call::Ceil | Call::Sqrt => args.len() == 1,
        Call::Round => (1..=2).contains(&args.len()),
        Call::Least | Call::Greatest | Call::Coalesce => !args.is_empty(),
    };
    if !fits {
        return Err(builder
            .parsed
            .error(tree, format!("{tree} has {} arguments, which it does not take", args.len())));
    }
    let mut kind = None;
    let mut of = Vec::new();
    for arg in args {
        of.push(if call == Call::Coalesce {
            builder.same_kind(arg, &mut kind)?
        } else {
            builder.number(arg)?
        });
    }
    Ok((Expr::Call(call, of), kind.unwrap_or(Kind::Number)))
}
