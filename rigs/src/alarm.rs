//! From the publish of a reading to the webhook of its alert, while many rules are active.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fleet::model::Kind;
use fleet::shape::Shape;
use record::Timestamp;
use serde_json::{Value, json};

use crate::latency::{Latencies, latencies};
use crate::receiver::Receiver;
use crate::swarm::{Outgoing, Publisher};

/// How often a device becomes hot, or cools down.
const EVERY: Duration = Duration::from_millis(50);

/// Adds rules: one whose alerts are waited for, and others of several kinds over the metrics of the load, which hold for no device.
///
/// # Errors
/// The server refuses one.
pub fn add_rules(http: SocketAddr, rules: usize, metrics: usize, url: &str) -> anyhow::Result<()> {
    let agent = agent();
    let shape = Shape::new(Kind::Simple, Some(metrics));
    for number in 0..rules {
        let metric = &shape.names()[number % metrics];
        let rule = match number {
            0 => {
                json!({ "name": "alarm", "when": "heat > 80", "suppress": "0s", "notify": [{ "webhook": url }] })
            }
            _ if number % 10 == 1 => {
                json!({ "name": format!("r{number}"), "when": format!("avg({metric}, '5 minutes') > {}", 1e6 + number as f64) })
            }
            _ if number % 10 == 2 => {
                json!({ "name": format!("r{number}"), "when": format!("{metric} > {}", 1e6 + number as f64), "for": "1m", "clear_when": format!("{metric} < 1") })
            }
            _ if number % 10 == 3 => {
                json!({ "name": format!("r{number}"), "when": format!("{metric} < {} AND device.type = 'motor'", -1e6 - number as f64) })
            }
            _ => {
                json!({ "name": format!("r{number}"), "when": format!("{metric} > {}", 1e6 + number as f64) })
            }
        };
        add(&agent, http, &rule)?;
    }
    Ok(())
}

/// Adds four rules, each of whose conditions holds for about every second message of the load: at 5 000 messages a second 5 000
/// conditions begin in a second, and as many end.
///
/// # Errors
/// The server refuses one.
pub fn add_storm(http: SocketAddr, url: &str) -> anyhow::Result<()> {
    const RULES: usize = 4;
    let (agent, shape) = (agent(), Shape::new(Kind::Simple, Some(RULES)));
    for metric in shape.names() {
        // Whether the last digit but those behind the tenths is even.
        let when = format!("floor({metric} * 10) - 2 * floor({metric} * 5) = 0");
        let name = format!("storm {metric}");
        add(&agent, http, &json!({ "name": name, "when": when, "notify": [{ "webhook": url }] }))?;
    }
    Ok(())
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).build().into()
}

fn add(agent: &ureq::Agent, http: SocketAddr, rule: &Value) -> anyhow::Result<()> {
    let mut answer = agent.post(format!("http://{http}/v1/rules")).send_json(rule)?;
    let _: Value = answer.body_mut().read_json().with_context(|| format!("the answer to {rule}"))?;
    Ok(())
}

/// Has devices become hot and cool down, in turn, until it is over. Latencies count from when a message was to be sent until its
/// webhook came; one that has not come `patience` after the load will not. Says how many readings were sent, too.
///
/// # Errors
/// A webhook does not come, or two do.
pub async fn measure(
    mqtt: SocketAddr,
    receiver: Receiver,
    over: Arc<AtomicBool>,
    patience: Duration,
) -> anyhow::Result<(Latencies, u64)> {
    let mut publisher = Publisher::connect(mqtt, "alarm").await?;
    let (began, mut sent, mut number, mut ts_ms) = (Instant::now(), Vec::new(), 0_u32, 0);
    while !over.load(Ordering::Relaxed) {
        let intended = began + EVERY * number;
        tokio::time::sleep_until(intended.into()).await;
        // Two that are late go out at once: of one time the second would be a correction of the first.
        ts_ms = Timestamp::now().millis().max(ts_ms + 1);
        let device = format!("alarm-{}", (number / 2) % 16);
        let heat = if number.is_multiple_of(2) { 90 } else { 20 };
        let message = Outgoing {
            topic: format!("devices/{device}/telemetry"),
            payload: format!("{{\"ts\":{ts_ms},\"metrics\":{{\"heat\":{heat}}}}}").into(),
        };
        publisher.publish(&message, &AtomicU64::new(0)).await?;
        if heat == 90 {
            sent.push((device, ts_ms, intended));
        }
        number += 1;
    }
    let found = tokio::task::spawn_blocking(move || await_webhooks(&receiver, &sent, patience)).await??;
    Ok((latencies(found).context("nothing was sent")?, u64::from(number)))
}

fn await_webhooks(
    receiver: &Receiver,
    sent: &[(String, i64, Instant)],
    patience: Duration,
) -> anyhow::Result<Vec<f64>> {
    let deadline = Instant::now() + patience;
    loop {
        let received = receiver.received();
        let is_ours = |body: &Value| body["type"] == "alert.raised" && body["rule"]["id"] == "alarm";
        let raised: Vec<_> = received.values().filter(|received| is_ours(&received.body)).collect();
        ensure!(raised.len() <= sent.len(), "{} alerts came of {} causes", raised.len(), sent.len());
        if raised.len() == sent.len() {
            let took = sent.iter().map(|(device, ts_ms, intended)| {
                let of = raised.iter().find(|received| {
                    let alert = &received.body["alert"];
                    alert["device_id"] == device.as_str() && alert["triggered_at_ms"] == *ts_ms
                });
                let of = of.with_context(|| format!("no webhook came of {device} at {ts_ms}"))?;
                Ok(of.at.saturating_duration_since(*intended).as_secs_f64() * 1e3)
            });
            return took.collect();
        }
        ensure!(Instant::now() < deadline, "{} webhooks came of {} causes", raised.len(), sent.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}
