//! Questions that nothing can come of: about indexes, constraints, triggers and the like, of which there are none.
//!
//! Clients ask for them in statements the engine cannot plan, with functions over arrays that only PostgreSQL has. There is no
//! row to compute them of, so the names of the columns are the whole answer.

use std::collections::HashSet;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, GroupByExpr, JoinOperator, Query, Select, SelectItem, SetExpr, SetOperator, Statement,
    TableFactor, TableWithJoins, Value, visit_expressions,
};

use crate::catalog;
use crate::rewriting::{aggregates, last};

/// What a statement shows, if it is sure that it has no row.
pub(crate) fn columns(statement: &Statement) -> Option<SchemaRef> {
    let Statement::Query(query) = statement else { return None };
    if !is_empty(query, &HashSet::new()) {
        return None;
    }
    let mut body = &*query.body;
    let select = loop {
        match body {
            SetExpr::Select(select) => break select,
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(query) => body = &query.body,
            _ => return None,
        }
    };
    let fields: Option<Vec<Field>> = select.projection.iter().map(field).collect();
    Some(std::sync::Arc::new(Schema::new(fields?)))
}

/// Whether a query is sure to have no row.
pub(crate) fn comes_of(query: &Query) -> bool {
    is_empty(query, &HashSet::new())
}

/// How many parameters a statement has.
pub(crate) fn parameters(statement: &Statement) -> usize {
    let mut most = 0;
    let _ = visit_expressions(statement, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
        {
            let place = name.trim_start_matches('$').parse().unwrap_or(0);
            // No more can be bound.
            most = most.max(place).min(usize::from(u16::MAX));
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    most
}

fn field(column: &SelectItem) -> Option<Field> {
    let name = match column {
        SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.value.clone(),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last()?.value.clone(),
        SelectItem::UnnamedExpr(Expr::Function(function)) => last(&function.name),
        SelectItem::UnnamedExpr(_) => "?column?".into(),
        _ => return None,
    };
    Some(Field::new(name, DataType::Utf8, true))
}

/// `empty` holds the names of common table expressions that are.
fn is_empty(query: &Query, empty: &HashSet<String>) -> bool {
    let mut empty = empty.clone();
    for Cte { alias, query, .. } in query.with.iter().flat_map(|with| &with.cte_tables) {
        let name = alias.name.value.to_lowercase();
        match is_empty(query, &empty) {
            true => empty.insert(name),
            false => empty.remove(&name),
        };
    }
    body_is_empty(&query.body, &empty)
}

fn body_is_empty(body: &SetExpr, empty: &HashSet<String>) -> bool {
    match body {
        SetExpr::Select(select) => select_is_empty(select, empty),
        SetExpr::Query(query) => is_empty(query, empty),
        SetExpr::SetOperation { op, left, right, .. } => {
            let (left, right) = (body_is_empty(left, empty), body_is_empty(right, empty));
            match op {
                SetOperator::Union => left && right,
                SetOperator::Intersect => left || right,
                SetOperator::Except | SetOperator::Minus => left,
            }
        }
        _ => false,
    }
}

fn select_is_empty(select: &Select, empty: &HashSet<String>) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    if aggregates(&select.projection) && !grouped {
        return false;
    }
    select.from.iter().any(|from| from_is_empty(from, empty))
}

fn from_is_empty(from: &TableWithJoins, empty: &HashSet<String>) -> bool {
    let mut left = table_is_empty(&from.relation, empty);
    for join in &from.joins {
        let right = table_is_empty(&join.relation, empty);
        left = match &join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => left || right,
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => left,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right,
            _ => left && right,
        };
    }
    left
}

fn table_is_empty(table: &TableFactor, empty: &HashSet<String>) -> bool {
    match table {
        TableFactor::Table { name, .. } => match name.0.len() {
            1 if empty.contains(&last(name)) => true,
            _ => catalog::is_catalog(name) && catalog::has_no_rows(&last(name)),
        },
        TableFactor::Derived { subquery, .. } => is_empty(subquery, empty),
        TableFactor::NestedJoin { table_with_joins, .. } => from_is_empty(table_with_joins, empty),
        _ => false,
    }
}
