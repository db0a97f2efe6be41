//! Many light publishers: MQTT connections as tasks, each sending as fast as its acknowledgements allow, or at a pace.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fleet::packet::{self, Connect, Incoming, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server that acknowledges nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// One message to be published at QoS 1.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
}

/// A connection that publishes.
#[derive(Debug)]
pub struct Publisher {
    stream: TcpStream,
    tail: Vec<u8>,
    packet_id: u16,
    in_flight: usize,
}

impl Publisher {
    /// Connects with MQTT 3.1.1 and a clean session.
    ///
    /// # Errors
    /// The server does not let us in.
    pub async fn connect(address: SocketAddr, client_id: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let mut publisher = Self { stream, tail: Vec::new(), packet_id: 0, in_flight: 0 };
        let mut out = Vec::new();
        let says = Connect { version: Version::V311, client_id, clean_start: true, ..Connect::default() };
        packet::connect(&mut out, &says);
        publisher.stream.write_all(&out).await?;
        loop {
            match packet::incoming(&publisher.tail, Version::V311)? {
                Some((Incoming::ConnAck { code: 0, .. }, size)) => {
                    publisher.tail.drain(..size);
                    return Ok(publisher);
                }
                Some((other, _)) => bail!("CONNECT was answered {other:?}"),
                None => publisher.receive().await?,
            }
        }
    }

    /// Publishes what `next` writes until it returns `false`, with at most `window` on their way; returns when all are
    /// acknowledged. `acknowledged` counts them as they come.
    ///
    /// # Errors
    /// The connection ends, or nothing comes back for two minutes.
    pub async fn drain(
        &mut self,
        window: usize,
        acknowledged: &AtomicU64,
        mut next: impl FnMut(&mut Outgoing) -> bool,
    ) -> anyhow::Result<()> {
        let (mut message, mut out, mut more) = (Outgoing::default(), Vec::new(), true);
        loop {
            out.clear();
            while more && self.in_flight < window {
                message.topic.clear();
                message.payload.clear();
                more = next(&mut message);
                if more {
                    self.write(&mut out, &message);
                }
            }
            self.stream.write_all(&out).await?;
            if self.in_flight == 0 {
                return Ok(());
            }
            self.acknowledgements(acknowledged).await?;
        }
    }

    /// Publishes one message and waits until all that are on their way are acknowledged.
    ///
    /// # Errors
    /// As [`Self::drain`].
    pub async fn publish(&mut self, message: &Outgoing, acknowledged: &AtomicU64) -> anyhow::Result<()> {
        let mut out = Vec::new();
        self.write(&mut out, message);
        self.stream.write_all(&out).await?;
        while self.in_flight > 0 {
            self.acknowledgements(acknowledged).await?;
        }
        Ok(())
    }

    fn write(&mut self, out: &mut Vec<u8>, message: &Outgoing) {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        let says =
            packet::Publish { topic: &message.topic, qos: 1, retain: false, packet_id: self.packet_id };
        packet::publish(out, Version::V311, &says, &message.payload);
        self.in_flight += 1;
    }

    async fn acknowledgements(&mut self, acknowledged: &AtomicU64) -> anyhow::Result<()> {
        self.receive().await?;
        let mut at = 0;
        while let Some((incoming, size)) = packet::incoming(&self.tail[at..], Version::V311)? {
            ensure!(matches!(incoming, Incoming::Ack { kind: 4, .. }), "unasked {incoming:?}");
            at += size;
            self.in_flight = self.in_flight.checked_sub(1).context("an acknowledgement too many")?;
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self.tail.drain(..at);
        Ok(())
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let count = read.context("the server acknowledges nothing")??;
        ensure!(count > 0, "the server closed the connection");
        self.tail.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}
