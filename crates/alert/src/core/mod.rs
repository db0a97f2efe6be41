//! The state machines: what follows from what happened, at a time that is given. They read no clock and do no I/O.

pub(crate) mod inbox;
pub(crate) mod pair;
pub(crate) mod quota;
