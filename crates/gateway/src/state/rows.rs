//! The rows of the checkpoint. The format is in `docs/formats/session-events.md`.

use log::Position;
use wire::mqtt::session::{Durable, Progress};

use super::codec::{
    CodecError, Source, VERSION, put_bytes, put_number, put_outgoing, put_position, put_positions,
    put_subscription, put_text, put_will,
};
use super::marks::What;
use super::positions::Positions;
use super::session::{Owed, Session};
use crate::topics::Kept;

const CLOSED: u8 = 1;
const WILL: u8 = 2;
const BORN: u8 = 4;
const ENDED: u8 = 8;

/// A session's row.
pub(super) fn session(session: &Session) -> Vec<u8> {
    let durable = &session.durable;
    let mut out = Vec::with_capacity(64 + durable.outgoing.len() * 8);
    out.push(VERSION);
    out.push(
        if durable.closed_at_ms.is_some() { CLOSED } else { 0 }
            | if session.will.is_some() { WILL } else { 0 }
            | if session.born.is_some() { BORN } else { 0 }
            | if session.ended { ENDED } else { 0 },
    );
    put_number(&mut out, u64::from(durable.expiry_s));
    if let Some(at_ms) = durable.closed_at_ms {
        out.extend_from_slice(&at_ms.to_le_bytes());
    }
    put_text(&mut out, &session.subject);
    if let Some((opened, will)) = session.will.as_deref() {
        put_number(&mut out, *opened);
        put_will(&mut out, will);
    }
    if let Some(born) = &session.born {
        put_positions(&mut out, born);
    }
    put_number(&mut out, session.owed.len() as u64);
    for owed in &session.owed {
        put_number(&mut out, owed.opened);
        out.extend_from_slice(&owed.due_ms.to_le_bytes());
        put_will(&mut out, &owed.will);
    }
    put_number(&mut out, durable.subscriptions.len() as u64);
    durable.subscriptions.iter().for_each(|subscription| put_subscription(&mut out, subscription));
    put_number(&mut out, durable.arrived.len() as u64);
    for (packet_id, message) in &durable.arrived {
        put_number(&mut out, u64::from(*packet_id));
        put_position(&mut out, *message);
    }
    put_number(&mut out, durable.outgoing.len() as u64);
    durable.outgoing.iter().for_each(|outgoing| put_outgoing(&mut out, outgoing));
    out
}

/// Reads a session's row into a session that is named already.
pub(super) fn read_session(bytes: &[u8], session: &mut Session) -> Result<(), CodecError> {
    let mut from = Source(bytes);
    from.version()?;
    let flags = from.byte("flags")?;
    if flags & !(CLOSED | WILL | BORN | ENDED) != 0 {
        return Err(CodecError::Unknown { field: "flags", found: flags.into() });
    }
    let expiry_s = from.small("expiry")?;
    let closed_at_ms = if flags & CLOSED != 0 { Some(from.time("time")?) } else { None };
    session.subject = from.text("subject")?.into();
    session.will =
        if flags & WILL != 0 { Some(Box::new((from.number("will")?, from.will()?))) } else { None };
    session.born = if flags & BORN != 0 { Some(from.positions()?.into()) } else { None };
    session.ended = flags & ENDED != 0;
    session.logged = true;
    for _ in 0..from.count("wills")? {
        let opened = from.number("will")?;
        session.owed.push(Owed { opened, due_ms: from.time("time")?, will: from.will()?, taken: false });
    }
    let mut durable = Durable { expiry_s, closed_at_ms, ..Durable::default() };
    for _ in 0..from.count("subscriptions")? {
        durable.subscriptions.push(from.subscription()?);
    }
    for _ in 0..from.count("arrived")? {
        durable.arrived.push((from.small("packet id")?, from.position()?));
    }
    durable.arrived.sort_by_key(|(packet_id, _)| *packet_id);
    for _ in 0..from.count("deliveries")? {
        durable.outgoing.push_back(from.outgoing()?);
    }
    session.durable = durable;
    Ok(())
}

/// A retained message's row.
pub(super) fn retained(kept: &Kept) -> Vec<u8> {
    let mut out = Vec::with_capacity(kept.envelope.len() + 16);
    out.push(VERSION);
    put_position(&mut out, kept.position);
    put_bytes(&mut out, &kept.envelope);
    out
}

/// Reads a retained message's row.
pub(super) fn read_retained(bytes: &[u8]) -> Result<Kept, CodecError> {
    let mut from = Source(bytes);
    from.version()?;
    let position: Position = from.position()?;
    Ok(Kept::new(position, from.bytes("envelope")?)?)
}

/// Something noted about a message that is not read yet, as the row of offsets holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note<'a> {
    pub(super) message: Position,
    /// Tenant and client id; `None`: a client without persistent session.
    pub(super) session: Option<(&'a str, &'a str)>,
    pub(super) what: What,
}

const DONE: u8 = 0;
const SENT: u8 = 1;
const RECEIVED: u8 = 2;
const RELEASED: u8 = 3;
const TAKEN: u8 = 4;

/// The row of offsets, with what the session events before them said about messages after them.
pub(super) fn offsets<'a>(positions: &Positions, notes: impl Iterator<Item = Note<'a>>) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_positions(&mut out, positions);
    for note in notes {
        let (kind, number) = match note.what {
            What::Done => (DONE, 0),
            What::Sent(Progress::Received(id), _) => (RECEIVED, u64::from(id)),
            What::Sent(Progress::Sent(id), _) => (SENT, u64::from(id)),
            What::Sent(Progress::Queued, _) => continue, // nobody notes that
            What::Released => (RELEASED, 0),
            What::Taken(group) => (TAKEN, group),
        };
        out.push(kind | u8::from(note.session.is_some()) << 7);
        put_position(&mut out, note.message);
        put_number(&mut out, number);
        if let Some((tenant, client_id)) = note.session {
            put_text(&mut out, tenant);
            put_text(&mut out, client_id);
        }
    }
    out
}

/// Reads the row of offsets.
pub(super) fn read_offsets(bytes: &[u8]) -> Result<(Positions, Vec<Note<'_>>), CodecError> {
    let mut from = Source(bytes);
    from.version()?;
    let positions = from.positions()?;
    let mut notes = Vec::new();
    while !from.is_empty() {
        let kind = from.byte("note")?;
        let message = from.position()?;
        let what = match kind & 0x7f {
            DONE => from.number("note").map(|_| What::Done)?,
            // The notes stand in the order of the messages; that in which they were sent is lost, and
            // within a partition it is the same.
            SENT => What::Sent(Progress::Sent(from.small("packet id")?), 0),
            RECEIVED => What::Sent(Progress::Received(from.small("packet id")?), 0),
            RELEASED => from.number("note").map(|_| What::Released)?,
            TAKEN => What::Taken(from.number("group")?),
            found => return Err(CodecError::Unknown { field: "note", found: found.into() }),
        };
        let session =
            if kind & 0x80 != 0 { Some((from.text("tenant")?, from.text("client id")?)) } else { None };
        notes.push(Note { message, session, what });
    }
    Ok((positions, notes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use log::{Lane, PartitionId, Topic};
    use proptest::prelude::*;
    use record::{Encoding, Envelope, Kind, Protocol, Qos, Timestamp};
    use wire::mqtt::session::{Event, Outgoing, Subscription};
    use wire::mqtt::{RetainHandling, SubscribeOptions};

    use super::super::entry::Will;
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/fixtures/session-events/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn at(index: u16, offset: u64) -> Position {
        Position { partition: PartitionId { topic: Topic::Messages, lane: Lane::Live, index }, offset }
    }

    fn sample() -> Session {
        let mut session = Session::new("t".into(), "c".into(), 0);
        let will = Will { delay_s: 9, envelope: b"will".as_slice().into() };
        session.subject = "s".into();
        session.will = Some(Box::new((4, will.clone())));
        session.owed = vec![Owed { opened: 3, due_ms: 5, will, taken: false }];
        session.born = Some(Arc::new([at(1, 10)].into_iter().collect()));
        session.logged = true;
        let options = SubscribeOptions {
            qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: true,
            retain_handling: RetainHandling::SendIfNew,
        };
        let outgoing = |progress| Outgoing {
            message: at(2, 20),
            qos: Qos::ExactlyOnce,
            retain: false,
            subscription_ids: Box::new([7]),
            progress,
        };
        for event in [
            Event::Opened { clean: true, expiry_s: 60 },
            Event::Subscribed(Subscription { filter: "a/+".into(), options, id: 7 }),
            Event::Arrived { packet_id: 2, message: at(0, 1) },
            Event::Queued(outgoing(Progress::Received(9))),
            Event::Queued(outgoing(Progress::Queued)),
            Event::Closed { at_ms: 1_000, expiry_s: 60 },
        ] {
            session.durable.apply(&event);
        }
        session
    }

    #[test]
    fn rows_of_version_1_are_read_and_written_the_same() {
        let (sample, kept) = (sample(), fixture("v1-session-row.bin"));
        assert_eq!(session(&sample), kept);
        let mut back = Session::new("t".into(), "c".into(), 0);
        read_session(&kept, &mut back).unwrap();
        assert_eq!(
            (&back.durable, &back.will, &back.owed, &back.born, &back.subject),
            (&sample.durable, &sample.will, &sample.owed, &sample.born, &sample.subject)
        );

        let mut envelope = Vec::new();
        Envelope {
            kind: Kind::Message,
            protocol: Protocol::Mqtt5,
            encoding: Encoding::Opaque,
            qos: Qos::AtLeastOnce,
            retain: true,
            refused: None,
            arrived_at: Timestamp::from_nanos(1),
            tenant: "t",
            device: "",
            topic: "a",
            origin: None,
            properties: &[],
            payload: b"x",
        }
        .encode(&mut envelope);
        let kept = fixture("v1-retained-row.bin");
        let message = Kept::new(at(1, 2), &envelope).unwrap();
        assert_eq!(retained(&message), kept);
        assert_eq!(read_retained(&kept), Ok(message));

        let positions: Positions = [at(0, 5), at(1, 6)].into_iter().collect();
        let who = Some(("t", "c"));
        let notes = [
            Note { message: at(0, 7), session: who, what: What::Done },
            Note { message: at(0, 8), session: who, what: What::Sent(Progress::Sent(1), 0) },
            Note { message: at(0, 8), session: who, what: What::Sent(Progress::Received(2), 0) },
            Note { message: at(0, 9), session: who, what: What::Released },
            Note { message: at(0, 9), session: None, what: What::Taken(u64::MAX) },
        ];
        let kept = fixture("v1-offsets-row.bin");
        assert_eq!(offsets(&positions, notes.into_iter()), kept);
        assert_eq!(read_offsets(&kept), Ok((positions, notes.to_vec())));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_row_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..300_usize, by in any::<u8>()) {
            let mut versioned = vec![1];
            versioned.extend(&bytes);
            for name in ["v1-session-row.bin", "v1-offsets-row.bin", "v1-retained-row.bin"] {
                let mut nearly = fixture(name);
                let at = at % nearly.len();
                nearly[at] ^= by;
                for bytes in [&bytes, &versioned, &nearly] {
                    let _ = read_session(bytes, &mut Session::new("t".into(), "c".into(), 0));
                    let _ = read_retained(bytes);
                    let _ = read_offsets(bytes);
                }
            }
        }
    }
}
