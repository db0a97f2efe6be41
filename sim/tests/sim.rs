//! Many lives.

use penstock_sim::{Broken, live};

/// How many seeds: 200 in every test run, 10 000 in the long form.
fn seeds() -> u64 {
    std::env::var("PENSTOCK_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

#[test]
fn what_is_acknowledged_is_kept_and_delivered() {
    let (mut crashes, began) = (0, std::time::Instant::now());
    // 599: the event that a delivery was complete was lost with a failed write, and its packet id used again;
    // 805: the dispatcher's read failed. 843: a queued message stood before sent ones and got the packet id of one.
    for seed in (0..seeds()).chain([599, 805, 843, 2302]) {
        match live(seed, Broken::default()) {
            Ok(outcome) => crashes += outcome.crashes,
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    let per_s = seeds() as f64 / began.elapsed().as_secs_f64();
    eprintln!("{} seeds, {crashes} crashes, {per_s:.1} seeds/s", seeds());
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..10 {
        assert_eq!(live(seed, Broken::default()), live(seed, Broken::default()), "seed {seed}");
    }
}

#[test]
fn what_is_broken_on_purpose_is_caught() {
    let whole = Broken::default();
    let log = whole.log;
    for (name, broken) in [
        ("the log does not fsync", Broken { log: log::Sabotage { no_fsync: true, ..log }, ..whole }),
        ("the log acknowledges first", Broken { log: log::Sabotage { ack_first: true, ..log }, ..whole }),
        ("the gateway acknowledges first", Broken { ack_first: true, ..whole }),
        ("a checkpoint of offsets alone", Broken { offsets_alone: true, ..whole }),
        ("packet ids are forgotten", Broken { forget_arrived: true, ..whole }),
    ] {
        let caught = (0..20).filter(|&seed| live(seed, broken).is_err()).count();
        eprintln!("{name}: caught by {caught} of 20 seeds");
        assert!(caught >= 5, "{name}: only {caught} of 20 seeds noticed");
    }
}
