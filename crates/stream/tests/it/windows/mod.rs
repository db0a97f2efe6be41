//! Event-time windows: whatever the order in which readings come, and by whichever way, the rows are those of the set.

mod aggregates;
mod arrival;
mod bounds;
mod plans;
mod watermarks;
mod world;

use std::sync::Arc;

use penstock_stream::window::Plan;

const SECOND: i64 = 1_000_000_000;

/// An instant that begins a minute, an hour and a day.
const DAY: i64 = 19_700 * 86_400 * SECOND;

fn plan(windows: &[&str]) -> Arc<Plan> {
    Arc::new(crate::plan(windows))
}
