//! The truth of a scenario: the same for a seed whenever it is played, meant as it is written, and missed when a server
//! is wrong.

use std::collections::BTreeMap;

use record::{DeviceId, Encoding, Readings, TimeUnit, Timestamp};
use rigs::truth::compare::{Slack, differences};
use rigs::truth::control::{Fault, right_server};
use rigs::truth::dice::Dice;
use rigs::truth::generate::generate;
use rigs::truth::model::{Truth, text_of, truth};
use rigs::truth::scenario::{Answer, MINUTE, Message, Nanos, Scenario, Speaks, Way, Who};
use wire::payload::{self, Scratch};
use wire::template::Templates;

const NOW: Nanos = 1_763_719_234_567_000_000;

#[test]
fn a_seed_is_one_scenario() {
    for seed in 1..20 {
        let (a, b) = (generate(seed, NOW), generate(seed, NOW));
        assert_eq!(format!("{a:?}"), format!("{b:?}"), "seed {seed}");
        assert_eq!(truth(&a), truth(&b), "seed {seed}");
        // Played at another minute of the hour, or with its kills left out, it still means the same.
        let mut later = generate(seed, NOW + 3 * MINUTE);
        later.kills.clear();
        assert_eq!(account(&truth(&a)), account(&truth(&later)), "seed {seed}");
    }
}

fn account(truth: &Truth) -> Vec<String> {
    truth.tenants.iter().map(|tenant| format!("{:?}", tenant.account)).collect()
}

/// Every kind of thing must happen, and often: a rig in which nothing is ever late proves nothing about lateness.
#[test]
fn seeds_hold_everything() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 1..=20 {
        let scenario = generate(seed, NOW);
        assert!(scenario.messages() < 3000, "seed {seed}: {}", scenario.messages());
        count(&scenario, &truth(&scenario), &mut seen);
    }
    for (what, count) in &seen {
        println!("{what}: {count}");
    }
    let kinds = [
        "stored",
        "late",
        "duplicate",
        "corrected",
        "dead",
        "clockless",
        "published",
        "revised",
        "not revised",
    ];
    let messages = [
        "kills",
        "QoS 0",
        "QoS 1",
        "QoS 2",
        "HTTP",
        "too large",
        "forbidden",
        "partly",
        "numbered",
        "full windows",
    ];
    for what in kinds.iter().chain(&messages) {
        assert!(seen.get(what).is_some_and(|&count| count >= 10), "{what}: {:?}", seen.get(what));
    }
}

fn count(scenario: &Scenario, truth: &Truth, seen: &mut BTreeMap<&str, usize>) {
    let mut add = |what, count: usize| *seen.entry(what).or_default() += count;
    add("kills", scenario.kills.len());
    for message in messages(scenario).map(|(_, message)| message) {
        match &message.way {
            Way::Post { .. } => add("HTTP", 1),
            Way::Publish { qos, .. } => add(["QoS 0", "QoS 1", "QoS 2"][usize::from(*qos)], 1),
        }
        match message.answer {
            Answer::TooLarge => add("too large", 1),
            Answer::Forbidden => add("forbidden", 1),
            Answer::Partly => add("partly", 1),
            Answer::Taken | Answer::Refused => {}
        }
        add("messages", 1);
        add("numbered", message.readings().filter(|reading| reading.seq.is_some()).count());
    }
    for tenant in &truth.tenants {
        let of = tenant.account;
        for (what, count) in [
            ("stored", of.stored),
            ("late", of.late),
            ("duplicate", of.duplicate),
            ("corrected", of.corrected),
            ("dead", of.dead),
        ] {
            add(what, usize::try_from(count).expect("counts are not negative"));
        }
        add("clockless", tenant.clockless.len());
        for window in tenant.windows.values() {
            add("published", usize::from(window.published == Some(true)));
            add("revised", usize::from(window.revised == Some(true)));
            add("not revised", usize::from(window.revised == Some(false)));
            add("full windows", usize::from(window.values.len() > 20));
        }
    }
}

fn messages(scenario: &Scenario) -> impl Iterator<Item = (usize, &Message)> {
    let lines = scenario.stages.iter().flat_map(|stage| &stage.lines);
    lines.flat_map(|line| line.messages.iter().map(|message| (line.link, message)))
}

/// What the generator says a payload means is what the decoders read: else a fault of the generator would look like one of
/// the server.
#[test]
fn payloads_mean_what_they_are_said_to_mean() {
    for seed in 1..=40 {
        let scenario = generate(seed, NOW);
        for (link, message) in messages(&scenario).filter(|(_, message)| message.answer.is_accepted()) {
            let link = &scenario.links[link];
            let credential = match &link.who {
                Who::Device(device) => Some(device.as_str()),
                Who::Service => None,
            };
            let (read, rejected) = decode(message, credential, link.speaks);
            let mut meant: Vec<String> = message.readings().map(shown).collect();
            let mut read = read;
            // Line protocol sorts nothing, but a location of a flat object may move.
            meant.sort();
            read.sort();
            assert_eq!(read, meant, "seed {seed}: {}", String::from_utf8_lossy(&message.payload));
            let says: Vec<_> = message.dead.iter().map(|dead| dead.says.to_lowercase()).collect();
            assert_eq!(rejected.len(), says.len(), "seed {seed}: {rejected:?} {says:?}");
            for (reason, says) in rejected.iter().zip(&says) {
                assert!(reason.to_lowercase().contains(says), "seed {seed}: {reason}: {says}");
            }
        }
    }
}

fn shown(reading: &rigs::truth::scenario::Reading) -> String {
    let (device, metric, value) = (&reading.device, &reading.metric, text_of(&reading.value));
    format!("{device} {metric} {:?} {:?} {value}", reading.time, reading.seq)
}

fn decode(message: &Message, credential: Option<&str>, speaks: Speaks) -> (Vec<String>, Vec<String>) {
    let templates = Templates::shipped();
    let arrived_at = Timestamp::from_nanos(NOW);
    let (from_topic, time_unit, lines) = match &message.way {
        Way::Publish { topic, .. } => (templates.matching(topic), None, false),
        Way::Post { target, .. } => {
            let precision = target.split("precision=").nth(1).and_then(|rest| rest.split('&').next());
            (None, precision.and_then(TimeUnit::from_precision), !target.starts_with("/v1"))
        }
    };
    assert_eq!(from_topic.is_some(), speaks != Speaks::Http);
    let encoding = if lines { Encoding::Influx } else { payload::detect_json(&message.payload) };
    let device = from_topic.as_ref().and_then(|topic| topic.device).or(credential);
    assert!(device.is_none_or(|device| DeviceId::parse(device).is_ok()));
    let said = payload::Message {
        encoding,
        device,
        metric: from_topic.as_ref().and_then(|topic| topic.metric),
        arrived_at,
        time_unit,
        payload: &message.payload,
    };
    let (mut readings, mut scratch) = (Readings::default(), Scratch::new());
    let outcome = payload::decode(&said, &mut readings, &mut scratch);
    let mut rejected: Vec<String> =
        scratch.rejected().iter().map(|rejected| rejected.reason.to_string()).collect();
    if let (Err(reason), true) = (outcome, rejected.is_empty()) {
        rejected.push(reason.to_string());
    }
    let rows = readings.iter().map(|row| {
        let time = (row.when.origin != record::TimeOrigin::Server).then_some(row.when.time.nanos());
        let seq = row.when.seq.checked_sub(1);
        format!("{} {} {time:?} {seq:?} {}", row.device, row.metric, text_of(&row.value.to_value()))
    });
    (rows.collect(), rejected)
}

#[test]
fn a_right_server_is_right_and_every_fault_is_found() {
    for seed in 1..=10 {
        let scenario = generate(seed, NOW);
        let truth = truth(&scenario);
        let found: Vec<_> = truth.tenants.iter().map(right_server).collect();
        let differing = |truth: &Truth| {
            let pairs = truth.tenants.iter().zip(&found);
            pairs.map(|(truth, found)| differences(truth, found, &Slack::default())).collect::<Vec<_>>()
        };
        assert!(differing(&truth).iter().all(BTreeMap::is_empty), "seed {seed}: {:#?}", differing(&truth));
        for fault in Fault::ALL {
            let mut broken = truth.clone();
            assert!(fault.apply(&mut broken, &mut Dice::new(seed, "fault")), "seed {seed}: no {fault:?}");
            let tables: Vec<_> =
                differing(&broken).iter().flat_map(|of| of.keys().copied().collect::<Vec<_>>()).collect();
            assert!(!tables.is_empty(), "seed {seed}: {fault:?} was not found");
        }
    }
}

#[test]
fn slack_is_for_what_was_sent_in_vain_and_nothing_else() {
    let scenario = generate(3, NOW);
    let truth = truth(&scenario);
    let (tenant, message) = messages(&scenario)
        .map(|(link, message)| (scenario.links[link].tenant, message))
        .find(|(_, message)| message.answer == Answer::Partly)
        .expect("seed 3 has such a message");
    let readings = i64::try_from(message.readings().count()).expect("few");
    let dead = i64::try_from(message.dead.len()).expect("few");
    let mut slack = Slack::default();
    slack.add(message, 1);
    // Taken twice: its readings are duplicates then, its dead letters there again.
    let mut found = right_server(&truth.tenants[tenant]);
    found.account.accepted += readings + dead;
    found.account.duplicate += readings;
    found.account.dead += dead;
    for dead in &message.dead {
        let letter = found
            .dead
            .iter()
            .find(|letter| letter.payload == dead.payload && letter.reason.contains(dead.says));
        let letter = letter.expect("it is there once").clone();
        found.dead.push(letter);
    }
    assert_eq!(differences(&truth.tenants[tenant], &found, &slack), BTreeMap::new());
    let strict = differences(&truth.tenants[tenant], &found, &Slack::default());
    assert_eq!(strict.keys().copied().collect::<Vec<_>>(), ["dlq", "ledger"]);
    found.account.stored += 1;
    found.account.duplicate -= 1;
    assert!(differences(&truth.tenants[tenant], &found, &slack).contains_key("ledger"));
}
