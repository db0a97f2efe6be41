//! A bounded number of disjoint spans of time.

use serde::{Deserialize, Serialize};

/// The most spans that are told apart. They stand for rare things (memory ran out, a series was given up), and too
/// wide a span only costs recomputations.
const MOST: usize = 64;

/// Spans `from..to`, disjoint, by rising time. When there are too many, the two latest become one: what is far
/// ahead is most often the work of a wrong clock, and should not touch the present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spans(Vec<(i64, i64)>);

impl Spans {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some of `from..to` is in one of them.
    pub(super) fn touch(&self, from: i64, to: i64) -> bool {
        let after = self.0.partition_point(|span| span.1 <= from);
        self.0.get(after).is_some_and(|span| span.0 < to)
    }

    /// Adds `from..to`.
    pub(super) fn add(&mut self, from: i64, to: i64) {
        let first = self.0.partition_point(|span| span.1 < from);
        let after = self.0.partition_point(|span| span.0 <= to);
        let joined = self.0[first..after].iter().fold((from, to), |a, b| (a.0.min(b.0), a.1.max(b.1)));
        self.0.splice(first..after, [joined]);
        if self.0.len() > MOST {
            let last = self.0.pop().expect("there are more than the most");
            self.0.last_mut().expect("there are as many as the most").1 = last.1;
        }
    }

    /// Forgets what ends at or before `time`.
    pub(super) fn pass(&mut self, time: i64) {
        let gone = self.0.partition_point(|span| span.1 <= time);
        self.0.drain(..gone);
    }
}
