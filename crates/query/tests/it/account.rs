//! The account and the dead letters, asked of a real store.

use penstock_query::{By, Error};
use record::{TenantId, Timestamp};
use series::{Amounts, SeriesWriter, WriteBatch};

use crate::tables::{everything, filled};

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn always() -> std::ops::Range<Timestamp> {
    Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX)
}

#[test]
fn the_account_is_summed_by_topic_minute_and_in_total() {
    let rig = filled();
    let mut more = everything(&tenant("default"), 2);
    more.dead.clear();
    let again = more.account[0].clone();
    more.account[0].key.topic = "/v1/telemetry".into();
    more.account.push(again);
    more.account[1].key.minute = Timestamp::from_nanos(120_000_000_000);
    rig.store.write(&more).unwrap();
    for (by, expected) in [
        (By::Topic, "/v1/telemetry 2, devices/{id}/telemetry 4"),
        (By::Minute, "60 4, 120 2"),
        (By::Total, " 6"),
    ] {
        let ledger = rig.query.ledger(&tenant("default"), always(), by).unwrap();
        let line = |line: &penstock_query::Line| {
            let minute = line.minute.map(|minute| (minute.nanos() / 1_000_000_000).to_string());
            let name = line.topic.clone().or(minute).unwrap_or_default();
            format!("{name} {}", line.amounts.records)
        };
        assert_eq!(ledger.lines.iter().map(line).collect::<Vec<_>>().join(", "), expected);
        assert_eq!(ledger.totals.records, 6);
        assert_eq!(ledger.reasons.len(), 3, "each line misses one: {:?}", ledger.reasons);
    }
    let late = Timestamp::from_nanos(61_000_000_000);
    let later = rig.query.ledger(&tenant("default"), late..always().end, By::Total).unwrap();
    assert_eq!((later.totals.records, later.reasons.len()), (2, 1));
    assert_eq!(
        later.reasons[0],
        "devices/{id}/telemetry in the minute 1970-01-01T00:02:00Z: 7 accepted, but 4 stored + 0 duplicate + \
         1 dead-lettered + 1 late + 0 shed = 6"
    );
    let nobody = rig.query.ledger(&tenant("nobody"), always(), By::Total).unwrap();
    assert_eq!((nobody.lines.len(), nobody.totals), (0, Amounts::default()));
}

#[test]
fn a_verification_finds_what_is_wrong_and_only_that() {
    let rig = filled();
    // Each of the two messages is said to have been two records, with a reading that went nowhere.
    let verdict = rig.query.verify(&tenant("default"), always()).unwrap();
    let expected = [
        "devices/{id}/telemetry in the minute 1970-01-01T00:01:00Z: 7 accepted, but 4 stored + 0 duplicate + \
         1 dead-lettered + 1 late + 0 shed = 6",
        "accepted = stored + duplicate + dead-lettered + late + shed: the account has 7, there are 6",
        "records of all accounts = offsets that the store has the outcome of: the account has 4, there are 2",
    ];
    assert_eq!(verdict.reasons, expected);
    let mut mend = WriteBatch { account: everything(&tenant("default"), 0).account, ..WriteBatch::default() };
    mend.account[0].amounts = Amounts { records: -2, accepted: -1, ..Amounts::default() };
    rig.store.write(&mend).unwrap();
    let verdict = rig.query.verify(&tenant("default"), always()).unwrap();
    assert!(verdict.balanced(), "{verdict:#?}");
    // The other tenant's line is still uneven: that is for it to see, and for the alarm.
    assert!(!rig.query.verify(&tenant("other"), always()).unwrap().balanced());
    assert_eq!(rig.query.figures().unwrap().residue, 1);
}

#[test]
fn dead_letters_are_found_by_condition_and_shown_to_their_tenant() {
    let rig = filled();
    let (own, other) = (tenant("default"), tenant("other"));
    let table = rig.query.dead_letters(&own, None, 10).unwrap();
    assert_eq!((table.rows().len(), table.columns()[0].as_str()), (1, "id"));
    assert!(!table.columns().iter().any(|name| name == "payload"));
    let find = |condition| rig.query.dead_ids(&own, Some(condition), 10);
    let ids = find("stage = 'schema' AND last_at >= '1970-01-01T00:00:09Z' -- why not").unwrap();
    assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0-live-3-0"]);
    assert_eq!(find("reason LIKE '%cold%'").unwrap(), []);
    assert_eq!(rig.query.dead_message(&own, ids[0]).unwrap().unwrap().device, "d9");
    assert_eq!(rig.query.dead_message(&other, ids[0]).unwrap(), None);
    for condition in [
        "1) UNION SELECT tenant FROM main.dead_message WHERE (1",
        "EXISTS (SELECT 1 FROM main.device)",
        "tenant() = 'default'",
        "1); DELETE FROM dlq; --",
        "1 = ",
        "nothing = 1",
        "",
        "0) UNION SELECT '0-live-3-1' FROM dlq WHERE (1",
    ] {
        let refused = find(condition);
        assert!(matches!(refused, Err(Error::Statement(_))), "{condition}: {refused:?}");
    }
    let others = rig.query.dead_ids(&other, None, 10).unwrap();
    assert_eq!(others.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0-live-3-1"]);
    assert_eq!(
        rig.query.dead_message(&own, others[0]).unwrap(),
        None,
        "another tenant's, though its name is known"
    );
}

#[test]
fn what_series_are_made_of() {
    let rig = filled();
    let makeup = rig.query.makeup(&tenant("default")).unwrap();
    assert_eq!((makeup.total.devices, makeup.total.series), (1, 1));
    assert_eq!(makeup.device_patterns, [("d#".to_owned(), 1)]);
    assert_eq!(rig.query.makeup(&tenant("nobody")).unwrap(), penstock_query::Makeup::default());
}
