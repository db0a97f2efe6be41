//! Runs that earlier versions wrote, and this one. Never edited: what they hold must always be readable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use penstock_series::parquet::run::{Run, sidecar_path};
use penstock_series::parquet::{ColumnNo, Entity, Rows};
use record::{Timestamp, ValueRef, When};

use super::rows::{Random, Shape, Taste, read, readings, rows, write};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).with_extension("parquet")
}

/// What each fixture holds.
fn all() -> Vec<(&'static str, Rows)> {
    let mut random = Random(0x1d);
    let shape = Shape { rows: 300, strange_times: true, ..Shape::any(&mut random) };
    let first = rows(&shape, &mut random);
    // Values that were read in steps, exceptions, levels as bits.
    let metrics = vec![
        (ColumnNo(3), Taste::Parsed, 1),
        (ColumnNo(4), Taste::Decimal(1), 3),
        (ColumnNo(7), Taste::Text, 2),
    ];
    let shape = Shape { metrics, entities: 5, rows: 900, unit: 1_000_000, strange_times: false };
    vec![("run-v1", first), ("run-v2", rows(&shape, &mut random)), ("run-v2-spared", spared())]
}

/// Rows that arrived when they happened, without exceptions: the file is spared what would say nothing.
fn spared() -> Rows {
    let mut rows = Rows::new([ColumnNo(0)]);
    for at in 0..700_i64 {
        let time = Timestamp::from_millis(1_700_000_000_000 + at * 60_000).unwrap();
        let value = ValueRef::Float((at * at % 977) as f64 / 10.0);
        rows.push(Entity::new(0, 4), When::by_device(time, time), [Some(value)]);
    }
    rows
}

#[test]
fn runs_of_every_version_are_read() {
    for (name, expected) in all() {
        let run = Arc::new(Run::open(&fixture(name)).unwrap());
        assert_eq!(readings(&read(&run, 100)), readings(&expected), "{name}");
        assert_eq!(run.sidecar().plan.columns.len(), expected.columns().len(), "{name}");
    }
}

/// Wrote the fixtures; a new version gets others.
#[test]
#[ignore = "writes the fixtures"]
fn write_fixtures() {
    for (name, rows) in all() {
        if !fixture(name).exists() {
            write(&fixture(name), &rows);
            assert!(sidecar_path(&fixture(name)).exists());
        }
    }
}
