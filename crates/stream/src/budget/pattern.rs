//! What the newest ids have in common once their numbers are taken out.

use std::collections::BTreeMap;

use record::pattern_of;

/// Patterns told apart; a rarer one makes room for a new one.
const PATTERNS: usize = 32;
/// After so many ids all counts are halved: it is the newest that explain.
const RECENT: u64 = 4096;
/// A pattern of fewer of the newest ids than this, in a hundred, explains nothing.
const TELLING_PERCENT: u64 = 10;

/// Which patterns the newest ids have, roughly: the counts of Metwally's *space-saving*, halved now and then.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    counts: BTreeMap<String, u64>,
    ids: u64,
}

impl Patterns {
    pub(super) fn note(&mut self, id: &str) {
        if self.ids >= RECENT {
            self.ids /= 2;
            self.counts.values_mut().for_each(|count| *count /= 2);
            self.counts.retain(|_, count| *count > 0);
        }
        self.ids += 1;
        let pattern = pattern_of(id);
        if let Some(count) = self.counts.get_mut(&pattern) {
            *count += 1;
            return;
        }
        let mut before = 0;
        if self.counts.len() >= PATTERNS
            && let Some(rarest) = self.counts.iter().min_by_key(|(_, count)| **count)
        {
            let rarest = rarest.0.clone();
            before = self.counts.remove(&rarest).unwrap_or(0);
        }
        self.counts.insert(pattern, before + 1);
    }

    /// The pattern of most of the newest ids, and how many in a hundred have it.
    pub(super) fn commonest(&self) -> Option<(String, u8)> {
        // The first of equals, so that the answer is the same each time.
        let (pattern, &count) = self.counts.iter().rev().max_by_key(|(_, count)| **count)?;
        let percent = (count * 100 / self.ids.max(1)).min(100);
        (percent >= TELLING_PERCENT).then(|| (pattern.clone(), percent as u8))
    }
}
