//! The clean topic after crashes: everything is in it, and what stands there twice can be told.

use std::collections::BTreeMap;
use std::sync::Arc;

use log::{Lane, Log, MemoryLog};
use penstock_stream::{Facts, Parts, start};
use proptest::prelude::*;
use record::{DeviceId, MetricName, TenantId};
use series::{Memory, SeriesAudit, SeriesReader, SeriesWriter, WriteBatch, Written};

use super::book::{Book, Clean, all, taken};
use super::{clean_parts, run};
use crate::memory_log;
use crate::recovery::{ALWAYS, DEVICES, Sent, World, sent};

type Key = (String, String, i64);

/// The value that holds under each key, as the clean records have it.
fn last(clean: &[Clean]) -> BTreeMap<Key, String> {
    let mut last = BTreeMap::new();
    for record in clean {
        for (metric, claimed, .., value) in &record.readings {
            last.insert((record.device.clone(), metric.clone(), *claimed), value.clone());
        }
    }
    last
}

fn stored(store: &Memory) -> BTreeMap<Key, String> {
    let (tenant, mut found) = (TenantId::default_tenant(), BTreeMap::new());
    for name in (0..DEVICES).map(|device| format!("d{device}")) {
        for metric in ["a", "b", "c"] {
            let (device, id) = (DeviceId::parse(&name).unwrap(), MetricName::parse(metric).unwrap());
            store
                .points(&tenant, &device, &id, ALWAYS, &mut |point| {
                    let key = (name.clone(), metric.to_owned(), point.time.nanos());
                    found.insert(key, format!("{:?}", point.value.as_ref()));
                    true
                })
                .unwrap();
        }
    }
    found
}

fn with_clean() -> (World, Arc<Book>) {
    let book = Arc::new(Book::default());
    let mut world = World::new();
    world.facts = Some(Arc::clone(&book) as Arc<dyn Facts>);
    (world, book)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Facts change nothing but clean records: state, store and account are those of a stream without them, after crashes too.
    #[test]
    fn a_stream_with_facts_is_one_without_and_its_clean_records_are_what_is_stored(
        records in prop::collection::vec(sent(), 1..200),
        crashes in prop::collection::vec((any::<prop::sample::Index>(), 1..40_u32), 0..5),
    ) {
        let records: Vec<(usize, &Sent)> = records.iter().enumerate().collect();
        let plain = World::new();
        plain.run_and_crash(&records, 1000);
        let expected = plain.finish(0);

        let (world, book) = with_clean();
        let mut crashes: Vec<(usize, u32)> = crashes.iter().map(|(at, turns)| (at.index(records.len()), *turns)).collect();
        crashes.sort_unstable();
        let mut from = 0;
        for (at, turns) in crashes {
            world.run_and_crash(&records[from..at], turns);
            book.register(&format!("d{}", turns % 7), &format!("site {turns}"));
            from = at;
        }
        world.run_and_crash(&records[from..], 3);
        prop_assert_eq!(world.finish(0), expected);

        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clean = runtime.block_on(taken(&*world.log));
        prop_assert_eq!(last(&clean), stored(&world.store));
        let kept: i64 = world.store.account(None, ALWAYS).unwrap().iter()
            .map(|line| line.amounts.stored + line.amounts.late).sum();
        prop_assert_eq!(clean.iter().map(|record| record.readings.len() as i64).sum::<i64>(), kept);
    }
}

/// A store that takes nothing.
struct Closed(Arc<Memory>);

impl SeriesWriter for Closed {
    fn write(&self, _: &WriteBatch) -> series::Result<Written> {
        Err(series::Error::Full { place: "here".into() })
    }

    fn flush(&self) -> series::Result<()> {
        self.0.flush()
    }

    fn positions(&self) -> series::Result<Vec<series::Position>> {
        self.0.positions()
    }

    fn notes(&self) -> series::Result<Vec<series::Note>> {
        self.0.notes()
    }
}

/// Runs until a turn is in the clean topic and not in the store, and stops there.
async fn break_off(log: &Arc<MemoryLog>, store: &Arc<Memory>, book: &Arc<Book>) {
    let parts = clean_parts(log, store, book);
    let stream = start(Parts { store: Arc::new(Closed(store.clone())), ..parts }).await.unwrap();
    while all(&**log).await.is_empty() {
        tokio::task::yield_now().await;
    }
    stream.shutdown().await;
}

#[tokio::test]
async fn what_a_crash_repeats_has_the_same_name() {
    let (log, store, book) = (memory_log(), Arc::new(Memory::new()), Arc::new(Book::default()));
    book.register("d1", "before");
    for second in 0..3 {
        crate::reading(&*log, Lane::Live, "d1", second, second).await;
    }
    break_off(&log, &store, &book).await;
    book.register("d1", "after");
    crate::reading(&*log, Lane::Live, "d1", 3, 3).await;
    run(clean_parts(&log, &store, &book)).await;

    let written = all(&*log).await;
    assert!(written.len() >= 7, "three of them again: {written:?}");
    let sites: Vec<_> = taken(&*log).await.into_iter().map(|record| record.facts.site.unwrap()).collect();
    assert_eq!(sites, ["before", "before", "before", "after"].map(Box::from));
}

#[tokio::test]
async fn a_turn_of_history_that_was_broken_off_is_done_again_before_live_data() {
    let (log, store, book) = (memory_log(), Arc::new(Memory::new()), Arc::new(Book::default()));
    crate::reading(&*log, Lane::Backfill, "d1", 0, 7).await;
    break_off(&log, &store, &book).await;
    // The device sends it again: whichever comes second is the duplicate.
    crate::reading(&*log, Lane::Live, "d1", 0, 7).await;
    run(clean_parts(&log, &store, &book)).await;

    let taken = taken(&*log).await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0].source.lane, Lane::Backfill);
    assert_eq!(log.extent(crate::partition(&*log, Lane::Live, "d1")).unwrap().end, 1);
}
