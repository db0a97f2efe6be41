//! The API through its router, over a real store and a log in memory.

#![allow(clippy::unwrap_used)] // in a test a panic is the verdict

mod alerts;
mod datasets;
mod devices;
mod dlq;
mod ledger;
mod removals;
mod web;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use log::{Lane, Log, MemoryLog, Partitions, Topic};
use penstock_api::{Allowance, Exporter, Health, Metric, NoAccess, Parts, router};
use query::{Engine, Limits, Query, Tail, Tailed};
use record::{
    DeviceId, Encoding, Envelope, Kind, MetricName, Protocol, Qos, Reading, TenantId, Timestamp, Value, When,
};
use registry::Devices;
use serde_json::Value as Json;
use series::{
    AccountEntry, AccountKey, Amounts, Cardinality, Completeness, DeadLetter, DeadMessage, SeriesAudit,
    SeriesWriter, Source, Span, Sqlite, WriteBatch,
};
use tower::ServiceExt as _;
use wire::template::Templates;

const PARTITIONS: u16 = 4;

pub(crate) struct Rig {
    _dir: tempfile::TempDir,
    pub(crate) store: Arc<Sqlite>,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) health: Health,
    tail: Arc<Tail>,
    pub(crate) router: axum::Router,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(&dir.path().join("series.db")).unwrap());
        let log = Arc::new(MemoryLog::new(Partitions::uniform(PARTITIONS).unwrap()));
        let metadata = Arc::new(metadata::Sqlite::open(&dir.path().join("metadata.db")).unwrap());
        let devices = Arc::new(Devices::new(metadata.clone(), Some(dir.path())));
        let alerting = alerts::alerting(metadata);
        let sql = Arc::new(Engine::new(store.clone()).unwrap().with_facts(Arc::clone(&devices)));
        let mut exporter = Exporter::default();
        let books = store.clone();
        exporter.add(move |page| {
            page.sample(Metric::DeadLetterDepth, &[], books.figures().unwrap().dead_messages as f64)
        });
        let (tail, health) = (Arc::<Tail>::default(), Health::default());
        let router = router(Parts {
            removes: Some(store.clone()),
            tail: Some(Arc::clone(&tail)),
            query: Some(Query::new(store.clone(), store.clone(), sql, Limits::default())),
            log: log.clone(),
            templates: Arc::new(Templates::shipped()),
            budget: Arc::new(|tenant| match tenant.as_str() {
                "acme" => Allowance {
                    devices: Some(10),
                    series: Some(200),
                    series_per_device: None,
                    refused: Cardinality { devices: 1, series: 0 },
                },
                _ => Allowance::default(),
            }),
            health: health.clone(),
            schemas: None,
            datasets: Some(Arc::new(datasets::Held(store.clone()))),
            exporter: Arc::new(exporter),
            access: Arc::new(tenant_of),
            devices,
            alerting: Some(alerting),
            registers: true,
        });
        Self { _dir: dir, store, log, health, tail, router }
    }

    /// The status and the body, as the tenant `acme`.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Json) {
        self.ask("acme", Request::get(path), Body::empty()).await
    }

    pub(crate) async fn get_as(&self, tenant: &str, path: &str) -> (StatusCode, Json) {
        self.ask(tenant, Request::get(path), Body::empty()).await
    }

    pub(crate) async fn post_as(&self, tenant: &str, path: &str, body: &Json) -> (StatusCode, Json) {
        let request = Request::post(path).header("content-type", "application/json");
        self.ask(tenant, request, Body::from(body.to_string())).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> (StatusCode, Json) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.ask("acme", request, Body::from(body.to_owned())).await
    }

    /// The status, the tag of what is shown, and the body; only if the tag is what is expected.
    pub(crate) async fn tagged(
        &self,
        method: &str,
        path: &str,
        expected: Option<&str>,
        body: &str,
    ) -> (StatusCode, Option<String>, Json) {
        let mut request = Request::builder().method(method).uri(path).header("x-tenant", "acme");
        request = request.header("content-type", "application/json");
        if let Some(expected) = expected {
            request = request.header("if-match", expected);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, tag, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn ask(
        &self,
        tenant: &str,
        request: axum::http::request::Builder,
        body: Body,
    ) -> (StatusCode, Json) {
        let request = request.header("x-tenant", tenant).body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (status, serde_json::from_slice(&bytes).unwrap_or(Json::String(text)))
    }

    /// What stands in the backfill lane of telemetry: partition and record, by partition.
    pub(crate) async fn backfill(&self) -> Vec<(u16, Vec<u8>)> {
        let mut found = Vec::new();
        for index in 0..PARTITIONS {
            let partition = log::PartitionId { topic: Topic::Raw, lane: Lane::Backfill, index };
            if self.log.extent(partition).unwrap().end == 0 {
                continue;
            }
            let mut reader = self.log.read(&[log::Position { partition, offset: 0 }]).unwrap();
            for run in reader.next(1 << 20).await.unwrap().runs {
                found.extend(run.records.iter().map(|record| (index, record.value.to_vec())));
            }
        }
        found
    }

    pub(crate) fn write(&self, offset: u64, batch: WriteBatch) {
        let spans = vec![Span { source: LIVE, from: offset, to: offset + 1 }];
        let writer = Tailed::new(self.store.clone(), Arc::clone(&self.tail));
        writer.write(&WriteBatch { spans, ..batch }).unwrap();
    }
}

/// Who asks says so: the tests are not about credentials.
fn tenant_of(headers: &HeaderMap) -> Result<TenantId, NoAccess> {
    let name = headers.get("x-tenant").and_then(|name| name.to_str().ok()).unwrap_or_default();
    TenantId::parse(name).map_err(|_| NoAccess::Credentials)
}

pub(crate) const LIVE: Source = Source { topic: 0, lane: Lane::Live, partition: 2 };

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

pub(crate) fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn readings(devices: &[&str]) -> WriteBatch {
    let reading = |device: &&str| Reading {
        device: DeviceId::parse(device).unwrap(),
        metric: MetricName::parse("t").unwrap(),
        when: When::by_device(at(1), at(2)),
        value: Value::Int(1),
    };
    let readings: Vec<_> = devices.iter().map(reading).collect();
    WriteBatch { readings: [(acme(), readings.iter().collect())].into(), ..WriteBatch::default() }
}

pub(crate) fn account(tenant: &str, amounts: Amounts) -> AccountEntry {
    let key = AccountKey { tenant: tenant.into(), topic: "devices/{id}/telemetry".into(), minute: at(60) };
    AccountEntry { key, amounts }
}

pub(crate) fn dead(tenant: &str, offset: u64, device: &str, payload: &[u8]) -> DeadMessage {
    let mut record = Vec::new();
    Envelope {
        kind: Kind::Telemetry,
        protocol: Protocol::Mqtt5,
        encoding: Encoding::Json,
        qos: Qos::AtLeastOnce,
        retain: true,
        refused: Some("too fast"),
        arrived_at: at(5),
        tenant,
        device,
        topic: "plant/7",
        origin: None,
        properties: &[1, 1],
        payload,
    }
    .encode(&mut record);
    DeadMessage {
        source: LIVE,
        offset,
        tenant: tenant.into(),
        device: device.into(),
        topic: "plant/7".into(),
        stage: "decode",
        arrived_at: at(5),
        attempts: 2,
        last_at: at(8),
        completeness: Completeness::Whole,
        letters: vec![DeadLetter { index: None, reason: "cut".into() }],
        record,
    }
}
