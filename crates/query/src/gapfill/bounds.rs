//! From when to when: what WHERE says of the time.

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, LogicalPlan, Operator};

/// A condition on the time, by a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Side {
    /// From it on.
    From,
    /// From what comes behind it on.
    Behind,
    /// Up to it, without it.
    Before,
    /// Up to it.
    To,
}

/// What the WHERE right below an aggregate says of a column, in the words of the statement: `now()` is not known yet.
pub(super) fn conditions(input: &LogicalPlan, time: &Expr) -> Vec<(Side, Expr)> {
    let (LogicalPlan::Filter(filter), Some(time)) = (input, column(time)) else { return Vec::new() };
    split_conjunction(&filter.predicate).into_iter().flat_map(|condition| of(condition, time)).collect()
}

fn of(condition: &Expr, time: &Column) -> Vec<(Side, Expr)> {
    let is_time = |expr: &Expr| column(expr) == Some(time);
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, constant) = match (is_time(left), is_time(right)) {
                (true, false) => (Some(*op), right),
                (false, true) => (op.swap(), left),
                _ => return Vec::new(),
            };
            let sides: &[Side] = match op {
                Some(Operator::GtEq) => &[Side::From],
                Some(Operator::Gt) => &[Side::Behind],
                Some(Operator::Lt) => &[Side::Before],
                Some(Operator::LtEq) => &[Side::To],
                Some(Operator::Eq) => &[Side::From, Side::To],
                _ => &[],
            };
            let constant = Some(constant).filter(|constant| is_constant(constant));
            constant
                .into_iter()
                .flat_map(|constant| sides.iter().map(|side| (*side, (**constant).clone())))
                .collect()
        }
        Expr::Between(Between { expr, negated: false, low, high }) if is_time(expr) => {
            let both = [(Side::From, (**low).clone()), (Side::To, (**high).clone())];
            both.into_iter().filter(|(_, constant)| is_constant(constant)).collect()
        }
        _ => Vec::new(),
    }
}

/// The column itself, however it is made fit to be compared.
pub(super) fn column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => column(&alias.expr),
        Expr::Cast(cast) => column(&cast.expr),
        _ => None,
    }
}

/// The same for every row, and known without asking another table.
pub(super) fn is_constant(expr: &Expr) -> bool {
    let asks = |expr: &Expr| {
        matches!(
            expr,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
        )
    };
    let asks = expr.exists(|expr| Ok(asks(expr)));
    !expr.is_volatile() && matches!(asks, Ok(false))
}
