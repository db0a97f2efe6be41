//! The last segment: what in it is certain, what is not, and what a crash has torn.

use std::io;

use super::{Adopted, Found, Recovery, SCAN_BYTES};
use crate::Result;
use crate::disk::DiskFile;
use crate::embedded::format::{FRAMES_START, Scan, Step, segment_name};
use crate::embedded::shared::fault;

/// The last segment, read from beginning to end.
pub(super) struct LastScan {
    /// In order; damage between them is left out.
    pub(super) frames: Vec<Adopted>,
    /// Where the frames of the last group begin among them.
    pub(super) last_group: usize,
    pub(super) end: u64,
    /// Nothing in the first group is missing.
    pub(super) born_whole: bool,
    /// Some durable bytes are no longer what was written.
    pub(super) damaged: bool,
}

impl Recovery<'_> {
    pub(super) fn scan_last(&self, last: &Found) -> Result<LastScan> {
        let name = segment_name(last.number);
        let run = || -> io::Result<LastScan> {
            let file = self.disk.open(&name)?;
            self.scan_to_the_end(&*file, last)
        };
        run().map_err(|error| fault(self.disk, "reading", &name, &error))
    }

    fn scan_to_the_end(&self, file: &dyn DiskFile, last: &Found) -> io::Result<LastScan> {
        let mut scan = Scan::new(file, self.seed, last.number, FRAMES_START..last.size, SCAN_BYTES);
        let mut frames: Vec<Adopted> = Vec::new();
        // Bad places that may be the torn end, and the frames behind the first of them.
        let mut doubts: Vec<u64> = Vec::new();
        let mut limbo: Vec<Adopted> = Vec::new();
        let mut end = FRAMES_START;
        let mut damaged = false;
        loop {
            match scan.step()? {
                Step::End => break,
                Step::Bad { from, .. } => doubts.push(from),
                Step::Frame(raw) => {
                    let durable_before = raw.head.group_start;
                    let was_doubtful = !doubts.is_empty();
                    doubts.retain(|&from| from >= durable_before && !self.sabotage.no_truncate());
                    limbo.push(Adopted::new(raw, self.partitions));
                    if was_doubtful && doubts.is_empty() {
                        damaged = true;
                        tracing::error!(segment = last.number, "the last segment has damage in its middle");
                    }
                    let settled = match doubts.first() {
                        Some(&doubt) => limbo.iter().take_while(|f| f.raw.head.position < doubt).count(),
                        None => limbo.len(),
                    };
                    frames.extend(limbo.drain(..settled));
                    end = frames.last().map_or(FRAMES_START, |frame| frame.raw.head.end());
                }
            }
        }
        if self.sabotage.no_truncate() {
            end = last.size;
        } else if end < last.size {
            tracing::info!(
                segment = last.number,
                end,
                size = last.size,
                "the torn end of a crash is cut off"
            );
        }
        let group = frames.last().map_or(0, |frame| frame.raw.head.group_start);
        let last_group = frames.partition_point(|frame| frame.raw.head.group_start < group);
        let birth_end = last.head.as_ref().map(|head| head.birth_end);
        let first = frames.first().map(|frame| frame.raw.head.position);
        let contiguous = first == Some(FRAMES_START)
            && frames.windows(2).all(|pair| {
                pair[0].raw.head.end() == pair[1].raw.head.position
                    || pair[1].raw.head.group_start > FRAMES_START
            });
        let reaches = birth_end.is_some_and(|birth_end| end >= birth_end);
        Ok(LastScan { frames, last_group, end, born_whole: contiguous && reaches, damaged })
    }
}
