//! A run that version 1 wrote. Never edited: what it holds must always be readable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use penstock_series::parquet::run::{Run, sidecar_path};

use super::rows::{Random, Shape, read, readings, rows, write};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/run-v1.parquet")
}

fn shape(random: &mut Random) -> Shape {
    Shape { rows: 300, strange_times: true, ..Shape::any(random) }
}

#[test]
fn a_run_of_version_1_is_read() {
    let mut random = Random(0x1d);
    let expected = rows(&shape(&mut random), &mut random);
    let run = Arc::new(Run::open(&fixture()).unwrap());
    assert_eq!(readings(&read(&run, 100)), readings(&expected));
    assert_eq!(run.sidecar().plan.columns.len(), expected.columns().len());
}

/// Wrote the fixture; a new version gets another.
#[test]
#[ignore = "writes the fixture"]
fn write_fixture() {
    assert!(!fixture().exists(), "a fixture is never written twice");
    let mut random = Random(0x1d);
    let made = rows(&shape(&mut random), &mut random);
    write(&fixture(), &made);
    assert!(sidecar_path(&fixture()).exists());
}
