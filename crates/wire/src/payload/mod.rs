//! Payload decoders: from the bytes of a message straight into columns.
//!
//! [`decode`] appends a message's readings to a batch; [`inspect`] only says what is in it, which is how a
//! gateway refuses a bad payload and picks the lane. Both give the same answer for the same message, so what a
//! gateway accepted the stream can read.
//!
//! Shapes, timestamp rules and errors are described in `docs/payloads.md`.

mod influx;
mod json;
mod keys;
mod named;
mod number;
mod reason;
mod scratch;

pub use json::detect as detect_json;
pub use keys::{is_device_key, is_sequence_key, is_time_key};
pub use named::named_device;
pub use reason::{Problem, Reason, ValueError};
pub use scratch::{Element, Rejected, Scratch};

use record::{Encoding, Readings, TimeUnit, Timestamp, When};

use scratch::Notes;

/// A message to decode, with what is known about it from outside the payload.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// How the payload is to be read.
    pub encoding: Encoding,
    /// The device that topic or credential name, a valid [`record::DeviceId`]; the payload must agree.
    pub device: Option<&'a str>,
    /// The metric that the topic names, a valid [`record::MetricName`].
    pub metric: Option<&'a str>,
    /// When it arrived, which is also the time of readings that have none.
    pub arrived_at: Timestamp,
    /// The unit of numeric times. `None`: told from their magnitude; for line protocol nanoseconds.
    pub time_unit: Option<TimeUnit>,
    /// What was sent.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// When a reading of it was taken: by the device, or where that does not say it when it arrived.
    ///
    /// Beside a time of the device's the arrival is kept in whole milliseconds. What is smaller is the noise of a network and of
    /// this machine, and the digits of noise are what takes room in files. As a reading's only time it stays as exact as the
    /// clock, so that two that come one after the other are two.
    pub(crate) fn when(&self, time: Option<Timestamp>) -> When {
        match time {
            Some(time) => When::by_device(time, self.arrived_at.floor_to_millis()),
            None => When::by_server(self.arrived_at),
        }
    }
}

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Good readings, at least one.
    pub readings: usize,
    /// Refused elements and readings; each is in [`Scratch::rejected`].
    pub rejected: usize,
    /// The earliest time of a good reading.
    pub oldest: Timestamp,
    /// The latest time of a good reading.
    pub newest: Timestamp,
}

/// Appends the readings of `message` to `readings`. The refused ones, and where each element stands, are in
/// `scratch` until its next use.
///
/// # Errors
/// [`Reason`] when the payload cannot be read or holds no good reading; then `readings` is as before. With several
/// bad readings it is the first one's reason; the others are in [`Scratch::rejected`].
pub fn decode(
    message: &Message<'_>,
    readings: &mut Readings,
    scratch: &mut Scratch,
) -> Result<Summary, Reason> {
    decode_noting(message, readings, &mut scratch.notes)
}

/// What [`decode`] would say. The readings stay in [`Scratch::readings`] until its next use.
///
/// # Errors
/// As [`decode`].
pub fn inspect(message: &Message<'_>, scratch: &mut Scratch) -> Result<Summary, Reason> {
    scratch.readings.clear_rows();
    decode_noting(message, &mut scratch.readings, &mut scratch.notes)
}

fn decode_noting(
    message: &Message<'_>,
    readings: &mut Readings,
    notes: &mut Notes,
) -> Result<Summary, Reason> {
    notes.begin(readings);
    let mark = readings.mark();
    let decoded = match message.encoding {
        Encoding::Opaque => Err(Problem::Opaque.at(0)),
        Encoding::Avro | Encoding::Protobuf => Err(Problem::NoSchema.at(0)),
        Encoding::Json => json::decode(message, readings, notes),
        Encoding::Ndjson => json::decode_lines(message, readings, notes),
        Encoding::Influx => influx::decode(message, readings, notes),
    };
    if decoded.is_err() {
        notes.begin(readings); // what was noted before the payload broke off stands for nothing
    }
    let outcome = decoded.and_then(|()| notes.summary(readings));
    if outcome.is_err() {
        readings.rollback(&mark);
    }
    outcome
}

fn as_text(payload: &[u8]) -> Result<&str, Reason> {
    if payload.starts_with(b"\xef\xbb\xbf") {
        return Err(Problem::ByteOrderMark.at(0));
    }
    std::str::from_utf8(payload).map_err(|error| Problem::Utf8.at(error.valid_up_to()))
}
