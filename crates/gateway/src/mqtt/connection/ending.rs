//! How a connection ends: the last word, the socket, and then the session.

use std::task::{Context, Poll};

use wire::mqtt::session::{End, Stop, Will};
use wire::mqtt::{Disconnect, Packet, PropertiesBuf, Property, ReasonCode, Version};

use super::{Conn, Live, Phase, READS_PER_TURN};
use crate::dispatch::{Command, Release};
use crate::mqtt::commit::Awaited;
use crate::mqtt::shell::Shell;
use crate::mqtt::stream::Stream;
use crate::mqtt::worker::Worker;

impl Conn {
    pub(super) fn stop(&mut self, stop: Stop, worker: &Worker) {
        match stop {
            Stop::Client(reason) => self.end(worker, End::Client(reason), None),
            Stop::Server(reason) => {
                worker.counters().protocol_errors.add(1);
                self.end(worker, End::Lost, Some(reason));
            }
        }
    }

    /// Ends the connection: no more input, DISCONNECT with `reason` to MQTT 5 (MQTT-4.13.1-1), then the socket.
    pub(in crate::mqtt) fn end(&mut self, worker: &Worker, end: End, reason: Option<ReasonCode>) {
        worker.take_time();
        self.say_goodbye(reason, None, worker);
        match &mut self.phase {
            Phase::Live(live) => {
                if live.ending.is_none() {
                    live.ending = Some(end);
                    live.side.feed = None;
                }
            }
            Phase::Greeting => self.phase = Phase::Over,
            Phase::Opening(_) | Phase::Releasing(_) | Phase::Over => {}
        }
        self.begin_closing(worker);
        self.try_finish(worker);
    }

    pub(super) fn say_goodbye(&mut self, reason: Option<ReasonCode>, words: Option<&str>, worker: &Worker) {
        let (Some(reason), Phase::Live(live)) = (reason, &self.phase) else { return };
        if live.machine.terms().version == Version::V3 || self.closing {
            return;
        }
        let mut properties = PropertiesBuf::new();
        if let Some(words) = words {
            properties.push(Property::ReasonString(words));
        }
        let packet = Packet::Disconnect(Disconnect { reason, properties: properties.as_properties() });
        let maximum = live.machine.terms().packet_bytes as usize;
        if packet.encode_within(Version::V5, maximum, self.output.buffer(&worker.spares)).is_ok() {
            worker.counters().packets_sent.add(1);
        }
    }

    /// The network is gone, or the client closed it.
    pub(in crate::mqtt) fn lost(&mut self, worker: &Worker) {
        self.close_socket(worker);
        match self.phase {
            Phase::Greeting => self.phase = Phase::Over,
            // The session comes, and is given back at once.
            Phase::Opening(_) | Phase::Releasing(_) | Phase::Over => {}
            Phase::Live(_) => self.end(worker, End::Lost, None),
        }
    }

    pub(super) fn begin_closing(&mut self, worker: &Worker) {
        if !self.closing {
            self.closing = true;
            self.tail = Vec::new();
            self.unread = false;
            worker.linger(self.key);
        }
        self.flush(worker);
        self.wake();
    }

    /// Closes the socket now.
    pub(in crate::mqtt) fn close_socket(&mut self, worker: &Worker) {
        self.closing = true;
        self.stream = Stream::Closed;
        self.output.clear(&worker.spares);
        self.tail = Vec::new();
        self.blocked = 0;
    }

    /// After our last word: unread input would turn the close into a reset, and the word might be lost with it.
    pub(super) fn discard(&mut self, worker: &Worker, cx: &mut Context<'_>) {
        if matches!(self.stream, Stream::Closed) {
            return;
        }
        self.flush(worker);
        if self.output.len() > 0 {
            return;
        }
        if self.stream.poll_shutdown(cx).is_pending() {
            return;
        }
        let mut scratch = worker.scratch.borrow_mut();
        for _ in 0..READS_PER_TURN {
            match self.stream.poll_read(cx, &mut scratch[..]) {
                Poll::Pending => return,
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return self.close_socket(worker),
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Gives the session back once everything of the ended connection has settled: what the end itself leaves behind,
    /// the will and the `Closed` record, goes into the log first.
    pub(super) fn try_finish(&mut self, worker: &Worker) {
        match &self.phase {
            Phase::Live(live) if live.ending.is_some() && live.machine.unsettled() == 0 => {}
            _ => return,
        }
        let Phase::Live(live) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let Live { machine, mut side, ending, logged, abandoned } = *live;
        worker.counters().disconnects.add(1);
        worker.counters().connected_now.sub(1);
        let terms = *machine.terms();
        let farewell = machine.finish(ending.unwrap_or(End::Lost), worker.now().millis());
        let expiry_s = farewell.durable.expiry_s;
        let filters = match logged {
            true => Vec::new(),
            false => farewell.durable.subscriptions.into_iter().map(|s| s.filter).collect(),
        };
        let release = Release { session: side.session, filters, abandoned };
        self.phase = Phase::Releasing(Box::new(release));
        let mut shell = Shell::new(worker, self.key, &mut side, &mut self.output, &terms, true);
        if let Will::Now(will) = &farewell.will
            && !abandoned
        {
            shell.publish_will(will);
        }
        if !logged || abandoned {
            return self.give_back(worker);
        }
        shell.closed(shell.now.millis(), expiry_s, matches!(farewell.will, Will::After(..)));
        shell.log_entries();
        worker.commits.borrow_mut().wait(self.key, Awaited::Release, None, 0);
    }

    pub(super) fn give_back(&mut self, worker: &Worker) {
        if let Phase::Releasing(release) = std::mem::replace(&mut self.phase, Phase::Over) {
            worker.shared.command(Command::Release(release));
        }
        self.wake();
    }
}
