//! What people were told, against what was raised.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use rigs::metrics::{named, page};
use rigs::outcome::{Failure, Result, broken};
use rigs::server::Place;
use rigs::truth::ask::Asker;
use serde::Serialize;

use crate::Phase;
use crate::people::{CRITICAL_PER_HOUR, Crowd, Person, RULES};
use crate::told::{Digest, Says, Told};

/// What the last digest may take: it waits for its time, and then for its delivery.
const PATIENCE: Duration = Duration::from_secs(300);

/// What each was told.
pub(crate) struct Judged {
    pub(crate) people: Vec<Heard>,
}

/// What somebody was told: messages, and of how many alerts.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Heard {
    name: String,
    messages: usize,
    per_hour: usize,
    /// Messages in the fullest minute.
    in_a_minute: usize,
    /// Of those, about one critical alert: they have a limit of their own.
    critical: usize,
    digests: usize,
    /// Alerts told by themselves, in groups, in digests, and in digests because of a mute.
    single: u64,
    grouped: u64,
    held: u64,
    muted: u64,
    /// By rule, all of these.
    by_rule: BTreeMap<String, u64>,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |of: &Heard| {
            let alerts: u64 = of.by_rule.values().sum();
            format!("{}: {alerts} alerts in {} messages of {}", of.name, of.messages, of.per_hour)
        };
        f.write_str(&self.people.iter().map(told).collect::<Vec<_>>().join(", "))
    }
}

/// Each device's `causes` are one alert for each rule, all of them over; each person was told of all that they want to hear of and that
/// was not suppressed, exactly, and within their limit. What is wrong is said of everybody.
pub(crate) fn judge(place: &Place, crowd: &Crowd, causes: u64, is_digest_lost: bool) -> Result<Judged> {
    let raised = raised(place, causes)?;
    let (mut people, mut wrong, deadline) = (Vec::new(), Vec::new(), Instant::now() + PATIENCE);
    for person in &crowd.0 {
        let expected: BTreeMap<String, u64> =
            person.rules.iter().map(|rule| ((*rule).to_owned(), raised[*rule])).collect();
        while heard(person, false)?.by_rule != expected && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        let heard = heard(person, is_digest_lost)?;
        match is_right(&heard, &expected) {
            Err(Failure::Broken(what)) => wrong.push(what),
            other => other?,
        }
        people.push(heard);
    }
    if wrong.is_empty() { Ok(Judged { people }) } else { broken(wrong.join("; ")) }
}

fn is_right(heard: &Heard, expected: &BTreeMap<String, u64>) -> Result<()> {
    if heard.by_rule != *expected {
        return broken(format!("{} was told of {:?}, raised were {expected:?}", heard.name, heard.by_rule));
    }
    within_limits(heard)
}

/// How many stand for themselves, by rule: what SQL and the metrics say, which must be what was sent.
fn raised(place: &Place, causes: u64) -> Result<BTreeMap<String, u64>> {
    let rows = Asker::new(place.http, "").rows(
        "SELECT rule_id, count(*) AS n, count(*) FILTER (WHERE state <> 'suppressed') AS standing, \
         count(*) FILTER (WHERE resolved_at IS NULL) AS open FROM alerts GROUP BY rule_id",
    )?;
    let mut raised = BTreeMap::new();
    for row in &rows {
        let rule = row.text("rule_id")?.context("an alert without a rule")?;
        let (n, open): (u64, u64) = (row.number("n")?, row.number("open")?);
        if (n, open) != (causes, 0) {
            return broken(format!(
                "{n} alerts of {rule} are kept, {open} of them not over; {causes} causes there were"
            ));
        }
        raised.insert(rule, row.number("standing")?);
    }
    if raised.len() != RULES.len() {
        return broken(format!("alerts are kept of {:?} alone", raised.keys()));
    }
    let page = page(place.http, None)?;
    let (all, suppressed) =
        (named(&page, "penstock_alerts_raised_total"), named(&page, "penstock_alerts_suppressed_total"));
    let standing: u64 = raised.values().sum();
    if (all as u64, (all - suppressed) as u64) != (causes * RULES.len() as u64, standing) {
        return broken(format!(
            "{all} alerts are counted, {suppressed} suppressed; {standing} of the kept ones are not"
        ));
    }
    Ok(raised)
}

fn heard(person: &Person, is_digest_lost: bool) -> Result<Heard> {
    let mut heard = Heard { name: person.name.to_owned(), per_hour: person.per_hour, ..Heard::default() };
    let (mut at_ms, mut is_digest_lost) = (Vec::new(), is_digest_lost);
    for told in person.way.told()? {
        if matches!(told.says, Says::Digest(_)) && std::mem::take(&mut is_digest_lost) {
            continue;
        }
        at_ms.push(told.at_ms);
        take(&mut heard, told)?;
    }
    heard.messages = at_ms.len();
    at_ms.sort_unstable();
    let minutes =
        at_ms.iter().enumerate().map(|(n, from)| at_ms[n..].partition_point(|at| *at < from + 60_000));
    heard.in_a_minute = minutes.max().unwrap_or_default();
    Ok(heard)
}

fn take(heard: &mut Heard, Told { count, says, .. }: Told) -> Result<()> {
    match says {
        Says::Alert { rule, is_critical } => {
            heard.single += count;
            heard.critical += usize::from(is_critical);
            // Of one that was told before nobody is told for the first time.
            if count > 0 {
                *heard.by_rule.entry(rule).or_default() += count;
            }
        }
        Says::Group { rule } => {
            heard.grouped += count;
            *heard.by_rule.entry(rule).or_default() += count;
        }
        Says::Digest(digest) => {
            let Digest { held, muted, by_rule, other_rules } = &digest;
            let sum = by_rule.values().sum::<u64>() + other_rules;
            if sum != held + muted || count != sum {
                return broken(format!("a digest says {count} alerts, and does not add up: {digest:?}"));
            }
            heard.digests += 1;
            heard.held += held;
            heard.muted += muted;
            for (rule, number) in digest.by_rule {
                *heard.by_rule.entry(rule).or_default() += number;
            }
        }
    }
    Ok(())
}

/// The run is shorter than an hour, so the limit is on all of it.
fn within_limits(heard: &Heard) -> Result<()> {
    let most = heard.per_hour + CRITICAL_PER_HOUR;
    if heard.messages > most || heard.messages - heard.critical > heard.per_hour {
        return broken(format!(
            "{} has a limit of {} messages an hour: {heard:?}",
            heard.name, heard.per_hour
        ));
    }
    Ok(())
}

/// Each reading is stored once, and the ledger balances.
pub(crate) fn account(place: &Place, phases: &[&Phase]) -> Result<()> {
    let expected: u64 = phases.iter().map(|phase| phase.sent.readings + phase.probes).sum();
    let rows: u64 = Asker::new(place.http, "").rows("SELECT count(*) AS n FROM telemetry")?[0].number("n")?;
    if rows != expected {
        return broken(format!("{rows} readings are stored, {expected} were acknowledged"));
    }
    let verify = Command::new(&place.binary)
        .args(["ledger", "verify", "--server", &format!("http://{}", place.http)])
        .output()
        .context("the ledger cannot be asked")?;
    if !verify.status.success() {
        return broken(format!("the ledger does not balance: {}", String::from_utf8_lossy(&verify.stdout)));
    }
    Ok(())
}
