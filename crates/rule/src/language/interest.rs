//! When the truth of a condition can change: at which thresholds of which numbers, and where that cannot be said.

use super::build::Condition;
use super::expr::{Compare, Expr, Func};

/// A number that changes when its metric's reading comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Signal {
    Metric(u32),
    Track(u32, Func),
}

/// What the truth of conditions depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interest {
    /// A signal's crossing of these can change it.
    pub(crate) thresholds: Vec<(Signal, f64)>,
    /// Any change of these can.
    pub(crate) loose: Vec<u32>,
    /// Whether a track is asked where no threshold can be told.
    pub(crate) loose_tracks: bool,
    /// Whether it can change although no value does: `changed`, `no_data`.
    pub(crate) restless: bool,
}

/// What the truth of these conditions depends on.
pub(crate) fn interest<'a>(conditions: impl Iterator<Item = &'a Condition>) -> Interest {
    let mut found = Interest::default();
    conditions.for_each(|condition| condition_of(&condition.expr, &mut found));
    found
}

fn condition_of(expr: &Expr, found: &mut Interest) {
    match expr {
        Expr::And(parts) => tightest(parts, true).for_each(|part| condition_of(part, found)),
        Expr::Or(parts) => tightest(parts, false).for_each(|part| condition_of(part, found)),
        Expr::Not(of) => condition_of(of, found),
        Expr::Compare(_, of) => match (&of[0], &of[1]) {
            (signal, Expr::Number(threshold)) | (Expr::Number(threshold), signal) => match signal {
                Expr::Metric(metric) => found.thresholds.push((Signal::Metric(*metric), *threshold)),
                Expr::Track(track, func) => found.thresholds.push((Signal::Track(*track, *func), *threshold)),
                _ => loose(expr, found),
            },
            _ => loose(expr, found),
        },
        _ => loose(expr, found),
    }
}

fn loose(expr: &Expr, found: &mut Interest) {
    match expr {
        Expr::Metric(metric) | Expr::Distance(metric, _) => found.loose.push(*metric),
        Expr::Track(..) => found.loose_tracks = true,
        Expr::Changed(_) | Expr::Silent(..) => found.restless = true,
        _ => {}
    }
    expr.parts().into_iter().for_each(|part| loose(part, found));
}

/// Where a signal must be for a condition to be true: above, below or at a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Above,
    Below,
    At,
}

/// What must be so of signals for a condition to be true: its comparisons that are joined by AND.
pub(crate) fn needs(expr: &Expr) -> Vec<(Signal, Side, f64)> {
    match expr {
        Expr::And(parts) => tightest(parts, true).flat_map(needs).collect(),
        _ => bound(expr).into_iter().collect(),
    }
}

/// The parts of a condition without comparisons that decide nothing beside others: `a > 60` in `a > 60 AND a > 80`, `a > 80` in
/// `a > 60 OR a > 80`.
fn tightest(parts: &[Expr], is_and: bool) -> impl Iterator<Item = &Expr> {
    let bounds: Vec<_> = parts.iter().map(bound).collect();
    let decides = move |own: &Option<(Signal, Side, f64)>| {
        let Some((signal, side, at)) = *own else { return true };
        let is_beyond = |other: f64| match side {
            Side::Above => other != at && (other > at) == is_and,
            Side::Below => other != at && (other < at) == is_and,
            Side::At => false,
        };
        let mut others = bounds.iter().flatten();
        !others.any(|(of, to, other)| (*of, *to) == (signal, side) && is_beyond(*other))
    };
    parts.iter().filter(move |part| decides(&bound(part)))
}

/// Where a comparison wants a signal to be.
fn bound(expr: &Expr) -> Option<(Signal, Side, f64)> {
    let Expr::Compare(compare, of) = expr else { return None };
    let (signal, threshold, is_turned) = match (&of[0], &of[1]) {
        (signal, Expr::Number(threshold)) => (signal, *threshold, false),
        (Expr::Number(threshold), signal) => (signal, *threshold, true),
        _ => return None,
    };
    let signal = match signal {
        Expr::Metric(metric) => Signal::Metric(*metric),
        Expr::Track(track, func) => Signal::Track(*track, *func),
        _ => return None,
    };
    let side = match (compare, is_turned) {
        (Compare::Greater | Compare::GreaterOrEqual, false)
        | (Compare::Less | Compare::LessOrEqual, true) => Side::Above,
        (Compare::Less | Compare::LessOrEqual, false)
        | (Compare::Greater | Compare::GreaterOrEqual, true) => Side::Below,
        (Compare::Equal, _) => Side::At,
        (Compare::NotEqual, _) => return None,
    };
    Some((signal, side, threshold))
}
