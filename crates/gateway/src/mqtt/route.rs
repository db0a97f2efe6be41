//! Where a publish goes: telemetry or plain message, which lane, and whether it may.

use std::time::Duration;

use record::{DeviceId, Encoding, Kind, Lane, Timestamp};
use registry::{Acl, Identity};
use wire::mqtt::FIRMWARE;
use wire::mqtt::session::Inbound;
use wire::payload::{self, Scratch};
use wire::template::{Match, Templates};

use crate::schemas::{Offered, Schemas};

/// A client that brings history is read in the turns of those that do until its readings are younger than this: the last
/// minutes of a thousand backlogs come all at once, too.
const CAUGHT_UP: Duration = Duration::from_secs(30);
/// The user property that names the lane of a telemetry message.
const LANE_PROPERTY: &str = "penstock-lane";

/// The rules that decide.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) templates: Templates,
    pub(crate) acl: Acl,
    pub(crate) backfill_after: Option<Duration>,
    pub(crate) schemas: Schemas,
}

/// What was decided.
#[derive(Debug)]
pub(super) struct Route<'a> {
    pub(super) kind: Kind,
    pub(super) lane: Lane,
    /// Whether its newest reading is older than [`CAUGHT_UP`], whatever the lane.
    pub(super) is_behind: bool,
    pub(super) encoding: Encoding,
    /// The device that topic or credential name; empty: none.
    pub(super) device: &'a str,
    /// The device that decides the partition, where only the payload names it.
    pub(super) device_in_payload: Option<String>,
    /// The stream is not to have the payload as it is but cut up by device.
    pub(super) is_mixed: bool,
    /// What the payload means, where it does not say so itself: then this is cut up.
    pub(super) plain: Option<Plain>,
    /// Why it becomes a dead letter.
    pub(super) refused: Option<Box<str>>,
}

/// A payload behind the id of its schema, or in Avro or Protobuf, in the shape of JSON.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) encoding: Encoding,
    pub(super) payload: Box<[u8]>,
}

impl Rules {
    /// Decides about a publish; `None`: the identity may not publish it.
    pub(super) fn decide<'a>(
        &self,
        identity: &'a Identity,
        publish: &Inbound<'a>,
        now: Timestamp,
        scratch: &mut Scratch,
    ) -> Option<Route<'a>> {
        self.acl.may_publish(identity, publish.topic).ok()?;
        let Some(found) = self.templates.matching(publish.topic) else {
            return Some(Route {
                kind: Kind::Message,
                lane: Lane::Live,
                is_behind: false,
                encoding: Encoding::Opaque,
                device: "",
                device_in_payload: None,
                is_mixed: false,
                plain: None,
                refused: None,
            });
        };
        if found.tenant.is_some_and(|tenant| tenant != identity.tenant.as_str()) {
            return None;
        }
        self.telemetry(identity, publish, &found, now, scratch)
    }

    fn telemetry<'a>(
        &self,
        identity: &'a Identity,
        publish: &Inbound<'a>,
        found: &Match<'_, 'a>,
        now: Timestamp,
        scratch: &mut Scratch,
    ) -> Option<Route<'a>> {
        let named = found.device.or_else(|| identity.device().map(DeviceId::as_str));
        let mut encoding = encoding_of(publish.payload);
        let offered = Offered {
            tenant: identity.tenant.as_str(),
            topic: publish.topic,
            device_type: found.facts().find(|(name, _)| *name == "device_type").map(|(_, value)| value),
            firmware: user_property(publish, FIRMWARE),
            encoding,
            payload: publish.payload,
        };
        let mut buffer = String::new();
        let readable = self.schemas.explain(&offered, &mut buffer);
        if let Ok(readable) = &readable {
            encoding = readable.sent;
        }
        let asked = asked_lane(publish).or(found.lane());
        let mut route = Route {
            kind: Kind::Telemetry,
            lane: asked.unwrap_or(Lane::Live),
            is_behind: false,
            encoding,
            device: named.unwrap_or_default(),
            device_in_payload: None,
            is_mixed: false,
            plain: None,
            refused: None,
        };
        let readable = match readable {
            Ok(readable) => readable,
            Err(reason) => {
                route.refused = Some(reason.into());
                return Some(route);
            }
        };
        let message = payload::Message {
            encoding: readable.encoding,
            device: named,
            metric: found.metric,
            arrived_at: now,
            time_unit: found.time_unit(readable.encoding),
            payload: readable.payload,
        };
        match payload::inspect(&message, scratch) {
            Ok(summary) => {
                if asked.is_none() && self.is_old(summary.newest, now) {
                    route.lane = Lane::Backfill;
                }
                route.is_behind = is_older(summary.newest, now, CAUGHT_UP);
                if named.is_none() {
                    for device in scratch.readings().devices() {
                        let device = DeviceId::parse(device).ok()?;
                        self.acl.may_report(identity, &device).ok()?;
                    }
                    let mut devices = scratch.readings().devices();
                    route.device_in_payload = devices.next().map(str::to_owned);
                    route.is_mixed = devices.next().is_some();
                }
                if !std::ptr::eq(readable.payload, publish.payload) {
                    let payload = readable.payload.into();
                    route.plain = Some(Plain { encoding: readable.encoding, payload });
                    route.is_mixed = true;
                }
            }
            Err(reason) => route.refused = Some(reason.to_string().into()),
        }
        Some(route)
    }

    /// A message is history when even its newest reading is: one old reading among fresh ones stays live.
    fn is_old(&self, newest: Timestamp, now: Timestamp) -> bool {
        self.backfill_after.is_some_and(|after| is_older(newest, now, after))
    }
}

fn is_older(newest: Timestamp, now: Timestamp, than: Duration) -> bool {
    i128::from(now.nanos().saturating_sub(newest.nanos())) > than.as_nanos() as i128
}

fn asked_lane(publish: &Inbound<'_>) -> Option<Lane> {
    match user_property(publish, LANE_PROPERTY)? {
        "backfill" => Some(Lane::Backfill),
        "live" => Some(Lane::Live),
        _ => None,
    }
}

pub(super) fn user_property<'a>(publish: &Inbound<'a>, wanted: &str) -> Option<&'a str> {
    if publish.properties.is_empty() {
        return None;
    }
    publish.properties.user_properties().find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// How a telemetry payload is to be read. JSON values begin with one of a few characters or are one of three words;
/// anything else with a `=` in it is line protocol.
fn encoding_of(payload: &[u8]) -> Encoding {
    let text = payload.trim_ascii();
    let json = match text.first() {
        Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9') | None => true,
        Some(_) => matches!(text, b"true" | b"false" | b"null") || !text.contains(&b'='),
    };
    if json { payload::detect_json(payload) } else { Encoding::Influx }
}

#[cfg(test)]
mod tests {
    use record::Qos;
    use registry::AuthConfig;
    use wire::mqtt::{Properties, PropertiesBuf, Property};

    use super::*;

    fn rules() -> Rules {
        let policy = AuthConfig::default().validate().unwrap();
        let mut templates = Templates::shipped();
        templates.set_time_unit("assets/{id}/telemetry", record::TimeUnit::Milliseconds).unwrap();
        Rules {
            templates,
            acl: Acl::new(&policy, Templates::SHIPPED).unwrap(),
            backfill_after: Some(Duration::from_secs(3600)),
            schemas: Schemas::default(),
        }
    }

    #[test]
    fn a_publish_goes_where_its_topic_and_payload_say() {
        let now = Timestamp::from_millis(1_750_000_000_000).unwrap();
        let old = r#"{"ts":1740000000,"metrics":{"t":1}}"#;
        let fresh = r#"{"ts":1750000000,"metrics":{"t":1}}"#;
        let backfill = PropertiesBuf::new().with(Property::UserProperty(LANE_PROPERTY, "backfill"));
        let none = PropertiesBuf::new();
        for (topic, payload, properties, kind, lane, device, refused) in [
            ("devices/d1/telemetry", fresh, &none, Kind::Telemetry, Lane::Live, "d1", false),
            ("devices/d1/telemetry", old, &none, Kind::Telemetry, Lane::Backfill, "d1", false),
            ("devices/d1/telemetry", fresh, &backfill, Kind::Telemetry, Lane::Backfill, "d1", false),
            ("devices/d1/telemetry", "{", &none, Kind::Telemetry, Lane::Live, "d1", true),
            (
                "devices/d1/telemetry",
                "cpu,device_id=d1 load=1",
                &none,
                Kind::Telemetry,
                Lane::Live,
                "d1",
                false,
            ),
            // As seconds it would be far in the future, but this template's devices send milliseconds.
            (
                "assets/d1/telemetry",
                r#"{"ts":90000000000,"t":1}"#,
                &none,
                Kind::Telemetry,
                Lane::Backfill,
                "d1",
                false,
            ),
            ("chat", "{", &none, Kind::Message, Lane::Live, "", false),
        ] {
            let publish = Inbound {
                topic,
                qos: Qos::AtLeastOnce,
                retain: false,
                packet_id: 0,
                properties: properties.as_properties(),
                payload: payload.as_bytes(),
            };
            let identity = Identity::open();
            let route = rules().decide(&identity, &publish, now, &mut Scratch::new()).unwrap();
            assert_eq!(
                (route.kind, route.lane, route.device, route.refused.is_some()),
                (kind, lane, device, refused),
                "{topic} {payload}: {:?}",
                route.refused
            );
        }
    }

    #[test]
    fn nobody_publishes_to_the_servers_own_topics() {
        let publish = Inbound {
            topic: "$SYS/broker/version",
            qos: Qos::AtMostOnce,
            retain: false,
            packet_id: 0,
            properties: Properties::EMPTY,
            payload: b"",
        };
        let identity = Identity::open();
        assert!(rules().decide(&identity, &publish, Timestamp::now(), &mut Scratch::new()).is_none());
    }
}
