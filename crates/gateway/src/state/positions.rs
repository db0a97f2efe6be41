//! A place in several partitions at once.

use log::{Lane, Log, Offset, PartitionId, Position, Topic};

/// The next offset of each of some partitions. A partition that is not named stands at its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(Vec<Position>);

impl Positions {
    /// All at the beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the durable part of every message partition ends now: what a `Subscribed`, `Unsubscribed` or `Opened`
    /// record carries.
    ///
    /// # Errors
    /// As [`Log::extent`].
    pub fn message_tails(log: &dyn Log) -> log::Result<Self> {
        let mut tails = Vec::new();
        for partition in message_partitions(log) {
            let offset = log.extent(partition)?.end;
            if offset > 0 {
                tails.push(Position { partition, offset });
            }
        }
        Ok(Self(tails)) // the partitions come in their order
    }

    /// The next offset of a partition.
    #[must_use]
    pub fn get(&self, partition: PartitionId) -> Offset {
        self.find(partition).map_or(0, |at| self.0[at].offset)
    }

    /// Moves a partition to `offset`.
    pub fn set(&mut self, partition: PartitionId, offset: Offset) {
        match self.find(partition) {
            Ok(at) => self.0[at].offset = offset,
            Err(at) => self.0.insert(at, Position { partition, offset }),
        }
    }

    /// Whether the record at `position` lies before these positions.
    #[must_use]
    pub fn contain(&self, position: Position) -> bool {
        position.offset < self.get(position.partition)
    }

    /// Whether every record before `other` lies before these positions too.
    #[must_use]
    pub fn reach(&self, other: &Self) -> bool {
        other.iter().all(|position| self.get(position.partition) >= position.offset)
    }

    /// The positions, in the order of their partitions.
    pub fn iter(&self) -> impl Iterator<Item = Position> + '_ {
        self.0.iter().copied()
    }

    fn find(&self, partition: PartitionId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&partition, |position| position.partition)
    }
}

impl FromIterator<Position> for Positions {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Self {
        let mut all = Self::new();
        positions.into_iter().for_each(|position| all.set(position.partition, position.offset));
        all
    }
}

/// Every partition that holds messages, in order.
pub(super) fn message_partitions(log: &dyn Log) -> impl Iterator<Item = PartitionId> {
    [Topic::Raw, Topic::Messages].into_iter().flat_map(|topic| partitions(log, topic))
}

/// Every partition of a topic, both lanes, in order.
pub(super) fn partitions(log: &dyn Log, topic: Topic) -> impl Iterator<Item = PartitionId> + use<> {
    let count = log.partitions(topic);
    [Lane::Live, Lane::Backfill]
        .into_iter()
        .flat_map(move |lane| (0..count).map(move |index| PartitionId { topic, lane, index }))
}
