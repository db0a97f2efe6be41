//! Our packets in words. Absent properties get the standard's defaults, as the oracle gives them.

use wire::mqtt::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, Properties, Publish, Subscribe, Version, Will,
};

use super::Words;

pub(super) fn read(packet: &Packet<'_>, version: Version) -> Words {
    let v5 = version == Version::V5;
    match packet {
        Packet::Connect(p) => connect(p, v5),
        Packet::ConnAck(p) => connack(p, v5),
        Packet::Publish(p) => publish(p, v5),
        Packet::Ack(p) => ack(p, v5),
        Packet::Subscribe(p) => subscribe(p, v5),
        Packet::SubAck(p) => {
            let reasons: Vec<u8> = p.reasons.iter().map(|r| *r as u8).collect();
            explained(Words::new("suback").put("id", p.packet_id).put("reasons", reasons), p.properties, v5)
        }
        Packet::Unsubscribe(p) => {
            let words = Words::new("unsubscribe").put("id", p.packet_id).put("filters", &p.filters);
            if v5 { words.put("user", user(p.properties)) } else { words }
        }
        Packet::UnsubAck(p) => {
            let reasons: Vec<u8> = p.reasons.iter().map(|r| *r as u8).collect();
            explained(Words::new("unsuback").put("id", p.packet_id).put("reasons", reasons), p.properties, v5)
        }
        Packet::PingReq => Words::new("pingreq"),
        Packet::PingResp => Words::new("pingresp"),
        Packet::Disconnect(p) => disconnect(p, v5),
        Packet::Auth(p) => auth(p),
    }
}

fn user(properties: Properties<'_>) -> Vec<(&str, &str)> {
    properties.user_properties().collect()
}

fn explained(words: Words, p: Properties<'_>, v5: bool) -> Words {
    if v5 { words.put("why", p.reason_string()).put("user", user(p)) } else { words }
}

fn connect(p: &Connect<'_>, v5: bool) -> Words {
    let words = Words::new("connect")
        .put("clean", p.clean_start)
        .put("keep_alive", p.keep_alive_s)
        .put("client", p.client_id)
        .put("username", p.username)
        .put("password", p.password)
        .put("will", p.will.as_ref().map(|w| will(w, v5)));
    if !v5 {
        return words;
    }
    let all = p.properties;
    words
        .put("session_expiry", all.session_expiry().unwrap_or(0))
        .put("auth", (all.auth_method(), all.auth_data()))
        .put("problems", all.request_problem_information().unwrap_or(true))
        .put("responses", all.request_response_information().unwrap_or(false))
        .put("receive_max", all.receive_maximum())
        .put("alias_max", all.topic_alias_maximum().unwrap_or(0))
        .put("packet_max", all.maximum_packet_size())
        .put("user", user(all))
}

fn will(w: &Will<'_>, v5: bool) -> Words {
    let words = Words::new("will")
        .put("topic", w.topic)
        .put("payload", w.payload)
        .put("qos", w.qos as u8)
        .put("retain", w.retain);
    if !v5 {
        return words;
    }
    let all = w.properties;
    words
        .put("delay", all.will_delay())
        .put("expiry", all.message_expiry())
        .put("utf8", all.payload_format().map(|f| f == 1))
        .put("content", all.content_type())
        .put("response", all.response_topic())
        .put("correlation", all.correlation_data())
        .put("user", user(all))
}

fn connack(p: &ConnAck<'_>, v5: bool) -> Words {
    let words = Words::new("connack").put("present", p.session_present);
    if !v5 {
        return words.put("code", p.reason.connack_v3().expect("a code of 3.1.1"));
    }
    let all = p.properties;
    words
        .put("code", p.reason as u8)
        .put("session_expiry", all.session_expiry())
        .put("receive_max", all.receive_maximum().unwrap_or(65_535))
        .put("qos_max", all.maximum_qos().unwrap_or(2))
        .put("packet_max", all.maximum_packet_size())
        .put("client", all.assigned_client_id())
        .put("alias_max", all.topic_alias_maximum().unwrap_or(0))
        .put("retain", all.retain_available().unwrap_or(true))
        .put("wildcard", all.wildcard_available().unwrap_or(true))
        .put("sub_ids", all.subscription_id_available().unwrap_or(true))
        .put("shared", all.shared_available().unwrap_or(true))
        .put("keep_alive", all.server_keep_alive())
        .put("response", all.response_information())
        .put("server", all.server_reference())
        .put("auth", (all.auth_method(), all.auth_data()))
        .put("why", all.reason_string())
        .put("user", user(all))
}

fn publish(p: &Publish<'_>, v5: bool) -> Words {
    let words = Words::new("publish")
        .put("dup", p.dup)
        .put("qos", p.qos as u8)
        .put("retain", p.retain)
        .put("topic", p.topic)
        .put("id", p.packet_id)
        .put("payload", p.payload);
    if !v5 {
        return words;
    }
    let all = p.properties;
    words
        .put("alias", all.topic_alias())
        .put("expiry", all.message_expiry())
        .put("utf8", all.payload_format() == Some(1))
        .put("content", all.content_type())
        .put("response", all.response_topic())
        .put("correlation", all.correlation_data())
        .put("sub_ids", all.subscription_ids().collect::<Vec<_>>())
        .put("user", user(all))
}

fn ack(p: &Ack<'_>, v5: bool) -> Words {
    let name = match p.kind {
        AckKind::PubAck => "puback",
        AckKind::PubRec => "pubrec",
        AckKind::PubRel => "pubrel",
        AckKind::PubComp => "pubcomp",
    };
    explained(Words::new(name).put("id", p.packet_id).put("code", p.reason as u8), p.properties, v5)
}

fn subscribe(p: &Subscribe<'_>, v5: bool) -> Words {
    let words = Words::new("subscribe").put("id", p.packet_id);
    if !v5 {
        let filters: Vec<_> = p.filters.iter().map(|f| (f.filter, f.options.qos as u8)).collect();
        return words.put("filters", filters);
    }
    let filters: Vec<_> = p
        .filters
        .iter()
        .map(|f| {
            let o = f.options;
            (f.filter, o.qos as u8, o.no_local, o.retain_as_published, o.retain_handling as u8)
        })
        .collect();
    words
        .put("filters", filters)
        .put("sub_id", p.properties.subscription_id())
        .put("user", user(p.properties))
}

fn disconnect(p: &Disconnect<'_>, v5: bool) -> Words {
    let words = Words::new("disconnect");
    if !v5 {
        return words;
    }
    words
        .put("code", p.reason as u8)
        .put("session_expiry", p.properties.session_expiry())
        .put("server", p.properties.server_reference())
        .put("why", p.properties.reason_string())
        .put("user", user(p.properties))
}

fn auth(p: &Auth<'_>) -> Words {
    Words::new("auth")
        .put("code", p.reason as u8)
        .put("auth", (p.properties.auth_method(), p.properties.auth_data()))
        .put("why", p.properties.reason_string())
        .put("user", user(p.properties))
}
