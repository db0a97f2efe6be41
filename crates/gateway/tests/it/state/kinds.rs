//! Which records of the log are messages for subscribers.

use log::{Lane, PartitionId, Position, Topic};
use penstock_gateway::state::{Book, Limits, SessionKey};
use penstock_gateway::topics::{Audience, Matches, Standing};
use record::{Envelope, Kind, Protocol, Qos};
use wire::mqtt::{RetainHandling, SubscribeOptions};

use super::world::{TENANT, envelope};

struct Everyone;

impl Audience<SessionKey> for Everyone {
    fn standing(&self, _: SessionKey) -> Standing {
        Standing::Connected
    }
    fn is_publisher(&self, _: SessionKey) -> bool {
        false
    }
}

#[test]
fn parts_and_replays_are_for_the_store_alone() {
    let mut book = Book::new(Limits::default());
    let options = SubscribeOptions {
        qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::DoNotSend,
    };
    let session = book.open(TENANT, "c", true, 0).session;
    book.subscriptions().insert(TENANT, "#", session, &options, 0).unwrap();
    let partition = PartitionId { topic: Topic::Raw, lane: Lane::Backfill, index: 0 };
    let kinds = [(Kind::Telemetry, true), (Kind::Part, false), (Kind::Replay, false), (Kind::Message, true)];
    for (offset, (kind, arrives)) in (0..).zip(kinds) {
        let message = envelope("a", b"x", Qos::AtLeastOnce, true, None, 1);
        let mut bytes = Vec::new();
        // Properties that would be refused as those of MQTT.
        Envelope { kind, protocol: Protocol::Internal, properties: &[0xff; 12], ..message }
            .encode(&mut bytes);
        let mut matches = Matches::new();
        let applied = book.apply_message(Position { partition, offset }, &bytes, &Everyone, &mut matches);
        assert!(applied.is_ok(), "{kind:?}: {applied:?}");
        assert_eq!(!matches.as_slice().is_empty(), arrives, "{kind:?}");
        assert_eq!(book.positions().get(partition), offset + 1, "{kind:?}");
    }
}
