//! What is usual for a series at an hour of the day and of the week.

mod calendar;
mod kind;
mod knots;

use serde::{Deserialize, Serialize};

use crate::{Basis, Tuning};
pub(crate) use calendar::{Calendar, Place, fmt_hour};
pub(crate) use kind::Kind;
use knots::Knots;

/// What is usual for a series: a level, a shape over the hours of the day, another over those of the week, and how far values
/// scatter at each hour of the day.
///
/// A shape is a line between knots at the full hours. What a reading is away from it counts for the knots beside it; when an hour is
/// over, its first knot takes what was gathered, clipped, so that an anomaly bends it little (additive Holt and Winters, in
/// steps of an hour, with Huber's clipping).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    level: f64,
    /// Hours that the level was learned from, up to a year's.
    level_hours: f32,
    /// Whether it began with what others of its kind are like.
    primed: bool,
    knots: Box<Knots>,
    /// The hour that is being gathered, counted from the epoch.
    hour: i64,
    left: Gathered,
    right: Gathered,
    /// The mean distance from what was usual, of all hours.
    spread: f32,
    /// Hours learned from, up to [`HOURS_COUNTED`].
    hours: f32,
    day: Contest,
    week: Contest,
}

/// What a value is against what is usual.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Residual {
    /// What is usual.
    pub usual: f64,
    /// Its σ.
    pub spread: f64,
    /// The value less what is usual.
    pub residual: f64,
}

/// The memory of the spread of all hours, hours. Within it, later ones count more: the first were compared with what was not
/// known yet.
const SPREAD_HOURS: f32 = 336.0;

/// Beyond so many σ a distance is learned from as if it were that far (Huber's constant is smaller: he has no seasons to learn).
const CLIP: f64 = 3.0;

/// The σ of a normal distribution, in its mean absolute distances.
const SIGMA_PER_DISTANCE: f64 = 1.253_314_137_315_5;

/// An hour's spread counts as much as that of all hours after so many days.
const SHRINK: f32 = 4.0;

/// Hours before which nothing is clipped: it is not known yet what is far.
const UNCLIPPED_HOURS: f32 = 12.0;

/// Hours are counted up to here: a year.
const HOURS_COUNTED: f32 = 8760.0;

/// Hours while the level is not known yet well enough to tell it from the shape of the day.
const FIRST_DAY: f32 = 24.0;

/// A knot for which less was gathered learns nothing: the reading was nearer to another.
const LEAST_WEIGHT: f32 = 0.25;

/// No number of a profile is larger: values are at most [`SIZE`](crate::limits::SIZE), and sums of them over an hour have room.
const BOUND: f32 = 1e37;

fn is_bounded(number: f32) -> bool {
    number.abs() <= BOUND
}

/// What was gathered for a knot: sums, each reading weighted by how near it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Gathered {
    weight: f32,
    /// Distances from the level.
    level: f32,
    /// From the level and the day's shape.
    day: f32,
    /// From these and the week's.
    week: f32,
    /// From what was said to be usual, without their sign.
    distance: f32,
}

/// Which of two predictions is nearer, over hours for which both were there: the season's strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Contest {
    /// Hours compared, up to [`Contest::MEMORY`].
    hours: f32,
    without: f32,
    with: f32,
}

impl Contest {
    /// Four days: a season that ended is forgotten within a week or so.
    const MEMORY: f32 = 96.0;
    /// Hours before which the season is not believed in.
    const NEEDED: f32 = 12.0;

    fn compare(&mut self, without: f32, with: f32) {
        self.hours = (self.hours + 1.0).min(Self::MEMORY);
        self.without += (without.abs() - self.without) / self.hours;
        self.with += (with.abs() - self.with) / self.hours;
    }

    fn is_sound(&self) -> bool {
        [self.hours, self.without, self.with].iter().all(|number| is_bounded(*number) && *number >= 0.0)
    }

    /// How much the season counts, from 0 to 1. The fourth power: a season that halves the distances is all but believed.
    #[inline]
    fn strength(&self) -> f64 {
        if self.hours < Self::NEEDED {
            return 0.0;
        }
        let (without, with) = (f64::from(self.without).powi(4), f64::from(self.with).powi(4));
        if without > 0.0 { without / (without + with) } else { 0.0 }
    }
}

impl Profile {
    pub(crate) fn new() -> Self {
        Self {
            level: 0.0,
            level_hours: 0.0,
            primed: false,
            knots: Box::new(Knots::new()),
            hour: i64::MIN,
            left: Gathered::default(),
            right: Gathered::default(),
            spread: 0.0,
            hours: 0.0,
            day: Contest::default(),
            week: Contest::default(),
        }
    }

    /// How far `value` is from what is usual there. Learns nothing.
    #[inline]
    pub(crate) fn residual(&self, place: &Place, value: f64) -> Residual {
        let (day, week) = self.knots.shapes(place);
        let usual = self.level + self.seasons(day, week);
        Residual { usual, spread: self.spread_at(place), residual: value - usual }
    }

    /// Learns from a value that is not before the last one.
    pub(crate) fn learn(&mut self, place: &Place, value: f64, tuning: &Tuning) {
        if place.hour != self.hour {
            self.turn(place, tuning);
        }
        let (day, week) = self.knots.shapes(place);
        if self.level_hours == 0.0 && self.left.weight + self.right.weight == 0.0 {
            // The first of all: the first hour is gathered as distances from it.
            self.level = value - self.seasons(day, week);
        }
        let usual = self.level + self.seasons(day, week);
        let far = if self.hours < UNCLIPPED_HOURS { f64::INFINITY } else { CLIP * self.spread_at(place) };
        let residual = (value - usual).clamp(-far, far);
        let from_level = usual + residual - self.level;
        self.left.add(1.0 - place.along, from_level, day, week, residual);
        self.right.add(place.along, from_level, day, week, residual);
    }

    /// How much is known: hours that were learned from.
    pub(crate) fn hours(&self) -> f32 {
        self.hours
    }

    /// From what the usual at a place was learned.
    pub(crate) fn basis(&self, place: &Place) -> Basis {
        if self.day.strength() < 0.5 {
            Basis::Level
        } else if self.week.strength() < 0.5 {
            Basis::HourOfDay(calendar::of_day(place.hour) as u8)
        } else {
            Basis::HourOfWeek(calendar::of_week(place.hour) as u8)
        }
    }

    pub(crate) fn heap(&self) -> usize {
        size_of::<Knots>() + self.knots.heap()
    }

    #[inline]
    fn seasons(&self, day: f64, week: f64) -> f64 {
        self.day.strength() * (day + self.week.strength() * week)
    }

    /// The σ at a place: that of the hour, held to that of all hours while little is known.
    #[inline]
    fn spread_at(&self, place: &Place) -> f64 {
        let (spread, visits) = self.knots.spread(place);
        let distance = (visits * spread + SHRINK * self.spread) / (visits + SHRINK);
        f64::from(distance) * SIGMA_PER_DISTANCE
    }

    /// An hour is over: its first knot learns, the second one becomes the first of the next.
    fn turn(&mut self, place: &Place, tuning: &Tuning) {
        let (left, right) = (self.left, self.right);
        let follows = place.hour == self.hour.wrapping_add(1);
        self.close(self.hour, left, tuning);
        if !follows {
            self.close(self.hour.wrapping_add(1), right, tuning);
        }
        self.left = if follows { right } else { Gathered::default() };
        self.right = Gathered::default();
        self.hour = place.hour;
    }

    /// The knot at the beginning of `hour` learns what was gathered for it.
    fn close(&mut self, hour: i64, gathered: Gathered, tuning: &Tuning) {
        if gathered.weight < LEAST_WEIGHT {
            return;
        }
        let [level, day, week, distance] = gathered.means();
        let knot = self.knots.at(hour);
        if knot.days > 0.0 {
            self.day.compare(level, day);
        }
        if knot.weeks > 0.0 {
            self.week.compare(day, week);
        }
        self.hours = (self.hours + 1.0).min(HOURS_COUNTED);
        self.level_hours = (self.level_hours + 1.0).min(HOURS_COUNTED);
        let seasons = self.seasons(f64::from(level - day), f64::from(day - week));
        let step = (f64::from(level) - seasons) / f64::from(self.level_hours.min(tuning.level_hours));
        self.level += step;
        self.knots.learn(hour, [level, day, week, distance], tuning.shape_days);
        if !self.primed && self.hours <= FIRST_DAY {
            self.knots.shift_days(-step as f32); // what moves the level was no shape
        }
        self.spread += (distance - self.spread) * 2.0 / (self.hours.min(SPREAD_HOURS) + 1.0);
    }

    pub(crate) fn is_sound(&self) -> bool {
        let numbers = [self.hours, self.level_hours, self.spread];
        let sums = [self.left, self.right].iter().all(Gathered::is_sound);
        self.level.abs() <= f64::from(BOUND)
            && numbers.iter().all(|number| is_bounded(*number) && *number >= 0.0)
            && sums
            && self.day.is_sound()
            && self.week.is_sound()
            && self.knots.is_sound()
    }
}

impl Gathered {
    #[inline]
    fn add(&mut self, weight: f64, from_level: f64, day: f64, week: f64, residual: f64) {
        self.weight += weight as f32;
        self.level += (weight * from_level) as f32;
        self.day += (weight * (from_level - day)) as f32;
        self.week += (weight * (from_level - day - week)) as f32;
        self.distance += (weight * residual.abs()) as f32;
    }

    fn means(&self) -> [f32; 4] {
        [self.level, self.day, self.week, self.distance].map(|sum| sum / self.weight)
    }

    fn is_sound(&self) -> bool {
        let all = [self.weight, self.level, self.day, self.week, self.distance];
        all.iter().all(|number| is_bounded(*number)) && self.weight >= 0.0 && self.distance >= 0.0
    }
}
