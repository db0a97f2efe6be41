//! The oracle's packets in words.

use std::num::{NonZeroU16, NonZeroU32};

use ntex_bytes::{ByteString, Bytes, BytesMut};
use ntex_codec::Decoder;
use ntex_mqtt::{v3, v5};
use wire::mqtt::Version;

use super::Words;

/// What it reads in a whole packet, or why it does not.
pub(super) fn read(frame: &[u8], version: Version) -> Result<Words, String> {
    let mut source = BytesMut::copy_from_slice(frame);
    match version {
        Version::V3 => match v3::codec::Codec::new().decode(&mut source) {
            Ok(Some(v3::codec::Decoded::Packet(packet, _))) => Ok(packet_v3(&packet)),
            Ok(Some(v3::codec::Decoded::Publish(publish, payload, _))) => Ok(publish_v3(&publish, &payload)),
            Ok(_) => Err("it waits for more".to_owned()),
            Err(e) => Err(format!("{e:?}")),
        },
        Version::V5 => match v5::codec::Codec::new().decode(&mut source) {
            Ok(Some(v5::codec::Decoded::Packet(packet, _))) => Ok(packet_v5(&packet)),
            Ok(Some(v5::codec::Decoded::Publish(publish, payload, _))) => Ok(publish_v5(&publish, &payload)),
            Ok(_) => Err("it waits for more".to_owned()),
            Err(e) => Err(format!("{e:?}")),
        },
    }
}

fn text(text: &Option<ByteString>) -> Option<&str> {
    text.as_deref()
}

fn bytes(bytes: &Option<Bytes>) -> Option<&[u8]> {
    bytes.as_deref()
}

fn user(properties: &[(ByteString, ByteString)]) -> Vec<(&str, &str)> {
    properties.iter().map(|(k, v)| (&**k, &**v)).collect()
}

fn number(n: Option<NonZeroU32>) -> Option<u32> {
    n.map(NonZeroU32::get)
}

fn packet_v3(packet: &v3::codec::Packet) -> Words {
    use v3::codec::{Packet as P, SubscribeReturnCode as Code};
    let ack = |name: &str, id: &NonZeroU16| Words::new(name).put("id", id.get()).put("code", 0);
    match packet {
        P::Connect(p) => connect_v3(p),
        P::ConnectAck(p) => {
            Words::new("connack").put("present", p.session_present).put("code", u8::from(p.return_code))
        }
        P::PublishAck { packet_id } => ack("puback", packet_id),
        P::PublishReceived { packet_id } => ack("pubrec", packet_id),
        P::PublishRelease { packet_id } => ack("pubrel", packet_id),
        P::PublishComplete { packet_id } => ack("pubcomp", packet_id),
        P::Subscribe { packet_id, topic_filters } => {
            let filters: Vec<_> = topic_filters.iter().map(|(f, qos)| (&**f, u8::from(*qos))).collect();
            Words::new("subscribe").put("id", packet_id.get()).put("filters", filters)
        }
        P::SubscribeAck { packet_id, status } => {
            let code = |code: &Code| match code {
                Code::Success(qos) => u8::from(*qos),
                Code::Failure => 0x80,
            };
            let reasons: Vec<_> = status.iter().map(code).collect();
            Words::new("suback").put("id", packet_id.get()).put("reasons", reasons)
        }
        P::Unsubscribe { packet_id, topic_filters } => {
            let filters: Vec<&str> = topic_filters.iter().map(|f| &**f).collect();
            Words::new("unsubscribe").put("id", packet_id.get()).put("filters", filters)
        }
        P::UnsubscribeAck { packet_id } => {
            Words::new("unsuback").put("id", packet_id.get()).put("reasons", [0_u8; 0])
        }
        P::PingRequest => Words::new("pingreq"),
        P::PingResponse => Words::new("pingresp"),
        P::Disconnect => Words::new("disconnect"),
    }
}

fn connect_v3(p: &v3::codec::Connect) -> Words {
    let will = p.last_will.as_ref().map(|w| {
        Words::new("will")
            .put("topic", &*w.topic)
            .put("payload", &*w.message)
            .put("qos", u8::from(w.qos))
            .put("retain", w.retain)
    });
    Words::new("connect")
        .put("clean", p.clean_session)
        .put("keep_alive", p.keep_alive)
        .put("client", &*p.client_id)
        .put("username", text(&p.username))
        .put("password", bytes(&p.password))
        .put("will", will)
}

fn publish_v3(p: &v3::codec::Publish, payload: &[u8]) -> Words {
    Words::new("publish")
        .put("dup", p.dup)
        .put("qos", u8::from(p.qos))
        .put("retain", p.retain)
        .put("topic", &*p.topic)
        .put("id", p.packet_id.map_or(0, NonZeroU16::get))
        .put("payload", payload)
}

fn publish_v5(p: &v5::codec::Publish, payload: &[u8]) -> Words {
    let all = &p.properties;
    let ids: Vec<u32> = all.subscription_ids.iter().map(|id| id.get()).collect();
    Words::new("publish")
        .put("dup", p.dup)
        .put("qos", u8::from(p.qos))
        .put("retain", p.retain)
        .put("topic", &*p.topic)
        .put("id", p.packet_id.map_or(0, NonZeroU16::get))
        .put("payload", payload)
        .put("alias", all.topic_alias.map(NonZeroU16::get))
        .put("expiry", number(all.message_expiry_interval))
        .put("utf8", all.is_utf8_payload)
        .put("content", text(&all.content_type))
        .put("response", text(&all.response_topic))
        .put("correlation", bytes(&all.correlation_data))
        .put("sub_ids", ids)
        .put("user", user(&all.user_properties))
}

fn packet_v5(packet: &v5::codec::Packet) -> Words {
    use v5::codec::Packet as P;
    match packet {
        P::Connect(p) => connect_v5(p),
        P::ConnectAck(p) => connack_v5(p),
        P::PublishAck(p) => ack_v5("puback", p),
        P::PublishReceived(p) => ack_v5("pubrec", p),
        P::PublishRelease(p) => ack2_v5("pubrel", p),
        P::PublishComplete(p) => ack2_v5("pubcomp", p),
        P::Subscribe(p) => subscribe_v5(p),
        P::SubscribeAck(p) => {
            let reasons: Vec<u8> = p.status.iter().map(|r| u8::from(*r)).collect();
            Words::new("suback")
                .put("id", p.packet_id.get())
                .put("reasons", reasons)
                .put("why", text(&p.reason_string))
                .put("user", user(&p.properties))
        }
        P::Unsubscribe(p) => {
            let filters: Vec<&str> = p.topic_filters.iter().map(|f| &**f).collect();
            Words::new("unsubscribe")
                .put("id", p.packet_id.get())
                .put("filters", filters)
                .put("user", user(&p.user_properties))
        }
        P::UnsubscribeAck(p) => {
            let reasons: Vec<u8> = p.status.iter().map(|r| u8::from(*r)).collect();
            Words::new("unsuback")
                .put("id", p.packet_id.get())
                .put("reasons", reasons)
                .put("why", text(&p.reason_string))
                .put("user", user(&p.properties))
        }
        P::PingRequest => Words::new("pingreq"),
        P::PingResponse => Words::new("pingresp"),
        P::Disconnect(p) => Words::new("disconnect")
            .put("code", u8::from(p.reason_code))
            .put("session_expiry", p.session_expiry_interval_secs)
            .put("server", text(&p.server_reference))
            .put("why", text(&p.reason_string))
            .put("user", user(&p.user_properties)),
        P::Auth(p) => Words::new("auth")
            .put("code", u8::from(p.reason_code))
            .put("auth", (text(&p.auth_method), bytes(&p.auth_data)))
            .put("why", text(&p.reason_string))
            .put("user", user(&p.user_properties)),
    }
}

fn connect_v5(p: &v5::codec::Connect) -> Words {
    let will = p.last_will.as_ref().map(|w| {
        Words::new("will")
            .put("topic", &*w.topic)
            .put("payload", &*w.message)
            .put("qos", u8::from(w.qos))
            .put("retain", w.retain)
            .put("delay", w.will_delay_interval_sec)
            .put("expiry", number(w.message_expiry_interval))
            .put("utf8", w.is_utf8_payload)
            .put("content", text(&w.content_type))
            .put("response", text(&w.response_topic))
            .put("correlation", bytes(&w.correlation_data))
            .put("user", user(&w.user_properties))
    });
    Words::new("connect")
        .put("clean", p.clean_start)
        .put("keep_alive", p.keep_alive)
        .put("client", &*p.client_id)
        .put("username", text(&p.username))
        .put("password", bytes(&p.password))
        .put("will", will)
        .put("session_expiry", p.session_expiry_interval_secs)
        .put("auth", (text(&p.auth_method), bytes(&p.auth_data)))
        .put("problems", p.request_problem_info)
        .put("responses", p.request_response_info)
        .put("receive_max", p.receive_max.map(NonZeroU16::get))
        .put("alias_max", p.topic_alias_max)
        .put("packet_max", number(p.max_packet_size))
        .put("user", user(&p.user_properties))
}

fn connack_v5(p: &v5::codec::ConnectAck) -> Words {
    Words::new("connack")
        .put("present", p.session_present)
        .put("code", u8::from(p.reason_code))
        .put("session_expiry", p.session_expiry_interval_secs)
        .put("receive_max", p.receive_max.get())
        .put("qos_max", u8::from(p.max_qos))
        .put("packet_max", p.max_packet_size)
        .put("client", text(&p.assigned_client_id))
        .put("alias_max", p.topic_alias_max)
        .put("retain", p.retain_available)
        .put("wildcard", p.wildcard_subscription_available)
        .put("sub_ids", p.subscription_identifiers_available)
        .put("shared", p.shared_subscription_available)
        .put("keep_alive", p.server_keepalive_sec)
        .put("response", text(&p.response_info))
        .put("server", text(&p.server_reference))
        .put("auth", (text(&p.auth_method), bytes(&p.auth_data)))
        .put("why", text(&p.reason_string))
        .put("user", user(&p.user_properties))
}

fn ack_v5(name: &str, p: &v5::codec::PublishAck) -> Words {
    Words::new(name)
        .put("id", p.packet_id.get())
        .put("code", u8::from(p.reason_code))
        .put("why", text(&p.reason_string))
        .put("user", user(&p.properties))
}

fn ack2_v5(name: &str, p: &v5::codec::PublishAck2) -> Words {
    Words::new(name)
        .put("id", p.packet_id.get())
        .put("code", u8::from(p.reason_code))
        .put("why", text(&p.reason_string))
        .put("user", user(&p.properties))
}

fn subscribe_v5(p: &v5::codec::Subscribe) -> Words {
    let filters: Vec<_> = p
        .topic_filters
        .iter()
        .map(|(f, o)| (&**f, u8::from(o.qos), o.no_local, o.retain_as_published, u8::from(o.retain_handling)))
        .collect();
    Words::new("subscribe")
        .put("id", p.packet_id.get())
        .put("filters", filters)
        .put("sub_id", number(p.id))
        .put("user", user(&p.user_properties))
}
