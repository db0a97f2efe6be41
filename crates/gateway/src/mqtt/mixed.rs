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

#[cfg(test)]
mod tests {
    use log::{Log, MemoryLog};
    use record::{Kind, Protocol, Qos, Timestamp};
    use wire::payload::{self, Message};

    use super::*;

    #[test]
    fn each_device_gets_a_record_in_its_own_partition_and_what_cannot_be_read_a_dead_letter() {
        let payload = br#"[{"device_id":"a","metric":"t","value":1,
            "ts":1700000000}, {"device_id":"b","metric":"t","value":2}, {"device_id":"a","metric":"t","value":3},
            {"metric":"t","value":4}]"#;
        let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
        let message = Message {
            encoding: Encoding::Json,
            device: None,
            metric: None,
            arrived_at: now,
            time_unit: None,
            payload,
        };
        let mut scratch = Scratch::new();
        payload::inspect(&message, &mut scratch).unwrap();
        let log = MemoryLog::new(log::Partitions::default());
        let part = Envelope {
            kind: Kind::Part,
            protocol: Protocol::Mqtt5,
            encoding: Encoding::Json,
            qos: Qos::AtLeastOnce,
            retain: false,
            refused: None,
            arrived_at: now,
            tenant: "default",
            device: "",
            topic: "sensors/t",
            origin: None,
            properties: &[],
            payload,
        };
        let mut batch = Batch::new();
        Mixed { log: &log, lane: Lane::Live, part }.append(&scratch, &mut batch);

        let told: Vec<_> = batch
            .records()
            .map(|record| {
                let envelope = Envelope::decode(record.value).unwrap();
                let expect = partition_of("default", envelope.device, log.partitions(Topic::Raw));
                assert_eq!((record.partition.topic, record.partition.index), (Topic::Raw, expect));
                assert_eq!(envelope.kind, Kind::Part);
                let lines = std::str::from_utf8(envelope.payload).unwrap().lines().count();
                (envelope.device, envelope.encoding, lines, envelope.refused.is_some())
            })
            .collect();
        let expected = [
            ("a", Encoding::Ndjson, 2, false),
            ("b", Encoding::Json, 1, false),
            ("", Encoding::Ndjson, 1, true),
        ];
        assert_eq!(told, expected);
    }
}
