//! Merged runs hold what they held together, the newest value of each reading.

use std::sync::Arc;

use penstock_series::parquet::merge::merge;
use penstock_series::parquet::run::Run;
use penstock_series::parquet::{ColumnNo, Entity, RowKey, Rows};
use record::{Timestamp, ValueRef, When};

use super::rows::{Random, Readings, Shape, Taste, read, readings, rows, same, write};

fn merged(dir: &std::path::Path, inputs: &[Rows], file_bytes: u64) -> Vec<Arc<Run>> {
    let open = |(n, rows): (usize, &Rows)| {
        let path = dir.join(format!("in-{n}.parquet"));
        write(&path, rows);
        Arc::new(Run::open(&path).unwrap())
    };
    let inputs: Vec<_> = inputs.iter().enumerate().map(open).collect();
    let mut made = 0;
    let inputs: Vec<_> = inputs.into_iter().map(|run| vec![run]).collect();
    let outputs = merge(&inputs, file_bytes, || {
        made += 1;
        dir.join(format!("out-{made}.parquet"))
    });
    outputs.unwrap().iter().map(|output| Arc::new(Run::open(&output.path).unwrap())).collect()
}

#[test]
fn the_newest_value_of_each_reading_stays() {
    for seed in 0..25 {
        let dir = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        // Few devices and times, so that keys meet; some metrics come and go, some change their kind.
        let mut shape = Shape::any(&mut random);
        shape.entities = 1 + random.below(4);
        let mut expected = Readings::new();
        let mut inputs = Vec::new();
        for _ in 0..1 + random.below(7) {
            shape.unit = 1_000_000;
            shape.rows = random.below(2000) as usize;
            shape.strange_times = random.one_in(2);
            let changed = random.below(shape.metrics.len() as u64) as usize;
            shape.metrics[changed] =
                (ColumnNo(random.below(40) as u32), Taste::any(&mut random), 1 + random.below(5));
            let input = rows(&shape, &mut random);
            expected.extend(readings(&input));
            inputs.push(input);
        }
        let outputs = merged(dir.path(), &inputs, u64::MAX);
        let found = outputs.first().map(|run| readings(&read(run, 777))).unwrap_or_default();
        assert!(outputs.len() <= 1);
        same(&found, &expected, &format!("seed {seed}"));
    }
}

fn row(entity: u32, millis: i64, delay: i64) -> (Entity, When) {
    let at = |millis| Timestamp::from_millis(millis).unwrap();
    (Entity::new(0, entity), When::by_device(at(millis), at(millis + delay)))
}

#[test]
fn parts_of_a_row_become_one_where_they_agree_on_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let input = |column: u32, delay: i64, value: i64| {
        let mut rows = Rows::new([ColumnNo(column)]);
        let (entity, when) = row(1, 10, delay);
        rows.push(entity, when, [Some(ValueRef::Int(value))]);
        rows
    };
    // Metrics 1 and 2 arrived together; 3 later; then 2 is corrected, later still.
    let inputs = [input(1, 5, 1), input(2, 5, 2), input(3, 6, 3), input(2, 900, 4)];
    let outputs = merged(dir.path(), &inputs, u64::MAX);
    let found = read(&outputs[0], 9);
    let arrived: Vec<_> = (0..found.len()).map(|row| found.when(row).arrived_at.millis()).collect();
    assert_eq!(arrived, [15, 16, 910]);
    let cell = |column, row| found.cells(ColumnNo(column)).unwrap().get(row);
    assert_eq!([cell(1, 0), cell(2, 0), cell(3, 0)], [Some(ValueRef::Int(1)), None, None]);
    assert_eq!((cell(3, 1), cell(2, 2)), (Some(ValueRef::Int(3)), Some(ValueRef::Int(4))));
}

#[test]
fn large_outputs_are_split_between_devices() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(3);
    let mut inputs = Vec::new();
    let mut expected = Readings::new();
    for part in 0..3 {
        let mut rows = Rows::new((0..4).map(ColumnNo));
        for device in 0..40 {
            for n in 0..3000 {
                let (entity, when) = row(device, 3 * n + part, 7);
                let value = ValueRef::Int(random.next() as i64);
                rows.push(entity, when, [Some(value), Some(value), None, None]);
            }
        }
        expected.extend(readings(&rows));
        inputs.push(rows);
    }
    let outputs = merged(dir.path(), &inputs, 2 << 20);
    assert!(outputs.len() > 1, "it fits into one file");
    let mut found = Readings::new();
    let mut last: Option<RowKey> = None;
    for run in &outputs {
        let rows = read(run, 8192);
        assert!(last.is_none_or(|last| last < rows.key(0) && last.entity != rows.key(0).entity));
        last = Some(rows.key(rows.len() - 1));
        found.extend(readings(&rows));
    }
    same(&found, &expected, "all files");
}
