//! The tables that can be exported, and how a date of one is asked for.

use record::Timestamp;

/// A table of SQL (docs/sql.md), as far as an export must know it.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The column whose date a row belongs to; `None`: the table is what holds now.
    pub(super) time: Option<&'static str>,
    /// The column of devices.
    pub(super) device: Option<&'static str>,
    /// The column of metrics.
    pub(super) metric: Option<&'static str>,
    /// What tells the rows of a device apart: they are in this order.
    key: &'static str,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Name {
    /// Every reading
    #[default]
    Telemetry,
    /// Results of windows, by the date they begin on
    Aggregations,
    /// Readings that came late
    Late,
    /// Values that were replaced
    Corrections,
    /// Dead letters, by the date they arrived on
    Dlq,
    /// The account of every reading, by the date of arrival
    Ledger,
    /// Devices as they are now, under today's date
    Devices,
}

impl Name {
    pub(super) fn table(self) -> Table {
        let readings = |name, key| Table {
            name,
            time: Some("time"),
            device: Some("device_id"),
            metric: Some("metric"),
            key,
        };
        match self {
            Self::Telemetry => readings("telemetry", "time, metric, device_time, seq"),
            Self::Late => readings("late", "time, metric, device_time, seq"),
            Self::Corrections => readings("corrections", "time, metric, device_time, seq, replaced_at"),
            Self::Aggregations => Table {
                name: "aggregations",
                time: Some("window_start"),
                device: Some("device_id"),
                metric: Some("metric"),
                key: "window_start, metric, \"window\"",
            },
            Self::Dlq => Table {
                name: "dlq",
                time: Some("arrived_at"),
                device: None,
                metric: None,
                key: "arrived_at, id, reading",
            },
            Self::Ledger => Table {
                name: "ledger",
                time: Some("minute"),
                device: None,
                metric: None,
                key: "minute, topic",
            },
            Self::Devices => {
                Table { name: "devices", time: None, device: Some("id"), metric: None, key: "id" }
            }
        }
    }
}

/// A stretch of time, both ends within, nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Span {
    pub(super) const ALWAYS: Self = Self { from: i64::MIN, to: i64::MAX };

    /// How many instants it has, less one.
    fn length(self) -> u64 {
        self.to.abs_diff(self.from)
    }

    /// Its first and its second half; `None` for a single instant.
    pub(super) fn halves(self) -> Option<[Self; 2]> {
        let half = i64::try_from(self.length() / 2).ok()?;
        let middle = self.from.checked_add(half).filter(|middle| *middle < self.to)?;
        Some([Self { from: self.from, to: middle }, Self { from: middle + 1, to: self.to }])
    }

    /// Cut into `count` parts of about the same length, or fewer where it is too short.
    pub(super) fn parts(self, count: u64) -> Vec<Self> {
        let step = i64::try_from(self.length() / count.max(1)).unwrap_or(i64::MAX);
        let mut parts = Vec::new();
        let mut from = self.from;
        loop {
            match from.checked_add(step).filter(|to| *to < self.to && parts.len() as u64 + 1 < count) {
                Some(to) => {
                    parts.push(Self { from, to });
                    from = to + 1;
                }
                None => {
                    parts.push(Self { from, to: self.to });
                    return parts;
                }
            }
        }
    }
}

/// What an export is narrowed to.
pub(super) struct Filter {
    pub(super) devices: Vec<String>,
    pub(super) metrics: Vec<String>,
}

impl Table {
    /// The rows of `span` that `filter` lets through, of some devices.
    pub(super) fn condition(&self, span: Span, filter: &Filter, devices: Option<&[&str]>) -> String {
        let mut terms = Vec::new();
        if let Some(time) = self.time {
            if span.from > i64::MIN {
                terms.push(format!("{time} >= '{}'", Timestamp::from_nanos(span.from).to_rfc3339()));
            }
            if span.to < i64::MAX {
                terms.push(format!("{time} <= '{}'", Timestamp::from_nanos(span.to).to_rfc3339()));
            }
        }
        let wanted: Vec<&str> = filter.devices.iter().map(String::as_str).collect();
        let devices = devices.or(if wanted.is_empty() { None } else { Some(&wanted) });
        if let (Some(column), Some(devices)) = (self.device, devices) {
            terms.push(format!("{column} IN ({})", list(devices)));
        }
        if let (Some(column), false) = (self.metric, filter.metrics.is_empty()) {
            let metrics: Vec<&str> = filter.metrics.iter().map(String::as_str).collect();
            terms.push(format!("{column} IN ({})", list(&metrics)));
        }
        if terms.is_empty() { "true".to_owned() } else { terms.join(" AND ") }
    }

    /// How rows follow one another.
    pub(super) fn order(&self) -> String {
        match self.device {
            Some(device) if device != self.key => format!("{device}, {}", self.key),
            _ => self.key.to_owned(),
        }
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// A text as a literal of SQL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_span_are_the_span() {
        for (span, count) in [
            (Span { from: 0, to: 99 }, 7),
            (Span { from: 5, to: 5 }, 3),
            (Span { from: -3, to: 3 }, 100),
            (Span::ALWAYS, 5),
        ] {
            for parts in [span.parts(count), span.halves().map_or(vec![span], Vec::from)] {
                assert_eq!((parts[0].from, parts[parts.len() - 1].to), (span.from, span.to));
                assert!(parts.windows(2).all(|pair| pair[0].to + 1 == pair[1].from), "{parts:?}");
                assert!(parts.len() as u64 <= count.max(2));
            }
        }
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        let filter = Filter { devices: vec!["o'brien".into()], metrics: vec!["a, 'b' --".into()] };
        let condition = Name::Telemetry.table().condition(Span { from: 0, to: i64::MAX }, &filter, None);
        let expect = "time >= '1970-01-01T00:00:00.000000000Z' AND device_id IN ('o''brien') \
                      AND metric IN ('a, ''b'' --')";
        assert_eq!(condition, expect);
    }
}
