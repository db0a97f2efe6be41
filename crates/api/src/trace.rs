//! `GET /v1/trace`: the way of a reading, hop by hop, from what the log and the store have of it.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Parameters, State};
use log::{Lane, Log, Offset, PartitionId, Position, Topic};
use query::{Cell, Query, parse_rfc3339, rfc3339};
use record::{DeviceId, Encoding, Envelope, Kind, Protocol, TenantId, Timestamp, partition_of};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Ask, Asker, Problem};

/// Messages that are told of one question: a device that counts anew after each start has used a number often.
const MESSAGES: usize = 10;
/// Rows of each table that are told of a message.
const ROWS: u32 = 1000;
/// What is read of a lane of the log to find a message, at most: a second of a large load.
const SEARCHED_BYTES: usize = 64 << 20;
const READ_BYTES: usize = 1 << 20;
/// A message is in the log so soon after it arrived, or it is not there: a batch that waits longer is refused.
const COMMITTED_WITHIN_MS: i64 = 60_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    device_id: String,
    /// The readings with this number of the device's own.
    seq: Option<u64>,
    /// The readings of this time.
    time: Option<String>,
}

pub(crate) async fn show(
    State(shared): Ask,
    Asker(tenant): Asker,
    wanted: Result<Parameters<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Parameters(wanted) = wanted?;
    let device =
        DeviceId::parse(&wanted.device_id).map_err(|error| Problem::bad_request(error.to_string()))?;
    let of = Of { tenant, device };
    let which = Which::of(&wanted)?;
    let (asked, chosen) = (of.clone(), which.clone());
    let arrivals = shared.ask(move |query| asked.arrivals(query, &chosen)).await?;
    let mut messages = Vec::new();
    for arrived_at in arrivals {
        let asked = of.clone();
        let chosen = which.clone();
        let stored = shared.ask(move |query| asked.stored(query, &chosen, arrived_at)).await?;
        let came = of.in_log(&*shared.parts.log, arrived_at).await?;
        messages.push(json!({
            "arrived_at": rfc3339(arrived_at),
            "log": came.places,
            "log_why": came.why,
            "readings": stored.readings,
            "late": stored.late,
            "corrections": stored.corrections,
            "windows": stored.windows,
            "alerts": stored.alerts,
        }));
    }
    let asked = of.clone();
    let dead = match messages.is_empty() {
        true => shared.ask(move |query| asked.dead(query)).await?,
        false => Value::Array(Vec::new()),
    };
    Ok(Json(json!({ "device_id": of.device.as_str(), "messages": messages, "dead_letters": dead })))
}

/// Which readings.
#[derive(Clone)]
enum Which {
    Seq(u64),
    At(Timestamp),
    Latest,
}

impl Which {
    fn of(wanted: &Wanted) -> Result<Self, Problem> {
        match (wanted.seq, wanted.time.as_deref()) {
            (Some(_), Some(_)) => Err(Problem::bad_request("seq and time: write one of them")),
            (Some(seq), None) => Ok(Self::Seq(seq)),
            (None, Some(time)) => parse_rfc3339(time).map(Self::At).ok_or_else(|| {
                Problem::bad_request(format!("time: {time:?} is none; write it as 2026-11-20T12:00:00Z"))
            }),
            (None, None) => Ok(Self::Latest),
        }
    }

    /// As a condition on `telemetry`, with its parameter.
    fn condition(&self) -> (&'static str, Option<Cell>) {
        match self {
            Self::Seq(seq) => ("seq = ?", Some(Cell::Int(seq.cast_signed()))),
            Self::At(time) => ("time = ?", Some(Cell::Text(rfc3339(*time)))),
            Self::Latest => ("true", None),
        }
    }
}

#[derive(Clone)]
struct Of {
    tenant: TenantId,
    device: DeviceId,
}

/// What the store has of a message, each as rows.
struct Stored {
    readings: Value,
    late: Value,
    corrections: Value,
    windows: Value,
    alerts: Value,
}

/// Where the log has a message; without a place, why.
struct Came {
    places: Vec<Value>,
    why: Option<&'static str>,
}

impl Of {
    /// When the messages arrived, the latest first.
    fn arrivals(&self, query: &Query, which: &Which) -> query::Result<Vec<Timestamp>> {
        let (condition, parameter) = which.condition();
        let most = if matches!(which, Which::Latest) { 1 } else { MESSAGES };
        let order = if matches!(which, Which::Latest) { "ORDER BY time DESC LIMIT 1" } else { "" };
        let statement = format!(
            "SELECT DISTINCT arrived_at FROM (SELECT arrived_at FROM telemetry WHERE device_id = ? AND {condition} {order}) \
             ORDER BY arrived_at DESC LIMIT {most}"
        );
        let parameters: Vec<Cell> = [self.device()].into_iter().chain(parameter).collect();
        let table = query.sql(&self.tenant, &statement, &parameters)?;
        let time = |row: &Vec<Cell>| match row.first() {
            Some(Cell::Text(text)) => parse_rfc3339(text),
            _ => None,
        };
        Ok(table.rows().iter().filter_map(time).collect())
    }

    fn stored(&self, query: &Query, which: &Which, arrived_at: Timestamp) -> query::Result<Stored> {
        let (condition, parameter) = match which {
            Which::Latest => ("true", None),
            which => which.condition(),
        };
        let arrived = || Cell::Text(rfc3339(arrived_at));
        let statement = format!(
            "SELECT time, metric, kind, value, \"integer\", \"text\", lat, lng, seq, clock, device_time \
             FROM telemetry WHERE device_id = ? AND arrived_at = ? AND {condition} ORDER BY time, metric LIMIT {ROWS}"
        );
        let parameters: Vec<Cell> = [self.device(), arrived()].into_iter().chain(parameter).collect();
        let readings = rows(query, &self.tenant, &statement, &parameters)?;
        let mut times = readings.as_array().into_iter().flatten().filter_map(|row| row["time"].as_str());
        let first = times.next().unwrap_or_default().to_owned();
        let last = times.next_back().unwrap_or(&first).to_owned();
        let between = [self.device(), Cell::Text(first.clone()), Cell::Text(last)];
        let late = rows(
            query,
            &self.tenant,
            &format!(
                "SELECT time, metric, watermark, deliveries FROM late \
                 WHERE device_id = ? AND time >= ? AND time <= ? ORDER BY time, metric LIMIT {ROWS}"
            ),
            &between,
        )?;
        let corrections = rows(
            query,
            &self.tenant,
            &format!(
                "SELECT time, metric, old_kind, old_value, old_text, arrived_at, replaced_at FROM corrections \
                 WHERE device_id = ? AND time >= ? AND time <= ? ORDER BY replaced_at, metric LIMIT {ROWS}"
            ),
            &between,
        )?;
        // Of several times in one message those windows that hold the first.
        let at_first = [self.device(), Cell::Text(first.clone()), Cell::Text(first.clone())];
        let windows = rows(
            query,
            &self.tenant,
            &format!(
                "SELECT \"window\", metric, window_start, window_end, count, revised FROM aggregations \
                 WHERE device_id = ? AND window_start <= ? AND window_end > ? ORDER BY 1, 2, 3 LIMIT {ROWS}"
            ),
            &at_first,
        )?;
        let alerts = rows(
            query,
            &self.tenant,
            &format!(
                "SELECT id, rule, severity, state, triggered_at, why FROM alerts \
                 WHERE device_id = ? AND triggered_at >= ? AND triggered_at <= ? ORDER BY triggered_at LIMIT {ROWS}"
            ),
            &between,
        )?;
        // Of the metrics that this message has: others of the time came with others.
        let metrics: BTreeSet<String> = metrics_of(&readings).collect();
        let of_these = |rows: Value| match rows {
            Value::Array(rows) => rows
                .into_iter()
                .filter(|row| row["metric"].as_str().is_some_and(|of| metrics.contains(of)))
                .collect(),
            other => other,
        };
        let (late, corrections, windows) = (of_these(late), of_these(corrections), of_these(windows));
        Ok(Stored { readings, late, corrections, windows, alerts })
    }

    /// The latest dead letters of the device: where a reading may be that is not stored.
    fn dead(&self, query: &Query) -> query::Result<Value> {
        let statement = "SELECT id, topic, stage, reason, arrived_at FROM dlq WHERE device_id = ? \
                         ORDER BY arrived_at DESC LIMIT 10";
        rows(query, &self.tenant, statement, &[self.device()])
    }

    fn device(&self) -> Cell {
        Cell::Text(self.device.as_str().to_owned())
    }

    /// Where a message stands in the log: found by when it arrived, in its device's partition.
    async fn in_log(&self, log: &dyn Log, arrived_at: Timestamp) -> Result<Came, Problem> {
        let index = partition_of(self.tenant.as_str(), self.device.as_str(), log.partitions(Topic::Raw));
        let (mut places, mut why) = (Vec::new(), None);
        for lane in [Lane::Live, Lane::Backfill] {
            let partition = PartitionId { topic: Topic::Raw, lane, index };
            match self.in_lane(log, partition, arrived_at, &mut places).await {
                Ok(()) => {}
                Err(log::Error::Expired { .. }) => why = Some("the log's retention has taken that time"),
                Err(log::Error::Damaged { .. }) => why = Some("the log is damaged there"),
                Err(error) => {
                    tracing::warn!(%error, %partition, "a reading could not be traced in the log");
                    why = Some("the log could not be read: the server's log says why");
                }
            }
        }
        if places.is_empty() && why.is_none() {
            why = Some(
                "the log does not have it there: its retention has taken it, or it is a dead letter that was tried again",
            );
        }
        let why = why.filter(|_| places.is_empty());
        Ok(Came { places, why })
    }

    async fn in_lane(
        &self,
        log: &dyn Log,
        partition: PartitionId,
        arrived_at: Timestamp,
        places: &mut Vec<Value>,
    ) -> log::Result<()> {
        let arrived_ms = arrived_at.millis();
        let end = log.extent(partition)?.end;
        let offset = log.offset_at(partition, arrived_ms).await?;
        if offset >= end {
            return Ok(());
        }
        let mut reader = log.read(&[Position { partition, offset }])?;
        let mut read_bytes = 0;
        // It never waits at the tail: what is there now is all that is looked at.
        while reader.positions().iter().all(|position| position.offset < end) && read_bytes < SEARCHED_BYTES {
            for run in reader.next(READ_BYTES).await?.runs {
                for (record, offset) in run.records.iter().zip(run.base..) {
                    if record.appended_ms > arrived_ms + COMMITTED_WITHIN_MS {
                        return Ok(());
                    }
                    read_bytes += record.value.len();
                    let Ok(envelope) = Envelope::decode(&record.value) else { continue };
                    let is_it = envelope.tenant == self.tenant.as_str()
                        && envelope.device == self.device.as_str()
                        && envelope.arrived_at.millis() == arrived_ms;
                    if is_it {
                        places.push(place(partition, offset, record.appended_ms, &envelope));
                    }
                }
            }
        }
        Ok(())
    }
}

fn place(partition: PartitionId, offset: Offset, appended_ms: i64, envelope: &Envelope<'_>) -> Value {
    json!({
        "topic": partition.topic.name(),
        "lane": match partition.lane {
            Lane::Live => "live",
            Lane::Backfill => "backfill",
        },
        "partition": partition.index,
        "offset": offset,
        "committed_at": Timestamp::from_millis(appended_ms).map(rfc3339),
        "arrived_at": rfc3339(envelope.arrived_at),
        "kind": match envelope.kind {
            Kind::Telemetry => "telemetry",
            Kind::Message => "message",
            Kind::Part => "part of a message of several devices",
            Kind::Replay => "dead letter tried again",
        },
        "protocol": match envelope.protocol {
            Protocol::Mqtt3 => "MQTT 3.1.1",
            Protocol::Mqtt5 => "MQTT 5",
            Protocol::Http => "HTTP",
            Protocol::Influx => "line protocol over HTTP",
            Protocol::Coap => "CoAP",
            Protocol::Amqp => "AMQP 1.0",
            Protocol::Internal => "Penstock itself",
        },
        "encoding": match envelope.encoding {
            Encoding::Json | Encoding::Ndjson => "JSON",
            Encoding::Influx => "line protocol",
            Encoding::Avro => "Avro",
            Encoding::Protobuf => "Protobuf",
            Encoding::Opaque => "bytes",
        },
        "qos": envelope.qos as u8,
        "client": envelope.origin.map(|origin| origin.client_id),
        "mqtt_topic": envelope.topic,
        "payload_bytes": envelope.payload.len(),
        "refused": envelope.refused,
    })
}

fn metrics_of(readings: &Value) -> impl Iterator<Item = String> {
    let rows = readings.as_array().into_iter().flatten();
    rows.filter_map(|row| row["metric"].as_str().map(str::to_owned))
}

/// The rows of an answer, as objects.
fn rows(query: &Query, tenant: &TenantId, statement: &str, parameters: &[Cell]) -> query::Result<Value> {
    let table = query.sql(tenant, statement, parameters)?;
    let mut told = serde_json::to_value(&table).unwrap_or_default();
    Ok(told["rows"].take())
}
