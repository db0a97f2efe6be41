//! The bytes of session records, and what rows share with them. The format is in `docs/formats/session-events.md`.

use log::{Lane, Offset, PartitionId, Position, Topic};
use record::{EnvelopeError, Qos};
use wire::mqtt::session::{Event, Outgoing, Progress, Subscription};
use wire::mqtt::{RetainHandling, SubscribeOptions};

use super::entry::{Entry, Opening, Will};
use super::positions::Positions;

/// The version of the format.
pub(super) const VERSION: u8 = 1;

/// Why bytes are not a session record or a row of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a field, or say that more follows than they hold.
    #[error("it ends inside its {0}")]
    Truncated(&'static str),
    /// A later version wrote it.
    #[error("it has version {0}, this build reads version 1: upgrade before reading this log")]
    Version(u8),
    /// A number that stands for a choice stands for none, or is out of range.
    #[error("its {field} is {found}, which means nothing in version 1")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// What it held.
        found: u64,
    },
    /// A text field is not UTF-8.
    #[error("its {0} is not UTF-8")]
    Utf8(&'static str),
    /// The envelope it holds is none.
    #[error("its envelope: {0}")]
    Envelope(#[from] EnvelopeError),
}

/// A record of `Topic::Sessions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// Which session.
    pub client_id: &'a str,
    /// The message partitions' tails; needed by `Opened`, `Subscribed` and `Unsubscribed`.
    pub positions: Option<Positions>,
    /// What happened, in order.
    pub entries: Vec<Entry>,
}

impl<'a> SessionRecord<'a> {
    /// Appends a record's bytes to `out`.
    pub fn encode(
        out: &mut Vec<u8>,
        tenant: &str,
        client_id: &str,
        positions: Option<&Positions>,
        entries: &[Entry],
    ) {
        out.push(VERSION);
        put_text(out, tenant);
        put_text(out, client_id);
        out.push(u8::from(positions.is_some()));
        if let Some(positions) = positions {
            put_positions(out, positions);
        }
        entries.iter().for_each(|entry| put_entry(out, entry));
    }

    /// Reads a record; the names borrow from `bytes`.
    ///
    /// # Errors
    /// [`CodecError`] says what is wrong with the bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut from = Source(bytes);
        from.version()?;
        let tenant = from.text("tenant")?;
        let client_id = from.text("client id")?;
        let positions = if from.flag("flags")? { Some(from.positions()?) } else { None };
        let mut entries = Vec::new();
        while !from.is_empty() {
            entries.push(from.entry()?);
        }
        Ok(Self { tenant, client_id, positions, entries })
    }
}

const OPENED: u8 = 1;
const CLOSED: u8 = 2;
const WILL_SENT: u8 = 3;
const ASSIGNED: u8 = 4;
const SUBSCRIBED: u8 = 5;
const UNSUBSCRIBED: u8 = 6;
const ARRIVED: u8 = 7;
const RELEASED: u8 = 8;
const QUEUED: u8 = 9;
const SENT: u8 = 10;
const RECEIVED: u8 = 11;
const COMPLETED: u8 = 12;
const DROPPED: u8 = 13;

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    match entry {
        Entry::Opened(opening) => {
            out.push(OPENED);
            put_opening(out, opening);
        }
        Entry::Closed { at_ms, expiry_s, will_owed } => {
            out.push(CLOSED);
            out.extend_from_slice(&at_ms.to_le_bytes());
            put_number(out, u64::from(*expiry_s));
            out.push(u8::from(*will_owed));
        }
        Entry::WillSent { opened } => {
            out.push(WILL_SENT);
            put_number(out, *opened);
        }
        Entry::Assigned { message, group } => {
            out.push(ASSIGNED);
            put_position(out, *message);
            out.extend_from_slice(&group.to_le_bytes());
        }
        Entry::Event(event) => put_event(out, event),
    }
}

fn put_event(out: &mut Vec<u8>, event: &Event<Position>) {
    let named = |out: &mut Vec<u8>, kind: u8, packet_id: u16, message: Position| {
        out.push(kind);
        put_number(out, u64::from(packet_id));
        put_position(out, message);
    };
    match event {
        Event::Opened { clean, expiry_s } => {
            let opening = Opening { clean: *clean, expiry_s: *expiry_s, ..Opening::default() };
            put_entry(out, &Entry::Opened(Box::new(opening)));
        }
        Event::Closed { at_ms, expiry_s } => {
            put_entry(out, &Entry::Closed { at_ms: *at_ms, expiry_s: *expiry_s, will_owed: false });
        }
        Event::Subscribed(subscription) => {
            out.push(SUBSCRIBED);
            put_subscription(out, subscription);
        }
        Event::Unsubscribed { filter } => {
            out.push(UNSUBSCRIBED);
            put_text(out, filter);
        }
        Event::Arrived { packet_id, message } => named(out, ARRIVED, *packet_id, *message),
        Event::Released { packet_id, message } => named(out, RELEASED, *packet_id, *message),
        Event::Queued(outgoing) => {
            out.push(QUEUED);
            put_outgoing(out, outgoing);
        }
        Event::Sent { message, packet_id } => named(out, SENT, *packet_id, *message),
        Event::Received { packet_id, message } => named(out, RECEIVED, *packet_id, *message),
        Event::Completed { packet_id, message } => named(out, COMPLETED, *packet_id, *message),
        Event::Dropped { message } => {
            out.push(DROPPED);
            put_position(out, *message);
        }
    }
}

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_partition(out: &mut Vec<u8>, partition: PartitionId) {
    out.push(partition.topic as u8 | (partition.lane as u8) << 7);
    put_number(out, u64::from(partition.index));
}

pub(super) fn put_position(out: &mut Vec<u8>, position: Position) {
    put_partition(out, position.partition);
    put_number(out, position.offset);
}

/// Runs of consecutive partitions: nearly always one run for each topic and lane.
pub(super) fn put_positions(out: &mut Vec<u8>, positions: &Positions) {
    let mut runs: Vec<(PartitionId, Vec<Offset>)> = Vec::new();
    for Position { partition, offset } in positions.iter() {
        match runs.last_mut() {
            Some((first, run))
                if (first.topic, first.lane) == (partition.topic, partition.lane)
                    && usize::from(first.index) + run.len() == usize::from(partition.index) =>
            {
                run.push(offset);
            }
            _ => runs.push((partition, vec![offset])),
        }
    }
    put_number(out, runs.len() as u64);
    for (first, run) in runs {
        put_partition(out, first);
        put_number(out, run.len() as u64);
        run.into_iter().for_each(|offset| put_number(out, offset));
    }
}

pub(super) fn put_opening(out: &mut Vec<u8>, opening: &Opening) {
    out.push(u8::from(opening.clean) | u8::from(opening.will.is_some()) << 1);
    put_number(out, u64::from(opening.expiry_s));
    out.extend_from_slice(&opening.at_ms.to_le_bytes());
    put_text(out, &opening.subject);
    if let Some(will) = &opening.will {
        put_will(out, will);
    }
}

pub(super) fn put_will(out: &mut Vec<u8>, will: &Will) {
    put_number(out, u64::from(will.delay_s));
    put_bytes(out, &will.envelope);
}

pub(super) fn put_subscription(out: &mut Vec<u8>, subscription: &Subscription) {
    let options = &subscription.options;
    out.push(
        options.qos as u8
            | u8::from(options.no_local) << 2
            | u8::from(options.retain_as_published) << 3
            | (options.retain_handling as u8) << 4,
    );
    put_number(out, u64::from(subscription.id));
    put_text(out, &subscription.filter);
}

pub(super) fn put_outgoing(out: &mut Vec<u8>, outgoing: &Outgoing<Position>) {
    let (progress, packet_id) = match outgoing.progress {
        Progress::Queued => (0, None),
        Progress::Sent(id) => (1, Some(id)),
        Progress::Received(id) => (2, Some(id)),
    };
    let has_ids = !outgoing.subscription_ids.is_empty();
    out.push(outgoing.qos as u8 | u8::from(outgoing.retain) << 2 | progress << 3 | u8::from(has_ids) << 5);
    put_position(out, outgoing.message);
    if let Some(id) = packet_id {
        put_number(out, u64::from(id));
    }
    if has_ids {
        put_number(out, outgoing.subscription_ids.len() as u64);
        outgoing.subscription_ids.iter().for_each(|id| put_number(out, u64::from(*id)));
    }
}

/// Bytes being read. Nothing is allocated for a count before the bytes it counts are known to be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a>(pub(super) &'a [u8]);

impl<'a> Source<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn version(&mut self) -> Result<(), CodecError> {
        match self.byte("version")? {
            VERSION => Ok(()),
            other => Err(CodecError::Version(other)),
        }
    }

    pub(super) fn byte(&mut self, field: &'static str) -> Result<u8, CodecError> {
        let (&first, rest) = self.0.split_first().ok_or(CodecError::Truncated(field))?;
        self.0 = rest;
        Ok(first)
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, CodecError> {
        match self.byte(field)? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(CodecError::Unknown { field, found: found.into() }),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(CodecError::Truncated(field))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn time(&mut self, field: &'static str) -> Result<i64, CodecError> {
        self.array(field).map(i64::from_le_bytes)
    }

    pub(super) fn number(&mut self, field: &'static str) -> Result<u64, CodecError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(field)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(CodecError::Unknown { field, found: byte.into() });
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(CodecError::Unknown { field, found: u64::MAX })
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, CodecError> {
        let found = self.number(field)?;
        T::try_from(found).map_err(|_| CodecError::Unknown { field, found })
    }

    /// A count of things of at least one byte each.
    pub(super) fn count(&mut self, field: &'static str) -> Result<usize, CodecError> {
        let count: usize = self.small(field)?;
        if count > self.0.len() { Err(CodecError::Truncated(field)) } else { Ok(count) }
    }

    pub(super) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], CodecError> {
        let length = self.count(field)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(CodecError::Truncated(field))?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| CodecError::Utf8(field))
    }

    fn partition(&mut self) -> Result<PartitionId, CodecError> {
        let byte = self.byte("partition")?;
        let topic = Topic::ALL
            .into_iter()
            .find(|topic| *topic as u8 == byte & 0x7f)
            .ok_or(CodecError::Unknown { field: "topic", found: byte.into() })?;
        let lane = if byte & 0x80 == 0 { Lane::Live } else { Lane::Backfill };
        Ok(PartitionId { topic, lane, index: self.small("partition")? })
    }

    pub(super) fn position(&mut self) -> Result<Position, CodecError> {
        Ok(Position { partition: self.partition()?, offset: self.number("offset")? })
    }

    pub(super) fn positions(&mut self) -> Result<Positions, CodecError> {
        let mut positions = Positions::new();
        for _ in 0..self.count("positions")? {
            let first = self.partition()?;
            for step in 0..self.count("positions")? {
                let index = u64::from(first.index) + step as u64;
                let index = u16::try_from(index)
                    .map_err(|_| CodecError::Unknown { field: "partition", found: index })?;
                positions.set(PartitionId { index, ..first }, self.number("offset")?);
            }
        }
        Ok(positions)
    }

    pub(super) fn opening(&mut self) -> Result<Opening, CodecError> {
        let flags = self.byte("opening flags")?;
        if flags > 3 {
            return Err(CodecError::Unknown { field: "opening flags", found: flags.into() });
        }
        Ok(Opening {
            clean: flags & 1 != 0,
            expiry_s: self.small("expiry")?,
            at_ms: self.time("time")?,
            subject: self.text("subject")?.into(),
            will: if flags & 2 != 0 { Some(self.will()?) } else { None },
        })
    }

    pub(super) fn will(&mut self) -> Result<Will, CodecError> {
        Ok(Will { delay_s: self.small("will delay")?, envelope: self.bytes("will")?.into() })
    }

    pub(super) fn subscription(&mut self) -> Result<Subscription, CodecError> {
        let flags = self.byte("subscription options")?;
        let unknown = CodecError::Unknown { field: "subscription options", found: flags.into() };
        let retain_handling = match flags >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(unknown),
        };
        let options = SubscribeOptions {
            qos: Qos::try_from(flags & 3).map_err(|_| unknown)?,
            no_local: flags & 4 != 0,
            retain_as_published: flags & 8 != 0,
            retain_handling,
        };
        Ok(Subscription { options, id: self.small("subscription id")?, filter: self.text("filter")?.into() })
    }

    pub(super) fn outgoing(&mut self) -> Result<Outgoing<Position>, CodecError> {
        let flags = self.byte("delivery flags")?;
        let unknown = CodecError::Unknown { field: "delivery flags", found: flags.into() };
        if flags & 0xC0 != 0 {
            return Err(unknown);
        }
        let qos = Qos::try_from(flags & 3).map_err(|_| unknown)?;
        let message = self.position()?;
        let progress = match flags >> 3 & 3 {
            0 => Progress::Queued,
            1 => Progress::Sent(self.small("packet id")?),
            2 => Progress::Received(self.small("packet id")?),
            _ => return Err(unknown),
        };
        let mut ids = Vec::new();
        if flags & 0x20 != 0 {
            for _ in 0..self.count("subscription ids")? {
                ids.push(self.small("subscription id")?);
            }
        }
        Ok(Outgoing { message, qos, retain: flags & 4 != 0, subscription_ids: ids.into(), progress })
    }

    fn named(&mut self) -> Result<(u16, Position), CodecError> {
        Ok((self.small("packet id")?, self.position()?))
    }

    fn entry(&mut self) -> Result<Entry, CodecError> {
        Ok(match self.byte("event")? {
            OPENED => Entry::Opened(Box::new(self.opening()?)),
            CLOSED => Entry::Closed {
                at_ms: self.time("time")?,
                expiry_s: self.small("expiry")?,
                will_owed: self.flag("will")?,
            },
            WILL_SENT => Entry::WillSent { opened: self.number("will")? },
            ASSIGNED => Entry::Assigned {
                message: self.position()?,
                group: self.array("group").map(u64::from_le_bytes)?,
            },
            kind => Entry::Event(self.event(kind)?),
        })
    }

    fn event(&mut self, kind: u8) -> Result<Event<Position>, CodecError> {
        Ok(match kind {
            SUBSCRIBED => Event::Subscribed(self.subscription()?),
            UNSUBSCRIBED => Event::Unsubscribed { filter: self.text("filter")?.into() },
            ARRIVED => self.named().map(|(packet_id, message)| Event::Arrived { packet_id, message })?,
            RELEASED => self.named().map(|(packet_id, message)| Event::Released { packet_id, message })?,
            QUEUED => Event::Queued(self.outgoing()?),
            SENT => self.named().map(|(packet_id, message)| Event::Sent { packet_id, message })?,
            RECEIVED => self.named().map(|(packet_id, message)| Event::Received { packet_id, message })?,
            COMPLETED => self.named().map(|(packet_id, message)| Event::Completed { packet_id, message })?,
            DROPPED => Event::Dropped { message: self.position()? },
            found => return Err(CodecError::Unknown { field: "event", found: found.into() }),
        })
    }
}
