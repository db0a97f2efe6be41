//! A caller of the windows with a store of its own, which does what the pipeline does, and the rows a look at the whole
//! set of readings gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use penstock_stream::window::{
    Aggregate, Closed, Plan, Published, Stale, Watermark, WindowKind, Windows, aggregate, sessions,
};

/// Series (by name), number of the window, start.
pub(super) type Key = (u32, u16, i64);

/// End and result.
pub(super) type Row = (i64, Aggregate);

pub(super) type Rows = BTreeMap<Key, Row>;

pub(super) struct World {
    pub(super) windows: Windows,
    pub(super) watermark: Watermark,
    pub(super) rows: Rows,
    /// What was ever published by closing, to see that it happens once.
    pub(super) closed: BTreeSet<Key>,
    pub(super) recomputed: u64,
    plan: Arc<Plan>,
    lateness: i64,
    memory: usize,
    /// By name, time and sequence.
    store: BTreeMap<(u32, i64, u64), f64>,
    /// The windows' numbers of the series: a series that was forgotten comes back with another one.
    numbers: BTreeMap<u32, u32>,
    names: Vec<u32>,
    metrics: Vec<&'static str>,
}

impl World {
    pub(super) fn new(plan: &Arc<Plan>, lateness: i64, memory: usize, metrics: &[&'static str]) -> Self {
        Self {
            windows: Windows::new(Arc::clone(plan), lateness, memory),
            watermark: Watermark::new(),
            rows: Rows::new(),
            closed: BTreeSet::new(),
            recomputed: 0,
            plan: Arc::clone(plan),
            lateness,
            memory,
            store: BTreeMap::new(),
            numbers: BTreeMap::new(),
            names: Vec::new(),
            metrics: metrics.to_vec(),
        }
    }

    /// A reading in the live lane.
    pub(super) fn live(&mut self, name: u32, time: i64, arrived_at: i64, seq: u64, value: f64) {
        self.watermark.observe(time, arrived_at);
        let late = self.watermark.is_late(time, self.lateness);
        let known = self.store.insert((name, time, seq), value).is_some();
        let number = self.number(name);
        if late || known {
            self.revise(name, time);
        } else {
            self.windows.add(number, time, value);
        }
    }

    /// A reading in the backfill lane, or a corrected one.
    pub(super) fn other(&mut self, name: u32, time: i64, seq: u64, value: f64) {
        self.store.insert((name, time, seq), value);
        self.revise(name, time);
    }

    /// Gives one of the readings another value.
    pub(super) fn correct(&mut self, nth: usize, value: f64) {
        let key = self.store.keys().nth(nth % self.store.len().max(1)).copied();
        if let Some((name, time, seq)) = key {
            self.other(name, time, seq, value);
        }
    }

    /// Closes what the watermark closes, up to a number of rows; returns whether there is more.
    pub(super) fn close(&mut self, limit: usize) -> bool {
        let mut out = Vec::new();
        let more = self.windows.close(self.watermark.at(), limit, &mut out);
        for published in out {
            match published {
                Published::Closed(closed) => self.put(&closed),
                Published::Stale(stale) => self.recompute(&stale),
                Published::Few => {}
            }
        }
        more
    }

    pub(super) fn forget(&mut self, name: u32) {
        let Some(number) = self.numbers.remove(&name) else { return };
        let mut stale = Vec::new();
        self.windows.forget(number, &mut stale);
        stale.iter().for_each(|stale| self.recompute(stale));
    }

    /// Writes the state out and reads it back.
    pub(super) fn restart(&mut self) {
        let bytes = postcard::to_stdvec(&self.windows).unwrap();
        let held = postcard::from_bytes(&bytes).unwrap();
        let restored = Windows::restore(Arc::clone(&self.plan), self.lateness, self.memory, held).unwrap();
        assert_eq!(restored.memory_used(), self.windows.memory_used(), "memory is counted otherwise");
        assert_eq!(postcard::to_stdvec(&restored).unwrap(), bytes, "the bytes change");
        self.windows = restored;
    }

    /// Closes everything.
    pub(super) fn end(&mut self) {
        self.watermark.observe(1 << 62, 1 << 62);
        while self.close(3) {}
        while self.close(3) {} // what the last one named
    }

    /// The rows that should be otherwise: what there is, and what there should be.
    pub(super) fn wrong(&self) -> Vec<(Key, Option<Row>, Option<Row>)> {
        let wanted = self.wanted();
        let keys: BTreeSet<&Key> = self.rows.keys().chain(wanted.keys()).collect();
        let pair = |key: &Key| (*key, self.rows.get(key).copied(), wanted.get(key).copied());
        keys.into_iter().map(pair).filter(|(_, found, wanted)| found != wanted).collect()
    }

    /// The rows that the final set of readings has.
    pub(super) fn wanted(&self) -> Rows {
        let mut points: BTreeMap<u32, Vec<(i64, f64)>> = BTreeMap::new();
        for (&(name, time, _), &value) in &self.store {
            points.entry(name).or_default().push((time, value));
        }
        let mut rows = Rows::new();
        for (name, points) in points {
            for (index, window) in (0..).zip(self.plan.windows()) {
                if window.applies_to(self.metric(name)) {
                    let kept = rows_of(window.kind(), &points)
                        .filter(|(_, row)| row.1.count >= u64::from(window.least()));
                    rows.extend(kept.map(|(start, row)| ((name, index, start), row)));
                }
            }
        }
        rows
    }

    fn metric(&self, name: u32) -> &'static str {
        self.metrics[name as usize % self.metrics.len()]
    }

    fn number(&mut self, name: u32) -> u32 {
        if let Some(&number) = self.numbers.get(&name) {
            return number;
        }
        let number = (0..).find(|number| self.numbers.values().all(|other| other != number)).unwrap();
        self.numbers.insert(name, number);
        self.names.resize(self.names.len().max(number as usize + 1), 0);
        self.names[number as usize] = name;
        self.windows.register(number, self.metric(name));
        number
    }

    fn revise(&mut self, name: u32, time: i64) {
        let number = self.number(name);
        let mut stale = Vec::new();
        self.windows.revise(number, time, &mut stale);
        stale.iter().for_each(|stale| self.recompute(stale));
    }

    fn put(&mut self, closed: &Closed) {
        let key = (self.names[closed.series as usize], closed.window, closed.start);
        assert!(self.closed.insert(key), "{key:?} was published twice");
        assert!(closed.aggregate.count >= self.least(closed.window), "{key:?} is of too few readings");
        self.rows.insert(key, (closed.end, closed.aggregate));
    }

    fn least(&self, window: u16) -> u64 {
        self.plan.windows()[usize::from(window)].least().into()
    }

    fn recompute(&mut self, stale: &Stale) {
        self.recomputed += 1;
        let name = self.names[stale.series as usize];
        let of =
            |from: i64, to: i64| self.store.range((name, from, 0)..(name, to, 0)).map(|(k, &v)| (k.1, v));
        match self.plan.windows()[usize::from(stale.window)].kind() {
            WindowKind::Grid { .. } => {
                let key = (name, stale.window, stale.start);
                let least = self.least(stale.window);
                match aggregate(of(stale.start, stale.end)).filter(|of| of.count >= least) {
                    Some(aggregate) => self.rows.insert(key, (stale.end, aggregate)),
                    None => self.rows.remove(&key),
                };
            }
            WindowKind::Session { gap } => {
                let (mut from, mut last) = (stale.start, stale.end - gap);
                let finite = |point: &(i64, f64)| point.1.is_finite();
                while let Some((time, _)) = of(from - gap + 1, from).find(finite) {
                    from = time;
                }
                while let Some((time, _)) = of(last + 1, last + gap).rfind(finite) {
                    last = time;
                }
                let found = sessions(of(from, last + 1), gap);
                self.rows.retain(|key, _| {
                    !(key.0 == name && key.1 == stale.window && (from..=last).contains(&key.2))
                });
                let least = self.least(stale.window);
                let kept = found.iter().filter(|found| found.aggregate.count >= least);
                self.rows.extend(
                    kept.map(|found| ((name, stale.window, found.start), (found.end, found.aggregate))),
                );
            }
        }
    }
}

fn rows_of(kind: WindowKind, points: &[(i64, f64)]) -> impl Iterator<Item = (i64, Row)> {
    let mut rows = BTreeMap::new();
    match kind {
        WindowKind::Session { gap } => {
            rows.extend(
                sessions(points.iter().copied(), gap).iter().map(|s| (s.start, (s.end, s.aggregate))),
            );
        }
        WindowKind::Grid { size, slide } => {
            let mut groups: BTreeMap<i64, Vec<(i64, f64)>> = BTreeMap::new();
            for &(time, value) in points {
                let mut start = time.div_euclid(slide) * slide;
                while start + size > time {
                    groups.entry(start).or_default().push((time, value));
                    start -= slide;
                }
            }
            for (start, points) in groups {
                rows.extend(aggregate(points).map(|aggregate| (start, (start + size, aggregate))));
            }
        }
    }
    rows.into_iter()
}
