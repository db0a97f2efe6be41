//! What is remembered of a device.

use std::sync::Arc;

use record::{DeviceId, Value, ValueRef};
use serde::{Deserialize, Serialize};

use super::kept::Kept;
use crate::language::{Datum, Func};
use crate::limits::TEXT_BYTES;
use crate::set::{Cohort, Levels, Tenant};

/// What is remembered of a device. All times are ns since the epoch.
#[derive(Debug)]
pub(super) struct Device {
    /// The place of its tenant.
    pub(super) tenant: u32,
    pub(super) id: DeviceId,
    /// `None` until a message says what is known of it.
    pub(super) cohort: Option<Arc<Cohort>>,
    /// Whether its cohort is new: rules that hear every reading are to be looked at with the next one.
    pub(super) is_fresh: bool,
    pub(super) brief: Brief,
    pub(super) times: Times,
    /// Before this, by the server's clock, time alone does nothing to it; the smallest there is when nobody has looked since
    /// something changed.
    pub(super) idle_until: i64,
    /// The time that its timer is set to; the largest there is when none is.
    pub(super) armed: i64,
    pub(super) slots: Vec<Slot>,
    pub(super) kept: Vec<Kept>,
    /// What the table was told that `kept` takes, bytes.
    pub(super) kept_bytes: usize,
    pub(super) signals: Vec<(u32, Func, Level)>,
    /// Rules that are on their way or raised, by number.
    pub(super) active: Vec<(u32, Active)>,
}

/// What every message wants to know of the cohort: kept with the device, because cohorts and plans lie far off where there are many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brief {
    /// Of the facts ([`Cohort::print`]).
    print: u64,
    /// The shortest silence that some rule waits for, ns; the largest number where none does.
    silence: i64,
    /// Whether some rule hears any reading.
    pub(super) wakes: bool,
}

/// How far a device has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    /// The newest event time that it was judged at.
    pub(super) seen: i64,
    /// When it was last heard, by the server's clock.
    pub(super) heard: i64,
    /// The server's time up to which it is done.
    pub(super) clock: i64,
}

/// The last known value of a metric.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) metric: u32,
    /// Where the metric stands in the plan; [`NOWHERE`] when no rule of the device names it.
    pub(super) place: u32,
    pub(super) interest: Interest,
    /// Whether the reading at hand differs from the one before it.
    pub(super) changed: bool,
    pub(super) level: Level,
    pub(super) value: Held,
    /// When it was last heard, by the server's clock.
    pub(super) heard: i64,
}

/// What a value that crosses no threshold can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// Nothing.
    None,
    /// It goes into what is kept of the metric alone, all of which the device has, with all signals that are asked of it: so the plan
    /// need not be read, which lies far off where there are many.
    Kept,
    /// What the plan says.
    Planned,
}

/// No place in a plan.
pub(super) const NOWHERE: u32 = u32::MAX;

/// A number, and the thresholds next to it: strictly between them it can move without any rule taking notice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// NaN: none.
    pub(super) value: f64,
    low: f64,
    high: f64,
}

/// A value that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Held {
    /// No value that conditions could use: NaN.
    Null,
    Number(f64),
    Bool(bool),
    Text(Box<str>),
    Place(f64, f64),
}

/// A rule that is on its way, or raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Active {
    /// It holds since `cause`, is raised as of `at` in event time, once the server's time is `due`.
    Pending { cause: i64, at: i64, due: i64 },
    /// It is raised; `taken_over` where somebody said so who may have read on further.
    Raised { cause: i64, taken_over: bool },
}

impl Device {
    pub(super) fn new(tenant: u32, id: DeviceId) -> Self {
        Self {
            tenant,
            id,
            cohort: None,
            is_fresh: true,
            brief: Brief { print: 0, silence: i64::MAX, wakes: false },
            idle_until: i64::MIN,
            times: Times { seen: i64::MIN, heard: i64::MIN, clock: i64::MIN },
            armed: i64::MAX,
            slots: Vec::new(),
            kept: Vec::new(),
            kept_bytes: 0,
            signals: Vec::new(),
            active: Vec::new(),
        }
    }

    /// Puts it into a cohort: everything is to be looked at again.
    pub(super) fn set_cohort(&mut self, tenant: &Tenant, cohort: Arc<Cohort>) {
        let plan = &cohort.plan;
        self.slots.iter_mut().for_each(|slot| slot.set_place(&cohort));
        let is_asked = |kept: &Kept| {
            let metric = tenant.names.tracks()[kept.track as usize].metric;
            plan.metric(metric).is_some_and(|(_, plan)| plan.tracks.contains(&kept.track))
        };
        self.kept.retain(is_asked);
        self.signals.clear();
        self.is_fresh = true;
        self.brief =
            Brief { print: cohort.print, silence: plan.shortest_silence(), wakes: !plan.wakes.is_empty() };
        self.idle_until = i64::MIN;
        self.cohort = Some(cohort);
    }

    /// Whether rules see the same in facts as when it was put into its cohort.
    pub(super) fn has_print(&self, print: u64) -> bool {
        self.cohort.is_some() && self.brief.print == print
    }

    /// Notes that it was heard, by the server's clock: every silence begins anew.
    pub(super) fn hear(&mut self, at: i64) {
        self.times.heard = self.times.heard.max(at);
        self.idle_until = self.idle_until.min(at.saturating_add(self.brief.silence));
    }

    pub(super) fn slot(&self, metric: u32) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.metric == metric)
    }

    pub(super) fn kept(&self, track: u32) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.track == track)
    }

    pub(super) fn active(&self, rule: u32) -> Option<Active> {
        let place = self.active.binary_search_by_key(&rule, |(rule, _)| *rule).ok()?;
        Some(self.active[place].1)
    }

    pub(super) fn set_active(&mut self, rule: u32, active: Option<Active>) {
        if matches!(active, Some(Active::Pending { .. })) {
            self.idle_until = i64::MIN;
        }
        match (self.active.binary_search_by_key(&rule, |(rule, _)| *rule), active) {
            (Ok(place), Some(active)) => self.active[place].1 = active,
            (Ok(place), None) => drop(self.active.remove(place)),
            (Err(place), Some(active)) => self.active.insert(place, (rule, active)),
            (Err(_), None) => {}
        }
    }

    /// About how much memory it takes, bytes, its place in the table and its share of names not counted.
    pub(super) fn bytes(&self) -> usize {
        let texts =
            self.slots.iter().map(|slot| if let Held::Text(text) = &slot.value { text.len() } else { 0 });
        size_of::<Self>()
            + self.id.as_str().len()
            + self.slots.capacity() * size_of::<Slot>()
            + texts.sum::<usize>()
            + self.kept.capacity() * size_of::<Kept>()
            + self.kept.iter().map(|kept| kept.state.bytes()).sum::<usize>()
            + self.signals.capacity() * size_of::<(u32, Func, Level)>()
            + self.active.capacity() * size_of::<(u32, Active)>()
    }
}

impl Slot {
    pub(super) fn new(metric: u32, value: Held, heard: i64) -> Self {
        Self {
            metric,
            place: NOWHERE,
            interest: Interest::Planned,
            changed: false,
            level: Level::STALE,
            value,
            heard,
        }
    }

    /// Finds its place in the plan of a cohort; the rules there are to be looked at with the next reading, whatever it is.
    pub(super) fn set_place(&mut self, cohort: &Cohort) {
        let found = cohort.plan.metric(self.metric);
        self.place = found.map_or(NOWHERE, |(place, _)| place);
        let is_plain = found
            .is_none_or(|(_, plan)| plan.is_quiet() && plan.tracks.is_empty() && plan.signals.is_empty());
        self.interest = if is_plain { Interest::None } else { Interest::Planned };
        let level = if self.place == NOWHERE { Level::OPEN } else { Level::STALE };
        self.level = Level { value: self.value.number(), ..level };
    }
}

impl Level {
    /// Nothing is known of what a value could cross.
    pub(super) const STALE: Self = Self { value: f64::NAN, low: f64::INFINITY, high: f64::NEG_INFINITY };

    /// There is nothing to cross.
    const OPEN: Self = Self { value: f64::NAN, low: f64::NEG_INFINITY, high: f64::INFINITY };

    pub(super) fn is_stale(&self) -> bool {
        self.low > self.high
    }

    /// Whether no rule takes notice of a value.
    pub(super) fn is_quiet(&self, value: f64) -> bool {
        self.low < value && value < self.high
    }

    /// Moves to a value; adds the rules that must be looked at. Of a level that was stale those that may hold, besides what is active.
    pub(super) fn go(&mut self, value: f64, levels: &Levels, touched: &mut Vec<u32>) {
        let old = self.value;
        self.value = value;
        if self.is_quiet(value) {
            return;
        }
        if self.is_stale() {
            levels.first(value, touched);
        } else {
            match (old.is_nan(), value.is_nan()) {
                (false, false) if old == value => return,
                (false, false) => touched.extend_from_slice(levels.between(old, value)),
                (true, true) => return,
                _ => touched.extend_from_slice(levels.all()),
            }
        }
        // Around no value there is no room, and yet all is known.
        (self.low, self.high) = if value.is_nan() { (f64::NAN, f64::NAN) } else { levels.around(value) };
    }
}

impl Held {
    /// Text is cut to what conditions see.
    pub(super) fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Float(value) if value.is_nan() => Self::Null,
            ValueRef::Float(value) => Self::Number(value),
            ValueRef::Int(value) => Self::Number(value as f64),
            ValueRef::Bool(value) => Self::Bool(value),
            ValueRef::Text(text) => Self::Text(cut(text).into()),
            ValueRef::Location { lat, lng } => Self::Place(lat, lng),
        }
    }

    /// Whether it is what is kept of a value.
    pub(super) fn is(&self, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (Self::Text(own), ValueRef::Text(text)) => **own == *cut(text),
            (_, ValueRef::Text(_)) => false,
            _ => *self == Self::of(value),
        }
    }

    pub(super) fn datum(&self) -> Datum<'_> {
        match self {
            Self::Null => Datum::Null,
            Self::Number(value) => Datum::Number(*value),
            Self::Bool(value) => Datum::Bool(*value),
            Self::Text(text) => Datum::Text(text),
            Self::Place(lat, lng) => Datum::Place(*lat, *lng),
        }
    }

    /// NaN where it is none.
    pub(super) fn number(&self) -> f64 {
        self.datum().as_number().unwrap_or(f64::NAN)
    }

    pub(super) fn to_value(&self) -> Option<Value> {
        Some(match self {
            Self::Null => return None,
            Self::Number(value) => Value::Float(*value),
            Self::Bool(value) => Value::Bool(*value),
            Self::Text(text) => Value::Text(text.to_string()),
            Self::Place(lat, lng) => Value::Location { lat: *lat, lng: *lng },
        })
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}
