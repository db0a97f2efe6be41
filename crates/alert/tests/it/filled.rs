//! Windows of a new rule know what was stored before it, each reading once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use penstock_alert::{Evaluating, Filter, Parts, State, start};
use record::{TenantId, Timestamp};

use crate::world::{World, states};

fn before(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(Timestamp::now().nanos() - seconds * 1_000_000_000)
}

fn add(parts: &Parts, name: &str, when: &str) {
    let document = serde_json::json!({ "name": name, "when": when });
    parts.rules.add(&TenantId::default_tenant(), serde_json::from_value(document).unwrap()).unwrap();
}

/// Waits until the windows of so many devices are filled.
async fn filled(running: &Evaluating, devices: u64) {
    for _ in 0..2000 {
        if running.gauge().figures().filled >= devices {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the windows of {devices} devices are not filled after ten seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rule_looks_back_over_what_was_stored() {
    let world = World::new();
    let parts = world.parts(world.folder.path());
    for n in 0..50 {
        let offset = world.raw("d1").await;
        world.store(offset, "d1", before(3000 - n * 50), 90);
    }
    let running = start(parts.clone()).unwrap();
    add(&parts, "long hot", "avg(temperature, '1 hour') > 80");
    filled(&running, 1).await;
    // One cold reading does not make an hour cold.
    let offset = world.raw("d1").await;
    world.send(offset, "d1", 10).await;
    assert_eq!(states(&parts.alerts, 1).await, ["d1 Raised"]);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fell_silent_before_the_rule_came_is_silent() {
    let world = World::new();
    let mut parts = world.parts(world.folder.path());
    let offset = world.raw("d1").await;
    // The server was there all the time.
    let began = before(7200);
    let (clock, is_now) = (Arc::clone(&parts.clock), Arc::new(AtomicBool::new(false)));
    let later = Arc::clone(&is_now);
    parts.clock = Arc::new(move || if later.load(Ordering::SeqCst) { clock.as_ref()() } else { began });
    let running = start(parts.clone()).unwrap();
    is_now.store(true, Ordering::SeqCst);
    world.store(offset, "d1", before(3000), 90);
    add(&parts, "silent", "no_data('30 minutes')");
    assert_eq!(states(&parts.alerts, 1).await, ["d1 Raised"]);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_that_come_meanwhile_are_counted_once() {
    // The stream writes for rules first. The store may be behind them, or they may have a whole batch before them that it holds already.
    for (batch, rule_at) in [(1, 0), (1, 60), (50, 0), (50, 50), (50, 250), (150, 150)] {
        let world = Arc::new(World::new());
        let parts = world.parts(world.folder.path());
        let alerts = Arc::clone(&parts.alerts);
        let running = start(parts.clone()).unwrap();
        // By another rule the device is known.
        add(&parts, "never", "temperature > 1000");
        let begin = before(1);
        for first in (0..300).step_by(batch) {
            let mut of_batch = Vec::new();
            for n in first..first + batch as i64 {
                let at = Timestamp::from_nanos(begin.nanos() + n * 1_000_000);
                let offset = world.raw("d1").await;
                world.clean(offset, "d1", at, 1).await;
                of_batch.push((offset, at));
            }
            of_batch.into_iter().for_each(|(offset, at)| world.store(offset, "d1", at, 1));
            if first == rule_at {
                // With the last reading there are 300, and never more.
                add(&parts, "all", "count(temperature, '1 hour') > 299");
                add(&parts, "twice", "count(temperature, '1 hour') > 300");
            }
        }
        let raised = states(&alerts, 1).await;
        assert_eq!(raised, ["d1 Raised"], "{batch} {rule_at}");
        let tenant = TenantId::default_tenant();
        let page = alerts.list(&tenant, &Filter::default(), None, 10).unwrap();
        let (_, alert) = &page.alerts[0];
        assert_eq!((&*alert.rule_id, alert.state), ("all", State::Raised));
        assert_eq!(alert.cause_ns, begin.nanos() + 299 * 1_000_000, "{batch} {rule_at}");
        running.shutdown().await;
    }
}
