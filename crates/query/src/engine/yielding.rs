//! Steps of a plan that make much of one batch look up between two of what they make.
//!
//! DataFusion's own rule sees to it that what reads looks up. A join may make thousands of batches of one that it has read,
//! and would be at work for minutes before it hears that its time is over.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

#[derive(Debug)]
pub(super) struct Yielding;

impl PhysicalOptimizerRule for Yielding {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wrapped = plan.transform_up(|step| {
            let multiplies = step.name().ends_with("JoinExec")
                || ["UnnestExec", crate::gapfill::STEP].contains(&step.name());
            Ok(match multiplies {
                true => Transformed::yes(Arc::new(CooperativeExec::new(step)) as Arc<dyn ExecutionPlan>),
                false => Transformed::no(step),
            })
        });
        wrapped.data()
    }

    fn name(&self) -> &str {
        "yielding"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
