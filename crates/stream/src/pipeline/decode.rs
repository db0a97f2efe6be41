//! From a record of the log to rows: what the message is, whose, and what in it can be read.

use std::ops::Range;
use std::sync::Arc;

use record::{Envelope, Kind, Lane, Readings, ReplayOf, Said, TenantId, TimeUnit, Timestamp};
use series::{Completeness, DeadLetter, DeadMessage, Source};
use wire::mqtt::{Carrier, FIRMWARE, Properties};
use wire::payload::{self, Message as Payload, Scratch};
use wire::template::{Match, Templates};

/// Where a record stands in the log, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) source: Source,
    pub(super) offset: u64,
    /// How long it has waited there, nanoseconds.
    pub(super) waited_nanos: i64,
}

/// What a record is.
pub(super) enum Content<'r, 't> {
    /// Readings to be taken from it.
    Telemetry(Telemetry<'r, 't>),
    /// Nothing of it can be used.
    Dead(Refused<'r>),
}

/// A message with readings in it.
pub(super) struct Telemetry<'r, 't> {
    pub(super) envelope: Envelope<'r>,
    pub(super) tenant: TenantId,
    /// The kind of topic, for the account.
    pub(super) topic: Arc<str>,
    /// The metric that the topic names.
    metric: Option<&'r str>,
    /// The unit of times that the topic's template names.
    time_unit: Option<TimeUnit>,
    /// Whether its topic says that it is history.
    pub(super) is_history: bool,
    /// The dead message it tries again.
    pub(super) replay_of: Option<ReplayOf>,
    /// What its topic says.
    matching: Option<Match<'t, 'r>>,
}

impl<'r> Telemetry<'r, '_> {
    /// What it says of its device besides readings.
    pub(super) fn said(&self) -> Said<'r> {
        let (mut device_type, mut site) = (None, None);
        if let Some(matching) = self.matching.filter(Match::has_facts) {
            for (name, value) in matching.facts() {
                match name {
                    "device_type" => device_type = Some(value),
                    "site" => site = Some(value),
                    _ => {}
                }
            }
        }
        Said::new(device_type, site, self.firmware())
    }

    fn firmware(&self) -> Option<&'r str> {
        // A replay's properties are none of MQTT.
        if self.envelope.properties.is_empty() || self.replay_of.is_some() {
            return None;
        }
        let properties = Properties::parse(self.envelope.properties, Carrier::PublishOfServer).ok()?;
        properties.user_properties().find(|(name, _)| *name == FIRMWARE).map(|(_, value)| value)
    }
}

/// A message that is dead as a whole.
pub(super) struct Refused<'r> {
    /// As far as it can be read.
    pub(super) envelope: Option<Envelope<'r>>,
    pub(super) topic: Arc<str>,
    pub(super) stage: &'static str,
    pub(super) reason: String,
}

/// Names of tenants and topics, each kept once: most messages have the same.
#[derive(Debug, Default)]
pub(super) struct Names {
    tenants: Vec<TenantId>,
    topics: Vec<Arc<str>>,
}

/// More are forgotten and made again.
const NAMES: usize = 1024;

impl Names {
    fn tenant(&mut self, name: &str) -> Result<TenantId, record::IdError> {
        if let Some(known) = self.tenants.iter().find(|tenant| tenant.as_str() == name) {
            return Ok(known.clone());
        }
        let tenant = TenantId::parse(name)?;
        if self.tenants.len() >= NAMES {
            self.tenants.clear();
        }
        self.tenants.push(tenant.clone());
        Ok(tenant)
    }

    /// The kind of a topic: its template, or for a pseudo-topic (`$http/v1/telemetry`) the topic without the `$`.
    fn topic(&mut self, topic: &str, matching: Option<&Match<'_, '_>>) -> Arc<str> {
        let kind = match matching {
            Some(matching) => matching.template(),
            None => topic.strip_prefix("$http").or_else(|| topic.strip_prefix('$')).unwrap_or("(other)"),
        };
        if let Some(known) = self.topics.iter().find(|known| &***known == kind) {
            return Arc::clone(known);
        }
        if self.topics.len() >= NAMES {
            self.topics.clear();
        }
        let kind: Arc<str> = kind.into();
        self.topics.push(Arc::clone(&kind));
        kind
    }
}

/// What the record at hand is.
pub(super) fn content<'r, 't>(
    bytes: &'r [u8],
    templates: &'t Templates,
    names: &mut Names,
) -> Content<'r, 't> {
    let dead = |envelope, topic, stage, reason| Content::Dead(Refused { envelope, topic, stage, reason });
    let envelope = match Envelope::decode(bytes) {
        Ok(envelope) => envelope,
        Err(error) => return dead(None, "(unreadable)".into(), "envelope", error.to_string()),
    };
    let matching = templates.matching(envelope.topic);
    let topic = names.topic(envelope.topic, matching.as_ref());
    if let Some(reason) = envelope.refused {
        return dead(Some(envelope), topic, "gateway", reason.to_owned());
    }
    let tenant = match names.tenant(envelope.tenant) {
        Ok(tenant) => tenant,
        Err(error) => return dead(Some(envelope), topic, "envelope", error.to_string()),
    };
    let replay_of = match envelope.kind {
        Kind::Telemetry | Kind::Part => None,
        Kind::Message => {
            let reason = "a plain message stands among the telemetry".to_owned();
            return dead(Some(envelope), topic, "envelope", reason);
        }
        Kind::Replay => match ReplayOf::from_bytes(envelope.properties) {
            Some(of) => Some(of),
            None => {
                let reason = "a replay does not say which message it tries again".to_owned();
                return dead(Some(envelope), topic, "envelope", reason);
            }
        },
    };
    let is_history = matching.is_some_and(|matching| matching.lane() == Some(Lane::Backfill));
    let metric = matching.and_then(|matching| matching.metric);
    let time_unit = matching.and_then(|matching| matching.time_unit(envelope.encoding));
    Content::Telemetry(Telemetry {
        envelope,
        tenant,
        topic,
        metric,
        time_unit,
        is_history,
        replay_of,
        matching,
    })
}

/// Adds the message's good readings to `readings`; returns their rows and what is wrong with the others. When none is
/// good the rows are empty and there is at least one letter.
pub(super) fn readings(
    telemetry: &Telemetry<'_, '_>,
    readings: &mut Readings,
    scratch: &mut Scratch,
) -> (Range<usize>, Vec<DeadLetter>) {
    let envelope = &telemetry.envelope;
    let message = Payload {
        encoding: envelope.encoding,
        device: Some(envelope.device).filter(|device| !device.is_empty()),
        metric: telemetry.metric,
        arrived_at: envelope.arrived_at,
        time_unit: telemetry.time_unit,
        payload: envelope.payload,
    };
    let first = readings.len();
    let outcome = payload::decode(&message, readings, scratch);
    let rejected = scratch.rejected().iter().map(|rejected| DeadLetter {
        index: u32::try_from(rejected.element).ok(),
        reason: rejected.reason.to_string(),
    });
    let mut letters: Vec<DeadLetter> = rejected.collect();
    if let Err(reason) = outcome
        && letters.is_empty()
    {
        letters.push(DeadLetter { index: None, reason: reason.to_string() });
    }
    (first..readings.len(), letters)
}

/// A dead message, as it stands in the store: of the device that topic or credential name, or else the one that its payload does.
pub(super) fn dead_message(
    place: Place,
    envelope: Option<&Envelope<'_>>,
    record: &log::Record,
    stage: &'static str,
    completeness: Completeness,
    letters: Vec<DeadLetter>,
) -> DeadMessage {
    let text = |of: fn(&Envelope<'_>) -> String| envelope.map(of).unwrap_or_default();
    let named = |envelope: &Envelope<'_>| match envelope.device {
        "" => {
            let named = payload::named_device(envelope.encoding, envelope.payload);
            named.map(|device| device.as_str().to_owned()).unwrap_or_default()
        }
        device => device.to_owned(),
    };
    let appended = Timestamp::from_millis(record.appended_ms).unwrap_or_default();
    let arrived_at = envelope.map_or(appended, |envelope| envelope.arrived_at);
    DeadMessage {
        source: place.source,
        offset: place.offset,
        tenant: text(|envelope| envelope.tenant.to_owned()),
        device: envelope.map(named).unwrap_or_default(),
        topic: text(|envelope| envelope.topic.to_owned()),
        stage,
        arrived_at,
        attempts: 1,
        last_at: appended.max(arrived_at),
        completeness,
        letters,
        record: record.value.to_vec(),
    }
}
