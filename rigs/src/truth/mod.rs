//! A generator with a known truth: what a seed sends, what must come of it, and whether it did.
//!
//! ```text
//!   seed ─▶ generate ─▶ Scenario ─┬─▶ model: Truth ────────────────┐
//!                                 └─▶ play (MQTT, HTTP, kill -9) ──┼─▶ compare
//!                                        the server, asked by SQL ─┘
//! ```
//!
//! The truth is computed by a model that knows nothing of the server's code: it is given what each message *means*,
//! beside the bytes that say so. Event times are chosen such that no verdict hangs on the machine's speed: all of a
//! scenario but its wild devices happens in the hour before it is played, so that the watermark is what the pacemaker
//! devices say and never the time of arrival.

pub mod ask;
pub mod compare;
pub mod control;
pub mod dice;
pub mod found;
pub mod generate;
pub mod link;
pub mod model;
pub mod play;
pub mod render;

pub mod scenario;
pub mod site;
pub mod verdict;
pub mod windows;

mod device;
mod spoil;
