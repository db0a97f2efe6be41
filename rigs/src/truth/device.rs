//! Devices, their characters, and what a device says in a phase.

use std::collections::HashSet;

use record::{Lane, Value};

use super::dice::Dice;
use super::render::Sample;
use super::scenario::{MINUTE, Message, Nanos, SECOND, Speaks, Who};

/// What a device is known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Character {
    /// A metric per message, in order.
    Single,
    /// Twenty metrics per message.
    Twenty,
    /// Many timestamps per message.
    Batcher,
    /// Sends everything again, soon and late.
    Repeater,
    /// Out of order, but within the allowed lateness.
    Disorderly,
    /// Comes behind the watermark.
    Straggler,
    /// Was offline for hours.
    Offline,
    /// Writes the same instant in every unit.
    Polyglot,
    /// Its clock jumps back to hours it has been through.
    Resetter,
    /// The same, with sequence numbers.
    Sequenced,
    /// Corrects itself.
    Corrector,
    /// Sends what cannot be used.
    Spoiler,
    /// A gateway for several devices over HTTP.
    Collector,
    /// Line protocol over HTTP.
    Liner,
    /// A gateway for several devices over MQTT.
    Hub,
    /// Has no clock.
    Clockless,
    /// Its clock is ahead by an hour or more.
    Ahead,
}

/// What a device may do in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Act {
    Fresh,
    Burst,
    Near,
    Far,
    Disorder,
    Late,
    Backfill,
    AskBackfill,
    Respell,
    Correct,
    Reset,
    Spoiled,
    Partly,
    Oversize,
    Forbidden,
}

impl Character {
    /// All that live by the pacemakers' clock.
    pub(super) const TAME: [Self; 15] = [
        Self::Single,
        Self::Twenty,
        Self::Batcher,
        Self::Repeater,
        Self::Disorderly,
        Self::Straggler,
        Self::Offline,
        Self::Polyglot,
        Self::Resetter,
        Self::Sequenced,
        Self::Corrector,
        Self::Spoiler,
        Self::Collector,
        Self::Liner,
        Self::Hub,
    ];
    /// Those whose readings move the watermark to the time of arrival.
    pub(super) const WILD: [Self; 2] = [Self::Clockless, Self::Ahead];

    pub(super) fn acts(self) -> &'static [(Act, u32)] {
        use Act::{
            AskBackfill, Backfill, Burst, Correct, Disorder, Far, Forbidden, Fresh, Late, Near, Oversize,
            Partly, Reset, Respell, Spoiled,
        };
        match self {
            Self::Single => &[(Fresh, 8), (Near, 2), (Forbidden, 1)],
            Self::Twenty => &[(Fresh, 8), (Near, 1), (Correct, 1), (Partly, 1)],
            Self::Batcher => &[(Burst, 8), (Far, 2), (Near, 1)],
            Self::Repeater => &[(Fresh, 3), (Burst, 3), (Near, 3), (Far, 4)],
            Self::Disorderly => &[(Disorder, 8), (Fresh, 2), (Near, 1), (Correct, 1)],
            Self::Straggler => &[(Fresh, 3), (Late, 6), (Near, 1), (Far, 2)],
            Self::Offline => &[(Fresh, 2), (Backfill, 6), (Far, 3), (Correct, 2), (AskBackfill, 2)],
            Self::Polyglot => &[(Respell, 6), (Fresh, 2)],
            Self::Resetter | Self::Sequenced => &[(Fresh, 4), (Reset, 4), (Near, 2), (Far, 1)],
            Self::Corrector => &[(Fresh, 4), (Correct, 6), (Far, 1)],
            Self::Spoiler => &[(Fresh, 3), (Spoiled, 6), (Partly, 4), (Oversize, 1), (Forbidden, 1)],
            Self::Collector => {
                &[(Fresh, 6), (Backfill, 1), (AskBackfill, 2), (Late, 1), (Near, 1), (Spoiled, 2)]
            }
            Self::Liner => {
                &[(Fresh, 4), (Burst, 3), (Late, 1), (Backfill, 2), (Near, 1), (Far, 1), (Spoiled, 2)]
            }
            Self::Hub => &[(Fresh, 6), (Late, 1), (Backfill, 1), (Near, 1), (Spoiled, 1)],
            Self::Clockless | Self::Ahead => &[(Fresh, 1)],
        }
    }

    pub(super) fn speaks(self) -> &'static [Speaks] {
        match self {
            Self::Collector | Self::Liner => &[Speaks::Http],
            Self::Hub => &[Speaks::Mqtt311, Speaks::Mqtt5],
            _ => &[Speaks::Mqtt311, Speaks::Mqtt5, Speaks::Mqtt5, Speaks::Http],
        }
    }

    pub(super) fn metrics(self) -> usize {
        match self {
            Self::Single | Self::Hub => 1,
            Self::Twenty => 20,
            Self::Clockless | Self::Ahead | Self::Repeater => 2,
            _ => 4,
        }
    }

    /// Devices that speak through its connection.
    pub(super) fn members(self) -> usize {
        if matches!(self, Self::Collector | Self::Hub) { 3 } else { 1 }
    }
}

/// A reading sent before.
#[derive(Debug, Clone)]
pub(super) struct Past {
    phase: usize,
    member: usize,
    time: Nanos,
    seq: Option<u64>,
    metric: String,
    value: Value,
}

/// A device, or a gateway with the devices behind it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) tenant: usize,
    pub(super) character: Character,
    pub(super) link: usize,
    pub(super) speaks: Speaks,
    pub(super) who: Who,
    /// The devices it speaks for; of most just itself.
    pub(super) members: Vec<String>,
    pub(super) metrics: Vec<String>,
    /// Its messages so far with their phases.
    pub(super) sent: Vec<(usize, Message)>,
    past: Vec<Past>,
    used: HashSet<Nanos>,
    seq: u64,
}

/// Where in the scenario's time a phase stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phase {
    pub(super) number: usize,
    /// The pacemakers' times: the phase before, this phase.
    pub(super) before: Nanos,
    pub(super) now: Nanos,
    /// When the scenario is played.
    pub(super) made_at: Nanos,
    pub(super) allowed_lateness: Nanos,
}

impl Device {
    pub(super) fn new(
        tenant: usize,
        character: Character,
        link: usize,
        speaks: Speaks,
        who: Who,
        members: Vec<String>,
    ) -> Self {
        // The first letter of a metric says what its values are, see `value`.
        let kinds: &[&str] = match character {
            Character::Liner => &["env.t", "env.n", "env.x", "env.s"],
            Character::Hub | Character::Single => &["t"],
            Character::Clockless | Character::Ahead => &["t", "n"],
            _ => &["t", "n", "x", "b", "t", "s", "x", "l"],
        };
        let metrics = (0..character.metrics()).map(|n| format!("{}{n}", kinds[n % kinds.len()])).collect();
        let (sent, past, used) = (Vec::new(), Vec::new(), HashSet::new());
        Self { tenant, character, link, speaks, who, members, metrics, sent, past, used, seq: 0 }
    }

    /// What an act says, and the lane it asks for; nothing when it cannot be done (there is no past to correct).
    pub(super) fn samples(&mut self, act: Act, phase: Phase, dice: &mut Dice) -> (Vec<Sample>, Option<Lane>) {
        let several = dice.between(1, 6) as usize;
        let oldest = phase.now - phase.allowed_lateness;
        let samples = match act {
            Act::Fresh if self.character == Character::Clockless => self.clockless(dice),
            Act::Fresh if self.character == Character::Ahead => {
                let ahead = phase.made_at + dice.between(60, 600) * MINUTE;
                self.at(ahead - MINUTE, ahead, 1, dice)
            }
            Act::Fresh => self.at(phase.before.max(phase.now - 20 * SECOND) + 1, phase.now, 1, dice),
            Act::Burst => self.at(oldest, phase.now, dice.between(10, 40) as usize, dice),
            Act::Disorder => {
                let mut samples = self.at(oldest, phase.now, several, dice);
                self.on_the_edge(oldest, &mut samples, dice);
                dice.shuffle(&mut samples);
                samples
            }
            Act::Late => self.at(phase.now - 10 * MINUTE, oldest - 1, several, dice),
            Act::Backfill => {
                let from = phase.made_at - dice.between(5 * 60, 10 * 60) * MINUTE;
                let count = dice.between(1, 30) as usize;
                self.at(from, from + count as i64 * 20 * SECOND, count, dice)
            }
            Act::AskBackfill => self.at(phase.now - 20 * MINUTE, phase.now, several, dice),
            Act::Correct => self.again(phase, several, false, dice),
            Act::Reset => self.again(phase, several, self.character == Character::Sequenced, dice),
            _ => Vec::new(),
        };
        // The parameter of a request; in MQTT it would take a property, which the load generator does not write.
        let lane = (act == Act::AskBackfill && self.speaks == Speaks::Http).then_some(Lane::Backfill);
        (samples, lane)
    }

    /// Samples at new times of a range, by rising time; of some or all of its metrics.
    pub(super) fn at(&mut self, from: Nanos, to: Nanos, count: usize, dice: &mut Dice) -> Vec<Sample> {
        let mut times: Vec<Nanos> = (0..count).filter_map(|_| self.unused(from, to, dice)).collect();
        times.sort_unstable();
        times.into_iter().flat_map(|time| self.sample_all(Some(time), dice)).collect()
    }

    /// A sample of one of its members, or of all of them.
    fn sample_all(&mut self, time: Option<Nanos>, dice: &mut Dice) -> Vec<Sample> {
        let all = dice.chance(0.7);
        let one = dice.below(self.members.len());
        let members = if all { 0..self.members.len() } else { one..one + 1 };
        members.map(|member| self.sample(member, time, dice)).collect()
    }

    fn sample(&mut self, member: usize, time: Option<Nanos>, dice: &mut Dice) -> Sample {
        let count = match self.character {
            Character::Twenty | Character::Hub => self.metrics.len(),
            _ => 1 + dice.below(self.metrics.len()),
        };
        let first = dice.below(self.metrics.len() - count + 1);
        let metrics = self.metrics[first..first + count].to_vec();
        let values = metrics.into_iter().map(|metric| (metric.clone(), value(&metric, dice))).collect();
        Sample { device: self.members[member].clone(), time, seq: self.next_seq(), values }
    }

    /// From 0, which is a number like any other.
    fn next_seq(&mut self) -> Option<u64> {
        if self.character != Character::Sequenced {
            return None;
        }
        self.seq += 1;
        Some(self.seq - 1)
    }

    /// Exactly as far behind as is allowed, and a nanosecond further.
    fn on_the_edge(&mut self, oldest: Nanos, samples: &mut Vec<Sample>, dice: &mut Dice) {
        for time in [oldest, oldest - 1] {
            if dice.chance(0.3) && self.used.insert(time) {
                samples.push(self.sample(0, Some(time), dice));
            }
        }
    }

    fn clockless(&mut self, dice: &mut Dice) -> Vec<Sample> {
        (0..dice.between(1, 3)).map(|_| self.sample(0, None, dice)).collect()
    }

    /// Other values for readings of earlier phases: corrections, or with sequence numbers readings of their own.
    fn again(&mut self, phase: Phase, count: usize, numbered: bool, dice: &mut Dice) -> Vec<Sample> {
        let earlier: Vec<usize> =
            (0..self.past.len()).filter(|&n| self.past[n].phase < phase.number).collect();
        if earlier.is_empty() {
            return Vec::new();
        }
        // A clock that was set back runs on from there: neighbours, not single readings.
        let start = dice.below(earlier.len());
        let again: Vec<Past> = earlier[start..].iter().take(count).map(|&n| self.past[n].clone()).collect();
        let mut samples = Vec::new();
        for past in again {
            let mut other = value(&past.metric, dice);
            while other == past.value {
                other = value(&past.metric, dice);
            }
            samples.push(Sample {
                device: self.members[past.member].clone(),
                time: Some(past.time),
                seq: if numbered { self.next_seq() } else { past.seq },
                values: vec![(past.metric, other)],
            });
        }
        samples
    }

    /// Remembers a message for later acts.
    pub(super) fn remember(&mut self, phase: usize, message: &Message) {
        for reading in message.readings() {
            let member = self.members.iter().position(|member| *member == reading.device);
            if let (Some(time), Some(member)) = (reading.time, member) {
                self.past.push(Past {
                    phase,
                    member,
                    time,
                    seq: reading.seq,
                    metric: reading.metric.clone(),
                    value: reading.value.clone(),
                });
            }
        }
        self.sent.push((phase, message.clone()));
    }

    /// A time not used before. Most clocks count milliseconds, some seconds, some nanoseconds.
    fn unused(&mut self, from: Nanos, to: Nanos, dice: &mut Dice) -> Option<Nanos> {
        for _ in 0..20 {
            let grain = dice.weighted(&[(1_000_000, 8), (SECOND, 2), (1_000, 1), (1, 1)]);
            let time = dice.between(from, to) / grain * grain;
            if time >= from && self.used.insert(time) {
                return Some(time);
            }
        }
        None
    }
}

/// A value such as this metric has: the first letter behind the last point says which.
pub(super) fn value(metric: &str, dice: &mut Dice) -> Value {
    match metric.rsplit('.').next().and_then(|name| name.bytes().next()) {
        Some(b't') => Value::Float(dice.between(-400, 1200) as f64 / 10.0),
        Some(b'x') => Value::Float((dice.between(-1 << 52, 1 << 52) as f64 / 1e9).sin() * 1e3),
        Some(b'n') if dice.chance(0.1) => Value::Int((1 << 53) + 2 * dice.between(0, 1000) + 1),
        Some(b'n') => Value::Int(dice.between(-1000, 100_000)),
        Some(b'b') => Value::Bool(dice.chance(0.5)),
        Some(b'l') => Value::Location {
            lat: dice.between(-900, 900) as f64 / 10.0,
            lng: dice.between(-18_000, 18_000) as f64 / 100.0,
        },
        _ => {
            let words = ["idle", "open", "zu heiß", "said \"no\"", "a\\b", "", "多い", "x, y=1"];
            Value::Text(format!("{} {}", dice.pick(&words), dice.between(0, 9)))
        }
    }
}
