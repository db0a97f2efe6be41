//! The dispatcher's loop.

use std::sync::Arc;
use std::time::Duration;

use log::{Chunk, Lane, Log, PartitionId, Position, Topic};
use record::{Qos, Timestamp};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use wire::mqtt::session::{Outgoing, Progress};

use super::command::{Command, ConnRef, Delivery, Open, Opened, Release, SessionKey, ToWorker, WantRetained};
use super::message::Message;
use super::sessions::{Place, Present, Session, Sessions};
use crate::mqtt::Shared;
use crate::topics::{Kept, Matches, Outcome, Retained};

/// What one turn reads of the log.
const READ_BYTES: usize = 1 << 20;
/// Commands handled before the log has its turn again.
const COMMANDS: usize = 1024;
/// Retained topics looked at for one page: a subscription to everything must not hold up the others.
const PAGE_TOPICS: usize = 1024;
/// After an error of the log (retention overtook us, a disk is failing) it is tried again so much later.
const RETRY: Duration = Duration::from_millis(200);

/// The way to a worker. Unbounded; what goes through it is bounded by what the dispatcher reads in a turn and by
/// each connection's own limits, and the dispatcher waits for workers that fall behind.
#[derive(Clone, Debug)]
pub(crate) struct WorkerPort(pub(crate) UnboundedSender<ToWorker>);

impl WorkerPort {
    pub(crate) fn send(&self, order: ToWorker) {
        // A worker that is gone has no connections.
        let _ = self.0.send(order);
    }
}

/// See the module.
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    sessions: Sessions,
    retained: Retained,
    matches: Matches<SessionKey>,
    /// Deliveries of this turn, by worker.
    outbox: Vec<Vec<Delivery>>,
}

impl Dispatcher {
    /// Starts at the tail of the log with what `retained` holds.
    pub(crate) fn new(shared: Arc<Shared>, retained: Retained) -> Self {
        let outbox = (0..shared.config.workers).map(|_| Vec::new()).collect();
        Self { shared, sessions: Sessions::default(), retained, matches: Matches::new(), outbox }
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// When the log cannot be read at all.
    pub(crate) async fn run(mut self, mut inbox: UnboundedReceiver<Command>) -> Result<(), log::Error> {
        let mut reader = self.shared.log.read(&tail(&*self.shared.log)?)?;
        let mut commands = Vec::with_capacity(COMMANDS);
        loop {
            tokio::select! {
                biased;
                n = inbox.recv_many(&mut commands, COMMANDS) => {
                    if n == 0 {
                        return Ok(());
                    }
                    for command in commands.drain(..) {
                        if matches!(command, Command::Stop) {
                            return Ok(());
                        }
                        self.obey(command);
                    }
                }
                read = reader.next(READ_BYTES) => match read {
                    Ok(chunk) => self.dispatch(chunk),
                    Err(log::Error::Closed) => return Ok(()),
                    Err(error) => {
                        tracing::error!(%error, "the dispatcher cannot read the log; it goes on from the tail");
                        tokio::time::sleep(RETRY).await;
                        reader = self.shared.log.read(&tail(&*self.shared.log)?)?;
                    }
                },
            }
            self.send_out();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open(open) => self.open(open),
            Command::Detach(key, conn) => self.detach(key, conn),
            Command::Release(release) => self.release(*release),
            Command::Retained(want) => self.send_retained(*want),
            Command::Direct(message) => {
                self.shared.direct.sub(message.size_bytes());
                self.route(&message);
            }
            Command::Stop => {}
        }
    }

    fn open(&mut self, open: Box<Open>) {
        let Some(key) = self.sessions.find(&open.tenant, &open.client_id) else {
            let session = Session {
                tenant: open.tenant.clone(),
                client_id: Arc::clone(&open.client_id),
                place: Place::Connected(open.conn),
                next: None,
            };
            let key = self.sessions.insert(session);
            return self.tell(open.conn, Opened { session: Some(key), stored: None });
        };
        let session = self.sessions.get_mut(key).expect("it was just found");
        match &session.place {
            Place::Away(_) => {
                let Place::Away(durable) = std::mem::replace(&mut session.place, Place::Connected(open.conn))
                else {
                    return;
                };
                let tenant = session.tenant.clone();
                if open.clean {
                    for subscription in &durable.subscriptions {
                        self.shared.subscriptions.remove(tenant.as_str(), &subscription.filter, key);
                    }
                }
                self.tell(open.conn, Opened { session: Some(key), stored: Some(*durable) });
            }
            Place::Connected(_) | Place::Leaving(_) => {
                if let Place::Connected(conn) = session.place {
                    let order = ToWorker::TakeOver(conn, open.clean);
                    self.shared.to_worker(conn.worker.into(), order);
                }
                if let Some(earlier) = session.next.replace(open) {
                    // Two take over at once: the later one wins.
                    self.tell(earlier.conn, Opened { session: None, stored: None });
                }
            }
        }
    }

    fn tell(&self, conn: ConnRef, opened: Opened) {
        self.shared.to_worker(conn.worker.into(), ToWorker::Opened(conn, Box::new(opened)));
    }

    fn detach(&mut self, key: SessionKey, conn: ConnRef) {
        self.send_out(); // What was matched before goes before the answer.
        if let Some(session) = self.sessions.get_mut(key) {
            session.place = Place::Leaving(Vec::new());
        }
        self.shared.to_worker(conn.worker.into(), ToWorker::Detached(conn));
    }

    fn release(&mut self, release: Release) {
        let Release { session: key, mut durable, will } = release;
        let Some(session) = self.sessions.get_mut(key) else { return };
        let next = session.next.take();
        let tenant = session.tenant.clone();
        if durable.expiry_s == 0 {
            for subscription in &durable.subscriptions {
                self.shared.subscriptions.remove(tenant.as_str(), &subscription.filter, key);
            }
            self.sessions.remove(key);
        } else {
            if let Place::Leaving(missed) = &mut session.place {
                durable.outgoing.extend(missed.drain(..));
            }
            session.place = Place::Away(Box::new(durable));
        }
        let _ = will;
        if let Some(open) = next {
            self.open(open);
        }
    }

    fn send_retained(&mut self, mut want: WantRetained) {
        let now = Timestamp::now();
        let page = self.retained.matching(
            want.tenant.as_str(),
            &want.filter,
            want.from.as_deref(),
            PAGE_TOPICS,
            now.millis(),
        );
        let ids: Box<[u32]> = if want.id == 0 { Box::default() } else { Box::new([want.id]) };
        let delivery = |kept: &Arc<Kept>| {
            let message = Message::new(kept.envelope.clone(), Some(kept.position)).ok()?;
            Some(Delivery {
                conn: want.conn,
                message: Arc::new(message),
                qos: want.qos.min(kept.qos),
                retain: true, // MQTT-3.3.1-8
                ids: ids.clone(),
                logged: true,
            })
        };
        let messages: Vec<Delivery> = page.messages.iter().filter_map(delivery).collect();
        let conn = want.conn;
        let next = page.next.map(|from| {
            want.from = Some(from);
            Box::new(want)
        });
        if messages.is_empty() && next.is_none() {
            return;
        }
        self.shared.to_worker(conn.worker.into(), ToWorker::Retained(messages, conn, next));
    }

    fn dispatch(&mut self, chunk: Chunk) {
        for run in chunk.runs {
            for (record, offset) in run.records.into_iter().zip(run.base..) {
                let position = Position { partition: run.partition, offset };
                let Ok(message) = Message::new(record.value, Some(position)) else {
                    tracing::error!(%position.partition, offset, "a record of the log is no envelope; skipped");
                    continue;
                };
                if message.envelope().retain {
                    self.retain(&message, position);
                }
                self.route(&Arc::new(message));
            }
        }
    }

    fn retain(&mut self, message: &Message, position: Position) {
        match self.retained.update(position, message.bytes()) {
            Ok(Outcome::Refused) => {
                tracing::warn!("a tenant retains as much as it may; the message is not retained")
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a retained message cannot be read"),
        }
        let retained = self.retained.len() as u64;
        self.shared.metrics.retained.store(retained, std::sync::atomic::Ordering::Relaxed);
    }

    /// Gives a message to everybody who subscribed.
    fn route(&mut self, message: &Arc<Message>) {
        let envelope = message.envelope();
        if self.shared.subscriptions.has_none(envelope.tenant) {
            return;
        }
        let publisher = envelope.origin.map_or("", |origin| origin.client_id);
        let audience = Present { sessions: &self.sessions, publisher };
        self.shared.subscriptions.matching(
            envelope.tenant,
            envelope.topic,
            envelope.qos,
            &audience,
            &mut self.matches,
        );
        for found in self.matches.drain() {
            let Some(session) = self.sessions.get_mut(found.subscriber) else { continue };
            let qos = found.qos.min(envelope.qos);
            let retain = found.retain_as_published && envelope.retain; // MQTT-3.3.1-12, -13
            let ids: Box<[u32]> = found.ids.as_slice().into();
            let outgoing = |position| Outgoing {
                message: position,
                qos,
                retain,
                subscription_ids: ids.clone(),
                progress: Progress::Queued,
            };
            match (&mut session.place, message.position) {
                (Place::Connected(conn), _) => {
                    let message = Arc::clone(message);
                    let conn = *conn;
                    let delivery = Delivery { conn, message, qos, retain, ids, logged: false };
                    self.outbox[usize::from(conn.worker)].push(delivery);
                }
                (Place::Leaving(missed), Some(position)) if qos != Qos::AtMostOnce => {
                    missed.push(outgoing(position));
                }
                (Place::Away(durable), Some(position)) if qos != Qos::AtMostOnce => {
                    if durable.outgoing.len() < self.shared.config.limits.queued_messages {
                        durable.outgoing.push_back(outgoing(position));
                    } else {
                        self.shared.metrics.shared().dropped_queue_full.add_shared(1);
                    }
                }
                // QoS 0 is for those who are there.
                _ => {}
            }
        }
    }

    fn send_out(&mut self) {
        for (worker, deliveries) in self.outbox.iter_mut().enumerate() {
            if !deliveries.is_empty() {
                self.shared.to_worker(worker, ToWorker::Deliver(std::mem::take(deliveries)));
            }
        }
    }
}

/// The end of every partition that holds messages.
fn tail(log: &dyn Log) -> Result<Vec<Position>, log::Error> {
    let mut positions = Vec::new();
    for topic in [Topic::Messages, Topic::Raw] {
        for lane in [Lane::Live, Lane::Backfill] {
            for index in 0..log.partitions(topic) {
                let partition = PartitionId { topic, lane, index };
                positions.push(Position { partition, offset: log.extent(partition)?.end });
            }
        }
    }
    Ok(positions)
}
