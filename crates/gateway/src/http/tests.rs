use std::io::Write as _;
use std::sync::atomic::Ordering;

use axum::body::Body as StreamBody;
use axum::http::{Request, Response, StatusCode};
use log::faults::FaultyLog;
use log::{Log as _, MemoryLog, Partitions, Position, Topic};
use record::{DeviceId, Encoding, Envelope, Lane, Protocol, Readings, TenantId};
use registry::{Administration, AuthConfig, Mode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use wire::payload::Message;

use super::*;

/// 2026-01-01T00:00:00Z.
const NOW_S: i64 = 1_767_225_600;

struct Bench {
    log: Arc<FaultyLog>,
    ingest: Arc<Ingest>,
    administration: Administration,
}

impl Bench {
    fn open() -> Self {
        Self::with(Mode::Open, Limits::default())
    }

    fn with(mode: Mode, limits: Limits) -> Self {
        let inner = MemoryLog::new(Partitions::uniform(8).unwrap());
        let log = Arc::new(FaultyLog::over(inner));
        let policy = AuthConfig { mode, ..AuthConfig::default() }.validate().unwrap();
        let metadata: Arc<dyn metadata::Metadata> = Arc::new(metadata::Memory::new());
        let acl = Acl::new(&policy, wire::template::Templates::SHIPPED).unwrap();
        let administration = Administration::new(&policy, metadata.clone());
        let ingest = Ingest::new(Parts {
            log: log.clone(),
            authenticator: Arc::new(Authenticator::open(policy, metadata).unwrap()),
            acl: Arc::new(acl),
            limits,
            backfill_after: Some(Duration::from_secs(3600)),
            schemas: crate::Schemas::default(),
            clock: Arc::new(now),
        });
        Self { log, ingest, administration }
    }

    async fn send(&self, request: Request<StreamBody>) -> Answer {
        Answer::of(routes(self.ingest.clone()).oneshot(request).await.unwrap()).await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<StreamBody>) -> Answer {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn telemetry(&self, body: impl Into<StreamBody>) -> Answer {
        self.post("/v1/telemetry", &[], body).await
    }

    async fn write(&self, query: &str, body: impl Into<StreamBody>) -> Answer {
        self.post(&format!("/write?{query}"), &[], body).await
    }

    /// Everything in the log, by lane and partition.
    async fn records(&self) -> Vec<Kept> {
        let mut kept = Vec::new();
        for lane in [Lane::Live, Lane::Backfill] {
            for index in 0..8 {
                let partition = log::PartitionId { topic: Topic::Raw, lane, index };
                let end = self.log.extent(partition).unwrap().end;
                let mut reader = self.log.read(&[Position { partition, offset: 0 }]).unwrap();
                let mut seen = 0;
                while seen < end {
                    for run in reader.next(1 << 20).await.unwrap().runs {
                        seen += run.records.len() as u64;
                        kept.extend(run.records.iter().map(|record| Kept::of(lane, index, &record.value)));
                    }
                }
            }
        }
        kept
    }
}

fn now() -> Timestamp {
    Timestamp::from_nanos(NOW_S * 1_000_000_000)
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    async fn of(response: Response<StreamBody>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Self {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An envelope out of the log.
#[derive(Debug, PartialEq)]
struct Kept {
    lane: Lane,
    partition: u16,
    protocol: Protocol,
    encoding: Encoding,
    tenant: String,
    device: String,
    topic: String,
    refused: Option<String>,
    payload: String,
}

impl Kept {
    fn of(lane: Lane, partition: u16, bytes: &[u8]) -> Self {
        let envelope = Envelope::decode(bytes).unwrap();
        assert_eq!(envelope.arrived_at, now());
        Self {
            lane,
            partition,
            protocol: envelope.protocol,
            encoding: envelope.encoding,
            tenant: envelope.tenant.to_owned(),
            device: envelope.device.to_owned(),
            topic: envelope.topic.to_owned(),
            refused: envelope.refused.map(str::to_owned),
            payload: String::from_utf8(envelope.payload.to_vec()).unwrap(),
        }
    }

    /// What the stream will read from it.
    fn readings(&self) -> Vec<String> {
        let message = Message {
            encoding: self.encoding,
            device: Some(self.device.as_str()).filter(|device| !device.is_empty()),
            metric: None,
            arrived_at: now(),
            time_unit: None,
            payload: self.payload.as_bytes(),
        };
        described(&message)
    }
}

fn described(message: &Message<'_>) -> Vec<String> {
    let mut readings = Readings::new();
    wire::payload::decode(message, &mut readings, &mut Scratch::new()).unwrap();
    readings
        .iter()
        .map(|r| format!("{} {} {} {:?}", r.device, r.metric, r.when.time.nanos(), r.value))
        .collect()
}

#[tokio::test]
async fn every_shape_of_telemetry_is_taken() {
    let one = r#"{"device_id":"d1","metric":"t","value":1,"ts":1767225600}"#;
    let many = r#"{"device_id":"d1","ts":1767225600,"metrics":{"a":1,"b":2.5,"c":true}}"#;
    for (content_type, body, accepted, rejected) in [
        ("application/json", one.to_owned(), 1, vec![]),
        ("application/json; charset=utf-8", many.to_owned(), 3, vec![]),
        ("application/x-www-form-urlencoded", one.to_owned(), 1, vec![]),
        ("application/json", format!("[{one},\n{many}]"), 4, vec![]),
        ("application/x-ndjson", format!("{one}\n\n{many}\n"), 4, vec![]),
        ("application/json", format!("{one}\n{many}"), 4, vec![]),
        ("application/json", format!("[{one},{{\"device_id\":\"d1\"}},7]"), 1, vec![1, 2]),
        ("application/x-ndjson", format!("{one}\nnot json\n{many}"), 4, vec![1]),
        ("application/json", r#"{"device_id":"d1","metrics":{"a":1,"b":null}}"#.to_owned(), 1, vec![0]),
    ] {
        let bench = Bench::open();
        let answer = bench.post("/v1/telemetry", &[("content-type", content_type)], body.clone()).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        let json = answer.json();
        assert_eq!(json["accepted"], accepted, "{body}");
        let indices: Vec<u64> =
            json["rejected"].as_array().unwrap().iter().map(|r| r["index"].as_u64().unwrap()).collect();
        assert_eq!(indices, rejected, "{body}: {}", answer.text);
        assert!(json["rejected"].as_array().unwrap().iter().all(|r| r["reason"].as_str().is_some()));
        let good: usize = bench
            .records()
            .await
            .iter()
            .filter(|kept| kept.refused.is_none())
            .map(|kept| kept.readings().len())
            .sum();
        assert_eq!(good, accepted, "{body}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_which_one_is_right() {
    for (method, path, allowed) in
        [("GET", "/v1/telemetry", "POST"), ("PUT", "/write", "POST"), ("DELETE", "/ping", "GET,HEAD")]
    {
        let request = Request::builder().method(method).uri(path).body(StreamBody::empty()).unwrap();
        let answer = Bench::open().send(request).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allowed), "{method} {path}");
        let detail = format!("{path} does not answer {method}; the header Allow says what it does");
        assert_eq!(answer.json()["detail"], detail.as_str());
    }
}

#[tokio::test]
async fn nothing_is_answered_before_the_commit() {
    for (path, body, expect) in [
        ("/v1/telemetry", r#"{"device_id":"d","metric":"m","value":1}"#, 200),
        ("/write", "m,device=d f=1", 204),
    ] {
        let bench = Bench::open();
        bench.log.hold();
        let mut answer = Box::pin(bench.post(path, &[], body));
        for _ in 0..20 {
            assert!(futures_util::poll!(&mut answer).is_pending(), "{path}");
            tokio::task::yield_now().await;
        }
        let mut held = bench.log.take_held();
        let (batch, completion) = held.pop().unwrap();
        assert_eq!((held.len(), batch.len()), (0, 1));
        completion.complete(Ok(Vec::new()));
        assert_eq!(answer.await.status, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_does_not_come_is_no_success() {
    let bench = Bench::open();
    bench.log.hold();
    let answer = bench.write("", "m,device=d f=1").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert!(answer.text.contains("not known to be durable after 30 s"), "{}", answer.text);
}

#[tokio::test]
async fn a_log_that_refuses_is_never_a_success() {
    let place = || "x".to_owned();
    for (error, status, retry) in [
        (log::Error::Busy { waiting_bytes: 1 }, 429, "1"),
        (log::Error::Full { place: place() }, 503, "10"),
        (log::Error::Io { operation: "fsync", place: place(), reason: place() }, 503, "10"),
        (log::Error::Closed, 503, "10"),
        (log::Error::Refused(place()), 500, ""),
    ] {
        for (path, body) in [
            ("/v1/telemetry", r#"{"device_id":"d","metric":"m","value":1}"#),
            ("/write", "m,device=d f=1"),
            ("/api/v2/write", "m,device=d f=1\nbad"),
        ] {
            let bench = Bench::open();
            bench.log.fail(error.clone());
            let answer = bench.post(path, &[], body).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("retry-after")),
                (status, retry),
                "{path} {error}"
            );
            assert_eq!(bench.ingest.counters().influx.readings.load(Ordering::Relaxed), 0);
        }
    }
}

#[tokio::test]
async fn a_body_is_cut_up_by_device_and_loses_nothing() {
    let bench = Bench::open();
    let body = json!([
        {"device_id": "d1", "metric": "a", "value": 1, "ts": NOW_S},
        {"device_id": "d2", "metric": "a", "value": 2, "ts": NOW_S},
        {"device_id": "d1", "ts": NOW_S, "metrics": {"b": 9_007_199_254_740_993_i64, "c": "x\ny"}},
    ]);
    let body = serde_json::to_string_pretty(&body).unwrap();
    let answer = bench.telemetry(body.clone()).await;
    assert_eq!(answer.json(), json!({"accepted": 4, "rejected": []}));
    let records = bench.records().await;
    assert_eq!(records.len(), 2);
    for kept in &records {
        assert_eq!((kept.tenant.as_str(), kept.topic.as_str()), ("default", "$http/v1/telemetry"));
        assert_eq!((kept.protocol, kept.lane), (Protocol::Http, Lane::Live));
        assert_eq!(kept.partition, record::partition_of("default", &kept.device, 8));
        let expect = if kept.device == "d1" { (Encoding::Ndjson, 2) } else { (Encoding::Json, 1) };
        assert_eq!((kept.encoding, kept.payload.lines().count()), expect);
    }
    let mut kept: Vec<String> = records.iter().flat_map(Kept::readings).collect();
    let whole = Message {
        encoding: Encoding::Json,
        device: None,
        metric: None,
        arrived_at: now(),
        time_unit: None,
        payload: body.as_bytes(),
    };
    let mut sent = described(&whole);
    kept.sort();
    sent.sort();
    assert_eq!(kept, sent);
}

#[tokio::test]
async fn a_long_body_of_one_device_becomes_several_records_in_order() {
    let bench = Bench::open();
    let lines: Vec<String> = (0..40_000).map(|n| format!("m,device=d f={n}i {n}")).collect();
    assert_eq!(bench.write("precision=ms&lane=live", lines.join("\n")).await.status, 204);
    let records = bench.records().await;
    assert!(records.len() > 1, "one record of more than a mebibyte");
    let kept: Vec<&str> = records.iter().flat_map(|kept| kept.payload.lines()).collect();
    assert_eq!(kept.len(), 40_000);
    assert!(kept.iter().enumerate().all(|(n, line)| *line == format!("m,device=d f={n}i {}", n * 1_000_000)));
    assert_eq!(bench.ingest.in_flight.available_permits(), Limits::default().in_flight_bytes);
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter_with_its_reason() {
    let bench = Bench::open();
    let good = r#"{"device_id":"d1","metric":"t","value":1}"#;
    bench.telemetry(format!("[{good},{{\"metric\":\"t\",\"value\":2}}]")).await;
    let records = bench.records().await;
    let dead: Vec<&Kept> = records.iter().filter(|kept| kept.refused.is_some()).collect();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].payload.as_str(), dead[0].encoding), (r#"{"metric":"t","value":2}"#, Encoding::Json));
    assert!(dead[0].refused.as_ref().unwrap().contains("no device"), "{dead:?}");

    // A body without a good reading is refused and is one dead letter.
    for body in
        ["not json", "[]", "", "[{\"metric\":\"t\"},{}]", "{\"device_id\":\"d1\",\"metrics\":{\"a\":null}}"]
    {
        let bench = Bench::open();
        let answer = bench.telemetry(body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (422, "application/problem+json")
        );
        let problem = answer.json();
        assert_eq!((&problem["status"], &problem["title"]), (&json!(422), &json!("Unprocessable Entity")));
        assert!(problem["detail"].as_str().unwrap().starts_with("no reading is usable: "), "{problem}");
        assert!(!problem["rejected"].as_array().unwrap().is_empty());
        let records = bench.records().await;
        assert_eq!(records.len(), 1, "{body}");
        assert!(records[0].refused.is_some() && records[0].payload == body);
        // The refusal stands even when the dead letter cannot be kept.
        bench.log.fail(log::Error::Closed);
        assert_eq!(bench.telemetry(body).await.status, 422);
    }
}

#[tokio::test]
async fn the_lane_is_asked_for_or_by_age() {
    let at =
        |age_s: i64| format!("{{\"device_id\":\"d\",\"metric\":\"m\",\"value\":1,\"ts\":{}}}", NOW_S - age_s);
    let none = "{\"device_id\":\"d\",\"metric\":\"m\",\"value\":1}".to_owned();
    for (path, headers, body, expect) in [
        ("/v1/telemetry", vec![], at(3600), vec![Lane::Live]),
        ("/v1/telemetry", vec![], at(3601), vec![Lane::Backfill]),
        ("/v1/telemetry", vec![], at(-3601), vec![Lane::Live]),
        ("/v1/telemetry", vec![], none.clone(), vec![Lane::Live]),
        ("/v1/telemetry", vec![], format!("[{},{}]", at(7200), at(1)), vec![Lane::Live, Lane::Backfill]),
        ("/v1/telemetry?lane=backfill", vec![], at(1), vec![Lane::Backfill]),
        ("/v1/telemetry?lane=live", vec![], at(7200), vec![Lane::Live]),
        ("/v1/telemetry", vec![("penstock-lane", "backfill")], at(1), vec![Lane::Backfill]),
    ] {
        let bench = Bench::open();
        assert_eq!(bench.post(path, &headers, body.clone()).await.status, 200);
        let lanes: Vec<Lane> = bench.records().await.iter().map(|kept| kept.lane).collect();
        assert_eq!(lanes, expect, "{path} {body}");
    }
    let wrong = Bench::open().post("/v1/telemetry?lane=fast", &[], none).await;
    assert_eq!(wrong.status, 400);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn content_codings_are_undone_and_others_refused() {
    let good = br#"{"device_id":"d","metric":"m","value":1}"#.to_vec();
    let two_members = [gzip(&good), gzip(b"\n{\"device_id\":\"d\",\"metric\":\"m\",\"value\":2}")].concat();
    for (coding, body, status, expect) in [
        ("gzip", gzip(&good), 200, "\"accepted\":1"),
        ("GZIP", gzip(&good), 200, "\"accepted\":1"),
        ("gzip", two_members, 200, "\"accepted\":2"),
        ("deflate", zlib(&good), 200, "\"accepted\":1"),
        ("identity", good.clone(), 200, "\"accepted\":1"),
        ("br", good.clone(), 415, "send gzip, deflate or none"),
        ("gzip, gzip", gzip(&gzip(&good)), 415, "gzip, gzip"),
        ("gzip", good.clone(), 400, "the body is not gzip"),
        ("gzip", gzip(&good)[..20].to_vec(), 400, "the body is not gzip"),
    ] {
        let answer = Bench::open().post("/v1/telemetry", &[("content-encoding", coding)], body).await;
        assert_eq!(answer.status, status, "{coding}: {}", answer.text);
        assert!(answer.text.contains(expect), "{}", answer.text);
    }
    let xml = Bench::open().post("/v1/telemetry", &[("content-type", "application/xml")], good).await;
    assert_eq!(xml.status, 415);
    assert!(xml.text.contains("application/xml"), "{}", xml.text);
}

#[tokio::test]
async fn sizes_are_bounded_and_the_limit_is_named() {
    let limits = Limits { body_bytes: 200_000, decoded_bytes: 4 << 20, ..Limits::default() };
    let chunked = |size: usize| {
        let chunks = (0..size / 1000).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1000]));
        StreamBody::from_stream(futures_util::stream::iter(chunks))
    };
    for (coding, body, limit) in [
        ("identity", StreamBody::from(vec![b' '; 200_001]), "body_bytes"),
        ("identity", chunked(201_000), "body_bytes"),
        ("gzip", gzip(&[b' '; 3 << 20]).into(), "decompression_ratio"),
        ("gzip", gzip(&noise((4 << 20) + 1)).into(), "decoded_bytes"),
    ] {
        let bench = Bench::with(Mode::Open, limits);
        let answer = bench.post("/v1/telemetry", &[("content-encoding", coding)], body).await;
        assert_eq!(answer.status, 413, "{limit}: {}", answer.text);
        assert_eq!(answer.json()["limit"], limit, "{}", answer.text);
        assert_eq!(bench.ingest.in_flight.available_permits(), limits.in_flight_bytes);
        assert_eq!(bench.ingest.counters().telemetry.too_large.load(Ordering::Relaxed), 1);
    }
    let v2 = Bench::with(Mode::Open, limits).post("/api/v2/write", &[], vec![b' '; 200_001]).await;
    assert_eq!((v2.status.as_u16(), &v2.json()["code"]), (413, &json!("request too large")));
    assert!(v2.text.contains("at most 200000 bytes are taken (body_bytes)"), "{}", v2.text);
}

/// Text that gzip makes a fortieth of: below the ratio, above the size.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut out = Vec::with_capacity(size + 64);
    while out.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        out.extend_from_slice(&state.to_le_bytes()[5..]);
        out.resize(out.len() + 160, b' ');
    }
    out
}

#[tokio::test]
async fn the_bytes_of_all_requests_together_are_bounded() {
    let limits = Limits { in_flight_bytes: 10_000, ..Limits::default() };
    let bench = Bench::with(Mode::Open, limits);
    let body =
        |size: usize| format!("{{\"device_id\":\"d\",\"metric\":\"m\",\"value\":\"{}\"}}", "x".repeat(size));
    assert_eq!(bench.telemetry(body(4000)).await.status, 200);
    let over = bench.telemetry(body(10_000)).await;
    assert_eq!((over.status.as_u16(), over.header("retry-after")), (503, "1"));
    // What waits for its commit counts.
    bench.log.hold();
    let mut waiting = Box::pin(bench.telemetry(body(9000)));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert_eq!(bench.telemetry(body(1000)).await.status, 503);
    drop(waiting);
    bench.log.release();
    assert_eq!(bench.telemetry(body(1000)).await.status, 200);
    assert_eq!(bench.ingest.in_flight.available_permits(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let bench = Bench::open();
    let answer =
        bench.telemetry(StreamBody::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>()));
    assert_eq!(answer.await.status, 408);
}

#[tokio::test]
async fn line_protocol_is_committed_in_nanoseconds() {
    for (query, line, expect) in [
        ("", "m,device=d f=1 1767225600000000000", "m,device=d f=1 1767225600000000000"),
        ("precision=s", "m,device=d f=1 1767225600", "m,device=d f=1 1767225600000000000"),
        ("precision=ms&db=telegraf", "m,device=d f=1 1767225600000", "m,device=d f=1 1767225600000000000"),
        ("precision=h", "m,host=d f=1 490896", "m,device_id=d f=1 1767225600000000000"),
        ("", "m,a=b,host=d f=1", "m,a=b,device_id=d f=1"),
    ] {
        let bench = Bench::open();
        let answer = bench.write(query, line).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""), "{line}");
        let records = bench.records().await;
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].payload.as_str(), records[0].device.as_str()), (expect, "d"));
        assert_eq!((records[0].protocol, records[0].encoding), (Protocol::Influx, Encoding::Influx));
        assert_eq!(records[0].readings().len(), 1);
    }
    assert_eq!(Bench::open().write("", "").await.status, 204);
    assert_eq!(Bench::open().write("precision=week", "m,device=d f=1").await.status, 400);
}

#[tokio::test]
async fn a_bad_line_is_named_and_the_good_ones_are_kept() {
    let bench = Bench::open();
    let answer = bench.write("precision=s", "m,device=d f=1 1\nm,device=d\nm f=1\nm,device=d f=2 2").await;
    assert_eq!(answer.status, 400);
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("partial write: unable to parse line 2, "), "{error}");
    assert!(error.contains("line 3, ") && error.ends_with("dropped=2"), "{error}");
    assert_eq!(answer.header("x-influxdb-error"), error);
    let records = bench.records().await;
    let dead: Vec<&Kept> = records.iter().filter(|kept| kept.refused.is_some()).collect();
    assert_eq!(dead.len(), 2);
    assert!(
        dead.iter().all(|kept| kept.refused.as_ref().unwrap().contains("(precision: Seconds)")),
        "{dead:?}"
    );
    let good: Vec<&Kept> = records.iter().filter(|kept| kept.refused.is_none()).collect();
    assert_eq!(good.len(), 1);
    assert_eq!(good[0].payload, "m,device=d f=1 1000000000\nm,device=d f=2 2000000000");

    let v2 = Bench::open().post("/api/v2/write?bucket=b&org=o", &[], "m,device=d f=1\nnothing").await;
    let body = v2.json();
    assert_eq!((v2.status.as_u16(), &body["code"], &body["line"]), (400, &json!("invalid"), &json!(2)));
    let none = Bench::open().post("/api/v2/write", &[], "nothing").await;
    assert!(
        none.json()["message"].as_str().unwrap().starts_with("unable to parse line 1, "),
        "{}",
        none.text
    );
}

#[tokio::test]
async fn telegraf_finds_what_it_asks_for_before_it_writes() {
    let bench = Bench::open();
    for method in ["GET", "HEAD"] {
        let ping = Request::builder().method(method).uri("/ping").body(StreamBody::empty()).unwrap();
        let answer = bench.send(ping).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
        assert_eq!(answer.header("x-influxdb-version"), "1.8.10");
    }
    let verbose = bench.send(Request::get("/ping?verbose=true").body(StreamBody::empty()).unwrap()).await;
    assert_eq!((verbose.status.as_u16(), verbose.json()), (200, json!({"version": "1.8.10"})));
    for (statement, expect) in [
        ("CREATE DATABASE \"telegraf\"", json!({"statement_id": 0})),
        (
            "SHOW DATABASES",
            json!({"statement_id": 0, "series": [{"name": "databases", "columns": ["name"], "values": [["penstock"]]}]}),
        ),
        ("show measurements", json!({"statement_id": 0})),
    ] {
        let form = format!("q={}", statement.replace(' ', "+").replace('"', "%22"));
        let posted = bench
            .post("/query", &[("content-type", "application/x-www-form-urlencoded")], form.clone())
            .await;
        assert_eq!(
            (posted.status.as_u16(), posted.json()),
            (200, json!({ "results": [expect] })),
            "{statement}"
        );
        let got = bench.send(Request::get(format!("/query?{form}")).body(StreamBody::empty()).unwrap()).await;
        assert_eq!(got.json(), json!({ "results": [expect] }));
    }
    let select = bench.post("/query?q=SELECT+1;DROP+DATABASE+x", &[], "").await.json();
    assert!(select["results"][0]["error"].as_str().unwrap().contains("/v1/sql"));
    assert_eq!(select["results"][1]["messages"][0]["level"], "warning");
    assert_eq!(bench.post("/query?q=DELETE+FROM+x", &[], "").await.status, 400);
    assert_eq!(bench.post("/query", &[], "").await.status, 400);
}

#[tokio::test]
async fn credentials_are_asked_for_in_required_mode_and_bound_the_devices() {
    let bench = Bench::with(Mode::Required, Limits::default());
    let (acme, d1) = (TenantId::parse("acme").unwrap(), DeviceId::parse("d1").unwrap());
    let token = bench.administration.add_device_token(&acme, &d1, None, now()).unwrap();
    let service = DeviceId::parse("telegraf").unwrap();
    let publish = ["devices/+/telemetry".to_owned()];
    let telegraf = bench.administration.add_service_token(&acme, &service, &publish, &[], now()).unwrap();
    let (token, telegraf) = (token.reveal(), telegraf.reveal());
    let basic = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("acme/d1:{token}"))
    };
    let own = "m,device=d1 f=1";
    let other = "m,device=d2 f=1";
    for (query, authorization, body, status) in [
        ("", String::new(), own, 401),
        ("", format!("Bearer {token}"), own, 204),
        ("", format!("Token {token}"), own, 204),
        ("", format!("Token acme/d1:{token}"), own, 204),
        ("", format!("Basic {basic}"), own, 204),
        (&format!("u=acme/d1&p={token}"), String::new(), own, 204),
        ("u=acme/d1&p=wrong", String::new(), own, 401),
        ("", format!("Bearer {token}x"), own, 401),
        ("", "Digest x".to_owned(), own, 401),
        // A line of another device's: the device's own credential contradicts it, and nothing is good.
        ("", format!("Bearer {token}"), other, 400),
        ("", format!("Bearer {token}"), "m f=1", 204),
        ("", format!("Bearer {telegraf}"), other, 204),
    ] {
        let headers = [("authorization", authorization.as_str())];
        let headers = if authorization.is_empty() { &headers[..0] } else { &headers[..] };
        let answer = bench.post(&format!("/write?{query}"), headers, body).await;
        assert_eq!(answer.status, status, "{query} {authorization} {body}: {}", answer.text);
        if status == 401 {
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"penstock\"");
        }
    }
    let records = bench.records().await;
    assert!(records.iter().all(|kept| kept.tenant == "acme"));
    assert!(records.iter().all(|kept| kept.refused.is_some() || kept.device == "d1" || kept.device == "d2"));

    // A service without the grant may not report, and leaves nothing behind.
    let bench = Bench::with(Mode::Required, Limits::default());
    let narrow = ["devices/d1/telemetry".to_owned()];
    let narrow = bench.administration.add_service_token(&acme, &service, &narrow, &[], now()).unwrap();
    let authorization = format!("Bearer {}", narrow.reveal());
    let headers = [("authorization", authorization.as_str())];
    let reading = |device: &str| format!("{{\"device_id\":\"{device}\",\"metric\":\"m\",\"value\":1}}");
    let answer = bench.post("/v1/telemetry", &headers, reading("d2")).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert!(bench.records().await.is_empty());
    let mixed = format!("[{},{}]", reading("d1"), reading("d2"));
    let answer = bench.post("/v1/telemetry", &headers, mixed).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["accepted"]), (200, &json!(1)));
    assert_eq!(answer.json()["rejected"][0]["index"], 1);
}

#[tokio::test]
async fn what_was_done_is_counted() {
    let bench = Bench::open();
    bench.telemetry(r#"[{"device_id":"d","metric":"m","value":1},7]"#).await;
    bench.telemetry("nope").await;
    let counters = &bench.ingest.counters().telemetry;
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((read(&counters.accepted_requests), read(&counters.readings)), (1, 1));
    assert_eq!((read(&counters.rejected), read(&counters.refused_requests)), (2, 1));
    assert_eq!(counters.acknowledgement.buckets.iter().map(read).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_flood_of_refusals_stays_small() {
    let bench = Bench::open();
    let mut body = String::from("[{\"device_id\":\"d\",\"metric\":\"m\",\"value\":1}");
    body.push_str(&",7".repeat(100_000));
    body.push(']');
    let answer = bench.telemetry(body).await;
    let json = answer.json();
    assert_eq!((&json["accepted"], &json["rejected_count"]), (&json!(1), &json!(100_000)));
    assert_eq!(json["rejected"].as_array().unwrap().len(), 1000);
    let records = bench.records().await;
    assert_eq!(records.len(), 1 + 1000 + 1);
    let rest = records.iter().find(|kept| kept.payload.contains('\n')).unwrap();
    assert_eq!((rest.encoding, rest.payload.lines().count()), (Encoding::Ndjson, 99_000));
    assert!(
        rest.refused.as_ref().unwrap().starts_with("99000 more refused, the first: "),
        "{:?}",
        rest.refused
    );
    assert!(bench.ingest.scratches.lock().len() <= 1);
    assert_eq!(bench.ingest.planning.available_permits(), PLANNING_KIB);
}

#[tokio::test]
async fn every_batch_of_a_large_body_must_be_durable() {
    let bench = Bench::open();
    bench.log.hold();
    let lines: Vec<String> =
        (0..100_000).map(|n| format!("m,device=device-{n:06} text=\"{}\"", "x".repeat(80))).collect();
    let mut answer = Box::pin(bench.write("", lines.join("\n")));
    let held = loop {
        assert!(futures_util::poll!(&mut answer).is_pending());
        tokio::task::yield_now().await;
        if bench.log.held() > 1 {
            break bench.log.take_held();
        }
    };
    assert_eq!(held.iter().map(|(batch, _)| batch.len()).sum::<usize>(), 100_000);
    let last = held.len() - 1;
    for (n, (_, completion)) in held.into_iter().enumerate() {
        let place = String::new();
        completion.complete(if n == last { Err(log::Error::Full { place }) } else { Ok(Vec::new()) });
    }
    assert_eq!(answer.await.status, 503);
}

#[tokio::test]
async fn it_serves_a_real_socket() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let limits = Limits { body_bytes: 1000, ..Limits::default() };
    let bench = Bench::with(Mode::Open, limits);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, routes(bench.ingest.clone())).into_future());
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let good = "m,device=d f=1";
    // Two requests on one connection, one with a length and one in chunks; the third announces too much.
    let requests = format!(
        "POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{good}\
         POST /write HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{good}\r\n0\r\n\r\n\
         POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000000\r\n\r\n",
        good.len(),
        good.len()
    );
    socket.write_all(requests.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains("body_bytes") {
        let n = socket.read(&mut buffer).await.unwrap();
        assert!(n > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    let statuses: Vec<&str> = text.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
    assert_eq!(
        statuses,
        ["HTTP/1.1 204 No Content", "HTTP/1.1 204 No Content", "HTTP/1.1 413 Payload Too Large"]
    );
    assert_eq!(bench.records().await.len(), 2);
    server.abort();
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn element() -> impl Strategy<Value = String> {
        let device = prop::sample::select(vec!["d1", "d2", "d3"]);
        let age = prop::sample::select(vec![0_i64, 10, 7200]);
        prop_oneof![
            4 => (device.clone(), age.clone(), any::<i32>()).prop_map(|(d, age, v)| {
                format!("{{\"device_id\":\"{d}\",\"metric\":\"m\",\"value\":{v},\"ts\":{}}}", NOW_S - age)
            }),
            2 => (device, age).prop_map(|(d, age)| {
                format!(
                    "{{\"device_id\":\"{d}\",\n \"ts\":{},\r\n\"metrics\":{{\"a\":1,\"b\":null,\"c\":\"x\\ny\"}}}}",
                    NOW_S - age
                )
            }),
            1 => prop::sample::select(vec!["7", "{}", "{\"metric\":\"m\",\"value\":1}", "null", "\"text\""])
                .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// However a body is cut up, what the stream reads from the pieces is what the body holds, a device's
        /// readings in the order in which they were sent; and what is refused is somewhere.
        #[test]
        fn the_pieces_are_the_whole(elements in prop::collection::vec(element(), 1..30)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let body = format!("[{}]", elements.join(" ,\n"));
            let (answer, records) = runtime.block_on(async {
                let bench = Bench::open();
                let answer = bench.telemetry(body.clone()).await;
                (answer, bench.records().await)
            });
            let message = Message {
                encoding: Encoding::Json,
                device: None,
                metric: None,
                arrived_at: now(),
                time_unit: None,
                payload: body.as_bytes(),
            };
            let (mut readings, mut scratch) = (Readings::new(), Scratch::new());
            let whole = wire::payload::decode(&message, &mut readings, &mut scratch);
            let good = |device: &str, lane: Lane| -> Vec<String> {
                let of = |kept: &&Kept| kept.refused.is_none() && kept.device == device && kept.lane == lane;
                records.iter().filter(of).flat_map(Kept::readings).collect()
            };
            let refused = records.iter().filter(|kept| kept.refused.is_some()).count();
            match whole {
                Err(_) => {
                    prop_assert_eq!(answer.status, 422);
                    prop_assert_eq!((records.len(), refused), (1, 1));
                }
                Ok(summary) => {
                    prop_assert_eq!(answer.status, 200);
                    prop_assert_eq!(&answer.json()["accepted"], summary.readings);
                    prop_assert_eq!(answer.json()["rejected"].as_array().unwrap().len(), summary.rejected);
                    for device in ["d1", "d2", "d3"] {
                        for lane in [Lane::Live, Lane::Backfill] {
                            let old = |time: Timestamp| now().nanos() - time.nanos() > 3_600_000_000_000;
                            let expect: Vec<String> = readings
                                .iter()
                                .filter(|r| r.device == device && old(r.when.time) == (lane == Lane::Backfill))
                                .map(|r| format!("{} {} {} {:?}", r.device, r.metric, r.when.time.nanos(), r.value))
                                .collect();
                            prop_assert_eq!(good(device, lane), expect);
                        }
                    }
                    let empty = scratch.elements().iter().filter(|e| e.rows.is_empty()).count();
                    prop_assert_eq!(refused, empty);
                }
            }
        }
    }
}
