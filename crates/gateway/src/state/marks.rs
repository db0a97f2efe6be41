//! What the log's session events say about messages that have not been read yet.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use log::Position;
use wire::mqtt::session::Progress;

use super::session::SessionKey;

/// Partitions of the log have no order between them, so an event may be read before the message it is about. It is
/// then noted here and taken back when the message comes. In live operation that is a PUBREL that overtook its
/// publish; in a replay, which reads session events first, it is everything.
#[derive(Debug, Default)]
pub(super) struct Marks {
    by_message: BTreeMap<Position, Vec<Mark>>,
    /// The message that was noted last as sent under a packet id.
    ids: HashMap<((SessionKey, u32), u16), Position>,
    /// Orders what was sent: a client gets it again in the order it got it first (MQTT-4.6.0-1).
    sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Whose; `None`: of a client without persistent session.
    pub(super) session: Option<(SessionKey, u32)>,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Delivered, or given up.
    Done,
    /// Sent as the n-th.
    Sent(Progress, u64),
    /// The publisher released it: its packet id is free.
    Released,
    /// A share group gave it to this client.
    Taken(u64),
}

impl Marks {
    /// Notes one more thing.
    pub(super) fn add(&mut self, message: Position, session: Option<(SessionKey, u32)>, what: What) {
        self.by_message.entry(message).or_default().push(Mark { session, what });
    }

    pub(super) fn add_sent(&mut self, message: Position, session: (SessionKey, u32), packet_id: u16) {
        let nth = self.next_sent();
        if let Some(earlier) =
            self.ids.insert((session, packet_id), message).filter(|earlier| *earlier != message)
        {
            // An id is given again only once the delivery before is complete, though the note of that may be lost.
            self.change_sent(earlier, session, packet_id, |_| What::Done);
        }
        self.add(message, Some(session), What::Sent(Progress::Sent(packet_id), nth));
    }

    /// The number of the next message sent.
    pub(super) fn next_sent(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Changes what was noted as sent under `packet_id`; whether there was such a note.
    pub(super) fn change_sent(
        &mut self,
        message: Position,
        session: (SessionKey, u32),
        packet_id: u16,
        change: impl Fn(u64) -> What,
    ) -> bool {
        let noted = self.by_message.get_mut(&message).and_then(|marks| {
            marks.iter_mut().find_map(|mark| match mark.what {
                What::Sent(Progress::Sent(id) | Progress::Received(id), nth)
                    if mark.session == Some(session) && id == packet_id =>
                {
                    Some((&mut mark.what, nth))
                }
                _ => None,
            })
        });
        match noted {
            Some((what, nth)) => {
                *what = change(nth);
                true
            }
            None => false,
        }
    }

    /// Takes what is noted about a message.
    pub(super) fn take(&mut self, message: Position) -> Vec<Mark> {
        if self.by_message.is_empty() {
            Vec::new()
        } else {
            self.by_message.remove(&message).unwrap_or_default()
        }
    }

    /// Everything that is noted, in the order of the messages.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Position, &Mark)> {
        self.by_message.iter().flat_map(|(message, marks)| marks.iter().map(move |mark| (*message, mark)))
    }

    /// Takes everything.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Position, Vec<Mark>)> + use<> {
        self.ids.clear();
        std::mem::take(&mut self.by_message).into_iter()
    }
}

/// Takes the note about one copy of a message for a session: that it is done with, or how far it has come.
pub(super) fn take_copy(marks: &mut Vec<Mark>, session: (SessionKey, u32)) -> Option<What> {
    let at = marks
        .iter()
        .position(|mark| mark.session == Some(session) && matches!(mark.what, What::Done | What::Sent(..)))?;
    Some(marks.swap_remove(at).what)
}
