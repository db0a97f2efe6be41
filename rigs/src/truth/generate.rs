//! A seed into a scenario.

mod pack;

use std::collections::HashMap;

use record::{Lane, Value, partition_of};

use super::device::{Act, Character, Device, Phase};
use super::dice::Dice;
use super::scenario::{
    Answer, Kill, Line, Link, MINUTE, Message, Nanos, Rules, SECOND, Scenario, Speaks, Stage, Tuning, Way,
    Who,
};
use super::spoil;

/// Partitions of the wild devices. Others that live there find, after them, that all they send is late.
const WILD_PARTITIONS: [u16; 2] = [3, 8];
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// The scenario of a seed, played at `made_at`. But for the distance between the two it is always the same: times
/// are laid out from a whole hour.
#[must_use]
pub fn generate(seed: u64, made_at: Nanos) -> Scenario {
    let rules = Rules::default();
    let mut world = World::new(seed, made_at, rules);
    let phases = world.dice.between(6, 10) as usize;
    // Ends before the hour in which it is played, and never so near that arrival could overtake it.
    let hour = (made_at - 10 * MINUTE) / (60 * MINUTE) * (60 * MINUTE);
    let mut now =
        hour - world.dice.between(30 * 60, 45 * 60) * SECOND + world.dice.between(0, 999) * 1_000_000;
    let mut before = now - 20 * SECOND;
    for number in 0..phases {
        world.phase(Phase { number, before, now, made_at, allowed_lateness: rules.allowed_lateness });
        before = now;
        let step = if world.dice.chance(0.25) { (40, 200) } else { (5, 15) };
        now += world.dice.between(step.0 * 1000, step.1 * 1000) * 1_000_000;
    }
    // Closes every window of what has happened.
    world.beat("closing", hour, true);
    world.finish(phases)
}

struct World {
    seed: u64,
    made_at: Nanos,
    rules: Rules,
    dice: Dice,
    tenants: Vec<String>,
    links: Vec<Link>,
    devices: Vec<Device>,
    /// Tenant and name by partition.
    pacemakers: Vec<(usize, String)>,
    /// By tenant.
    pacemaker_links: Vec<usize>,
    stages: Vec<Stage>,
    touched: Touched,
    number: u64,
}

impl World {
    fn new(seed: u64, made_at: Nanos, rules: Rules) -> Self {
        let mut dice = Dice::new(seed, "world");
        let tenants: Vec<String> =
            TENANTS[..dice.between(2, 3) as usize].iter().map(|&name| name.to_owned()).collect();
        let mut world = Self {
            seed,
            made_at,
            rules,
            links: Vec::new(),
            devices: Vec::new(),
            pacemakers: Vec::new(),
            pacemaker_links: Vec::new(),
            stages: Vec::new(),
            touched: Touched::default(),
            number: 0,
            tenants,
            dice,
        };
        world.settle_devices();
        world.settle_pacemakers();
        world
    }

    /// Every character lives somewhere.
    fn settle_devices(&mut self) {
        let mut characters = Character::TAME.to_vec();
        self.dice.shuffle(&mut characters);
        characters.extend(Character::WILD);
        for (n, character) in characters.into_iter().enumerate() {
            let tenant = n % self.tenants.len();
            let is_wild = Character::WILD.contains(&character) || self.dice.chance(0.1);
            // The same names in every tenant: they must not meet.
            let members = (0..character.members())
                .map(|k| self.name_in(tenant, &format!("pump-{}{k}", n / self.tenants.len()), is_wild))
                .collect::<Vec<_>>();
            let speaks = *self.dice.pick(character.speaks());
            let own = members.len() == 1 && (self.dice.chance(0.3) || character == Character::Spoiler);
            let who = if own { Who::Device(members[0].clone()) } else { Who::Service };
            let link = self.link(tenant, who.clone(), speaks);
            self.devices.push(Device::new(tenant, character, link, speaks, who, members));
        }
    }

    /// A name that falls into the wild partitions, or one that does not.
    fn name_in(&self, tenant: usize, prefix: &str, is_wild: bool) -> String {
        let falls = |name: &String| {
            let partition = partition_of(&self.tenants[tenant], name, self.rules.partitions);
            WILD_PARTITIONS.contains(&partition) == is_wild
        };
        let mut names = (0..10_000).map(|n| format!("{prefix}-{n}"));
        names.find(falls).expect("one of ten thousand names falls into any partition")
    }

    fn settle_pacemakers(&mut self) {
        for partition in 0..self.rules.partitions {
            let tenant = usize::from(partition) % self.tenants.len();
            let falls =
                |name: &String| partition_of(&self.tenants[tenant], name, self.rules.partitions) == partition;
            let mut names = (0..10_000).map(|n| format!("pace-{n}"));
            let name = names.find(falls).expect("one of ten thousand names falls into any partition");
            self.pacemakers.push((tenant, name));
        }
        let speaks = [Speaks::Mqtt311, Speaks::Mqtt5];
        self.pacemaker_links = (0..self.tenants.len())
            .map(|tenant| self.link(tenant, Who::Service, speaks[tenant % 2]))
            .collect();
    }

    fn link(&mut self, tenant: usize, who: Who, speaks: Speaks) -> usize {
        self.links.push(Link { tenant, who, speaks });
        self.links.len() - 1
    }

    /// The pacemakers say what time it is.
    fn beat(&mut self, name: &'static str, now: Nanos, settle: bool) {
        let mut lines: Vec<Line> =
            self.pacemaker_links.iter().map(|&link| Line { link, messages: Vec::new() }).collect();
        for (tenant, name) in &self.pacemakers {
            let sample = super::render::Sample {
                device: name.clone(),
                time: Some(now),
                seq: None,
                values: vec![("beat".into(), Value::Int(now / 1_000_000 % 1000))],
            };
            lines[*tenant].messages.push(Message {
                way: Way::Publish { topic: format!("devices/{name}/telemetry"), qos: 1 },
                payload: format!("{{\"ts\":{now},\"metrics\":{{\"beat\":{}}}}}", now / 1_000_000 % 1000)
                    .into(),
                lane: None,
                units: vec![sample.readings().collect()],
                dead: Vec::new(),
                answer: Answer::Taken,
            });
        }
        self.stages.push(Stage { name, lines, settle });
        self.touched.end_stage(settle);
    }

    fn phase(&mut self, phase: Phase) {
        let settle = self.dice.chance(0.5);
        self.beat("pacemakers", phase.now, settle);
        for (name, is_wild) in [("devices", false), ("wild devices", true)] {
            let mut lines = Vec::new();
            for n in 0..self.devices.len() {
                let character = self.devices[n].character;
                if Character::WILD.contains(&character) != is_wild {
                    continue;
                }
                let messages = self.say(n, phase);
                if !messages.is_empty() {
                    lines.push(Line { link: self.devices[n].link, messages });
                }
            }
            let settle = is_wild || self.dice.chance(0.3);
            self.stages.push(Stage { name, lines, settle });
            self.touched.end_stage(settle);
        }
    }

    /// What a device says in a phase.
    fn say(&mut self, device: usize, phase: Phase) -> Vec<Message> {
        let mut dice = Dice::new(self.seed, &format!("{device} in {}", phase.number));
        let mut messages = Vec::new();
        for _ in 0..dice.between(1, 5) {
            let act = dice.weighted(self.devices[device].character.acts());
            for message in self.act(device, act, phase, &mut dice) {
                if self.touched.admit(&self.devices[device], &message, self.made_at, self.rules) {
                    self.devices[device].remember(phase.number, &message);
                    messages.push(message);
                }
            }
        }
        messages
    }

    fn act(&mut self, device: usize, act: Act, phase: Phase, dice: &mut Dice) -> Vec<Message> {
        self.number += 1;
        let number = self.number;
        let packet_bytes = self.rules.packet_bytes;
        let device = &mut self.devices[device];
        let again = |of: &[(usize, Message)], dice: &mut Dice| match of {
            [] => Vec::new(),
            some => vec![dice.pick(some).1.clone()],
        };
        match act {
            Act::Near => {
                let these: Vec<_> =
                    device.sent.iter().filter(|sent| sent.0 == phase.number).cloned().collect();
                again(&these, dice)
            }
            Act::Far => again(&device.sent, dice),
            Act::Respell => {
                let samples = device.samples(Act::Fresh, phase, dice).0;
                let spellings = dice.between(2, 4);
                (0..spellings).flat_map(|_| pack::pack(device, &self.tenants, &samples, None, dice)).collect()
            }
            Act::Spoiled => vec![spoil::refused(device, number, phase.now, dice)],
            Act::Partly if device.character != Character::Liner => {
                let Some(sample) = device.at(phase.before + 1, phase.now, 1, dice).pop() else {
                    return Vec::new();
                };
                let make = if dice.chance(0.5) { spoil::partly } else { spoil::mixed };
                vec![make(device, &sample, number, dice)]
            }
            Act::Oversize => vec![spoil::oversize(device, packet_bytes, dice)],
            Act::Forbidden => spoil::forbidden(device, number, dice).into_iter().collect(),
            _ => {
                let (samples, lane) = device.samples(act, phase, dice);
                pack::pack(device, &self.tenants, &samples, lane, dice)
            }
        }
    }

    fn finish(mut self, phases: usize) -> Scenario {
        let kills = self.kills(phases);
        self.lower_qos(&kills);
        Scenario {
            seed: self.seed,
            made_at: self.made_at,
            rules: self.rules,
            tuning: tuning(self.seed),
            tenants: self.tenants,
            links: self.links,
            stages: self.stages,
            kills,
        }
    }

    fn kills(&mut self, phases: usize) -> Vec<Kill> {
        let mut dice = Dice::new(self.seed, "kills");
        let count = dice.weighted(&[(0, 2), (1, 4), (2, 3), (3, 3)]);
        let mut stages: Vec<usize> = (0..phases * 3 + 1).collect();
        dice.shuffle(&mut stages);
        stages.truncate(count);
        stages.sort_unstable();
        let after = |dice: &mut Dice| (dice.between(0, 1000).pow(2) / 4000) as u64;
        stages.into_iter().map(|stage| Kill { stage, after_ms: after(&mut dice) }).collect()
    }

    /// QoS 0 may be lost by a kill. Where none comes, and a later publish of the same connection is acknowledged,
    /// it is not.
    fn lower_qos(&mut self, kills: &[Kill]) {
        let mut dice = Dice::new(self.seed, "QoS 0");
        for (n, stage) in self.stages.iter_mut().enumerate() {
            if kills.iter().any(|kill| kill.stage == n) {
                continue;
            }
            let whole = |line: &&mut Line| line.messages.iter().all(|message| message.answer.is_accepted());
            let lines = stage.lines.iter_mut().filter(whole);
            for message in lines.filter_map(|line| line.messages.split_last_mut()).flat_map(|(_, rest)| rest)
            {
                if let Way::Publish { qos, .. } = &mut message.way
                    && message.answer == Answer::Taken
                    && dice.chance(0.1)
                {
                    *qos = 0;
                }
            }
        }
    }
}

fn tuning(seed: u64) -> Tuning {
    let mut dice = Dice::new(seed, "tuning");
    Tuning {
        recent_keys: *dice.pick(&[1, 4, 16, 64, 1024]),
        window_bytes: *dice.pick(&[1 << 20, 1 << 30]),
        checkpoint_every_s: *dice.pick(&[1, 1, 2, 30]),
        pause_ms: *dice.pick(&[0, 0, 0, 150]),
    }
}

/// Tenant, device, metric, time, sequence number.
type ReadingKey = (usize, String, String, Nanos, Option<u64>);

/// What has been said since the last wait, so that what a scenario means never hangs on what the server does first.
#[derive(Debug, Default)]
struct Touched {
    stage: HashMap<ReadingKey, Value>,
    lanes: HashMap<ReadingKey, Lane>,
}

impl Touched {
    /// Whether a message may be sent now. Not when it corrects what this stage has said: sent again after a kill, the
    /// older value would correct the newer. And not when the same reading is under way in the other lane.
    fn admit(&mut self, device: &Device, message: &Message, made_at: Nanos, rules: Rules) -> bool {
        let mut news = Vec::new();
        for unit in &message.units {
            let newest = unit.iter().map(|reading| reading.time.unwrap_or(made_at)).max().unwrap_or(made_at);
            let by_age = if made_at - newest > rules.backfill_after { Lane::Backfill } else { Lane::Live };
            let lane = message.lane.unwrap_or(by_age);
            for reading in unit {
                let Some(time) = reading.time else { continue };
                let key = (device.tenant, reading.device.clone(), reading.metric.clone(), time, reading.seq);
                let is_other = |value: &Value| *value != reading.value;
                if self.stage.get(&key).is_some_and(is_other)
                    || self.lanes.get(&key).is_some_and(|of| *of != lane)
                    || news.iter().any(|(of, value, _)| *of == key && is_other(value))
                {
                    return false;
                }
                news.push((key, reading.value.clone(), lane));
            }
        }
        for (key, value, lane) in news {
            self.stage.insert(key.clone(), value);
            self.lanes.insert(key, lane);
        }
        true
    }

    fn end_stage(&mut self, settled: bool) {
        self.stage.clear();
        if settled {
            self.lanes.clear();
        }
    }
}
