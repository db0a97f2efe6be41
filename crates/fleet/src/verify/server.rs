//! Who is asked, by SQL.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::rfc3339::rfc3339;

/// A question of some seconds of one device that takes longer is not coming.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// What an answer may have at most: the server's own limit (docs/sql.md).
const ANSWER_BYTES: u64 = 64 << 20;

/// A server's SQL.
pub struct Server {
    agent: ureq::Agent,
    url: String,
    authorization: Option<String>,
}

/// A reading as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// A number, or latitude and longitude.
    pub(super) value: (f64, Option<f64>),
    pub(super) time_ms: i64,
    pub(super) arrived_ms: i64,
    /// As the column `clock` has it.
    pub(super) clock: String,
}

/// Readings by metric and the time that the device claimed.
pub(super) type Stored = HashMap<(String, i64), Vec<Reading>>;

/// A dead message.
#[derive(Debug, Deserialize)]
pub(super) struct Dead {
    pub(super) id: String,
    pub(super) device_id: String,
    pub(super) topic: String,
    pub(super) payload: String,
}

#[derive(Deserialize)]
struct Row {
    metric: String,
    value: Option<f64>,
    lat: Option<f64>,
    lng: Option<f64>,
    clock: String,
    claimed_ns: Option<i64>,
    time_ns: i64,
    arrived_ns: i64,
}

const READINGS: &str = "SELECT metric, value, lat, lng, clock, arrow_cast(device_time, 'Int64') AS claimed_ns, \
     arrow_cast(time, 'Int64') AS time_ns, arrow_cast(arrived_at, 'Int64') AS arrived_ns FROM telemetry \
     WHERE device_id = ? AND ";
const DEAD: &str = "SELECT id, max(device_id) AS device_id, max(topic) AS topic, max(payload) AS payload FROM dlq \
     WHERE arrived_at >= ? AND id > ? GROUP BY id ORDER BY id LIMIT ";
/// Dead messages of one answer, each with its payload.
pub(super) const DEAD_PER_ANSWER: usize = 5_000;

impl Server {
    /// The server at `url` (`http://host:port`), and what goes into the header `Authorization`.
    #[must_use]
    pub fn new(url: &str, authorization: Option<String>) -> Self {
        // One agent, so that thousands of questions share a connection.
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_LIMIT));
        Self { agent: config.build().into(), url: url.trim_end_matches('/').to_owned(), authorization }
    }

    /// What is stored of a device between two claimed times, both included. `anywhere`: also under another time.
    pub(super) fn readings(
        &self,
        device: &str,
        first_ms: i64,
        last_ms: i64,
        anywhere: bool,
    ) -> anyhow::Result<Stored> {
        // Conditions on `time` reach the store's files, those on `device_time` are looked at row by row.
        let column = if anywhere { "device_time" } else { "time" };
        let query = format!("{READINGS}{column} >= ? AND {column} <= ?");
        let rows: Vec<Row> = self.ask(&query, &json!([device, rfc3339(first_ms), rfc3339(last_ms)]))?;
        let mut stored = Stored::new();
        for row in rows {
            let value = match (row.value, row.lat) {
                (Some(value), _) => (value, None),
                (None, Some(lat)) => (lat, row.lng),
                (None, None) => continue, // a text, which no device of ours sends
            };
            let Some(claimed_ns) = row.claimed_ns else { continue };
            let (time_ms, arrived_ms) = (row.time_ns.div_euclid(1_000_000), row.arrived_ns / 1_000_000);
            let reading = Reading { value, time_ms, arrived_ms, clock: row.clock };
            stored.entry((row.metric, claimed_ns.div_euclid(1_000_000))).or_default().push(reading);
        }
        Ok(stored)
    }

    /// Dead messages that arrived after a time, in the order of their ids, beyond `after`.
    pub(super) fn dead(&self, since_ms: i64, after: &str) -> anyhow::Result<Vec<Dead>> {
        self.ask(&format!("{DEAD}{DEAD_PER_ANSWER}"), &json!([rfc3339(since_ms), after]))
    }

    fn ask<T: DeserializeOwned>(&self, query: &str, params: &Value) -> anyhow::Result<Vec<T>> {
        #[derive(Deserialize)]
        struct Answer<T> {
            rows: Vec<T>,
        }
        let url = format!("{}/v1/sql", self.url);
        let mut request = self.agent.post(&url);
        if let Some(credentials) = &self.authorization {
            request = request.header("Authorization", credentials);
        }
        let mut response = request
            .send_json(json!({ "query": query, "params": params }))
            .with_context(|| format!("asking {url} what is stored: is that the server's HTTP address?"))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES);
        if status != 200 {
            let words = body.read_to_string().unwrap_or_default();
            anyhow::bail!("{url} answered {status}: {}", words.chars().take(300).collect::<String>());
        }
        let answer: Answer<T> = body.read_json().with_context(|| format!("the answer of {url}"))?;
        Ok(answer.rows)
    }
}
