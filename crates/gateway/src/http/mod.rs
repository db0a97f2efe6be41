//! Ingest over HTTP: `POST /v1/telemetry`, and InfluxDB's line protocol at `/write` and `/api/v2/write`, so that
//! Telegraf and everything else that writes to InfluxDB works unchanged.
//!
//! An answer of 2xx means the same as an MQTT acknowledgement: what was accepted is durable (R6.1). A request
//! goes: who is it → read the body, bounded → decompress, bounded → cut it up by device → one append to the log
//! → wait until that is durable → answer.

mod body;
mod counters;
mod credentials;
mod failure;
mod influx;
mod plan;
mod telemetry;

pub use counters::{Counters, Flow, Latency};
pub use credentials::identify;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use parking_lot::Mutex;
use record::Timestamp;
use registry::{Acl, Authenticator, Identity};
use tokio::sync::{Semaphore, SemaphorePermit};
use wire::payload::Scratch;

use crate::schemas::Schemas;
use failure::{Dialect, Failure};
use plan::{Arrival, Plan};

/// What one request, and all of them together, may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body as sent, bytes.
    pub body_bytes: usize,
    /// Largest body after decompression, bytes.
    pub decoded_bytes: usize,
    /// Most times that a body may grow by decompression: telemetry shrinks to a twentieth, a bomb to a
    /// thousandth.
    pub decompression_ratio: usize,
    /// Bytes of all requests being handled, bodies and what is made of them.
    pub in_flight_bytes: usize,
    /// From the head of a request to the end of its body.
    pub body_deadline: Duration,
    /// How long to wait for the commit before the client is told to send again.
    pub commit_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: record::limits::HTTP_BODY_BYTES,
            decoded_bytes: record::limits::HTTP_BODY_BYTES,
            decompression_ratio: 100,
            in_flight_bytes: 256 << 20,
            body_deadline: Duration::from_secs(60),
            commit_deadline: Duration::from_secs(30),
        }
    }
}

/// The clock: what time it is now.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What ingest over HTTP stands on.
#[derive(Clone)]
pub struct Parts {
    /// Where readings go before anything is answered.
    pub log: Arc<dyn log::Log>,
    /// Says who is asking.
    pub authenticator: Arc<Authenticator>,
    /// Says what they may report.
    pub acl: Arc<Acl>,
    /// What requests may use.
    pub limits: Limits,
    /// A reading older than this on arrival goes to the backfill lane; `None`: never by age.
    pub backfill_after: Option<Duration>,
    /// What explains and checks payloads.
    pub schemas: Schemas,
    /// The clock.
    pub clock: Clock,
}

/// Ingest over HTTP, shared by all requests.
pub struct Ingest {
    parts: Parts,
    /// A permit is a byte of [`Limits::in_flight_bytes`].
    in_flight: Arc<Semaphore>,
    /// A permit is a kibibyte of [`PLANNING_KIB`].
    planning: Arc<Semaphore>,
    counters: Counters,
    /// Working memory of the decoders, kept between requests.
    scratches: Mutex<Vec<Scratch>>,
}

/// Scratches kept.
const SCRATCHES: usize = 8;
/// A scratch that had to do with more than this is not kept: it may have grown to hundreds of times as much.
const SCRATCH_BYTES: usize = 256 << 10;
/// Memory for decoding, of all requests. Decoding takes milliseconds, so a request waits for its share.
const PLANNING_KIB: usize = 512 << 10;
/// The shortest element of a body is a digit and a comma; what is noted of it, at worst a refusal, has so many
/// bytes.
const SHORTEST_ELEMENT_BYTES: usize = 2;
const NOTES_BYTES: usize = 256;
/// Bodies that are likely above this are decompressed and cut up on a blocking thread: a millisecond or more of work would hold
/// up the other requests of this one.
const BLOCKING_BYTES: usize = 128 << 10;

impl Ingest {
    /// Ready to serve.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let bytes = parts.limits.in_flight_bytes.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            parts,
            in_flight: Arc::new(Semaphore::new(bytes)),
            planning: Arc::new(Semaphore::new(PLANNING_KIB)),
            counters: Counters::default(),
            scratches: Mutex::new(Vec::new()),
        })
    }

    /// What it has done, for the metrics.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn now(&self) -> Timestamp {
        (self.parts.clock)()
    }

    /// Cuts `body` up, appends it to the log, and waits until it is durable. The plan returned is committed.
    async fn commit(
        self: &Arc<Self>,
        identity: Identity,
        arrival: Arrival,
        body: body::Body,
    ) -> Result<Plan, Failure> {
        let started = std::time::Instant::now();
        let (size, likely) = (body.size_bytes(), body.likely_bytes());
        let (limits, protocol) = (self.parts.limits, arrival.protocol);
        let decoded = somewhere(likely, move || body.decompress(&limits)).await?;
        let (mut plan, _held) = {
            let _share = self.share_of_planning(decoded.bytes().len()).await;
            let ingest = self.clone();
            let work = move || {
                let plan = ingest.plan(&identity, &arrival, decoded.bytes())?;
                let mut held = decoded.into_held();
                held.set(plan.size_bytes())?;
                Ok((plan, held))
            };
            somewhere(likely, work).await?
        };
        let accepted = plan.accepted;
        let pending: Vec<_> = plan.batches.drain(..).map(|batch| self.parts.log.append(batch)).collect();
        let durable = async {
            for promise in pending {
                promise.await?;
            }
            Ok(())
        };
        match tokio::time::timeout(limits.commit_deadline, durable).await {
            Ok(Ok(())) => {}
            // The client hears that it was refused, and why, whether or not the dead letter could be kept.
            Ok(Err(_)) | Err(_) if accepted == 0 => {}
            Ok(Err(error)) => return Err(Failure::log(&error)),
            Err(_elapsed) => return Err(Failure::commit_deadline(limits.commit_deadline)),
        }
        self.counters.of(protocol).committed(&plan, size, started.elapsed());
        Ok(plan)
    }

    /// Waits until what decoding a body may need is free. Dropped, it is given back.
    async fn share_of_planning(&self, body_bytes: usize) -> SemaphorePermit<'_> {
        let elements = (body_bytes / SHORTEST_ELEMENT_BYTES).min(record::limits::READINGS_PER_MESSAGE);
        let kib = ((elements * NOTES_BYTES + 2 * body_bytes) >> 10).min(PLANNING_KIB);
        let kib = u32::try_from(kib).expect("half a gibibyte in kibibytes fits");
        self.planning.acquire_many(kib).await.expect("the semaphore is never closed")
    }

    fn plan(&self, identity: &Identity, arrival: &Arrival, payload: &[u8]) -> Result<Plan, Failure> {
        let idle = self.scratches.lock().pop();
        let mut scratch = idle.unwrap_or_default();
        let plan = plan::plan(&self.parts, identity, arrival, payload, &mut scratch);
        let mut scratches = self.scratches.lock();
        if scratches.len() < SCRATCHES && payload.len() <= SCRATCH_BYTES {
            scratches.push(scratch);
        }
        plan
    }
}

/// Does `work` here if it is short, else on a blocking thread.
async fn somewhere<T: Send + 'static>(
    likely_bytes: usize,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    if likely_bytes <= BLOCKING_BYTES {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(|e| Failure::internal(e.to_string()))?
}

/// The routes, to be merged into the server's. They set no body limit of axum's: they have their own.
pub fn routes(ingest: Arc<Ingest>) -> Router {
    Router::new()
        .route("/v1/telemetry", post(telemetry::post))
        .route("/write", post(influx::write))
        .route("/api/v2/write", post(influx::write_v2))
        .route("/ping", get(influx::ping))
        .route("/query", get(influx::query).post(influx::query))
        .method_not_allowed_fallback(no_such_method)
        .with_state(ingest)
}

/// A router keeps its own answer to a wrong method when it is merged into another.
async fn no_such_method(method: Method, uri: Uri) -> Response {
    let detail = format!("{} does not answer {method}; the header Allow says what it does", uri.path());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, detail).response(Dialect::Problem)
}

#[cfg(test)]
mod tests;
