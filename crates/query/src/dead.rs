//! Dead letters, found by SQL and shown one by one.

use std::fmt;

use record::{Lane, TenantId};
use series::{DeadMessage, SeriesReader, Source};

use crate::{Cell, Error, Limits, Result, Sql, Table};

/// The columns of a list: all of the table but the payload, which may be large.
const LISTED: &str = "id, first_at, last_at, attempts, device_id, topic, stage, lost, reading, reason";

/// The name of a dead message: where it stands in the log. As text `topic-lane-partition-offset`, such as
/// `0-live-3-17`; the same as the column `id` of `dlq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadId {
    /// The partition.
    pub source: Source,
    /// The offset.
    pub offset: u64,
}

impl DeadId {
    /// Reads a name; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let topic = parts.next()?.parse().ok()?;
        let lane = match parts.next()? {
            "live" => Lane::Live,
            "backfill" => Lane::Backfill,
            _ => return None,
        };
        let source = Source { topic, lane, partition: parts.next()?.parse().ok()? };
        let id = Self { source, offset: parts.next()?.parse().ok()? };
        // One name for one message: no leading zeros, no plus sign, nothing after it.
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for DeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source { topic, lane, partition } = self.source;
        let lane = if lane == Lane::Live { "live" } else { "backfill" };
        write!(f, "{topic}-{lane}-{partition}-{}", self.offset)
    }
}

/// Dead letters of a tenant, those for which the SQL condition holds, the latest first.
pub(crate) fn list(
    sql: &dyn Sql,
    tenant: &TenantId,
    condition: Option<&str>,
    limit: u32,
    limits: Limits,
) -> Result<Table> {
    let condition = wrapped(condition);
    let statement =
        format!("SELECT {LISTED} FROM dlq {condition} ORDER BY arrived_at DESC, id, reading LIMIT {limit}");
    sql.run(tenant, &statement, &[], limits)
}

/// The names of a tenant's dead messages for which the SQL condition holds, in the order of the log.
pub(crate) fn find(
    sql: &dyn Sql,
    tenant: &TenantId,
    condition: Option<&str>,
    limit: u32,
    limits: Limits,
) -> Result<Vec<DeadId>> {
    let condition = wrapped(condition);
    let statement = format!(
        "SELECT id FROM dlq {condition} GROUP BY id, lane, partition, \"offset\"
         ORDER BY lane DESC, partition, \"offset\" LIMIT {limit}"
    );
    let table = sql.run(tenant, &statement, &[], limits)?;
    let names = table.rows().iter().map(|row| match row.first() {
        Some(Cell::Text(text)) => DeadId::parse(text),
        _ => None,
    });
    let names: Option<Vec<_>> = names.collect();
    names.ok_or_else(|| Error::Statement("the condition must be one over the columns of dlq".into()))
}

/// The condition as a clause of its own: whatever it says, it is no more than part of a SELECT that the engine
/// guards as any other.
fn wrapped(condition: Option<&str>) -> String {
    condition.map(|condition| format!("WHERE (\n{condition}\n)")).unwrap_or_default()
}

/// A dead message, if it is the tenant's.
pub(crate) fn message(
    store: &dyn SeriesReader,
    tenant: &TenantId,
    id: DeadId,
) -> Result<Option<DeadMessage>> {
    let found = store.dead_message(id.source, id.offset)?;
    Ok(found.filter(|message| message.tenant == tenant.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["0-live-3-17", "255-backfill-65535-18446744073709551615"] {
            assert_eq!(DeadId::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
        }
        for text in
            ["", "0-live-3", "0-dead-3-17", "256-live-0-0", "0-live-3-017", "0-live-3-17-1", "0-live-+3-17"]
        {
            assert_eq!(DeadId::parse(text), None, "{text}");
        }
    }
}
