//! Gaps filled: `time_bucket_gapfill`, `locf`, `interpolate` (docs/sql.md).
//!
//! ```text
//!   Projection  locf(avg(value))              Projection  the column of it
//!     Having                         ──▶        GapFill  buckets from … to …, one column more for each call
//!       Aggregate  by bucket, …                   Projection  what goes into locf and interpolate
//!                                                   Having
//!                                                     Aggregate
//! ```
//!
//! To the aggregate `time_bucket_gapfill` is `time_bucket`. Behind it a step of its own puts in the rows of the buckets that
//! nothing fell into, group by group, as they pass: it holds one row and the list of buckets.

mod bounds;
mod calls;
mod fill;
mod node;
mod rule;
mod step;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner as _};

/// The name of the step, as plans show it.
pub(crate) const STEP: &str = "GapFill";

/// Buckets between start and finish, at most: two weeks of seconds. They are listed in memory, 8 bytes each, and each is a
/// row for each group.
const BUCKETS: i128 = 1_209_600;

/// A session's state with gaps filled.
pub(crate) fn register(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder.with_analyzer_rule(Arc::new(rule::FillGaps)).with_query_planner(Arc::new(Planner))
}

/// The functions; none but the bucket's is ever called.
pub(crate) fn functions() -> [Arc<ScalarUDF>; 3] {
    [
        Arc::new(ScalarUDF::from(calls::Bucket::new())),
        Arc::new(ScalarUDF::from(calls::Around::locf())),
        Arc::new(ScalarUDF::from(calls::Around::interpolate())),
    ]
}

#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(node::Planner)])
            .create_physical_plan(plan, session)
            .await
    }
}
