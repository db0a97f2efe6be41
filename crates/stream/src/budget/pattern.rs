//! What ids have in common once their numbers are taken out.

use std::collections::BTreeMap;

/// Patterns told apart; a rarer one makes room for a new one.
const PATTERNS: usize = 32;
/// After so many ids all counts are halved: it is the newest that explain.
const RECENT: u64 = 4096;
/// A pattern of fewer of the newest ids than this, in a hundred, explains nothing.
const TELLING_PERCENT: u64 = 10;
/// A longer run of hexadecimal digits with a decimal one among them is a number, too.
const HEX_DIGITS: usize = 4;
const PATTERN_BYTES: usize = 64;

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
        let pattern = collapse(id);
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

/// The id with each run of digits, and each longer run of hexadecimal digits that holds a decimal one, replaced by `#`;
/// groups of these, as in a UUID, become one. At most 64 bytes.
#[must_use]
pub fn collapse(id: &str) -> String {
    let mut pattern = String::new();
    let mut rest = id;
    while let Some(first) = rest.chars().next() {
        let run = number(rest);
        if run > 0 {
            let joins = pattern.strip_suffix(['-', ':', '.']).is_some_and(|before| before.ends_with('#'));
            if joins {
                pattern.pop();
            } else {
                pattern.push('#');
            }
            rest = &rest[run..];
            continue;
        }
        // A word stays whole: the hexadecimal digits at its end are part of it.
        let word = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()).max(first.len_utf8());
        pattern.push_str(&rest[..word]);
        rest = &rest[word..];
        if pattern.len() >= PATTERN_BYTES {
            pattern.truncate(pattern.floor_char_boundary(PATTERN_BYTES - 3));
            pattern.push('…');
            break;
        }
    }
    pattern
}

/// How many bytes at the beginning of `text` are a number.
fn number(text: &str) -> usize {
    let run_of = |is_digit: fn(&u8) -> bool| text.bytes().take_while(is_digit).count();
    let hex = run_of(u8::is_ascii_hexdigit);
    let ends_there = text.as_bytes().get(hex).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let has_decimal = text.as_bytes()[..hex].iter().any(u8::is_ascii_digit);
    if hex >= HEX_DIGITS && ends_there && has_decimal { hex } else { run_of(u8::is_ascii_digit) }
}
