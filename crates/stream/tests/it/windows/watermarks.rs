//! The watermark never goes back, nor ahead of what it may.

use penstock_stream::window::Watermark;
use proptest::prelude::*;

use super::SECOND;

#[test]
fn a_clock_that_is_ahead_does_not_carry_it() {
    let mut watermark = Watermark::new();
    assert!(!watermark.is_late(i64::MIN, 30), "before the first record nothing is late");
    watermark.observe(5_000, 1_000);
    assert_eq!(watermark.at(), 1_000);
    watermark.observe(1_500, 2_000);
    assert_eq!(watermark.at(), 1_500);
    assert!(watermark.is_late(1_469, 30) && !watermark.is_late(1_470, 30));
}

#[test]
fn an_idle_lane_lets_it_go_on() {
    let idle = 30 * SECOND;
    let mut watermark = Watermark::new();
    watermark.observe(100 * SECOND, 100 * SECOND);
    watermark.tick(129 * SECOND, idle);
    assert_eq!(watermark.at(), 100 * SECOND, "not idle for long enough");
    watermark.tick(130 * SECOND, idle);
    assert_eq!(watermark.at(), 100 * SECOND);
    watermark.tick(150 * SECOND, idle);
    assert_eq!(watermark.at(), 120 * SECOND);
    watermark.observe(90 * SECOND, 151 * SECOND); // of an old event, but it has arrived
    watermark.tick(170 * SECOND, idle);
    assert_eq!(watermark.at(), 120 * SECOND, "a lane with records is not idle");
}

proptest! {
    #[test]
    fn it_rises_and_is_what_it_says(
        steps in prop::collection::vec((0_i64..100, -50_i64..50, any::<bool>()), 1..50),
        idle in 1_i64..40,
    ) {
        let (mut watermark, mut now, mut newest, mut bound) = (Watermark::new(), 0, i64::MIN, i64::MIN);
        for (wait, ahead, record) in steps {
            now += wait;
            let before = watermark.at();
            if record {
                watermark.observe(now + ahead, now);
                newest = now;
                bound = bound.max(now + ahead.min(0));
            } else {
                watermark.tick(now, idle);
                if now - idle >= newest {
                    bound = bound.max(now - idle);
                }
            }
            prop_assert!(watermark.at() >= before, "it went back");
            prop_assert_eq!(watermark.at(), bound);
            prop_assert!(watermark.at() <= now, "it is ahead of the clock");
        }
    }
}
