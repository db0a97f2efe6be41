//! The rows of the checkpoint. The format is in `docs/formats/session-events.md`.

use log::Position;
use wire::mqtt::session::Durable;

use super::codec::{
    CodecError, Source, VERSION, put_bytes, put_number, put_outgoing, put_position, put_positions,
    put_subscription, put_text, put_will,
};
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
    if let Some(will) = &session.will {
        put_will(&mut out, will);
    }
    if let Some(born) = &session.born {
        put_positions(&mut out, born);
    }
    put_number(&mut out, session.owed.len() as u64);
    for owed in &session.owed {
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
    session.will = if flags & WILL != 0 { Some(Box::new(from.will()?)) } else { None };
    session.born = if flags & BORN != 0 { Some(from.positions()?.into()) } else { None };
    session.ended = flags & ENDED != 0;
    session.logged = true;
    for _ in 0..from.count("wills")? {
        session.owed.push(Owed { due_ms: from.time("time")?, will: from.will()?, taken: false });
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

/// The row of offsets.
pub(super) fn offsets(positions: &Positions) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_positions(&mut out, positions);
    out
}

/// Reads the row of offsets.
pub(super) fn read_offsets(bytes: &[u8]) -> Result<Positions, CodecError> {
    let mut from = Source(bytes);
    from.version()?;
    from.positions()
}
