//! From the log to subscribers: one dispatcher for the process.
//!
//! It tails the log, so that subscribers see only what is durable and in the order of the log; it keeps the
//! [`crate::state::Book`] of persistent sessions, and decides which connection a client id belongs to. Workers talk to
//! it by [`Command`], it answers by [`ToWorker`]; both directions keep their order:
//!
//! ```text
//!  worker                                dispatcher
//!    │ Open(client id) ───────────────────▶ │  another connection has it? TakeOver ─▶ that worker, wait for Release;
//!    │                                      │  wait until the book has read what that connection logged
//!    │ ◀────────── Opened(session, Durable) │  from here on matches go to this connection
//!    │ ◀───────────────────────── Deliver…  │
//!    │ Release(session) ──────────────────▶ │  the connection has ended and everything of it has settled
//! ```

mod command;
mod dispatcher;
mod message;
mod online;
mod sys;

pub(crate) use crate::state::SessionKey;
pub(crate) use command::{Command, ConnRef, Delivery, Open, Opened, Release, ToWorker, WantRetained};
pub(crate) use dispatcher::{Dispatcher, WorkerPort};
pub(crate) use message::Message;
