//! Puts the step that fills gaps into a plan.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

use super::calls::{self, BUCKET, Fill, INTERPOLATE, LOCF};
use super::node::GapFill;

#[derive(Debug)]
pub(super) struct FillGaps;

impl AnalyzerRule for FillGaps {
    fn name(&self) -> &str {
        "fill_gaps"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(above).data()?;
        let mut open = Open::default();
        plan.apply_with_subqueries(|node| open.look(node))?;
        open.check()?;
        Ok(plan)
    }
}

/// A call of `locf` or `interpolate`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    whole: Expr,
    pub(super) fill: Fill,
    pub(super) value: Expr,
    pub(super) name: String,
}

/// Fills the gaps below what stands above an aggregate: its SELECT, with window functions and QUALIFY in between.
fn above(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let [input] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
    if between(&plan) || grouped(&plan).is_some() || !reaches(input) {
        return Ok(Transformed::no(plan));
    }
    let mut found = Vec::new();
    let mut node = &plan;
    while grouped(node).is_none() {
        collect(node, &mut found)?;
        let [input] = node.inputs()[..] else { break };
        node = input;
    }
    let input = filled(input, &found)?;
    rewritten(&plan, input, &found).map(Transformed::yes)
}

/// What may stand between a SELECT and its aggregate.
fn between(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Window(_) | LogicalPlan::Filter(_) | LogicalPlan::Sort(_))
}

/// The aggregate whose gaps are to be filled, as it is or with its HAVING: what HAVING leaves out is a gap.
fn grouped(plan: &LogicalPlan) -> Option<&Aggregate> {
    let aggregate = match plan {
        LogicalPlan::Filter(having) => &*having.input,
        plan => plan,
    };
    match aggregate {
        LogicalPlan::Aggregate(aggregate)
            if aggregate.group_expr.iter().any(|expr| calls::bucket(expr).is_some()) =>
        {
            Some(aggregate)
        }
        _ => None,
    }
}

fn reaches(plan: &LogicalPlan) -> bool {
    grouped(plan).is_some() || (between(plan) && plan.inputs().iter().all(|input| reaches(input)))
}

/// The calls of a step's expressions, each once.
fn collect(plan: &LogicalPlan, found: &mut Vec<Call>) -> Result<()> {
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            let Some((fill, value)) = calls::around(expr) else { return Ok(TreeNodeRecursion::Continue) };
            if value.exists(|inner| {
                Ok(calls::around(inner).is_some() || matches!(inner, Expr::WindowFunction(_)))
            })? {
                return plan_err!("{}", calls::misplaced(LOCF));
            }
            let call = Call {
                whole: expr.clone(),
                fill,
                value: value.clone(),
                name: expr.schema_name().to_string(),
            };
            if !found.contains(&call) {
                found.push(call);
            }
            Ok(TreeNodeRecursion::Jump)
        })
    })?;
    Ok(())
}

/// The aggregate with the step behind it, and what stands between.
fn filled(plan: &LogicalPlan, found: &[Call]) -> Result<LogicalPlan> {
    if let Some(aggregate) = grouped(plan) {
        let columns = plan.schema().iter().map(|place| Expr::Column(Column::from(place)));
        let values = found.iter().map(|call| call.value.clone().alias(&call.name));
        let input = match found {
            [] => plan.clone(),
            _ => LogicalPlanBuilder::from(plan.clone())
                .project(columns.chain(values).collect::<Vec<_>>())?
                .build()?,
        };
        return GapFill::over(input, aggregate, found.iter().map(|call| call.fill).collect());
    }
    match plan.inputs()[..] {
        [input] => rewritten(plan, filled(input, found)?, found),
        _ => Ok(plan.clone()),
    }
}

/// A step over another input, in which the calls are columns.
fn rewritten(plan: &LogicalPlan, input: LogicalPlan, found: &[Call]) -> Result<LogicalPlan> {
    let names = NamePreserver::new(plan);
    let expressions = plan.expressions().into_iter().map(|expr| {
        let name = names.save(&expr);
        let with_columns = expr.transform_down(|expr| {
            Ok(match found.iter().find(|call| call.whole == expr) {
                Some(call) => Transformed::new(
                    Expr::Column(Column::new_unqualified(&call.name)),
                    true,
                    TreeNodeRecursion::Jump,
                ),
                None => Transformed::no(expr),
            })
        })?;
        Ok(name.restore(with_columns.data))
    });
    let expressions = expressions.collect::<Result<Vec<_>>>()?;
    plan.with_new_exprs(expressions, vec![input])
}

/// Calls that no step was put in for.
#[derive(Default)]
struct Open {
    aggregates: usize,
    steps: usize,
}

impl Open {
    fn look(&mut self, plan: &LogicalPlan) -> Result<TreeNodeRecursion> {
        if let LogicalPlan::Extension(extension) = plan
            && extension.node.as_any().is::<GapFill>()
        {
            self.steps += 1;
            return Ok(TreeNodeRecursion::Continue);
        }
        let mut buckets = 0;
        plan.apply_expressions(|expr| {
            let whole = expr;
            expr.apply(|expr| {
                if calls::around(expr).is_some() {
                    let Expr::ScalarFunction(call) = expr else { return Ok(TreeNodeRecursion::Continue) };
                    let name = if call.name() == INTERPOLATE { INTERPOLATE } else { LOCF };
                    return plan_err!("{}", calls::misplaced(name));
                }
                if calls::bucket(expr).is_some() && !matches!(expr, Expr::Alias(_)) {
                    buckets += 1;
                    let of_group = matches!(plan, LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.contains(whole));
                    if buckets > 1 || !of_group || calls::bucket(whole).is_none() {
                        return plan_err!("{}", calls::misplaced(BUCKET));
                    }
                    self.aggregates += 1;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(TreeNodeRecursion::Continue)
    }

    fn check(&self) -> Result<()> {
        match self.aggregates > self.steps {
            true => plan_err!("{}", calls::misplaced(BUCKET)),
            false => Ok(()),
        }
    }
}
