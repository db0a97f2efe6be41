//! A telemetry message that speaks of several devices.

use log::{Batch, PartitionId, Topic};
use record::{Encoding, Envelope, Lane, partition_of};
use wire::payload::Scratch;

use crate::pieces::{Piece, Pieces, append_line};

/// How a message is cut up: each device's readings into a record of their own in that device's partition, what cannot
/// be read into one dead letter.
pub(super) struct Mixed<'a> {
    pub(super) log: &'a dyn log::Log,
    pub(super) lane: Lane,
    /// What every part has in common; its payload is the whole message.
    pub(super) part: Envelope<'a>,
}

impl Mixed<'_> {
    /// Appends the parts of the message as it was just decoded into `scratch`.
    pub(super) fn append(&self, scratch: &Scratch, batch: &mut Batch) {
        let Envelope { encoding, payload, .. } = self.part;
        let mut push = |piece: Piece<'_>| {
            let Piece { device, lane, encoding, payload } = piece;
            self.push(batch, lane, &Envelope { device, encoding, payload, ..self.part });
        };
        let mut pieces = Pieces::new(scratch, payload, encoding, None);
        let mut unread = Vec::new();
        let mut count = 0_usize;
        for (index, element) in scratch.elements().iter().enumerate() {
            match element.device.filter(|_| !element.rows.is_empty()) {
                Some(device) => pieces.add(device, self.lane, index, &mut push),
                None => {
                    append_line(&mut unread, &payload[element.range.clone()]);
                    count += 1;
                }
            }
        }
        pieces.finish(&mut push);
        if count > 0 {
            let first = scratch.rejected().first().map_or_else(String::new, |first| first.reason.to_string());
            let reason =
                format!("{count} of {} elements are unusable, the first: {first}", scratch.elements().len());
            let encoding = if encoding == Encoding::Influx { encoding } else { Encoding::Ndjson };
            let payload = unread.trim_ascii_end();
            self.push(batch, self.lane, &Envelope { refused: Some(&reason), encoding, payload, ..self.part });
        }
    }

    fn push(&self, batch: &mut Batch, lane: Lane, envelope: &Envelope<'_>) {
        let index = partition_of(envelope.tenant, envelope.device, self.log.partitions(Topic::Raw));
        batch.push_with(PartitionId { topic: Topic::Raw, lane, index }, |out| envelope.encode(out));
    }
}
