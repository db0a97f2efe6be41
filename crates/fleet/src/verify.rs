//! Asking a server back for every reading that it acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use crate::cli::Format;
use crate::device;
use crate::report::Acked;

/// How devices and metrics of a run are called.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Topic pattern; the level after `devices/` is the device.
    pub topic: &'a str,
    /// Metrics in each message.
    pub metrics: usize,
    /// The fleet.
    pub seed: u64,
}

/// What the server had of what it acknowledged.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// Readings acknowledged.
    pub acknowledged: u64,
    /// Readings the server gave back as they were.
    pub found: u64,
    /// Readings it did not have.
    pub missing: u64,
    /// Readings it had with another value.
    pub different: u64,
    /// Points it gave more than once.
    pub doubled: u64,
    /// Some of what was wrong, for people.
    pub examples: Vec<String>,
}

/// Points in one answer of `/v1/query`, at most, are 10 000; more are downsampled.
const POINTS_PER_QUESTION: usize = 5_000;
const EXAMPLES: usize = 10;
/// A query of some seconds of one series that takes longer is not coming.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Who is asked.
struct Server<'a> {
    agent: ureq::Agent,
    url: &'a str,
}

impl Verdict {
    /// Everything was there, once, as it was.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.missing == 0 && self.different == 0 && self.doubled == 0
    }

    /// Adds the verdict to a printed report.
    ///
    /// # Errors
    /// `report` is to be JSON and is not.
    pub fn join(&self, report: &str, format: Format) -> anyhow::Result<String> {
        if format == Format::Json {
            let mut whole: serde_json::Value = serde_json::from_str(report)?;
            whole["verify"] = serde_json::to_value(self)?;
            return Ok(serde_json::to_string_pretty(&whole)?);
        }
        let mut text = format!(
            "{report}\nverified: {} readings acknowledged, {} found, {} missing, {} different, {} doubled",
            self.acknowledged, self.found, self.missing, self.different, self.doubled
        );
        for example in &self.examples {
            text.push_str("\n  ");
            text.push_str(example);
        }
        Ok(text)
    }

    fn note(&mut self, example: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// Asks `server` (`http://host:port`) for everything in `acked`. Readings become visible a moment after they are
/// acknowledged, so what is missing is asked for again until `settle` is over.
///
/// # Errors
/// The server does not answer, or not as `/v1/query` does.
pub fn ask(server: &str, names: Names<'_>, acked: &[Acked], settle: Duration) -> anyhow::Result<Verdict> {
    let mut stamps: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for ack in acked {
        stamps.entry(ack.connection).or_default().push(ack.stamp_ms);
    }
    let deadline = Instant::now() + settle;
    // One agent, so that thousands of questions share a connection.
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_LIMIT));
    let server = Server { agent: config.build().into(), url: server };
    let mut verdict = Verdict::default();
    for (number, mut stamps) in stamps {
        stamps.sort_unstable();
        stamps.dedup();
        let device = device_of(names.topic, number);
        for metric in device::metrics(names.metrics) {
            for part in stamps.chunks(POINTS_PER_QUESTION) {
                let expected: Vec<_> =
                    part.iter().map(|&at| (at, metric.at(names.seed, number, at).to_f64())).collect();
                compare(&server, &device, metric.name(), &expected, deadline, &mut verdict)?;
            }
        }
    }
    Ok(verdict)
}

fn device_of(topic: &str, number: u32) -> String {
    topic.split('/').nth(1).unwrap_or_default().replace("{i}", &number.to_string())
}

fn compare(
    server: &Server<'_>,
    device: &str,
    metric: &str,
    expected: &[(i64, f64)],
    deadline: Instant,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let (first, last) = (expected[0].0, expected[expected.len() - 1].0);
    let mut there = points(server, device, metric, first, last + 1)?;
    while expected.iter().any(|(at, _)| !there.contains_key(at)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
        there = points(server, device, metric, first, last + 1)?;
    }
    for (at, value) in expected {
        verdict.acknowledged += 1;
        match there.get(at).map(Vec::as_slice) {
            None => {
                verdict.missing += 1;
                verdict.note(|| format!("{device} {metric} at {at}: missing"));
            }
            Some([found, rest @ ..]) if found == value => {
                verdict.found += 1;
                verdict.doubled += rest.len() as u64;
                if !rest.is_empty() {
                    verdict.note(|| format!("{device} {metric} at {at}: {} times", rest.len() + 1));
                }
            }
            Some(found) => {
                verdict.different += 1;
                verdict.note(|| format!("{device} {metric} at {at}: sent {value}, stored {found:?}"));
            }
        }
    }
    Ok(())
}

/// What `/v1/query` has from `start` to `end` (exclusive), milliseconds: values by time.
fn points(
    server: &Server<'_>,
    device: &str,
    metric: &str,
    start: i64,
    end: i64,
) -> anyhow::Result<HashMap<i64, Vec<f64>>> {
    #[derive(serde::Deserialize)]
    struct Answer {
        points: Vec<(i64, f64)>,
    }
    let url = format!("{}/v1/query?device_id={device}&metric={metric}&start={start}&end={end}", server.url);
    let mut response = server.agent.get(&url).call().with_context(|| url.clone())?;
    if response.status() == 404 {
        return Ok(HashMap::new()); // the device is not known yet
    }
    anyhow::ensure!(response.status() == 200, "{url} answered {}", response.status());
    let answer: Answer = response.body_mut().read_json().with_context(|| format!("the answer of {url}"))?;
    let mut points: HashMap<i64, Vec<f64>> = HashMap::new();
    for (at, value) in answer.points {
        points.entry(at).or_default().push(value);
    }
    Ok(points)
}
