//! From CONNECT to a session.

use std::sync::Arc;

use log::Position;
use wire::mqtt::session::{End, Machine, OwnedWill, Terms};
use wire::mqtt::{ConnAck, Connect, Packet, Properties, PropertiesBuf, Property, ReasonCode, Version};

use super::{Conn, Live, Opening, Phase};
use crate::dispatch::{Command, Open, Opened};
use crate::mqtt::listen::Admission;
use crate::mqtt::shell::{Shell, Side};
use crate::mqtt::stream::Stream;
use crate::mqtt::worker::Worker;

impl Conn {
    pub(super) fn connect(&mut self, connect: &Connect<'_>, worker: &Worker) {
        let version = Some(connect.version);
        let shared = &worker.shared;
        let terms = match Terms::negotiate(connect, &shared.session_limits) {
            Ok(terms) => terms,
            Err(reason) => {
                worker.counters().refused_protocol.add(1);
                return self.refuse(version, reason, None, worker);
            }
        };
        if let Admission::Busy(_) = self.admission {
            return self.refuse(version, ReasonCode::ServerBusy, Some("come back a little later"), worker);
        }
        if shared.is_shutting_down() {
            return self.refuse(version, ReasonCode::ServerShuttingDown, None, worker);
        }
        let presented = registry::Presented {
            username: connect.username,
            secret: connect.password,
            client_id: Some(connect.client_id),
            certificate: self.certificate.as_deref(),
            peer: self.peer,
        };
        let identity = match shared.authenticate(&presented, worker.now()) {
            Ok(identity) => identity,
            Err(refusal) => {
                worker.counters().refused_credentials.add(1);
                tracing::info!(reason = %refusal.operator, "client refused");
                let reason = match refusal.kind {
                    registry::RefusalKind::Missing => ReasonCode::NotAuthorized,
                    registry::RefusalKind::Credentials => ReasonCode::BadUserNameOrPassword,
                    registry::RefusalKind::ClientId => ReasonCode::ClientIdentifierNotValid,
                    registry::RefusalKind::Unavailable => ReasonCode::ServerUnavailable,
                };
                return self.refuse(version, reason, Some(&refusal.to_string()), worker);
            }
        };
        let assigned = connect.client_id.is_empty();
        let client_id: Arc<str> =
            if assigned { shared.assign_client_id(&identity).into() } else { connect.client_id.into() };
        if record::ClientId::check(&client_id).is_err() || !identity.client_id.allows(&client_id) {
            return self.refuse(version, ReasonCode::ClientIdentifierNotValid, None, worker);
        }
        let will = OwnedWill::of(connect);
        let may_publish =
            |will: &OwnedWill| shared.rules.load().acl.may_publish(&identity, &will.topic).is_ok();
        if !will.as_deref().is_none_or(may_publish) {
            return self.refuse(version, ReasonCode::NotAuthorized, Some("the will's topic"), worker);
        }
        let tenant = identity.tenant.clone();
        shared.command(Command::Open(Box::new(Open {
            tenant: tenant.clone(),
            client_id: Arc::clone(&client_id),
            clean: terms.clean_start,
            persistent: terms.expiry_s != 0,
            conn: worker.conn_ref(self.key),
        })));
        self.phase = Phase::Opening(Box::new(Opening { terms, will, tenant, client_id, assigned, identity }));
    }

    /// The dispatcher has the session, or not.
    pub(in crate::mqtt) fn opened(&mut self, opened: Opened, worker: &Worker) {
        let Phase::Opening(opening) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let version = Some(opening.terms.version);
        let Some(session) = opened.session else {
            return self.refuse(version, ReasonCode::SessionTakenOver, None, worker);
        };
        let counters = worker.counters();
        counters.connects.add(1);
        counters.connected_now.add(1);
        if opened.stored.is_some() {
            counters.reconnects.add(1);
        }
        let Opening { terms, will, tenant, client_id, assigned, identity } = *opening;
        let mut side = Side {
            tenant,
            client_id: Arc::clone(&client_id),
            session,
            identity,
            in_flight_bytes: 0,
            brings_history: false,
            waiting: 0,
            bodies: std::collections::VecDeque::new(),
            bodies_bytes: 0,
            wanted: None,
            fetching: None,
            gone: None,
            feed: None,
            opening: None,
        };
        let assigned = assigned.then(|| Box::from(&*client_id));
        let mut shell = Shell::new(worker, self.key, &mut side, &mut self.output, &terms, false);
        if opened.logged {
            shell.side.opening = Some(Box::new(crate::state::Opening {
                clean: opened.stored.is_none(),
                expiry_s: terms.expiry_s,
                at_ms: shell.now.millis(),
                subject: shell.side.identity.name().into(),
                will: will.as_deref().and_then(|will| shell.owed_will(will)),
            }));
        }
        let limits = &worker.shared.session_limits;
        let mut machine =
            Machine::open(terms, limits, will, opened.stored, opened.logged, assigned, &mut shell);
        withdraw_denied(&mut machine, &mut shell);
        for due in std::mem::take(&mut shell.immediate) {
            // Only CONNACK, which cannot fail.
            let _ = machine.settle(due, Ok(None), &mut shell);
        }
        shell.log_entries();
        let logged = opened.logged;
        self.phase = Phase::Live(Box::new(Live { machine, side, ending: None, logged, abandoned: false }));
        if matches!(self.stream, Stream::Closed) {
            return self.end(worker, End::Lost, None);
        }
        self.flush(worker);
        worker.watch(self);
        self.wake();
    }

    /// Turns the client away: CONNACK before the session is open, DISCONNECT after.
    pub(in crate::mqtt) fn refuse(
        &mut self,
        version: Option<Version>,
        reason: ReasonCode,
        words: Option<&str>,
        worker: &Worker,
    ) {
        if let Phase::Live(_) = self.phase {
            worker.counters().protocol_errors.add(1);
            self.say_goodbye(Some(reason), words, worker);
            return self.end(worker, End::Lost, None);
        }
        let mut properties = PropertiesBuf::new();
        if let Some(words) = words {
            properties.push(Property::ReasonString(words));
        }
        if let Some(version) = version {
            let properties =
                if version == Version::V5 { properties.as_properties() } else { Properties::EMPTY };
            let connack = Packet::ConnAck(ConnAck { session_present: false, reason, properties });
            // 3.1.1 has no code for some reasons: then it is closed without a word.
            let _ = connack.encode(version, self.output.buffer(&worker.spares));
        }
        self.phase = Phase::Over;
        self.begin_closing(worker);
    }
}

/// A resumed session keeps no subscription that its client may no longer have.
fn withdraw_denied(machine: &mut Machine<Position>, shell: &mut Shell<'_>) {
    let denied: Vec<Box<str>> = {
        let acl = &shell.worker.shared.rules.load().acl;
        let subscriptions = machine.durable().subscriptions.iter();
        let denied = subscriptions.filter(|s| acl.may_subscribe(&shell.side.identity, &s.filter).is_err());
        denied.map(|s| s.filter.clone()).collect()
    };
    for filter in denied {
        machine.withdraw(&filter, shell);
    }
}
