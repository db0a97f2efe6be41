//! Which segments may go.

use super::shared::{Held, Shared};

impl Shared {
    /// Takes the oldest segment off the list if retention allows, and returns its number.
    pub(crate) fn expired(&self, now_ms: i64) -> Option<u64> {
        let retention = &self.options.retention;
        if retention.max_age.is_none() && retention.max_bytes.is_none() {
            return None;
        }
        let mut held = self.held.lock();
        // The last segment is being written; the one before it says where it ends.
        if held.segments.len() < 2 {
            return None;
        }
        let total: u64 = held.segments.iter().map(|segment| segment.end).sum();
        let too_large = retention.max_bytes.is_some_and(|limit| total > limit);
        // Nothing in a segment is newer than the birth of the next.
        let newest_ms = held.segments[1].born_ms;
        let too_old = retention.max_age.is_some_and(|age| {
            i64::try_from(age.as_millis()).is_ok_and(|age_ms| newest_ms < now_ms.saturating_sub(age_ms))
        });
        if !(too_large || too_old) || self.is_protected(&held) {
            return None;
        }
        held.segments.pop_front().map(|segment| segment.number)
    }

    /// Whether the oldest segment holds something that a protected reader has not committed.
    fn is_protected(&self, held: &Held) -> bool {
        let (oldest, next) = (&held.segments[0], &held.segments[1]);
        self.options.retention.keep_for.iter().any(|protected| {
            let positions = held.positions.get(&protected.reader);
            let wanted =
                self.partitions.all().filter(|partition| protected.topics.contains(&partition.topic));
            wanted.into_iter().any(|partition| {
                let Some(slot) = self.partitions.slot(partition) else { return false };
                let (start, end) = (oldest.starts[slot.at()], next.starts[slot.at()]);
                let read_to = positions.and_then(|offsets| offsets.get(&partition)).copied().unwrap_or(0);
                start < end && read_to < end
            })
        })
    }
}
