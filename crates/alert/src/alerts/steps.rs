//! Steps in the life of alerts wait, in the commit that took them, until they are in the topic `iot-alerts`.

use metadata::{Change, Metadata, Table};

use super::Alerts;
use crate::Result;
use crate::rows::{Work, put, read};
use crate::step::AlertStep;

/// Before the numbers of rows of steps, in [`Table::AlertState`]. A row has the steps of one commit, under the number of the first.
const STEPS: &str = "step/";
/// The row that has the next number.
const NEXT: &str = "steps";
/// Most steps that wait, about 60 MB. While the log cannot be written for so long that there are more, further steps are left out of the topic,
/// counted; alerts are kept and told all the same.
pub const STEPS_WAITING: usize = 100_000;
/// Most rows that are published at once: each has a batch of at most a thousand steps.
const ROWS_AT_ONCE: usize = 16;

/// Where the numbering stands.
#[derive(Debug)]
pub(super) struct Numbering {
    next: u64,
    waiting: usize,
    /// A commit failed, and may have been written all the same.
    is_doubtful: bool,
}

/// Steps that wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waiting {
    /// In their order.
    pub steps: Vec<AlertStep>,
    rows: Vec<String>,
}

impl Waiting {
    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Numbering {
    pub(super) fn read(metadata: &dyn Metadata) -> Result<Self> {
        let next = metadata.get(Table::AlertState, "", NEXT)?;
        let next = next.map(|row| read::<u64>(Table::AlertState, &row)).transpose()?.unwrap_or(1);
        let mut waiting = 0;
        metadata.scan_after(Table::AlertState, "", STEPS, &mut |row| {
            let is_one = row.id.starts_with(STEPS);
            // One that cannot be read is told when it is to be published.
            waiting += read::<Vec<AlertStep>>(Table::AlertState, &row).map_or(0, |steps| steps.len());
            is_one
        })?;
        Ok(Self { next, waiting, is_doubtful: false })
    }
}

impl Alerts {
    /// Steps that are not known to be in the topic yet, the earliest first.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`].
    pub fn steps(&self) -> Result<Waiting> {
        let mut waiting = Waiting::default();
        self.metadata.scan_after(Table::AlertState, "", STEPS, &mut |row| {
            if !row.id.starts_with(STEPS) || waiting.rows.len() == ROWS_AT_ONCE {
                return false;
            }
            match read::<Vec<AlertStep>>(Table::AlertState, &row) {
                Ok(mut steps) => waiting.steps.append(&mut steps),
                // It stays unreadable, and must not keep the others.
                Err(error) => tracing::error!(%error, "steps of alerts are not in the topic"),
            }
            waiting.rows.push(row.id);
            true
        })?;
        Ok(waiting)
    }

    /// These are in the topic. After a crash before this they are published again, with the same numbers.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`].
    pub fn published(&self, waiting: Waiting) -> Result<()> {
        let gone = |id: String| Change::Delete { table: Table::AlertState, tenant: String::new(), id };
        let changes: Vec<Change> = waiting.rows.into_iter().map(gone).collect();
        self.metadata.commit(&changes)?;
        let mut numbering = self.numbering.lock();
        numbering.waiting = numbering.waiting.saturating_sub(waiting.steps.len());
        Ok(())
    }

    /// Resolves when there may be steps to publish.
    pub async fn stepped(&self) {
        self.stepped.notified().await;
    }

    /// Puts the steps of a call into its commit. Called with `changing` held. Returns how many, and the number of the next.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`], [`crate::Error::Row`].
    pub(super) fn number(&self, work: &mut Work<'_>) -> Result<(usize, u64)> {
        let mut numbering = self.numbering.lock();
        if numbering.is_doubtful {
            *numbering = Numbering::read(&*self.metadata)?;
        }
        let (first, mut steps) = (numbering.next, std::mem::take(&mut work.steps));
        if numbering.waiting + steps.len() > STEPS_WAITING {
            work.tally.unpublished += steps.len() as u64;
            tracing::error!(
                steps = steps.len(),
                "too many steps of alerts wait: some are left out of the topic"
            );
            steps.clear();
        }
        for (number, step) in (first..).zip(&mut steps) {
            step.seq = number;
        }
        let next = first + steps.len() as u64;
        if !steps.is_empty() {
            work.changes.push(put(Table::AlertState, "", &format!("{STEPS}{first:020}"), &steps));
            work.changes.push(put(Table::AlertState, "", NEXT, &next));
        }
        Ok((steps.len(), next))
    }

    /// The commit failed; it may have been written all the same.
    pub(super) fn not_numbered(&self) {
        self.numbering.lock().is_doubtful = true;
    }

    /// The commit succeeded.
    pub(super) fn numbered(&self, (count, next): (usize, u64)) {
        let mut numbering = self.numbering.lock();
        numbering.next = next;
        numbering.waiting += count;
        drop(numbering);
        if count > 0 {
            self.stepped.notify_one();
        }
    }
}
