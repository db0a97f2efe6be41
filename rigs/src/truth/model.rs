//! The naive model: what must come of a scenario.
//!
//! It goes through the messages in the order in which they are sent and does what docs and requirements say, one
//! reading at a time, in maps. It knows nothing of batches, checkpoints, caches or sketches.

use std::collections::BTreeMap;

use record::{Lane, Value, partition_of};

use super::scenario::{Dead, Message, Nanos, Reading, Scenario};
use super::windows::{Touches, WindowTruth};

/// What must come of a scenario, by tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// In the order of [`Scenario::tenants`].
    pub tenants: Vec<TenantTruth>,
}

/// What must be found of a tenant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TenantTruth {
    /// Stored readings, by key.
    pub rows: BTreeMap<Key, Value>,
    /// Stored readings without a time of the device's: device, metric, value as text; and how many of each.
    pub clockless: BTreeMap<(String, String, String), u64>,
    /// Values that a correction replaced, in order.
    pub replaced: Vec<(Key, Value)>,
    /// Readings that came late, with the value they came with.
    pub late: Vec<(Key, Value)>,
    /// Dead letters, and how many of each.
    pub dead: BTreeMap<Dead, u64>,
    /// Windows.
    pub windows: BTreeMap<WindowKey, WindowTruth>,
    /// The account.
    pub account: Account,
}

/// What a reading is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The device.
    pub device: String,
    /// The metric.
    pub metric: String,
    /// The device's time.
    pub time: Nanos,
    /// Its sequence number.
    pub seq: Option<u64>,
}

/// Which window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowKey {
    /// The device.
    pub device: String,
    /// The metric.
    pub metric: String,
    /// Its length.
    pub length: Nanos,
    /// Its start.
    pub start: Nanos,
}

/// Readings by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// All.
    pub accepted: i64,
    /// Stored in time.
    pub stored: i64,
    /// There already.
    pub duplicate: i64,
    /// Dead letters.
    pub dead: i64,
    /// Stored late.
    pub late: i64,
    /// Of those stored, in time or late: with another value than before.
    pub corrected: i64,
}

/// A watermark, as far as it can be known: where a wild device sets it to the time of arrival, within minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// It is at least here.
    pub least: Nanos,
    /// It is at most here.
    pub most: Nanos,
}

impl Watermark {
    /// Whether it has reached `time`; `None`: it cannot be known.
    #[must_use]
    pub fn reached(self, time: Nanos) -> Option<bool> {
        let (certain, possible) = (self.least >= time, self.most >= time);
        (certain == possible).then_some(certain)
    }
}

/// Works the truth out.
///
/// # Panics
/// The scenario's truth would hang on the machine's speed: a fault of the generator.
#[must_use]
pub fn truth(scenario: &Scenario) -> Truth {
    let tenants = vec![TenantTruth::default(); scenario.tenants.len()];
    let mut model = Model {
        scenario,
        tenants,
        watermarks: vec![None; usize::from(scenario.rules.partitions)],
        touches: vec![Touches::new(scenario.tuning.is_short_of_memory()); scenario.tenants.len()],
        group: 0,
    };
    for stage in &scenario.stages {
        for line in &stage.lines {
            let tenant = scenario.links[line.link].tenant;
            for message in line.messages.iter().filter(|message| message.answer.is_accepted()) {
                model.message(tenant, message);
            }
        }
        model.close_windows();
        model.group += usize::from(stage.settle);
    }
    model.finish()
}

struct Model<'a> {
    scenario: &'a Scenario,
    tenants: Vec<TenantTruth>,
    /// By partition.
    watermarks: Vec<Option<Watermark>>,
    /// By tenant.
    touches: Vec<Touches>,
    /// Counts the waits until everything is stored.
    group: usize,
}

impl Model<'_> {
    fn message(&mut self, tenant: usize, message: &Message) {
        for dead in &message.dead {
            let truth = &mut self.tenants[tenant];
            *truth.dead.entry(dead.clone()).or_default() += 1;
            truth.account.accepted += 1;
            truth.account.dead += 1;
        }
        for unit in &message.units {
            let lane = message.lane.unwrap_or_else(|| self.lane(unit));
            for reading in unit {
                self.reading(tenant, lane, reading);
            }
        }
    }

    /// By the age of the newest reading.
    fn lane(&self, unit: &[Reading]) -> Lane {
        let (earliest, latest) = self.arrival();
        let Some(newest) = unit.iter().map(|reading| reading.time).collect::<Option<Vec<_>>>() else {
            return Lane::Live; // a time of arrival is among them
        };
        let newest = newest.into_iter().max().unwrap_or(earliest);
        let is_old = |arrived: Nanos| arrived - newest > self.scenario.rules.backfill_after;
        assert_eq!(is_old(earliest), is_old(latest), "a lane that hangs on the machine's speed");
        if is_old(earliest) { Lane::Backfill } else { Lane::Live }
    }

    /// Messages arrive between these.
    fn arrival(&self) -> (Nanos, Nanos) {
        (self.scenario.made_at, self.scenario.made_at + Scenario::PATIENCE)
    }

    fn reading(&mut self, tenant: usize, lane: Lane, reading: &Reading) {
        let name = &self.scenario.tenants[tenant];
        let partition = usize::from(partition_of(name, &reading.device, self.scenario.rules.partitions));
        let behind = lane == Lane::Live && reading.time.is_some_and(|time| self.is_late(partition, time));
        if lane == Lane::Live {
            self.advance(partition, reading.time);
        }
        let truth = &mut self.tenants[tenant];
        truth.account.accepted += 1;
        let Some(time) = reading.time else {
            truth.account.stored += 1;
            let what = (reading.device.clone(), reading.metric.clone(), text_of(&reading.value));
            *truth.clockless.entry(what).or_default() += 1;
            return;
        };
        let Reading { device, metric, seq, value, .. } = reading.clone();
        let key = Key { device, metric, time, seq };
        let corrects = match truth.rows.get(&key) {
            Some(held) if is_same(held, &value) => {
                truth.account.duplicate += 1;
                return;
            }
            Some(held) => {
                truth.replaced.push((key.clone(), held.clone()));
                truth.account.corrected += 1;
                true
            }
            None => false,
        };
        if behind {
            truth.account.late += 1;
            truth.late.push((key.clone(), value.clone()));
        } else {
            truth.account.stored += 1;
        }
        let in_order = lane == Lane::Live && !behind && !corrects;
        self.touches[tenant].touch(&key, partition, in_order, self.group);
        truth.rows.insert(key, value);
    }

    fn is_late(&self, partition: usize, time: Nanos) -> bool {
        let allowed = self.scenario.rules.allowed_lateness;
        self.watermarks[partition].is_some_and(|watermark| {
            watermark.reached(time + allowed + 1).expect("a lateness that hangs on the machine's speed")
        })
    }

    fn advance(&mut self, partition: usize, time: Option<Nanos>) {
        let (earliest, latest) = self.arrival();
        let bound = |arrived: Nanos| time.map_or(arrived, |time| time.min(arrived));
        let (least, most) = (bound(earliest), bound(latest));
        let watermark = self.watermarks[partition].get_or_insert(Watermark { least, most });
        watermark.least = watermark.least.max(least);
        watermark.most = watermark.most.max(most);
    }

    fn close_windows(&mut self) {
        for (touches, truth) in self.touches.iter_mut().zip(&self.tenants) {
            touches.close(&self.watermarks, self.scenario.rules.allowed_lateness, self.group, &truth.rows);
        }
    }

    fn finish(self) -> Truth {
        let mut tenants = self.tenants;
        for (truth, touches) in tenants.iter_mut().zip(&self.touches) {
            truth.windows = touches.windows(&truth.rows);
        }
        Truth { tenants }
    }
}

/// The same type and the same bits.
#[must_use]
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

/// A value as text, with its type.
#[must_use]
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Float(x) => format!("float {x:?}"),
        Value::Int(x) => format!("integer {x}"),
        Value::Bool(x) => format!("boolean {x}"),
        Value::Text(x) => format!("text {x}"),
        Value::Location { lat, lng } => format!("location {lat:?} {lng:?}"),
    }
}
