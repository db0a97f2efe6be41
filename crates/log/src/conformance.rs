//! What every backend of [`Log`] must show, in one suite. A backend's tests call [`run`] with a [`Subject`].

use std::sync::Arc;
use std::time::Duration;

use crate::{Batch, BoxFuture, Chunk, Error, Extent, Lane, Log, PartitionId, Position, Reader, Topic, lag};

/// A backend under test.
pub trait Subject: Sync {
    /// A fresh, empty log with at least two partitions in each topic.
    fn fresh(&self) -> Arc<dyn Log>;

    /// Closes a log and opens it again; `None` for a backend that does not outlive its process.
    fn again(&self, log: Arc<dyn Log>) -> BoxFuture<'_, Option<Arc<dyn Log>>>;

    /// Makes retention drop something from the beginning of a partition which holds plenty.
    fn expire(&self, log: &Arc<dyn Log>, partition: PartitionId);
}

/// No step of the suite takes long; a log that hangs fails instead of stalling its tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs every case on a fresh log. Needs a tokio runtime with time.
///
/// # Panics
/// When the backend breaks a promise; the message says which case.
pub async fn run(subject: &dyn Subject) {
    macro_rules! cases {
        ($($case:ident),+ $(,)?) => {
            $(
                let case = Box::pin($case(subject));
                tokio::time::timeout(PATIENCE, case).await.expect(concat!(stringify!($case), " hangs"));
            )+
        };
    }
    cases!(
        a_new_log_is_empty,
        offsets_rise_by_one_in_the_order_pushed,
        lanes_and_topics_are_apart,
        what_is_read_is_what_was_appended,
        small_steps_see_the_same_as_large_ones,
        readers_start_anywhere_and_merge_partitions,
        a_reader_wakes_at_the_tail,
        a_dropped_wait_has_moved_nothing,
        many_producers_keep_their_own_order,
        an_empty_batch_and_an_empty_record,
        wrong_partitions_and_positions_are_refused,
        time_finds_offsets,
        positions_are_kept_and_lag_is_told,
        expired_positions_say_so,
        closing_ends_appends_and_readers,
        everything_outlives_a_restart,
    );
}

const P0: PartitionId = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 0 };
const P1: PartitionId = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 1 };

fn at(partition: PartitionId, offset: u64) -> Position {
    Position { partition, offset }
}

fn batch(records: &[(PartitionId, &str)]) -> Batch {
    let mut batch = Batch::new();
    records.iter().for_each(|(partition, value)| batch.push(*partition, value.as_bytes()));
    batch
}

async fn fill(log: &Arc<dyn Log>, partition: PartitionId, count: usize) {
    for i in 0..count {
        log.append(batch(&[(partition, &format!("{partition} {i}"))])).await.expect("an append succeeds");
    }
}

fn texts(chunk: &Chunk, partition: PartitionId) -> Vec<String> {
    let runs = chunk.runs.iter().filter(|run| run.partition == partition);
    runs.flat_map(|run| &run.records).map(|r| String::from_utf8_lossy(&r.value).into_owned()).collect()
}

fn count(chunk: &Chunk) -> usize {
    chunk.runs.iter().map(|run| run.records.len()).sum()
}

/// Reads `wanted` records in steps, checking that runs are consecutive and positions follow.
async fn drain(reader: &mut dyn Reader, wanted: usize, max_bytes: usize) -> Chunk {
    let mut all = Chunk::default();
    while count(&all) < wanted {
        let mut expected = reader.positions();
        let chunk = reader.next(max_bytes).await.expect("a read succeeds");
        assert!(count(&chunk) > 0, "a chunk holds at least one record");
        for run in &chunk.runs {
            let next =
                expected.iter_mut().find(|p| p.partition == run.partition).expect("only what was wanted");
            assert_eq!(run.base, next.offset, "runs are consecutive");
            next.offset += run.records.len() as u64;
        }
        assert_eq!(reader.positions(), expected, "positions say what was returned");
        all.runs.extend(chunk.runs);
    }
    assert_eq!(count(&all), wanted);
    all
}

async fn a_new_log_is_empty(subject: &dyn Subject) {
    let log = subject.fresh();
    for topic in Topic::ALL {
        assert!(log.partitions(topic) >= 2);
    }
    assert_eq!(log.extent(P0).unwrap_or_else(|e| panic!("{e}")), Extent { start: 0, end: 0 });
    assert_eq!(log.offset_at(P0, 0).await.expect("an offset"), 0);
    assert!(log.committed("nobody").expect("no positions").is_empty());
}

async fn offsets_rise_by_one_in_the_order_pushed(subject: &dyn Subject) {
    let log = subject.fresh();
    let first = log.append(batch(&[(P0, "a"), (P1, "b"), (P0, "c")])).await.expect("durable");
    assert_eq!(first, [at(P0, 0), at(P1, 0), at(P0, 1)]);
    let second = log.append(batch(&[(P1, "d"), (P0, "e")])).await.expect("durable");
    assert_eq!(second, [at(P1, 1), at(P0, 2)]);
    assert_eq!(log.extent(P0).expect("an extent"), Extent { start: 0, end: 3 });
}

async fn lanes_and_topics_are_apart(subject: &dyn Subject) {
    let log = subject.fresh();
    let backfill = PartitionId { lane: Lane::Backfill, ..P0 };
    let late = PartitionId { topic: Topic::Late, ..P0 };
    for (partition, value) in [(P0, "live"), (backfill, "old"), (late, "late")] {
        assert_eq!(log.append(batch(&[(partition, value)])).await.expect("durable"), [at(partition, 0)]);
    }
    for (partition, value) in [(P0, "live"), (backfill, "old"), (late, "late")] {
        let mut reader = log.read(&[at(partition, 0)]).expect("a reader");
        assert_eq!(texts(&drain(&mut *reader, 1, 1000).await, partition), [value]);
    }
}

async fn what_is_read_is_what_was_appended(subject: &dyn Subject) {
    let log = subject.fresh();
    let big = "x".repeat(3_000_000);
    let records = [(P0, "first"), (P0, &big), (P1, "other"), (P0, "\0\u{ffff}last")];
    log.append(batch(&records)).await.expect("durable");
    let mut reader = log.read(&[at(P0, 0), at(P1, 0)]).expect("a reader");
    let all = drain(&mut *reader, 4, 1 << 20).await;
    assert_eq!(texts(&all, P0), ["first", &big, "\0\u{ffff}last"]);
    assert_eq!(texts(&all, P1), ["other"]);
}

async fn small_steps_see_the_same_as_large_ones(subject: &dyn Subject) {
    let log = subject.fresh();
    let values: Vec<String> = (0..500).map(|i| format!("value {i}")).collect();
    for some in values.chunks(50) {
        log.append(batch(&some.iter().map(|v| (P0, v.as_str())).collect::<Vec<_>>())).await.expect("durable");
    }
    for max_bytes in [0, 1, 10, 100, 5_000, usize::MAX] {
        let mut reader = log.read(&[at(P0, 0)]).expect("a reader");
        assert_eq!(texts(&drain(&mut *reader, 500, max_bytes).await, P0), values, "steps of {max_bytes}");
    }
    let mut reader = log.read(&[at(P0, 0)]).expect("a reader");
    assert!(count(&reader.next(100).await.expect("a chunk")) < 30, "about max_bytes at most");
}

async fn readers_start_anywhere_and_merge_partitions(subject: &dyn Subject) {
    let log = subject.fresh();
    for i in 0..60 {
        log.append(batch(&[(P0, &format!("a{i}")), (P1, &format!("b{i}"))])).await.expect("durable");
    }
    for (from0, from1) in [(0, 0), (59, 0), (0, 60), (17, 43), (60, 59)] {
        let mut reader = log.read(&[at(P0, from0), at(P1, from1)]).expect("a reader");
        let all = drain(&mut *reader, 120 - usize::try_from(from0 + from1).expect("small"), 64).await;
        assert_eq!(texts(&all, P0), (from0..60).map(|i| format!("a{i}")).collect::<Vec<_>>());
        assert_eq!(texts(&all, P1), (from1..60).map(|i| format!("b{i}")).collect::<Vec<_>>());
    }
}

async fn a_reader_wakes_at_the_tail(subject: &dyn Subject) {
    let log = subject.fresh();
    let mut reader = log.read(&[at(P0, 0)]).expect("a reader");
    let waiting = tokio::spawn(async move { reader.next(1000).await.map(|chunk| texts(&chunk, P0)) });
    tokio::task::yield_now().await;
    log.append(batch(&[(P1, "not for it")])).await.expect("durable");
    log.append(batch(&[(P0, "for it")])).await.expect("durable");
    assert_eq!(waiting.await.expect("no panic").expect("a chunk"), ["for it"]);
}

async fn a_dropped_wait_has_moved_nothing(subject: &dyn Subject) {
    let log = subject.fresh();
    let mut reader = log.read(&[at(P0, 0)]).expect("a reader");
    for i in 0..20 {
        assert!(tokio::time::timeout(Duration::from_micros(1), reader.next(1000)).await.is_err());
        assert_eq!(reader.positions(), [at(P0, i)]);
        log.append(batch(&[(P0, "x")])).await.expect("durable");
        assert_eq!(drain(&mut *reader, 1, 1000).await.runs[0].base, i);
    }
}

async fn many_producers_keep_their_own_order(subject: &dyn Subject) {
    const EACH: usize = 100;
    let log = subject.fresh();
    let producers: Vec<_> = (0..8)
        .map(|producer| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let pending: Vec<_> = (0..EACH)
                    .map(|i| log.append(batch(&[(P0, &format!("{producer}:{i}")), (P1, "noise")])))
                    .collect();
                let mut last = None;
                for promise in pending {
                    let offset = promise.await.expect("durable")[0].offset;
                    assert!(last < Some(offset), "offsets follow the order of the calls");
                    last = Some(offset);
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.expect("no panic");
    }
    let mut reader = log.read(&[at(P0, 0)]).expect("a reader");
    let all = texts(&drain(&mut *reader, 8 * EACH, 10_000).await, P0);
    for producer in 0..8 {
        let own: Vec<_> = all.iter().filter(|v| v.starts_with(&format!("{producer}:"))).cloned().collect();
        assert_eq!(own, (0..EACH).map(|i| format!("{producer}:{i}")).collect::<Vec<_>>());
    }
}

async fn an_empty_batch_and_an_empty_record(subject: &dyn Subject) {
    let log = subject.fresh();
    assert_eq!(log.append(Batch::new()).await.expect("nothing to do"), []);
    log.append(batch(&[(P0, ""), (P0, "")])).await.expect("durable");
    let mut reader = log.read(&[at(P0, 0)]).expect("a reader");
    assert_eq!(texts(&drain(&mut *reader, 2, 0).await, P0), ["", ""]);
}

async fn wrong_partitions_and_positions_are_refused(subject: &dyn Subject) {
    let log = subject.fresh();
    let beyond = PartitionId { index: log.partitions(Topic::Raw), ..P0 };
    assert!(matches!(log.append(batch(&[(P0, "a"), (beyond, "b")])).await, Err(Error::Refused(_))));
    assert_eq!(log.extent(P0).expect("an extent").end, 0, "nothing of a refused batch is taken");
    assert!(matches!(log.extent(beyond), Err(Error::Refused(_))));
    assert!(matches!(log.offset_at(beyond, 0).await, Err(Error::Refused(_))));
    assert!(matches!(log.commit("r", &[at(beyond, 0)]).await, Err(Error::Refused(_))));
    for wrong in [vec![at(beyond, 0)], vec![at(P0, 1)], vec![at(P0, 0), at(P0, 0)]] {
        assert!(matches!(log.read(&wrong).map(drop), Err(Error::Refused(_))), "{wrong:?}");
    }
}

async fn time_finds_offsets(subject: &dyn Subject) {
    let log = subject.fresh();
    for _ in 0..3 {
        fill(&log, P0, 5).await;
        tokio::time::sleep(Duration::from_millis(3)).await; // the log's clock must move on
    }
    let mut reader = log.read(&[at(P0, 0)]).expect("a reader");
    let all = drain(&mut *reader, 15, usize::MAX).await;
    let times: Vec<i64> = all.runs.iter().flat_map(|run| &run.records).map(|r| r.appended_ms).collect();
    assert!(times.is_sorted(), "times never fall: {times:?}");
    assert!(times[0] < times[14], "the clock moved");
    for wanted in [0, times[0], times[5], times[10], times[14], times[14] + 1] {
        let expected = times.iter().position(|&t| t >= wanted).unwrap_or(15) as u64;
        assert_eq!(log.offset_at(P0, wanted).await.expect("an offset"), expected);
    }
}

async fn positions_are_kept_and_lag_is_told(subject: &dyn Subject) {
    let log = subject.fresh();
    fill(&log, P0, 7).await;
    fill(&log, P1, 3).await;
    log.commit("store", &[at(P0, 2), at(P1, 3)]).await.expect("durable");
    log.commit("store", &[at(P0, 5)]).await.expect("durable");
    log.commit("alerts", &[at(P1, 1)]).await.expect("durable");
    assert_eq!(log.committed("store").expect("positions"), [at(P0, 5), at(P1, 3)]);
    assert_eq!(log.committed("alerts").expect("positions"), [at(P1, 1)]);
    assert_eq!(lag(&*log, "store").expect("lag"), [(P0, 2), (P1, 0)]);
}

async fn expired_positions_say_so(subject: &dyn Subject) {
    let log = subject.fresh();
    let value = "y".repeat(1000);
    for _ in 0..400 {
        log.append(batch(&[(P0, &value)])).await.expect("durable");
    }
    let mut standing = log.read(&[at(P0, 0)]).expect("a reader");
    subject.expire(&log, P0);
    let Extent { start, end } = log.extent(P0).expect("an extent");
    assert!(start > 0 && end == 400, "{start}..{end}");
    for reader in [&mut standing, &mut log.read(&[at(P0, 0)]).expect("a reader")] {
        match reader.next(1000).await {
            Err(Error::Expired { partition, wanted: 0, start: told }) => {
                assert_eq!((partition, told), (P0, start));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut reader = log.read(&[at(P0, start)]).expect("a reader");
    drain(&mut *reader, usize::try_from(end - start).expect("small"), 10_000).await;
    assert_eq!(log.offset_at(P0, 0).await.expect("an offset"), start);
}

async fn closing_ends_appends_and_readers(subject: &dyn Subject) {
    let log = subject.fresh();
    let kept = log.append(batch(&[(P0, "kept")]));
    let mut reader = log.read(&[at(P0, 0)]).expect("a reader");
    log.close().await.expect("closed");
    kept.await.expect("what was handed over before is durable");
    assert!(matches!(log.append(batch(&[(P0, "late")])).await, Err(Error::Closed)));
    drain(&mut *reader, 1, 1000).await;
    assert!(matches!(reader.next(1000).await, Err(Error::Closed)));
    log.close().await.expect("closing twice is no error");
}

async fn everything_outlives_a_restart(subject: &dyn Subject) {
    let mut log = subject.fresh();
    for round in 0..4 {
        fill(&log, P0, 10).await;
        fill(&log, P1, 1).await;
        log.commit("store", &[at(P0, round * 10 + 3)]).await.expect("durable");
        log = match subject.again(log).await {
            Some(log) => log,
            None => return,
        };
        assert_eq!(log.extent(P0).expect("an extent"), Extent { start: 0, end: (round + 1) * 10 });
        assert_eq!(log.committed("store").expect("positions"), [at(P0, round * 10 + 3)]);
        let mut reader = log.read(&[at(P0, 0), at(P1, 0)]).expect("a reader");
        let all = drain(&mut *reader, usize::try_from((round + 1) * 11).expect("small"), 100).await;
        let expected: Vec<_> = (0..=round).flat_map(|_| 0..10).map(|i| format!("{P0} {i}")).collect();
        assert_eq!(texts(&all, P0), expected);
    }
}
