//! Which conditions a scan keeps itself: ranges of time, sets of devices, metrics and kinds of value.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, expr::InList};
use record::Timestamp;
use series::Scan;
use series::scan::Shape;

/// Whether [`narrow`] keeps a condition exactly.
pub(super) fn narrows(filter: &Expr, shape: &Shape) -> bool {
    narrow(&mut Scan::all(&shape.name), filter, shape)
}

/// Makes a scan keep a condition; `false`, and the scan as it was, when it cannot.
pub(super) fn narrow(scan: &mut Scan, filter: &Expr, shape: &Shape) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op != Operator::Or => {
            match (&**left, &**right) {
                (Expr::Column(column), Expr::Literal(value, _)) => {
                    compare(scan, shape, &column.name, *op, value)
                }
                (Expr::Literal(value, _), Expr::Column(column)) => match op.swap() {
                    Some(op) => compare(scan, shape, &column.name, op, value),
                    None => false,
                },
                _ => false,
            }
        }
        // Of a short list DataFusion makes a chain of comparisons.
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => match one_of(filter) {
            Some((column, names)) => among(scan, shape, column, names),
            None => false,
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(column) = &**expr else { return false };
            let names = list.iter().map(|item| match item {
                Expr::Literal(value, _) => text(value),
                _ => None,
            });
            match names.collect::<Option<BTreeSet<String>>>() {
                Some(names) => among(scan, shape, &column.name, names),
                None => false,
            }
        }
        _ => false,
    }
}

/// `column = 'a' OR column = 'b' …`.
fn one_of(filter: &Expr) -> Option<(&str, BTreeSet<String>)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    match (op, &**left, &**right) {
        (Operator::Or, left, right) => {
            let ((column, mut names), (other, more)) = (one_of(left)?, one_of(right)?);
            names.extend(more);
            (column == other).then_some((column, names))
        }
        (Operator::Eq, Expr::Column(column), Expr::Literal(value, _))
        | (Operator::Eq, Expr::Literal(value, _), Expr::Column(column)) => {
            Some((&column.name, [text(value)?].into()))
        }
        _ => None,
    }
}

fn compare(scan: &mut Scan, shape: &Shape, column: &str, op: Operator, value: &ScalarValue) -> bool {
    if let (Operator::Eq, Some(name)) = (op, text(value)) {
        return among(scan, shape, column, [name].into());
    }
    let ScalarValue::TimestampNanosecond(Some(nanos), Some(_)) = *value else { return false };
    if !is(shape, shape.time, column) {
        return false;
    }
    let (mut from, mut to) = (scan.times.start().nanos(), scan.times.end().nanos());
    // Beyond the last time there is none: an empty range.
    match op {
        Operator::Eq => (from, to) = (from.max(nanos), to.min(nanos)),
        Operator::GtEq => from = from.max(nanos),
        Operator::LtEq => to = to.min(nanos),
        Operator::Gt => match nanos.checked_add(1) {
            Some(next) => from = from.max(next),
            None => (from, to) = (1, 0),
        },
        Operator::Lt => match nanos.checked_sub(1) {
            Some(last) => to = to.min(last),
            None => (from, to) = (1, 0),
        },
        _ => return false,
    }
    scan.times = Timestamp::from_nanos(from)..=Timestamp::from_nanos(to);
    true
}

fn among(scan: &mut Scan, shape: &Shape, column: &str, names: BTreeSet<String>) -> bool {
    let set = if is(shape, shape.device, column) {
        &mut scan.devices
    } else if is(shape, shape.metric, column) {
        &mut scan.metrics
    } else if is(shape, shape.kind, column) {
        &mut scan.kinds
    } else {
        return false;
    };
    *set = Some(match set.take() {
        Some(before) => before.intersection(&names).cloned().collect(),
        None => names,
    });
    true
}

fn is(shape: &Shape, place: Option<usize>, column: &str) -> bool {
    place.is_some_and(|place| shape.schema.field(place).name() == column)
}

fn text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => text.clone(),
        _ => None,
    }
}
