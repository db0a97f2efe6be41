//! What the log holds, read by the log crate itself.

use std::path::Path;

use log::{EmbeddedLog, Lane, Log, Options, PartitionId, Position, Topic};

use crate::outcome::{Result, broken};

/// Calls `each` with every record of a topic's live lane, in order within each partition.
///
/// # Errors
/// The log does not open, or answers with an error where it should have data.
pub fn for_each(
    folder: &Path,
    options: Options,
    topic: Topic,
    mut each: impl FnMut(PartitionId, &[u8]) -> Result<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let log = match EmbeddedLog::open(folder, options) {
        Ok(log) => log,
        Err(error) => return broken(format!("the log does not open again: {error}")),
    };
    let mut left = 0;
    let mut from = Vec::new();
    for index in 0..log.partitions(topic) {
        let partition = PartitionId { topic, lane: Lane::Live, index };
        let extent = log.extent(partition)?;
        left += extent.end - extent.start;
        from.push(Position { partition, offset: extent.start });
    }
    let mut reader = log.read(&from)?;
    while left > 0 {
        let chunk = match runtime.block_on(reader.next(1 << 20)) {
            Ok(chunk) => chunk,
            Err(error) => return broken(format!("the log cannot be read: {error}")),
        };
        for run in chunk.runs {
            left -= run.records.len() as u64;
            for record in &run.records {
                each(run.partition, &record.value)?;
            }
        }
    }
    drop(reader);
    runtime.block_on(log.close())?;
    Ok(())
}
