//! What became of messages.

use metadata::{Change, Table};
use record::{TenantId, Timestamp};

use super::Alerts;
use super::onset::unknown;
use super::tell::test_body;
use crate::alert::How;
use crate::counters::Tally;
use crate::id::{AlertId, backwards};
use crate::message::Message;
use crate::outbox::{Delivery, Failure, Outcome, Receipt, Ticket};
use crate::people::Address;
use crate::rows::{put, read};
use crate::{Error, Result};

/// Most deliveries that are shown of one alert.
const SHOWN: usize = 500;
/// How long a delivery rests whose outcome could not be written, milliseconds.
const REST_MS: i64 = 1000;

/// An attempt that was made.
pub(crate) struct Attempt {
    pub(crate) ticket: Ticket,
    pub(crate) delivery: Delivery,
    pub(crate) result: std::result::Result<Receipt, Failure>,
    /// A random number, 0 to 1.
    pub(crate) jitter: f64,
}

impl Alerts {
    /// The messages about an alert and what became of them, to whom and by which way. Of one that was told in a digest, the
    /// digest's.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Metadata`], [`Error::Row`].
    pub fn deliveries(&self, tenant: &TenantId, id: &AlertId) -> Result<Vec<Delivery>> {
        let alert = self.get(tenant, id)?.ok_or_else(|| unknown("alert", id.as_str()))?;
        let mut all = self.deliveries_of(tenant, id.as_str())?;
        for told in alert.told.iter().filter(|told| told.how != How::Single) {
            let of_message = self.deliveries_of(tenant, &told.message)?;
            let digest = of_message.iter().find(|delivery| delivery.outcome == Outcome::Moved);
            if let Some(digest) = digest.and_then(|moved| moved.said.clone()) {
                all.extend(self.deliveries_of(tenant, &digest)?);
            }
            all.extend(of_message);
        }
        all.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        all.truncate(SHOWN);
        Ok(all)
    }

    /// Those whose id begins with `name` and a dot.
    fn deliveries_of(&self, tenant: &TenantId, name: &str) -> Result<Vec<Delivery>> {
        let prefix = format!("{name}.");
        let (mut found, mut failed) = (Vec::new(), None);
        for table in [Table::Outbox, Table::Deliveries] {
            self.metadata.scan_after(table, tenant.as_str(), &prefix, &mut |row| {
                if !row.id.starts_with(&prefix) || found.len() == SHOWN {
                    return false;
                }
                match read::<Delivery>(table, &row) {
                    Ok(delivery) => found.push(Delivery { id: row.id, ..delivery }),
                    Err(error) => failed = Some(error),
                }
                failed.is_none()
            })?;
        }
        failed.map_or(Ok(found), Err)
    }

    /// A message for the test button: as the others, but in no outbox. `address` is tried with
    /// [`crate::Channels::deliver`].
    ///
    /// # Errors
    /// [`Error::Refused`] when the address is none.
    pub fn test_delivery(&self, tenant: &TenantId, address: &Address, now: Timestamp) -> Result<Delivery> {
        address.check().map_err(|error| Error::Refused { what: "address", reason: error.to_string() })?;
        let body = test_body(tenant, format!("{}-test", backwards(now)), now);
        let message = Message { person: "test".into(), channels: [].into(), body };
        Ok(self.delivery(tenant, &message, address.kind(), address))
    }

    /// Resolves when there may be something new to deliver.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Deliveries that are to be tried now, and when the next one is due, milliseconds since 1970. In memory.
    pub(crate) fn tickets(&self, now_ms: i64) -> (Vec<Ticket>, Option<i64>) {
        let mut queue = self.queue.lock();
        let tickets = queue.take(now_ms);
        (tickets, queue.next_ms())
    }

    /// What a ticket is for; `None`: it is there no longer.
    pub(crate) fn delivery_for(&self, ticket: &Ticket) -> Result<Option<Delivery>> {
        let row = self.metadata.get(Table::Outbox, &ticket.tenant, &ticket.id)?;
        let delivery = row.map(|row| read::<Delivery>(Table::Outbox, &row)).transpose()?;
        Ok(delivery.map(|delivery| Delivery { id: ticket.id.clone(), ..delivery }))
    }

    /// A delivery that cannot be looked at now rests; one that is there no longer is forgotten.
    pub(crate) fn put_back(&self, ticket: &Ticket, is_there: bool, now_ms: i64) {
        let mut queue = self.queue.lock();
        if is_there {
            queue.add(&ticket.destination, now_ms + REST_MS, &ticket.tenant, &ticket.id);
        }
        queue.done(ticket, false);
    }

    /// Writes what became of deliveries, in one commit.
    ///
    /// # Errors
    /// [`Error::Metadata`]: they are tried again, with the same keys.
    pub(crate) fn attempted(&self, attempts: Vec<Attempt>, now: Timestamp) -> Result<()> {
        let now_ms = now.millis();
        let (mut changes, mut tally, mut after) = (Vec::new(), Tally::default(), Vec::new());
        for Attempt { ticket, mut delivery, result, jitter } in attempts {
            delivery.tried(&result, self.settings.attempts, now_ms, jitter);
            let tenant = ticket.tenant.as_str();
            let pending = delivery.outcome == Outcome::Pending;
            if pending {
                changes.push(put(Table::Outbox, tenant, &ticket.id, &delivery));
            } else {
                let (tenant, id) = (ticket.tenant.clone(), ticket.id.clone());
                changes.push(Change::Delete { table: Table::Outbox, tenant, id });
                changes.push(put(Table::Deliveries, &ticket.tenant, &ticket.id, &delivery));
            }
            match delivery.outcome {
                Outcome::Delivered => tally.delivered += 1,
                Outcome::Pending => tally.retried += 1,
                Outcome::Failed | Outcome::Moved => tally.failed += 1,
            }
            after.push((ticket, pending.then_some(delivery.next_attempt_ms), result.is_err()));
        }
        let written = self.metadata.commit(&changes);
        let mut queue = self.queue.lock();
        for (ticket, next_ms, has_failed) in &after {
            let next_ms = if written.is_ok() { *next_ms } else { Some(now_ms + REST_MS) };
            if let Some(next_ms) = next_ms {
                queue.add(&ticket.destination, next_ms, &ticket.tenant, &ticket.id);
            }
            queue.done(ticket, *has_failed);
        }
        drop(queue);
        written?;
        self.counters.add(tally);
        Ok(())
    }
}
