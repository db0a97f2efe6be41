//! A table of distinct names: text in, small number out.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Up to here a look-up walks the signatures, which for one message's names is quicker than hashing.
/// Beyond, a seeded hash table: a hostile message may hold a million names made to collide.
const WALKED: usize = 32;
/// A larger hash table is dropped on clear: wiping it would make every later message pay for one huge one.
const KEPT_BUCKETS: usize = 4096;

/// Distinct names, numbered from 0 in the order they first came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    text: String,
    ends: Vec<usize>,
    /// Whether each is a plain word.
    plain: Vec<bool>,
    signatures: Vec<u64>,
    /// Holds every name once there are more than [`WALKED`], else nothing.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The number behind the one that was last looked up in turn.
    next: usize,
}

impl Names {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<&str> {
        let end = *self.ends.get(number)?;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        Some(&self.text[start..end])
    }

    #[inline]
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        if self.ends.len() <= WALKED {
            let signature = signature(name.as_bytes());
            let mut from = 0;
            while let Some(step) = self.signatures[from..].iter().position(|&s| s == signature) {
                let number = from + step;
                if self.get(number) == Some(name) {
                    return Some(number as u32);
                }
                from = number + 1;
            }
            None
        } else {
            let hash = self.hasher.hash_one(name);
            self.index.find(hash, |&number| self.get(number as usize) == Some(name)).copied()
        }
    }

    /// The name behind the one that was last looked up in turn, the first behind the last, if it is a plain word, with tags or
    /// without: of such, text formats escape nothing.
    #[inline]
    pub(crate) fn in_turn(&self) -> Option<&str> {
        let number = self.number_in_turn();
        if *self.plain.get(number)? { self.get(number) } else { None }
    }

    /// The number of the name that [`Names::in_turn`] has shown, which so was looked up.
    #[inline]
    pub(crate) fn take_in_turn(&mut self) -> u32 {
        let number = self.number_in_turn();
        self.next = number + 1;
        number as u32
    }

    #[inline]
    fn number_in_turn(&self) -> usize {
        if self.next < self.len() { self.next } else { 0 }
    }

    /// As [`Names::find`], and at once where names come in the order of their numbers, as those of a device's metrics do.
    #[inline]
    pub(crate) fn find_in_turn(&mut self, name: &str) -> Option<u32> {
        let next = self.number_in_turn();
        let found = match self.get(next) {
            Some(known) if known == name => Some(next as u32),
            _ => self.find(name),
        };
        self.next = found.map_or(self.len(), |found| found as usize) + 1;
        found
    }

    /// Adds `name`, which [`Names::find`] did not find.
    pub(crate) fn add(&mut self, name: &str) -> u32 {
        let number = u32::try_from(self.ends.len()).expect("a batch holds fewer than 2^32 names");
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.plain.push(is_plain(name));
        self.signatures.push(signature(name.as_bytes()));
        match self.ends.len() {
            n if n <= WALKED => {}
            n if n == WALKED + 1 => (0..=number).for_each(|number| self.put_in_index(number)),
            _ => self.put_in_index(number),
        }
        number
    }

    fn put_in_index(&mut self, number: u32) {
        let (text, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        let hash = |number: &u32| {
            let number = *number as usize;
            let start = if number == 0 { 0 } else { ends[number - 1] };
            hasher.hash_one(&text[start..ends[number]])
        };
        self.index.insert_unique(hash(&number), number, hash);
    }

    /// Forgets the names from `keep` on.
    pub(crate) fn truncate(&mut self, keep: usize) {
        if keep >= self.ends.len() {
            return;
        }
        if keep <= WALKED {
            self.clear_index();
        } else {
            for number in keep..self.ends.len() {
                let start = self.ends[number - 1]; // keep > WALKED, so there is one before
                let hash = self.hasher.hash_one(&self.text[start..self.ends[number]]);
                if let Ok(found) = self.index.find_entry(hash, |&n| n as usize == number) {
                    found.remove();
                }
            }
        }
        self.text.truncate(if keep == 0 { 0 } else { self.ends[keep - 1] });
        self.ends.truncate(keep);
        self.plain.truncate(keep);
        self.signatures.truncate(keep);
    }

    fn clear_index(&mut self) {
        if self.index.capacity() > KEPT_BUCKETS {
            self.index = HashTable::new();
        } else if !self.index.is_empty() {
            self.index.clear();
        }
    }

    pub(crate) fn shrink_to(&mut self, names: usize) {
        self.ends.shrink_to(names);
        self.plain.shrink_to(names);
        self.signatures.shrink_to(names);
        self.text.shrink_to(names * 32);
    }
}

/// Whether a name has only letters, digits and what joins them; and behind a brace, in which tags stand, no quote and no
/// backslash.
fn is_plain(name: &str) -> bool {
    let (name, tags) = name.split_once('{').unwrap_or((name, ""));
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b':'))
        && !tags.contains(['"', '\\'])
}

/// A cheap fingerprint: length, first and last bytes. Equal names have equal ones.
fn signature(name: &[u8]) -> u64 {
    let n = name.len();
    let word = |at: usize| u64::from_le_bytes(name[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u64::from(u32::from_le_bytes(name[at..at + 4].try_into().expect("four bytes")));
    let mixed = match n {
        0 => 0,
        1..=3 => u64::from(name[0]) | u64::from(name[n / 2]) << 8 | u64::from(name[n - 1]) << 16,
        4..=7 => half(0) | half(n - 4) << 32,
        _ => word(0) ^ word(n - 8).rotate_left(29),
    };
    mixed ^ (n as u64) << 56
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_turn_and_out_of_turn() {
        let mut names = Names::default();
        let all = ["temperature", "pressure", "rpm", "x", ""];
        for name in all {
            assert_eq!(names.find_in_turn(name), None);
            names.add(name);
        }
        for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 0, 2, 3, 3]] {
            for number in order {
                assert_eq!(names.find_in_turn(all[number]), Some(number as u32), "{order:?}");
            }
        }
        names.truncate(2);
        assert_eq!([names.find_in_turn("rpm"), names.find_in_turn("pressure")], [None, Some(1)]);
    }

    #[test]
    fn what_comes_next_is_shown_if_nobody_escapes_it() {
        let mut names = Names::default();
        assert_eq!(names.in_turn(), None);
        let all = ["motor.speed_1", "a\"b", "größe", "a{b=\\,}", "a,b", "cpu.user{cpu=cpu0,host=a b}"];
        for name in all {
            names.add(name);
        }
        names.find_in_turn(all[5]);
        for _ in 0..2 {
            for (at, name) in all.into_iter().enumerate() {
                if matches!(at, 0 | 5) {
                    assert_eq!(names.in_turn(), Some(name));
                    assert_eq!(names.take_in_turn(), at as u32);
                } else {
                    assert_eq!(names.in_turn(), None, "{name}");
                    assert_eq!(names.find_in_turn(name), Some(at as u32));
                }
            }
        }
    }

    #[test]
    fn names_keep_their_numbers_past_the_walk_and_after_truncation() {
        let mut names = Names::default();
        let name = |n: usize| format!("metric-{n}-{}", "x".repeat(n % 5));
        for round in 0..2 {
            for n in 0..100 {
                assert_eq!(names.find(&name(n)), None, "round {round}");
                assert_eq!(names.add(&name(n)), n as u32);
                assert_eq!(names.find(&name(n)), Some(n as u32));
            }
            for keep in [70, 33, 32, 31, 5, 0] {
                names.truncate(keep);
                assert_eq!(names.len(), keep);
                for n in 0..100 {
                    assert_eq!(names.find(&name(n)), (n < keep).then_some(n as u32), "keep {keep}");
                }
                if keep == 31 {
                    // Crossing the boundary again must index all of them.
                    (31..40).for_each(|n| assert_eq!(names.add(&name(n)), n as u32));
                    (0..40).for_each(|n| assert_eq!(names.find(&name(n)), Some(n as u32)));
                }
            }
        }
    }
}
