//! The step as it runs.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements, Partitioning,
    PlanProperties,
};
use futures_util::{StreamExt, stream};

use super::STEP;
use super::fill::{Layout, Rows};
use super::node::Range;

pub(super) struct Filling {
    input: Arc<dyn ExecutionPlan>,
    layout: Layout,
    range: Range,
    properties: Arc<PlanProperties>,
}

impl Filling {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        layout: Layout,
        range: Range,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, layout, range, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling").field("range", &self.range).finish_non_exhaustive()
    }
}

impl DisplayAs for Filling {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STEP}: {}, buckets={}", self.range, self.range.buckets().count())
    }
}

impl ExecutionPlan for Filling {
    fn name(&self) -> &'static str {
        STEP
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    /// Group by group, each by rising time: sorted within the memory of the statement.
    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let schema = self.input.schema();
        let groups = (0..self.layout.keys).filter(|at| *at != self.layout.bucket);
        let order = groups.chain([self.layout.bucket]).map(|at| {
            let column = Arc::new(Column::new(schema.field(at).name(), at));
            PhysicalSortExpr::new(column, SortOptions { descending: false, nulls_first: true })
        });
        vec![LexOrdering::new(order).map(OrderingRequirements::from)]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return internal_err!("{STEP} has an input") };
        Ok(Arc::new(Self::new(input, self.schema(), self.layout.clone(), self.range.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new(STEP).register(context.memory_pool());
        let buckets = self.range.buckets();
        let rows = Rows::new(self.schema(), self.layout.clone(), buckets, memory)?;
        let input = self.input.execute(partition, context)?;
        let made = stream::try_unfold((rows, input), |(mut rows, mut input)| async move {
            loop {
                if let Some(batch) = rows.make()? {
                    return Ok(Some((batch, (rows, input))));
                }
                match input.next().await {
                    Some(batch) => rows.take(batch?)?,
                    None if rows.is_finished() => return Ok(None),
                    None => rows.finish(),
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), made)))
    }
}
