//! Figures and traces reach a collector, and one that is away harms nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::served::Served;

/// A collector that keeps what it is sent: paths and bodies.
fn collector(listener: TcpListener) -> Receiver<(String, Value)> {
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(request) = request(&mut stream) {
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
                    if sender.send(request).is_err() {
                        return;
                    }
                }
            });
        }
    });
    received
}

fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|size| *size > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = None;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse::<usize>().ok();
        }
        assert!(!header.starts_with("content-type") || header.contains("application/json"), "{header}");
    }
    let mut body = vec![0; length.expect("the length is said")];
    stream.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).unwrap()))
}

const TOLD: Duration = Duration::from_secs(30);

fn send(served: &Served, value: u64) {
    let body = format!(r#"{{"device_id":"d1","metric":"m","value":{value},"ts":{}}}"#, 1_700_000_000 + value);
    let answer = served.curl(&["-d", &body], "/v1/telemetry");
    assert!(answer.ends_with("\n200"), "{answer}");
}

fn told_to(endpoint: &str, dir: &std::path::Path) -> Served {
    Served::with(
        dir,
        &[
            ("PENSTOCK__OTLP__ENDPOINT", endpoint),
            ("PENSTOCK__OTLP__FIGURES_EVERY_S", "1"),
            ("PENSTOCK__OTLP__TRACE_ONE_IN", "1"),
        ],
    )
}

/// The first of what comes to `path` that `wanted` finds something in.
fn await_told<T>(
    received: &Receiver<(String, Value)>,
    path: &str,
    wanted: impl Fn(&Value) -> Option<T>,
) -> T {
    loop {
        let (came, body) = received.recv_timeout(TOLD).expect("the collector is told in time");
        if came == path
            && let Some(found) = wanted(&body)
        {
            return found;
        }
    }
}

#[test]
fn a_collector_is_told_figures_and_the_way_of_readings() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    let received = collector(listener);
    let dir = tempfile::tempdir().unwrap();
    let served = told_to(&endpoint, dir.path());
    send(&served, 1);

    let spans = await_told(&received, "/v1/traces", |body| {
        Some(body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone())
    });
    let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["reading", "commit", "process", "store"]);
    let time = |span: &Value, end: &str| span[end].as_str().unwrap().parse::<u64>().unwrap();
    let whole = &spans[0];
    assert!(whole["traceId"].as_str().unwrap().len() == 32 && whole["parentSpanId"] == "", "{whole}");
    assert!(whole["attributes"].to_string().contains(r#""stringValue":"http""#), "{whole}");
    for part in &spans[1..] {
        assert_eq!((&part["traceId"], &part["parentSpanId"]), (&whole["traceId"], &whole["spanId"]));
        assert!(time(part, "startTimeUnixNano") <= time(part, "endTimeUnixNano"), "{part}");
        assert!(time(part, "endTimeUnixNano") <= time(whole, "endTimeUnixNano"), "{part} of {whole}");
    }

    let metrics = await_told(&received, "/v1/metrics", |body| {
        let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap().clone();
        let named = |name: &str| metrics.iter().find(|metric| metric["name"] == name).cloned();
        let stored = named("penstock_readings_stored_total")?;
        (stored["sum"]["dataPoints"][0]["asDouble"] == 1.0).then_some(metrics.clone())
    });
    let named = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
    let stored = &named("penstock_readings_stored_total")["sum"];
    assert!(stored["isMonotonic"] == true && stored["aggregationTemporality"] == 2, "{stored}");
    assert_eq!(named("penstock_ready")["gauge"]["dataPoints"][0]["asDouble"], 1.0);
    let fsync = &named("penstock_log_fsync_seconds")["histogram"]["dataPoints"][0];
    let (buckets, bounds) =
        (fsync["bucketCounts"].as_array().unwrap(), fsync["explicitBounds"].as_array().unwrap());
    assert_eq!(buckets.len(), bounds.len() + 1);
    let counted: u64 = buckets.iter().map(|count| count.as_str().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(fsync["count"].as_str().unwrap(), counted.to_string());
}

#[test]
fn a_collector_that_is_away_harms_nothing_and_is_told_when_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let dir = tempfile::tempdir().unwrap();
    let served = told_to(&format!("http://{address}"), dir.path());
    (1..=50).for_each(|value| send(&served, value));
    assert_eq!(served.eventually("SELECT count(*) FROM telemetry HAVING count(*) = 50"), "50");
    let received = collector(TcpListener::bind(address).unwrap());
    await_told(&received, "/v1/metrics", |_| Some(()));
    crate::served::until("that it was away is said once", || {
        let said = served.log();
        (said.contains("takes figures and traces again"))
            .then(|| assert_eq!(said.matches("takes nothing").count(), 1))
    });
    assert_eq!(served.terminate().code(), Some(0));
}

#[test]
fn without_it_there_is_no_thread_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let threads = || {
        let names = std::fs::read_dir(format!("/proc/{}/task", served.process())).unwrap();
        names
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
            .collect::<Vec<_>>()
    };
    assert!(threads().iter().all(|name| !name.contains("otlp")), "{:?}", threads());
}
