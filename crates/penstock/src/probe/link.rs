//! A connection to the server, as blocking as the thread that owns it.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use fleet::packet::{self, Connect, Incoming, Publish, Version};

use super::buffer::Waiting;

/// How long to wait for an answer before the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest silence of ours: as the keep-alive we announce, 60 s, less a good margin.
const PING_AFTER: Duration = Duration::from_secs(30);
const KEEP_ALIVE_S: u16 = 60;
/// Longest answer read, bytes: acknowledgements are a few bytes.
const ANSWER_BYTES: usize = 64 << 10;
/// A refusal from here up (MQTT 5.0, 2.4).
const REFUSED: u8 = 0x80;

/// An open connection.
pub(super) struct Link {
    stream: Box<dyn fleet::target::Stream>,
    received: Vec<u8>,
    next_packet_id: u16,
    /// How many publishes the server takes at once.
    pub(super) receive_maximum: u16,
    /// How long the line may be silent.
    pub(super) ping_after: Duration,
}

/// What the server said to a message.
pub(super) struct Answered {
    pub(super) seq: i64,
    pub(super) code: u8,
}

impl Link {
    pub(super) fn open(
        target: &str,
        tls: &fleet::target::TlsFiles,
        connect: &Connect<'_>,
    ) -> anyhow::Result<Self> {
        // Resolved and read anew each time: addresses change, certificates are renewed.
        let stream = fleet::target::Target::new(target, tls)?.connect(PATIENCE).context("no connection")?;
        let mut link = Self {
            stream,
            received: Vec::new(),
            next_packet_id: 0,
            receive_maximum: 1,
            ping_after: PING_AFTER,
        };
        let mut out = Vec::new();
        packet::connect(&mut out, &Connect { keep_alive_s: KEEP_ALIVE_S, ..connect.clone() });
        link.send(&out)?;
        let (code, receive_maximum, keep_alive_s) = link.wait(|packet| match *packet {
            Incoming::ConnAck { code, receive_maximum, server_keep_alive_s, .. } => {
                Some((code, receive_maximum, server_keep_alive_s))
            }
            _ => None,
        })?;
        if code >= REFUSED {
            bail!("the server refuses the connection, reason {}", packet::reason(code));
        }
        link.receive_maximum = receive_maximum.max(1);
        if let Some(seconds) = keep_alive_s.filter(|seconds| *seconds > 0) {
            link.ping_after = PING_AFTER.min(Duration::from_secs(u64::from(seconds)) / 2);
        }
        Ok(link)
    }

    /// Sends all of `batch`, waits for what the server says to each. What it said before an error is in `answered`.
    pub(super) fn deliver(&mut self, batch: &[Waiting], answered: &mut Vec<Answered>) -> anyhow::Result<()> {
        let mut out = Vec::new();
        let mut open = Vec::with_capacity(batch.len());
        for Waiting { seq, topic, payload } in batch {
            // 0 is no packet id; the others are free again, for a batch ends before the next begins.
            self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
            let packet_id = self.next_packet_id;
            let publish = Publish { topic, qos: 1, retain: false, packet_id };
            packet::publish(&mut out, Version::V5, &publish, payload);
            open.push((packet_id, *seq));
        }
        self.send(&out)?;
        while !open.is_empty() {
            let (packet_id, code) = self.wait(|packet| match *packet {
                Incoming::Ack { kind: 4, packet_id, code } => Some((packet_id, code)),
                _ => None,
            })?;
            let Some(at) = open.iter().position(|(id, _)| *id == packet_id) else {
                bail!("the server acknowledges packet {packet_id}, which was not sent");
            };
            answered.push(Answered { seq: open.remove(at).1, code });
        }
        Ok(())
    }

    /// Asks whether the other end is there.
    pub(super) fn ping(&mut self) -> anyhow::Result<()> {
        let mut out = Vec::new();
        packet::ping(&mut out);
        self.send(&out)?;
        self.wait(|packet| matches!(packet, Incoming::PingResp).then_some(()))
    }

    fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes)?;
        Ok(self.stream.flush()?)
    }

    /// Reads until `wanted` finds its packet in what comes.
    fn wait<T>(&mut self, wanted: impl Fn(&Incoming<'_>) -> Option<T>) -> anyhow::Result<T> {
        loop {
            while let Some((packet, size)) = packet::incoming(&self.received, Version::V5)? {
                if let Incoming::Disconnect { code } = packet {
                    bail!("the server ended the connection, reason {}", packet::reason(code));
                }
                let found = wanted(&packet);
                self.received.drain(..size);
                if let Some(found) = found {
                    return Ok(found);
                }
            }
            if self.received.len() > ANSWER_BYTES {
                bail!("the server's answer has no end");
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).context("no answer")? {
                0 => bail!("the server closed the connection"),
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
