//! Seeded mutation of inputs, without instruments in the code: what is worth mutating further is told by the kind of
//! outcome that a target reports.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Target;

/// Inputs kept for further mutation; outcomes beyond are rare ones of rare ones.
const POOL: usize = 1 << 15;
/// Longest input: somewhat over the longest topic. Longer ones repeat what shorter ones found.
const INPUT_BYTES: usize = 6000;

/// What went well.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Inputs that the target began with.
    pub seeds: usize,
    /// Kinds of outcome seen, up to the size of the pool.
    pub outcomes: usize,
}

/// An input on which the target panicked.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which of the run.
    pub number: u64,
    /// Its bytes.
    pub input: Vec<u8>,
}

/// Runs `count` inputs; the same seed, the same inputs.
///
/// # Errors
/// The first input on which the target panicked.
pub fn drive(target: &Target, count: u64, seed: u64) -> Result<Report, Failure> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut pool = (target.seeds)();
    let seeds = pool.len();
    let mut outcomes = HashSet::new();
    let mut input = Vec::with_capacity(2 * INPUT_BYTES);
    for number in 0..count {
        input.clear();
        if number < seeds as u64 {
            input.extend_from_slice(&pool[number as usize]);
        } else {
            mutate(&mut input, &pool, &mut random);
            if !random.one_in(3) {
                (target.mend)(&mut input);
            }
        }
        match catch_unwind(AssertUnwindSafe(|| (target.run)(&input))) {
            Ok(outcome) if pool.len() < POOL && outcomes.insert(outcome) => pool.push(input.clone()),
            Ok(_) => {}
            Err(_) => return Err(Failure { number, input }),
        }
    }
    Ok(Report { seeds, outcomes: outcomes.len() })
}

/// xorshift64*: fast, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Bytes and sequences at which parsers have branches: limits of integers, the separators of our formats, and UTF-8
/// that is overlong, a surrogate, or beyond the last code point.
const TELLING: [&[u8]; 24] = [
    b"\0",
    b"\x01",
    b"\x02",
    b"\x03",
    b"\x7F",
    b"\x80",
    b"\xFF",
    b"\0\0",
    b"\xFF\xFF",
    b"\x80\0",
    b"\xFF\xFF\xFF\x7F",
    b"\x80\x80\x80\x80",
    b"+",
    b"#",
    b"/",
    b"$share/",
    b"{",
    b"\"",
    b"\\u0000",
    b"e999",
    b",",
    b"\xC0\x80",
    b"\xED\xA0\x80",
    b"\xF4\x90\x80\x80",
];

fn mutate(input: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut Random) {
    input.extend_from_slice(&pool[random.below(pool.len())]);
    for _ in 0..=random.below(4) {
        if input.is_empty() {
            input.push(random.next() as u8);
        }
        let at = random.below(input.len());
        let to = at + random.below(input.len() - at) + 1;
        match random.below(12) {
            0 => input[at] ^= 1 << random.below(8),
            1 => input[at] = random.next() as u8,
            2 => input[at] = input[at].wrapping_add(1),
            3 => input[at] = input[at].wrapping_sub(1),
            4 => {
                let telling = TELLING[random.below(TELLING.len())];
                let end = (at + telling.len()).min(input.len());
                input.splice(at..end, telling.iter().copied());
            }
            5 => {
                let telling = TELLING[random.below(TELLING.len())];
                input.splice(at..at, telling.iter().copied());
            }
            6 => drop(input.drain(at..to)),
            7 => input.extend_from_within(at..to),
            8 => {
                let piece = input[at..to].to_vec();
                let into = random.below(input.len());
                input.splice(into..into, piece);
            }
            9 | 10 => change_field(input, random),
            _ => {
                let other = &pool[random.below(pool.len())];
                if !other.is_empty() {
                    let from = random.below(other.len());
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
            }
        }
    }
    input.truncate(INPUT_BYTES);
}

/// Finds something that looks like a two-byte length and so many bytes, and empties, cuts, doubles or pollutes it with
/// its length kept right: most formats are made of such fields.
fn change_field(input: &mut Vec<u8>, random: &mut Random) {
    let looks_right = |at: usize| {
        let length = input.get(at..at + 2)?;
        let len = usize::from(u16::from_be_bytes([length[0], length[1]]));
        (len < 512 && at + 2 + len <= input.len()).then_some(len)
    };
    let found = (0..16).find_map(|_| {
        let at = random.below(input.len());
        looks_right(at).map(|len| (at, len))
    });
    let Some((at, len)) = found else { return };
    let mut field = input[at + 2..at + 2 + len].to_vec();
    match random.below(4) {
        0 => field.clear(),
        1 => field.truncate(random.below(len + 1)),
        2 => field.extend_from_within(..),
        _ => {
            let into = random.below(len + 1);
            field.splice(into..into, TELLING[random.below(TELLING.len())].iter().copied());
        }
    }
    let new = u16::try_from(field.len()).expect("at most 1024 and a few").to_be_bytes();
    input.splice(at..at + 2 + len, new.into_iter().chain(field));
}
