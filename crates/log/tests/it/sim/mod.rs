//! The log on a disk that crashes, tears and lies, against a small model; every decision from a seed.

mod flips;
mod model;
pub(crate) mod world;

use log::Sabotage;
use log::disk::sim::{Fault, FaultPlan};

use self::world::{Violation, World};

/// One life of a log: random work, faults and crashes, then a last look at everything.
fn live(seed: u64, sabotage: Sabotage) -> Result<u64, Violation> {
    let mut world = World::new(seed, sabotage)?;
    for _ in 0..120 {
        world.act()?;
    }
    world.finish()
}

/// 200 seeds in every test run, `PENSTOCK_SIM_SEEDS` in the long form, or the one in `PENSTOCK_SIM_SEED`.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse().ok());
    match number("PENSTOCK_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PENSTOCK_SIM_SEEDS").unwrap_or(200),
    }
}

#[test]
fn no_acknowledged_record_is_lost_and_no_refused_one_appears() {
    for seed in seeds() {
        live(seed, Sabotage::default()).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..10 {
        let twice = [0, 1].map(|_| live(seed, Sabotage::default()).map_err(|v| v.to_string()));
        assert_eq!(twice[0], twice[1], "seed {seed}");
    }
}

#[test]
fn broken_controls_are_caught() {
    let whole = Sabotage::default();
    for (name, sabotage) in [
        ("no fsync", Sabotage { no_fsync: true, ..whole }),
        ("ack first", Sabotage { ack_first: true, ..whole }),
        ("no directory fsync", Sabotage { no_dir_sync: true, ..whole }),
        ("no tail truncation", Sabotage { no_truncate: true, ..whole }),
    ] {
        let caught = (0..20).filter(|&seed| live(seed, sabotage).is_err()).count();
        eprintln!("{name}: caught by {caught} of 20 seeds");
        assert!(caught >= 3, "{name}: only {caught} of 20 seeds noticed");
    }
}

#[test]
fn every_kth_call_failing_is_an_error_that_names_it() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::Torn] {
        for k in 1..60 {
            let seed = 1_000 + k;
            let life = || -> Result<(), Violation> {
                let mut world = World::new(seed, Sabotage::default())?;
                world.insist(FaultPlan::Every(k, fault));
                for _ in 0..60 {
                    world.act_calmly()?;
                }
                world.finish().map(drop)
            };
            life().unwrap_or_else(|violation| panic!("every call {k} {fault:?}: {violation}"));
        }
    }
}
