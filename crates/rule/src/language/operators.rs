//! Operators: what they are made of, and which kinds go together.

use sqlparser::ast::{BinaryOperator, CaseWhen, Expr as Tree, UnaryOperator, Value};

use super::build::{Builder, Kind, Typed};
use super::datum::Datum;
use super::expr::{Compare, Expr, Math};
use super::like::Like;
use crate::CompileError;

impl Builder<'_> {
    pub(super) fn unary(&mut self, tree: &Tree, op: UnaryOperator, of: &Tree) -> Result<Typed, CompileError> {
        match op {
            UnaryOperator::Not => Ok((Expr::Not(Box::new(self.truth(of)?)), Kind::Bool)),
            UnaryOperator::Plus => Ok((self.number(of)?, Kind::Number)),
            UnaryOperator::Minus => {
                let of = self.number(of)?;
                Ok((math(Math::Subtract, Expr::Number(0.0), of), Kind::Number))
            }
            _ => Err(self.parsed.error(tree, format!("the operator {op} is no part of conditions"))),
        }
    }

    pub(super) fn binary(
        &mut self,
        tree: &Tree,
        left: &Tree,
        op: &BinaryOperator,
        right: &Tree,
    ) -> Result<Typed, CompileError> {
        let arithmetic = match op {
            BinaryOperator::And | BinaryOperator::Or => return self.chain(tree, op),
            BinaryOperator::Plus => Math::Add,
            BinaryOperator::Minus => Math::Subtract,
            BinaryOperator::Multiply => Math::Multiply,
            BinaryOperator::Divide => Math::Divide,
            BinaryOperator::Modulo => Math::Remainder,
            _ => {
                let Some(compare) = comparison(op) else {
                    return Err(self
                        .parsed
                        .error(tree, format!("the operator {op} is no part of conditions")));
                };
                return self.compared(left, &[(compare, right)], Expr::And, false);
            }
        };
        Ok((math(arithmetic, self.number(left)?, self.number(right)?), Kind::Number))
    }

    /// The parts of a chain of ANDs or ORs; the parser hangs each under the next, so long ones would be deep.
    fn chain(&mut self, tree: &Tree, op: &BinaryOperator) -> Result<Typed, CompileError> {
        let mut parts = Vec::new();
        let mut rest = tree;
        while let Tree::BinaryOp { left, op: found, right } = rest
            && found == op
        {
            parts.push(&**right);
            rest = left;
        }
        parts.push(rest);
        let parts: Result<Vec<_>, _> = parts.into_iter().rev().map(|part| self.truth(part)).collect();
        let chain = if *op == BinaryOperator::And { Expr::And(parts?) } else { Expr::Or(parts?) };
        Ok((chain, Kind::Bool))
    }

    /// One side against others, put together by `join`.
    pub(super) fn compared(
        &mut self,
        left: &Tree,
        others: &[(Compare, &Tree)],
        join: fn(Vec<Expr>) -> Expr,
        negated: bool,
    ) -> Result<Typed, CompileError> {
        let (expr, kind) = self.value(left)?;
        let mut parts = Vec::new();
        for (compare, right) in others {
            let (other, other_kind) = self.value(right)?;
            if (kind == Kind::Text) != (other_kind == Kind::Text)
                && kind != Kind::Any
                && other_kind != Kind::Any
            {
                let message = format!(
                    "{left} is {}, {right} is {}: they cannot be compared",
                    kind.name(),
                    other_kind.name()
                );
                return Err(self.parsed.error(right, message));
            }
            // The order of a kind that is not known beforehand is told by the other side.
            parts.push(Expr::Compare(*compare, Box::new([expr.clone(), other])));
        }
        let joined = if parts.len() == 1 { parts.remove(0) } else { join(parts) };
        Ok((negate(joined, negated), Kind::Bool))
    }

    pub(super) fn like(
        &mut self,
        negated: bool,
        of: &Tree,
        pattern: &Tree,
        escape: Option<&Value>,
        folds: bool,
    ) -> Result<Typed, CompileError> {
        let expr = self.text(of)?;
        let (Expr::Text(text), Kind::Text) = self.value(pattern)? else {
            return Err(self.parsed.error(pattern, "the pattern of LIKE is a text in single quotes"));
        };
        let escape = match escape {
            Some(Value::SingleQuotedString(escape)) => escape.chars().next(),
            _ => None,
        };
        let like = Expr::Like(Box::new(expr), Box::new(Like::sql(&text, escape, folds)));
        Ok((negate(like, negated), Kind::Bool))
    }

    pub(super) fn case(
        &mut self,
        operand: Option<&Tree>,
        conditions: &[CaseWhen],
        other: Option<&Tree>,
    ) -> Result<Typed, CompileError> {
        let mut branches = Vec::new();
        let mut kind = None;
        for branch in conditions {
            let condition = match operand {
                Some(operand) => {
                    self.compared(operand, &[(Compare::Equal, &branch.condition)], Expr::And, false)?.0
                }
                None => self.truth(&branch.condition)?,
            };
            branches.push((condition, self.same_kind(&branch.result, &mut kind)?));
        }
        let other = other.map_or(Ok(Expr::Null), |other| self.same_kind(other, &mut kind))?;
        Ok((Expr::Case(branches, Box::new(other)), kind.unwrap_or(Kind::Any)))
    }

    /// One of several expressions of which one will be taken.
    pub(super) fn same_kind(&mut self, tree: &Tree, kind: &mut Option<Kind>) -> Result<Expr, CompileError> {
        let (expr, found) = self.value(tree)?;
        match *kind {
            Some(before) if before != found && before != Kind::Any && found != Kind::Any => {
                let message = format!(
                    "{tree} is {}, what stands before it is {}: all must be of one kind",
                    found.name(),
                    before.name()
                );
                Err(self.parsed.error(tree, message))
            }
            Some(before) if before != Kind::Any => Ok(expr),
            _ => {
                *kind = Some(found);
                Ok(expr)
            }
        }
    }
}

fn comparison(op: &BinaryOperator) -> Option<Compare> {
    Some(match op {
        BinaryOperator::Lt => Compare::Less,
        BinaryOperator::LtEq => Compare::LessOrEqual,
        BinaryOperator::Gt => Compare::Greater,
        BinaryOperator::GtEq => Compare::GreaterOrEqual,
        BinaryOperator::Eq => Compare::Equal,
        BinaryOperator::NotEq => Compare::NotEqual,
        _ => return None,
    })
}

pub(super) fn negate(expr: Expr, negated: bool) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

/// Arithmetic; of literals it is done at once.
fn math(math: Math, a: Expr, b: Expr) -> Expr {
    if let (Expr::Number(a), Expr::Number(b)) = (&a, &b) {
        return match math.of(Datum::Number(*a), Datum::Number(*b)) {
            Datum::Number(value) => Expr::Number(value),
            _ => Expr::Null,
        };
    }
    Expr::Math(math, Box::new([a, b]))
}
