//! Takes deliveries from the outbox to their channels.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use record::{TenantId, Timestamp};
use tokio::task::{Id, JoinSet};

use super::{Failure, Ticket};
use crate::alerts::{Alerts, Attempt};
use crate::channel::Channels;

/// How long at most until the outbox is looked at again. A clock that is set must not hold up what is due.
const LOOK_EVERY_MS: i64 = 1000;

/// A clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Random numbers, 0 to 1.
pub type Chance = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Takes deliveries from the outbox to their channels, at least once each. One per installation.
pub struct Courier {
    alerts: Arc<Alerts>,
    channels: Arc<Channels>,
    now: Clock,
    chance: Chance,
}

/// What became of a ticket.
enum Outcome {
    Attempted(Box<Attempt>),
    /// Its delivery cannot be read now, or (`false`) is there no longer.
    NotRead(Ticket, bool),
}

impl Courier {
    /// Between an outbox and channels.
    #[must_use]
    pub const fn new(alerts: Arc<Alerts>, channels: Arc<Channels>, now: Clock, chance: Chance) -> Self {
        Self { alerts, channels, now, chance }
    }

    /// Delivers until `stop` resolves. What is under way then is dropped, and made again after the next start with the same key.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut under_way = JoinSet::new();
        let mut tickets = HashMap::new();
        loop {
            let now_ms = (self.now)().millis();
            let (new, next_ms) = self.alerts.tickets(now_ms);
            // What is due and was not given may not be tried before something under way ends: time alone does not help.
            let next_ms = next_ms.filter(|at_ms| *at_ms > now_ms || !new.is_empty());
            for ticket in new {
                let id = under_way.spawn(self.attempt(ticket.clone())).id();
                tickets.insert(id, ticket);
            }
            let wait_ms = next_ms.map_or(LOOK_EVERY_MS, |at_ms| (at_ms - now_ms).clamp(0, LOOK_EVERY_MS));
            let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
            tokio::select! {
                () = &mut stop => return,
                Some(first) = under_way.join_next_with_id(), if !under_way.is_empty() => {
                    let mut outcomes = vec![self.outcome(&mut tickets, first)];
                    while let Some(more) = under_way.try_join_next_with_id() {
                        outcomes.push(self.outcome(&mut tickets, more));
                    }
                    self.write(outcomes.into_iter().flatten().collect()).await;
                }
                () = self.alerts.woken() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn attempt(&self, ticket: Ticket) -> impl Future<Output = Outcome> + Send + 'static {
        let (alerts, channels) = (Arc::clone(&self.alerts), Arc::clone(&self.channels));
        let (now, chance) = (Arc::clone(&self.now), Arc::clone(&self.chance));
        async move {
            let asked = ticket.clone();
            let read = tokio::task::spawn_blocking(move || alerts.delivery_for(&asked)).await;
            let delivery = match read {
                Ok(Ok(Some(delivery))) => delivery,
                Ok(Ok(None)) => return Outcome::NotRead(ticket, false),
                Ok(Err(error)) => {
                    tracing::error!(%error, delivery = ticket.id, "a delivery cannot be read: it waits");
                    return Outcome::NotRead(ticket, true);
                }
                Err(_) => return Outcome::NotRead(ticket, true),
            };
            let result = match TenantId::parse(&ticket.tenant) {
                Ok(tenant) => channels.deliver(&tenant, &delivery, now()).await,
                Err(error) => Err(Failure::lasting(error.to_string())),
            };
            Outcome::Attempted(Box::new(Attempt { ticket, delivery, result, jitter: chance() }))
        }
    }

    fn outcome(
        &self,
        tickets: &mut HashMap<Id, Ticket>,
        joined: Result<(Id, Outcome), tokio::task::JoinError>,
    ) -> Option<Outcome> {
        match joined {
            Ok((id, outcome)) => {
                tickets.remove(&id);
                Some(outcome)
            }
            Err(error) => {
                let ticket = tickets.remove(&error.id())?;
                tracing::error!(%error, delivery = ticket.id, "a delivery broke off: it waits");
                Some(Outcome::NotRead(ticket, true))
            }
        }
    }

    async fn write(&self, outcomes: Vec<Outcome>) {
        let now = (self.now)();
        let mut attempts = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Attempted(attempt) => attempts.push(*attempt),
                Outcome::NotRead(ticket, is_there) => self.alerts.put_back(&ticket, is_there, now.millis()),
            }
        }
        if attempts.is_empty() {
            return;
        }
        let alerts = Arc::clone(&self.alerts);
        let written = tokio::task::spawn_blocking(move || alerts.attempted(attempts, now)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "what became of deliveries cannot be written: they are made again");
        }
    }
}
