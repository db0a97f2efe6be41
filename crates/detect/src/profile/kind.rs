//! What profiles of one kind have in common.

use serde::{Deserialize, Serialize};

use super::knots::{DAY, Knots, WEEK};
use super::{Contest, Profile, is_bounded};

/// The sums of what the profiles of a kind know, so that two of them can be put together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kind {
    /// How many profiles.
    pub profiles: f64,
    /// For each hour of the day: the shape, its square, the spread.
    days: Vec<[f64; 3]>,
    /// For each hour of the week: the shape, and how many profiles know it.
    weeks: Vec<[f64; 2]>,
    spread: f64,
    /// Of the day's contest and the week's: the distances without and with the season.
    contests: [[f64; 2]; 2],
}

/// A new profile counts what it was given as so many days of its own: two days later half of what it knows is its own.
const DAYS: u8 = 2;

/// What it was given of the week counts as one week.
const WEEKS: u8 = 1;

/// The seasons' strength counts as seen for a day.
const CONTEST_HOURS: f32 = 24.0;

/// The mean distance of a normal distribution, in its σ.
const DISTANCE_PER_SIGMA: f64 = 0.797_884_560_802_865_4;

impl Kind {
    pub(crate) fn new() -> Self {
        Self {
            profiles: 0.0,
            days: vec![[0.0; 3]; DAY],
            weeks: vec![[0.0; 2]; WEEK],
            spread: 0.0,
            contests: [[0.0; 2]; 2],
        }
    }

    pub(crate) fn learn(&mut self, profile: &Profile) {
        self.profiles += 1.0;
        for (hour, sums) in self.days.iter_mut().enumerate() {
            let (shape, spread) = profile.knots.day(hour);
            let shape = f64::from(shape);
            add(sums, &[shape, shape * shape, f64::from(spread)]);
        }
        for (hour, sums) in self.weeks.iter_mut().enumerate() {
            if let Some(shape) = profile.knots.week(hour) {
                add(sums, &[f64::from(shape), 1.0]);
            }
        }
        self.spread += f64::from(profile.spread);
        for (sums, contest) in self.contests.iter_mut().zip([profile.day, profile.week]) {
            add(sums, &[f64::from(contest.without), f64::from(contest.with)]);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.profiles += other.profiles;
        self.days.iter_mut().zip(&other.days).for_each(|(sums, others)| add(sums, others));
        self.weeks.iter_mut().zip(&other.weeks).for_each(|(sums, others)| add(sums, others));
        self.spread += other.spread;
        self.contests.iter_mut().zip(&other.contests).for_each(|(sums, others)| add(sums, others));
    }

    /// A profile that begins with what the kind has in common. It knows `hours` less than nothing is missing for.
    ///
    /// Its spread is that of the kind's profiles and, as squares add up, how much their shapes differ: where devices are not
    /// alike, much is usual for a new one.
    pub(crate) fn start(&self, hours: f32) -> Profile {
        let mean = |sum: f64| (sum / self.profiles.max(1.0)) as f32;
        let mut knots = Knots::new();
        for (hour, [shape, square, spread]) in self.days.iter().enumerate() {
            let shapes = f64::from(mean(*square)) - f64::from(mean(*shape)).powi(2);
            let differing = shapes.max(0.0).sqrt() * DISTANCE_PER_SIGMA;
            let spread = f64::from(mean(*spread)).hypot(differing) as f32;
            knots.begin_day(hour, mean(*shape), spread, DAYS);
        }
        for (hour, [shape, profiles]) in self.weeks.iter().enumerate() {
            if *profiles > 0.5 * self.profiles {
                knots.begin_week(hour, (shape / profiles) as f32, WEEKS);
            }
        }
        let [day, week] = self.contests.map(|[without, with]| Contest {
            hours: CONTEST_HOURS,
            without: mean(without),
            with: mean(with),
        });
        let spread = mean(self.spread).max(knots.mean_spread());
        Profile { knots: Box::new(knots), hours, primed: true, spread, day, week, ..Profile::new() }
    }

    pub(crate) fn is_sound(&self) -> bool {
        let bounded = |number: &f64| is_bounded((number / self.profiles.max(1.0)) as f32);
        (0.0..1e15).contains(&self.profiles)
            && (self.days.len(), self.weeks.len()) == (DAY, WEEK)
            && self.days.iter().all(|[shape, square, spread]| {
                bounded(shape) && square.is_finite() && bounded(spread) && *square >= 0.0 && *spread >= 0.0
            })
            && self.weeks.iter().all(|[shape, profiles]| bounded(shape) && *profiles >= 0.0)
            && bounded(&self.spread)
            && self.spread >= 0.0
            && self.contests.iter().flatten().all(|distance| bounded(distance) && *distance >= 0.0)
    }
}

fn add<const N: usize>(sums: &mut [f64; N], others: &[f64; N]) {
    sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
}
