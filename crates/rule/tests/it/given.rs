//! Rules and messages as tests write them.

use std::sync::Arc;

use record::{CleanReading, Facts, TenantId, Timestamp, ValueRef, When};
use rule::{Document, Evaluator, Kind, Message, Output, Rule, RuleId, RuleSet, Settings, Transition};

pub(crate) const SECOND: i64 = 1_000_000_000;
/// Where the clocks of tests begin, ns: a Thursday, 08:00:00 UTC.
pub(crate) const START: i64 = 1_700_121_600 * SECOND;

/// A rule of a document in JSON; its id is its name.
pub(crate) fn rule(document: &str) -> Rule {
    let document: Document = serde_json::from_str(document).unwrap();
    let id = RuleId(document.name.as_str().into());
    Rule { tenant: TenantId::default_tenant(), id, version: 1, enabled: true, document }
}

/// A rule called `r` that says only when.
pub(crate) fn when(condition: &str) -> Rule {
    rule(&serde_json::json!({"name": "r", "when": condition}).to_string())
}

pub(crate) fn set(rules: &[Rule]) -> Arc<RuleSet> {
    let (set, refused) = RuleSet::compile(rules);
    assert!(refused.is_empty(), "{}", refused[0].2);
    Arc::new(set)
}

/// An evaluator of these rules, and what came of it.
pub(crate) struct Given {
    pub(crate) evaluator: Evaluator,
    pub(crate) facts: Facts,
    pub(crate) device: &'static str,
    pub(crate) is_history: bool,
    /// How much later than they happened messages arrive, s.
    pub(crate) delay: i64,
    pub(crate) out: Output,
}

impl Given {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        Self {
            evaluator: Evaluator::new(set(rules), Settings::default()),
            facts: Facts::default(),
            device: "d1",
            is_history: false,
            delay: 0,
            out: Output::default(),
        }
    }

    /// A message that happened so many seconds after the start.
    pub(crate) fn send(&mut self, second: i64, values: &[(&str, ValueRef<'_>)]) -> &mut Self {
        let (time, arrived) = (START + second * SECOND, START + (second + self.delay) * SECOND);
        let when = When::by_device(Timestamp::from_nanos(time), Timestamp::from_nanos(arrived));
        let readings: Vec<_> =
            values.iter().map(|(metric, value)| CleanReading { metric, when, value: *value }).collect();
        let message = Message {
            tenant: TenantId::DEFAULT,
            device: self.device,
            facts: &self.facts,
            is_history: self.is_history,
            readings: &readings,
        };
        self.evaluator.message(&message, &mut self.out);
        self
    }

    /// A message with one number.
    pub(crate) fn number(&mut self, second: i64, metric: &str, value: f64) -> &mut Self {
        self.send(second, &[(metric, ValueRef::Float(value))])
    }

    pub(crate) fn tick(&mut self, second: i64) -> &mut Self {
        self.evaluator.tick(Timestamp::from_nanos(START + second * SECOND), &mut self.out);
        self
    }

    /// What came since this was last asked, in short: `+r@cause at`, `-r@cause at`, in seconds after the start.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.out.transitions.drain(..).map(|transition| short(&transition)).collect()
    }
}

pub(crate) fn short(transition: &Transition) -> String {
    let sign = if transition.kind == Kind::Began { '+' } else { '-' };
    let seconds = |at: Timestamp| (at.nanos() - START) / SECOND;
    let past = if transition.retrospective { " past" } else { "" };
    format!("{sign}{}@{} {}{past}", transition.rule.0, seconds(transition.cause), seconds(transition.at))
}
