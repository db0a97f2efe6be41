//! What a record of `Topic::Sessions` says.

use log::{Offset, Position};
use wire::mqtt::session::Event;

/// Something that happened to a persistent session. Entries of one session lie in one partition, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A client connected. Its record carries the message partitions' tails, taken after every append of the
    /// session's earlier connection has settled.
    Opened(Box<Opening>),
    /// The connection ended.
    Closed {
        /// When, milliseconds since the epoch.
        at_ms: i64,
        /// The expiry in force.
        expiry_s: u32,
        /// Whether the will is to be published after its delay; otherwise it is void, or lies in the log already.
        will_owed: bool,
    },
    /// An owed will lies in the log; part of the same batch as the will itself.
    WillSent {
        /// Which: the offset of the record of the connection it came with, see [`super::OwedWill::opened`].
        opened: Offset,
    },
    /// A share group chose this client for a message. Written at leisure for a persistent member; for another only
    /// once it has the message (QoS 1) or before it is sent (QoS 2), so that nobody else gets it after a crash.
    Assigned {
        /// Which message.
        message: Position,
        /// The group, see [`crate::topics::group_hash`].
        group: u64,
    },
    /// Any other event. `Opened` and `Closed` are better said by the variants above; said here, they stand for
    /// an opening and closing without will and at time 0.
    Event(Event<Position>),
}

/// See [`Entry::Opened`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Clean start: all earlier state is dropped.
    pub clean: bool,
    /// Seconds the session outlives its connection; 0: it ends with it; `u32::MAX`: for ever.
    pub expiry_s: u32,
    /// When, milliseconds since the epoch: a session that had expired by then is not resumed.
    pub at_ms: i64,
    /// Whom the credential named: what is delivered later is authorised against this subject.
    pub subject: Box<str>,
    /// What to publish when the connection is lost.
    pub will: Option<Will>,
}

/// A will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Seconds between the end of the connection and the publication.
    pub delay_s: u32,
    /// The encoded [`record::Envelope`], its time of arrival still to be set.
    pub envelope: Box<[u8]>,
}
