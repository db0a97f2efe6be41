//! Rows of the first version are read, and what they put off is done. The fixture is never edited.

use std::sync::Arc;

use metadata::{Change, Memory, Metadata, Row, Table};
use penstock_alert::{Config, Filter, How, Kind, State, What};
use record::Timestamp;
use serde_json::Value;

use crate::house::{House, began, id_of, tenant};

/// One row a line: table, tenant, id, body.
const ROWS: &str = include_str!("fixtures/rows-v4.jsonl");

fn as_it_was_left() -> House {
    let metadata = Memory::new();
    let rows = ROWS.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let table = Table::ALL.into_iter().find(|table| table.name() == text("table")).unwrap();
        let body = row["body"].to_string().into_bytes();
        Change::Put(table, Row { tenant: text("tenant"), id: text("id"), body })
    });
    metadata.commit(&rows.collect::<Vec<_>>()).unwrap();
    House::with(Config::default(), Arc::new(metadata))
}

#[test]
fn what_version_4_left_is_gone_on_with() {
    let house = as_it_was_left();
    assert_eq!(house.alerts.positions().unwrap(), [("live/0".to_owned(), 7)].into());
    let alerts = house.alerts.list(&tenant(), &Filter::default(), None, 100).unwrap().alerts;
    let states: Vec<_> = alerts.iter().map(|(_, alert)| alert.state).collect();
    use State::{Acknowledged, Raised, Resolved, Suppressed};
    assert_eq!(states, [Raised, Suppressed, Raised, Acknowledged, Resolved]);
    let first = began("hot", "pump-1", 0);
    assert_eq!(alerts[4].0, id_of(&first));
    let resolved = &alerts[4].1;
    assert_eq!(
        (resolved.suppressed, resolved.told[0].how, resolved.history[1].what),
        (1, How::Single, What::Ended)
    );
    assert_eq!(house.alerts.open_causes(&|_, _| true).unwrap().len(), 4);
    assert_eq!(house.alerts.deliveries(&tenant(), &id_of(&first)).unwrap().len(), 2);
    assert_eq!(house.alerts.people(&tenant()).unwrap().len(), 2);
    assert_eq!(
        (house.alerts.mutes(&tenant()).unwrap().len(), house.alerts.escalations(&tenant()).unwrap().len()),
        (1, 1)
    );
    let before = house.outbox().len();
    // The group, the escalation, the suppressed one that lasts, the end of the mute.
    house.pass(100, 1300);
    let kinds: Vec<Kind> = house.bodies("ann").iter().map(|body| body.kind).collect();
    for kind in [Kind::Group, Kind::Digest, Kind::Raised] {
        assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
    }
    assert!(house.bodies("bob").iter().any(|body| body.kind == Kind::Escalated));
    assert!(house.outbox().len() > before);
    assert_eq!(house.alert(&began("hot", "pump-1", 60)).state, Raised);
    assert_eq!(house.alerts.take(&[first], &[], Timestamp::default()).unwrap().known, 1);
}
