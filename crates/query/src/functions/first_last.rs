//! `first(value, time)` and `last(value, time)`: the value at the earliest and at the latest time.
//!
//! Other words for `first_value(value ORDER BY time)` and `last_value(value ORDER BY time)`, for which DataFusion is quick;
//! rows without a time come last, and are looked at when there are no others.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Expr, Signature, SortExpr, Volatility};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Pick {
    name: &'static str,
    last: bool,
    signature: Signature,
}

impl Pick {
    pub(super) fn first() -> Self {
        Self { name: "first", last: false, signature: Signature::any(2, Volatility::Immutable) }
    }

    pub(super) fn last() -> Self {
        Self { name: "last", last: true, ..Self::first() }
    }
}

impl AggregateUDFImpl for Pick {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [value, _] => Ok(value.clone()),
            _ => plan_err!("write {0}(value, time)", self.name),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        plan_err!("{} cannot be used here", self.name)
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let last = self.last;
        let simplify = move |call: AggregateFunction, _: &_| {
            let AggregateFunctionParams { mut args, distinct, filter, null_treatment, .. } = call.params;
            let time = args.pop();
            // Rows without a time stand where they are picked last.
            let order_by = time.map(|time| SortExpr { expr: time, asc: true, nulls_first: last });
            let params = AggregateFunctionParams {
                args,
                distinct,
                filter,
                order_by: order_by.into_iter().collect(),
                null_treatment,
            };
            let func = if last { last_value_udaf() } else { first_value_udaf() };
            Ok(Expr::AggregateFunction(AggregateFunction { func, params }))
        };
        Some(Box::new(simplify))
    }
}
