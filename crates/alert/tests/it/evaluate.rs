//! From the clean topic to alerts, over a log in memory.

use std::sync::Arc;
use std::time::Duration;

use metadata::{Change, Metadata as _, Row, Table};
use penstock_alert::{Parts, start};
use record::TenantId;

use crate::world::{World, states};

fn hot(parts: &Parts) {
    let document = serde_json::from_str(r#"{"name":"hot","when":"temperature > 80"}"#).unwrap();
    parts.rules.add(&TenantId::default_tenant(), document).unwrap();
}

/// What came while nobody looked is seen after the next start, also where nothing but where the reader began was ever kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_passed_over_between_two_starts() {
    let world = World::new();
    let parts = world.parts(world.folder.path());
    hot(&parts);
    start(parts).unwrap().shutdown().await;
    world.send(1, "d1", 90).await;
    // As if the folder had been lost, too.
    let elsewhere = tempfile::tempdir().unwrap();
    let parts = world.parts(elsewhere.path());
    let alerts = Arc::clone(&parts.alerts);
    let running = start(parts).unwrap();
    assert_eq!(states(&alerts, 1).await, ["d1 Raised"]);
    running.shutdown().await;
    // Again from the checkpoint, and from before it: the same cause is the same alert.
    for folder in [elsewhere.path(), tempfile::tempdir().unwrap().path()] {
        let parts = world.parts(folder);
        let alerts = Arc::clone(&parts.alerts);
        let running = start(parts).unwrap();
        world.send(2, "d1", 95).await;
        let figures = running.gauge();
        for _ in 0..2000 {
            if figures.figures().readings > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.shutdown().await;
        assert_eq!(states(&alerts, 1).await, ["d1 Raised"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_added_counts_from_the_next_reading_and_one_that_cannot_be_read_hurts_no_other() {
    let world = World::new();
    let body = b"{".to_vec();
    let row = Row { tenant: TenantId::DEFAULT.into(), id: "broken".into(), body };
    world.metadata.commit(&[Change::Put(Table::Rules, row)]).unwrap();
    let parts = world.parts(world.folder.path());
    let (alerts, rules) = (Arc::clone(&parts.alerts), Arc::clone(&parts.rules));
    let running = start(parts.clone()).unwrap();
    hot(&parts);
    world.send(1, "d1", 90).await;
    world.send(2, "d1", 20).await;
    states(&alerts, 1).await;
    for _ in 0..2000 {
        if states(&alerts, 1).await == ["d1 Resolved"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(states(&alerts, 1).await, ["d1 Resolved"]);
    assert_eq!(rules.list(&TenantId::default_tenant()).len(), 1);
    running.shutdown().await;
}
