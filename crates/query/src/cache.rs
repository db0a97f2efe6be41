//! Answers that are kept until the store changes (R8.4).
//!
//! A dashboard asks the same of the same rows, once for each who looks at it. An answer holds as long as nothing was written of
//! its tenant: [`Watched`] stands before the store's writer and counts, so what is asked after a write has returned is never
//! answered from before it. Where nobody counts, because another process writes, there is no cache.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use record::TenantId;
use series::{Note, Position, Result, SeriesWriter, WriteBatch, Written};

use crate::{Answer, Bucketed, Points};

/// What answers may take in all, unless somebody says otherwise, bytes: a few hundred charts of ten thousand points, and a
/// quarter of what one statement may take while it runs.
pub const CACHE_BYTES: usize = 64 << 20;

/// The part of it that one answer may take: one export must not drive out everybody's charts.
const OF_ONE: usize = 8;

/// What an entry takes beside its answer and its question, bytes.
const ENTRY_BYTES: usize = 256;

/// Answers, and how often each tenant's part of the store was written.
#[derive(Debug)]
pub struct Cache {
    bytes: usize,
    held: Mutex<Held>,
    commits: Mutex<Commits>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a cache did and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheFigures {
    /// Questions answered from it.
    pub hits: u64,
    /// Questions that had to be answered anew, among those that may be kept at all.
    pub misses: u64,
    /// What it takes, bytes.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Held {
    entries: HashMap<Key, Entry>,
    /// By when they were last asked for.
    used: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    state: State,
    used: u64,
    bytes: usize,
    answer: Kept,
}

/// A question: whose, and every word that makes a difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Arc<(TenantId, String)>);

impl Key {
    pub(crate) fn new(tenant: &TenantId, words: String) -> Self {
        Self(Arc::new((tenant.clone(), words)))
    }

    fn tenant(&self) -> &TenantId {
        &self.0.0
    }
}

/// How often the store was written, as far as a tenant can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    all: u64,
    own: u64,
}

#[derive(Debug, Default)]
struct Commits {
    all: u64,
    own: HashMap<String, u64>,
}

/// An answer of one kind or another.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    Rows(Arc<Answer>),
    Points(Arc<Points>),
    Buckets(Arc<Bucketed>),
}

impl Cache {
    /// Nothing yet, and never more than so many bytes; 0: nothing is kept.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes,
            held: Mutex::default(),
            commits: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// What it did and holds.
    #[must_use]
    pub fn figures(&self) -> CacheFigures {
        CacheFigures {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.held.lock().bytes as u64,
        }
    }

    /// Every answer is out of date: the store was changed otherwise than by its writer.
    pub fn changed(&self) {
        self.commits.lock().all += 1;
    }

    /// What is to be read before a question is asked: an answer counts for the state before it.
    pub(crate) fn state(&self, tenant: &TenantId) -> State {
        let commits = self.commits.lock();
        State { all: commits.all, own: commits.own.get(tenant.as_str()).copied().unwrap_or(0) }
    }

    /// The answer to a question, if it holds.
    pub(crate) fn get(&self, key: &Key, state: State) -> Option<Kept> {
        let mut held = self.held.lock();
        let found = held.entries.get(key).map(|entry| entry.state == state);
        match found {
            Some(true) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                Some(held.touch(key))
            }
            Some(false) => {
                held.remove(key);
                None
            }
            None => None,
        }
    }

    /// Keeps an answer of so many bytes to a question asked in a state.
    pub(crate) fn put(&self, key: Key, state: State, answer: Kept, bytes: usize) {
        self.misses.fetch_add(1, Ordering::Relaxed);
        let bytes = bytes + key.0.1.len() + ENTRY_BYTES;
        if bytes > self.bytes / OF_ONE || self.state(key.tenant()) != state {
            return;
        }
        let mut held = self.held.lock();
        held.remove(&key);
        held.insert(key, Entry { state, used: 0, bytes, answer });
        while held.bytes > self.bytes {
            let Some((_, oldest)) = held.used.first_key_value() else { break };
            let oldest = oldest.clone();
            held.remove(&oldest);
        }
    }

    fn written(&self, batch: &WriteBatch) {
        let mut commits = self.commits.lock();
        if !batch.resolved.is_empty() {
            // They do not say whose they are.
            commits.all += 1;
            return;
        }
        let names = batch.readings.keys().chain(batch.late.keys()).map(TenantId::as_str);
        let windows = batch
            .windows
            .iter()
            .chain(&batch.revised_windows)
            .map(|row| &row.key)
            .chain(batch.void_windows.iter().map(|void| &void.key));
        let names = names.chain(windows.map(|key| key.tenant.as_str()));
        let names = names.chain(batch.dead.iter().map(|message| message.tenant.as_str()));
        let names = names.chain(batch.account.iter().map(|entry| entry.key.tenant.as_str()));
        let names = names.chain(batch.clocks.iter().map(|row| row.tenant.as_str()));
        let mut last = None;
        for name in names {
            if last == Some(name) {
                continue;
            }
            last = Some(name);
            match commits.own.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(commits.own.insert(name.to_owned(), 1)),
            }
        }
    }
}

impl Held {
    fn insert(&mut self, key: Key, entry: Entry) {
        self.clock += 1;
        self.bytes += entry.bytes;
        self.used.insert(self.clock, key.clone());
        self.entries.insert(key, Entry { used: self.clock, ..entry });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.used.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }

    fn touch(&mut self, key: &Key) -> Kept {
        self.clock += 1;
        let entry = self.entries.get_mut(key).expect("it was there under the same lock");
        let key = self.used.remove(&entry.used).expect("every entry is in both");
        entry.used = self.clock;
        self.used.insert(self.clock, key);
        entry.answer.clone()
    }
}

/// The store's writer, with somebody who takes note.
pub struct Watched {
    writer: Arc<dyn SeriesWriter>,
    cache: Arc<Cache>,
}

impl Watched {
    /// Writes through `writer`, and lets `cache` know.
    #[must_use]
    pub fn new(writer: Arc<dyn SeriesWriter>, cache: Arc<Cache>) -> Self {
        Self { writer, cache }
    }

    /// After an error it is not known what is there.
    fn noted<T>(&self, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.cache.changed();
        }
        outcome
    }
}

impl SeriesWriter for Watched {
    fn write(&self, batch: &WriteBatch) -> Result<Written> {
        let written = self.noted(self.writer.write(batch))?;
        self.cache.written(batch);
        Ok(written)
    }

    fn flush(&self) -> Result<()> {
        self.noted(self.writer.flush())
    }

    fn positions(&self) -> Result<Vec<Position>> {
        self.writer.positions()
    }

    fn notes(&self) -> Result<Vec<Note>> {
        self.writer.notes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Arc<Bucketed> {
        Arc::new(Bucketed { points: Vec::new(), made_of: None })
    }

    fn buckets(cache: &Cache, key: &Key, bytes: usize) {
        let state = cache.state(key.tenant());
        cache.put(key.clone(), state, Kept::Buckets(nothing()), bytes);
    }

    #[test]
    fn it_holds_no_more_than_it_may_and_drives_out_what_is_not_asked_for() {
        let cache = Cache::new(100 * (ENTRY_BYTES + 100));
        let key = |n: usize| Key::new(&TenantId::default_tenant(), format!("{n:010}"));
        let there = |n: usize| cache.get(&key(n), cache.state(&TenantId::default_tenant())).is_some();
        for n in 0..1_000 {
            buckets(&cache, &key(n), 90);
            assert!(there(0), "asked for all the time: {n}");
            assert!(cache.figures().bytes <= cache.bytes as u64);
        }
        let held = (0..1_000).filter(|n| there(*n)).count();
        assert_eq!((held, there(999), there(1)), (100, true, false));
        buckets(&cache, &key(7_000), cache.bytes / OF_ONE);
        assert!(!there(7_000), "one answer takes a part at most");
        cache.changed();
        assert!(!there(0) && !there(999));
        let held = cache.held.lock();
        assert_eq!(held.used.len(), held.entries.len());
    }

    #[test]
    fn an_answer_that_was_overtaken_is_not_kept() {
        let cache = Cache::new(CACHE_BYTES);
        let (key, tenant) = (Key::new(&TenantId::default_tenant(), "q".into()), TenantId::default_tenant());
        let before = cache.state(&tenant);
        cache.changed();
        cache.put(key.clone(), before, Kept::Buckets(nothing()), 1);
        assert!(cache.get(&key, cache.state(&tenant)).is_none());
        assert_eq!((cache.figures().bytes, cache.figures().misses), (0, 1));
    }
}
