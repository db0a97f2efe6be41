//! From the raw log to validated, deduplicated readings and their windows, on one core.
//!
//! `cargo bench -p penstock-stream --bench pipeline [-- MESSAGES DEVICES]`
//!
//! Messages of 20 metrics each (JSON, about 370 bytes) stand in a log in memory; the stream takes them through its stages
//! into a store that throws away what it is given. Reported per second of processor time of the whole process, and
//! where the time goes, by leaving stages out. The registry of the last two rows is in memory, with five facts of each device.

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

mod fleet;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use fleet::{BEGIN_NANOS, METRICS, Nowhere, cpu_s, envelope, message};
use log::{Batch, Lane, Log, MemoryLog, PartitionId, Partitions, Topic};
use penstock_stream::{FactNews, FactsError, Parts, config::Config, start};
use record::{Envelope, Facts, Known, Learned, Readings, TenantId, Timestamp, partition_of};
use wire::payload::{self, Message, Scratch};
use wire::template::Templates;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let messages = arguments.next().unwrap_or(400_000);
    let devices = arguments.next().unwrap_or(10_000);
    let log = filled(messages, devices);
    let readings = (messages * METRICS) as f64;
    println!("{messages} messages of {METRICS} metrics, {devices} devices, one message of each every 10 s");
    println!("{:<44} {:>14} {:>12} {:>12}", "", "readings/s/core", "ns/reading", "ns/message");
    let show = |what: &str, cpu_s: f64| {
        let (reading, message) = (cpu_s / readings * 1e9, cpu_s / messages as f64 * 1e9);
        println!("{what:<44} {:>14.0} {reading:>12.1} {message:>12.0}", readings / cpu_s);
    };
    show("payloads to columns alone", decode_alone(&log));
    let none = "windows = []";
    show("the stream without windows", stream(&log, none, false));
    show("the stream, windows of 1 and 5 minutes", stream(&log, "", false));
    show("the same, every message delivered twice", stream(&twice(&log), "", false));
    show("the same once, a registry beside it", stream(&log, "", true));
    show("the same, enriched and in the clean topic", stream(&log, "clean = true", true));
    let (raw, clean) = (size(&log, Topic::Raw), size(&log, Topic::Clean));
    println!("bytes per reading in the log: raw {:.1}, clean {:.1}", raw / readings, clean / readings);
}

/// Bytes of a topic's live records.
fn size(log: &MemoryLog, topic: Topic) -> f64 {
    let mut bytes = 0;
    each_record_of(log, topic, |record| bytes += record.len());
    bytes as f64
}

/// Five facts of every device, in memory; as the registry has them once a device has spoken.
struct Book(HashMap<String, Arc<Known>>);

impl Book {
    fn new(devices: usize) -> Self {
        let of_device = |n: usize| {
            let facts = Facts {
                device_type: Some("pump".into()),
                site: Some(format!("site-{}", n % 50).into()),
                coordinates: Some((53.5, 9.75)),
                firmware: Some("2.1.0".into()),
                tags: [("line".into(), "4".into())].into(),
                ..Facts::default()
            };
            (format!("device-{n:06}"), Arc::new(Known::new(facts, Learned::default())))
        };
        Self((0..devices).map(of_device).collect())
    }
}

impl penstock_stream::Facts for Book {
    fn refresh(&self) -> Result<(), FactsError> {
        Ok(())
    }

    fn known(&self, _: &TenantId, device: &str) -> Result<Arc<Known>, FactsError> {
        self.0.get(device).cloned().ok_or_else(|| FactsError("no such device".into()))
    }

    fn learn(&self, _: &[FactNews]) -> Result<(), FactsError> {
        Ok(())
    }
}

fn filled(messages: usize, devices: usize) -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::new(Partitions::uniform(16).expect("16 partitions are possible")));
    for n in 0..messages {
        let (device, payload, arrived_at) = message(n, devices);
        append(&log, &device, &payload, arrived_at);
    }
    log
}

fn append(log: &MemoryLog, device: &str, payload: &str, arrived_at: Timestamp) {
    let index = partition_of(TenantId::DEFAULT, device, 16);
    let mut batch = Batch::new();
    batch.push_with(PartitionId { topic: Topic::Raw, lane: Lane::Live, index }, |out| {
        envelope(device, payload, arrived_at).encode(out)
    });
    drop(log.append(batch));
}

fn each_record(log: &MemoryLog, mut each: impl FnMut(&Envelope<'_>)) {
    each_record_of(log, Topic::Raw, |record| each(&Envelope::decode(record).expect("an envelope")));
}

fn each_record_of(log: &MemoryLog, topic: Topic, mut each: impl FnMut(&[u8])) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for index in 0..16 {
            let partition = PartitionId { topic, lane: Lane::Live, index };
            let end = log.extent(partition).expect("the partition is there").end;
            let mut reader = log.read(&[log::Position { partition, offset: 0 }]).expect("it can be read");
            let mut next = 0;
            while next < end {
                for run in reader.next(4 << 20).await.expect("it can be read").runs {
                    next += run.records.len() as u64;
                    run.records.iter().for_each(|record| each(&record.value));
                }
            }
        }
    });
}

fn twice(log: &MemoryLog) -> Arc<MemoryLog> {
    let doubled = Arc::new(MemoryLog::new(Partitions::uniform(16).expect("16 partitions are possible")));
    let mut n = 0;
    each_record(log, |envelope| {
        let payload = std::str::from_utf8(envelope.payload).expect("JSON");
        // Half of them, so that as many readings come in as in the other rows.
        if n % 2 == 0 {
            append(&doubled, envelope.device, payload, envelope.arrived_at);
            append(&doubled, envelope.device, payload, envelope.arrived_at);
        }
        n += 1;
    });
    doubled
}

fn decode_alone(log: &MemoryLog) -> f64 {
    let (mut readings, mut scratch) = (Readings::new(), Scratch::new());
    let began = cpu_s();
    each_record(log, |envelope| {
        if readings.len() > 100_000 {
            readings.clear();
        }
        let message = Message {
            encoding: envelope.encoding,
            device: Some(envelope.device),
            metric: None,
            arrived_at: envelope.arrived_at,
            time_unit: None,
            payload: envelope.payload,
        };
        payload::decode(&message, &mut readings, &mut scratch).expect("a good payload");
    });
    cpu_s() - began
}

fn stream(log: &Arc<MemoryLog>, config: &str, with_registry: bool) -> f64 {
    let config: Config = toml::from_str(config).expect("a configuration");
    let settings = Arc::new(config.validate().expect("a valid one"));
    let newest = Timestamp::from_nanos(BEGIN_NANOS);
    let parts = Parts {
        log: log.clone(),
        store: Arc::new(Nowhere),
        reader: Arc::new(Nowhere),
        templates: Arc::new(Templates::shipped()),
        settings,
        facts: with_registry.then(|| Arc::new(Book::new(100_000)) as Arc<dyn penstock_stream::Facts>),
        checkpoints: None,
        clock: Arc::new(move || newest),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (began, wall) = (cpu_s(), Instant::now());
    runtime.block_on(async {
        let stream = start(parts).await.expect("the stream starts");
        assert!(stream.caught_up().await);
        let counts = stream.monitor().counts();
        eprintln!(
            "  {} records, {} windows, {} asked, {:.1} s by the clock",
            counts.records,
            counts.windows,
            counts.asked,
            wall.elapsed().as_secs_f64()
        );
        stream.shutdown().await;
    });
    cpu_s() - began
}
