//! The step as plans have it.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Aggregate, Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use record::Timestamp;

use super::bounds::{self, Side};
use super::calls::{self, Arguments, Fill};
use super::fill::Layout;
use super::step::Filling;
use super::{BUCKETS, STEP};
use crate::functions::Cut;
use crate::rfc3339;

/// Fills the gaps of an aggregate. Its columns are those of its input, of which the last are for [`Fill`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GapFill {
    input: LogicalPlan,
    schema: DFSchemaRef,
    layout: Layout,
    /// The arguments of `time_bucket_gapfill`, without the time.
    arguments: Vec<Expr>,
    /// What WHERE says.
    sides: Vec<Side>,
    bounds: Vec<Expr>,
}

impl GapFill {
    pub(super) fn over(input: LogicalPlan, aggregate: &Aggregate, fills: Vec<Fill>) -> Result<LogicalPlan> {
        let found = aggregate.group_expr.iter().enumerate();
        let mut found = found.filter_map(|(at, expr)| calls::bucket(expr).map(|call| (at, call)));
        let (Some((bucket, [width, time, rest @ ..])), None) = (found.next(), found.next()) else {
            return plan_err!("{}", calls::misplaced(calls::BUCKET));
        };
        let arguments: Vec<Expr> = std::iter::once(width).chain(rest).cloned().collect();
        if !arguments.iter().all(bounds::is_constant) {
            return plan_err!("{}: width, start, finish and time zone are constants", calls::BUCKET);
        }
        let (sides, bounds) = bounds::conditions(&aggregate.input, time).into_iter().unzip();
        let keys = aggregate.group_expr.len();
        let fields = input.schema().iter().enumerate().map(|(at, (qualifier, field))| {
            let field = field.as_ref().clone().with_nullable(field.is_nullable() || at >= keys);
            (qualifier.cloned(), Arc::new(field))
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), input.schema().metadata().clone())?;
        let layout = Layout { keys, bucket, fills };
        let node = Self { input, schema: Arc::new(schema), layout, arguments, sides, bounds };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

/// There is no order among plans.
impl PartialOrd for GapFill {
    fn partial_cmp(&self, _: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        STEP
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.arguments.iter().chain(&self.bounds).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bucket, fills) = (self.schema.field(self.layout.bucket).name(), &self.layout.fills);
        write!(f, "{STEP}: {bucket}")?;
        for field in self.schema.fields().iter().rev().take(fills.len()).rev() {
            write!(f, ", {}", field.name())?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), exprs.len() == self.arguments.len() + self.bounds.len())
        else {
            return plan_err!("{STEP} has one input and its own expressions");
        };
        let bounds = exprs.split_off(self.arguments.len());
        Ok(Self { input, arguments: exprs, bounds, ..self.clone() })
    }
}

/// From when to when, and where the buckets begin.
#[derive(Clone, Debug)]
pub(super) struct Range {
    cut: Cut,
    start: i64,
    finish: i64,
}

impl Range {
    /// What arguments say goes before what WHERE says.
    fn of(arguments: Arguments, where_says: &[(Side, i64)]) -> Result<Self> {
        let from = where_says.iter().filter_map(|(side, nanos)| match side {
            Side::From => Some(*nanos),
            Side::Behind => Some(nanos.saturating_add(1)),
            _ => None,
        });
        let to = where_says.iter().filter_map(|(side, nanos)| match side {
            Side::Before => Some(*nanos),
            Side::To => Some(nanos.saturating_add(1)),
            _ => None,
        });
        let (start, finish) = (arguments.start.or_else(|| from.max()), arguments.finish.or_else(|| to.min()));
        let (start, finish) = match (start, finish) {
            (Some(start), Some(finish)) => (start, finish),
            (start, finish) => {
                let missing = match (start, finish) {
                    (None, None) => "from when to when",
                    (None, Some(_)) => "from when",
                    _ => "up to when",
                };
                return plan_err!(
                    "time_bucket_gapfill has to know {missing} gaps are filled: write time >= … AND time < … in the WHERE \
                     of the same SELECT, or give it start and finish"
                );
            }
        };
        let range = Self { cut: arguments.cut, start, finish };
        let buckets = (i128::from(finish) - i128::from(start)) / range.cut.at_least();
        if buckets > BUCKETS {
            return plan_err!(
                "time_bucket_gapfill would make {buckets} buckets from {} to {}, at most {BUCKETS} are: make them wider, \
                 or the time shorter",
                rfc3339(Timestamp::from_nanos(start)),
                rfc3339(Timestamp::from_nanos(finish))
            );
        }
        Ok(range)
    }

    /// The starts of the buckets, rising.
    pub(super) fn buckets(&self) -> impl Iterator<Item = i64> + use<'_> {
        let first = self.cut.start(self.start);
        std::iter::successors(first, |start| self.cut.next(*start)).take_while(|start| *start < self.finish)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |nanos| rfc3339(Timestamp::from_nanos(nanos));
        write!(f, "start={}, finish={}", text(self.start), text(self.finish))
    }
}

/// Makes the step that runs of the step that is planned.
pub(super) struct Planner;

#[async_trait]
impl ExtensionPlanner for Planner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<GapFill>(), inputs) else {
            return Ok(None);
        };
        let nothing = DFSchema::empty();
        let value = |expr: &Expr| {
            let expr = planner.create_physical_expr(expr, &nothing, session, context)?;
            let one_row = RecordBatchOptions::new().with_row_count(Some(1));
            let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row)?;
            ScalarValue::try_from_array(&*expr.evaluate(&row)?.into_array(1)?, 0)
        };
        let arguments = node.arguments.iter().map(value).collect::<Result<Vec<_>>>()?;
        let mut where_says = Vec::new();
        for (side, bound) in node.sides.iter().zip(&node.bounds) {
            let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some(series::scan::UTC.into()));
            // Whoever compares a time with NULL gets no row, and no bound.
            if let ScalarValue::TimestampNanosecond(Some(nanos), _) = value(bound)?.cast_to(&nanos)? {
                where_says.push((*side, nanos));
            }
        }
        let range = Range::of(Arguments::read(&arguments)?, &where_says)?;
        let schema = Arc::clone(node.schema.inner());
        Ok(Some(Arc::new(Filling::new(Arc::clone(input), schema, node.layout.clone(), range))))
    }
}
