//! Asking a server back for everything that it answered: readings it acknowledged, messages that were broken.

mod dead;
mod server;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::Format;
use crate::content::Devices;
use crate::device::{Device, Maker, Sample};
use crate::disorder::Disorder;
use crate::report::{Acked, Stats};
pub use server::Server;
use server::Stored;

/// What the server had of what it answered.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// Readings acknowledged; sent twice counts once.
    pub acknowledged: u64,
    /// Readings the server gave back as they were.
    pub found: u64,
    /// Readings it did not have.
    pub missing: u64,
    /// Readings it had with another value.
    pub different: u64,
    /// Points it gave more than once.
    pub doubled: u64,
    /// Readings under a time that is neither what the device claimed nor a correction that its clock called for.
    pub mistimed: u64,
    /// Readings whose time the server put right: a device's clock was off, on purpose.
    pub corrected: u64,
    /// Readings that the server marked because of their clock, and left under the time the device claimed.
    pub suspect: u64,
    /// Messages that were broken on purpose and answered.
    pub broken: u64,
    /// Those that are not among the dead letters.
    pub not_dead: u64,
    /// Readings stored of messages that were broken.
    pub revived: u64,
    /// Some of what was wrong, for people.
    pub examples: Vec<String>,
}

const EXAMPLES: usize = 10;
/// Rows of one question: a tenth of what an answer may have, and some 10 MB of text.
const ROWS_PER_QUESTION: usize = 10_000;
/// Times further apart than this are asked for one by one, so that a question covers little time.
const GAP_MS: i64 = 3_600_000;
/// Between two questions for what is not there yet.
const PAUSE: Duration = Duration::from_millis(200);

impl Verdict {
    /// Everything was there, once, as it was.
    #[must_use]
    pub fn is_good(&self) -> bool {
        [self.missing, self.different, self.doubled, self.mistimed, self.not_dead, self.revived]
            .iter()
            .all(|count| *count == 0)
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
        if self.mistimed + self.corrected + self.suspect > 0 {
            let Self { mistimed, corrected, suspect, .. } = self;
            text += &format!(
                "\nclocks: {corrected} readings put right, {suspect} marked suspect, {mistimed} under a wrong time"
            );
        }
        if self.broken > 0 {
            let Self { broken, not_dead, revived, .. } = self;
            text += &format!(
                "\nbroken messages: {broken} answered, {not_dead} not among the dead letters, {revived} readings \
                 stored of them"
            );
        }
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

/// What was answered to one device.
#[derive(Debug, Default)]
struct Answered {
    /// When each claimed time was measured. More than once only where a clock ran over a time twice.
    kept: BTreeMap<i64, Vec<i64>>,
    broken: HashSet<i64>,
}

/// Asks for everything that `stats` says was answered in a run that began at `began_ms`. Readings become visible a
/// moment after they are acknowledged, so what is missing is asked for again until `settle` is over.
///
/// # Errors
/// The server does not answer, or not as `/v1/sql` does.
pub fn ask(
    server: &Server,
    devices: &Devices,
    began_ms: i64,
    stats: &Stats,
    settle: Duration,
) -> anyhow::Result<Verdict> {
    let mut answered: BTreeMap<u32, Answered> = BTreeMap::new();
    let of = |ack: &Acked| ack.connection;
    for ack in &stats.acked {
        let times = answered.entry(of(ack)).or_default().kept.entry(ack.stamp_ms).or_default();
        if !times.contains(&ack.measured_ms) {
            times.push(ack.measured_ms);
        }
    }
    for ack in &stats.broken {
        answered.entry(of(ack)).or_default().broken.insert(ack.stamp_ms);
    }
    let maker = Maker::new(devices.spec);
    let mut check = Check {
        server,
        disorder: devices.disorder(began_ms),
        deadline: Instant::now() + settle,
        verdict: Verdict::default(),
    };
    for (number, answered) in &answered {
        check.device(&devices.name_of(*number), &maker.device(*number), answered)?;
    }
    let broken = answered.iter().flat_map(|(number, answered)| {
        answered.broken.iter().map(|stamp_ms| (devices.name_of(*number), *stamp_ms))
    });
    dead::check(server, broken.collect(), began_ms, check.deadline, &mut check.verdict)?;
    Ok(check.verdict)
}

/// A check under way.
struct Check<'a> {
    server: &'a Server,
    disorder: Disorder,
    deadline: Instant,
    verdict: Verdict,
}

/// A device that is asked for.
struct Asked<'a> {
    name: &'a str,
    device: &'a Device,
    answered: &'a Answered,
    /// Its clock is off at some time of the run, so that the server may put its times right.
    clock_is_off: bool,
}

impl Check<'_> {
    fn device(&mut self, name: &str, device: &Device, answered: &Answered) -> anyhow::Result<()> {
        let off = |(claimed, measured): (&i64, &Vec<i64>)| measured.iter().any(|at| at != claimed);
        let asked = Asked { name, device, answered, clock_is_off: answered.kept.iter().any(off) };
        let stamps: Vec<i64> = answered.kept.keys().copied().collect();
        let most = (ROWS_PER_QUESTION / device.shape().names().len().max(1)).max(1);
        for near in stamps.chunk_by(|a, b| b - a <= GAP_MS) {
            for part in near.chunks(most) {
                let there = self.settled(&asked, part)?;
                self.compare(&asked, part, &there);
            }
        }
        Ok(())
    }

    /// What is stored of these times, once all of it is or time is up.
    fn settled(&self, asked: &Asked<'_>, stamps: &[i64]) -> anyhow::Result<Stored> {
        let (first, last) = (stamps[0], stamps[stamps.len() - 1]);
        loop {
            let mut there = self.server.readings(asked.name, first, last, asked.clock_is_off)?;
            let names = asked.device.shape().names();
            there.retain(|(metric, _), _| names.contains(metric));
            let whole = |stamp: &i64| names.iter().all(|name| there.contains_key(&(name.clone(), *stamp)));
            if stamps.iter().all(whole) {
                return Ok(there);
            }
            if Instant::now() >= self.deadline {
                // A right time that was "put right" is another fault than a loss.
                return self.server.readings(asked.name, first, last, true);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn compare(&mut self, asked: &Asked<'_>, stamps: &[i64], there: &Stored) {
        let mut expected: Vec<Sample> = Vec::new();
        for stamp in stamps {
            let measured = &asked.answered.kept[stamp];
            expected.resize_with(measured.len(), Sample::default);
            for (at, sample) in measured.iter().zip(&mut expected) {
                asked.device.measure(*at, &self.disorder.schedule, sample);
            }
            for (channel, metric) in asked.device.shape().names().iter().enumerate() {
                let values: Vec<_> =
                    expected.iter().map(|sample| asked.device.shape().values(channel, sample)).collect();
                self.reading(asked, metric, *stamp, &values, there);
            }
        }
        let broken = |(_, stamp): &&(String, i64)| {
            asked.answered.broken.contains(stamp) && !asked.answered.kept.contains_key(stamp)
        };
        for (metric, stamp) in there.keys().filter(broken) {
            self.verdict.revived += 1;
            self.verdict.note(|| format!("{} {metric} at {stamp}: of a broken message", asked.name));
        }
    }

    fn reading(
        &mut self,
        asked: &Asked<'_>,
        metric: &str,
        stamp: i64,
        values: &[(f64, Option<f64>)],
        there: &HashMap<(String, i64), Vec<server::Reading>>,
    ) {
        let verdict = &mut self.verdict;
        verdict.acknowledged += 1;
        let what = || format!("{} {metric} at {stamp}", asked.name);
        let Some([found, others @ ..]) = there.get(&(metric.to_owned(), stamp)).map(Vec::as_slice) else {
            verdict.missing += 1;
            return verdict.note(|| format!("{}: missing", what()));
        };
        if !others.is_empty() {
            verdict.doubled += others.len() as u64;
            verdict.note(|| format!("{}: {} times", what(), others.len() + 1));
        }
        if !values.contains(&found.value) {
            verdict.different += 1;
            return verdict.note(|| format!("{}: sent {values:?}, stored {:?}", what(), found.value));
        }
        verdict.found += 1;
        verdict.corrected += u64::from(found.clock == "corrected");
        verdict.suspect += u64::from(found.clock == "suspect");
        let right = match found.clock.as_str() {
            "device" => found.time_ms == stamp,
            // docs/time.md: never after the arrival, and only where the clock is off.
            "corrected" => asked.clock_is_off && found.time_ms <= found.arrived_ms,
            "suspect" => asked.clock_is_off && found.time_ms == stamp,
            _ => false,
        };
        if !right {
            verdict.mistimed += 1;
            verdict.note(|| format!("{}: stored at {}, clock {}", what(), found.time_ms, found.clock));
        }
    }
}
