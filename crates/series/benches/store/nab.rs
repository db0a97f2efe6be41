//! Real sensors: the series of the Numenta anomaly benchmark, each as a device of its own.

use std::path::Path;

use penstock_series::parquet::{ColumnNo, Entity, Rows};
use record::{Timestamp, ValueRef, When};

use crate::Tally;

pub(crate) fn report(dir: &Path, out: &Path) {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    let mut all = Rows::new([ColumnNo(0)]);
    for (no, path) in files.iter().enumerate() {
        let rows = read(path, no as u32);
        let mut one = Tally::default();
        let to = out.join(format!("nab-{no}.parquet"));
        one.write(&to, &rows, |_| "value".to_owned());
        one.report(path.file_name().unwrap().to_str().unwrap());
        for row in 0..rows.len() {
            all.push(rows.key(row).entity, rows.when(row), [rows.columns()[0].cells.get(row)]);
        }
    }
    let mut together = Tally::default();
    together.write(&out.join("nab.parquet"), &all, |_| "value".to_owned());
    together.report("nab, one column");
    let mut wide = Rows::new((0..files.len() as u32).map(ColumnNo));
    for row in 0..all.len() {
        let series = all.key(row).entity.device() as usize;
        let mut values = vec![None; files.len()];
        values[series] = all.columns()[0].cells.get(row);
        wide.push(all.key(row).entity, all.when(row), values);
    }
    let mut together = Tally::default();
    together.write(&out.join("nab-wide.parquet"), &wide, |no| format!("value_{}", no.0));
    together.report("nab, a column each");
}

fn read(path: &Path, device: u32) -> Rows {
    let text = std::fs::read_to_string(path).unwrap();
    let mut readings: Vec<(Timestamp, ValueRef<'_>)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let (time, value) = line.split_once(',').unwrap();
            let time = Timestamp::parse(&format!("{time}Z"), None).unwrap();
            let int = value.parse().map(ValueRef::Int);
            (time, int.unwrap_or_else(|_| ValueRef::Float(value.parse().unwrap())))
        })
        .collect();
    readings.sort_by_key(|(time, _)| *time);
    let mut rows = Rows::new([ColumnNo(0)]);
    for (time, value) in readings {
        rows.push(Entity::new(0, device), When::by_device(time, time), [Some(value)]);
    }
    rows
}
