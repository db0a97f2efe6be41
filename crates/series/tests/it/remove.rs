//! What is removed on purpose, asked of every backend.

use std::sync::Arc;

use penstock_series::{
    AccountEntry, AccountKey, Amounts, Completeness, Counts, DeadLetter, DeadMessage, Expiring, LateRow,
    MetricSet, Old, Removal, Scan, Span, WindowKey, WindowRow, WriteBatch,
};
use record::{DeviceId, MetricName, Reading, TenantId, Timestamp, Value};

use crate::conformance::{ALWAYS, LIVE, reading};
use crate::stores::{Store, on_all};

const DAY: i64 = 86_400_000_000_000;

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn id(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn next(store: &dyn Store) -> u64 {
    store.positions().unwrap().first().map_or(0, |position| position.offset)
}

fn window(tenant: &TenantId, device: &str, start: i64) -> WindowRow {
    let (device, metric) = (id(device), MetricName::parse("m").unwrap());
    let key = WindowKey { tenant: tenant.clone(), device, metric, window: "1m".into(), start: at(start) };
    WindowRow {
        key,
        end: at(start + 60),
        count: 1,
        sum: 1.0,
        min: 1.0,
        max: 1.0,
        stddev: 0.0,
        p95: 1.0,
        first: 1.0,
        last: 1.0,
        revised: false,
    }
}

/// Three readings of a device and what goes with them: one is late, one is corrected, one message is dead.
fn write(store: &dyn Store, tenant: &TenantId, device: &str, first: i64) {
    let readings: Vec<Reading> = [(0, 1), (1, 2), (2, 3), (1, 4)]
        .map(|(n, value)| reading(device, "m", first + n, Value::Int(value)))
        .into_iter()
        .chain([reading(device, &format!("only-{device}"), first, Value::Bool(true))])
        .collect();
    let from = next(store);
    let dead = DeadMessage {
        source: LIVE,
        offset: from,
        tenant: tenant.as_str().to_owned(),
        device: device.to_owned(),
        topic: "t".to_owned(),
        stage: "decode",
        arrived_at: at(first),
        attempts: 1,
        last_at: at(first),
        completeness: Completeness::Part,
        letters: vec![DeadLetter { index: Some(1), reason: "no".to_owned() }],
        record: Vec::new(),
    };
    let key = AccountKey { tenant: tenant.as_str().to_owned(), topic: "t".to_owned(), minute: at(0) };
    let amounts =
        Amounts { records: 1, accepted: 6, stored: 4, late: 1, dead: 1, corrected: 1, ..Amounts::default() };
    let batch = WriteBatch {
        readings: [(tenant.clone(), readings.iter().collect())].into(),
        late: [(tenant.clone(), vec![LateRow { row: 2, watermark: at(first + 9) }])].into(),
        windows: vec![window(tenant, device, first)],
        dead: vec![dead],
        account: vec![AccountEntry { key, amounts }],
        spans: vec![Span { source: LIVE, from, to: from + 1 }],
        ..WriteBatch::default()
    };
    store.write(&batch).unwrap();
}

/// Everything that a tenant can see, as texts.
fn seen(store: &dyn Store, tenant: &TenantId) -> Vec<String> {
    let snapshot = store.snapshot(tenant).unwrap();
    let mut seen = Vec::new();
    for table in snapshot.tables().unwrap() {
        if &*table.name == "ledger" {
            continue;
        }
        let batches = Arc::clone(&snapshot).scan(Scan::all(&table.name)).unwrap();
        for batch in batches.map(Result::unwrap) {
            seen.extend(crate::scan::told(&batch).into_iter().map(|row| format!("{}: {row}", table.name)));
        }
    }
    seen.sort();
    seen
}

/// What the account says was taken is there, or was removed.
fn balances(store: &dyn Store, tenant: &TenantId) {
    let audit = store.audit().unwrap();
    let of = audit.tenants.iter().find(|of| of.tenant == tenant.as_str()).unwrap();
    let (account, removed) = (of.account, of.removed);
    let there = |count: u64| i64::try_from(count).unwrap();
    assert_eq!(account.stored + account.late - account.corrected, there(of.points + removed.readings));
    assert_eq!(account.late, there(of.late + removed.late));
    assert_eq!(account.corrected, there(of.superseded + removed.superseded));
    assert_eq!(account.dead, there(of.dead_letters + removed.dead_letters));
}

#[test]
fn a_device_that_is_erased_is_nowhere_and_everything_else_is_as_it_was() {
    on_all(|store| {
        let (own, other) = (tenant("default"), tenant("other"));
        for (tenant, device) in [(&own, "a"), (&own, "b"), (&other, "a")] {
            write(store, tenant, device, 5 * DAY);
            write(store, tenant, device, 9 * DAY);
        }
        assert_eq!(store.tenants().unwrap(), [own.clone(), other.clone()]);
        let before = (seen(store, &own), seen(store, &other));
        let removal = store.erase(&own, &id("a"), "as asked for in letter 12", at(77)).unwrap();
        let removed = Counts { readings: 8, superseded: 2, late: 2, windows: 2, dead_letters: 2 };
        let expected = Removal {
            no: 1,
            device: Some(id("a")),
            metrics: MetricSet::all(),
            before: None,
            reason: "as asked for in letter 12".to_owned(),
            at: at(77),
            removed,
        };
        assert_eq!(removal, expected);
        assert_eq!(store.removals(&own, 10).unwrap(), [expected]);
        assert_eq!(store.removals(&other, 10).unwrap(), []);
        let kept = |rows: &[String]| -> Vec<String> {
            rows.iter().filter(|row| !row.contains(",a,") && !row.contains(": a,")).cloned().collect()
        };
        assert!(kept(&before.0).len() < before.0.len());
        assert_eq!(seen(store, &own), kept(&before.0));
        assert_eq!(seen(store, &other), before.1);
        assert_eq!(store.device(&own, &id("a")).unwrap(), None);
        assert_eq!(store.latest(&own, &id("a")).unwrap(), []);
        assert_eq!(store.cardinality(&own).unwrap().devices, 1);
        let mut visit = |_| panic!("there are no points");
        store.points(&own, &id("a"), &MetricName::parse("m").unwrap(), ALWAYS, &mut visit).unwrap();
        balances(store, &own);
        // Should it send again, it is a new device.
        write(store, &own, "a", 9 * DAY);
        assert_eq!(store.latest(&own, &id("a")).unwrap().len(), 2);
        balances(store, &own);
        let again = store.erase(&own, &id("a"), "again", at(78)).unwrap();
        assert_eq!((again.no, again.removed.readings), (2, 4));
        assert_eq!(store.erase(&own, &id("nobody"), "", at(79)).unwrap().removed, Counts::default());
        assert_eq!(seen(store, &own), kept(&before.0));
        balances(store, &own);
        assert_eq!(store.removals(&own, 2).unwrap().iter().map(|r| r.no).collect::<Vec<_>>(), [3, 2]);
    });
}

#[test]
fn what_expires_is_old_and_counted_and_nothing_newer_goes() {
    on_all(|store| {
        let (own, other) = (tenant("default"), tenant("other"));
        for (tenant, day) in [(&own, 5), (&own, 900), (&other, 5)] {
            write(store, tenant, "a", day * DAY);
        }
        write(store, &own, "old", 3 * DAY);
        let others = seen(store, &other);
        let expire = |what, now| {
            let expired = store.expire(&own, &Old::all(what, at(100 * DAY)), at(now)).unwrap();
            expired.map(|removal| removal.removed)
        };
        // What cannot be parted from newer ones may stay.
        let expired = expire(Expiring::Windows, 1).unwrap_or_default();
        assert!(expired.windows <= 2 && Counts { windows: 0, ..expired }.is_zero(), "{expired:?}");
        let windows = |device: &str| {
            store.windows(&own, &id(device), &MetricName::parse("m").unwrap(), ALWAYS).unwrap()
        };
        let (of_a, of_old) = (windows("a"), windows("old"));
        assert_eq!(of_a.len() + of_old.len() + expired.windows as usize, 3);
        assert!(of_a.iter().any(|window| window.key.start >= at(900 * DAY)));
        let removed = expire(Expiring::Readings, 2).unwrap();
        assert!(removed.readings == 8 || removed.readings == 0, "{removed:?}");
        assert!(removed.late == 2 || removed.readings == 0 && removed.late < 2, "{removed:?}");
        assert_eq!((removed.superseded, removed.windows), (2, 0));
        balances(store, &own);
        let mut times = Vec::new();
        let mut visit = |point: penstock_series::Point| {
            times.push(point.time.nanos() / DAY);
            true
        };
        store.points(&own, &id("a"), &MetricName::parse("m").unwrap(), ALWAYS, &mut visit).unwrap();
        let newer = times.iter().filter(|day| **day == 900).count();
        assert_eq!((newer, times.len()), (3, if removed.readings == 0 { 6 } else { 3 }));
        assert_eq!(seen(store, &other), others);
        assert_eq!(expire(Expiring::Readings, 3), None, "there is nothing left to remove");
        assert_eq!(expire(Expiring::Windows, 3), None);
        if removed.readings > 0 {
            let latest = |device: &str| store.latest(&own, &id(device)).unwrap().len();
            assert_eq!((latest("a"), latest("old")), (2, 0), "the latest value was old");
        }
    });
}

/// The metrics that are meant go, where they can be parted from what is newer; of the others nothing does.
#[test]
fn what_expires_of_some_metrics_leaves_the_others_as_they_were() {
    on_all(|store| {
        let (own, other) = (tenant("default"), tenant("other"));
        for (tenant, day) in [(&own, 5), (&own, 900), (&other, 5)] {
            write(store, tenant, "a", day * DAY);
        }
        write(store, &own, "old", 3 * DAY);
        let before = (seen(store, &own), seen(store, &other));
        let of = |set: &str, what| Old { metrics: set.parse().unwrap(), ..Old::all(what, at(100 * DAY)) };
        let expire = |old: &Old, now| store.expire(&own, old, at(now)).unwrap();
        assert_eq!(expire(&of("+nothing\n+*.x", Expiring::Readings), 1), None, "there is no such metric");
        assert_eq!(seen(store, &own), before.0);
        // Everything but what is only of the device `old`, which is left in the run that it stands in.
        let old = of("-only-o*\n+*", Expiring::Readings);
        let removal = expire(&old, 2).unwrap();
        assert_eq!(
            (&removal.metrics, removal.before, &removal.device),
            (&old.metrics, Some(old.before), &None)
        );
        assert_eq!(store.removals(&own, 10).unwrap(), std::slice::from_ref(&removal));
        let expired = |tenant: &TenantId| {
            ["m", "only-old"]
                .map(|metric| store.expired_before(tenant, &MetricName::parse(metric).unwrap()).unwrap())
        };
        assert_eq!((expired(&own), expired(&other)), ([Some(old.before), None], [None, None]));
        let removed = removal.removed;
        assert!(removed.readings == 7 || removed.readings == 0, "{removed:?}");
        assert_eq!((removed.superseded, removed.windows), (2, 0));
        let after = seen(store, &own);
        let of_windows_and_kept = |rows: &[String]| -> Vec<String> {
            rows.iter()
                .filter(|row| row.starts_with("aggregations") || row.contains("only-old"))
                .cloned()
                .collect()
        };
        assert_eq!(of_windows_and_kept(&after), of_windows_and_kept(&before.0));
        assert!(after.iter().all(|row| before.0.contains(row)), "nothing became anything else");
        let latest = store.latest(&own, &id("old")).unwrap();
        let latest: Vec<&str> = latest.iter().map(|reading| reading.metric.as_str()).collect();
        assert!(latest == ["only-old"] || removed.readings == 0 && latest == ["m", "only-old"], "{latest:?}");
        balances(store, &own);
        assert_eq!(expire(&old, 3), None, "there is nothing left to remove");
        let windows = of("+m", Expiring::Windows);
        let gone = expire(&windows, 4).map_or(0, |removal| removal.removed.windows);
        assert!(gone <= 2, "{gone}");
        let left = |device: &str| {
            store.windows(&own, &id(device), &MetricName::parse("m").unwrap(), ALWAYS).unwrap().len()
        };
        assert_eq!(left("a") + left("old") + gone as usize, 3);
        assert_eq!(expire(&windows, 5), None);
        store.erase(&own, &id("nobody"), Expiring::Readings.reason(), at(5)).unwrap();
        assert_eq!(expired(&own), [Some(old.before), None], "neither windows nor a device");
        assert_eq!(seen(store, &other), before.1);
        balances(store, &own);
        // And what is left of what is old.
        if removed.readings > 0 {
            let rest = expire(&Old::all(Expiring::Readings, old.before), 6).unwrap();
            assert_eq!(rest.removed, Counts { readings: 1, ..Counts::default() });
            assert!(rest.metrics.is_all());
            assert_eq!(expired(&own), [Some(old.before); 2]);
            balances(store, &own);
        }
    });
}
