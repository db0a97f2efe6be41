//! What is known of one device's keys.

use std::collections::{BTreeMap, VecDeque};

use record::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::in_slot;
use super::gaps::Gaps;
use super::set::{SLOTS, Set};
use super::{Fate, Held, Moment, Row};

/// How many moments of a device are remembered unless configured otherwise: a minute of a device that sends each
/// second, which is longer than QoS 1 takes to deliver again after a lost connection.
pub const DEFAULT_KEYS: usize = 64;
/// Moments below the floor that are remembered for the rest of their metrics and for deliveries right again.
const ASIDE: usize = 4;
/// No digest: the values are not known, though which metrics are stored is.
const UNKNOWN: u64 = 0;

/// What is known of the keys a device has stored. See the [module](super).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// By rising moment, all above the floor.
    #[serde(with = "deltas")]
    keys: VecDeque<Entry>,
    /// Empty, or the sequence number of each key.
    seqs: VecDeque<u64>,
    /// Above it, nothing is stored but at `keys`. At it and below nothing is known but by `aside` and `gaps`.
    floor: Moment,
    gaps: Gaps,
    /// The last moments that fell into gaps, oldest first.
    aside: VecDeque<(Moment, Entry)>,
    /// The slots from 64 on of the moments that have such.
    wide: BTreeMap<Moment, Box<[u64]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    time: i64,
    /// Slots 0 to 63: which are stored.
    slots: u64,
    /// The sum over the stored slots of [`in_slot`]; [`UNKNOWN`] where a value is not known.
    digest: u64,
}

/// Who is asked: see [`Recent::judge`].
type Ask<'a, E> = dyn FnMut(&[usize], &mut Vec<Held>) -> Result<(), E> + 'a;

/// Where a moment is remembered.
enum Place {
    Key(usize),
    Aside(usize),
    /// Nowhere, and this is where it belongs among the keys.
    Nowhere(usize),
}

impl Default for Recent {
    fn default() -> Self {
        Self::new()
    }
}

impl Recent {
    /// Of a device that has nothing stored. Allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keys: VecDeque::new(),
            seqs: VecDeque::new(),
            floor: Moment::FIRST,
            gaps: Gaps::default(),
            aside: VecDeque::new(),
            wide: BTreeMap::new(),
        }
    }

    /// Of a device that has readings stored, all of them with claimed times from `oldest` to `newest`. Who does not know
    /// the oldest gives `Timestamp::from_nanos(i64::MIN)`.
    #[must_use]
    pub fn within(oldest: Timestamp, newest: Timestamp) -> Self {
        let mut recent = Self::new();
        recent.gaps.add(Moment::FIRST, Moment { time: oldest.nanos(), seq: 0 });
        recent.floor = Moment { time: newest.nanos(), seq: u64::MAX };
        recent
    }

    /// Judges the readings of one moment, in their order, remembers them, and appends a fate for each to `fates`.
    /// At most `limit` moments are remembered.
    ///
    /// `ask` is given the positions in `rows` of readings that only the store can judge, and appends what is held
    /// under their keys, one answer each. What it says must include every reading judged before, also those of the batch in
    /// hand that are not in the store yet. It is called once unless a metric stands twice in `rows`.
    ///
    /// # Errors
    /// What `ask` returns. Then what is remembered and `fates` are in between and must be thrown away.
    #[inline]
    pub fn judge<E>(
        &mut self,
        moment: Moment,
        rows: &[Row],
        limit: usize,
        fates: &mut Vec<Fate>,
        mut ask: impl FnMut(&[usize], &mut Vec<Held>) -> Result<(), E>,
    ) -> Result<(), E> {
        if moment > self.newest()
            && let Some((slots, digest)) = summed(rows)
        {
            self.push(moment, Entry { time: moment.time, slots, digest }, limit);
            fates.resize(fates.len() + rows.len(), Fate::New);
            return Ok(());
        }
        self.judge_by_runs(moment, rows, limit, fates, &mut ask)
    }

    /// Nothing is stored above it.
    #[must_use]
    pub fn newest(&self) -> Moment {
        match self.keys.len() {
            0 => self.floor,
            n => self.moment(n - 1),
        }
    }

    /// Forgets the moments before `time`; readings of those are then judged by the store.
    pub fn forget_before(&mut self, time: Timestamp) {
        while self.keys.front().is_some_and(|first| first.time < time.nanos()) {
            self.forget_first();
        }
    }

    /// Forgets all but that nothing is stored above the newest moment. Needed when slots get another meaning.
    pub fn forget(&mut self) {
        self.floor = self.newest();
        self.keys = VecDeque::new();
        self.seqs = VecDeque::new();
        self.aside = VecDeque::new();
        self.wide = BTreeMap::new();
    }

    /// How many moments are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len() + self.aside.len()
    }

    /// Whether no moment is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn moment(&self, n: usize) -> Moment {
        Moment { time: self.keys[n].time, seq: self.seqs.get(n).copied().unwrap_or(0) }
    }

    /// Cuts the rows into runs in which no slot stands twice, and judges one after the other.
    #[cold]
    fn judge_by_runs<E>(
        &mut self,
        moment: Moment,
        rows: &[Row],
        limit: usize,
        fates: &mut Vec<Fate>,
        ask: &mut Ask<'_, E>,
    ) -> Result<(), E> {
        let mut from = 0;
        while from < rows.len() {
            let mut set = Set::EMPTY;
            let run = rows[from..].iter().take_while(|row| set.insert(row.slot)).count().max(1);
            let answered_from = fates.len();
            self.judge_run(moment, &rows[from..from + run], set, limit, fates, &mut |asked, held| {
                let asked: Vec<usize> = asked.iter().map(|at| from + at).collect();
                ask(&asked, held)
            })?;
            debug_assert_eq!(fates.len(), answered_from + run);
            from += run;
        }
        Ok(())
    }

    /// Judges rows of different slots, `set`; or a single row of a slot too high to be remembered.
    fn judge_run<E>(
        &mut self,
        moment: Moment,
        rows: &[Row],
        set: Set,
        limit: usize,
        fates: &mut Vec<Fate>,
        ask: &mut Ask<'_, E>,
    ) -> Result<(), E> {
        let place = match self.place(moment) {
            Place::Nowhere(n) => {
                let is_known = moment > self.floor;
                if !is_known && !self.gaps.take(moment) {
                    let all: Vec<usize> = (0..rows.len()).collect();
                    return answer(ask, &all, rows.len(), fates).map(|_| ());
                }
                fates.resize(fates.len() + rows.len(), Fate::New);
                let entry = Entry { time: moment.time, slots: set.first(), digest: sum(rows, |_| true) };
                self.set_wide(moment, &set);
                match is_known {
                    true => self.insert(n, moment, entry, limit),
                    false => self.put_aside(moment, entry),
                }
                return Ok(());
            }
            place => place,
        };
        let mut entry = match place {
            Place::Key(n) => self.keys[n],
            Place::Aside(n) | Place::Nowhere(n) => self.aside[n].1,
        };
        let stored = self.set_of(moment, &entry);
        let is_there = |row: &Row| row.slot >= SLOTS || stored.contains(row.slot);
        let known = stored.and(&set);
        let digest_there = sum(rows, |row| stored.contains(row.slot));
        if !rows.iter().any(is_there) {
            fates.resize(fates.len() + rows.len(), Fate::New);
        } else if known == stored && entry.digest != UNKNOWN && entry.digest == digest_there {
            fates.extend(rows.iter().map(|row| if is_there(row) { Fate::Duplicate } else { Fate::New }));
        } else {
            let there: Vec<usize> = (0..rows.len()).filter(|&n| is_there(&rows[n])).collect();
            let changed = answer(ask, &there, rows.len(), fates)?;
            if known == stored {
                entry.digest = digest_there; // whatever was there, now it is these
            } else if changed && known != Set::EMPTY {
                entry.digest = UNKNOWN;
            }
        }
        if entry.digest != UNKNOWN || stored == Set::EMPTY {
            entry.digest = entry.digest.wrapping_add(sum(rows, |row| !is_there(row)));
        }
        let stored = stored.or(&set);
        entry.slots = stored.first();
        self.set_wide(moment, &stored);
        match place {
            Place::Key(n) => self.keys[n] = entry,
            Place::Aside(n) | Place::Nowhere(n) => self.aside[n].1 = entry,
        }
        Ok(())
    }

    fn place(&self, moment: Moment) -> Place {
        let mut n = self.keys.partition_point(|entry| entry.time < moment.time);
        if !self.seqs.is_empty() {
            while n < self.keys.len() && self.moment(n) < moment {
                n += 1;
            }
        } else if moment.seq > 0 && self.keys.get(n).is_some_and(|entry| entry.time == moment.time) {
            n += 1;
        }
        if n < self.keys.len() && self.moment(n) == moment {
            return Place::Key(n);
        }
        match self.aside.iter().position(|(at, _)| *at == moment) {
            Some(n) => Place::Aside(n),
            None => Place::Nowhere(n),
        }
    }

    fn set_of(&self, moment: Moment, entry: &Entry) -> Set {
        Set::of(entry.slots, self.wide.get(&moment).map_or(&[], |words| words))
    }

    fn set_wide(&mut self, moment: Moment, set: &Set) {
        let wide = set.wide();
        if !wide.is_empty() {
            self.wide.insert(moment, wide.into());
        }
    }

    #[inline]
    fn push(&mut self, moment: Moment, entry: Entry, limit: usize) {
        while self.keys.len() >= limit.max(1) {
            self.forget_first();
        }
        if moment.seq > 0 || !self.seqs.is_empty() {
            self.seqs.resize(self.keys.len(), 0);
            self.seqs.push_back(moment.seq);
        }
        self.keys.push_back(entry);
    }

    fn insert(&mut self, mut n: usize, moment: Moment, entry: Entry, limit: usize) {
        while self.keys.len() >= limit.max(1) && n > 0 {
            self.forget_first();
            n -= 1;
        }
        if self.keys.len() >= limit.max(1) {
            // Older than all that is remembered, and so the first to be forgotten.
            self.gaps.add(self.floor, moment);
            self.floor = moment;
            return self.put_aside(moment, entry);
        }
        if moment.seq > 0 || !self.seqs.is_empty() {
            self.seqs.resize(self.keys.len(), 0);
            self.seqs.insert(n, moment.seq);
        }
        self.keys.insert(n, entry);
    }

    fn put_aside(&mut self, moment: Moment, entry: Entry) {
        if self.aside.len() >= ASIDE {
            self.forget_aside();
        }
        self.aside.push_back((moment, entry));
    }

    fn forget_aside(&mut self) {
        if let Some((moment, _)) = self.aside.pop_front() {
            self.wide.remove(&moment);
        }
    }

    #[inline]
    fn forget_first(&mut self) {
        let Some(first) = self.keys.pop_front() else { return };
        let moment = Moment { time: first.time, seq: self.seqs.pop_front().unwrap_or(0) };
        self.gaps.add(self.floor, moment);
        self.floor = moment;
        if !self.wide.is_empty() {
            self.wide.remove(&moment);
        }
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<Entry>()
            + self.seqs.capacity() * 8
            + self.aside.capacity() * size_of::<(Moment, Entry)>()
            + self.gaps.heap_bytes()
    }

    /// Whether slots from 64 on are kept for remembered moments only.
    #[cfg(test)]
    pub(super) fn has_no_strays(&self) -> bool {
        self.wide.keys().all(|&moment| !matches!(self.place(moment), Place::Nowhere(_)))
    }
}

/// Slots and digest of rows, when all are among the first 64 slots and none stands twice.
#[inline]
fn summed(rows: &[Row]) -> Option<(u64, u64)> {
    let (mut slots, mut digest) = (0_u64, 0_u64);
    for row in rows {
        if row.slot >= 64 || slots & 1 << row.slot != 0 {
            return None;
        }
        slots |= 1 << row.slot;
        digest = digest.wrapping_add(in_slot(row.slot, row.digest));
    }
    Some((slots, digest))
}

fn sum(rows: &[Row], which: impl Fn(&Row) -> bool) -> u64 {
    let of = |row: &Row| if row.slot < SLOTS && which(row) { in_slot(row.slot, row.digest) } else { 0 };
    rows.iter().map(of).fold(0, u64::wrapping_add)
}

/// Asks for the rows at `asked` and appends the fates of all `rows`, the others being new. Whether one was not the same.
fn answer<E>(ask: &mut Ask<'_, E>, asked: &[usize], rows: usize, fates: &mut Vec<Fate>) -> Result<bool, E> {
    let mut held = Vec::with_capacity(asked.len());
    ask(asked, &mut held)?;
    assert_eq!(held.len(), asked.len(), "a question is answered once");
    let first = fates.len();
    fates.resize(first + rows, Fate::New);
    for (&at, &held) in asked.iter().zip(&held) {
        fates[first + at] = held.into();
    }
    Ok(held.iter().any(|held| *held != Held::Same))
}

/// Keys as they stand in a checkpoint: steps of time, which are short, and digests, which do not get shorter.
mod deltas {
    use std::collections::VecDeque;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Entry;

    pub(super) fn serialize<S: Serializer>(keys: &VecDeque<Entry>, to: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        to.collect_seq(keys.iter().map(|entry| {
            let step = entry.time.wrapping_sub(std::mem::replace(&mut before, entry.time));
            (step, entry.slots, entry.digest.to_le_bytes())
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<VecDeque<Entry>, D::Error> {
        let mut time = 0_i64;
        let entry = |(step, slots, digest): (i64, u64, [u8; 8])| {
            time = time.wrapping_add(step);
            Entry { time, slots, digest: u64::from_le_bytes(digest) }
        };
        Ok(Vec::deserialize(from)?.into_iter().map(entry).collect())
    }
}
