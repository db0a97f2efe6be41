//! A scan of the store as a step of a plan.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures_util::{StreamExt, stream};
use record::Timestamp;
use series::{Scan, Snapshot};

use super::catalog::external;
use crate::rfc3339;

pub(super) struct Scanning {
    snapshot: Arc<dyn Snapshot>,
    scan: Scan,
    properties: Arc<PlanProperties>,
}

impl Scanning {
    pub(super) fn new(snapshot: Arc<dyn Snapshot>, scan: Scan, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { snapshot, scan, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for Scanning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanning").field("scan", &self.scan).finish_non_exhaustive()
    }
}

/// What `EXPLAIN` shows: what the scan leaves out by itself.
impl DisplayAs for Scanning {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scan { table, times, devices, metrics, kinds, limit, .. } = &self.scan;
        write!(f, "Scan: table={table}")?;
        let always = |time: &Timestamp| [i64::MIN, i64::MAX].contains(&time.nanos());
        if !always(times.start()) {
            write!(f, ", from={}", rfc3339(*times.start()))?;
        }
        if !always(times.end()) {
            write!(f, ", to={}", rfc3339(*times.end()))?;
        }
        for (name, set) in [("devices", devices), ("metrics", metrics), ("kinds", kinds)] {
            if let Some(set) = set {
                write!(f, ", {name}={}", set.len())?;
            }
        }
        limit.map_or(Ok(()), |limit| write!(f, ", limit={limit}"))
    }
}

impl ExecutionPlan for Scanning {
    fn name(&self) -> &'static str {
        "Scan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// Batches are read where they are asked for, which blocks that thread for a disk access: the threads are the engine's
    /// own, and however many scans a statement has, none waits for a thread that another holds.
    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = Arc::clone(&self.snapshot).scan(self.scan.clone()).map_err(external)?;
        let batches = stream::iter(batches).map(|batch| batch.map_err(external));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
