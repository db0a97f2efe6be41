//! Whole numbers, exact although their column is one of floats.
//!
//! `value` holds whatever a device measured, so its type is float, and a 64-bit integer does not fit into one. The table has
//! the whole number beside it ([`series::scan::EXACT`]). Where an answer shows such a column as it is, not computed with,
//! the whole number is carried along behind the answer's columns, and shown in its place.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, SubqueryAlias, TableScan};
use series::scan::EXACT;

use super::catalog::as_table;

/// A plan, and which of its columns hold the whole numbers of which.
pub(super) struct Exact {
    pub(super) plan: LogicalPlan,
    /// Columns that are the answer; behind them stand the ones carried along.
    pub(super) shown: usize,
    /// By column of the answer: the column with its whole numbers.
    pub(super) whole: Vec<Option<usize>>,
}

/// Makes a plan carry whole numbers along wherever it can.
pub(super) fn carry(plan: LogicalPlan) -> Result<Exact> {
    let shown = plan.schema().fields().len();
    let mut carried = Exact { plan, shown, whole: vec![None; shown] };
    for at in 0..shown {
        if *carried.plan.schema().field(at).data_type() != DataType::Float64 {
            continue;
        }
        let column = Column::from(carried.plan.schema().qualified_field(at));
        if let Some((plan, whole)) = along(&carried.plan, &column, at)? {
            let place = plan.schema().maybe_index_of_column(&whole);
            // Where it got in between the columns of the answer, the answer would not be the same.
            let behind = plan.schema().fields().len() == carried.plan.schema().fields().len()
                || place.is_some_and(|place| place >= shown);
            let same = plan.schema().fields().iter().zip(carried.plan.schema().fields()).take(shown);
            if behind && same.clone().all(|(a, b)| a == b) {
                carried.whole[at] = place;
                carried.plan = plan;
            }
        }
    }
    Ok(carried)
}

/// The plan with the whole numbers of a column among its columns, and which they are.
fn along(plan: &LogicalPlan, column: &Column, number: usize) -> Result<Option<(LogicalPlan, Column)>> {
    match plan {
        LogicalPlan::TableScan(scan) => Ok(beside(scan, column).map(|whole| (plan.clone(), whole))),
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            let [input] = plan.inputs()[..] else { return Ok(None) };
            let Some((input, whole)) = along(input, column, number)? else { return Ok(None) };
            Ok(Some((plan.with_new_exprs(plan.expressions(), vec![input])?, whole)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(at) = alias.schema.maybe_index_of_column(column) else { return Ok(None) };
            let inner = Column::from(alias.input.schema().qualified_field(at));
            let Some((input, whole)) = along(&alias.input, &inner, number)? else { return Ok(None) };
            let renamed = Column::new(Some(alias.alias.clone()), whole.name);
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Ok(Some((LogicalPlan::SubqueryAlias(alias), renamed)))
        }
        LogicalPlan::Projection(projection) => through(projection, column, number),
        _ => Ok(None),
    }
}

fn through(projection: &Projection, column: &Column, number: usize) -> Result<Option<(LogicalPlan, Column)>> {
    let Some(at) = projection.schema.maybe_index_of_column(column) else { return Ok(None) };
    let Expr::Column(inner) = projection.expr[at].clone().unalias() else { return Ok(None) };
    let Some((input, whole)) = along(&projection.input, &inner, number)? else { return Ok(None) };
    let name = format!("__whole_{number}");
    let mut exprs = projection.expr.clone();
    exprs.push(Expr::Column(whole).alias(&name));
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?);
    Ok(Some((plan, Column::new_unqualified(name))))
}

/// The column beside one of a table's that holds its whole numbers.
fn beside(scan: &TableScan, column: &Column) -> Option<Column> {
    let provider = source_as_provider(&scan.source).ok()?;
    as_table(&*provider)?;
    let (_, whole) = EXACT.iter().find(|(float, _)| *float == column.name)?;
    let whole = Column::new(column.relation.clone(), *whole);
    scan.projected_schema.has_column(&whole).then_some(whole)
}
