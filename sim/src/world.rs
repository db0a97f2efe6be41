//! The world: who acts next, what fails, and what must be true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use log::disk::sim::{Fault, FaultPlan, SimDisk};
use log::{Clock, EmbeddedLog, Options, Partitions};
use record::{Envelope, Qos};
use wire::mqtt::Version;

use crate::client::{Client, News, payload_of};
use crate::rng::{Rng, index, mix};
use crate::server::{Broken, PARTITIONS, Server, all_messages};

/// What a life came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Everything sent and everything on the disk, in one number.
    pub hash: u64,
    /// Crashes survived.
    pub crashes: u32,
    /// Publishes acknowledged.
    pub acknowledged: usize,
}

/// Lives one life.
///
/// # Errors
/// What should not have happened.
pub fn live(seed: u64, broken: Broken) -> Result<Outcome, String> {
    let mut world = World::new(seed, broken)?;
    world.begin()?;
    for _ in 0..1500 {
        world.act()?;
    }
    world.finish()
}

/// Rounds of 50 things that happen without a fault, within which everything must come to rest.
const CALM_ROUNDS: u32 = 1000;

struct Time(AtomicI64);

impl Clock for Time {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module.
pub struct World {
    rng: Rng,
    disk: SimDisk,
    time: Arc<Time>,
    metadata: Arc<metadata::Memory>,
    server: Option<Server>,
    clients: Vec<Client>,
    /// Connections whose client is gone and whose server does not know yet.
    half_open: Vec<u32>,
    next_conn: u32,
    published: BTreeMap<u32, Qos>,
    acknowledged: BTreeSet<u32>,
    hash: u64,
    crashes: u32,
    broken: Broken,
}

impl World {
    /// An empty disk, two publishers of each version, three persistent subscribers.
    ///
    /// # Errors
    /// When the server does not start.
    pub fn new(seed: u64, broken: Broken) -> Result<Self, String> {
        let client = |name: &str, version, wants| Client::new(name.to_owned(), version, wants);
        let mut world = Self {
            rng: Rng::new(seed),
            disk: SimDisk::new(seed ^ 0xd15c),
            time: Arc::new(Time(AtomicI64::new(1_000_000))),
            metadata: Arc::new(metadata::Memory::new()),
            server: None,
            clients: vec![
                client("s2", Version::V5, Some(("t/#", Qos::ExactlyOnce))),
                client("s1", Version::V3, Some(("t/+", Qos::AtLeastOnce))),
                client("s3", Version::V3, Some(("#", Qos::ExactlyOnce))),
                client("p5", Version::V5, None),
                client("p3", Version::V3, None),
            ],
            half_open: Vec::new(),
            next_conn: 0,
            published: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            hash: 0xcbf2_9ce4_8422_2325,
            crashes: 0,
            broken,
        };
        world.start()?;
        Ok(world)
    }

    fn start(&mut self) -> Result<(), String> {
        let options = Options {
            partitions: Partitions::uniform(PARTITIONS).map_err(|e| e.to_string())?,
            segment_bytes: 16 << 10,
            index_interval_bytes: 1 << 10,
            tail_bytes: 4 << 10,
            ..Options::default()
        };
        let disk = Arc::new(self.disk.clone());
        let clock: Arc<dyn Clock> = Arc::clone(&self.time) as _;
        let (log, stepper) = EmbeddedLog::open_stepped(disk, clock, options, 7, self.broken.log)
            .map_err(|error| format!("the log does not open: {error}"))?;
        let now_ms = self.time.now_ms();
        self.server = Some(Server::start(log, stepper, Arc::clone(&self.metadata), now_ms, self.broken)?);
        self.check_log()
    }

    /// Every subscriber subscribes, undisturbed; then there is something to publish.
    fn begin(&mut self) -> Result<(), String> {
        for _ in 0..2000 {
            if self.clients.iter().all(|c| c.subscribed || !c.name.starts_with('s')) {
                break;
            }
            self.calm_act()?;
        }
        for n in 0..120_u32 {
            let qos = if self.rng.one_in(3) { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
            self.published.insert(n, qos);
            let publisher = 3 + index(&mut self.rng, 2);
            self.clients[publisher].todo.push_back((n, qos));
        }
        Ok(())
    }

    /// One more thing happens.
    ///
    /// # Errors
    /// What should not have happened.
    pub fn act(&mut self) -> Result<(), String> {
        match self.rng.below(400) {
            0 => self.crash(true),
            1 => self.crash(false),
            2..8 => self.cut(),
            8 => {
                self.disk.plan(FaultPlan::NextSync);
                Ok(())
            }
            9 => {
                let fault = [Fault::Eio, Fault::Enospc, Fault::Torn][index(&mut self.rng, 3)];
                self.disk.plan(FaultPlan::Once(1 + self.rng.below(6), fault));
                Ok(())
            }
            _ => self.calm_act(),
        }
    }

    /// One more thing happens, and nothing fails.
    fn calm_act(&mut self) -> Result<(), String> {
        self.time.0.fetch_add(1 + i64::from(self.rng.one_in(10)) * 700, Ordering::Relaxed);
        let now_ms = self.time.now_ms();
        let client = index(&mut self.rng, self.clients.len());
        match self.rng.below(12) {
            0..3 => self.talk(client),
            3..5 => self.carry_up(client),
            5..7 => return self.carry_down(client),
            7 => self.server().turn(now_ms),
            8 => self.server().step_log(),
            9 => self.server().settle(),
            10 => return self.server().dispatch(),
            _ if self.rng.one_in(6) => self.server().checkpoint(),
            _ => self.notice(),
        }
        Ok(())
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("a server that has crashed is started again at once")
    }

    fn talk(&mut self, client: usize) {
        if self.clients[client].conn.is_some() {
            self.clients[client].act(&mut self.rng);
            return;
        }
        self.next_conn += 1;
        let id = self.next_conn;
        self.server().accept(id);
        self.clients[client].connect(id);
    }

    /// Some bytes reach the server.
    fn carry_up(&mut self, client: usize) {
        let Some(id) = self.clients[client].conn else { return };
        let bytes = self.some_output(client);
        self.hash = mix(self.hash, &bytes);
        self.server().receive(id, &bytes);
    }

    fn some_output(&mut self, client: usize) -> Vec<u8> {
        let waiting = self.clients[client].output.len();
        let n = if self.rng.one_in(3) { index(&mut self.rng, waiting + 1) } else { waiting };
        self.clients[client].output.drain(..n).collect()
    }

    /// What the server has to say reaches the client.
    fn carry_down(&mut self, client: usize) -> Result<(), String> {
        let Some(id) = self.clients[client].conn else { return Ok(()) };
        let Some(bytes) = self.server().send(id) else {
            self.clients[client].disconnected();
            return Ok(());
        };
        self.hash = mix(self.hash, &bytes);
        let mut news = Vec::new();
        self.clients[client].receive(&bytes, &mut news)?;
        for news in news {
            match news {
                News::Acknowledged(payload) => drop(self.acknowledged.insert(payload)),
                News::Got(payload) if !self.published.contains_key(&payload) => {
                    return Err(format!("{payload} was never published"));
                }
                News::Got(_) => {}
            }
        }
        Ok(())
    }

    /// A connection breaks: some of what was under way arrives, the rest does not.
    fn cut(&mut self) -> Result<(), String> {
        let client = index(&mut self.rng, self.clients.len());
        let Some(id) = self.clients[client].conn else { return Ok(()) };
        self.carry_up(client);
        if self.rng.one_in(2) {
            self.carry_down(client)?;
        }
        self.clients[client].disconnected();
        self.half_open.push(id);
        Ok(())
    }

    /// The server notices a connection that is gone.
    fn notice(&mut self) {
        if !self.half_open.is_empty() {
            let at = index(&mut self.rng, self.half_open.len());
            let id = self.half_open.swap_remove(at);
            self.server().lost(id);
        }
    }

    fn crash(&mut self, power: bool) -> Result<(), String> {
        self.crashes += 1;
        self.server = None;
        if power {
            self.disk.crash();
        } else {
            self.disk.kill();
        }
        self.clients.iter_mut().for_each(Client::disconnected);
        self.half_open.clear();
        self.start()
    }

    /// Everything acknowledged is in the log, and nothing of QoS 2 twice.
    fn check_log(&mut self) -> Result<(), String> {
        let mut found: BTreeMap<u32, u32> = BTreeMap::new();
        for bytes in all_messages(self.server().log())? {
            let message = Envelope::decode(&bytes).map_err(|e| e.to_string())?;
            *found.entry(payload_of(message.payload)).or_default() += 1;
        }
        if let Some(lost) = self.acknowledged.iter().find(|payload| !found.contains_key(payload)) {
            return Err(format!("{lost} was acknowledged and is not in the log"));
        }
        let doubled =
            |(payload, n): &(&u32, &u32)| **n > 1 && self.published.get(payload) == Some(&Qos::ExactlyOnce);
        match found.iter().find(doubled) {
            Some((payload, n)) => Err(format!("{payload}, QoS 2, is {n} times in the log")),
            None => Ok(()),
        }
    }

    /// Lets everything come to rest and looks at what came of it.
    ///
    /// # Errors
    /// What should not have happened.
    pub fn finish(mut self) -> Result<Outcome, String> {
        self.crash(true)?;
        let mut quiet = 0;
        for _ in 0..CALM_ROUNDS {
            for _ in 0..50 {
                self.calm_act()?;
            }
            let done = self.everybody_has_everything()
                && self.clients.iter().all(Client::is_done)
                && self.server().is_idle();
            quiet = if done { quiet + 1 } else { 0 };
            if quiet > 6 {
                break;
            }
        }
        self.check_log()?;
        for (payload, qos) in &self.published {
            for client in &self.clients[..3] {
                let n = client.got.get(payload).copied().unwrap_or(0);
                let once = *qos == Qos::ExactlyOnce && client.name != "s1";
                if n == 0 || once && n > 1 {
                    return Err(format!("{} got {payload} ({qos:?}) {n} times", client.name));
                }
            }
        }
        if quiet == 0 {
            let half = self.clients.iter().filter(|client| !client.is_done());
            let half: Vec<String> = half.map(Client::state).collect();
            return Err(format!("it does not come to rest: {half:?}, idle: {}", self.server().is_idle()));
        }
        for (name, bytes) in self.disk.contents() {
            self.hash = mix(mix(self.hash, name.as_bytes()), &bytes);
        }
        Ok(Outcome { hash: self.hash, crashes: self.crashes, acknowledged: self.acknowledged.len() })
    }

    fn everybody_has_everything(&self) -> bool {
        self.published.keys().all(|payload| self.clients[..3].iter().all(|c| c.got.contains_key(payload)))
    }
}
