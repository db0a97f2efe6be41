//! Which connection gets a session, and when.

use log::{Lane, PartitionId, Topic};
use record::{Timestamp, partition_of};

use super::{Dispatcher, Parked, Waits};
use crate::dispatch::command::{ConnRef, Open, Opened, Release, ToWorker};
use crate::dispatch::online::Client;
use crate::state::Positions;

impl Dispatcher {
    pub(super) fn open(&mut self, open: Box<Open>) {
        if let Some(client) = self.online.find(&open.tenant, &open.client_id) {
            let order = ToWorker::TakeOver(client.conn, open.clean);
            self.shared.to_worker(client.conn.worker.into(), order);
            if let Some(earlier) = client.next.replace(open) {
                self.turn_away(&earlier);
            }
            return;
        }
        let same = |p: &Parked| match &p.what {
            Waits::Open(other) => other.tenant == open.tenant && other.client_id == open.client_id,
            Waits::Retained(_) => false,
        };
        if let Some(at) = self.parked.iter().position(same)
            && let Waits::Open(earlier) = self.parked.swap_remove(at).what
        {
            self.turn_away(&earlier); // Two at once: the later one wins.
        }
        match self.log_end_for(&open) {
            Ok(until) if self.book.positions().reach(&until) => self.admit(*open),
            Ok(until) => self.parked.push(Parked { what: Waits::Open(open), until }),
            Err(error) => {
                tracing::error!(%error, "the end of the log cannot be read; a connection is turned away");
                self.turn_away(&open);
            }
        }
    }

    /// Up to where the book has to have read before the session may be given out: everything an earlier connection
    /// of the client may have logged.
    pub(super) fn log_end_for(&self, open: &Open) -> Result<Positions, log::Error> {
        let log = &*self.shared.log;
        let (tenant, client_id) = (open.tenant.as_str(), &*open.client_id);
        let mut until = match self.book.find(tenant, client_id) {
            Some(_) => Positions::message_tails(log)?,
            None => Positions::new(),
        };
        let index = partition_of(tenant, client_id, log.partitions(Topic::Sessions));
        let partition = PartitionId { topic: Topic::Sessions, lane: Lane::Live, index };
        until.set(partition, log.extent(partition)?.end);
        Ok(until)
    }

    pub(super) fn admit(&mut self, open: Open) {
        let (tenant, client_id) = (open.tenant.as_str(), &*open.client_id);
        let logged = open.persistent || self.book.find(tenant, client_id).is_some();
        let (session, stored) = if logged {
            let opened = self.book.open(tenant, client_id, open.clean, Timestamp::now().millis());
            (opened.session, opened.stored)
        } else {
            (self.book.transient(), None)
        };
        let Open { tenant, client_id, conn, .. } = open;
        self.online.insert(session, Client { tenant, client_id, conn, logged, next: None });
        self.tell(conn, Opened { session: Some(session), stored, logged });
    }

    pub(super) fn admit_parked(&mut self) {
        let mut at = 0;
        while at < self.parked.len() {
            if self.book.positions().reach(&self.parked[at].until) {
                match self.parked.swap_remove(at).what {
                    Waits::Open(open) => self.open(open),
                    Waits::Retained(want) => self.send_retained(*want),
                }
            } else {
                at += 1;
            }
        }
    }

    pub(super) fn turn_away(&self, open: &Open) {
        self.tell(open.conn, Opened { session: None, stored: None, logged: false });
    }

    pub(super) fn tell(&self, conn: ConnRef, opened: Opened) {
        self.shared.to_worker(conn.worker.into(), ToWorker::Opened(conn, Box::new(opened)));
    }

    pub(super) fn release(&mut self, release: Release) {
        let Some(client) = self.online.remove(release.session) else { return };
        if client.logged {
            if release.abandoned {
                self.book.abandon(release.session);
            }
        } else {
            for filter in &release.filters {
                self.shared.subscriptions.remove(client.tenant.as_str(), filter, release.session);
            }
            self.book.release_transient(release.session);
        }
        if let Some(next) = client.next {
            self.open(next);
        }
    }
}
