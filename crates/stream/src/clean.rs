//! Clean, enriched readings as records of `Topic::Clean`: for readers of their own, such as training or export. The form of
//! a record is `record::CleanRecord` (`docs/formats/clean.md`).

use std::collections::BTreeMap;
use std::ops::Range;

use log::{Batch, Lane, Log, PartitionId, Position, Topic};
use record::{CleanSource, Readings, TenantId, ValueRef, encode_clean};
use tokio::runtime::Handle;

use crate::enrich::Clean;
use crate::partitions;

/// A clean record gets no larger than this by much, bytes: what a reader takes at a time is bounded, and a message
/// of 16 MiB may become larger than a record of the log may be.
const PART_BYTES: usize = 1 << 20;

/// Records of one append to the log, bytes, about. A turn of devices with many facts may have many times as much.
const APPENDED_BYTES: usize = 8 << 20;

/// What a reading takes beside its texts, bytes, at most: a moment of its own, and its value.
const READING_BYTES: usize = 64;

/// How far the rows go that fit into one record, at least one.
pub(crate) fn end_of_part(readings: &Readings, rows: Range<usize>) -> usize {
    let most_names = rows.len() * (READING_BYTES + record::limits::METRIC_NAME_BYTES);
    let has_texts = readings.kind_column()[rows.clone()].contains(&record::ValueKind::Text);
    if most_names <= PART_BYTES && !has_texts {
        return rows.end;
    }
    let mut bytes = 0;
    for row in rows.clone() {
        let text = match readings.value(row) {
            Some(ValueRef::Text(text)) => text.len(),
            _ => 0,
        };
        bytes += READING_BYTES + text + readings.metric_name(readings.metric_column()[row]).len();
        if bytes > PART_BYTES && row > rows.start {
            return row;
        }
    }
    rows.end
}

/// Adds clean records of a turn to what is appended to the log, as many as it takes at once, and returns the others.
pub(crate) fn records<'c>(
    log: &dyn Log,
    clean: &'c [Clean],
    readings: &BTreeMap<TenantId, Readings>,
    out: &mut Batch,
) -> &'c [Clean] {
    let count = log.partitions(Topic::Clean);
    let mut rest = clean;
    while let Some((Clean { source, tenant, rows, facts }, others)) = rest.split_first()
        && out.size_bytes() < APPENDED_BYTES
    {
        let readings = readings.get(tenant).expect("clean rows are rows of their turn");
        // Not by hash: so the records of one source stand in one partition, in order, whatever the counts are.
        let partition =
            PartitionId { topic: Topic::Clean, lane: source.lane, index: source.partition % count };
        out.push_with(partition, |out| {
            encode_clean(*source, tenant.as_str(), facts, readings, rows.clone(), out);
        });
        rest = others;
    }
    rest
}

/// Where the clean topic is ahead of the store: of each lane, the partitions and the offsets up to which it has records. There
/// is something where a turn had been appended and the process ended before its commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owed(BTreeMap<(u16, u8), u64>);

impl Owed {
    /// Looks at the ends of the topic's partitions. Blocks; must be called within a tokio runtime, on a thread that may.
    pub(crate) fn of(log: &dyn Log) -> log::Result<Self> {
        let mut owed = Self::default();
        for lane in [Lane::Live, Lane::Backfill] {
            for partition in partitions(log, Topic::Clean, lane) {
                if let Some(source) = last(log, partition)? {
                    owed.0.insert((source.partition, source.lane as u8), source.offset + 1);
                }
            }
        }
        Ok(owed)
    }

    /// The lane that must be read first: that of the turn that was under way. Read after the other, some of its readings
    /// could be found to be duplicates of that lane's, and stand in the topic twice under different names.
    pub(crate) fn lane(&self, next: impl Fn(u16, Lane) -> Option<u64>) -> Option<Lane> {
        let is_owed = |lane: Lane| {
            let of_lane = self.0.iter().filter(|((_, of), _)| *of == lane as u8);
            of_lane.into_iter().any(|(&(partition, _), &to)| next(partition, lane).is_some_and(|at| at < to))
        };
        [Lane::Backfill, Lane::Live].into_iter().find(|&lane| is_owed(lane))
    }
}

/// What the last record of a partition was made from. Records that cannot be read are passed over: nothing hangs on them.
fn last(log: &dyn Log, partition: PartitionId) -> log::Result<Option<CleanSource>> {
    let extent = log.extent(partition)?;
    if extent.end <= extent.start {
        return Ok(None);
    }
    let mut reader = log.read(&[Position { partition, offset: extent.end - 1 }])?;
    let chunk = match Handle::current().block_on(reader.next(1)) {
        Ok(chunk) => chunk,
        Err(error @ log::Error::Closed) => return Err(error),
        Err(error) => {
            tracing::warn!(%partition, %error, "the last clean record cannot be read");
            return Ok(None);
        }
    };
    let last = chunk.runs.iter().flat_map(|run| &run.records).next_back();
    Ok(last.and_then(|record| CleanSource::decode(&record.value).ok()))
}
