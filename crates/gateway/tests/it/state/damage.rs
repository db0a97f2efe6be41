//! A log with a damaged place: what is behind it is still recovered.

use log::faults::FaultyLog;
use log::{Batch, Lane, Log as _, Lost, MemoryLog, PartitionId, Partitions, Position, Topic};
use penstock_gateway::state::{Entry, Limits, Opening, Positions, SessionRecord, recover};
use record::Qos;

use super::world::{TENANT, envelope, now_or_never};

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
        let broken = FaultyLog::over(copy);
        broken.damage(lost);
        let metadata = metadata::Memory::new();
        let recovered = now_or_never(recover(&broken, &metadata, Limits::default(), 0)).unwrap();
        let found: Vec<&str> =
            ["lost", "kept"].into_iter().filter(|c| recovered.book.find(TENANT, c).is_some()).collect();
        assert_eq!((recovered.skipped.damaged, found), (damaged, clients), "{lost:?}");
        assert_eq!(recovered.book.retained().len(), retained, "{lost:?}");
    }
}
