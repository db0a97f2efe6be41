//! Files that are not what was written: an error that names file and place, and never a wrong value.

use std::path::Path;
use std::sync::Arc;

use penstock_series::Error;
use penstock_series::parquet::run::{Detail, Run, sidecar_path};

use super::rows::{Random, Readings, Shape, readings, rows, write};

/// Everything of a run, if it can be read.
fn read(path: &Path) -> penstock_series::Result<Readings> {
    let run = Arc::new(Run::open(path)?);
    let mut scan = run.scan(0..run.sidecar().rows, None);
    let mut found = scan.rows();
    while scan.read(4096, &mut found)? > 0 {}
    for entity in &run.sidecar().entities {
        run.entity(entity.entity, &(entity.first..=entity.last), &[], Detail::Whole)?;
    }
    Ok(readings(&found))
}

fn check(path: &Path, what: &str) {
    match read(path) {
        Err(Error::Damaged { place, at, reason }) => {
            assert!(
                place.contains("run.") && !at.is_empty() && !reason.is_empty(),
                "{what}: {place} {at} {reason}"
            );
        }
        // A version that is not known yet.
        Err(Error::Newer { .. }) => {}
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    let mut random = Random(5);
    let shape = Shape { rows: 3000, ..Shape::any(&mut random) };
    let written = rows(&shape, &mut random);
    write(&path, &written);
    assert_eq!(read(&path).unwrap(), readings(&written));
    for file in [path.clone(), sidecar_path(&path)] {
        let good = std::fs::read(&file).unwrap();
        for n in 0..400 {
            // The first bytes of the Parquet file are its magic, which nobody reads.
            let at = 4 + random.below(good.len() as u64 - 4) as usize;
            let mut bad = good.clone();
            match n % 4 {
                0 => bad[at] ^= 1 << random.below(8),
                1 => bad[at..].iter_mut().take(16).for_each(|byte| *byte = !*byte),
                2 => bad.truncate(at),
                _ => bad.splice(at..at, [0; 3]).for_each(drop),
            }
            if bad != good {
                std::fs::write(&file, &bad).unwrap();
                check(&path, &format!("{} change {n} at {at}", file.display()));
            }
        }
        std::fs::write(&file, &good).unwrap();
    }
    assert_eq!(read(&path).unwrap(), readings(&written));
}

#[test]
fn files_of_two_runs_do_not_pass_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("run.1.parquet"), dir.path().join("run.2.parquet"));
    let mut random = Random(6);
    let shape = Shape { rows: 500, ..Shape::any(&mut random) };
    write(&one, &rows(&shape, &mut random));
    write(&two, &rows(&shape, &mut random));
    std::fs::copy(sidecar_path(&two), sidecar_path(&one)).unwrap();
    check(&one, "the sidecar of another");
    std::fs::write(&one, b"").unwrap();
    check(&one, "an empty file");
    std::fs::remove_file(sidecar_path(&two)).unwrap();
    assert!(matches!(Run::open(&two), Err(Error::Database { .. })));
}

#[test]
fn a_poisoned_sidecar_is_refused_before_it_costs_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    let mut random = Random(7);
    let shape = Shape { rows: 2000, strange_times: true, ..Shape::any(&mut random) };
    write(&path, &rows(&shape, &mut random));
    let good = std::fs::read(sidecar_path(&path)).unwrap();
    let length = u32::from_le_bytes(good[12..16].try_into().unwrap()) as usize;
    let body = zstd::bulk::decompress(&good[20..], length).unwrap();
    for n in 0..2000 {
        // Bytes whose checksum is right: somebody made them on purpose.
        let mut bad = body.clone();
        for _ in 0..=n % 3 {
            let at = random.below(bad.len().min(400 + n) as u64) as usize;
            bad[at] = random.next() as u8;
        }
        let compressed = zstd::bulk::compress(&bad, 1).unwrap();
        let mut file = good[..12].to_vec();
        file.extend_from_slice(&(bad.len() as u32).to_le_bytes());
        file.extend_from_slice(&crc32c::crc32c(&compressed).to_le_bytes());
        file.extend_from_slice(&compressed);
        std::fs::write(sidecar_path(&path), file).unwrap();
        // It may still be readable (a name, a sum): then without a panic.
        let _ = Run::open(&path).map(Arc::new).map(|run| {
            let mut scan = run.scan(0..run.sidecar().rows, None);
            let mut found = scan.rows();
            while matches!(scan.read(4096, &mut found), Ok(1..)) {}
            run.sidecar()
                .entities
                .iter()
                .for_each(|known| drop(run.entity(known.entity, &(0..=1), &[], Detail::Times)));
        });
    }
}
