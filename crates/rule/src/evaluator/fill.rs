//! Windows that are new are filled with what was stored before.
//!
//! With [`Settings::fills`] a window that some rule names anew is *open*: it is not kept, and so unknown to conditions, until
//! [`Evaluator::fill`] brings what was stored of a device, or [`Evaluator::close`] says that no more comes. What is read in between is the caller's
//! to remember: it knows which of it is stored already.

use std::collections::BTreeSet;

use hashbrown::HashSet;
use record::{DeviceId, Facts, MetricName, TenantId, Timestamp, Value};

use super::device::{Device, Held, Slot};
use super::judge::{Instant, look_at};
use super::kept::{Keeping, Kept};
use super::time::silences_of;
use super::{Evaluator, Output, Rules};
use crate::Duration;
use crate::language::{Track, TrackKind};
use crate::set::Tenant;
use crate::window::{Panes, Values};

/// What of a tenant's rules waits for what was stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    /// Windows, by number.
    pub(super) windows: HashSet<u32>,
    /// Whether some rule waits for silence, and who was heard before is not known.
    pub(super) silence: bool,
}

/// Windows of a tenant's rules that wait for what was stored; there may be none, where only silence is waited for. Whoever fills them needs
/// nothing else of the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenWindows {
    tenant: TenantId,
    metrics: Vec<Box<str>>,
    /// The metric is the place in `metrics`.
    tracks: Vec<Track>,
}

/// The windows of one device, being filled.
#[derive(Clone, Debug)]
pub struct Filling {
    open: OpenWindows,
    /// One for each of `open.tracks`.
    states: Vec<Window>,
    newest: i64,
}

#[derive(Clone, Debug)]
enum Window {
    Panes(Panes),
    Values(Values),
}

/// What is stored of a device, and its windows.
#[derive(Debug)]
pub struct Filled {
    /// Which.
    pub device: DeviceId,
    /// What is known of it.
    pub facts: Facts,
    /// When it was last heard, by the server's clock.
    pub heard: Timestamp,
    /// Its last values: what a device is given that was not heard by rules yet. When each happened, and when it was heard.
    pub last: Vec<(MetricName, Value, Timestamp, Timestamp)>,
    /// Its windows.
    pub windows: Filling,
}

impl OpenWindows {
    /// Whose.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Of which metrics.
    #[must_use]
    pub fn metrics(&self) -> &[Box<str>] {
        &self.metrics
    }

    /// How long the longest is.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let longest = self.tracks.iter().filter_map(|track| duration(&track.kind)).max();
        Duration::from_nanos(longest.unwrap_or_default())
    }

    /// Takes in those that another partition waits for.
    pub fn add(&mut self, other: &Self) {
        for track in &other.tracks {
            let name = &other.metrics[track.metric as usize];
            let metric = place(&mut self.metrics, name);
            let track = track.under(metric);
            if !self.tracks.contains(&track) {
                self.tracks.push(track);
            }
        }
    }

    /// Empty windows.
    #[must_use]
    pub fn start(&self) -> Filling {
        let state = |track: &Track| match track.kind {
            TrackKind::Window(nanos) => Window::Panes(Panes::new(nanos, track.parts)),
            _ => Window::Values(Values::new()),
        };
        let states = self.tracks.iter().map(state).collect();
        Filling { open: self.clone(), states, newest: i64::MIN }
    }
}

impl Filling {
    /// Takes a reading of one of the metrics, by its place in [`OpenWindows::metrics`]. In the order of their times, but for those that
    /// were out of order.
    pub fn take(&mut self, metric: usize, at: Timestamp, value: f64) {
        let at = at.nanos();
        self.newest = self.newest.max(at);
        let of = self.open.tracks.iter().zip(&mut self.states);
        for (track, state) in of.filter(|(track, _)| track.metric as usize == metric) {
            match (state, &track.kind) {
                _ if value.is_nan() => {}
                (Window::Panes(panes), _) => panes.add(at, value, self.newest),
                (Window::Values(values), TrackKind::Values(nanos)) => {
                    values.add(at, value, *nanos, self.newest);
                }
                (Window::Values(_), _) => {}
            }
        }
    }
}

impl Evaluator {
    /// What waits, by tenant.
    #[must_use]
    pub fn open_windows(&self) -> Vec<OpenWindows> {
        let mut all = Vec::new();
        for tenant in self.set.tenants().filter(|_| self.settings.fills) {
            let waiting = match self.tenant_places.get(tenant.id.as_str()) {
                Some(place) => self.tenants[*place as usize].open.clone(),
                None => Open::of_new(tenant),
            };
            let numbers: BTreeSet<u32> = waiting.windows.into_iter().collect();
            let mut open = OpenWindows { tenant: tenant.id.clone(), metrics: Vec::new(), tracks: Vec::new() };
            for number in numbers {
                let track = &tenant.names.tracks()[number as usize];
                let metric = place(&mut open.metrics, &tenant.names.metrics()[track.metric as usize]);
                open.tracks.push(track.under(metric));
            }
            if !open.tracks.is_empty() || waiting.silence {
                all.push(open);
            }
        }
        all
    }

    /// Brings what was stored of a device. Its windows are known from now on, and the rules that name them are looked at.
    pub fn fill(&mut self, tenant: &TenantId, filled: Filled, out: &mut Output) {
        let Some(number) = self.place(tenant.as_str()) else { return };
        let found = self.live.find(number, filled.device.as_str());
        let is_new = found.is_none();
        // Who does not fit in is not remembered for the past's sake: others were heard since.
        let room = !self.live.is_full() && !self.live.is_heavy();
        let place = match found {
            Some(place) => place,
            None if room => self.live.add(Device::new(number, filled.device.clone())),
            None => return,
        };
        let (now, rules) = (self.now, &mut self.tenants[number as usize]);
        let Some(device) = self.live.get_mut(place) else { return };
        let tenant = &*rules.tenant;
        if device.cohort.is_none() {
            let cohort = rules.live.of(tenant, device.id.as_str(), &filled.facts);
            device.set_cohort(tenant, cohort);
        }
        let new = remember(tenant, device, &filled, now);
        let filled = put(tenant, device, &rules.open.windows, filled.windows);
        if is_new {
            was_silent(tenant, device, None, out);
        } else {
            new.into_iter().for_each(|metric| was_silent(tenant, device, Some(metric), out));
            look_again(tenant, device, &filled, out);
        }
        self.live.weigh(place);
        self.arm(place);
    }

    /// No more comes: of these windows those that are not filled begin empty.
    pub fn close(&mut self, windows: &OpenWindows) {
        let Some(place) = self.place(windows.tenant.as_str()) else { return };
        let Rules { tenant, open, .. } = &mut self.tenants[place as usize];
        let numbers = windows.tracks.iter().filter_map(|track| windows.number(track, tenant));
        for number in numbers {
            open.windows.remove(&number);
        }
        open.silence = false;
    }
}

impl Open {
    /// Of rules where nothing is known yet: everything.
    pub(super) fn of_new(tenant: &Tenant) -> Self {
        let silence = tenant.rules.iter().any(|(.., rule)| !rule.silences.is_empty());
        Self { windows: windows(tenant).collect(), silence }
    }
}

impl OpenWindows {
    /// A track's number among the rules of now, if what it sums up is still enough for them.
    fn number(&self, track: &Track, tenant: &Tenant) -> Option<u32> {
        let metric = tenant.names.find_metric(&self.metrics[track.metric as usize])?;
        let number = tenant.names.find_track(metric, &track.kind)?;
        track.parts.has(tenant.names.tracks()[number as usize].parts).then_some(number)
    }
}

/// The windows that a tenant's rules name.
pub(super) fn windows(tenant: &Tenant) -> impl Iterator<Item = u32> {
    let tracks = (0..).zip(tenant.names.tracks());
    tracks.filter(|(_, track)| duration(&track.kind).is_some()).map(|(number, _)| number)
}

/// How far back it reaches, nanoseconds; `None`: by number, not by time, or a detector: these learn from now on.
const fn duration(kind: &TrackKind) -> Option<i64> {
    match kind {
        TrackKind::Window(nanos) | TrackKind::Values(nanos) => Some(*nanos),
        TrackKind::Deviation(_) | TrackKind::Score(_) => None,
    }
}

/// Gives a device the last values that it does not know better; says of which metrics.
fn remember(tenant: &Tenant, device: &mut Device, filled: &Filled, now: i64) -> Vec<u32> {
    let mut new = Vec::new();
    let is_new = device.times.heard == i64::MIN;
    device.idle_until = i64::MIN;
    if is_new {
        device.times.heard = filled.heard.nanos();
        device.times.clock = now.max(filled.heard.nanos());
    }
    for (name, value, at, heard) in &filled.last {
        let Some(metric) = tenant.names.find_metric(name.as_str()) else { continue };
        if is_new {
            device.times.seen = device.times.seen.max(at.nanos().min(heard.nanos()));
        }
        if device.slot(metric).is_some() {
            continue;
        }
        let mut slot = Slot::new(metric, Held::of(value.as_ref()), heard.nanos());
        if let Some(cohort) = &device.cohort {
            slot.set_place(cohort);
        }
        device.slots.push(slot);
        new.push(metric);
    }
    new
}

/// Puts windows to a device that some rule of it asks for and that wait; says which.
fn put(tenant: &Tenant, device: &mut Device, open: &HashSet<u32>, filling: Filling) -> Vec<u32> {
    let Some(cohort) = device.cohort.clone() else { return Vec::new() };
    let mut filled = Vec::new();
    let Filling { open: windows, states, .. } = filling;
    for (track, state) in windows.tracks.iter().zip(states) {
        let Some(number) = windows.number(track, tenant).filter(|number| open.contains(number)) else {
            continue;
        };
        let metric = tenant.names.tracks()[number as usize].metric;
        let is_asked = cohort.plan.metric(metric).is_some_and(|(_, plan)| plan.tracks.contains(&number));
        if is_asked && device.kept(number).is_none() {
            let state = match state {
                Window::Panes(panes) => Keeping::Panes(panes),
                Window::Values(values) => Keeping::Values(values),
            };
            device.kept.push(Kept { track: number, state });
            filled.push(number);
        }
    }
    filled
}

/// Lets a device have the silences that were long enough before it was known, each as of its own time; of one metric, or all.
fn was_silent(tenant: &Tenant, device: &mut Device, of: Option<u32>, out: &mut Output) {
    let clock = device.times.clock;
    let mut due: Vec<(i64, u32)> = Vec::new();
    let wanted = |rule: u32| {
        let silences = &tenant.rule(rule).silences;
        of.is_none() || silences.iter().all(|(metric, _)| *metric == of)
    };
    silences_of(device, |at, rules| {
        if at <= clock {
            due.extend(rules.iter().filter(|rule| wanted(**rule)).map(|rule| (at, *rule)));
        }
    });
    due.sort_unstable();
    for (at, rule) in due {
        look_at(tenant, device, &mut vec![rule], Instant { at, now: at, retrospective: false }, out);
    }
}

/// Looks at the rules that name windows which are known now, as of the device's last reading.
fn look_again(tenant: &Tenant, device: &mut Device, filled: &[u32], out: &mut Output) {
    let Some(cohort) = device.cohort.clone() else { return };
    // What was known of their thresholds was known without them.
    device.signals.retain(|(track, ..)| !filled.contains(track));
    if filled.is_empty() || device.times.seen == i64::MIN {
        return;
    }
    let names = |rule: &&u32| tenant.rule(**rule).tracks.iter().any(|track| filled.contains(track));
    let is_judged = |rule: &&u32| tenant.rule(**rule).route.is_none();
    let mut rules: Vec<u32> = cohort.plan.rules.iter().filter(names).filter(is_judged).copied().collect();
    let instant = Instant { at: device.times.seen, now: device.times.clock, retrospective: false };
    look_at(tenant, device, &mut rules, instant, out);
}

fn place(names: &mut Vec<Box<str>>, name: &str) -> u32 {
    let found = names.iter().position(|known| **known == *name).unwrap_or_else(|| {
        names.push(name.into());
        names.len() - 1
    });
    u32::try_from(found).expect("rules name fewer metrics than 2^32")
}
