//! When a rule may be raised.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, TimeZone as _, Utc, Weekday};
use chrono_tz::Tz;
use record::Timestamp;
use serde::{Deserialize, Serialize};

/// Hours of days of the week, in a time zone. It says when a rule may be raised, not when it may end.
///
/// `from` up to, not with, `to`, both `HH:MM`; where `to` is not after `from`, it ends the day after, and counts to the day it began.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// On which days: `mon` to `sun`; none are given: on all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// From when, `HH:MM`.
    #[serde(default = "midnight")]
    pub from: String,
    /// Until when, `HH:MM` or `24:00`.
    #[serde(default = "end_of_day")]
    pub to: String,
    /// By whose clocks: a name of the IANA time zone database; without it UTC.
    #[serde(default = "utc")]
    pub tz: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are called what they are")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A schedule, ready for use.
#[derive(Clone, Debug)]
pub(crate) struct Hours {
    /// Which days, Monday first.
    days: [bool; 7],
    /// Minutes after midnight.
    from: u32,
    /// Minutes after the midnight that `from` counts from: up to two days.
    to: u32,
    zone: Tz,
}

const DAY_MINUTES: u32 = 24 * 60;

impl Schedule {
    /// Whether it can be used; says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.hours().map(|_| ())
    }

    pub(crate) fn hours(&self) -> Result<Hours, String> {
        let (from, to) = (minutes("from", &self.from)?, minutes("to", &self.to)?);
        if from == DAY_MINUTES {
            return Err("from \"24:00\" is no time of a day: write 00:00".to_owned());
        }
        let unknown = |_| format!("tz {:?} is no time zone: write it like Europe/Berlin or UTC", self.tz);
        let zone = self.tz.parse().map_err(unknown)?;
        let mut days = [self.days.is_empty(); 7];
        self.days.iter().for_each(|day| days[*day as usize] = true);
        Ok(Hours { days, from, to: if to > from { to } else { to + DAY_MINUTES }, zone })
    }
}

impl Hours {
    /// The first time from `at` on at which it is open; `None` outside the years that can be computed with.
    pub(crate) fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        let local = DateTime::<Utc>::from_timestamp_nanos(at.nanos()).with_timezone(&self.zone).date_naive();
        // Yesterday's hours may reach into today; one of the next seven days is open.
        let mut date = local.checked_sub_days(Days::new(1))?;
        for _ in 0..10 {
            if self.days[date.weekday().num_days_from_monday() as usize] {
                let (from, to) = (self.instant(date, self.from)?, self.instant(date, self.to)?);
                if at < to && from < to {
                    return Some(from.max(at));
                }
            }
            date = date.checked_add_days(Days::new(1))?;
        }
        None
    }

    /// What clocks show so many minutes after a day's midnight. An hour that is skipped in spring is the instant it is skipped
    /// at; of one that comes twice in autumn the first counts.
    fn instant(&self, date: NaiveDate, minutes: u32) -> Option<Timestamp> {
        let date = date.checked_add_days(Days::new(u64::from(minutes / DAY_MINUTES)))?;
        let minute = minutes % DAY_MINUTES;
        for later in 0..=180 {
            let shown = (minute + later) % DAY_MINUTES;
            let date = date.checked_add_days(Days::new(u64::from((minute + later) / DAY_MINUTES)))?;
            let time = NaiveTime::from_hms_opt(shown / 60, shown % 60, 0)?;
            if let Some(instant) = self.zone.from_local_datetime(&date.and_time(time)).earliest() {
                return instant.timestamp_nanos_opt().map(Timestamp::from_nanos);
            }
        }
        None
    }
}

fn minutes(key: &str, text: &str) -> Result<u32, String> {
    let error = || format!("{key} {text:?} is no time of a day: write it like 08:00");
    let digits = |text: &str| {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u32>())
    };
    let (hour, minute) = text.split_once(':').ok_or_else(error)?;
    let (Some(Ok(hour)), Some(Ok(minute))) = (digits(hour), digits(minute)) else { return Err(error()) };
    let minutes = hour * 60 + minute;
    if minute < 60 && minutes <= DAY_MINUTES { Ok(minutes) } else { Err(error()) }
}

fn midnight() -> String {
    "00:00".to_owned()
}

fn end_of_day() -> String {
    "24:00".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

const _: () = assert!(Day::Mon as usize == 0 && Day::Sun as usize == Weekday::Sun as usize);
