//! Topic aliases (MQTT 5, 3.3.2.3.4), each direction with its own.

use crate::mqtt::ReasonCode;

/// The aliases of a connection. Most connections have none and pay a pointer for it.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// What the client set: alias n at n - 1; empty text: not set.
    inbound: Vec<Box<str>>,
    /// What the server set, in the order of their numbers.
    outbound: Vec<Box<str>>,
}

/// How a topic is named to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicName {
    /// In full.
    Full,
    /// In full, and from now on by this number.
    Introduce(u16),
    /// By its number alone.
    Alias(u16),
}

impl Aliases {
    /// Learns what `alias` stands for, or checks that it is known when `topic` is empty.
    pub(super) fn learn(&mut self, topic: &str, alias: u16, maximum: u16) -> Result<(), ReasonCode> {
        if alias == 0 || alias > maximum {
            return Err(ReasonCode::TopicAliasInvalid); // MQTT-3.3.2-8, MQTT-3.3.2-9
        }
        let index = usize::from(alias) - 1;
        if topic.is_empty() {
            return match self.inbound.get(index) {
                Some(known) if !known.is_empty() => Ok(()),
                _ => Err(ReasonCode::ProtocolError), // 3.3.4: an alias that was never set
            };
        }
        if self.inbound.len() <= index {
            self.inbound.resize_with(index + 1, Box::default);
        }
        if *self.inbound[index] != *topic {
            self.inbound[index] = topic.into();
        }
        Ok(())
    }

    /// What an alias that was learnt stands for.
    pub(super) fn topic(&self, alias: u16) -> &str {
        self.inbound.get(usize::from(alias).wrapping_sub(1)).map_or("", |topic| topic)
    }

    /// How to name `topic` to a client that takes `maximum` aliases. The first topics of a connection get them and
    /// keep them: replacing would cost more look-ups than it saves bytes.
    pub(super) fn name(&mut self, topic: &str, maximum: u16) -> TopicName {
        let number = |at: usize| u16::try_from(at + 1).expect("bounded by a u16 maximum");
        if let Some(at) = self.outbound.iter().position(|known| **known == *topic) {
            return TopicName::Alias(number(at));
        }
        if self.outbound.len() < usize::from(maximum) {
            self.outbound.push(topic.into());
            return TopicName::Introduce(number(self.outbound.len() - 1));
        }
        TopicName::Full
    }

    /// Takes back an introduction whose packet was not sent after all.
    pub(super) fn forget_last(&mut self) {
        self.outbound.pop();
    }
}
