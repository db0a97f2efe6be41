//! What is to be delivered: rows that survive a crash, and who may be asked when.

mod courier;
mod delivery;
mod queue;

pub use courier::{Chance, Clock, Courier};
pub use delivery::{Delivery, Failure, Outcome, Receipt};
pub use queue::{AT_ONCE, AT_ONCE_FAILING, AT_ONCE_PER_DESTINATION, OUTBOX_ROWS};
pub(crate) use queue::{Queue, Ticket};
