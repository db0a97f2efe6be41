//! Devices over HTTP.

use std::collections::HashSet;
use std::time::Duration;

use penstock_fleet::content::{Content, Devices};
use penstock_fleet::device::Spec;
use penstock_fleet::load::{Http, Load, Options, Pace, Protocol};
use penstock_fleet::report::{Report, Stats};
use penstock_fleet::target::{Target, TlsFiles};

use crate::web::{Does, Web, serve};

const LIMIT: Duration = Duration::from_secs(20);

/// Three devices, 100 messages in all, at most ten in a request.
fn options(web: &Web, faults: &str) -> Options {
    let mut options = Options::new(Target::new(&web.address.to_string(), &TlsFiles::default()).unwrap());
    options.protocol = Protocol::Http(Http {
        host: web.address.to_string(),
        authorization: Some("Bearer secret".to_owned()),
        batch: 10,
    });
    options.connections = 3;
    options.messages = Some(100);
    options.clean_start = false;
    options.reconnect = true;
    options.record = true;
    options.backoff_base_ms = 1;
    options.content = Content::Telemetry(Devices {
        behind: 1,
        topic: "devices/d{i}/telemetry".into(),
        spec: Spec::simple(2, 5),
        faults: faults.parse().unwrap(),
        lasts: None,
    });
    options
}

fn run(options: Options) -> (Report, Stats) {
    let mut load = Load::start(options).unwrap();
    load.wait_up(LIMIT).unwrap();
    load.begin(None).unwrap();
    load.finish(LIMIT).unwrap()
}

fn lines(web: &Web) -> Vec<String> {
    web.asked.lock().unwrap().iter().flat_map(|asked| asked.lines.clone()).collect()
}

#[test]
fn every_message_is_sent_once_in_batches_on_connections_that_are_kept() {
    let web = serve(|_| Does::Takes);
    let (report, stats) = run(options(&web, ""));
    assert_eq!((report.published, report.acknowledged, report.unacknowledged), (100, 100, 0));
    assert_eq!((stats.acked.len(), stats.readings, report.latency[0].count), (100, 200, 100));
    assert_eq!((report.lost, report.reconnects), (0, 0));
    let all = lines(&web);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 100);
    let one: serde_json::Value = serde_json::from_str(&all[0]).unwrap();
    assert!(one["device_id"].as_str().unwrap().starts_with('d') && one["metrics"]["humidity"].is_number());
    let asked = web.asked.lock().unwrap();
    assert!(asked.iter().all(|asked| (1..=10).contains(&asked.lines.len())));
    assert_eq!(asked.iter().map(|asked| asked.connection).collect::<HashSet<_>>().len(), 3);
    for words in ["POST /v1/telemetry HTTP/1.1", "Host: 127.0.0.1:", "Authorization: Bearer secret", "ndjson"]
    {
        assert!(asked[0].head.contains(words), "{}", asked[0].head);
    }
}

#[test]
fn what_was_not_answered_is_sent_again() {
    let web = serve(|request| if request % 4 == 1 { Does::Breaks } else { Does::Takes });
    let (report, stats) = run(options(&web, ""));
    assert_eq!((report.published, report.acknowledged), (100, 100));
    assert!(report.resent >= 10 && report.lost >= 1, "{} resent, {} lost", report.resent, report.lost);
    let all = lines(&web);
    assert_eq!(all.len() as u64, 100 + report.resent);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), stats.acked.len());
}

#[test]
fn a_server_that_is_busy_is_asked_again_later() {
    let web = serve(|request| match request {
        0 => Does::Says(503),
        2 => Does::Says(429),
        _ => Does::Takes,
    });
    let (report, _) = run(options(&web, ""));
    assert_eq!((report.acknowledged, report.pushed_back, report.refused.len()), (100, 2, 0));
    assert_eq!(lines(&web).into_iter().collect::<HashSet<_>>().len(), 100);
}

#[test]
fn a_connection_that_the_server_closes_is_not_a_loss() {
    let web = serve(|_| Does::Closes);
    let (report, _) = run(options(&web, ""));
    assert_eq!((report.acknowledged, report.lost, report.resent), (100, 0, 0));
    assert!(report.reconnects >= 7, "{}", report.reconnects);
}

#[test]
fn refusals_are_counted_by_status_and_said() {
    let web = serve(|_| Does::Says(403));
    let (report, stats) = run(options(&web, ""));
    assert_eq!((report.refused.get(&403), report.acknowledged, stats.acked.len()), (Some(&100), 0, 0));
    let trouble = report.last_trouble.unwrap();
    assert!(trouble.contains("403") && trouble.contains("as told"), "{trouble}");
}

#[test]
fn broken_and_too_large_messages_do_not_take_their_batch_with_them() {
    let web = serve(|_| Does::Takes);
    let (report, stats) = run(options(&web, "malformed=0.1,oversize=0.05,drop=0.05"));
    let times = |fault: &str| stats.faults.get(fault).copied().unwrap_or_default();
    assert!(times("malformed") > 3 && times("oversize") > 1, "{:?}", stats.faults);
    assert_eq!(report.refused.get(&422).copied(), Some(times("malformed")));
    assert_eq!(report.refused.get(&413).copied(), Some(times("oversize")));
    assert_eq!(report.acknowledged, 100 - times("malformed") - times("oversize"));
    assert_eq!(stats.broken.len() as u64, times("malformed"));
    assert_eq!(report.lost, 0);
}

#[test]
fn an_open_loop_charges_a_stall_to_the_server() {
    let web = serve(|request| if request == 0 { Does::Stalls(400) } else { Does::Takes });
    let options = Options {
        connections: 1,
        messages: None,
        duration: Some(Duration::from_millis(500)),
        pace: Pace::open(20.0),
        ..options(&web, "")
    };
    let (report, _) = run(options);
    assert_eq!((report.published, report.acknowledged), (10, 10));
    // Due at 0, 50, 100, … ms; all that was due meanwhile goes out when the first answer is there.
    assert!(report.latency[0].max_us >= 400_000.0, "{:?}", report.latency[0]);
    assert!(report.latency[0].mean_us > 120_000.0, "{:?}", report.latency[0]);
}

#[test]
fn plain_bytes_and_empty_batches_are_refused() {
    let web = serve(|_| Does::Takes);
    let mut plain = options(&web, "");
    plain.content = Content::Plain { topic: "t/{i}".into(), size_bytes: 64 };
    assert!(Load::start(plain).unwrap_err().to_string().contains("MQTT only"));
    let mut empty = options(&web, "");
    empty.protocol = Protocol::Http(Http { host: String::new(), authorization: None, batch: 0 });
    assert!(Load::start(empty).unwrap_err().to_string().contains("at least 1"));
}
