//! Rules: what they say, compiled, and evaluated over readings.
//!
//! A [`Document`] is what people write, a [`Rule`] is one with a name and a version. [`RuleSet::compile`] makes a set of the rules of all
//! tenants; an [`Evaluator`] is given the messages of one partition of the log, in their order, and says which conditions began to hold for
//! which devices, and which ended ([`Transition`]). What the language means stands in `docs/rules.md`, how the state is kept in
//! `docs/formats/rules-state.md`, why it is so in `docs/decisions/rules.md`.
//!
//! Nothing here does I/O or reads a clock. The same rules and the same messages give the same transitions.

mod detectors;
mod document;
mod duration;
mod error;
mod evaluator;
mod language;
pub mod limits;
mod rule;
mod schedule;
mod set;
mod transition;
mod window;

pub use detectors::{Asked, LastValues, Priors, PriorsError, Standard};
#[cfg(feature = "onnx")]
pub use detectors::{Models, ModelsError};
pub use document::{Class, Document, DocumentError, Notify, Route, Scope};
pub use duration::{Duration, DurationError};
pub use error::CompileError;
pub use evaluator::{
    Detector, Detectors, Evaluator, Explanation, Filled, Filling, Message, NoDetectors, OpenCause,
    OpenWindows, Output, Part, Phase, Routed, Score, Series, Settings, StateError,
};
pub use rule::Rule;
pub use schedule::{Day, Schedule};
pub use set::{RuleSet, Wants};
pub use transition::{Kind, RuleId, Severity, Transition};
