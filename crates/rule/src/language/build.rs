//! From the SQL parser's tree to a typed expression: names become numbers, kinds are checked.

use sqlparser::ast::{BinaryOperator, Expr as Tree, Ident, UnaryOperator, Value};

use super::expr::{Compare, Expr, Math};
use super::functions;
use super::like::Like;
use super::names::{Fact, Names};
use super::parse::Parsed;
use crate::CompileError;
use crate::limits::{AGGREGATES_PER_RULE, DEPTH, METRICS_PER_RULE};

/// A condition, ready to be evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) expr: Expr,
    /// The metrics it names, each once.
    pub(crate) metrics: Vec<u32>,
    /// The tracks it asks, each once.
    pub(crate) tracks: Vec<u32>,
    /// What it says of silence, each once: of which metric, for how long (ns).
    pub(crate) silences: Vec<(Option<u32>, i64)>,
    /// The parts that have a value of their own, for people.
    pub(crate) leaves: Vec<Leaf>,
}

/// A part of a condition that has a value of its own.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// As it is written.
    pub(crate) label: Box<str>,
    pub(crate) expr: Expr,
}

/// What kind of value an expression has, as far as that is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A metric's: told by its readings.
    Any,
    Number,
    Bool,
    Text,
}

pub(super) type Typed = (Expr, Kind);

/// What is gathered on the way.
pub(super) struct Builder<'a> {
    pub(super) parsed: &'a Parsed<'a>,
    pub(super) names: &'a mut Names,
    pub(super) condition: Condition,
    depth: usize,
}

/// Makes a condition of a tree. Names that it needs are added to `names`, also if it fails.
pub(crate) fn build(parsed: &Parsed<'_>, names: &mut Names) -> Result<Condition, CompileError> {
    let condition = Condition {
        expr: Expr::Null,
        metrics: Vec::new(),
        tracks: Vec::new(),
        silences: Vec::new(),
        leaves: Vec::new(),
    };
    let mut builder = Builder { parsed, names, condition, depth: 0 };
    let expr = builder.truth(&parsed.tree)?;
    let mut condition = builder.condition;
    if condition.metrics.is_empty() && condition.silences.is_empty() {
        let message = "the condition names no metric, so that nothing would ever have it looked at: name one, or use no_data";
        return Err(parsed.error(&parsed.tree, message));
    }
    condition.expr = expr;
    Ok(condition)
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Text => "a text",
        }
    }
}

impl Builder<'_> {
    /// An expression of any kind.
    pub(super) fn value(&mut self, tree: &Tree) -> Result<Typed, CompileError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self
                .parsed
                .error(tree, format!("more than {DEPTH} levels deep: take the condition apart")));
        }
        let typed = self.typed(tree)?;
        self.depth -= 1;
        Ok(typed)
    }

    /// A condition.
    pub(super) fn truth(&mut self, tree: &Tree) -> Result<Expr, CompileError> {
        match self.value(tree)? {
            (expr, Kind::Any | Kind::Bool) => Ok(expr),
            (_, kind) => Err(self.wrong(tree, "a condition", kind)),
        }
    }

    /// Something to calculate with.
    pub(super) fn number(&mut self, tree: &Tree) -> Result<Expr, CompileError> {
        match self.value(tree)? {
            (expr, Kind::Any | Kind::Bool | Kind::Number) => Ok(expr),
            (_, kind) => Err(self.wrong(tree, "a number", kind)),
        }
    }

    fn text(&mut self, tree: &Tree) -> Result<Expr, CompileError> {
        match self.value(tree)? {
            (expr, Kind::Any | Kind::Text) => Ok(expr),
            (_, kind) => Err(self.wrong(tree, "a text", kind)),
        }
    }

    fn wrong(&self, tree: &Tree, wanted: &str, found: Kind) -> CompileError {
        self.parsed.error(tree, format!("{wanted} is needed here, {tree} is {}", found.name()))
    }

    fn typed(&mut self, tree: &Tree) -> Result<Typed, CompileError> {
        match tree {
            Tree::Nested(of) => self.value(of),
            Tree::Value(value) => self.literal(tree, &value.value),
            Tree::Identifier(name) => self.metric(tree, &name.value),
            Tree::CompoundIdentifier(names) => self.dotted(tree, names),
            Tree::Function(function) => functions::build(self, tree, function),
            Tree::UnaryOp { op, expr } => self.unary(tree, *op, expr),
            Tree::BinaryOp { left, op, right } => self.binary(tree, left, op, right),
            Tree::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Tree::InList { expr, list, negated } => {
                let equal = |right| (Compare::Equal, right);
                let of: Vec<_> = list.iter().map(equal).collect();
                self.compared(expr, &of, Expr::Or, *negated)
            }
            Tree::Between { expr, negated, low, high } => {
                let of = [(Compare::GreaterOrEqual, &**low), (Compare::LessOrEqual, &**high)];
                self.compared(expr, &of, Expr::And, *negated)
            }
            Tree::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(*negated, expr, pattern, escape_char.as_ref().map(|escape| &escape.value), false)
            }
            Tree::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(*negated, expr, pattern, escape_char.as_ref().map(|escape| &escape.value), true)
            }
            Tree::Floor { expr, .. } | Tree::Ceil { expr, .. } => functions::rounded(self, tree, expr),
            _ => self.questions(tree),
        }
    }

    /// `IS …`.
    fn questions(&mut self, tree: &Tree) -> Result<Typed, CompileError> {
        let is = |expr, negated| (negate(expr, negated), Kind::Bool);
        let (of, truth, negated) = match tree {
            Tree::IsNull(of) => return Ok(is(Expr::IsNull(Box::new(self.value(of)?.0)), false)),
            Tree::IsNotNull(of) => return Ok(is(Expr::IsNull(Box::new(self.value(of)?.0)), true)),
            Tree::IsTrue(of) => (of, Some(true), false),
            Tree::IsNotTrue(of) => (of, Some(true), true),
            Tree::IsFalse(of) => (of, Some(false), false),
            Tree::IsNotFalse(of) => (of, Some(false), true),
            Tree::IsUnknown(of) => (of, None, false),
            Tree::IsNotUnknown(of) => (of, None, true),
            _ => {
                return Err(self
                    .parsed
                    .error(tree, format!("{tree} is no part of conditions: see docs/rules.md for what is")));
            }
        };
        Ok(is(Expr::IsTruth(Box::new(self.truth(of)?), truth), negated))
    }

    fn literal(&self, tree: &Tree, value: &Value) -> Result<Typed, CompileError> {
        Ok(match value {
            Value::Number(text, _) => {
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                let number = number.ok_or_else(|| self.parsed.error(tree, format!("{text} is no number")))?;
                (Expr::Number(number), Kind::Number)
            }
            Value::SingleQuotedString(text) => (Expr::Text(text.as_str().into()), Kind::Text),
            Value::Boolean(truth) => (Expr::Bool(*truth), Kind::Bool),
            Value::Null => (Expr::Null, Kind::Any),
            _ => {
                return Err(self
                    .parsed
                    .error(tree, format!("{tree} cannot be used here: write texts in single quotes")));
            }
        })
    }

    /// The number of a metric that the condition names.
    pub(super) fn metric_number(&mut self, tree: &Tree, name: &str) -> Result<u32, CompileError> {
        if let Err(error) = record::MetricName::parse(name) {
            return Err(self.parsed.error(tree, error.to_string()));
        }
        let number = self.names.metric(name);
        if !self.condition.metrics.contains(&number) {
            if self.condition.metrics.len() == METRICS_PER_RULE {
                return Err(self.parsed.error(
                    tree,
                    format!("more than {METRICS_PER_RULE} metrics are named: take the condition apart"),
                ));
            }
            self.condition.metrics.push(number);
        }
        Ok(number)
    }

    /// Takes note of a track; a condition may ask so many.
    pub(super) fn note_track(&mut self, tree: &Tree, track: u32) -> Result<(), CompileError> {
        if !self.condition.tracks.contains(&track) {
            if self.condition.tracks.len() == AGGREGATES_PER_RULE {
                return Err(self.parsed.error(
                    tree,
                    format!("more than {AGGREGATES_PER_RULE} aggregates are asked: take the condition apart"),
                ));
            }
            self.condition.tracks.push(track);
        }
        Ok(())
    }

    fn metric(&mut self, tree: &Tree, name: &str) -> Result<Typed, CompileError> {
        let metric = self.metric_number(tree, name)?;
        Ok(self.leaf(tree, Expr::Metric(metric), Kind::Any))
    }

    /// Takes note of a part that has a value of its own.
    pub(super) fn leaf(&mut self, tree: &Tree, expr: Expr, kind: Kind) -> Typed {
        let leaves = &mut self.condition.leaves;
        if !leaves.iter().any(|leaf| leaf.expr == expr) {
            leaves.push(Leaf { label: tree.to_string().into(), expr: expr.clone() });
        }
        (expr, kind)
    }

    /// `device.…` is a fact; everything else with dots is a metric.
    fn dotted(&mut self, tree: &Tree, names: &[Ident]) -> Result<Typed, CompileError> {
        let name: Vec<_> = names.iter().map(|name| name.value.as_str()).collect();
        if name[0] != "device" || names[0].quote_style.is_some() {
            return self.metric(tree, &name.join("."));
        }
        let fact = match name[1..] {
            ["id"] => return Ok(self.leaf(tree, Expr::DeviceId, Kind::Text)),
            ["type"] => Fact::Type,
            ["site"] => Fact::Site,
            ["firmware"] => Fact::Firmware,
            ["tags", ref key @ ..] if !key.is_empty() => Fact::Tag(key.join(".").into()),
            _ => {
                let message = format!(
                    "{tree} is no fact of devices: id, type, site, firmware and tags.KEY are; a metric of this name is written in double quotes"
                );
                return Err(self.parsed.error(tree, message));
            }
        };
        Ok(self.fact(tree, fact))
    }

    pub(super) fn fact(&mut self, tree: &Tree, fact: Fact) -> Typed {
        let fact = self.names.fact(fact);
        self.leaf(tree, Expr::Fact(fact), Kind::Text)
    }

    fn unary(&mut self, tree: &Tree, op: UnaryOperator, of: &Tree) -> Result<Typed, CompileError> {
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

    fn binary(
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
    fn compared(
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

    fn like(
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

    fn case(
        &mut self,
        operand: Option<&Tree>,
        conditions: &[sqlparser::ast::CaseWhen],
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

fn negate(expr: Expr, negated: bool) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

/// Arithmetic; of literals it is done at once.
fn math(math: Math, a: Expr, b: Expr) -> Expr {
    if let (Expr::Number(a), Expr::Number(b)) = (&a, &b) {
        use super::datum::Datum;
        return match math.of(Datum::Number(*a), Datum::Number(*b)) {
            Datum::Number(value) => Expr::Number(value),
            _ => Expr::Null,
        };
    }
    Expr::Math(math, Box::new([a, b]))
}
