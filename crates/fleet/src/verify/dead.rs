//! Messages that were broken on purpose must be among the dead letters.

use std::collections::HashSet;
use std::time::Instant;

use super::server::{DEAD_PER_ANSWER, Dead, Server};
use super::{PAUSE, Verdict};
use crate::rfc3339::rfc3339;

/// The server's clock may be behind ours by so much.
const CLOCKS_APART_MS: i64 = 600_000;

/// Looks for the `broken` messages, by device and the time that they claim.
pub(super) fn check(
    server: &Server,
    broken: HashSet<(String, i64)>,
    began_ms: i64,
    deadline: Instant,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    verdict.broken = broken.len() as u64;
    let mut missing = broken;
    while !missing.is_empty() {
        strike(server, began_ms - CLOCKS_APART_MS, &mut missing)?;
        if missing.is_empty() || Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    verdict.not_dead = missing.len() as u64;
    for (device, stamp_ms) in missing.iter().take(3) {
        verdict.note(|| format!("{device}, broken message of {}: no dead letter", rfc3339(*stamp_ms)));
    }
    Ok(())
}

/// Strikes out what is there.
fn strike(server: &Server, since_ms: i64, missing: &mut HashSet<(String, i64)>) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let dead = server.dead(since_ms, &after)?;
        for message in &dead {
            for (device, stamp_ms) in named(message) {
                missing.remove(&(device, stamp_ms));
            }
        }
        match dead.last() {
            Some(last) if dead.len() == DEAD_PER_ANSWER => after.clone_from(&last.id),
            _ => return Ok(()),
        }
    }
}

/// Device and claimed time of each line of a dead message, as far as a line still has them.
fn named(message: &Dead) -> impl Iterator<Item = (String, i64)> {
    let from_topic = || message.topic.split('/').nth(1).unwrap_or_default();
    let of_message = if message.device_id.is_empty() { from_topic() } else { &message.device_id };
    message.payload.lines().filter_map(move |line| {
        let device = between(line, "\"device_id\":\"", '"').unwrap_or(of_message);
        Some((device.to_owned(), stamp_ms(between(line, "\"ts\":", ',')?)?))
    })
}

fn between<'a>(line: &'a str, before: &str, after: char) -> Option<&'a str> {
    let (_, rest) = line.split_once(before)?;
    rest.split_once(after).map(|(text, _)| text)
}

/// Milliseconds as they are, or seconds with three decimals.
fn stamp_ms(text: &str) -> Option<i64> {
    match text.split_once('.') {
        None => text.parse().ok(),
        Some((seconds, millis)) => Some(seconds.parse::<i64>().ok()? * 1000 + millis.parse::<i64>().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_message_says_whose_it_is() {
        let dead = |device: &str, topic: &str, payload: &str| Dead {
            id: String::new(),
            device_id: device.to_owned(),
            topic: topic.to_owned(),
            payload: payload.to_owned(),
        };
        for (message, expected) in [
            (dead("d1", "", "{\"ts\":1760000000000,\"metr"), vec![("d1", 1_760_000_000_000)]),
            (dead("", "devices/d2/telemetry", "{\"ts\":12.345,\"m"), vec![("d2", 12_345)]),
            (
                dead(
                    "",
                    "$http/v1/telemetry",
                    "{\"device_id\":\"a\",\"ts\":1,\"m\n{\"device_id\":\"b\",\"ts\":2,",
                ),
                vec![("a", 1), ("b", 2)],
            ),
            (dead("d1", "", "rubbish"), vec![]),
        ] {
            let named: Vec<_> = named(&message).collect();
            let named: Vec<_> = named.iter().map(|(device, at)| (device.as_str(), *at)).collect();
            assert_eq!(named, expected);
        }
    }
}
