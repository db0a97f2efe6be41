//! Spans of local time that come again: quiet hours, weekly mutes.

use chrono::{
    DateTime, Datelike as _, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// How far a gap in local time (clocks put forward) may reach; the longest there was is a whole day, at the date line.
const GAP_HOURS: i64 = 24;

/// A span of local time on some days of the week, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// On which days it begins; absent: on all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// When it begins, `HH:MM`.
    pub from: String,
    /// When it ends, `HH:MM`; not after `from`: on the next day.
    pub to: String,
    /// Where the clock hangs, by the IANA's names: `Europe/Berlin`.
    pub zone: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // they say it themselves
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A span that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Weekly {
    days: [bool; 7],
    from: NaiveTime,
    to: NaiveTime,
    zone: Tz,
}

impl Span {
    /// # Errors
    /// Which part is not possible, and what is.
    pub(crate) fn check(&self) -> Result<Weekly, String> {
        let time = |what: &str, text: &str| {
            NaiveTime::parse_from_str(text, "%H:%M")
                .map_err(|_| format!("{what} {text:?} is no time: write HH:MM, as 22:00"))
        };
        let zone = self.zone.parse().map_err(|_| {
            format!("zone {:?} is no time zone: write a name of the IANA's, as Europe/Berlin", self.zone)
        })?;
        let mut days = [self.days.is_empty(); 7];
        self.days.iter().for_each(|&day| days[day as usize] = true);
        Ok(Weekly { days, from: time("from", &self.from)?, to: time("to", &self.to)?, zone })
    }
}

impl Weekly {
    /// Until when the span lasts that `now_ms` is in; `None`: it is in none. Milliseconds since 1970.
    pub(crate) fn until(&self, now_ms: i64) -> Option<i64> {
        let today = DateTime::from_timestamp_millis(now_ms)?.with_timezone(&self.zone).date_naive();
        // One that goes over midnight began yesterday. Of two the later end counts.
        let begun = [today.checked_sub_days(Days::new(1))?, today];
        begun.into_iter().filter_map(|date| self.until_from(date, now_ms)).max()
    }

    fn until_from(&self, date: NaiveDate, now_ms: i64) -> Option<i64> {
        if !self.days[date.weekday().num_days_from_monday() as usize] {
            return None;
        }
        let last = if self.to > self.from { date } else { date.checked_add_days(Days::new(1))? };
        let (from, to) = (self.instant(date.and_time(self.from))?, self.instant(last.and_time(self.to))?);
        (from..to).contains(&now_ms).then_some(to)
    }

    /// A local time that there is twice means the first, one that there is not means the first after it.
    fn instant(&self, mut local: NaiveDateTime) -> Option<i64> {
        for _ in 0..=GAP_HOURS * 4 {
            match self.zone.from_local_datetime(&local) {
                LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
                    return Some(time.timestamp_millis());
                }
                LocalResult::None => local = local.checked_add_signed(TimeDelta::minutes(15))?,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Timestamp;

    fn ms(text: &str) -> i64 {
        Timestamp::parse_rfc3339(text).unwrap().millis()
    }

    fn span(days: &[Day], from: &str, to: &str, zone: &str) -> Span {
        Span { days: days.to_vec(), from: from.into(), to: to.into(), zone: zone.into() }
    }

    #[test]
    fn a_span_knows_its_end_over_midnight_and_changed_clocks() {
        let night = span(&[], "22:00", "07:00", "Europe/Berlin").check().unwrap();
        let weekend = span(&[Day::Sat], "00:00", "00:00", "Europe/Berlin").check().unwrap();
        let gap = span(&[], "02:30", "03:15", "Europe/Berlin").check().unwrap();
        for (weekly, now, until) in [
            (&night, "2026-01-10T20:59:59Z", None),
            (&night, "2026-01-10T21:00:00Z", Some("2026-01-11T06:00:00Z")),
            (&night, "2026-01-11T05:59:59Z", Some("2026-01-11T06:00:00Z")),
            (&night, "2026-01-11T06:00:00Z", None),
            // The night of 29 March has an hour less, that of 25 October one more.
            (&night, "2026-03-29T04:59:00Z", Some("2026-03-29T05:00:00Z")),
            (&night, "2026-10-25T05:30:00Z", Some("2026-10-25T06:00:00Z")),
            (&weekend, "2026-01-10T22:59:00Z", Some("2026-01-10T23:00:00Z")),
            (&weekend, "2026-01-11T12:00:00Z", None),
            // There is no 02:30 on that day: it begins with the first quarter there is.
            (&gap, "2026-03-29T01:05:00Z", Some("2026-03-29T01:15:00Z")),
        ] {
            assert_eq!(weekly.until(ms(now)), until.map(ms), "{now}");
        }
    }

    #[test]
    fn what_is_no_span_is_named() {
        for (span, words) in [
            (span(&[], "25:00", "07:00", "UTC"), "from \"25:00\" is no time"),
            (span(&[], "22:00", "7", "UTC"), "to \"7\" is no time"),
            (span(&[], "22:00", "07:00", "Berlin"), "zone \"Berlin\" is no time zone"),
        ] {
            assert!(span.check().unwrap_err().starts_with(words));
        }
    }
}
