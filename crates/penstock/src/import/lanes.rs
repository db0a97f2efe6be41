//! Several requests under way, each series in order.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, bail};
use serde_json::Value;

use super::Import;
use super::account::Account;
use super::mapping::Mapping;
use super::portion::{self, Body, Portion};
use super::source::Source;
use super::times::Clock;
use crate::bar::Bar;
use crate::client::{Request, Server};

/// Requests that wait in a lane: one is ready when one is answered.
const WAITING: usize = 2;
/// Reports that wait to be accounted for.
const REPORTS: usize = 64;

/// What is told to the account.
enum Report {
    Read(Portion),
    Answered(Answered),
    Broken(anyhow::Error),
}

/// What a server said to a request.
pub(super) struct Answered {
    pub(super) portion: u64,
    /// Of which row each reading was.
    pub(super) rows: Vec<usize>,
    pub(super) accepted: u64,
    /// By the number of the reading; `None`: all of them.
    pub(super) rejected: Vec<(Option<usize>, String)>,
}

/// Carries a file over to the server.
pub(super) fn carry(
    asked: &Import,
    source: &mut Source,
    how: (&Mapping, &Clock),
    account: &mut Account,
    bar: &Bar,
) -> anyhow::Result<()> {
    let lanes = usize::from(asked.in_flight);
    if asked.dry_run {
        while let Some((mut portion, bodies)) = portion::next(source, how, (0, lanes))? {
            portion.requests = 0;
            let readings = bodies.iter().map(|(_, body)| body.rows.len() as u64).sum();
            bar.set(portion.progress);
            account.read(portion, readings)?;
        }
        return Ok(());
    }
    let carried = std::thread::scope(|scope| {
        let (report, reports) = sync_channel(REPORTS);
        let mut queues = Vec::with_capacity(lanes);
        for _ in 0..lanes {
            let (queue, bodies) = sync_channel(WAITING);
            let report = report.clone();
            queues.push(queue);
            scope.spawn(move || lane(&asked.server, &bodies, &report, bar));
        }
        scope.spawn(move || read(source, how, &queues, &report));
        settle(reports, account, bar)
    });
    if carried.is_err() {
        // What is in is in, and is noted.
        account.save()?;
        let rows = account.totals().rows;
        return carried.context(format!("stopped after {rows} rows; run it again to go on from there"));
    }
    carried
}

/// Accounts for everything, until all who report have ended.
fn settle(reports: Receiver<Report>, account: &mut Account, bar: &Bar) -> anyhow::Result<()> {
    for report in reports {
        match report {
            Report::Read(portion) => account.read(portion, 0)?,
            Report::Answered(answered) => {
                if let Some(progress) = account.answered(answered)? {
                    bar.set(progress);
                }
            }
            Report::Broken(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads portions and hands their requests out. It ends with the file, or when nobody takes them any more.
fn read(
    source: &mut Source,
    how: (&Mapping, &Clock),
    queues: &[SyncSender<Body>],
    report: &SyncSender<Report>,
) {
    for number in 0.. {
        match portion::next(source, how, (number, queues.len())) {
            Ok(None) => return,
            Ok(Some((portion, bodies))) => {
                if report.send(Report::Read(portion)).is_err() {
                    return;
                }
                for (lane, body) in bodies {
                    if queues[lane].send(body).is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                let _ = report.send(Report::Broken(error)); // nobody listens: another error came first
                return;
            }
        }
    }
}

fn lane(server: &Server, bodies: &Receiver<Body>, report: &SyncSender<Report>, bar: &Bar) {
    for body in bodies {
        let (told, is_broken) = match send(server, body, bar) {
            Ok(answered) => (Report::Answered(answered), false),
            Err(error) => (Report::Broken(error), true),
        };
        if report.send(told).is_err() || is_broken {
            return;
        }
    }
}

fn send(server: &Server, body: Body, bar: &Bar) -> anyhow::Result<Answered> {
    let request = Request {
        path: "/v1/telemetry?lane=backfill",
        content_type: "application/x-ndjson",
        accept: "application/json",
        body: &body.bytes,
    };
    let reply = server.ask_patiently(&request, &|words| bar.say(words))?;
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    match (reply.status, said["rejected"].as_array()) {
        (200..=299 | 422, Some(rejected)) => {
            let rejected = rejected.iter().map(|one| {
                let at = one["index"].as_u64().and_then(|at| usize::try_from(at).ok());
                (at, one["reason"].as_str().unwrap_or("the server gives no reason").to_owned())
            });
            let accepted = said["accepted"].as_u64().unwrap_or_default();
            let answered =
                Answered { portion: body.portion, rejected: rejected.collect(), rows: body.rows, accepted };
            Ok(answered.complete())
        }
        (401, _) => {
            bail!("the server does not know who is asking: {} (401); --token says it", reply.detail())
        }
        (403, _) => {
            bail!("the server does not let this credential report these devices: {} (403)", reply.detail())
        }
        (status, _) => bail!("the server does not take it: {} ({status})", reply.detail()),
    }
}

impl Answered {
    /// Sees to it that every reading that was not accepted has a reason.
    fn complete(mut self) -> Self {
        let whole = self.rejected.iter().any(|(at, _)| at.is_none());
        let told = self.accepted + self.rejected.len() as u64;
        if !whole && told < self.rows.len() as u64 {
            let untold = self.rows.len() as u64 - told;
            let words =
                format!("the server did not take {untold} readings of this request and does not say which");
            self.rejected.push((None, words));
        }
        self
    }
}
