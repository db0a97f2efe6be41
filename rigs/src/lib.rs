//! Fault rigs: the real binary (or the real log) under faults that a machine really has, and the check that
//! nothing acknowledged before the fault is missing after it.
//!
//! | rig | fault | needs |
//! |---|---|---|
//! | `kill9` | SIGKILL at random moments under load | nothing |
//! | `powercut` | the file system under the data stops at once, what was not flushed is gone | root, loop devices, ext4 |
//! | `diskfull` | no space left, then space again | root, loop devices, ext4 |
//! | `truth` | everything a fleet does wrong, SIGKILL meanwhile; all tables compared with a model ([`truth`]) | nothing |
//! | `sqlfuzz` | statements and bytes that nobody would send, of two tenants; names that look like paths | nothing |
//!
//! `blackout`, `memory` and `storm` are benchmarks with the same means: what they measure is checked, too.
//!
//! Every rig has a broken control (`--broken …`) that it must catch: a rig that never fails proves nothing.
//! Exit codes: 0 every promise kept, 1 one was broken, 2 wrong use or the rig itself failed, 77 this machine cannot
//! run the rig.

pub mod alarm;
pub mod appender;
pub mod blackout;
pub mod damage;
pub mod image;
pub mod latency;
pub mod ledger;
pub mod logged;
pub mod mail;
pub mod metrics;
pub mod nofsync;
pub mod outcome;
pub mod receiver;
pub mod retained;
pub mod seen;
pub mod served;
pub mod server;
pub mod swarm;
pub mod truth;
