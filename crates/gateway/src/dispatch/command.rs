//! What workers and the dispatcher say to each other.

use std::sync::Arc;

use log::Position;
use record::{Qos, TenantId};
use wire::mqtt::session::Durable;

use super::Message;
use crate::state::SessionKey;

/// A connection of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnRef {
    /// Which worker.
    pub(crate) worker: u16,
    /// Its place there.
    pub(crate) slot: u32,
    /// Which use of that place.
    pub(crate) generation: u32,
}

/// What a worker asks of the dispatcher. Unbounded, because each command stands for a packet or an end of a
/// connection whose own limits bound it: one Open and one Release a connection, one Retained an unanswered SUBSCRIBE;
/// Direct is bounded by bytes.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client id wants a connection.
    Open(Box<Open>),
    /// The connection of a session has ended and everything of it has settled.
    Release(Box<Release>),
    /// Retained messages that match a new subscription are wanted, or the next page of them.
    Retained(Box<WantRetained>),
    /// A QoS 0 message that is not logged.
    Direct(Arc<Message>),
    /// A will that was owed could not be logged.
    WillFailed(SessionKey),
    /// The workers have stopped: nothing more comes.
    Stop,
}

/// See [`Command::Open`].
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) tenant: TenantId,
    pub(crate) client_id: Arc<str>,
    pub(crate) clean: bool,
    /// Whether the session is to outlive the connection.
    pub(crate) persistent: bool,
    pub(crate) conn: ConnRef,
}

/// See [`Command::Release`].
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) session: SessionKey,
    /// The filters of a session that was not logged; they end with it.
    pub(crate) filters: Vec<Box<str>>,
    /// The `Opened` record could not be written: the book is to forget that it gave the session out.
    pub(crate) abandoned: bool,
}

/// See [`Command::Retained`].
#[derive(Debug)]
pub(crate) struct WantRetained {
    pub(crate) tenant: TenantId,
    pub(crate) conn: ConnRef,
    pub(crate) filter: Box<str>,
    /// The subscription's.
    pub(crate) qos: Qos,
    /// The subscription's identifier; 0: none.
    pub(crate) id: u32,
    /// Where the next page begins; `None`: at the start.
    pub(crate) from: Option<Arc<str>>,
}

/// What the dispatcher tells a worker.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// The session is this connection's now.
    Opened(ConnRef, Box<Opened>),
    /// Another connection took the client id; whether it starts clean.
    TakeOver(ConnRef, bool),
    /// Messages for connections of this worker.
    Deliver(Vec<Delivery>),
    /// Retained messages for a subscription, and what to ask for once they have gone out.
    Retained(Vec<Delivery>, ConnRef, Option<Box<WantRetained>>),
    /// A socket that was accepted.
    Accepted(Box<crate::mqtt::Accepted>),
    /// Bodies that had left memory were read from the log. The position is that of the one that is wanted first; if
    /// it is not among them, the log no longer has it.
    Bodies(ConnRef, Position, Vec<Arc<Message>>),
    /// Stop serving: say DISCONNECT, send what is due, end.
    Stop,
}

/// See [`ToWorker::Opened`].
#[derive(Debug)]
pub(crate) struct Opened {
    /// The session; `None`: yet another connection wants it, and that one will get it.
    pub(crate) session: Option<SessionKey>,
    /// What is stored of it, when it is resumed.
    pub(crate) stored: Option<Durable<Position>>,
    /// Whether its events are logged.
    pub(crate) logged: bool,
}

/// A message for a connection.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) conn: ConnRef,
    pub(crate) message: Arc<Message>,
    /// The lower of the message's and the subscription's.
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) ids: Box<[u32]>,
    /// The log alone does not tell that it matched: a persistent session logs it.
    pub(crate) logged: bool,
}
