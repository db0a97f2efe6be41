//! Random rows whose metrics drift: new, vanishing, sparse, changing ones, and now and then a strange value.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use penstock_series::parquet::run::{Plan, Run, Writer, Written};
use penstock_series::parquet::{ColumnNo, Entity, RowKey, Rows};
use record::{TimeOrigin, Timestamp, Value, ValueRef, When};

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What a metric's values are like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Taste {
    Int,
    LongInt,
    Decimal(i32),
    Mixed,
    Computed,
    /// Read from text as pandas does: not one of [`TASTES`], by which a fixture was made.
    Parsed,
    Narrow,
    Float,
    Bool,
    Text,
    Place,
    AnyPlace,
    Anything,
}

const TASTES: [Taste; 13] = [
    Taste::Int,
    Taste::LongInt,
    Taste::Decimal(0),
    Taste::Decimal(1),
    Taste::Mixed,
    Taste::Computed,
    Taste::Narrow,
    Taste::Float,
    Taste::Bool,
    Taste::Text,
    Taste::Place,
    Taste::AnyPlace,
    Taste::Anything,
];

impl Taste {
    pub(super) fn any(random: &mut Random) -> Self {
        TASTES[random.below(TASTES.len() as u64) as usize]
    }

    pub(super) fn value(self, random: &mut Random) -> Value {
        if random.one_in(150) {
            return strange(random);
        }
        let near = random.below(1000) as f64;
        match self {
            Self::Int => Value::Int(random.below(1000) as i64 - 500),
            Self::LongInt => Value::Int(random.next() as i64),
            Self::Decimal(decimals) => Value::Float((near - 500.0) / 10_f64.powi(decimals)),
            Self::Mixed if random.one_in(3) => Value::Int(near as i64),
            Self::Mixed => Value::Float(near / 100.0),
            Self::Computed => Value::Float(near / 100.0 + 0.1 + 0.2),
            Self::Parsed => Value::Float((near * 7.0 + 20_001.0) / 10.0 / 100.0),
            Self::Narrow => Value::Float(f64::from((near as f32 + 0.1) / 3.0)),
            Self::Float => Value::Float(f64::from_bits(random.next())),
            Self::Bool => Value::Bool(random.one_in(3)),
            Self::Text => Value::Text(format!("zustand-{}-ü", random.below(7))),
            Self::Place => Value::Location { lat: near / 1e5, lng: -near / 1e6 },
            Self::AnyPlace => Value::Location { lat: (near + 0.3).sqrt(), lng: near },
            Self::Anything => strange(random),
        }
    }
}

pub(super) fn strange(random: &mut Random) -> Value {
    match random.below(14) {
        0 => Value::Float(f64::NAN),
        1 => Value::Float(-0.0),
        2 => Value::Float(f64::INFINITY),
        3 => Value::Float(f64::MIN_POSITIVE / 8.0),
        4 => Value::Float(1e300),
        5 => Value::Int(i64::MIN),
        6 => Value::Int(i64::MAX),
        7 => Value::Int((1 << 53) + 1),
        8 => Value::Bool(true),
        9 => Value::Text(String::new()),
        10 => Value::Text("\u{0}größe".repeat(random.below(9) as usize)),
        11 => Value::Location { lat: -0.0, lng: f64::NAN },
        12 => Value::Float(0.1),
        _ => Value::Int(0),
    }
}

/// Every reading by its key: what rows are compared by, whatever rows it stands in.
pub(super) type Readings = BTreeMap<(RowKey, ColumnNo), (When, String)>;

/// A value as it is compared: bit for bit, but an integer is the float of the same size.
pub(crate) fn told(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Float(value) if value.is_nan() => "NaN".to_owned(),
        ValueRef::Int(value) if value.unsigned_abs() <= 1 << 53 => format!("{:?}", value as f64),
        // An integer beyond is told apart from a float.
        ValueRef::Float(value) => format!("{value:?}"),
        other => format!("{other:?}"),
    }
}

pub(super) fn readings(rows: &Rows) -> Readings {
    let mut all = Readings::new();
    for row in 0..rows.len() {
        for column in rows.columns() {
            let Some(value) = column.cells.get(row) else { continue };
            let twice = all.insert((rows.key(row), column.no), (rows.when(row), told(value)));
            assert_eq!(twice, None, "a reading stands there twice");
        }
    }
    all
}

/// Fails at the first reading that is not the same.
pub(super) fn same(found: &Readings, expected: &Readings, what: &str) {
    for (key, value) in expected {
        assert_eq!(found.get(key), Some(value), "{what}: {key:?}");
    }
    assert_eq!(found.len(), expected.len(), "{what}: more than expected");
}

/// What rows are made of.
pub(super) struct Shape {
    pub(super) metrics: Vec<(ColumnNo, Taste, u64)>,
    pub(super) entities: u64,
    pub(super) rows: usize,
    pub(super) unit: i64,
    pub(super) strange_times: bool,
}

impl Shape {
    pub(super) fn any(random: &mut Random) -> Self {
        let metrics = (0..random.below(12) + 1)
            .map(|_| (ColumnNo(random.below(40) as u32), Taste::any(random), 1 + random.below(5)))
            .collect();
        let unit = [1, 1_000, 1_000_000][random.below(3) as usize];
        let rows = random.below(3000) as usize;
        let strange_times = random.one_in(3);
        Self { metrics, entities: 1 + random.below(30), rows, unit, strange_times }
    }
}

/// Sorted rows; metric `m` is in one of `sparse` of them.
pub(super) fn rows(shape: &Shape, random: &mut Random) -> Rows {
    let mut metrics = shape.metrics.clone();
    metrics.sort_by_key(|metric| metric.0);
    metrics.dedup_by_key(|metric| metric.0);
    let mut whens = BTreeMap::new();
    for _ in 0..shape.rows {
        let group = if shape.strange_times { random.below(3) as u32 } else { 0 };
        let entity = Entity::new(group, random.below(shape.entities) as u32 * 7);
        let time =
            1_700_000_000_000_000_000 / shape.unit * shape.unit + random.below(100_000) as i64 * shape.unit;
        let at = Timestamp::from_nanos;
        let mut when = When::by_device(at(time), at(time + random.below(500) as i64 * 1_000_000));
        if shape.strange_times && random.one_in(10) {
            when.origin = TimeOrigin::Corrected;
            when.claimed = at(time - random.below(1 << 40) as i64);
            when.seq = random.below(3);
        }
        if shape.strange_times && random.one_in(500) {
            when.claimed = at(random.next() as i64);
            when.time = at([i64::MIN, i64::MAX][random.below(2) as usize]);
            when.seq = u64::MAX;
        }
        whens.insert(RowKey { entity, claimed: when.claimed.nanos(), seq: when.seq }, when);
    }
    let mut rows = Rows::new(metrics.iter().map(|metric| metric.0));
    for (key, when) in whens {
        let values: Vec<_> = metrics
            .iter()
            .map(|(_, taste, sparse)| random.one_in(*sparse).then(|| taste.value(random)))
            .collect();
        rows.push(key.entity, when, values.iter().map(|value| value.as_ref().map(Value::as_ref)));
    }
    rows
}

pub(super) fn name(no: ColumnNo) -> String {
    // Names that must not get in the way of our own columns.
    match no.0 {
        0 => "_time".to_owned(),
        1 => "a.b".to_owned(),
        2 => "_device".to_owned(),
        no => format!("m{no}"),
    }
}

pub(super) fn write(path: &Path, rows: &Rows) -> Written {
    let mut writer = Writer::create(path, Plan::of(rows, name)).unwrap();
    writer.write(rows, 0..rows.len()).unwrap();
    writer.finish().unwrap()
}

pub(super) fn read(run: &Arc<Run>, piece: usize) -> Rows {
    let mut scan = run.scan(0..run.sidecar().rows, None);
    let mut found = scan.rows();
    while scan.read(piece, &mut found).unwrap() > 0 {}
    found
}
