//! From the log to subscribers: one dispatcher for the process.
//!
//! It tails the log, so that subscribers see only what is durable and in the order of the log; it owns the sessions
//! that have no connection, and decides which connection a client id belongs to. Workers talk to it by [`Command`],
//! it answers by [`ToWorker`]; both directions keep their order, which is what the hand-over of a session rests on:
//!
//! ```text
//!  worker                                dispatcher
//!    │ Open(client id) ───────────────────▶ │  (another connection has it? TakeOver ─▶ that worker)
//!    │ ◀────────── Opened(session, Durable) │  from here on matches go to this connection
//!    │ ◀───────────────────────── Deliver…  │
//!    │ Detach(session) ───────────────────▶ │  the connection has ended; matches are kept here from now on
//!    │ ◀────────────────────────── Detached │  everything sent before has been taken into the session
//!    │ Release(session, Durable, will) ───▶ │
//! ```

mod command;
mod dispatcher;
mod message;
mod sessions;

pub(crate) use command::{
    Command, ConnRef, Delivery, Open, Opened, Release, SessionKey, ToWorker, WantRetained,
};
pub(crate) use dispatcher::{Dispatcher, WorkerPort};
pub(crate) use message::Message;
