//! When store or log fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use log::{
    Batch, BoxFuture, Chunk, Extent, Lane, Log, Lost, MemoryLog, PartitionId, Pending, Position, Reader,
    Topic,
};
use penstock_stream::{Parts, start};
use record::Value;
use series::{Memory, SeriesReader, SeriesWriter, WriteBatch, Written};

use crate::{memory_log, parts, reading, values};

/// A store whose first `failures` writes fail, before they are done or after.
struct Failing {
    inner: Arc<Memory>,
    failures: AtomicU32,
    after: bool,
}

impl SeriesWriter for Failing {
    fn write(&self, batch: &WriteBatch) -> series::Result<Written> {
        let fails =
            self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if fails && !self.after {
            return Err(series::Error::Full { place: "here".into() });
        }
        let written = self.inner.write(batch)?;
        if fails {
            let (operation, place, reason) = ("writing", "here".into(), "the answer was lost".into());
            return Err(series::Error::Database { operation, place, reason });
        }
        Ok(written)
    }

    fn flush(&self) -> series::Result<()> {
        self.inner.flush()
    }

    fn positions(&self) -> series::Result<Vec<series::Position>> {
        self.inner.positions()
    }

    fn notes(&self) -> series::Result<Vec<series::Note>> {
        self.inner.notes()
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_written_is_tried_until_it_can() {
    for after in [false, true] {
        let (log, store) = (memory_log(), Arc::new(Memory::new()));
        let failing = Failing { inner: store.clone(), failures: AtomicU32::new(7), after };
        for second in 0..5 {
            reading(&*log, Lane::Live, "d1", second, second).await;
        }
        let stream = start(Parts { store: Arc::new(failing), ..parts(&log, &store) }).await.unwrap();
        assert!(stream.caught_up().await);
        reading(&*log, Lane::Live, "d1", 5, 5).await;
        assert!(stream.caught_up().await);
        assert_eq!(values(&store, "d1"), (0..6).map(Value::Int).collect::<Vec<_>>());
        assert!(stream.monitor().counts().retries > 0);
        assert_eq!(store.dead_messages("default", 10).unwrap(), [], "good data is never dead");
        stream.shutdown().await;
    }
}

/// A log that says once that offsets `1..3` of a partition are damaged.
struct Damaged {
    inner: Arc<MemoryLog>,
    partition: PartitionId,
}

struct DamagedReader {
    inner: Box<dyn Reader>,
    partition: PartitionId,
}

impl Log for Damaged {
    fn append(&self, batch: Batch) -> Pending {
        self.inner.append(batch)
    }
    fn read(&self, from: &[Position]) -> log::Result<Box<dyn Reader>> {
        Ok(Box::new(DamagedReader { inner: self.inner.read(from)?, partition: self.partition }))
    }
    fn extent(&self, partition: PartitionId) -> log::Result<Extent> {
        self.inner.extent(partition)
    }
    fn offset_at(&self, partition: PartitionId, time_ms: i64) -> BoxFuture<'_, log::Result<u64>> {
        self.inner.offset_at(partition, time_ms)
    }
    fn commit(&self, reader: &str, positions: &[Position]) -> BoxFuture<'_, log::Result<()>> {
        self.inner.commit(reader, positions)
    }
    fn committed(&self, reader: &str) -> log::Result<Vec<Position>> {
        self.inner.committed(reader)
    }
    fn partitions(&self, topic: Topic) -> u16 {
        self.inner.partitions(topic)
    }
    fn close(&self) -> BoxFuture<'_, log::Result<()>> {
        self.inner.close()
    }
}

impl Reader for DamagedReader {
    fn next(&mut self, max_bytes: usize) -> BoxFuture<'_, log::Result<Chunk>> {
        let stands =
            self.inner.positions().iter().find(|at| at.partition == self.partition).map(|at| at.offset);
        if let Some(from @ 0..3) = stands {
            let lost = Some(Lost { partition: self.partition, from, to: 3 });
            let (place, reason) = ("segment 1".into(), "checksum".into());
            return Box::pin(async move { Err(log::Error::Damaged { place, at: 0, reason, lost }) });
        }
        self.inner.next(max_bytes)
    }
    fn positions(&self) -> Vec<Position> {
        self.inner.positions()
    }
}

#[tokio::test]
async fn records_the_log_has_lost_are_accounted_for_and_passed() {
    let (inner, store) = (memory_log(), Arc::new(Memory::new()));
    for second in 0..5 {
        reading(&*inner, Lane::Live, "d1", second, second).await;
    }
    let partition = crate::partition(&*inner, Lane::Live, "d1");
    let log = Arc::new(Damaged { inner, partition });
    let stream = start(Parts { log, ..parts(&memory_log(), &store) }).await.unwrap();
    assert!(stream.caught_up().await);
    assert_eq!(values(&store, "d1"), [Value::Int(3), Value::Int(4)]);
    assert_eq!(stream.monitor().counts().lost, 3);
    let dead = store.dead_messages("", 10).unwrap();
    assert_eq!((dead.len(), dead[0].stage, dead[0].offset), (1, "log", 0));
    assert!(dead[0].letters[0].reason.contains("3 records"), "{:?}", dead[0].letters);
    stream.shutdown().await;
}
