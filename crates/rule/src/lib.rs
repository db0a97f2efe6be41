//! Rules: what they say, compiled, and evaluated over readings.

mod transition;

pub use transition::{Kind, RuleId, Severity, Transition};
