//! What is handed to [`crate::Log::append`]: records of any partitions in one buffer.

use crate::PartitionId;

/// Records on their way into the log. One buffer for all of them, so that a gateway copies a message once,
/// from the socket's bytes to here, and a socket read becomes one append.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    partition: PartitionId,
    end: u32,
}

/// A record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Where it goes.
    pub partition: PartitionId,
    /// Its bytes.
    pub value: &'a [u8],
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record whose bytes `write` appends to the buffer it is given.
    ///
    /// # Panics
    /// When the batch passes 4 GiB: callers flush long before.
    pub fn push_with(&mut self, partition: PartitionId, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        let end = u32::try_from(self.bytes.len()).expect("a batch is flushed before 4 GiB");
        self.entries.push(Entry { partition, end });
    }

    /// Adds a record.
    pub fn push(&mut self, partition: PartitionId, value: &[u8]) {
        self.push_with(partition, |out| out.extend_from_slice(value));
    }

    /// Its records, in the order they were pushed.
    pub fn records(&self) -> impl Iterator<Item = RecordRef<'_>> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let range = start..entry.end as usize;
            start = range.end;
            RecordRef { partition: entry.partition, value: &self.bytes[range] }
        })
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The size of all records, bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}
