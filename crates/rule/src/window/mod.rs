//! What is kept of a metric's readings for conditions that look back.

mod deviation;
mod panes;
mod totals;
mod values;

pub(crate) use deviation::Deviation;
pub(crate) use panes::Panes;
pub(crate) use totals::{Parts, Totals};
pub(crate) use values::Values;
