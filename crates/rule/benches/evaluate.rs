//! What rules cost: nanoseconds per reading, with 100 000 devices in turn (their state does not fit any cache), five metrics a
//! message, for several kinds and numbers of rules; the state of a device; transitions per 1000 readings; what compiling takes; what the first round takes, in which everything is new; and what it takes to go on with one rule changed. Values walk at random within
//! their usual range; a message in ten thousand goes beyond it, mostly a little. Times are of the processor, so that others on the machine count for less.
//!
//! `cargo bench -p penstock-rule --bench evaluate [-- KIND]`: of rules of one kind alone, `mixed`, say.

#![allow(clippy::print_stdout)] // a benchmark's figures are its output
#![allow(clippy::unwrap_used)]

extern crate penstock_rule as rule;

use std::hint::black_box;
use std::sync::Arc;

use record::{CleanReading, Facts, TenantId, Timestamp, ValueRef, When};
use rule::{Document, Evaluator, Message, Output, Rule, RuleId, RuleSet, Settings, Standard};

const DEVICES: usize = 100_000;
const METRICS: [&str; 5] = ["temperature", "vibration", "pressure", "current", "speed"];
/// Rounds over all devices that are measured, a minute of event time each; two more come before.
const ROUNDS: usize = 9;
const SECOND: i64 = 1_000_000_000;

fn main() {
    let kind = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let run = |name: &str, rules: &dyn Fn() -> Vec<Rule>| {
        if name.starts_with(&kind) {
            run(name, &rules());
        }
    };
    println!("{DEVICES} devices x {} metrics, a message a minute", METRICS.len());
    println!(
        "{:34} {:>6} {:>12} {:>14} {:>12} {:>12} {:>12} {:>12}",
        "rules", "number", "ns/reading", "bytes/device", "per 1000", "compiled ms", "first ns", "replace ms"
    );
    run("none of this tenant", &Vec::new);
    for number in [10, 100, 1000, 10_000] {
        run("thresholds", &|| (0..number).map(threshold).collect());
    }
    for number in [10, 100, 1000, 10_000] {
        run("thresholds, for 5 m, hysteresis", &|| (0..number).map(held).collect());
    }
    for number in [10, 100, 1000, 10_000] {
        run("thresholds, scoped to 100 types", &|| (0..number).map(scoped).collect());
    }
    for number in [10, 100, 1000, 10_000] {
        run("avg over 5 m, one window a metric", &|| (0..number).map(shared).collect());
    }
    for number in [10, 100] {
        run("avg, max, rate, own windows each", &|| (0..number).map(distinct).collect());
    }
    for number in [5, 10_000] {
        run("budgets of false alarms", &|| (0..number).map(budget).collect());
    }
    run("two and three metrics together", &|| {
        vec![together("temperature, vibration"), together("pressure, current, speed")]
    });
    for number in [10, 100, 1000] {
        run("thresholds, each rule evaluated", &|| (0..number).map(unindexed).collect());
    }
    for number in [10, 100, 1000, 10_000] {
        run("mixed", &|| (0..number).map(mixed).collect());
    }
}

fn rule(number: usize, document: serde_json::Value) -> Rule {
    let document: Document = serde_json::from_value(document).unwrap();
    Rule {
        tenant: TenantId::default_tenant(),
        id: RuleId(format!("rule-{number}").into()),
        version: 1,
        enabled: true,
        document,
    }
}

/// A threshold of a metric, beyond its usual range of 40 to 60.
fn beyond(number: usize) -> (&'static str, f64) {
    (METRICS[number % METRICS.len()], 61.0 + (number * 7919 % 10_007) as f64 / 250.0)
}

fn threshold(number: usize) -> Rule {
    let (metric, limit) = beyond(number);
    rule(number, serde_json::json!({"name": "n", "when": format!("{metric} > {limit}")}))
}

/// The same as [`threshold`], written so that no threshold can be told beforehand.
fn unindexed(number: usize) -> Rule {
    let (metric, limit) = beyond(number);
    rule(number, serde_json::json!({"name": "n", "when": format!("{metric} + 0 > {limit}")}))
}

fn held(number: usize) -> Rule {
    let (metric, limit) = beyond(number);
    let clear = limit - 0.5;
    rule(
        number,
        serde_json::json!({"name": "n", "when": format!("{metric} > {limit}"), "for": "5m", "clear_when": format!("{metric} < {clear}")}),
    )
}

fn scoped(number: usize) -> Rule {
    let (metric, limit) = beyond(number);
    rule(
        number,
        serde_json::json!({"name": "n", "when": format!("{metric} > {limit}"), "scope": {"type": format!("type-{}", number / 5 % 100)}}),
    )
}

fn shared(number: usize) -> Rule {
    let (metric, limit) = beyond(number);
    rule(number, serde_json::json!({"name": "n", "when": format!("avg({metric}, '5 minutes') > {limit}")}))
}

/// One detector a metric, whatever the budget.
fn budget(number: usize) -> Rule {
    let (metric, days) = (METRICS[number % METRICS.len()], 30 + number / METRICS.len());
    rule(number, serde_json::json!({"name": "n", "when": format!("anomalous({metric}, '{days} days')")}))
}

fn together(metrics: &str) -> Rule {
    rule(metrics.len(), serde_json::json!({"name": "n", "when": format!("anomalous({metrics}, '30 days')")}))
}

fn distinct(number: usize) -> Rule {
    let (metric, limit) = beyond(number);
    let minutes = 2 + number / METRICS.len();
    let func = ["avg", "max", "rate"][number / METRICS.len() % 3];
    rule(
        number,
        serde_json::json!({"name": "n", "when": format!("{func}({metric}, '{minutes} minutes') > {limit}")}),
    )
}

/// As a tenant might have them: mostly thresholds, some for devices of a type, some held, some over windows, some of silence.
fn mixed(number: usize) -> Rule {
    let (metric, limit) = beyond(number);
    match number % 20 {
        0..=6 => threshold(number),
        7..=10 => scoped(number),
        11..=13 => held(number),
        14..=15 => shared(number),
        16 => rule(
            number,
            serde_json::json!({"name": "n", "when": format!("max({metric}, '1 hour') > {limit} AND device.site = 'site-{}'", number % 50)}),
        ),
        17 => rule(
            number,
            serde_json::json!({"name": "n", "when": format!("{metric} > {limit} AND device.type = 'type-{}'", number / 5 % 100)}),
        ),
        18 => rule(
            number,
            serde_json::json!({"name": "n", "when": "no_data('10 minutes')", "scope": {"type": format!("type-{}", number / 5 % 100)}}),
        ),
        _ => rule(
            number,
            serde_json::json!({"name": "n", "when": format!("{metric} > {limit} AND speed > 60"), "schedule": {"from": "08:00", "to": "18:00", "tz": "Europe/Berlin"}}),
        ),
    }
}

struct Fleet {
    ids: Vec<String>,
    facts: Vec<Facts>,
    values: Vec<[f64; METRICS.len()]>,
    dice: u64,
}

impl Fleet {
    fn new() -> Self {
        let facts = |number: usize| Facts {
            device_type: Some(format!("type-{}", number % 100).into()),
            site: Some(format!("site-{}", number / 100 % 50).into()),
            ..Facts::default()
        };
        Self {
            ids: (0..DEVICES).map(|number| format!("device-{number:06}")).collect(),
            facts: (0..5000).map(facts).collect(),
            values: vec![[50.0; METRICS.len()]; DEVICES],
            dice: 1,
        }
    }

    /// From 0 to 1 (xorshift64).
    fn roll(&mut self) -> f64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The next values of a device: a walk between 40 and 60; once in ten thousand messages all go up, mostly a little, at most by 50.
    fn walk(&mut self, device: usize) -> [f64; METRICS.len()] {
        for metric in 0..METRICS.len() {
            let step = self.roll() * 2.0 - 1.0;
            self.values[device][metric] = (self.values[device][metric] + step).clamp(40.0, 60.0);
        }
        if self.roll() < 0.0001 {
            let up = self.roll().powi(8) * 50.0;
            return self.values[device].map(|value| value + up);
        }
        self.values[device]
    }
}

fn run(name: &str, rules: &[Rule]) {
    let start = processor_ns();
    let (set, refused) = RuleSet::compile(rules);
    assert!(refused.is_empty(), "{}", refused[0].2);
    let compiled_ms = (processor_ns() - start) / 1_000_000;
    let settings = Settings { detectors: Arc::new(Standard::default()), ..Settings::default() };
    let mut evaluator = Evaluator::new(Arc::new(set), settings);
    let (mut fleet, mut out) = (Fleet::new(), Output::default());
    let (mut times, mut transitions, mut first) = (Vec::new(), 0, 0.0);
    for round in 0..ROUNDS + 2 {
        let mut evaluated = 0;
        for first in (0..DEVICES).step_by(1000) {
            // What the messages are made of is made before the clock runs.
            let values: Vec<_> = (first..first + 1000).map(|device| fleet.walk(device)).collect();
            let start = processor_ns();
            for (offset, values) in values.iter().enumerate() {
                send(&mut evaluator, &fleet, first + offset, round, values, &mut out);
            }
            evaluator.tick(at(round, first + 1000), &mut out);
            evaluated += processor_ns() - start;
            transitions += out.transitions.len();
            out.transitions.clear();
        }
        if round == 0 {
            first = evaluated as f64 / (DEVICES * METRICS.len()) as f64;
        }
        if round >= 2 {
            times.push(evaluated as f64 / (DEVICES * METRICS.len()) as f64);
        }
    }
    times.sort_by(f64::total_cmp);
    let replaced_ms = replace_one(&mut evaluator, rules, &mut out);
    let bytes = evaluator.bytes() / evaluator.devices().max(1);
    println!(
        "{name:34} {:>6} {:>12.1} {bytes:>14} {:>12.2} {compiled_ms:>12} {first:>12.1} {replaced_ms:>12}",
        rules.len(),
        times[ROUNDS / 2],
        transitions as f64 * 1000.0 / ((ROUNDS + 2) * DEVICES * METRICS.len()) as f64
    );
}

/// What it takes, ms, to go on with the same rules but one, which is of another version; compiling not counted.
fn replace_one(evaluator: &mut Evaluator, rules: &[Rule], out: &mut Output) -> i64 {
    let mut rules = rules.to_vec();
    if let Some(rule) = rules.first_mut() {
        rule.version += 1;
    }
    let (set, _) = RuleSet::compile(&rules);
    let start = processor_ns();
    evaluator.replace(Arc::new(set), out);
    (processor_ns() - start) / 1_000_000
}

/// When a device sends: all within a minute, one after the other.
fn at(round: usize, device: usize) -> Timestamp {
    let nanos = 1_700_000_000 * SECOND + (round * DEVICES + device) as i64 * (60 * SECOND / DEVICES as i64);
    Timestamp::from_nanos(nanos)
}

fn send(
    evaluator: &mut Evaluator,
    fleet: &Fleet,
    device: usize,
    round: usize,
    values: &[f64; METRICS.len()],
    out: &mut Output,
) {
    let time = at(round, device);
    let when = When::by_device(time, time);
    let readings: [CleanReading<'_>; METRICS.len()] = std::array::from_fn(|metric| CleanReading {
        metric: METRICS[metric],
        when,
        value: ValueRef::Float(values[metric]),
    });
    let message = Message {
        tenant: TenantId::DEFAULT,
        device: &fleet.ids[device],
        facts: &fleet.facts[device % fleet.facts.len()],
        is_history: false,
        readings: &readings,
    };
    evaluator.message(black_box(&message), out);
}

/// What this thread has taken of the processor, ns.
fn processor_ns() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec * SECOND + time.tv_nsec
}
