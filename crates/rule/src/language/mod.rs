//! The language of conditions: from SQL text to typed expressions over numbered names.

mod anomaly;
mod build;
mod datum;
mod expr;
mod functions;
mod interest;
mod like;
mod names;
mod operators;
mod parse;

pub(crate) use build::{Condition, Leaf, build};
pub(crate) use datum::Datum;
pub(crate) use expr::{Compare, Expr, Func, Seen};
pub(crate) use interest::{Side, Signal, interest, needs};
pub(crate) use like::Like;
pub(crate) use names::{Fact, Names, Track, TrackKind};
pub(crate) use parse::parse;
