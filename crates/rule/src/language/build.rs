//! From the SQL parser's tree to a typed expression: names become numbers, kinds are checked.

use sqlparser::ast::{Expr as Tree, Ident, Value};

use super::expr::{Compare, Expr};
use super::functions;
use super::names::{Fact, Names};
use super::operators::negate;
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
    pub(super) const fn name(self) -> &'static str {
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

    pub(super) fn text(&mut self, tree: &Tree) -> Result<Expr, CompileError> {
        match self.value(tree)? {
            (expr, Kind::Any | Kind::Text) => Ok(expr),
            (_, kind) => Err(self.wrong(tree, "a text", kind)),
        }
    }

    pub(super) fn wrong(&self, tree: &Tree, wanted: &str, found: Kind) -> CompileError {
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
}
