//! What goes wrong on purpose, as a server sees it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use penstock_fleet::content::{Content, Devices};
use penstock_fleet::device::Spec;
use penstock_fleet::disorder::Disorder;
use penstock_fleet::faults::Faults;
use penstock_fleet::load::{Load, Options, Pace};
use penstock_fleet::report::{Report, Stats};
use penstock_fleet::schedule::Schedule;
use penstock_fleet::target::{Target, TlsFiles};

use crate::broker::{Broker, Manners, serve};

const LIMIT: Duration = Duration::from_secs(20);
const DEVICES: usize = 4;

/// A run of some seconds with faults, 100 messages a second of four devices.
fn run(broker: &Broker, faults: &str, lasts: Duration) -> (Report, Stats) {
    let mut options = Options::new(Target::new(&broker.address.to_string(), &TlsFiles::default()).unwrap());
    options.connections = DEVICES;
    options.clean_start = false;
    options.reconnect = true;
    options.record = true;
    options.backoff_base_ms = 1;
    options.pace = Pace::open(100.0);
    options.duration = Some(lasts);
    options.content = Content::Telemetry(devices(faults, lasts));
    let mut load = Load::start(options).unwrap();
    load.wait_up(LIMIT).unwrap();
    load.begin(None).unwrap();
    load.finish(LIMIT).unwrap()
}

fn devices(faults: &str, lasts: Duration) -> Devices {
    Devices {
        behind: 1,
        topic: "devices/d{i}/telemetry".into(),
        spec: Spec::simple(2, 5),
        faults: faults.parse().unwrap(),
        lasts: Some(lasts),
    }
}

/// The times that each device's messages name, as they came; those that name none are left out.
fn stamps(broker: &Broker) -> BTreeMap<String, Vec<i64>> {
    let mut stamps: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    // What was on its way when a connection broke comes again, marked.
    for got in broker.log.lock().unwrap().got.iter().filter(|got| !got.dup) {
        if let Ok(message) = serde_json::from_slice::<serde_json::Value>(&got.payload) {
            stamps.entry(got.topic.clone()).or_default().push(message["ts"].as_i64().unwrap());
        }
    }
    stamps
}

fn kept() -> Manners {
    Manners { session_present: |_| true, ..Manners::default() }
}

#[test]
fn a_device_that_was_away_sends_what_it_measured_in_order() {
    let broker = serve(kept());
    let (report, stats) = run(&broker, "offline=0.4", Duration::from_millis(1_500));
    assert_eq!(stats.faults["offline"], DEVICES as u64);
    assert_eq!((report.published, report.acknowledged), (150, 150));
    let mut most_behind = 0;
    for (topic, stamps) in stamps(&broker) {
        assert!(stamps.is_sorted_by(|a, b| a < b), "{topic}: {stamps:?}");
        assert!((37..=38).contains(&stamps.len()), "{topic}: {}", stamps.len());
        // Measured every 40 ms all the while, although it was away for 600.
        most_behind = most_behind.max(stamps.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap());
    }
    assert!(most_behind < 60, "{most_behind} ms without a measurement");
    // What waited is not charged to the server.
    assert!(report.latency[0].max_us < 500_000.0, "{:?}", report.latency[0]);
}

#[test]
fn messages_overtake_each_other_and_come_again_and_none_is_missing() {
    let broker = serve(kept());
    let (report, stats) =
        run(&broker, "reorder=0.2,duplicate=0.1,replay=0.1,malformed=0.1", Duration::from_secs(3));
    let times = |fault: &str| stats.faults[fault];
    assert_eq!(report.published, 300 + times("duplicate") + times("replay"));
    assert_eq!(report.acknowledged, report.published);
    assert!(times("reorder") > 25 && times("duplicate") > 10 && times("replay") > 10, "{:?}", stats.faults);
    assert!((15..60).contains(&times("malformed")), "{:?}", stats.faults);
    assert_eq!(stats.broken.len() as u64, times("malformed"));
    let (mut distinct, mut back, mut far) = (0, 0, 0);
    for stamps in stamps(&broker).values() {
        let mut first = HashMap::new();
        for (place, stamp) in stamps.iter().enumerate() {
            let earlier = *first.entry(*stamp).or_insert(place);
            far += u64::from(place - earlier > 5);
        }
        distinct += first.len() as u64;
        back += stamps.windows(2).filter(|pair| pair[1] < pair[0]).count() as u64;
    }
    assert_eq!(distinct, 300 - times("malformed"));
    assert!(back > times("reorder") / 2, "{back} steps back");
    assert!(far > 0 && far <= times("replay"), "{far} far repetitions");
}

#[test]
fn a_storm_breaks_a_share_at_once_and_all_come_back() {
    let broker = serve(kept());
    let (report, stats) = run(&broker, "storm=1", Duration::from_secs(1));
    assert_eq!((stats.faults["storm"], report.reconnects), (DEVICES as u64, DEVICES as u64));
    assert_eq!((report.published, report.acknowledged, report.unacknowledged), (100, 100, 0));
    // It was our doing.
    assert_eq!(report.lost, 0);
}

#[test]
fn what_is_too_large_ends_its_connection_and_is_not_sent_again() {
    let broker = serve(kept());
    let (report, stats) = run(&broker, "oversize=0.1", Duration::from_secs(1));
    let oversize = stats.faults["oversize"];
    assert!(oversize >= 3, "{oversize}");
    assert_eq!((report.published, report.acknowledged), (100, 100 - oversize));
    assert_eq!(report.refused.get(&0x95), Some(&oversize));
    assert_eq!((report.lost, report.unacknowledged), (0, 0));
    assert_eq!(stats.acked.len() as u64, 100 - oversize);
}

#[test]
fn messages_claim_what_the_devices_clock_says() {
    let broker = serve(kept());
    let (report, stats) = run(&broker, "skew=0.5,reset=1", Duration::from_secs(1));
    let disorder = devices("skew=0.5,reset=1", Duration::from_secs(1)).disorder(report.began_ms);
    let mut claimed: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for ack in &stats.acked {
        assert_eq!(ack.stamp_ms, disorder.claimed_ms(ack.connection, ack.measured_ms));
        claimed.entry(format!("devices/d{}/telemetry", ack.connection)).or_default().push(ack.stamp_ms);
    }
    // In 1970 a device says seconds with decimals: milliseconds so small would be read as seconds.
    let log = broker.log.lock().unwrap();
    for got in &log.got {
        let message: serde_json::Value = serde_json::from_slice(&got.payload).unwrap();
        let said = message["ts"].as_f64().unwrap();
        let said_ms = if message["ts"].is_f64() { (said * 1e3).round() as i64 } else { said as i64 };
        assert!(claimed[&got.topic].contains(&said_ms), "{} says {said_ms}", got.topic);
    }
}

fn disorder(faults: &str) -> Disorder {
    let faults: Faults = faults.parse().unwrap();
    Disorder { faults, schedule: Schedule::new(3, None).began(1_790_000_000_000) }
}

#[test]
fn clocks_are_off_by_a_constant_or_for_a_while() {
    let (began_ms, skewed) = (1_790_000_000_000, disorder("skew=0.5"));
    let (mut ahead, mut behind) = (0, 0);
    for device in 0..400 {
        let off = skewed.skew_ms(device);
        ahead += u32::from(off > 0);
        behind += u32::from(off < 0);
        assert!(off == 0 || (5_000..=7_200_000).contains(&off.abs()), "{off}");
        for at_ms in [began_ms, began_ms + 5_000_000] {
            assert_eq!(skewed.claimed_ms(device, at_ms) - at_ms, off);
        }
    }
    assert!((60..140).contains(&ahead) && (60..140).contains(&behind), "{ahead} ahead, {behind} behind");

    let (mut epoch, mut day) = (0, 0);
    let reset = disorder("reset=0.5");
    for device in 0..400 {
        let Some(window) = reset.reset(device, 2) else { continue };
        for at_ms in [window.from_ms - 1, window.to_ms] {
            assert_eq!(reset.claimed_ms(device, at_ms), at_ms);
        }
        let says = reset.claimed_ms(device, window.from_ms);
        match window.from_ms - says {
            86_400_137 => day += 1,
            _ => {
                assert_eq!(says, window.from_ms - began_ms);
                epoch += 1;
            }
        }
    }
    assert!(epoch > 60 && day > 60, "{epoch} in 1970, {day} a day back");
}

#[test]
fn devices_are_away_for_their_share_of_each_episode() {
    let away = disorder("offline=0.3");
    let episode_ms = away.schedule.episode().as_millis() as i64;
    for device in 0..100 {
        let window = away.away(device, 4).unwrap();
        let share = (window.to_ms - window.from_ms) as f64 / episode_ms as f64;
        assert!((share - 0.3).abs() < 1e-3, "{share}");
        assert!(window.from_ms >= away.schedule.began_ms + 4 * episode_ms);
        assert!(window.to_ms <= away.schedule.began_ms + 5 * episode_ms);
        assert_eq!(away.away_until(device, window.from_ms), Some(window.to_ms));
        assert_eq!(away.away_until(device, window.to_ms), None);
    }
}

#[test]
fn faults_that_are_none_are_named() {
    for (text, words) in [
        ("drop", "is not name=share"),
        ("drop=2", "between 0 and 1"),
        ("drop=x", "\"x\" is not a number"),
        ("explode=0.1", "storm"),
        ("offline=1", "0.9"),
    ] {
        let said = text.parse::<Faults>().unwrap_err();
        assert!(said.contains(words), "{text}: {said}");
    }
    for name in Faults::NAMES {
        assert_ne!(format!("{name}=0.5").parse::<Faults>().unwrap(), Faults::default(), "{name}");
        assert!(penstock_fleet::faults::HELP.contains(&format!("\n  {name} ")), "{name} in the help");
    }
}
