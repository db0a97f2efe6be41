//! What client and server agree on in CONNECT and CONNACK.

use record::Qos;

use crate::mqtt::{Connect, PropertiesBuf, Property, ReasonCode, Version};

/// What this server grants, the same for every connection of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// QoS 1 and 2 publishes of a client that may be unacknowledged at once; never 0.
    pub receive_maximum: u16,
    /// Largest packet taken, bytes.
    pub packet_bytes: u32,
    /// Highest topic alias a client may use.
    pub topic_alias_maximum: u16,
    /// Cap on the keep-alive, seconds; 0: as the client wishes.
    pub max_keep_alive_s: u16,
    /// Longest a session outlives its connection, seconds; `u32::MAX`: for ever.
    pub session_expiry_s: u32,
    /// Deliveries to a client that may be unacknowledged at once, whatever the client would take: each keeps a body or
    /// a place in memory.
    pub outgoing_window: u16,
    /// Topic aliases used towards a client, whatever it would take: each keeps a topic in memory.
    pub outgoing_aliases: u16,
    /// Deliveries that may wait for one session; beyond it the oldest that was never sent is dropped.
    pub queued: usize,
}

/// What holds on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The version spoken.
    pub version: Version,
    /// Whether earlier state is dropped.
    pub clean_start: bool,
    /// Seconds; 0: off. Silence for one and a half times as long ends the connection (MQTT-3.1.2-22).
    pub keep_alive_s: u16,
    /// Whether the server shortened the keep-alive and has to say so.
    pub keep_alive_capped: bool,
    /// Seconds the session outlives the connection; `u32::MAX`: for ever.
    pub expiry_s: u32,
    /// Whether the server shortened the expiry and has to say so.
    pub expiry_capped: bool,
    /// Deliveries the client takes unacknowledged, capped by our own window.
    pub window: u16,
    /// Largest packet the client takes, bytes.
    pub packet_bytes: u32,
    /// Topic aliases the server may use towards the client.
    pub aliases: u16,
    /// Whether reason strings are wanted on acknowledgements.
    pub problem_information: bool,
}

impl Terms {
    /// What holds after `connect`, or why it is refused.
    ///
    /// # Errors
    /// The reason code for the CONNACK.
    pub fn negotiate(connect: &Connect<'_>, limits: &Limits) -> Result<Self, ReasonCode> {
        let p = connect.properties;
        if p.auth_method().is_some() {
            // We offer no extended authentication (MQTT-4.12.0-1).
            return Err(ReasonCode::BadAuthenticationMethod);
        }
        let v5 = connect.version == Version::V5;
        if !v5 && connect.client_id.is_empty() && !connect.clean_start {
            return Err(ReasonCode::ClientIdentifierNotValid); // MQTT-3.1.3-8 of 3.1.1
        }
        let wanted_s = match (v5, connect.clean_start) {
            (true, _) => p.session_expiry().unwrap_or(0),
            (false, true) => 0,
            (false, false) => u32::MAX,
        };
        let expiry_s = wanted_s.min(limits.session_expiry_s);
        let (cap, asked) = (limits.max_keep_alive_s, connect.keep_alive_s);
        // A 3.1.1 server has no way to say another keep-alive, so it keeps to the client's.
        let keep_alive_capped = v5 && cap != 0 && (asked == 0 || asked > cap);
        Ok(Self {
            version: connect.version,
            clean_start: connect.clean_start,
            keep_alive_s: if keep_alive_capped { cap } else { asked },
            keep_alive_capped,
            expiry_s,
            expiry_capped: expiry_s != wanted_s,
            window: p.receive_maximum().unwrap_or(u16::MAX).min(limits.outgoing_window),
            packet_bytes: p.maximum_packet_size().unwrap_or(u32::MAX),
            aliases: p.topic_alias_maximum().unwrap_or(0).min(limits.outgoing_aliases),
            problem_information: p.request_problem_information().unwrap_or(true),
        })
    }

    /// The properties of the CONNACK that tells the client; none in 3.1.1.
    #[must_use]
    pub fn connack_properties(&self, limits: &Limits, assigned_client_id: Option<&str>) -> PropertiesBuf {
        let mut properties = PropertiesBuf::new();
        if self.version == Version::V3 {
            return properties;
        }
        if self.expiry_capped {
            properties.push(Property::SessionExpiry(self.expiry_s));
        }
        if limits.receive_maximum != u16::MAX {
            properties.push(Property::ReceiveMaximum(limits.receive_maximum));
        }
        properties.push(Property::MaximumPacketSize(limits.packet_bytes));
        if let Some(id) = assigned_client_id {
            properties.push(Property::AssignedClientId(id));
        }
        if limits.topic_alias_maximum != 0 {
            properties.push(Property::TopicAliasMaximum(limits.topic_alias_maximum));
        }
        if self.keep_alive_capped {
            properties.push(Property::ServerKeepAlive(self.keep_alive_s));
        }
        properties
    }
}

/// The message that a connection leaves behind when it is lost, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedWill {
    /// Where to publish.
    pub topic: Box<str>,
    /// What.
    pub payload: Box<[u8]>,
    /// How.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// Seconds between the loss and the publication (MQTT 5, 3.1.3.2.2).
    pub delay_s: u32,
    /// The properties that travel with the message, as on the wire.
    pub properties: Box<[u8]>,
}

impl OwnedWill {
    /// Copies the will of a CONNECT.
    #[must_use]
    pub fn of(connect: &Connect<'_>) -> Option<Box<Self>> {
        let will = connect.will.as_ref()?;
        let mut properties = PropertiesBuf::new();
        will.properties.forward(will.properties.message_expiry(), &mut properties);
        Some(Box::new(Self {
            topic: will.topic.into(),
            payload: will.payload.into(),
            qos: will.qos,
            retain: will.retain,
            delay_s: will.properties.will_delay().unwrap_or(0),
            properties: properties.as_properties().as_bytes().into(),
        }))
    }
}
