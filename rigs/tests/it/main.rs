//! The quick forms of the rigs with their broken controls, and real clients. Long forms: `rigs/long.sh`.

mod clients;
mod faults;
mod fleet;
mod powercut;
mod rig;
mod truth;
