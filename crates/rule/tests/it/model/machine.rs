//! One rule, by the definition of what becomes of it.

use std::collections::BTreeMap;

use super::condition::{Asked, View};
use super::world::{Event, LATENESS, METRICS, Sample, Sent};

/// Something that is told. Times are seconds after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) began: bool,
    pub(super) cause: i64,
    pub(super) at: i64,
    pub(super) past: bool,
}

/// A rule, for all devices.
pub(super) struct Machines<'a> {
    rule: &'a Asked,
    live: BTreeMap<&'static str, Machine<'a>>,
    past: BTreeMap<&'static str, Machine<'a>>,
    told: BTreeMap<&'static str, Vec<Happened>>,
}

/// A rule, for one device.
struct Machine<'a> {
    rule: &'a Asked,
    is_past: bool,
    last: [Option<(Sample, i64)>; 3],
    held: [Vec<(i64, f64)>; 3],
    ordered: [Vec<f64>; 3],
    device_type: Option<&'static str>,
    is_for: bool,
    heard: i64,
    seen: i64,
    clock: i64,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    Quiet,
    Pending { cause: i64, at: i64, due: i64 },
    Raised { cause: i64 },
}

const NEVER: i64 = -1_000_000;

impl<'a> Machines<'a> {
    pub(super) fn new(rule: &'a Asked) -> Self {
        Self { rule, live: BTreeMap::new(), past: BTreeMap::new(), told: BTreeMap::new() }
    }

    pub(super) fn message(&mut self, event: &Event, watermark: i64) {
        let mut times: Vec<i64> = event.sent.iter().map(|sent| sent.at).collect();
        times.sort_unstable();
        times.dedup();
        for at in times {
            let moment: Vec<&Sent> = event.sent.iter().filter(|sent| sent.at == at).collect();
            let told = self.told.entry(event.device).or_default();
            let is_late = watermark != i64::MIN && at < watermark - LATENESS;
            let seen = self.live.get(event.device).map_or(NEVER, |machine| machine.seen);
            if !event.is_history && !is_late && at >= seen {
                let machine = self.live.entry(event.device).or_insert_with(|| Machine::new(self.rule, false));
                machine.moment(event, &moment, at, event.arrived, told);
                continue;
            }
            if let Some(machine) = self.live.get_mut(event.device) {
                machine.advance(event.arrived, told);
                machine.aside(&moment);
            }
            if self.rule.retrospective {
                let machine = self.past.entry(event.device).or_insert_with(|| Machine::new(self.rule, true));
                if at < machine.seen - LATENESS {
                    if let Phase::Raised { cause } = machine.phase {
                        told.push(Happened { began: false, cause, at: machine.seen, past: true });
                    }
                    *machine = Machine::new(self.rule, true);
                }
                if at < machine.seen {
                    machine.aside(&moment);
                } else {
                    machine.moment(event, &moment, at, at, told);
                }
            }
        }
    }

    /// Everything that was told, when time has passed up to here.
    pub(super) fn end(mut self, at: i64) -> Vec<(String, Vec<Happened>)> {
        for (device, machine) in &mut self.live {
            machine.advance(at, self.told.entry(device).or_default());
        }
        self.told.into_iter().map(|(device, told)| (device.to_owned(), told)).collect()
    }
}

impl<'a> Machine<'a> {
    fn new(rule: &'a Asked, is_past: bool) -> Self {
        Self {
            rule,
            is_past,
            last: [None; 3],
            held: Default::default(),
            ordered: Default::default(),
            device_type: None,
            is_for: false,
            heard: NEVER,
            seen: NEVER,
            clock: NEVER,
            phase: Phase::Quiet,
        }
    }

    /// Readings that only windows take: those of metrics that were seen before.
    fn aside(&mut self, moment: &[&Sent]) {
        for sent in moment {
            if let (false, Some(value)) = (self.held[sent.metric].is_empty(), number(sent.value)) {
                self.held[sent.metric].push((sent.at, value));
            }
        }
    }

    fn moment(&mut self, event: &Event, moment: &[&Sent], at: i64, arrived: i64, told: &mut Vec<Happened>) {
        self.advance(arrived, told);
        self.device_type = event.device_type;
        self.is_for = self.rule.scope.is_none_or(|scope| event.device_type == Some(scope))
            && self.rule.when.is_for(event.device_type);
        if !self.is_for {
            if let Phase::Raised { cause } = self.phase {
                self.tell(false, cause, at.max(cause), told);
            }
            self.phase = Phase::Quiet;
        }
        self.heard = self.heard.max(arrived);
        if let Phase::Pending { cause, at: raised, .. } = self.phase
            && raised <= at
            && self.silences().is_empty()
        {
            self.raise(cause, raised, told);
        }
        self.seen = at;
        let mut changed = [false; 3];
        for sent in moment {
            let same = |(value, _): &(Sample, i64)| *value == sent.value;
            changed[sent.metric] |= self.last[sent.metric].as_ref().is_some_and(|last| !same(last));
            self.last[sent.metric] = Some((sent.value, self.clock));
            if let Some(value) = number(sent.value) {
                self.held[sent.metric].push((at, value));
                self.ordered[sent.metric].push(value);
            }
        }
        let named = |metric: usize| {
            self.rule.when.names(metric) || self.rule.clear.as_ref().is_some_and(|clear| clear.names(metric))
        };
        let is_any = self.silences().iter().any(|(metric, _)| metric.is_none());
        if is_any || moment.iter().any(|sent| named(sent.metric)) {
            self.look(&changed, at, self.clock, told);
        }
    }

    fn silences(&self) -> Vec<(Option<usize>, i64)> {
        let conditions = std::iter::once(&self.rule.when).chain(&self.rule.clear);
        conditions.flat_map(|condition| condition.silences()).collect()
    }

    /// Lets the server's time pass: second by second.
    fn advance(&mut self, to: i64, told: &mut Vec<Happened>) {
        let from = self.clock.max(self.heard);
        for now in from..=to {
            if now == NEVER {
                break;
            }
            if let Phase::Pending { cause, at, due } = self.phase
                && due <= now
            {
                self.raise(cause, at, told);
            }
            let ends = |(metric, seconds): &(Option<usize>, i64)| {
                let heard =
                    metric.map_or(Some(self.heard), |metric| self.last[metric].map(|(_, heard)| heard));
                heard.is_some_and(|heard| heard + seconds == now)
            };
            if now > self.clock && self.silences().iter().any(ends) {
                self.look(&[false; 3], now, now, told);
            }
        }
        self.clock = self.clock.max(to);
    }

    fn look(&mut self, changed: &[bool; METRICS.len()], at: i64, now: i64, told: &mut Vec<Happened>) {
        if !self.is_for {
            return;
        }
        let Self { last, held, ordered, device_type, heard, seen, .. } = self;
        let view =
            View { last, changed, held, ordered, device_type: *device_type, heard: *heard, seen: *seen, now };
        let holds = self.rule.when.truth(&view) == Some(true);
        let clears = self.rule.clear.as_ref().is_none_or(|clear| clear.truth(&view) == Some(true));
        match self.phase {
            Phase::Quiet if holds && self.rule.hold == 0 => self.raise(at, at, told),
            Phase::Quiet if holds => {
                self.phase = Phase::Pending { cause: at, at: at + self.rule.hold, due: now + self.rule.hold };
            }
            Phase::Pending { .. } if !holds => self.phase = Phase::Quiet,
            Phase::Raised { cause } if !holds && clears => {
                self.tell(false, cause, at.max(cause), told);
                self.phase = Phase::Quiet;
            }
            _ => {}
        }
    }

    fn raise(&mut self, cause: i64, at: i64, told: &mut Vec<Happened>) {
        self.tell(true, cause, at, told);
        self.phase = Phase::Raised { cause };
    }

    fn tell(&self, began: bool, cause: i64, at: i64, told: &mut Vec<Happened>) {
        told.push(Happened { began, cause, at, past: self.is_past });
    }
}

fn number(value: Sample) -> Option<f64> {
    match value {
        Sample::Number(value) => Some(value as f64),
        Sample::Bool(value) => Some(f64::from(u8::from(value))),
        Sample::Text(_) | Sample::NaN => None,
    }
}
