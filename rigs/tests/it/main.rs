//! The quick forms of the rigs, and their broken controls. Long forms: `rigs/long.sh`.

mod powercut;
mod rig;
