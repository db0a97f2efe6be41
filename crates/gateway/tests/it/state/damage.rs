//! A log with a damaged place: what is behind it is still recovered.

use log::{
    Batch, BoxFuture, Chunk, Error, Extent, Lane, Log, Lost, MemoryLog, Offset, PartitionId, Partitions,
    Pending, Position, Reader, Result, Topic,
};
use penstock_gateway::state::{Entry, Limits, Opening, Positions, SessionRecord, recover};
use record::Qos;

use super::world::{TENANT, envelope, now_or_never};

/// Whoever reads offsets `from..to` of the partition is told that they are damaged.
struct Damaged {
    log: MemoryLog,
    lost: Lost,
}

struct Looking {
    inner: Box<dyn Reader>,
    lost: Lost,
}

impl Reader for Looking {
    fn next(&mut self, max_bytes: usize) -> BoxFuture<'_, Result<Chunk>> {
        let lost = self.lost;
        let meets = |p: &Position| p.partition == lost.partition && (lost.from..lost.to).contains(&p.offset);
        if self.inner.positions().iter().any(meets) {
            let (place, reason) = ("a segment".to_owned(), "checksum".to_owned());
            return Box::pin(async move { Err(Error::Damaged { place, at: 0, reason, lost: Some(lost) }) });
        }
        self.inner.next(max_bytes.min(1)) // record by record, up to the damage
    }
    fn positions(&self) -> Vec<Position> {
        self.inner.positions()
    }
}

impl Log for Damaged {
    fn append(&self, batch: Batch) -> Pending {
        self.log.append(batch)
    }
    fn read(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        Ok(Box::new(Looking { inner: self.log.read(from)?, lost: self.lost }))
    }
    fn extent(&self, partition: PartitionId) -> Result<Extent> {
        self.log.extent(partition)
    }
    fn offset_at(&self, partition: PartitionId, time_ms: i64) -> BoxFuture<'_, Result<Offset>> {
        self.log.offset_at(partition, time_ms)
    }
    fn commit(&self, reader: &str, positions: &[Position]) -> BoxFuture<'_, Result<()>> {
        self.log.commit(reader, positions)
    }
    fn committed(&self, reader: &str) -> Result<Vec<Position>> {
        self.log.committed(reader)
    }
    fn partitions(&self, topic: Topic) -> u16 {
        self.log.partitions(topic)
    }
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.log.close()
    }
}

#[test]
fn recovery_goes_on_behind_a_damaged_place_and_counts_what_it_misses() {
    let log = MemoryLog::new(Partitions::uniform(1).unwrap());
    let sessions = PartitionId { topic: Topic::Sessions, lane: Lane::Live, index: 0 };
    let messages = PartitionId { topic: Topic::Messages, lane: Lane::Live, index: 0 };
    let mut batch = Batch::new();
    for client in ["lost", "kept"] {
        let tails = Positions::message_tails(&log).unwrap();
        let opening = Opening { clean: true, expiry_s: u32::MAX, ..Opening::default() };
        batch.push_with(sessions, |out| {
            SessionRecord::encode(out, TENANT, client, Some(&tails), &[Entry::Opened(Box::new(opening))]);
        });
    }
    for topic in ["a", "b", "c"] {
        let message = envelope(topic, b"x", Qos::AtLeastOnce, true, None, 0);
        batch.push_with(messages, |out| message.encode(out));
    }
    now_or_never(log.append(batch)).unwrap();

    for (lost, damaged, clients, retained) in [
        (Lost { partition: sessions, from: 0, to: 1 }, 1, vec!["kept"], 3),
        (Lost { partition: messages, from: 1, to: 2 }, 1, vec!["lost", "kept"], 2),
        (Lost { partition: messages, from: 0, to: 3 }, 3, vec!["lost", "kept"], 0),
    ] {
        let copy = MemoryLog::new(Partitions::uniform(1).unwrap());
        for partition in [sessions, messages] {
            let mut reader = log.read(&[Position { partition, offset: 0 }]).unwrap();
            let end = log.extent(partition).unwrap().end;
            while reader.positions()[0].offset < end {
                for record in
                    now_or_never(reader.next(1 << 20)).unwrap().runs.into_iter().flat_map(|r| r.records)
                {
                    let mut one = Batch::new();
                    one.push(partition, &record.value);
                    now_or_never(copy.append(one)).unwrap();
                }
            }
        }
        let broken = Damaged { log: copy, lost };
        let metadata = metadata::Memory::new();
        let recovered = now_or_never(recover(&broken, &metadata, Limits::default(), 0)).unwrap();
        let found: Vec<&str> =
            ["lost", "kept"].into_iter().filter(|c| recovered.book.find(TENANT, c).is_some()).collect();
        assert_eq!((recovered.skipped.damaged, found), (damaged, clients), "{lost:?}");
        assert_eq!(recovered.book.retained().len(), retained, "{lost:?}");
    }
}
