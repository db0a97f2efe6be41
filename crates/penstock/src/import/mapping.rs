//! Which column is what.

use std::collections::HashMap;
use std::fmt;

use anyhow::bail;

use super::Import;
use super::kinds::{Kind, Seen};
use super::source::Source;
use super::times::{Clock, lacks_a_zone};
use crate::WrongUse;
use crate::export::NANOS;

/// Columns taken for the time where none is named, in this order.
const TIMES: [&str; 4] = ["time", "timestamp", "ts", "datetime"];
/// Columns taken for the device.
const DEVICES: [&str; 1] = ["device_id"];
/// What the first two columns of a list of rejected rows are called: they are no data.
pub(super) const REJECTED_COLUMNS: [&str; 2] = ["rejected_line", "rejected_reason"];

/// Which column is what.
pub(super) struct Mapping {
    header: Vec<String>,
    pub(super) time: usize,
    /// The column with the nanoseconds beyond those of `time`.
    pub(super) nanos: Option<usize>,
    pub(super) device: Of,
    pub(super) values: Values,
    pub(super) seq: Option<usize>,
    /// The types of metrics, where values are text.
    kinds: HashMap<String, Kind>,
}

/// A name: the same for all rows, or in a column.
pub(super) enum Of {
    All(String),
    Column(usize),
}

pub(super) enum Values {
    /// Each of these columns is a metric.
    Wide(Vec<usize>),
    /// One reading a row.
    Narrow { metric: Of, value: usize },
    /// As `penstock export` writes the table `telemetry`.
    Exported(Exported),
}

/// The columns of an exported reading.
pub(super) struct Exported {
    pub(super) metric: usize,
    pub(super) kind: usize,
    pub(super) value: usize,
    pub(super) integer: usize,
    pub(super) text: usize,
    pub(super) lat: usize,
    pub(super) lng: usize,
    pub(super) clock: usize,
}

impl Mapping {
    pub(super) fn new(asked: &Import, header: &[String]) -> anyhow::Result<Self> {
        let columns = Columns(header);
        columns.distinct()?;
        let time = match &asked.time_column {
            Some(name) => columns.named(name, "--time-column")?,
            None => columns.first_of(&TIMES).ok_or_else(|| {
                WrongUse(format!("which column is the time? Say --time-column; there are {}", columns.all()))
            })?,
        };
        let nanos = columns.find(&format!("{}{NANOS}", header[time]));
        let device = match (&asked.device, &asked.device_column) {
            (Some(device), _) => {
                record::DeviceId::check(device).map_err(|error| WrongUse(format!("--device: {error}")))?;
                Of::All(device.clone())
            }
            (None, Some(name)) => Of::Column(columns.named(name, "--device-column")?),
            (None, None) => Of::Column(columns.first_of(&DEVICES).ok_or_else(|| {
                WrongUse(format!(
                    "of which device? Say --device or --device-column; there are {}",
                    columns.all()
                ))
            })?),
        };
        let seq = match &asked.seq_column {
            Some(name) => Some(columns.named(name, "--seq-column")?),
            None => None,
        };
        let skip = asked.skip.iter().map(|name| columns.named(name, "--skip-column"));
        let skip = skip.collect::<Result<Vec<_>, _>>()?;
        let mut mapping = Self {
            header: header.to_vec(),
            time,
            nanos,
            device,
            values: Values::Wide(Vec::new()),
            seq,
            kinds: HashMap::new(),
        };
        mapping.values = mapping.find_values(asked, &columns, &skip)?;
        if matches!(mapping.values, Values::Exported(_)) && mapping.seq.is_none() {
            mapping.seq = columns.find("seq");
        }
        Ok(mapping)
    }

    fn find_values(&self, asked: &Import, columns: &Columns<'_>, skip: &[usize]) -> anyhow::Result<Values> {
        if let Some(name) = &asked.value_column {
            let value = columns.named(name, "--value-column")?;
            let metric = match (&asked.metric, &asked.metric_column) {
                (Some(metric), _) => {
                    record::MetricName::check(metric)
                        .map_err(|error| WrongUse(format!("--metric: {error}")))?;
                    Of::All(metric.clone())
                }
                (None, Some(name)) => Of::Column(columns.named(name, "--metric-column")?),
                (None, None) => {
                    bail!(WrongUse("--value-column goes with --metric-column or --metric".to_owned()))
                }
            };
            return Ok(Values::Narrow { metric, value });
        }
        if let (Some(exported), true) = (columns.exported(), skip.is_empty()) {
            return Ok(Values::Exported(exported));
        }
        let taken = |at: &usize| {
            *at == self.time
                || Some(*at) == self.nanos
                || Some(*at) == self.seq
                || matches!(self.device, Of::Column(device) if device == *at)
                || skip.contains(at)
                || columns
                    .0
                    .get(*at)
                    .is_some_and(|name| name.is_empty() || REJECTED_COLUMNS.contains(&&**name))
        };
        let metrics: Vec<usize> = (0..columns.0.len()).filter(|at| !taken(at)).collect();
        for at in &metrics {
            let name = &columns.0[*at];
            record::MetricName::check(name).map_err(|error| {
                WrongUse(format!(
                    "the column {name:?} cannot be a metric: {error}; --skip-column leaves it out"
                ))
            })?;
        }
        match metrics.is_empty() {
            true => bail!(WrongUse(format!("no column is left for a metric: there are {}", columns.all()))),
            false => Ok(Values::Wide(metrics)),
        }
    }

    /// Refuses a file whose times cannot be read without being told more, before any row is rejected for it.
    pub(super) fn check_times(&self, source: &mut Source, clock: &Clock) -> anyhow::Result<()> {
        if clock.zone.is_none() {
            let first = source.next()?.and_then(|row| row.cells.into_iter().nth(self.time));
            if first.as_ref().is_some_and(lacks_a_zone) {
                let first = first.map(|cell| cell.shown().into_owned()).unwrap_or_default();
                bail!(WrongUse(format!(
                    "the times, such as {first}, have no offset: say with --time-zone where their clock stood, --time-zone UTC or such as Europe/Berlin"
                )));
            }
        }
        source.rewind()
    }

    /// Whether the types of values are to be found out.
    pub(super) fn wants_kinds(&self) -> bool {
        !matches!(self.values, Values::Exported(_))
    }

    /// Reads the file through, to learn the types of its metrics. Returns what people should know of them.
    pub(super) fn learn(
        &mut self,
        source: &mut Source,
        told: &[(String, Kind)],
    ) -> anyhow::Result<Vec<String>> {
        let mut seen: HashMap<String, Seen> = HashMap::new();
        while let Some(row) = source.next()? {
            if row.broken.is_some() {
                continue;
            }
            self.each_text(&row.cells, |metric, text| match seen.get_mut(metric) {
                Some(seen) => seen.see(text),
                None => seen.entry(metric.to_owned()).or_default().see(text),
            });
        }
        let untold = |metric: &str| told.iter().all(|(of, _)| of != metric);
        let spoilt = seen.iter().filter(|(metric, _)| untold(metric));
        let mut notes: Vec<String> =
            spoilt.filter_map(|(metric, seen)| Some(note(metric, seen.spoilt()?))).collect();
        notes.sort();
        self.kinds = seen.into_iter().map(|(metric, seen)| (metric, seen.kind())).collect();
        for (metric, kind) in told {
            if self.kinds.insert(metric.clone(), *kind).is_none() {
                bail!(WrongUse(format!("--type: there is no metric {metric:?} with a value")));
            }
        }
        source.rewind()?;
        Ok(notes)
    }

    fn each_text(&self, cells: &[super::cell::Cell], mut look: impl FnMut(&str, &str)) {
        use super::cell::Cell;
        match &self.values {
            Values::Wide(columns) => {
                for at in columns {
                    if let Some(Cell::Text(text)) = cells.get(*at) {
                        look(&self.header[*at], text);
                    }
                }
            }
            Values::Narrow { metric, value } => {
                if let (Some(metric), Some(Cell::Text(text))) = (self.name(metric, cells), cells.get(*value))
                {
                    look(&metric, text);
                }
            }
            Values::Exported(_) => {}
        }
    }

    /// A name that holds for all rows, or is in one.
    pub(super) fn name<'a>(
        &self,
        of: &'a Of,
        cells: &'a [super::cell::Cell],
    ) -> Option<std::borrow::Cow<'a, str>> {
        match of {
            Of::All(name) => Some(name.as_str().into()),
            Of::Column(at) => match cells.get(*at) {
                None | Some(super::cell::Cell::Nothing) => None,
                Some(cell) => Some(cell.shown()),
            },
        }
    }

    pub(super) fn column(&self, at: usize) -> &str {
        &self.header[at]
    }

    /// The type of a metric's texts. Where values have types of their own, a text is a text.
    pub(super) fn kind(&self, metric: &str) -> Kind {
        self.kinds.get(metric).copied().unwrap_or(Kind::Text)
    }
}

/// Of a metric that a few values made text.
fn note(metric: &str, (others, first): (u64, &str)) -> String {
    format!(
        "{metric} becomes text, although most of its values are numbers (others: {others}, the first {first:?}); with \
         --type {metric}=float the numbers are numbers, and the others are rejected"
    )
}

/// What is done with a file, in one line; the same for the same.
impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "time {:?}", self.column(self.time))?;
        match &self.device {
            Of::All(device) => write!(f, ", device {device:?} for all")?,
            Of::Column(at) => write!(f, ", device from {:?}", self.column(*at))?,
        }
        if let Some(seq) = self.seq {
            write!(f, ", sequence number from {:?}", self.column(seq))?;
        }
        match &self.values {
            Values::Exported(_) => write!(f, ", readings as exported")?,
            Values::Narrow { metric: Of::All(metric), value } => {
                write!(f, ", metric {metric:?} for all, its values from {:?}", self.column(*value))?;
            }
            Values::Narrow { metric: Of::Column(metric), value } => {
                write!(f, ", metric from {:?}, value from {:?}", self.column(*metric), self.column(*value))?;
            }
            Values::Wide(columns) => write!(f, ", {} columns of metrics", columns.len())?,
        }
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(metric, _)| *metric);
        for (number, (metric, kind)) in kinds.iter().enumerate() {
            write!(f, "{} {metric} {kind}", if number == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

struct Columns<'a>(&'a [String]);

impl Columns<'_> {
    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| column == name)
    }

    fn first_of(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.0.iter().position(|column| column.eq_ignore_ascii_case(name)))
    }

    fn named(&self, name: &str, option: &str) -> Result<usize, WrongUse> {
        self.find(name)
            .ok_or_else(|| WrongUse(format!("{option}: no column {name:?}, there are {}", self.all())))
    }

    fn all(&self) -> String {
        self.0.join(", ")
    }

    /// Two columns of one name would correct each other's readings.
    fn distinct(&self) -> Result<(), WrongUse> {
        for (at, name) in self.0.iter().enumerate() {
            if !name.is_empty() && self.0[..at].contains(name) {
                return Err(WrongUse(format!("two columns are called {name:?}: rename one")));
            }
        }
        Ok(())
    }

    fn exported(&self) -> Option<Exported> {
        Some(Exported {
            metric: self.find("metric")?,
            kind: self.find("kind")?,
            value: self.find("value")?,
            integer: self.find("integer")?,
            text: self.find("text")?,
            lat: self.find("lat")?,
            lng: self.find("lng")?,
            clock: self.find("clock")?,
        })
    }
}
