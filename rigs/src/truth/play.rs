//! A scenario, played to a real server that is killed meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleet::packet::Version;

use super::link::{Http, InVain, Mqtt};
use super::scenario::{Line, Message, Scenario, Speaks, Stage, Who};
use super::site::{SERVICE, Site};
use crate::metrics::{lag, page};
use crate::outcome::{Failure, Result, broken};
use crate::server::Server;

/// A stream that has not taken all of a stage by then is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happened while a scenario was played.
#[derive(Debug, Default)]
pub struct Played {
    /// Messages that were sent in vain, and how often: the server may have taken them each time. By stage, line
    /// and place in the line.
    pub in_vain: BTreeMap<(usize, usize, usize), u32>,
    /// How often the server was killed.
    pub kills: u32,
}

impl Played {
    /// The messages sent in vain, with the tenant, and how often.
    pub fn doubtful<'a>(&'a self, scenario: &'a Scenario) -> impl Iterator<Item = (usize, &'a Message, u32)> {
        self.in_vain.iter().map(|(&(stage, line, message), &times)| {
            let line = &scenario.stages[stage].lines[line];
            (scenario.links[line.link].tenant, &line.messages[message], times)
        })
    }
}

enum Client {
    Mqtt(Mqtt),
    Http(Http),
}

impl Client {
    fn hang_up(&mut self) {
        if let Self::Mqtt(client) = self {
            client.hang_up();
        }
    }

    fn send(&mut self, messages: &[Message]) -> Result<InVain> {
        match self {
            Self::Mqtt(client) => client.send(messages),
            Self::Http(client) => client.send(messages),
        }
    }
}

/// Plays a scenario to its end; hands the server back with everything stored.
///
/// # Errors
/// The server breaks a promise, does not come back, or does not get done.
pub fn play(scenario: &Scenario, site: &Site) -> Result<(Played, Server)> {
    let mut clients: Vec<Client> =
        (0..scenario.links.len()).map(|link| client(scenario, site, link)).collect();
    let mut server = site.place.start(|_| {})?;
    let mut played = Played::default();
    for (number, stage) in scenario.stages.iter().enumerate() {
        let kill = scenario.kills.iter().find(|kill| kill.stage == number);
        let kill = kill.map(|kill| Duration::from_millis(kill.after_ms));
        server = one(site, stage, number, kill, &mut clients, server, &mut played)?;
        if kill.is_some() {
            clients.iter_mut().for_each(Client::hang_up);
        }
        if stage.settle {
            settle(site)?;
        }
        std::thread::sleep(Duration::from_millis(scenario.tuning.pause_ms));
    }
    settle(site)?;
    Ok((played, server))
}

fn client(scenario: &Scenario, site: &Site, number: usize) -> Client {
    let link = &scenario.links[number];
    let (name, token, client_id) = match &link.who {
        Who::Service => (SERVICE, site.services[link.tenant].as_str(), format!("rig-{number}")),
        // A device's client id is its own name, or begins with it.
        Who::Device(device) => (
            device.as_str(),
            site.token_of(link.tenant, device).unwrap_or_default(),
            format!("{device}/{number}"),
        ),
    };
    let username = format!("{}/{name}", scenario.tenants[link.tenant]);
    let mqtt = |version| Client::Mqtt(Mqtt::new(site.place.mqtt, version, &client_id, &username, token));
    match link.speaks {
        Speaks::Mqtt311 => mqtt(Version::V311),
        Speaks::Mqtt5 => mqtt(Version::V5),
        Speaks::Http => Client::Http(Http::new(site.place.http, token)),
    }
}

fn one(
    site: &Site,
    stage: &Stage,
    number: usize,
    kill: Option<Duration>,
    clients: &mut [Client],
    server: Server,
    played: &mut Played,
) -> Result<Server> {
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (link, client) in clients.iter_mut().enumerate() {
            let of = |(_, line): &(usize, &Line)| line.link == link;
            if let Some((place, line)) = stage.lines.iter().enumerate().find(of) {
                running.push((place, scope.spawn(move || client.send(&line.messages))));
            }
        }
        let mut server = server;
        if let Some(after) = kill {
            std::thread::sleep(after);
            server.kill9()?;
            played.kills += 1;
            server = site.place.start(|_| {})?;
        }
        for (line, sender) in running {
            let in_vain = sender.join().map_err(|_| Failure::Rig(anyhow::anyhow!("a sender panicked")))??;
            for (message, times) in in_vain.into_iter().enumerate().filter(|&(_, times)| times > 0) {
                played.in_vain.insert((number, line, message), times);
            }
        }
        Ok(server)
    })
}

/// Waits until the store holds everything that is in the log.
fn settle(site: &Site) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lag(&page(site.place.http, Some(&site.services[0]))?, None) {
            Some(0) => return Ok(()),
            lag if Instant::now() > deadline => {
                return broken(format!("after {PATIENCE:?} the store still lags by {lag:?} records"));
            }
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
