//! How buckets cut the line of time, by the clocks of a place.

use chrono::{DateTime, Datelike, MappedLocalTime, Months, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::exec_err;
use datafusion::error::Result;

const DAY: i128 = 86_400_000_000_000;

/// Monday 2000-01-03, from which buckets are counted that are no months.
const MONDAY: i64 = 946_857_600_000_000_000;

/// 2000-01-01, from which months are counted.
const CENTURY: i64 = 946_684_800_000_000_000;

/// How wide a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Nanos(i128),
    Months(i32),
}

impl Width {
    pub(super) fn of(interval: IntervalMonthDayNano) -> Result<Self> {
        let nanos = i128::from(interval.days) * DAY + i128::from(interval.nanoseconds);
        match (interval.months, nanos) {
            (0, nanos) if nanos > 0 => Ok(Self::Nanos(nanos)),
            (months, 0) if months > 0 => Ok(Self::Months(months)),
            (0, _) => exec_err!("the width of a bucket is more than nothing"),
            _ => exec_err!("the width of a bucket is of months and years, or of days and less, not of both"),
        }
    }
}

/// Where buckets begin.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    width: Width,
    zone: Option<Tz>,
    /// By the clocks of UTC, or an instant once a zone is given.
    origin: Option<i64>,
    offset: i128,
}

impl Cut {
    pub(super) fn new(width: Width) -> Self {
        Self { width, zone: None, origin: None, offset: 0 }
    }

    /// Buckets of a width in words, by the clocks of a zone.
    pub(crate) fn parse(width: &str, zone: Option<&str>) -> std::result::Result<Self, String> {
        let interval = parse_interval_month_day_nano(width)
            .map_err(|_| format!("{width:?} is no width of a bucket: write it like 5m or 1 hour"))?;
        let mut cut = Self::new(Width::of(interval).map_err(|error| error.strip_backtrace())?);
        if let Some(name) = zone {
            cut.zone(
                name.parse().map_err(|_| format!("{name:?} is no time zone: write it like Europe/Berlin"))?,
            );
        }
        Ok(cut)
    }

    pub(super) fn zone(&mut self, zone: Tz) {
        self.zone = Some(zone);
    }

    pub(super) fn origin(&mut self, nanos: i64) -> Result<()> {
        self.origin = Some(nanos);
        Ok(())
    }

    pub(super) fn offset(&mut self, offset: IntervalMonthDayNano) -> Result<()> {
        if offset.months != 0 {
            return exec_err!("an offset of buckets is of days and less");
        }
        self.offset = i128::from(offset.days) * DAY + i128::from(offset.nanoseconds);
        Ok(())
    }

    /// The shortest a bucket is, nanoseconds; but where clocks are put forward.
    pub(crate) fn at_least(&self) -> i128 {
        match self.width {
            Width::Nanos(nanos) => nanos,
            Width::Months(months) => i128::from(months) * 28 * DAY,
        }
    }

    /// The start of the bucket a time lies in, nanoseconds since the epoch; `None` where it cannot be told.
    pub(crate) fn start(&self, nanos: i64) -> Option<i64> {
        let Some(zone) = self.zone else { return self.floor(i128::from(nanos)) };
        let offset = offset_at(zone, nanos)?;
        let local = self.floor(i128::from(nanos) + offset)?;
        // By the clocks as they stand at that time; unless the bucket began before they were changed.
        let start = narrow(i128::from(local) - offset)?;
        if offset_at(zone, start)? == offset { Some(start) } else { instant(zone, local) }
    }

    /// The start of the bucket behind the one that begins here.
    pub(crate) fn next(&self, start: i64) -> Option<i64> {
        let zone_offset = |nanos| self.zone.map_or(Some(0), |zone| offset_at(zone, nanos));
        let local = i128::from(start) + zone_offset(start)?;
        let next = match self.width {
            Width::Nanos(width) => local + width,
            Width::Months(months) => later(local - self.shift()?, months)? + self.shift()?,
        };
        let Some(zone) = self.zone else { return narrow(next) };
        // Of an hour that comes twice, the second is a bucket too.
        let same = narrow(next - zone_offset(start)?)?;
        let begins = self.start(same)?;
        if begins > start {
            return Some(begins);
        }
        self.start(instant(zone, narrow(next)?)?).filter(|next| *next > start)
    }

    /// The start of the bucket by the clocks that show `local`.
    fn floor(&self, local: i128) -> Option<i64> {
        match self.width {
            Width::Nanos(width) => {
                let origin = self.local_origin(MONDAY)? + self.offset;
                narrow((local - origin).div_euclid(width) * width + origin)
            }
            Width::Months(width) => {
                let shift = self.shift()?;
                let origin = date_time(self.local_origin(CENTURY)?)?;
                let time = date_time(local - shift)?;
                let months = month(time) - month(origin);
                let first = month(origin) + months.div_euclid(width) * width;
                let first = NaiveDate::from_ymd_opt(
                    first.div_euclid(12),
                    first.rem_euclid(12).unsigned_abs() + 1,
                    1,
                )?;
                let start = first.and_hms_opt(0, 0, 0)?.and_utc().timestamp_nanos_opt()?;
                narrow(i128::from(start) + shift)
            }
        }
    }

    /// How far months begin behind the first of a month.
    fn shift(&self) -> Option<i128> {
        let origin = self.local_origin(CENTURY)?;
        let first = date_time(origin)?.date().with_day(1)?.and_hms_opt(0, 0, 0)?;
        Some(origin - i128::from(first.and_utc().timestamp_nanos_opt()?) + self.offset)
    }

    fn local_origin(&self, usual: i64) -> Option<i128> {
        match (self.origin, self.zone) {
            (None, _) => Some(i128::from(usual)),
            (Some(origin), None) => Some(i128::from(origin)),
            (Some(origin), Some(zone)) => Some(i128::from(origin) + offset_at(zone, origin)?),
        }
    }
}

fn later(local: i128, months: i32) -> Option<i128> {
    let later = date_time(local)?.checked_add_months(Months::new(months.unsigned_abs()))?;
    later.and_utc().timestamp_nanos_opt().map(i128::from)
}

fn month(time: NaiveDateTime) -> i32 {
    time.year() * 12 + i32::try_from(time.month0()).unwrap_or(0)
}

fn date_time(local: i128) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp_nanos(narrow(local)?).naive_utc())
}

fn narrow(nanos: i128) -> Option<i64> {
    i64::try_from(nanos).ok()
}

/// How far the clocks are ahead of UTC, nanoseconds.
fn offset_at(zone: Tz, nanos: i64) -> Option<i128> {
    let utc = date_time(i128::from(nanos))?;
    Some(i128::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000_000)
}

/// When the clocks show this: the first time, if they do twice; if never, when they are put forward across it.
fn instant(zone: Tz, local: i64) -> Option<i64> {
    let ahead = |offset: i32| narrow(i128::from(local) - i128::from(offset) * 1_000_000_000);
    match zone.offset_from_local_datetime(&date_time(i128::from(local))?) {
        MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => {
            ahead(offset.fix().local_minus_utc())
        }
        MappedLocalTime::None => {
            let day = narrow(DAY)?;
            let before = offset_at(zone, local.checked_sub(day)?)?;
            let after = offset_at(zone, local.checked_add(day)?)?;
            let (mut low, mut high) =
                (narrow(i128::from(local) - after)?, narrow(i128::from(local) - before)?);
            while low < high {
                let middle = low + (high - low) / 2;
                if offset_at(zone, middle)? == before { low = middle + 1 } else { high = middle }
            }
            Some(low)
        }
    }
}

#[cfg(test)]
mod tests {
    use record::Timestamp;

    use super::*;
    use crate::{parse_rfc3339, rfc3339};

    const HOUR: i64 = 3_600_000_000_000;

    fn cut(months: i32, days: i32, nanos: i64, zone: &str) -> Cut {
        let mut cut = Cut::new(Width::of(IntervalMonthDayNano::new(months, days, nanos)).unwrap());
        if !zone.is_empty() {
            cut.zone(zone.parse().unwrap());
        }
        cut
    }

    fn check(cut: &Cut, time: &str, start: &str, next: &str) {
        let found = cut.start(parse_rfc3339(time).unwrap().nanos()).unwrap();
        let behind = cut.next(found).unwrap();
        let text = |nanos| rfc3339(Timestamp::from_nanos(nanos));
        assert_eq!((text(found).as_str(), text(behind).as_str()), (start, next), "{time}");
    }

    #[test]
    fn without_a_zone_buckets_are_even() {
        check(
            &cut(0, 0, HOUR / 12, ""),
            "2026-11-20T12:07:31Z",
            "2026-11-20T12:05:00Z",
            "2026-11-20T12:10:00Z",
        );
        check(&cut(0, 7, 0, ""), "2026-11-20T12:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
        check(&cut(0, 1, 0, ""), "1969-12-31T23:59:59Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z");
        check(&cut(3, 0, 0, ""), "2026-11-20T12:00:00Z", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check(&cut(12, 0, 0, ""), "1999-11-20T12:00:00Z", "1999-01-01T00:00:00Z", "2000-01-01T00:00:00Z");
    }

    #[test]
    fn days_follow_the_clocks() {
        let berlin = cut(0, 1, 0, "Europe/Berlin");
        // 23 hours in March, 25 in October.
        check(&berlin, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check(&berlin, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        check(
            &cut(1, 0, 0, "Europe/Berlin"),
            "2026-03-31T22:30:00Z",
            "2026-03-31T22:00:00Z",
            "2026-04-30T22:00:00Z",
        );
        // Midnight that is not: the clocks go from 23:59:59 to 01:00.
        check(
            &cut(0, 1, 0, "America/Sao_Paulo"),
            "2018-11-04T12:00:00Z",
            "2018-11-04T03:00:00Z",
            "2018-11-05T02:00:00Z",
        );
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_buckets_and_one_that_does_not_come_is_none() {
        let berlin = cut(0, 0, HOUR, "Europe/Berlin");
        check(&berlin, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z");
        check(&berlin, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z");
        check(&berlin, "2026-03-29T00:59:59Z", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z");
        check(
            &cut(0, 0, 6 * HOUR, "Europe/Berlin"),
            "2026-10-25T04:30:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T05:00:00Z",
        );
        check(
            &cut(0, 0, HOUR, "Australia/Lord_Howe"),
            "2026-04-04T15:10:00Z",
            "2026-04-04T14:00:00Z",
            "2026-04-04T15:30:00Z",
        );
    }

    #[test]
    fn every_time_lies_in_its_bucket_and_buckets_follow_one_another() {
        let from = parse_rfc3339("2026-03-20T00:00:00Z").unwrap().nanos();
        for zone in
            ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]
        {
            for width in [HOUR / 4, HOUR, 2 * HOUR, 6 * HOUR, 24 * HOUR, 7 * 24 * HOUR] {
                let cut = cut(0, 0, width, zone);
                let mut bucket = cut.start(from).unwrap();
                for step in 0..2_000 {
                    let time = from + step * (HOUR / 4) * 11;
                    let start = cut.start(time).unwrap();
                    while bucket < start {
                        bucket = cut.next(bucket).unwrap();
                    }
                    assert_eq!(bucket, start, "{zone} {width} {}", rfc3339(Timestamp::from_nanos(time)));
                    assert!(start <= time && time < cut.next(start).unwrap());
                }
            }
        }
    }
}
