//! The process ends, or the disk says no, at every step: no cause without its alert, no second one, and the same keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metadata::{Change, Memory, Metadata, Result, Row, Table};
use penstock_alert::{Config, Delivery};
use rule::Transition;

use crate::house::{House, at, batched, began, ended, id_of};

/// Metadata whose commit number `at` fails; every one after it, too, until it is healed. `is_lost`: that one was written and only
/// its answer was lost.
pub(crate) struct Failing {
    inner: Arc<dyn Metadata>,
    left: AtomicUsize,
    is_lost: bool,
}

impl Failing {
    pub(crate) fn new(inner: Arc<dyn Metadata>, at: usize, is_lost: bool) -> Self {
        Self { inner, left: AtomicUsize::new(at), is_lost }
    }

    /// From now on commits succeed.
    pub(crate) fn heal(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }
}

impl Metadata for Failing {
    fn get(&self, table: Table, tenant: &str, id: &str) -> Result<Option<Row>> {
        self.inner.get(table, tenant, id)
    }

    fn scan(&self, table: Table, tenant: Option<&str>, visit: &mut dyn FnMut(Row) -> bool) -> Result<()> {
        self.inner.scan(table, tenant, visit)
    }

    fn scan_after(
        &self,
        table: Table,
        tenant: &str,
        after: &str,
        visit: &mut dyn FnMut(Row) -> bool,
    ) -> Result<()> {
        self.inner.scan_after(table, tenant, after, visit)
    }

    fn commit(&self, changes: &[Change]) -> Result<()> {
        let left =
            self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)));
        match left {
            Ok(0) => {}
            Ok(1) if !self.is_lost => {}
            Ok(1) => self.inner.commit(changes)?,
            _ => return self.inner.commit(changes),
        }
        Err(metadata::Error::Database {
            operation: "committing",
            place: "here".into(),
            reason: "gone".into(),
        })
    }
}

/// What a log holds: conditions of three rules on ten devices that come, go and come again.
fn log() -> Vec<Transition> {
    let mut log = Vec::new();
    for n in 0..120 {
        let rule = ["hot", "cold", "wet"][n as usize % 3];
        let hot = began(rule, &format!("pump-{}", n % 10), n * 40);
        log.push(hot.clone());
        if n % 4 != 0 {
            log.push(ended(&hot, n * 40 + 20));
        }
    }
    log
}

/// Reads the log from where the last commit says, in batches, letting time pass between them, until the end or an error.
fn run(house: &House, log: &[Transition]) -> bool {
    let Ok(positions) = house.alerts.positions() else { return false };
    let from = usize::try_from(positions.get("live/0").copied().unwrap_or(0)).unwrap();
    // What was due when it ended is due at the same time again: else people would hear later, which is right, but not the same.
    if from > 0 && house.alerts.tick(log[from - 1].at).is_err() {
        return false;
    }
    for (n, batch) in log[from..].chunks(7).enumerate() {
        let offset = (from + n * 7 + batch.len()) as u64;
        let now = batch.last().unwrap().at;
        if house.alerts.take(batch, &[("live/0".into(), offset)], now).is_err()
            || house.alerts.tick(now).is_err()
        {
            return false;
        }
    }
    (0..600).all(|n| house.alerts.tick(at(4800 + n * 10)).is_ok())
}

fn fresh(metadata: Arc<dyn Metadata>) -> House {
    let house = House::with(Config::default(), metadata);
    house.rules.set("wet", batched);
    house
}

fn rows(metadata: &dyn Metadata, table: Table) -> BTreeMap<String, Vec<u8>> {
    let mut rows = BTreeMap::new();
    let mut visit = |row: Row| {
        rows.insert(row.id, row.body);
        true
    };
    metadata.scan(table, None, &mut visit).unwrap();
    rows
}

#[test]
fn after_every_broken_commit_all_is_as_if_none_had_broken() {
    let log = log();
    let whole: Arc<dyn Metadata> = Arc::new(Memory::new());
    let house = fresh(Arc::clone(&whole));
    house.person("ann", |ann| ann.per_hour = Some(10));
    assert!(run(&house, &log));
    let expect = rows(&*whole, Table::Alerts);
    let causes: BTreeSet<String> = log.iter().map(|transition| id_of(transition).to_string()).collect();
    assert_eq!(expect.keys().cloned().collect::<BTreeSet<_>>(), causes);
    let mut broken = 0;
    for is_lost in [false, true] {
        for commits in 1.. {
            let inner: Arc<dyn Metadata> = Arc::new(Memory::new());
            // Who is told is written before anything fails.
            fresh(Arc::clone(&inner)).person("ann", |ann| ann.per_hour = Some(10));
            let failing = Failing::new(Arc::clone(&inner), commits, is_lost);
            if run(&fresh(Arc::new(failing)), &log) {
                break;
            }
            broken += 1;
            let before = keys(&*inner);
            let house = fresh(Arc::clone(&inner));
            assert!(run(&house, &log));
            for table in [Table::Alerts, Table::AlertPairs, Table::AlertCauses] {
                // Not `assert_eq`: a difference would fill the screen.
                assert!(rows(&*inner, table) == rows(&*whole, table), "{commits} {is_lost} {table:?}");
            }
            // What was to be delivered still is, under its key.
            let after = keys(&*inner);
            assert!(before.iter().all(|(id, key)| after.get(id) == Some(key)), "{commits} {is_lost}");
            assert!(after == keys(&*whole), "{commits} {is_lost}");
        }
    }
    assert!(broken > 60, "{broken}");
}

fn keys(metadata: &dyn Metadata) -> BTreeMap<String, String> {
    let outbox = rows(metadata, Table::Outbox).into_iter();
    let keys = outbox.map(|(id, body)| (id, serde_json::from_slice::<Delivery>(&body).unwrap().key));
    let keys: BTreeMap<String, String> = keys.collect();
    assert_eq!(keys.values().collect::<BTreeSet<_>>().len(), keys.len(), "a key twice");
    keys
}

#[test]
fn what_cannot_be_looked_up_takes_nothing() {
    let house = House::new();
    house.person("ann", |_| {});
    *house.rules.broken.lock() = true;
    let batch = [began("hot", "pump-1", 0)];
    let error = house.alerts.take(&batch, &[("live/0".into(), 1)], at(0)).unwrap_err();
    assert!(error.to_string().contains("rule hot of tenant \"acme\" cannot be looked up"), "{error}");
    assert!(house.alerts.positions().unwrap().is_empty());
    *house.rules.broken.lock() = false;
    assert_eq!(house.alerts.take(&batch, &[("live/0".into(), 1)], at(0)).unwrap().new, 1);
    assert_eq!(house.alerts.positions().unwrap(), [("live/0".to_owned(), 1)].into());
}
