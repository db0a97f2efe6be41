//! Typed expressions, and what they evaluate to.

use std::cmp::Ordering;

use super::datum::Datum;
use super::like::Like;

/// An expression over numbered names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Null,
    Number(f64),
    Bool(bool),
    Text(Box<str>),
    /// The last known value of a metric.
    Metric(u32),
    /// A fact of the device.
    Fact(u32),
    /// The device's id.
    DeviceId,
    /// What a track says.
    Track(u32, Func),
    /// Whether the reading at hand differs from the one before it.
    Changed(u32),
    /// Whether the device, or a metric of it, was not heard for so many nanoseconds.
    Silent(Option<u32>, i64),
    /// Metres from a metric's place to another one.
    Distance(u32, Box<[Expr; 2]>),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Math(Math, Box<[Expr; 2]>),
    Compare(Compare, Box<[Expr; 2]>),
    Like(Box<Expr>, Box<Like>),
    IsNull(Box<Expr>),
    /// Whether it is this truth value; `None` is unknown.
    IsTruth(Box<Expr>, Option<bool>),
    /// Pairs of condition and result, and what else.
    Case(Vec<(Expr, Expr)>, Box<Expr>),
    Call(Call, Vec<Expr>),
}

/// Arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Math {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// Functions of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Abs,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Least,
    Greatest,
    Coalesce,
}

/// What is asked of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Func {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Stddev,
    First,
    Last,
    P95,
    Rate,
    Delta,
    Increase,
    /// Standard deviations from the values before.
    Deviation,
    /// What a detector says.
    Score,
}

/// What an expression is evaluated over.
pub(crate) trait Seen {
    fn metric(&self, metric: u32) -> Datum<'_>;
    fn fact(&self, fact: u32) -> Datum<'_>;
    fn device_id(&self) -> &str;
    fn track(&self, track: u32, func: Func) -> Datum<'_>;
    fn changed(&self, metric: u32) -> Datum<'_>;
    fn silent(&self, metric: Option<u32>, nanos: i64) -> Datum<'_>;
}

impl Expr {
    /// What it is of what was seen. Kinds that do not go together give NULL.
    pub(crate) fn eval<'a>(&'a self, seen: &'a impl Seen) -> Datum<'a> {
        match self {
            Self::Null => Datum::Null,
            Self::Number(value) => Datum::Number(*value),
            Self::Bool(value) => Datum::Bool(*value),
            Self::Text(text) => Datum::Text(text),
            Self::Metric(metric) => seen.metric(*metric),
            Self::Fact(fact) => seen.fact(*fact),
            Self::DeviceId => Datum::Text(seen.device_id()),
            Self::Track(track, func) => seen.track(*track, *func),
            Self::Changed(metric) => seen.changed(*metric),
            Self::Silent(metric, nanos) => seen.silent(*metric, *nanos),
            Self::Distance(metric, to) => distance(seen.metric(*metric), to[0].eval(seen), to[1].eval(seen)),
            Self::Not(of) => Datum::truth(of.truth(seen).map(|truth| !truth)),
            Self::And(parts) => Datum::truth(all(parts, seen, true)),
            Self::Or(parts) => Datum::truth(all(parts, seen, false)),
            Self::Math(math, of) => math.of(of[0].eval(seen), of[1].eval(seen)),
            Self::Compare(compare, of) => Datum::truth(compare.of(of[0].eval(seen), of[1].eval(seen))),
            Self::Like(of, like) => match of.eval(seen) {
                Datum::Text(text) => Datum::Bool(like.matches(text)),
                _ => Datum::Null,
            },
            Self::IsNull(of) => Datum::Bool(of.eval(seen) == Datum::Null),
            Self::IsTruth(of, wanted) => Datum::Bool(of.truth(seen) == *wanted),
            Self::Case(branches, other) => {
                let holds = |branch: &&(Self, Self)| branch.0.truth(seen) == Some(true);
                branches.iter().find(holds).map_or(&**other, |branch| &branch.1).eval(seen)
            }
            Self::Call(call, of) => call.of(of, seen),
        }
    }

    /// As a condition; `None` is unknown.
    #[inline]
    pub(crate) fn truth(&self, seen: &impl Seen) -> Option<bool> {
        self.eval(seen).as_truth()
    }

    /// The expressions it is made of.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::And(parts) | Self::Or(parts) | Self::Call(_, parts) => parts.iter().collect(),
            Self::Not(of) | Self::Like(of, _) | Self::IsNull(of) | Self::IsTruth(of, _) => vec![of],
            Self::Math(_, of) | Self::Compare(_, of) | Self::Distance(_, of) => of.iter().collect(),
            Self::Case(branches, other) => {
                branches.iter().flat_map(|(when, then)| [when, then]).chain([&**other]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether `what` is so of it or of anything in it.
    pub(crate) fn any(&self, what: &impl Fn(&Self) -> bool) -> bool {
        what(self) || self.parts().into_iter().any(|part| part.any(what))
    }
}

/// SQL's AND, where `neutral` is true, and OR, where it is false: the other value decides, an unknown part makes it unknown.
fn all(parts: &[Expr], seen: &impl Seen, neutral: bool) -> Option<bool> {
    let mut result = Some(neutral);
    for part in parts {
        match part.truth(seen) {
            Some(truth) if truth != neutral => return Some(truth),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

impl Math {
    /// NULL where one is no number, for a division by zero, and where the result is no number.
    pub(crate) fn of<'a>(self, a: Datum<'_>, b: Datum<'_>) -> Datum<'a> {
        let (Some(a), Some(b)) = (a.as_number(), b.as_number()) else { return Datum::Null };
        Datum::number(match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide | Self::Remainder if b == 0.0 => f64::NAN,
            Self::Divide => a / b,
            Self::Remainder => a % b,
        })
    }
}

impl Compare {
    fn of(self, a: Datum<'_>, b: Datum<'_>) -> Option<bool> {
        let ordering = match (a, b) {
            // Places are equal or not, none is greater.
            (Datum::Place(a, b), Datum::Place(c, d)) => match self {
                Self::Equal => return Some((a, b) == (c, d)),
                Self::NotEqual => return Some((a, b) != (c, d)),
                _ => return None,
            },
            _ => a.compare(&b)?,
        };
        Some(match self {
            Self::Less => ordering == Ordering::Less,
            Self::LessOrEqual => ordering != Ordering::Greater,
            Self::Greater => ordering == Ordering::Greater,
            Self::GreaterOrEqual => ordering != Ordering::Less,
            Self::Equal => ordering == Ordering::Equal,
            Self::NotEqual => ordering != Ordering::Equal,
        })
    }
}

impl Call {
    fn of<'a>(self, of: &'a [Expr], seen: &'a impl Seen) -> Datum<'a> {
        match self {
            Self::Coalesce => of
                .iter()
                .map(|part| part.eval(seen))
                .find(|datum| *datum != Datum::Null)
                .unwrap_or(Datum::Null),
            // As in PostgreSQL: what is NULL is passed over.
            Self::Least => fold(of, seen, f64::min),
            Self::Greatest => fold(of, seen, f64::max),
            Self::Round => {
                let digits = of.get(1).map_or(Some(0.0), |digits| digits.eval(seen).as_number());
                match (of[0].eval(seen).as_number(), digits) {
                    (Some(value), Some(digits)) => {
                        let scale = 10_f64.powi(digits.clamp(-15.0, 15.0) as i32);
                        Datum::number((value * scale).round() / scale)
                    }
                    _ => Datum::Null,
                }
            }
            Self::Abs | Self::Floor | Self::Ceil | Self::Sqrt => {
                of[0].eval(seen).as_number().map_or(Datum::Null, |value| {
                    Datum::number(match self {
                        Self::Abs => value.abs(),
                        Self::Floor => value.floor(),
                        Self::Ceil => value.ceil(),
                        _ => value.sqrt(),
                    })
                })
            }
        }
    }
}

fn fold<'a>(of: &'a [Expr], seen: &'a impl Seen, pick: fn(f64, f64) -> f64) -> Datum<'a> {
    of.iter().filter_map(|part| part.eval(seen).as_number()).reduce(pick).map_or(Datum::Null, Datum::number)
}

/// The mean radius of the earth, metres (IUGG).
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// Metres along a great circle of a sphere (haversine): within 0.6 % of the way on the earth.
fn distance<'a>(from: Datum<'_>, lat: Datum<'_>, lng: Datum<'_>) -> Datum<'a> {
    let (Datum::Place(from_lat, from_lng), Some(lat), Some(lng)) = (from, lat.as_number(), lng.as_number())
    else {
        return Datum::Null;
    };
    let half = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let chord =
        half(lat - from_lat) + from_lat.to_radians().cos() * lat.to_radians().cos() * half(lng - from_lng);
    Datum::number(2.0 * EARTH_RADIUS_M * chord.clamp(0.0, 1.0).sqrt().asin())
}
