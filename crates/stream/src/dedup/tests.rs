//! Against a model that remembers everything.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::collection::vec;
use proptest::prelude::*;
use record::{Timestamp, ValueRef};

use super::{Fate, Held, Moment, Recent, Row, digest};

/// All that was ever stored.
#[derive(Default)]
struct Store(BTreeMap<(Moment, u32), i64>);

impl Store {
    fn held(&self, moment: Moment, slot: u32, value: i64) -> Held {
        match self.0.get(&(moment, slot)) {
            None => Held::Absent,
            Some(&there) if there == value => Held::Same,
            Some(_) => Held::Other,
        }
    }
}

/// A device, its store, and how often the store was asked.
struct World {
    recent: Recent,
    store: Store,
    limit: usize,
    asked: usize,
}

impl World {
    fn new(limit: usize) -> Self {
        Self { recent: Recent::new(), store: Store::default(), limit, asked: 0 }
    }

    /// Delivers readings of one moment; each must meet the fate that the store tells.
    fn deliver(&mut self, moment: Moment, readings: &[(u32, i64)]) -> Vec<Fate> {
        let rows: Vec<Row> = readings
            .iter()
            .map(|&(slot, value)| Row { slot, digest: digest(ValueRef::Int(value)) })
            .collect();
        let (mut fates, mut asked) = (Vec::new(), 0);
        let store = &self.store;
        // As the batch in hand would: a reading before it in the same message counts.
        let held_before = |at: usize| {
            let (slot, value) = readings[at];
            match readings[..at].iter().rev().find(|(other, _)| *other == slot) {
                Some(&(_, before)) if before == value => Held::Same,
                Some(_) => Held::Other,
                None => store.held(moment, slot, value),
            }
        };
        let ask = |which: &[usize], held: &mut Vec<Held>| {
            asked += which.len();
            held.extend(which.iter().map(|&at| held_before(at)));
            Ok::<(), Infallible>(())
        };
        let Ok(()) = self.recent.judge(moment, &rows, self.limit, &mut fates, ask);
        let expected: Vec<Fate> = (0..rows.len()).map(|at| held_before(at).into()).collect();
        assert_eq!(fates, expected, "{moment:?} {readings:?} {:?}", self.recent);
        self.store.0.extend(readings.iter().map(|&(slot, value)| ((moment, slot), value)));
        self.asked += asked;
        fates
    }

    /// The state is lost and made anew from what the store knows.
    fn reload(&mut self, with_oldest: bool) {
        let moments = || self.store.0.keys().map(|(moment, _)| moment.time);
        self.recent = match (moments().min(), moments().max()) {
            (Some(oldest), Some(newest)) => Recent::within(
                Timestamp::from_nanos(if with_oldest { oldest } else { i64::MIN }),
                Timestamp::from_nanos(newest),
            ),
            _ => Recent::new(),
        };
    }
}

#[derive(Clone, Debug)]
enum Step {
    Deliver(Moment, Vec<(u32, i64)>),
    Reload(bool),
    Forget,
    ForgetBefore(i64),
    Checkpoint,
    Retention,
}

fn moment() -> impl Strategy<Value = Moment> {
    (
        prop_oneof![6 => 0..30_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)],
        prop_oneof![4 => Just(0), 1 => 1..4_u64],
    )
        .prop_map(|(time, seq)| Moment { time, seq })
}

fn step() -> impl Strategy<Value = Step> {
    let slot = prop_oneof![8 => 0..4_u32, 1 => 62..66_u32, 1 => 1022..1026_u32];
    prop_oneof![
        40 => (moment(), vec((slot, 0..3_i64), 1..6)).prop_map(|(moment, rows)| Step::Deliver(moment, rows)),
        1 => any::<bool>().prop_map(Step::Reload),
        1 => Just(Step::Forget),
        1 => (0..30_i64).prop_map(Step::ForgetBefore),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Retention),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_reading_meets_the_fate_that_the_store_tells(limit in 1..6_usize, steps in vec(step(), 1..120)) {
        let mut world = World::new(limit);
        for step in steps {
            match step {
                Step::Deliver(moment, rows) => { world.deliver(moment, &rows); }
                Step::Reload(with_oldest) => world.reload(with_oldest),
                Step::Forget => world.recent.forget(),
                Step::ForgetBefore(time) => world.recent.forget_before(Timestamp::from_nanos(time)),
                Step::Checkpoint => {
                    let bytes = postcard::to_stdvec(&world.recent).unwrap();
                    let back: Recent = postcard::from_bytes(&bytes).unwrap();
                    prop_assert_eq!(&back, &world.recent);
                    world.recent = back;
                }
                Step::Retention => world = retained(world),
            }
            prop_assert!(world.recent.len() <= limit + 4 && world.recent.has_no_strays());
        }
    }
}

/// The store forgets its older half, and says so.
fn retained(mut world: World) -> World {
    let keys: Vec<(Moment, u32)> = world.store.0.keys().copied().collect();
    if let Some(&(from, _)) = keys.get(keys.len() / 2) {
        world.recent.forget();
        world.store.0.retain(|(moment, _), _| *moment >= from);
    }
    world
}

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;

fn at(seconds: i64) -> Moment {
    Moment { time: START + seconds * SECOND, seq: 0 }
}

fn twenty(value: i64) -> Vec<(u32, i64)> {
    (0..20).map(|slot| (slot, value)).collect()
}

#[test]
fn twenty_metrics_of_one_time_are_new_in_one_message_and_in_twenty() {
    let mut world = World::new(64);
    assert_eq!(world.deliver(at(0), &twenty(1)), [Fate::New; 20]);
    for slot in 0..20 {
        assert_eq!(world.deliver(at(1), &[(slot, 1)]), [Fate::New]);
    }
    assert_eq!(world.deliver(at(1), &twenty(1)), [Fate::Duplicate; 20]);
    assert_eq!(world.asked, 0);
    assert_eq!(world.deliver(at(1), &[(7, 1)]), [Fate::Duplicate], "part of a moment: the digest is of all");
    assert_eq!(world.asked, 1);
}

#[test]
fn delivered_again_within_minutes_is_known_without_asking() {
    let mut world = World::new(64);
    for n in 0..1000 {
        assert_eq!(world.deliver(at(n), &twenty(n)), [Fate::New; 20]);
        if n >= 50 {
            assert_eq!(world.deliver(at(n - 50), &twenty(n - 50)), [Fate::Duplicate; 20]);
        }
    }
    assert_eq!(world.asked, 0);
}

#[test]
fn six_hours_later_it_is_still_a_duplicate_and_another_value_a_correction() {
    let mut world = World::new(64);
    for n in 0..6 * 3600 {
        world.deliver(at(n), &[(0, n)]);
    }
    assert_eq!(world.asked, 0);
    assert_eq!(world.deliver(at(5), &[(0, 5)]), [Fate::Duplicate]);
    assert_eq!(world.deliver(at(5), &[(0, 6)]), [Fate::Correction]);
    assert_eq!(world.deliver(at(5), &[(0, 6)]), [Fate::Duplicate]);
    assert_eq!(world.asked, 3);
}

#[test]
fn a_reset_clock_loses_nothing_and_asks_nothing() {
    let mut world = World::new(64);
    for n in 0..500 {
        world.deliver(at(n), &twenty(n));
    }
    let reset = |n: i64| Moment { time: n * SECOND, seq: 0 };
    for n in 0..500 {
        assert_eq!(world.deliver(reset(n), &twenty(n)), [Fate::New; 20]);
        assert_eq!(world.deliver(reset(n), &twenty(n)), [Fate::Duplicate; 20]);
    }
    assert_eq!(world.asked, 0);
    // Once more, over the times that are there now.
    for n in 0..500 {
        assert_eq!(world.deliver(reset(n), &twenty(n + 1)), [Fate::Correction; 20]);
    }
}

#[test]
fn the_backlog_of_an_outage_beside_live_readings_asks_nothing() {
    for one_by_one in [false, true] {
        let mut world = World::new(64);
        (0..300).for_each(|n| drop(world.deliver(at(n), &twenty(n))));
        for n in 0..3600 {
            world.deliver(at(3900 + n), &twenty(n));
            if one_by_one {
                (0..20).for_each(|slot| assert_eq!(world.deliver(at(300 + n), &[(slot, n)]), [Fate::New]));
            } else {
                assert_eq!(world.deliver(at(300 + n), &twenty(n)), [Fate::New; 20]);
            }
        }
        assert_eq!(world.asked, 0, "one by one: {one_by_one}");
    }
}

#[test]
fn a_loaded_device_asks_only_about_the_time_it_has_readings_of() {
    let mut world = World::new(64);
    (0..300).for_each(|n| drop(world.deliver(at(n), &twenty(n))));
    world.reload(true);
    assert_eq!(world.deliver(at(300), &twenty(1)), [Fate::New; 20]);
    assert_eq!(world.deliver(at(-100), &twenty(1)), [Fate::New; 20]);
    assert_eq!(world.asked, 0);
    assert_eq!(world.deliver(at(299), &twenty(299)), [Fate::Duplicate; 20]);
    assert_eq!(world.asked, 20);
}

#[test]
fn a_device_costs_at_most_two_kilobytes() {
    let mut world = World::new(super::DEFAULT_KEYS);
    for n in 0..300 {
        world.deliver(at(10 * n), &twenty(n));
        world.deliver(at(5 * n + 3), &twenty(n));
    }
    let bytes = size_of::<Recent>() + world.recent.heap_bytes();
    assert!(bytes <= 2048, "{bytes} bytes");
    let image = postcard::to_stdvec(&world.recent).unwrap().len();
    assert!(image <= 1500, "{image} bytes in a checkpoint");
}
