//! One seed, from the generator to the verdict.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use record::Timestamp;

use super::ask::Asker;
use super::compare::{Slack, differences};
use super::control::Fault;
use super::dice::Dice;
use super::generate::generate;
use super::model::{Truth, truth};
use super::play::{Played, play};
use super::scenario::Scenario;
use super::site::Site;
use crate::outcome::{Failure, Result, broken};

/// Windows may be revised a little after what revises them is stored.
const REVISIONS: Duration = Duration::from_secs(20);

/// What was proven by a seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Proven {
    /// Messages sent.
    pub messages: usize,
    /// Messages sent again because of a kill.
    pub in_vain: u32,
    /// Kills.
    pub kills: u32,
    /// Readings accepted.
    pub readings: i64,
    /// Windows compared.
    pub windows: usize,
}

/// Plays a seed in `folder`. `fault`: a control, which must come out as a broken promise.
///
/// # Errors
/// The server has not what is true.
pub fn one(seed: u64, binary: &Path, folder: &Path, fault: Option<Fault>) -> Result<Proven> {
    let scenario = generate(seed, Timestamp::now().nanos());
    let mut truth = truth(&scenario);
    if let Some(fault) = fault
        && !fault.apply(&mut truth, &mut Dice::new(seed, "fault"))
    {
        return Err(Failure::CannotRun(format!("seed {seed} has nothing to make a fault {fault:?} of")));
    }
    let site = Site::new(binary, folder, &scenario)?;
    let (played, server) = play(&scenario, &site)?;
    if Timestamp::now().nanos() > scenario.made_at + Scenario::PATIENCE {
        return Err(Failure::CannotRun(
            "the machine is too slow: times of arrival overtook the scenario".into(),
        ));
    }
    judge(&scenario, &truth, &played, &site)?;
    verify_ledger(&scenario, &site)?;
    server.stop()?;
    Ok(proven(&scenario, &truth, &played))
}

fn proven(scenario: &Scenario, truth: &Truth, played: &Played) -> Proven {
    let published = |window: &&super::windows::WindowTruth| window.published == Some(true);
    Proven {
        messages: scenario.messages(),
        in_vain: played.in_vain.values().sum(),
        kills: played.kills,
        readings: truth.tenants.iter().map(|tenant| tenant.account.accepted).sum(),
        windows: truth.tenants.iter().map(|tenant| tenant.windows.values().filter(published).count()).sum(),
    }
}

/// What every tenant finds must be what is true of it.
fn judge(scenario: &Scenario, truth: &Truth, played: &Played, site: &Site) -> Result<()> {
    let deadline = Instant::now() + REVISIONS;
    for (tenant, truth) in truth.tenants.iter().enumerate() {
        let mut slack = Slack::default();
        for (_, message, times) in played.doubtful(scenario).filter(|(of, ..)| *of == tenant) {
            slack.add(message, times);
        }
        let asker = Asker::new(site.place.http, &site.services[tenant]);
        loop {
            let tables = differences(truth, &asker.everything()?, &slack);
            if tables.is_empty() {
                break;
            }
            if tables.keys().all(|table| *table == "aggregations") && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let lines = tables
                .iter()
                .flat_map(|(table, lines)| lines.iter().map(move |line| format!("\n  {table}: {line}")));
            return broken(format!("tenant {}:{}", scenario.tenants[tenant], lines.collect::<String>()));
        }
    }
    Ok(())
}

/// The server's own opinion.
fn verify_ledger(scenario: &Scenario, site: &Site) -> Result<()> {
    for (tenant, token) in site.services.iter().enumerate() {
        let mut command = Command::new(&site.place.binary);
        command.args([
            "ledger",
            "verify",
            "--server",
            &format!("http://{}", site.place.http),
            "--token",
            token,
        ]);
        let said = command.stdin(Stdio::null()).output()?;
        if !said.status.success() {
            let text =
                String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
            return broken(format!(
                "tenant {}: ledger verify: {}: {text}",
                scenario.tenants[tenant], said.status
            ));
        }
    }
    Ok(())
}
