//! What is looked at, and what must be seen.

use log::{Clock, Error, Log, PartitionId, Position, Run};

use super::{Outcome, PARTITIONS, READER, Violation, World, now};
use crate::sim::model::Model;

impl World {
    /// A reader that stays follows the tail and misses nothing.
    pub(super) fn follow(&mut self) -> Outcome {
        let expires = self.expires();
        let running = self.running.as_mut().expect("asked only when it runs");
        let tail = match &mut running.tail {
            Some(tail) => tail,
            None => {
                let mut from = Vec::new();
                for partition in PARTITIONS {
                    let extent = running.log.extent(partition).unwrap();
                    let offset = extent.start + self.rng.below(extent.end - extent.start + 1);
                    from.push(Position { partition, offset });
                }
                running.tail.insert(running.log.read(&from).unwrap())
            }
        };
        for _ in 0..1 + self.rng.below(6) {
            let before = tail.positions();
            match now(tail.next(self.rng.below(1_000) as usize)) {
                Some(Ok(chunk)) => check_runs(&self.model, before, &chunk.runs)?,
                None => {
                    for at in before {
                        if at.offset != self.model.end(at.partition) {
                            return Err(Violation(format!("a reader waits at {at:?}, which is not the end")));
                        }
                    }
                    return Ok(());
                }
                Some(Err(Error::Expired { .. })) if expires => {
                    running.tail = None;
                    return Ok(());
                }
                Some(Err(Error::Io { .. } | Error::Full { .. })) if !self.disk.is_calm() => return Ok(()),
                Some(Err(error)) => return Err(Violation(format!("a reader at {before:?} met: {error}"))),
            }
        }
        Ok(())
    }

    fn expires(&self) -> bool {
        self.options.retention.max_age.is_some() || self.options.retention.max_bytes.is_some()
    }

    /// Extents, positions, times and some old records are what the model says.
    pub(super) fn look_back(&mut self) -> Outcome {
        let running = self.running.as_mut().expect("asked only when it runs");
        let partition = PARTITIONS[self.rng.below(3) as usize];
        let extent = running.log.extent(partition).unwrap();
        if extent.end != self.model.end(partition) {
            let end = self.model.end(partition);
            return Err(Violation(format!("{partition} ends at {} where {end} is durable", extent.end)));
        }
        for ((_, partition), tried) in &self.model.committed {
            let positions = running.log.committed(READER).unwrap();
            let told = positions.iter().find(|at| at.partition == *partition).map(|at| at.offset);
            if told != tried.sure {
                return Err(Violation(format!(
                    "{partition}: position {told:?}, committed was {:?}",
                    tried.sure
                )));
            }
        }
        let time_ms = self.clock.now_ms() - self.rng.below(3_000) as i64;
        match now(running.log.offset_at(partition, time_ms)).expect("nothing to wait for") {
            Ok(offset) => self.check_time(partition, offset, time_ms)?,
            Err(Error::Io { .. } | Error::Full { .. }) if !self.disk.is_calm() => {}
            Err(error) => return Err(Violation(format!("offset_at: {error}"))),
        }
        let from = extent.start + self.rng.below(extent.end - extent.start + 1);
        self.read_some(partition, from, 3).map(drop)
    }

    /// The record at `offset` is as young as asked for, the one before it is older.
    fn check_time(&mut self, partition: PartitionId, offset: u64, time_ms: i64) -> Outcome {
        let extent = self.running.as_ref().expect("it runs").log.extent(partition).unwrap();
        for (at, young) in [(Some(offset), true), (offset.checked_sub(1), false)] {
            let Some(at) = at.filter(|at| (extent.start..extent.end).contains(at)) else { continue };
            let Some(appended_ms) = self.read_some(partition, at, 1)? else { continue };
            if (appended_ms >= time_ms) != young {
                return Err(Violation(format!("{partition}: {offset} is not the first since {time_ms}")));
            }
        }
        Ok(())
    }

    /// Reads a few chunks; says when the first record was appended.
    fn read_some(
        &mut self,
        partition: PartitionId,
        from: u64,
        chunks: u64,
    ) -> Result<Option<i64>, Violation> {
        let running = self.running.as_mut().expect("asked only when it runs");
        let mut reader = running.log.read(&[Position { partition, offset: from }]).unwrap();
        let mut first = None;
        for _ in 0..chunks {
            let before = reader.positions();
            match now(reader.next(self.rng.below(2_000) as usize)) {
                None => break,
                Some(Ok(chunk)) => {
                    check_runs(&self.model, before, &chunk.runs)?;
                    first = first.or(Some(chunk.runs[0].records[0].appended_ms));
                }
                Some(Err(Error::Io { .. } | Error::Full { .. })) if !self.disk.is_calm() => break,
                Some(Err(error)) => {
                    return Err(Violation(format!("reading {partition} from {from}: {error}")));
                }
            }
        }
        Ok(first)
    }

    /// After opening: what was acknowledged is there, what else is there was on its way, and stays.
    pub(super) fn recovered(&mut self) -> Outcome {
        let running = self.running.as_mut().expect("just opened");
        for partition in PARTITIONS {
            let extent = running.log.extent(partition).unwrap();
            let mut reader = running.log.read(&[Position { partition, offset: extent.start }]).unwrap();
            let mut found = Vec::new();
            while (found.len() as u64) < extent.end - extent.start {
                match now(reader.next(10_000)) {
                    Some(Ok(chunk)) => {
                        found
                            .extend(chunk.runs.iter().flat_map(|run| &run.records).map(|r| r.value.to_vec()));
                    }
                    Some(Err(error)) => return Err(Violation(format!("{partition} after opening: {error}"))),
                    None => return Err(Violation(format!("{partition} ends before its end"))),
                }
            }
            self.model.recovered(partition, extent.start, found)?;
        }
        self.model.open.clear();
        self.refused.clear();
        let positions = running.log.committed(READER).unwrap();
        for ((_, partition), tried) in &mut self.model.committed {
            let told = positions.iter().find(|at| at.partition == *partition).map(|at| at.offset);
            if told != tried.sure && !told.is_some_and(|told| tried.maybe.contains(&told)) {
                return Err(Violation(format!(
                    "{partition}: position {told:?} after a crash, not {:?}",
                    tried.sure
                )));
            }
            tried.sure = told;
            tried.maybe.clear();
        }
        Ok(())
    }
}

fn check_runs(model: &Model, mut expected: Vec<Position>, runs: &[Run]) -> Outcome {
    for run in runs {
        let at = expected.iter_mut().find(|at| at.partition == run.partition);
        let at = at.ok_or_else(|| Violation(format!("nobody asked for {}", run.partition)))?;
        if at.offset != run.base {
            return Err(Violation(format!(
                "{}: offset {} came where {} was next",
                run.partition, run.base, at.offset
            )));
        }
        at.offset += run.records.len() as u64;
        model.check(run)?;
    }
    Ok(())
}
