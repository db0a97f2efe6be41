//! Messages on their way to the client, as its socket takes them.

use std::sync::Arc;

use log::Position;
use wire::mqtt::session::{Outgoing, Progress};

use super::{Conn, Phase};
use crate::dispatch::{Command, Delivery, Message, WantRetained};
use crate::mqtt::shell::Feed;
use crate::mqtt::worker::Worker;

impl Conn {
    /// Takes a message of the dispatcher.
    pub(in crate::mqtt) fn deliver(&mut self, delivery: Delivery, worker: &Worker) {
        let Phase::Live(live) = &mut self.phase else { return };
        let Some(position) = delivery.message.position.filter(|_| delivery.qos != record::Qos::AtMostOnce)
        else {
            let _ = live.call(worker, self.key, &mut self.output, |machine, shell| {
                if machine.is_open() {
                    shell.deliver_qos0(&delivery, |topic| machine.name_topic(topic));
                }
                Ok(())
            });
            return;
        };
        let outgoing = Outgoing {
            message: position,
            qos: delivery.qos,
            retain: delivery.retain,
            subscription_ids: delivery.ids,
            progress: Progress::Queued,
        };
        let _ = live.call(worker, self.key, &mut self.output, |machine, shell| {
            shell.keep_body(&delivery.message);
            machine.deliver(outgoing, delivery.logged, shell);
            Ok(())
        });
    }

    /// Takes retained messages, to be sent as the socket takes them.
    pub(in crate::mqtt) fn retained(
        &mut self,
        messages: Vec<Delivery>,
        next: Option<Box<WantRetained>>,
        worker: &Worker,
    ) {
        let Phase::Live(live) = &mut self.phase else { return };
        let feed: &mut Feed = live.side.feed.get_or_insert_default();
        feed.queue.extend(messages);
        feed.next.extend(next.map(|want| *want));
        self.make_room(worker);
    }

    /// Bodies were read from the log; if the one that was wanted is not among them, it is not there any more.
    pub(in crate::mqtt) fn bodies(&mut self, wanted: Position, bodies: Vec<Arc<Message>>, worker: &Worker) {
        let Phase::Live(live) = &mut self.phase else { return };
        live.side.fetching = None;
        if bodies.iter().all(|message| message.position != Some(wanted)) {
            live.side.gone = Some(wanted);
        }
        for message in bodies.into_iter().rev() {
            live.side.bodies_bytes += message.size_bytes();
            live.side.bodies.push_front(message);
        }
        self.make_room(worker);
    }

    /// Writes, and goes on with what waited for room.
    pub(super) fn go_on(&mut self, worker: &Worker) {
        self.flush(worker);
        let waits = match &self.phase {
            Phase::Live(live) => {
                live.side.feed.is_some() || live.machine.is_pumping() && live.side.fetching.is_none()
            }
            _ => false,
        };
        if waits && self.output.len() == 0 {
            self.make_room(worker);
            self.flush(worker);
        }
    }

    /// The socket has room, or a body is there: what waited for it goes on.
    pub(super) fn make_room(&mut self, worker: &Worker) {
        let limit = worker.shared.config.limits.outgoing_bytes;
        loop {
            let Phase::Live(live) = &mut self.phase else { return };
            if live.machine.is_pumping() {
                let _ = live.call(worker, self.key, &mut self.output, |machine, shell| {
                    machine.pump(shell);
                    Ok(())
                });
            }
            let Some(feed) = &mut live.side.feed else { return };
            // In the machine's queue they would lose their bodies, which the log may no longer have.
            if live.ending.is_some() || live.machine.upcoming().next().is_some() {
                return;
            }
            if self.output.len() >= limit {
                self.flush(worker);
                if self.output.len() >= limit {
                    return;
                }
                continue;
            }
            match feed.queue.pop_front() {
                Some(delivery) => self.deliver(delivery, worker),
                None => {
                    if feed.next.is_empty() {
                        live.side.feed = None;
                    } else {
                        worker.shared.command(Command::Retained(Box::new(feed.next.remove(0))));
                    }
                    return;
                }
            }
        }
    }
}
