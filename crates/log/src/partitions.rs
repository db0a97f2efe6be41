//! How many partitions each topic has, and the numbering that backends use inside.

use record::Lane;

use crate::{Error, PartitionId, Result, Topic};

/// How many partitions each topic has in each lane. Fixed when a log is created: the hash of a device picks
/// its partition, so another count would break its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions([u16; Topic::ALL.len()]);

/// Most partitions of a topic in a lane. Every segment head lists all of them (11 B each).
const MOST_PER_TOPIC: u16 = 1024;

impl Default for Partitions {
    /// 16 for what grows with the fleet (8 consumers can share the work), 4 for the rest.
    fn default() -> Self {
        let mut counts = Self([16; Topic::ALL.len()]);
        for topic in [Topic::Dlq, Topic::Late, Topic::Alerts] {
            counts.0[topic as usize] = 4;
        }
        counts
    }
}

impl Partitions {
    /// The same count for every topic.
    ///
    /// # Errors
    /// [`Error::Refused`] unless the count is within 1 to 1024.
    pub fn uniform(count: u16) -> Result<Self> {
        Topic::ALL.iter().try_fold(Self([1; Topic::ALL.len()]), |all, &topic| all.with(topic, count))
    }

    /// With another count for one topic.
    ///
    /// # Errors
    /// [`Error::Refused`] unless the count is within 1 to 1024.
    pub fn with(mut self, topic: Topic, count: u16) -> Result<Self> {
        if !(1..=MOST_PER_TOPIC).contains(&count) {
            let name = topic.name();
            return Err(Error::Refused(format!(
                "{count} partitions for {name}: 1 to {MOST_PER_TOPIC} are possible"
            )));
        }
        self.0[topic as usize] = count;
        Ok(self)
    }

    /// How many a topic has in each lane.
    #[must_use]
    pub fn of(&self, topic: Topic) -> u16 {
        self.0[topic as usize]
    }

    /// Every partition, in the order of their slots.
    pub fn all(&self) -> impl Iterator<Item = PartitionId> + '_ {
        Topic::ALL.into_iter().flat_map(move |topic| {
            [Lane::Live, Lane::Backfill].into_iter().flat_map(move |lane| {
                (0..self.of(topic)).map(move |index| PartitionId { topic, lane, index })
            })
        })
    }

    /// How many there are in all topics and lanes.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|&n| 2 * usize::from(n)).sum()
    }

    /// A partition's place among all of them: a dense number for tables in memory; never on disk.
    pub(crate) fn slot(&self, partition: PartitionId) -> Option<Slot> {
        let count = self.of(partition.topic);
        if partition.index >= count {
            return None;
        }
        let before: usize = self.0[..partition.topic as usize].iter().map(|&n| 2 * usize::from(n)).sum();
        let lane = match partition.lane {
            Lane::Live => 0,
            Lane::Backfill => usize::from(count),
        };
        Some(Slot(u32::try_from(before + lane + usize::from(partition.index)).expect("7 × 2 × 1024 fits")))
    }

    /// The partition in a place.
    pub(crate) fn at(&self, slot: Slot) -> PartitionId {
        let mut left = slot.0;
        for topic in Topic::ALL {
            for lane in [Lane::Live, Lane::Backfill] {
                let count = u32::from(self.of(topic));
                if left < count {
                    let index = u16::try_from(left).expect("below a count that is a u16");
                    return PartitionId { topic, lane, index };
                }
                left -= count;
            }
        }
        unreachable!("slots are made by `slot`, which knows only partitions that are there")
    }

    /// As [`Self::slot`], or the refusal.
    pub(crate) fn require(&self, partition: PartitionId) -> Result<Slot> {
        self.slot(partition).ok_or_else(|| {
            let has = self.of(partition.topic);
            Error::Refused(format!(
                "there is no partition {partition}: the topic has {has} (0 to {})",
                has - 1
            ))
        })
    }
}

/// A partition's place among all of a log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// A set of partitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotSet(Vec<u64>);

impl SlotSet {
    /// Whether it was new.
    pub(crate) fn insert(&mut self, slot: Slot) -> bool {
        let (word, bit) = (slot.at() / 64, 1 << (slot.at() % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.0.get(slot.at() / 64).is_some_and(|word| word & (1 << (slot.at() % 64)) != 0)
    }

    pub(crate) fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_dense_and_in_order() {
        let partitions = Partitions::default().with(Topic::Late, 3).unwrap();
        assert!(partitions.all().all(|p| partitions.at(partitions.slot(p).unwrap()) == p));
        let slots: Vec<usize> = partitions.all().map(|p| partitions.slot(p).unwrap().at()).collect();
        assert_eq!(slots, (0..partitions.count()).collect::<Vec<_>>());
        let beyond = PartitionId { topic: Topic::Late, lane: Lane::Live, index: 3 };
        assert!(matches!(partitions.require(beyond), Err(Error::Refused(_))));
        assert!(Partitions::uniform(0).is_err());
    }
}
