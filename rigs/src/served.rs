//! Publishes through the server, and whether its log holds them.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use fleet::content::{Content, Id};
use fleet::load::{Load, Options, Pace};
use fleet::report::Acked;
use fleet::target::{Target, TlsFiles};
use log::Topic;
use record::Envelope;

use crate::outcome::{Result, broken};
use crate::server::Place;

/// Publishes QoS 1 messages to topics `PREFIX/{i}` at a rate, until halted. Connections come back, publishes that
/// were on their way when one broke do not.
///
/// # Errors
/// The server does not let us in.
pub fn publish(place: &Place, prefix: &str, per_second: f64) -> anyhow::Result<Load> {
    let mut options = Options::new(Target::new(&place.mqtt.to_string(), &TlsFiles::default())?);
    options.connections = 20;
    options.pace = Pace::open(per_second);
    options.content = Content::Plain { topic: format!("{prefix}/{{i}}"), size_bytes: 100 };
    options.record = true;
    options.reconnect = true;
    let mut load = Load::start(options)?;
    load.wait_up(Duration::from_secs(30))?;
    load.begin(None)?;
    Ok(load)
}

/// The log of a stopped server must hold every acknowledged publish to `PREFIX/…`.
///
/// # Errors
/// One is missing, or the log cannot be read.
pub fn check(data: &Path, prefix: &str, acked: &[Acked]) -> Result<()> {
    let mut there = HashSet::new();
    crate::logged::for_each(&data.join("log"), log::Options::default(), Topic::Messages, |at, value| {
        let envelope = match Envelope::decode(value) {
            Ok(envelope) => envelope,
            Err(error) => return broken(format!("{at}: {error}")),
        };
        if envelope.topic.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
            && let Some(id) = Id::read(envelope.payload)
        {
            there.insert(id);
        }
        Ok(())
    })?;
    let id = |ack: &Acked| Id { connection: ack.connection, sequence: ack.sequence };
    let missing: Vec<_> = acked.iter().filter(|ack| !there.contains(&id(ack))).collect();
    match missing.first() {
        Some(first) => broken(format!(
            "{} of {} publishes acknowledged before the fault are missing, the first {first:?}",
            missing.len(),
            acked.len()
        )),
        None => Ok(()),
    }
}
