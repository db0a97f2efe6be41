//! What an operator may say about the gateway: the raw form as written, and the validated form the code uses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use record::TimeUnit;
use serde::Deserialize;
use wire::template::Templates;

/// Why a configuration is refused, naming the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gateway.{key}: {problem}")]
pub struct Invalid {
    /// The key, below `gateway`.
    pub key: &'static str,
    /// What is wrong and what to write instead.
    pub problem: String,
}

/// `[gateway]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// `[gateway.mqtt]`.
    pub mqtt: RawMqtt,
    /// `[gateway.mqtt_tls]`; absent: no TLS listener.
    pub mqtt_tls: Option<RawTls>,
    /// `[gateway.websocket]`.
    pub websocket: RawWebsocket,
    /// `[gateway.topics]`.
    pub topics: RawTopics,
    /// `[gateway.limits]`.
    pub limits: RawLimits,
}

/// `[gateway.mqtt]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMqtt {
    /// Where to listen; empty: not at all.
    pub listen: String,
    /// Threads that serve connections; 0: one for every two cores, at least one. The other cores are for what comes
    /// behind: log, handshakes, decoding, storing.
    pub workers: usize,
    /// Longest keep-alive a client may ask for, seconds; 0: as the client wishes. MQTT 5 clients are told (3.2.2.3.14).
    pub max_keep_alive_s: u16,
}

impl Default for RawMqtt {
    fn default() -> Self {
        Self { listen: "127.0.0.1:1883".into(), workers: 0, max_keep_alive_s: 0 }
    }
}

/// `[gateway.mqtt_tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTls {
    /// Where to listen.
    #[serde(default = "default_tls_listen")]
    pub listen: String,
    /// The server's certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities that sign client certificates, PEM.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    #[serde(default)]
    pub require_client_cert: bool,
}

fn default_tls_listen() -> String {
    "127.0.0.1:8883".into()
}

/// `[gateway.websocket]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWebsocket {
    /// Where to listen; empty: not at all.
    pub listen: String,
}

impl Default for RawWebsocket {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8083".into() }
    }
}

/// `[gateway.topics]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTopics {
    /// Topic templates that make a publish telemetry (R1.8); absent: the shipped ones.
    pub templates: Option<Vec<String>>,
    /// The unit of numeric times, by template: `ns`, `us`, `ms` or `s`; absent: told from their magnitude (R4.4).
    pub time_units: BTreeMap<String, String>,
    /// A reading older than this on arrival goes to the backfill lane, seconds; 0: never by age.
    pub backfill_after_s: Option<u32>,
}

/// `[gateway.limits]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Most connections of all listeners.
    pub connections: usize,
    /// Largest MQTT packet, bytes.
    pub packet_bytes: usize,
    /// Publishes of one client that may wait for their commit (MQTT 5 Receive Maximum).
    pub receive_maximum: u16,
    /// Bytes of one connection that may wait for their commit.
    pub connection_in_flight_bytes: usize,
    /// Bytes of all connections that may wait for their commit.
    pub in_flight_bytes: usize,
    /// Messages that wait for one session.
    pub queued_messages: usize,
    /// Longest a session may outlive its connection, seconds.
    pub session_expiry_s: u32,
    /// New connections per second, sustained; 0: no limit.
    pub connects_per_s: u32,
    /// New connections at once above the rate.
    pub connect_burst: u32,
    /// TLS handshakes at a time.
    pub handshakes: usize,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            connections: 1_000_000,
            packet_bytes: record::limits::MQTT_PACKET_BYTES,
            receive_maximum: 1024,
            connection_in_flight_bytes: 8 << 20,
            in_flight_bytes: 256 << 20,
            queued_messages: 100_000,
            session_expiry_s: u32::MAX,
            connects_per_s: 5_000,
            connect_burst: 20_000,
            handshakes: 256,
        }
    }
}

/// The gateway's configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Plain MQTT; `None`: not at all.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtt_tls: Option<Tls>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
    /// Threads that serve connections.
    pub workers: usize,
    /// Cap on the keep-alive; zero: none.
    pub max_keep_alive_s: u16,
    /// Topic templates.
    pub templates: Templates,
    /// Age at which a reading is backfill; `None`: never by age.
    pub backfill_after: Option<Duration>,
    /// Limits.
    pub limits: Limits,
}

/// The TLS listener.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The server's certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities that sign client certificates, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    pub require_client_cert: bool,
}

/// Every bound on what clients may use of the gateway, in one place.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of all listeners: each costs about a kilobyte and a file descriptor.
    pub connections: usize,
    /// Largest MQTT packet, bytes, checked before it is allocated.
    pub packet_bytes: u32,
    /// Publishes of one connection that wait for their commit: what it may hold in our memory.
    pub receive_maximum: u16,
    /// Bytes of one connection that wait for their commit; above it the socket is not read.
    pub connection_in_flight_bytes: usize,
    /// Bytes of all connections that wait for their commit; above it no socket is read.
    pub in_flight_bytes: usize,
    /// Messages that wait for one session; above it the oldest is dropped and counted.
    pub queued_messages: usize,
    /// Longest a session outlives its connection, seconds; `u32::MAX`: for ever.
    pub session_expiry_s: u32,
    /// New connections per second, sustained; `None`: no limit.
    pub connects_per_s: Option<u32>,
    /// New connections at once above the rate.
    pub connect_burst: u32,
    /// TLS handshakes at a time: each costs a few hundred microseconds of a core.
    pub handshakes: usize,
    /// From accept to a complete CONNECT.
    pub connect_deadline: Duration,
    /// Bytes waiting in a connection's outgoing buffer above which QoS 0 is dropped and QoS 1 and 2 wait.
    pub outgoing_bytes: usize,
    /// How long a socket may accept nothing while bytes wait for it.
    pub write_stall: Duration,
}

/// A CONNECT that takes longer than this is no client.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// One socket buffer's worth: more queued here only ages.
const OUTGOING_BYTES: usize = 256 << 10;
/// As long as the longest radio hole we want to ride out with bytes in hand.
const WRITE_STALL: Duration = Duration::from_secs(60);

impl Default for Config {
    fn default() -> Self {
        Self::try_from(Raw::default()).expect("the defaults are valid: tested")
    }
}

impl Config {
    /// Plain MQTT on a port of the system's choice and nothing else: for tests.
    #[must_use]
    pub fn for_test() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { mqtt: Some(any), websocket: None, workers: 2, ..Self::default() }
    }
}

impl TryFrom<Raw> for Config {
    type Error = Invalid;

    fn try_from(raw: Raw) -> Result<Self, Invalid> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = limits(&raw.limits)?;
        Ok(Self {
            mqtt: listen("mqtt.listen", &raw.mqtt.listen)?,
            mqtt_tls: raw.mqtt_tls.map(tls).transpose()?.flatten(),
            websocket: listen("websocket.listen", &raw.websocket.listen)?,
            workers: if raw.mqtt.workers == 0 { (cores / 2).max(1) } else { raw.mqtt.workers },
            max_keep_alive_s: raw.mqtt.max_keep_alive_s,
            templates: templates(&raw.topics)?,
            backfill_after: match raw.topics.backfill_after_s {
                None => Some(Duration::from_secs(300)),
                Some(0) => None,
                Some(seconds) => Some(Duration::from_secs(seconds.into())),
            },
            limits,
        })
    }
}

fn templates(raw: &RawTopics) -> Result<Templates, Invalid> {
    let mut templates = match &raw.templates {
        Some(texts) => Templates::compile(texts)
            .map_err(|error| Invalid { key: "topics.templates", problem: error.to_string() })?,
        None => Templates::shipped(),
    };
    for (template, unit) in &raw.time_units {
        let invalid = |problem| Invalid { key: "topics.time_units", problem };
        let known = match unit.as_str() {
            "ns" | "us" | "ms" | "s" => TimeUnit::from_precision(unit),
            _ => None,
        };
        let unit = known.ok_or_else(|| invalid(format!("{unit:?} is no unit: write ns, us, ms or s")))?;
        templates.set_time_unit(template, unit).map_err(|error| invalid(error.to_string()))?;
    }
    Ok(templates)
}

fn tls(raw: RawTls) -> Result<Option<Tls>, Invalid> {
    if raw.require_client_cert && raw.client_ca.is_none() {
        return Err(Invalid {
            key: "mqtt_tls.require_client_cert",
            problem:
                "client certificates cannot be checked without `client_ca`: name the file of authorities"
                    .into(),
        });
    }
    Ok(listen("mqtt_tls.listen", &raw.listen)?.map(|listen| Tls {
        listen,
        cert: raw.cert,
        key: raw.key,
        client_ca: raw.client_ca,
        require_client_cert: raw.require_client_cert,
    }))
}

fn listen(key: &'static str, text: &str) -> Result<Option<SocketAddr>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Invalid {
        key,
        problem: format!("{text:?} is not an address and port such as \"127.0.0.1:1883\" or \"[::]:1883\""),
    })
}

fn limits(raw: &RawLimits) -> Result<Limits, Invalid> {
    let largest = record::limits::RECORD_BYTES - (64 << 10);
    if !(1024..=largest).contains(&raw.packet_bytes) {
        return Err(Invalid {
            key: "limits.packet_bytes",
            problem: format!("{} is not between 1024 and {largest}", raw.packet_bytes),
        });
    }
    if raw.receive_maximum == 0 {
        return Err(Invalid {
            key: "limits.receive_maximum",
            problem: "0 is not allowed by the standard: write 1 to 65535".into(),
        });
    }
    if raw.connections == 0 || raw.queued_messages == 0 || raw.handshakes == 0 {
        return Err(Invalid {
            key: "limits",
            problem: "connections, queued_messages and handshakes must be at least 1".into(),
        });
    }
    Ok(Limits {
        connections: raw.connections,
        packet_bytes: u32::try_from(raw.packet_bytes).expect("checked against a limit below 4 GiB"),
        receive_maximum: raw.receive_maximum,
        connection_in_flight_bytes: raw.connection_in_flight_bytes.max(raw.packet_bytes),
        in_flight_bytes: raw.in_flight_bytes.max(raw.packet_bytes),
        queued_messages: raw.queued_messages,
        session_expiry_s: raw.session_expiry_s,
        connects_per_s: (raw.connects_per_s != 0).then_some(raw.connects_per_s),
        connect_burst: raw.connect_burst.max(1),
        handshakes: raw.handshakes,
        connect_deadline: CONNECT_DEADLINE,
        outgoing_bytes: OUTGOING_BYTES,
        write_stall: WRITE_STALL,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_refused_with_its_key() {
        let with = |change: fn(&mut Raw)| {
            let mut raw = Raw::default();
            change(&mut raw);
            Config::try_from(raw).map(|_| ()).map_err(|e| e.key)
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|r| r.mqtt.listen = String::new()), Ok(()));
        assert_eq!(with(|r| r.mqtt.listen = "here".into()), Err("mqtt.listen"));
        assert_eq!(with(|r| r.limits.packet_bytes = 10), Err("limits.packet_bytes"));
        assert_eq!(with(|r| r.limits.receive_maximum = 0), Err("limits.receive_maximum"));
        assert_eq!(with(|r| r.topics.templates = Some(vec!["a/{id".into()])), Err("topics.templates"));
        for (template, unit, expected) in [
            ("devices/{id}/telemetry", "ms", Ok(())),
            (
                "devices/{id}/telemetry",
                "h",
                Err("gateway.topics.time_units: \"h\" is no unit: write ns, us, ms or s"),
            ),
            (
                "devices/{x}/telemetry",
                "ms",
                Err(
                    "gateway.topics.time_units: there is no topic template \"devices/{x}/telemetry\": write one of \
                     the templates as it stands there",
                ),
            ),
        ] {
            let mut raw = Raw::default();
            raw.topics.time_units.insert(template.into(), unit.into());
            let outcome = Config::try_from(raw).map(|_| ()).map_err(|error| error.to_string());
            assert_eq!(outcome, expected.map_err(str::to_owned));
        }
        assert_eq!(
            with(|r| {
                r.mqtt_tls = Some(RawTls {
                    listen: default_tls_listen(),
                    cert: "c".into(),
                    key: "k".into(),
                    client_ca: None,
                    require_client_cert: true,
                });
            }),
            Err("mqtt_tls.require_client_cert")
        );
    }
}
