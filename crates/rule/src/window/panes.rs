//! A window that slides, made of panes.

use serde::{Deserialize, Serialize};

use super::totals::{Parts, Totals};
use crate::limits::PANES;

/// Sums of the readings of the last so many nanoseconds, gathered in panes of a 24th of that.
///
/// At a time t it holds the readings of the pane that t is in and of the 23 before: it begins between a whole duration and
/// 23 24ths of it before t, at a border between panes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Panes {
    parts: Parts,
    /// Of a pane, nanoseconds.
    width: i64,
    /// Rows, the earliest pane first: its number, then its totals.
    rows: Vec<u64>,
}

impl Panes {
    pub(crate) fn new(duration: i64, parts: Parts) -> Self {
        Self { parts, width: width(duration), rows: Vec::new() }
    }

    /// Whether it can answer what is asked of a window of these.
    pub(crate) fn serves(&self, duration: i64, parts: Parts) -> bool {
        self.width == width(duration) && self.parts.has(parts)
    }

    /// Takes a reading; `newest` is the newest time that the device was judged at. What lies a whole window behind the newest that is known
    /// is not held.
    pub(crate) fn add(&mut self, at: i64, value: f64, newest: i64) {
        let (pane, words) = (self.pane(at), self.parts.words());
        let held = self.rows.rchunks_exact(words).next().map_or(i64::MIN, |row| row[0].cast_signed());
        let oldest = self.pane(newest.max(at)).max(held) - PANES;
        if pane <= oldest {
            return;
        }
        let gone = self.rows.chunks_exact(words).take_while(|row| row[0].cast_signed() <= oldest).count();
        if gone > 0 {
            self.rows.drain(..gone * words);
        }
        let after = self.rows.rchunks_exact(words).take_while(|row| row[0].cast_signed() > pane).count();
        let place = self.rows.len() - after * words;
        let is_there = place >= words && self.rows[place - words].cast_signed() == pane;
        let row = if is_there { place - words } else { self.open(place, pane) };
        let row = &mut self.rows[row + 1..row + words];
        let mut totals = Totals::load(self.parts, row);
        totals.add(self.parts, at, value);
        totals.store(self.parts, row);
    }

    /// The sums as of a time.
    pub(crate) fn totals(&self, at: i64) -> Totals {
        let (newest, words) = (self.pane(at), self.parts.words());
        let mut totals = Totals::EMPTY;
        for row in self.rows.chunks_exact(words) {
            let pane = row[0].cast_signed();
            if pane > newest - PANES && pane <= newest {
                totals.absorb(self.parts, &row[1..]);
            }
        }
        totals
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.rows.len() * size_of::<u64>()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u64>()
    }

    fn pane(&self, at: i64) -> i64 {
        at.div_euclid(self.width)
    }

    /// Makes an empty row at a place of the rows.
    fn open(&mut self, place: usize, pane: i64) -> usize {
        let words = self.parts.words();
        let mut row = [0; 16];
        Totals::EMPTY.store(self.parts, &mut row[1..words]);
        row[0] = pane.cast_unsigned();
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(words * 4); // doubling would leave half of many small windows empty
        }
        if place == self.rows.len() {
            self.rows.extend_from_slice(&row[..words]);
        } else {
            self.rows.splice(place..place, row[..words].iter().copied());
        }
        place
    }
}

fn width(duration: i64) -> i64 {
    (duration + PANES - 1) / PANES
}
