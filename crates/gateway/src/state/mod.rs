//! The gateway's state as a view of the log: persistent sessions and retained messages.
//!
//! ```text
//!   Topic::Sessions ──┐                       ┌─▶ checkpoint (metadata: rows that changed + offsets, one commit)
//!   Topic::Messages ──┼─▶ Book: apply, apply_message ─▶ matches, for the dispatcher to deliver
//!   Topic::Raw ───────┘                       └─▶ what a session is when its client comes back
//! ```
//!
//! The log is the truth. [`Book`] holds what the log says up to [`Book::positions`]; [`recover`] rebuilds it from the
//! last checkpoint and the log after it. See `docs/decisions/session-state.md` for why, and
//! `docs/formats/session-events.md` for the bytes.

mod book;
mod checkpoint;
mod codec;
mod entry;
mod marks;
mod positions;
mod recover;
mod replay;
mod rows;
mod session;

pub use book::{Book, Counts, Limits, Opened};
pub use checkpoint::Checkpoint;
pub use codec::{CodecError, SessionRecord};
pub use entry::{Entry, Opening, Will};
pub use positions::Positions;
pub use recover::{Error, Recovered, Skipped, recover};
pub use session::{OwedWill, SessionKey};
