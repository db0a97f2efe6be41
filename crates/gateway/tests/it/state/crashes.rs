use super::world::{Broken, World};

fn seeds() -> u64 {
    std::env::var("PENSTOCK_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

#[test]
fn after_any_crash_sessions_and_retained_messages_are_what_they_were() {
    for seed in 0..seeds() {
        let mut world = World::new(seed, Broken::Nothing);
        if let Err(what) = world.run(400) {
            panic!("seed {seed}: {what}");
        }
        let (real, expected) = world.wills();
        assert_eq!(real, expected, "seed {seed}: wills owed");
    }
}

#[test]
fn what_is_broken_on_purpose_is_noticed() {
    for broken in [Broken::OffsetsFirst, Broken::AckFirst, Broken::NoPositions] {
        let caught = (0..50).filter(|seed| World::new(*seed, broken).run(400).is_err()).count();
        assert!(caught > 25, "{broken:?} was noticed with {caught} of 50 seeds");
    }
}
