//! What a load does with what a server does.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use penstock_fleet::content::{Content, Devices, Id};
use penstock_fleet::device::Spec;
use penstock_fleet::faults::Faults;
use penstock_fleet::load::{Load, Options, Pace};
use penstock_fleet::packet::Version;
use penstock_fleet::report::{Report, Stats};
use penstock_fleet::target::{Target, TlsFiles};
use wire::mqtt::ReasonCode;

use crate::broker::{Broker, Manners, serve};

const LIMIT: Duration = Duration::from_secs(20);

fn options(broker: &Broker) -> Options {
    let mut options = Options::new(Target::new(&broker.address.to_string(), &TlsFiles::default()).unwrap());
    options.connections = 3;
    options.in_flight = 5;
    options.messages = Some(100);
    options.record = true;
    options.backoff_base_ms = 1;
    options
}

fn run(options: Options) -> (Report, Stats) {
    let mut load = Load::start(options).unwrap();
    load.wait_up(LIMIT).unwrap();
    load.begin(None).unwrap();
    load.finish(LIMIT).unwrap()
}

fn ids(broker: &Broker) -> Vec<Id> {
    broker.log.lock().unwrap().got.iter().map(|got| Id::read(&got.payload).unwrap()).collect()
}

#[test]
fn every_publish_is_sent_once_acknowledged_and_recorded() {
    for (qos, version, workers) in [(1, Version::V5, 1), (1, Version::V311, 2), (2, Version::V5, 2)] {
        let broker = serve(Manners { hold: 1, ..Manners::default() });
        let (report, stats) = run(Options { qos, version, workers, ..options(&broker) });
        assert_eq!((report.published, report.acknowledged, report.unacknowledged), (100, 100, 0));
        assert_eq!((report.stray_acks, report.lost, report.latency[0].count), (0, 0, 100));
        let sent: HashSet<Id> = ids(&broker).into_iter().collect();
        let acked: HashSet<Id> =
            stats.acked.iter().map(|ack| Id { connection: ack.connection, sequence: ack.sequence }).collect();
        assert_eq!((ids(&broker).len(), sent.len()), (100, 100));
        assert_eq!(sent, acked);
        let log = broker.log.lock().unwrap();
        assert_eq!(log.released, if qos == 2 { 100 } else { 0 });
        assert!(log.got.iter().all(|got| got.topic == format!("bench/{}", got.client.replace("fleet-", ""))));
    }
}

#[test]
fn the_window_is_full_and_never_more_than_full() {
    for (receive_maximum, expected) in [(None, 5), (Some(3), 3)] {
        let broker = serve(Manners { receive_maximum, hold: expected, ..Manners::default() });
        let messages = Some(10 * 3 * expected as u64);
        run(Options { messages, ..options(&broker) });
        assert_eq!(broker.log.lock().unwrap().most_waiting, expected, "receive maximum {receive_maximum:?}");
    }
}

#[test]
fn what_was_not_acknowledged_is_sent_again_marked_only_if_the_session_was_kept() {
    let manners = [
        Manners { session_present: |number| number > 0, ..Manners::default() },
        Manners { session_present: |_| false, ..Manners::default() },
    ];
    for (kept, manners) in [true, false].into_iter().zip(manners) {
        let broker = serve(Manners { break_after: |number| (number == 0).then_some(5), hold: 5, ..manners });
        let options = Options {
            connections: 1,
            messages: Some(20),
            clean_start: false,
            reconnect: true,
            ..options(&broker)
        };
        let (report, stats) = run(options);
        assert_eq!((report.acknowledged, stats.acked.len()), (20, 20));
        assert_eq!((report.resent, report.reconnects, report.lost), (5, 1, 1));
        assert_eq!(report.sessions_lost, u64::from(!kept));
        let log = broker.log.lock().unwrap();
        let (before, after) = log.got.split_at(5);
        for (first, again) in before.iter().zip(after) {
            assert_eq!((first.packet_id, &first.payload), (again.packet_id, &again.payload));
            assert_eq!((first.dup, again.dup), (false, kept));
        }
    }
}

#[test]
fn a_refusal_is_tried_again_and_counted() {
    let broker = serve(Manners {
        connect: |number| if number < 2 { ReasonCode::ServerBusy } else { ReasonCode::Success },
        ..Manners::default()
    });
    let (report, _) = run(options(&broker));
    assert_eq!(report.connect_refused.get(&0x89), Some(&2));
    assert_eq!(report.acknowledged, 100);
}

#[test]
fn an_open_loop_charges_a_stall_to_the_server() {
    let broker = serve(Manners { stall_ms: 200, ..Manners::default() });
    let options = Options {
        connections: 1,
        in_flight: 1,
        messages: None,
        duration: Some(Duration::from_millis(500)),
        pace: Pace::open(20.0),
        ..options(&broker)
    };
    let (report, _) = run(options);
    assert_eq!(report.published, 10);
    // The tenth was due at 450 ms and goes out after nine stalls of 200 ms.
    assert!(report.latency[0].max_us > 1_400_000.0, "{:?}", report.latency[0]);
}

#[test]
fn devices_behind_a_gateway_take_turns_and_never_claim_a_time_twice() {
    let broker = serve(Manners::default());
    let content = Content::Telemetry(Devices {
        behind: 4,
        topic: "devices/d{i}/telemetry".into(),
        spec: Spec::simple(3, 5),
        faults: Faults::default(),
        lasts: None,
    });
    let (messages, duration) = (None, Some(Duration::from_millis(240)));
    // Six ticks, in each of which every device sends six times or seven.
    let pace = Pace::Open { per_second: 2000.0, tick: Duration::from_millis(40) };
    let (report, _) = run(Options { messages, duration, pace, content, in_flight: 100, ..options(&broker) });
    assert_eq!((report.published, report.acknowledged), (480, 480));
    let log = broker.log.lock().unwrap();
    let mut last: HashMap<&str, i64> = HashMap::new();
    for got in &log.got {
        let said: serde_json::Value = serde_json::from_slice(&got.payload).unwrap();
        let at = said["ts"].as_i64().unwrap();
        assert!(last.insert(&got.topic, at).is_none_or(|before| before < at), "{} at {at} again", got.topic);
    }
    let mut counts: HashMap<&str, u64> = HashMap::new();
    log.got.iter().for_each(|got| *counts.entry(&got.topic).or_default() += 1);
    assert_eq!(counts.len(), 12);
    assert!(counts.values().all(|&count| count == 40), "{counts:?}");
}

#[test]
fn devices_send_what_they_measure_and_misbehave_as_often_as_asked() {
    let broker = serve(Manners::default());
    let faults: Faults = "duplicate=0.2,malformed=0.1".parse().unwrap();
    let options = Options {
        messages: Some(600),
        content: Content::Telemetry(Devices {
            behind: 1,
            topic: "devices/d{i}/telemetry".into(),
            spec: Spec::simple(3, 5),
            faults,
            lasts: None,
        }),
        ..options(&broker)
    };
    let (report, stats) = run(options);
    assert_eq!(report.acknowledged, 600);
    let log = broker.log.lock().unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = log
        .got
        .iter()
        .map(|got| serde_json::from_slice::<serde_json::Value>(&got.payload))
        .partition(Result::is_ok);
    assert!((30..100).contains(&bad.len()), "{} malformed", bad.len());
    assert_eq!(stats.acked.len(), good.len());
    let distinct: HashSet<String> =
        log.got.iter().map(|got| format!("{} {:?}", got.topic, got.payload)).collect();
    assert!((60..180).contains(&(600 - distinct.len())), "{} repeated", 600 - distinct.len());
    assert!(log.got.iter().all(|got| got.topic.starts_with("devices/d")));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let broker = serve(Manners::default());
    for wrong in [
        Options { connections: 0, ..options(&broker) },
        Options { in_flight: 0, ..options(&broker) },
        Options { qos: 3, ..options(&broker) },
        Options { pace: Pace::open(0.0), ..options(&broker) },
    ] {
        assert!(Load::start(wrong).is_err());
    }
    for wrong in ["drop", "drop=2", "explode=0.1", "drop=x"] {
        assert!(wrong.parse::<Faults>().is_err(), "{wrong}");
    }
}
