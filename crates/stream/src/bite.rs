//! How much a turn takes: bytes of the log, windows to be computed again.

use std::collections::VecDeque;
use std::time::Duration;

use log::{Chunk, Reader, Run};

/// A bite: so much, between the least and the most, that it takes about one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bite {
    size: usize,
    range: (usize, usize),
    turn: Duration,
}

impl Bite {
    /// Of live data, bytes. Each turn has its costs, so it goes in large bites when there is much of it; but where a fleet comes
    /// back at once, whoever comes next waits for the turn.
    pub(crate) const LIVE: Self = Self::new((64 << 10, 4 << 20), Duration::from_millis(20));

    /// Of history, bytes: a live reading may have to wait for a turn that has begun.
    pub(crate) const BACKFILL: Self = Self::new((4 << 10, 512 << 10), Duration::from_millis(1));

    /// Of windows to be computed again, for which a live reading may have to wait just so.
    pub(crate) const REVISIONS: Self = Self::new((4, 512), Duration::from_millis(1));

    /// Of a trial, bytes: live data does not wait for the turn, but has to share processor and disk with it.
    pub(crate) const TRIAL: Self = Self::new((32 << 10, 2 << 20), Duration::from_millis(50));

    const fn new(range: (usize, usize), turn: Duration) -> Self {
        Self { size: range.0, range, turn }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Takes note of how long a turn took that was `done` large, where turns of `allowed` do no harm. Halfway to the size that would
    /// have taken just a turn, so that turns which follow one another are alike: while one is computed the one before is written.
    pub(crate) fn took(&mut self, done: usize, time: Duration, allowed: Duration) {
        let share = self.turn.max(allowed).as_secs_f64() / time.as_secs_f64().max(1e-6);
        let fits = (done as f64 * share) as usize;
        let size = (self.size + fits.clamp(self.size / 2, self.size * 3)) / 2;
        self.size = size.clamp(self.range.0, self.range.1);
    }
}

/// A reader whose chunks are handed on in bites: the log gives at least what was committed together, and in a flood that
/// is a lot.
pub(crate) struct Bites {
    reader: Box<dyn Reader>,
    /// Read and not yet handed on.
    rest: VecDeque<Run>,
}

impl Bites {
    pub(crate) fn of(reader: Box<dyn Reader>) -> Self {
        Self { reader, rest: VecDeque::new() }
    }

    /// The next records, at least one, about `bytes` at most. Cancel-safe, like [`Reader::next`].
    pub(crate) async fn next(&mut self, bytes: usize) -> log::Result<Chunk> {
        if self.rest.is_empty() {
            self.rest = self.reader.next(bytes).await?.runs.into();
        }
        let (mut runs, mut room) = (Vec::new(), bytes);
        while room > 0 {
            let Some(mut run) = self.rest.pop_front() else { break };
            let mut taken = 0;
            while room > 0 && taken < run.records.len() {
                room = room.saturating_sub(run.records[taken].value.len().max(1));
                taken += 1;
            }
            let records = run.records.split_off(taken);
            if !records.is_empty() {
                self.rest.push_front(Run {
                    partition: run.partition,
                    base: run.base + taken as u64,
                    records,
                });
            }
            runs.push(run);
        }
        Ok(Chunk { runs })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use log::{BoxFuture, Chunk, Lane, PartitionId, Reader, Record, Run, Topic};

    use super::Bites;

    struct Given(VecDeque<Chunk>);

    impl Reader for Given {
        fn positions(&self) -> Vec<log::Position> {
            Vec::new()
        }

        fn next(&mut self, _max_bytes: usize) -> BoxFuture<'_, log::Result<Chunk>> {
            Box::pin(std::future::ready(self.0.pop_front().ok_or(log::Error::Closed)))
        }
    }

    #[tokio::test]
    async fn bites_of_any_size_are_the_chunks_in_their_order() {
        let run = |index, base, count: usize| {
            let partition = PartitionId { topic: Topic::Raw, lane: Lane::Backfill, index };
            let records = (0..count).map(|n| Record { appended_ms: n as i64, value: vec![0; 10].into() });
            Run { partition, base, records: records.collect() }
        };
        for bytes in [1, 10, 25, 1000] {
            let chunks = [vec![run(0, 5, 3), run(1, 0, 4)], vec![run(0, 8, 1)]];
            let mut bites = Bites::of(Box::new(Given(chunks.map(|runs| Chunk { runs }).into())));
            let mut seen: Vec<(u16, u64)> = Vec::new();
            while let Ok(chunk) = bites.next(bytes).await {
                let count: usize = chunk.runs.iter().map(|run| run.records.len()).sum();
                assert!(count > 0 && count <= bytes.div_ceil(10), "{count} records for {bytes} bytes");
                for run in chunk.runs {
                    seen.extend(
                        (run.base..).zip(&run.records).map(|(offset, _)| (run.partition.index, offset)),
                    );
                }
            }
            assert_eq!(seen, [(0, 5), (0, 6), (0, 7), (1, 0), (1, 1), (1, 2), (1, 3), (0, 8)]);
        }
    }
}
