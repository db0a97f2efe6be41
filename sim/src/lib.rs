//! One world with one seed: clients, a network that cuts connections, the gateway's cores (session machine, book,
//! subscriptions) over the embedded log's writer, on a disk that tears, loses and lies. Nothing runs but what the seed
//! says, so a seed that fails fails again.
//!
//! What must hold, whatever happens (R6.1, R1.2):
//! 1. a publish that was acknowledged is in the log after every crash;
//! 2. a QoS 2 publish is in the log at most once, acknowledged or not;
//! 3. a persistent subscriber gets every acknowledged QoS 1 and 2 publish at least once, QoS 2 exactly once;
//! 4. a session that a client was told of is there when it comes back;
//! 5. the same seed gives the same bytes.

mod client;
mod rng;
mod server;
mod shell;
mod world;

pub use server::Broken;
pub use world::{Outcome, World, live};
