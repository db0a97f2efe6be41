//! Small reads of a large run: an hour of one device, all of its metrics.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use penstock_series::parquet::run::{Detail, Run};
use penstock_series::parquet::{ColumnNo, Entity};

use crate::{Tally, Took, fleet};

const HOURS: i64 = 3;
const READS: u32 = 2000;

pub(crate) fn report(devices: u32, dir: &Path) {
    println!("hour: {devices} devices, {HOURS} h in one run, the middle hour of one device");
    let rows = fleet::Fleet::new(devices, 7).rows(0..HOURS * 360);
    let path = dir.join("hour.parquet");
    let (mut large, mut small) = (Tally::default(), Tally::default());
    large.write(&path, &rows, fleet::name);
    large.report("large pages");
    read(&Arc::new(Run::open(&path).unwrap()), devices);
    small.flush(&path, &rows, fleet::name);
    small.report("small pages");
    read(&Arc::new(Run::open(&path).unwrap()), devices);
}

fn read(run: &Arc<Run>, devices: u32) {
    let columns: Vec<_> = (0..fleet::METRICS_PER_DEVICE as u32).map(ColumnNo).collect();
    let from = (fleet::START_MS + 3_600_000) * 1_000_000;
    let hour = from..=from + 3_600_000_000_000;
    for columns in [&columns[..1], &columns] {
        for detail in [Detail::Times, Detail::Whole] {
            let mut took = Took::default();
            let mut times: Vec<_> = (0..READS)
                .map(|n| {
                    let entity = Entity::new(0, n * 37 % devices);
                    let began = Instant::now();
                    let found = took.by(|| run.entity(entity, &hour, columns, detail)).unwrap().unwrap();
                    assert!((355..366).contains(&found.len()), "{}", found.len());
                    began.elapsed()
                })
                .collect();
            times.sort_unstable();
            let (median, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            let core = took.core / READS;
            println!("{} metrics, {detail:?}: median {median:?}, p99 {most:?}, core {core:?}", columns.len());
        }
    }
}
