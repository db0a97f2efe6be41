//! Types of parameters that the engine does not see by itself, although the statement shows them: `$1::bool`, `x = ANY($1)`.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, TryCast};

/// The type of each such parameter, by its name.
pub(super) fn shown(plan: &LogicalPlan) -> Result<HashMap<String, DataType>> {
    let mut found = HashMap::new();
    plan.apply_with_subqueries(|step| {
        let schema = merge_schema(&step.inputs());
        step.apply_expressions(|expr| {
            expr.apply(|expr| {
                let seen = match expr {
                    Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
                        name(expr).map(|name| (name, field.data_type().clone()))
                    }
                    Expr::ScalarFunction(call) if call.func.name() == "array_has" => {
                        match call.args.as_slice() {
                            [array, element] => name(array).and_then(|name| {
                                let kind = element.get_type(&schema).ok()?;
                                Some((name, DataType::List(Field::new_list_field(kind, true).into())))
                            }),
                            _ => None,
                        }
                    }
                    _ => None,
                };
                if let Some((name, kind)) = seen {
                    found.entry(name.to_owned()).or_insert(kind);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Placeholder(parameter) => Some(&parameter.id),
        _ => None,
    }
}
