//! How many readings a core makes and encodes: `cargo bench -p penstock-fleet --bench generate`.
//!
//! Each kind of device alone, with 20 metrics, as MQTT publishes (QoS 1) and as lines for HTTP, into a buffer that is
//! emptied as a socket would. Nothing is sent. Figures are reported, not asserted: a machine that is busy proves nothing.

#![allow(clippy::print_stdout, reason = "stdout is data")]

use std::time::{Duration, Instant};

use penstock_fleet::device::{Maker, Sample, Spec};
use penstock_fleet::model::Kind;
use penstock_fleet::packet::{self, Publish, Version};
use penstock_fleet::schedule::Schedule;

const METRICS: usize = 20;
const DEVICES: u32 = 1_000;
const NOON_MS: i64 = 1_790_000_000_000;
/// Enough for a stable figure, little enough for a shared machine.
const LASTS: Duration = Duration::from_millis(700);

fn main() {
    println!("{METRICS} metrics a message, {DEVICES} devices, one core");
    println!("{:>9}  {:>14}  {:>14}  {:>10}", "kind", "MQTT", "HTTP", "B/message");
    for kind in [Kind::Mixed, Kind::Simple].into_iter().chain(Kind::STORIES) {
        let (mqtt, bytes) = measured(kind, 0.0, true);
        let (http, _) = measured(kind, 0.0, false);
        println!("{:>9}  {:>8.2} M/s  {:>8.2} M/s  {bytes:>10.0}", kind.name(), mqtt / 1e6, http / 1e6);
    }
    let (faulty, _) = measured(Kind::Mixed, 1.0, true);
    println!("mixed, every device with a fault to find: {:.2} M/s", faulty / 1e6);
}

/// Readings per second, and bytes of a message.
fn measured(kind: Kind, anomalies: f64, mqtt: bool) -> (f64, f64) {
    let maker = Maker::new(Spec { kind, metrics: Some(METRICS), seed: 1, anomalies });
    let devices: Vec<_> = (0..DEVICES).map(|number| maker.device(number)).collect();
    let topics: Vec<_> = (0..DEVICES).map(|number| format!("devices/sim-{number}/telemetry")).collect();
    let schedule = Schedule::new(1, None).began(NOON_MS);
    let (mut out, mut text, mut sample) = (Vec::new(), Vec::new(), Sample::default());
    let (mut messages, mut bytes, began) = (0u64, 0usize, Instant::now());
    while began.elapsed() < LASTS {
        for (device, topic) in devices.iter().zip(&topics) {
            let at_ms = NOON_MS + (messages / u64::from(DEVICES)) as i64 * 1_000;
            device.measure(at_ms, &schedule, &mut sample);
            if mqtt {
                text.clear();
                device.shape().write(&mut text, None, at_ms, &sample);
                let says = Publish { topic, qos: 1, retain: false, packet_id: 1 + (messages % 1000) as u16 };
                packet::publish(&mut out, Version::V5, &says, &text);
            } else {
                device.shape().write(&mut out, Some("sim-1"), at_ms, &sample);
            }
            messages += 1;
        }
        bytes += std::hint::black_box(&out).len();
        out.clear();
    }
    (messages as f64 * METRICS as f64 / began.elapsed().as_secs_f64(), bytes as f64 / messages as f64)
}
