//! Cuts a body up into the records that the log gets: one envelope per device and lane with all of its good
//! elements, and one for each refused element, which the stream makes a dead letter.

use hashbrown::HashMap;
use log::{Batch, PartitionId, Topic};
use record::{DeviceId, Encoding, Envelope, Kind, Lane, Protocol, Qos, TimeUnit, Timestamp, partition_of};
use registry::{Denied, Identity};
use wire::payload::{self, Message, Scratch};

use super::Parts;
use super::failure::Failure;
use crate::pieces::{Piece, Pieces, append_line};
use crate::schemas::Offered;

/// A batch is closed when it has this many bytes: well below what the log takes at once.
const BATCH_BYTES: usize = 8 << 20;
/// Refused elements that become a dead letter each. Beyond it they share one, or a body of a megabyte of commas
/// would become a hundred megabytes of reasons.
const DEAD_LETTERS: usize = 1000;
/// Refusals listed in an answer; the others are counted. Each is about a hundred bytes.
const LISTED: usize = 1000;

/// What is known of a request beside its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) protocol: Protocol,
    pub(super) encoding: Encoding,
    /// The pseudo-topic. It begins with `$`, so that no topic template takes its levels for a device.
    pub(super) topic: &'static str,
    /// The unit of numeric times, where the request names one.
    pub(super) time_unit: Option<TimeUnit>,
    /// The lane, where the request names one.
    pub(super) lane: Option<Lane>,
    pub(super) now: Timestamp,
}

/// What becomes of a body.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What is to be committed, in order.
    pub(super) batches: Vec<Batch>,
    /// Good readings in it.
    pub(super) accepted: usize,
    /// Refused elements and readings.
    pub(super) rejected: usize,
    /// The first of them.
    pub(super) listed: Vec<Rejection>,
}

impl Plan {
    /// What it takes until it is committed, bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.batches.iter().map(Batch::size_bytes).sum()
    }
}

/// A refused element or reading.
#[derive(Debug)]
pub(super) struct Rejection {
    /// Its number in the body; `None`: the body as a whole.
    pub(super) index: Option<usize>,
    /// Its line, from 1, where the format has lines; else 0.
    pub(super) line: u32,
    pub(super) reason: String,
}

/// Makes the plan.
///
/// A body without a good reading is one dead letter, and the plan accepts nothing. One whose every reading is of
/// devices that the identity may not report is refused, and leaves nothing behind.
pub(super) fn plan(
    parts: &Parts,
    identity: &Identity,
    arrival: &Arrival,
    payload: &[u8],
    scratch: &mut Scratch,
) -> Result<Plan, Failure> {
    // Many call lines of JSON "application/json"; whoever says lines means lines.
    let encoding = match arrival.encoding {
        Encoding::Json => payload::detect_json(payload),
        named => named,
    };
    let offered = Offered {
        tenant: identity.tenant.as_str(),
        topic: arrival.topic,
        device_type: None,
        firmware: None,
        encoding,
        payload,
    };
    let mut buffer = String::new();
    let readable = parts.schemas.explain(&offered, &mut buffer);
    let (encoding, payload, violation) = match readable {
        Ok(readable) => (readable.encoding, readable.payload, None),
        Err(reason) => (encoding, payload, Some(reason)),
    };
    let arrival = &Arrival { encoding, ..*arrival };
    let message = Message {
        encoding,
        device: identity.device().map(DeviceId::as_str),
        metric: None,
        arrived_at: arrival.now,
        time_unit: arrival.time_unit,
        payload,
    };
    let outcome = if violation.is_none() { Some(payload::inspect(&message, scratch)) } else { None };
    let mut cut = Cut {
        parts,
        identity,
        arrival,
        payload,
        scratch,
        plan: Plan::default(),
        dead_letters: 0,
        rest: Rest::default(),
    };
    match (outcome, violation) {
        (Some(Ok(_)), _) => cut.by_device(),
        (Some(Err(reason)), _) => {
            cut.whole(&reason);
            Ok(cut.plan)
        }
        (None, violation) => {
            cut.violated(violation.unwrap_or_default());
            Ok(cut.plan)
        }
    }
}

struct Cut<'a> {
    parts: &'a Parts,
    identity: &'a Identity,
    arrival: &'a Arrival,
    payload: &'a [u8],
    scratch: &'a Scratch,
    plan: Plan,
    dead_letters: usize,
    rest: Rest,
}

/// Refused elements beyond [`DEAD_LETTERS`], for the dead letter that they share.
#[derive(Default)]
struct Rest {
    elements: usize,
    first_reason: String,
    payload: Vec<u8>,
}

impl Cut<'_> {
    fn by_device(mut self) -> Result<Plan, Failure> {
        let scratch = self.scratch;
        let mut refusals = scratch.rejected().iter().peekable();
        let mut allowed: HashMap<u32, Result<(), Denied>> = HashMap::new();
        let mut pieces = Pieces::new(scratch, self.payload, self.arrival.encoding, self.arrival.time_unit);
        let mut denied_first = None;
        for (index, element) in scratch.elements().iter().enumerate() {
            let mut first_reason = None;
            while let Some(refused) = refusals.next_if(|refused| refused.element == index) {
                let reason = self.reason(&refused.reason);
                first_reason.get_or_insert_with(|| reason.clone());
                self.reject(Some(index), refused.reason.line, reason);
            }
            let Some(device) = element.device.filter(|_| !element.rows.is_empty()) else {
                let reason = first_reason.unwrap_or_else(|| {
                    let reason = "there is no reading in it".to_owned();
                    self.reject(Some(index), 0, reason.clone());
                    reason
                });
                self.dead_letter(index, &reason);
                continue;
            };
            let name = scratch.readings().device_name(device);
            let may = *allowed.entry(device.0).or_insert_with(|| {
                let device = DeviceId::parse(name).expect("the decoder takes only valid device ids");
                self.parts.acl.may_report(self.identity, &device)
            });
            if let Err(denied) = may {
                denied_first.get_or_insert((denied, name));
                let reason = format!("readings of {name:?}: {denied}");
                self.reject(Some(index), 0, reason.clone());
                self.dead_letter(index, &reason);
                continue;
            }
            let lane = self.lane(element.rows.clone());
            self.plan.accepted += element.rows.len();
            pieces.add(device, lane, index, &mut |piece| self.push_piece(&piece));
        }
        pieces.finish(&mut |piece| self.push_piece(&piece));
        self.close_rest();
        match denied_first {
            Some((denied, name)) if self.plan.accepted == 0 => Err(Failure::denied(denied, name)),
            _ => Ok(self.plan),
        }
    }

    /// The body does not fit its schema.
    fn violated(&mut self, reason: String) {
        self.push_refused(self.arrival.encoding, &reason, self.payload);
        self.reject(None, 0, reason);
    }

    /// Nothing in the body is good.
    fn whole(&mut self, reason: &payload::Reason) {
        let text = self.reason(reason);
        let refused = self.scratch.rejected();
        if refused.is_empty() {
            self.reject(None, reason.line, text.clone());
        }
        for refused in refused.iter().take(LISTED) {
            let text = self.reason(&refused.reason);
            self.reject(Some(refused.element), refused.reason.line, text);
        }
        self.plan.rejected += refused.len().saturating_sub(LISTED);
        self.push_refused(self.arrival.encoding, &text, self.payload);
    }

    fn reject(&mut self, index: Option<usize>, line: u32, reason: String) {
        self.plan.rejected += 1;
        if self.plan.listed.len() < LISTED {
            self.plan.listed.push(Rejection { index, line, reason });
        }
    }

    /// A refused line keeps its times as they were sent, so whoever mends it must know their unit.
    fn reason(&self, reason: &payload::Reason) -> String {
        match (self.arrival.encoding, self.arrival.time_unit) {
            (Encoding::Influx, Some(unit)) if unit != TimeUnit::Nanoseconds => {
                format!("{reason} (precision: {unit:?})")
            }
            _ => reason.to_string(),
        }
    }

    /// A refused element, for the dead letters.
    fn dead_letter(&mut self, index: usize, reason: &str) {
        let element = &self.payload[self.scratch.elements()[index].range.clone()];
        self.dead_letters += 1;
        if self.dead_letters > DEAD_LETTERS {
            self.rest.elements += 1;
            if self.rest.elements == 1 {
                reason.clone_into(&mut self.rest.first_reason);
            }
            append_line(&mut self.rest.payload, element);
            return;
        }
        let encoding = match self.arrival.encoding {
            Encoding::Ndjson => Encoding::Json,
            other => other,
        };
        self.push_refused(encoding, reason, element);
    }

    fn close_rest(&mut self) {
        let Rest { elements, first_reason, payload } = std::mem::take(&mut self.rest);
        if elements > 0 {
            let reason = format!("{elements} more refused, the first: {first_reason}");
            let encoding = match self.arrival.encoding {
                Encoding::Json => Encoding::Ndjson,
                other => other,
            };
            self.push_refused(encoding, &reason, payload.trim_ascii_end());
        }
    }

    /// What is refused is of the credential's device, or of nobody.
    fn push_refused(&mut self, encoding: Encoding, reason: &str, payload: &[u8]) {
        let identity = self.identity;
        let device = identity.device().map_or("", DeviceId::as_str);
        self.push(device, Lane::Live, encoding, Some(reason), payload);
    }

    /// The lane asked for, or by the age of the element's newest reading.
    fn lane(&self, rows: std::ops::Range<usize>) -> Lane {
        if let Some(lane) = self.arrival.lane {
            return lane;
        }
        let newest = self.scratch.readings().time_column()[rows].iter().max();
        match (newest, self.parts.backfill_after) {
            (Some(newest), Some(after)) => {
                let age = self.arrival.now.nanos().saturating_sub(newest.nanos());
                let old = i64::try_from(after.as_nanos()).is_ok_and(|after| age > after);
                if old { Lane::Backfill } else { Lane::Live }
            }
            _ => Lane::Live,
        }
    }

    fn push_piece(&mut self, piece: &Piece<'_>) {
        self.push(piece.device, piece.lane, piece.encoding, None, piece.payload);
    }

    fn push(&mut self, device: &str, lane: Lane, encoding: Encoding, refused: Option<&str>, payload: &[u8]) {
        let tenant = self.identity.tenant.as_str();
        let index = partition_of(tenant, device, self.parts.log.partitions(Topic::Raw));
        let envelope = Envelope {
            kind: Kind::Telemetry,
            protocol: self.arrival.protocol,
            encoding,
            qos: Qos::AtLeastOnce,
            retain: false,
            refused,
            arrived_at: self.arrival.now,
            tenant,
            device,
            topic: self.arrival.topic,
            origin: None,
            properties: &[],
            payload,
        };
        let partition = PartitionId { topic: Topic::Raw, lane, index };
        if self.plan.batches.last().is_none_or(|batch| batch.size_bytes() >= BATCH_BYTES) {
            self.plan.batches.push(Batch::new());
        }
        let batch = self.plan.batches.last_mut().expect("one was pushed if there was none");
        batch.push_with(partition, |out| envelope.encode(out));
    }
}
