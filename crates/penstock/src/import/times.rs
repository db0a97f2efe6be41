//! When a row happened.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use record::{TimeUnit, Timestamp};

use super::cell::Cell;

/// Before 2000 the server takes a time for that of a clock that was reset (docs/time.md), nanoseconds.
const FIRST_POSSIBLE: i64 = 946_684_800_000_000_000;
/// As far as the server lets a device be ahead at all, nanoseconds.
const AHEAD_NANOS: i64 = 86_400_000_000_000;

/// What people write without an offset.
const FORMATS: [&str; 8] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M",
];

/// How times are read.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// Of numbers; `None`: told from their size.
    pub(super) unit: Option<TimeUnit>,
    /// Of what has no offset.
    pub(super) zone: Option<Tz>,
    /// Whether times that a clock cannot have are taken.
    pub(super) any_time: bool,
}

/// Whether a cell is a time of which it cannot be known what it means.
pub(super) fn lacks_a_zone(cell: &Cell) -> bool {
    match cell {
        Cell::LocalTime(_) => true,
        Cell::Text(text) => Timestamp::parse(text.trim(), None).is_err() && local(text.trim()).is_some(),
        _ => false,
    }
}

impl Clock {
    /// The time in a cell, with `beyond` nanoseconds more.
    pub(super) fn time(&self, cell: &Cell, beyond: i64, now: Timestamp) -> Result<Timestamp, String> {
        let time = match cell {
            Cell::Nothing => return Err("no time".to_owned()),
            Cell::Time(nanos) => Timestamp::from_nanos(*nanos),
            Cell::LocalTime(nanos) => self.at_place(DateTime::from_timestamp_nanos(*nanos).naive_utc())?,
            Cell::Int(count) => Timestamp::from_count(*count, self.unit)
                .map_err(|error| format!("the time {count} {error}"))?,
            Cell::Float(count) => {
                let text = count.to_string();
                Timestamp::parse(&text, self.unit).map_err(|error| format!("the time {text} {error}"))?
            }
            Cell::Text(text) => self.text(text.trim())?,
            other => return Err(format!("{:?} is no time", other.shown())),
        };
        let nanos = time.nanos().checked_add(beyond).ok_or("the time lies beyond 2262")?;
        self.possible(Timestamp::from_nanos(nanos), now)
    }

    fn text(&self, text: &str) -> Result<Timestamp, String> {
        match (Timestamp::parse(text, self.unit), local(text)) {
            (Ok(time), _) => Ok(time),
            (Err(_), Some(there)) => self.at_place(there),
            (Err(error), None) => Err(format!("the time {text:?} {error}")),
        }
    }

    fn at_place(&self, there: NaiveDateTime) -> Result<Timestamp, String> {
        let Some(zone) = self.zone else {
            return Err(format!(
                "the time {there} has no offset: say with --time-zone where its clock stood"
            ));
        };
        let time = match zone.from_local_datetime(&there) {
            LocalResult::Single(time) => time,
            LocalResult::Ambiguous(..) => {
                return Err(format!("the time {there} comes twice in {zone}, when its clocks are set back"));
            }
            LocalResult::None => {
                return Err(format!(
                    "the time {there} is left out in {zone}, when its clocks are set forward"
                ));
            }
        };
        let nanos =
            time.timestamp_nanos_opt().ok_or_else(|| format!("the time {there} lies beyond 1677 to 2262"))?;
        Ok(Timestamp::from_nanos(nanos))
    }

    fn possible(&self, time: Timestamp, now: Timestamp) -> Result<Timestamp, String> {
        let why = if self.any_time {
            return Ok(time);
        } else if time.nanos() < FIRST_POSSIBLE {
            "lies before 2000"
        } else if time.nanos() > now.nanos().saturating_add(AHEAD_NANOS) {
            "lies more than a day in the future"
        } else {
            return Ok(time);
        };
        Err(format!(
            "the time {} {why}, which a server takes for a clock that is off (is the unit right? --any-time sends it all the same)",
            query::rfc3339(time)
        ))
    }
}

/// A time without an offset.
fn local(text: &str) -> Option<NaiveDateTime> {
    let date = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    FORMATS.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()).or_else(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_kind() {
        let now = Timestamp::from_nanos(1_800_000_000_000_000_000);
        let berlin = Some(chrono_tz::Europe::Berlin);
        let text = |text: &str| Cell::Text(text.to_owned());
        for (cell, unit, zone, expect) in [
            (text("2023-11-14T22:13:20.123456789Z"), None, None, Ok(1_700_000_000_123_456_789)),
            (text(" 1700000000 "), None, None, Ok(1_700_000_000_000_000_000)),
            (Cell::Int(1_700_000_000_123), None, None, Ok(1_700_000_000_123_000_000)),
            (Cell::Int(1_000_000_000), Some(TimeUnit::Seconds), None, Ok(1_000_000_000_000_000_000)),
            (Cell::Float(1_700_000_000.5), None, None, Ok(1_700_000_000_500_000_000)),
            (text("2023-11-14 23:13:20"), None, berlin, Ok(1_700_000_000_000_000_000)),
            (text("14.11.2023 23:13:20"), None, berlin, Ok(1_700_000_000_000_000_000)),
            (Cell::LocalTime(1_700_003_600_000_000_000), None, berlin, Ok(1_700_000_000_000_000_000)),
            (text("2023-11-14 23:13:20"), None, None, Err("--time-zone")),
            (text("2023-10-29 02:30:00"), None, berlin, Err("comes twice")),
            (text("2023-03-26 02:30:00"), None, berlin, Err("left out")),
            (text("1999-12-31T23:59:59Z"), None, None, Err("before 2000")),
            (text("2100-01-01T00:00:00Z"), None, None, Err("in the future")),
            (text("yesterday"), None, None, Err("yesterday")),
            (Cell::Nothing, None, None, Err("no time")),
            (Cell::Bool(true), None, None, Err("no time")),
        ] {
            let clock = Clock { unit, zone, any_time: false };
            match (clock.time(&cell, 0, now), expect) {
                (Ok(time), Ok(nanos)) => assert_eq!(time.nanos(), nanos, "{cell:?}"),
                (Err(said), Err(words)) => assert!(said.contains(words), "{cell:?}: {said}"),
                (got, expect) => panic!("{cell:?}: {got:?}, not {expect:?}"),
            }
        }
        let any = Clock { unit: None, zone: None, any_time: true };
        let time = any.time(&text("1969-12-31T23:59:59Z"), 7, now).unwrap();
        assert_eq!(time.nanos(), -1_000_000_000 + 7);
    }
}
