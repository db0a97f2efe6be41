//! Windows in event time: what of a partition's readings is summed up, and when the sum is final.
//!
//! ```text
//!   readings ─▶ pane 1m ─┬─▶ window 1m                            W = watermark, L = allowed lateness
//!                        ├─▶ part 5m ─▶ window 5m
//!                        └─▶ part 1m kept ×10 ─▶ window 10m/1m      a window [s, e) closes when W >= e + L
//! ```
//!
//! A reading is written once, into the *pane* it belongs to; the pane's width divides all windows of its series.
//! When a pane closes, it is merged into the *parts* that the larger windows are made of. [`Windows`] is state
//! and nothing else: no clock, no I/O, and the same calls give the same answers in the same order.
//!
//! The result of a window is a function of the *set* of its readings: every [`Aggregate`] is defined without
//! an order and computed exactly before it is rounded, so any order of arrival, any way of cutting the set into
//! panes, and a later computation from the stored points ([`aggregate`], [`sessions`]) give the same bits.
//!
//! What does not fit the open windows (late, backfill, a corrected value) is told by [`Windows::revise`]: windows
//! that have closed are named [`Stale`] at once, open ones when they close. Whoever gets a stale window computes
//! it from the stored points and replaces the row.

mod aggregate;
mod budget;
mod cell;
mod exact;
mod grid;
mod held;
mod moments;
mod page;
mod pane;
mod plan;
mod published;
mod quantile;
mod session;
mod set;
mod spans;
mod watermark;
mod windows;

pub use aggregate::{Aggregate, Session, aggregate, sessions};
pub use held::{Held, RestoreError};
pub use plan::{MAX_PARTS, MAX_WINDOWS, Plan, PlanError, Window, WindowKind};
pub use published::{Closed, Published, Stale};
pub use quantile::{EXACT_UP_TO, P95_RELATIVE_ERROR};
pub use watermark::Watermark;
pub use windows::Windows;
