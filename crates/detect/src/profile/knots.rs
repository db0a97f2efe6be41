//! The shapes of the day and the week: a value at each full hour.

use serde::{Deserialize, Serialize};

use super::calendar::{Place, of_day, of_week};
use super::is_bounded;

pub(super) const DAY: usize = 24;
pub(super) const WEEK: usize = 168;

/// The memory of the shape of the week, in weeks.
const WEEKS: f32 = 5.0;

/// The memory of an hour's spread, in days. Within it, later days count more: the first ones were compared with what was not
/// known yet.
const SPREADS: f32 = 40.0;

/// The knots of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Knots {
    days: [Knot; DAY],
    /// Empty until a day was seen: many series are short.
    weeks: Vec<f32>,
    /// Weeks each of them was learned from.
    week_visits: Vec<u8>,
}

/// An hour of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Knot {
    shape: f32,
    /// The mean distance from what was usual.
    spread: f32,
    /// Days it was learned from.
    visits: u8,
}

/// How much is known of an hour.
pub(super) struct Visits {
    /// Days it was learned from.
    pub days: f32,
    /// Weeks it was learned from.
    pub weeks: f32,
}

impl Knots {
    pub(super) fn new() -> Self {
        Self { days: [Knot::default(); DAY], weeks: Vec::new(), week_visits: Vec::new() }
    }

    /// The shapes of the day and of the week at a place, on the line between its knots.
    #[inline]
    pub(super) fn shapes(&self, place: &Place) -> (f64, f64) {
        let between = |left: f32, right: f32| f64::from(left) + f64::from(right - left) * place.along;
        let next = place.hour.wrapping_add(1);
        let day = between(self.days[of_day(place.hour)].shape, self.days[of_day(next)].shape);
        if self.weeks.is_empty() {
            return (day, 0.0);
        }
        (day, between(self.weeks[of_week(place.hour)], self.weeks[of_week(next)]))
    }

    /// The mean distance from what is usual at a place, and days it was learned from.
    #[inline]
    pub(super) fn spread(&self, place: &Place) -> (f32, f32) {
        let left = self.days[of_day(place.hour)];
        let right = self.days[of_day(place.hour.wrapping_add(1))];
        let along = place.along as f32;
        let visits = f32::from(left.visits.min(right.visits));
        (left.spread + (right.spread - left.spread) * along, visits)
    }

    pub(super) fn at(&self, hour: i64) -> Visits {
        let weeks = self.week_visits.get(of_week(hour)).copied().unwrap_or(0);
        Visits { days: f32::from(self.days[of_day(hour)].visits), weeks: f32::from(weeks) }
    }

    /// The knot at the beginning of `hour` learns how far values were from the level, from that and the day's shape, from
    /// those and the week's, and from what was usual, without their sign.
    pub(super) fn learn(&mut self, hour: i64, distances: [f32; 4], shape_days: f32) {
        let [level, day, week, distance] = distances;
        let knot = &mut self.days[of_day(hour)];
        let first = knot.visits == 0;
        knot.visits = knot.visits.saturating_add(1);
        let visits = f32::from(knot.visits);
        knot.shape += if first { level } else { day / visits.min(shape_days) };
        knot.spread += (distance - knot.spread) * 2.0 / (visits.min(SPREADS) + 1.0);
        if first {
            return; // the week is what the day leaves
        }
        if self.weeks.is_empty() {
            (self.weeks, self.week_visits) = (vec![0.0; WEEK], vec![0; WEEK]);
        }
        let visits = &mut self.week_visits[of_week(hour)];
        *visits = visits.saturating_add(1);
        self.weeks[of_week(hour)] += week / f32::from(*visits).min(WEEKS);
    }

    /// Moves the knots of the day that were learned from.
    pub(super) fn shift_days(&mut self, step: f32) {
        for knot in self.days.iter_mut().filter(|knot| knot.visits > 0) {
            knot.shape += step;
        }
    }

    /// The shape and the spread of an hour of the day.
    pub(super) fn day(&self, hour: usize) -> (f32, f32) {
        (self.days[hour].shape, self.days[hour].spread)
    }

    /// The shape of an hour of the week, if it was learned.
    pub(super) fn week(&self, hour: usize) -> Option<f32> {
        let visits = self.week_visits.get(hour).copied().unwrap_or(0);
        (visits > 0).then(|| self.weeks[hour])
    }

    /// Gives an hour of the day what others know of it.
    pub(super) fn begin_day(&mut self, hour: usize, shape: f32, spread: f32, visits: u8) {
        self.days[hour] = Knot { shape, spread, visits };
    }

    /// Gives an hour of the week what others know of it.
    pub(super) fn begin_week(&mut self, hour: usize, shape: f32, visits: u8) {
        if self.weeks.is_empty() {
            (self.weeks, self.week_visits) = (vec![0.0; WEEK], vec![0; WEEK]);
        }
        (self.weeks[hour], self.week_visits[hour]) = (shape, visits);
    }

    pub(super) fn mean_spread(&self) -> f32 {
        self.days.iter().map(|knot| knot.spread).sum::<f32>() / DAY as f32
    }

    pub(super) fn heap(&self) -> usize {
        self.weeks.capacity() * size_of::<f32>() + self.week_visits.capacity()
    }

    pub(super) fn is_sound(&self) -> bool {
        (self.weeks.is_empty() || self.weeks.len() == WEEK)
            && self.weeks.len() == self.week_visits.len()
            && self.weeks.iter().all(|shape| is_bounded(*shape))
            && self
                .days
                .iter()
                .all(|knot| is_bounded(knot.shape) && is_bounded(knot.spread) && knot.spread >= 0.0)
    }
}
