//! A device at an instant, as conditions see it.

use std::cell::RefCell;
use std::fmt::Write as _;

use super::device::Device;
use super::kept::Keeping;
use crate::language::{Condition, Datum, Expr, Func, Leaf, Seen};
use crate::limits::WHY_BYTES;
use crate::set::Tenant;
use crate::window::Totals;

/// A device at an instant, as conditions see it.
pub(super) struct Look<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) device: &'a Device,
    /// The server's time, ns.
    pub(super) now: i64,
    /// Of windows that were asked already: track and totals. Many rules ask the same.
    pub(super) totals: RefCell<Vec<(u32, Totals)>>,
}

impl Look<'_> {
    /// What was seen, in words.
    pub(super) fn words(&self, condition: &Condition) -> String {
        let mut words = String::new();
        for Leaf { label, expr } in &condition.leaves {
            let sign = if words.is_empty() { "" } else { ", " };
            // Writing to memory does not fail.
            let _ = write!(words, "{sign}{label} = {}", expr.eval(self));
            if let Some(why) = self.why(expr) {
                let _ = write!(words, " ({why})");
            }
        }
        words.truncate(words.floor_char_boundary(WHY_BYTES));
        words
    }

    /// Why a part has its value, if there is more to it than its name.
    pub(super) fn why(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Track(track, _) => self.device.kept(*track)?.state.why(),
            // `anomalous` is a score beyond a threshold.
            Expr::Compare(_, of) => self.why(&of[0]),
            _ => None,
        }
    }
}

impl Seen for Look<'_> {
    fn metric(&self, metric: u32) -> Datum<'_> {
        self.device.slot(metric).map_or(Datum::Null, |slot| slot.value.datum())
    }

    fn fact(&self, fact: u32) -> Datum<'_> {
        self.device.cohort.as_ref().map_or(Datum::Null, |cohort| cohort.value(fact))
    }

    fn device_id(&self) -> &str {
        self.device.id.as_str()
    }

    fn track(&self, track: u32, func: Func) -> Datum<'_> {
        let Some(kept) = self.device.kept(track) else { return Datum::Null };
        let Keeping::Panes(panes) = &kept.state else {
            return kept.state.ask(&self.tenant.names.tracks()[track as usize], func, self.device.times.seen);
        };
        let mut known = self.totals.borrow_mut();
        let totals = match known.iter().find(|(of, _)| *of == track) {
            Some((_, totals)) => *totals,
            None => {
                let totals = panes.totals(self.device.times.seen);
                known.push((track, totals));
                totals
            }
        };
        totals.ask(func).map_or(Datum::Null, Datum::number)
    }

    fn changed(&self, metric: u32) -> Datum<'_> {
        self.device.slot(metric).map_or(Datum::Null, |slot| Datum::Bool(slot.changed))
    }

    fn silent(&self, metric: Option<u32>, nanos: i64) -> Datum<'_> {
        let heard = match metric {
            None => Some(self.device.times.heard),
            Some(metric) => self.device.slot(metric).map(|slot| slot.heard),
        };
        heard.map_or(Datum::Null, |heard| Datum::Bool(self.now >= heard.saturating_add(nanos)))
    }
}
