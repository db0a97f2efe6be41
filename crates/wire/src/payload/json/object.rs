//! An object: which shape it has, what its keys mean.
//!
//! Keys come in any order, so a value may stand before it is known which metric, device and time it has, or even
//! whether it is a value of a reading at all. Values are staged in the columns as they come; the end of the object
//! decides.

use record::{DeviceNo, MetricNo, Readings, Timestamp, ValueRef};

use super::scan::{Fault, Scanner};
use super::value::{is_latitude, on_earth, value};
use crate::payload::number::Number;
use crate::payload::reason::{Problem, Reason, ValueError, excerpt};
use crate::payload::scratch::Notes;
use crate::payload::{Message, is_device_key, is_sequence_key, is_time_key};

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// Not known yet; if it stays so, every key that means nothing else is a metric.
    Flat,
    /// `{"metric": …, "value": …}`
    Single,
    /// `{"metrics": {…}}`
    Nested,
}

/// Whether a key stands for something else than a metric. [`Object::read`] says for what.
fn has_meaning(key: &str) -> bool {
    is_time_key(key)
        || is_device_key(key)
        || is_sequence_key(key)
        || matches!(key, "metric" | "value" | "metrics" | "values")
}

const SEQ: &str = "the sequence number must be a whole number from 0 to 9223372036854775807";

/// What the `value` key held: the number of its staged row, or why it is none.
type Given = Result<usize, ValueError>;

pub(super) struct Object<'m, 'r> {
    message: &'m Message<'m>,
    readings: &'r mut Readings,
    notes: &'r mut Notes,
    start: usize,
    rejected_before: usize,
    shape: Shape,
    device: Option<DeviceNo>,
    has_device: bool,
    time: Option<Timestamp>,
    has_time: bool,
    /// As [`record::When::seq`] has it: one more than was sent.
    seq: u64,
    has_seq: bool,
    metric: Option<MetricNo>,
    value: Option<(Given, usize)>,
    has_metrics: bool,
    /// The first thing that makes the whole element bad.
    problem: Option<Reason>,
}

impl<'m, 'r> Object<'m, 'r> {
    pub(super) fn new(
        message: &'m Message<'m>,
        readings: &'r mut Readings,
        notes: &'r mut Notes,
        start: usize,
    ) -> Self {
        Self {
            message,
            rejected_before: notes.rejected.len(),
            readings,
            notes,
            start,
            shape: Shape::Flat,
            device: None,
            has_device: false,
            time: None,
            has_time: false,
            seq: 0,
            has_seq: false,
            metric: None,
            value: None,
            has_metrics: false,
            problem: None,
        }
    }

    /// Stages what the object at hand holds and commits it, or says why not.
    pub(super) fn read(
        mut self,
        scanner: &mut Scanner<'_>,
        key_buffer: &mut String,
    ) -> Result<Result<DeviceNo, Reason>, Fault> {
        let mut more = scanner.open(b'}')?;
        while more {
            let key_at = scanner.at();
            if self.takes_flat() && self.read_expected(scanner, has_meaning) {
                more = scanner.more(b'}')?;
                continue;
            }
            let key = scanner.key()?;
            match key.text(key_buffer) {
                key if is_time_key(key) => self.read_time(scanner, key, key_at)?,
                key if is_device_key(key) => self.read_device(scanner, key, key_at)?,
                key if is_sequence_key(key) => self.read_seq(scanner, key, key_at)?,
                key @ "metric" => self.read_metric(scanner, key, key_at)?,
                key @ "value" => self.read_value(scanner, key, key_at)?,
                "metrics" | "values" => self.read_metrics(scanner, key_buffer, key_at)?,
                key if self.takes_flat() => self.read_member(scanner, key, key_at)?,
                _ => scanner.skip()?,
            }
            more = scanner.more(b'}')?;
        }
        Ok(self.finish())
    }

    /// Whether a key without a meaning of its own is a metric: only where topic or credential already say that
    /// this is telemetry of a device. Elsewhere a misspelt key would become a metric.
    fn takes_flat(&self) -> bool {
        self.shape == Shape::Flat && (self.message.device.is_some() || self.message.metric.is_some())
    }

    fn bad(&mut self, problem: Problem, at: usize) {
        self.problem.get_or_insert_with(|| problem.at(at));
    }

    fn once(&mut self, given: bool, key: &str, at: usize) {
        if given {
            self.bad(Problem::Twice(excerpt(key)), at);
        }
    }

    fn read_time(&mut self, scanner: &mut Scanner<'_>, key: &str, at: usize) -> Result<(), Fault> {
        self.once(self.has_time, key, at);
        self.has_time = true;
        let (unit, value_at) = (self.message.time_unit, scanner.at());
        let (time, text) = match scanner.peek() {
            Some(b'-' | b'0'..=b'9') => match scanner.number()? {
                (Number::Int(count), text) => (Timestamp::from_count(count, unit), text),
                (_, text) => (Timestamp::parse_decimal(text, unit), text),
            },
            Some(b'"') => {
                let text = scanner.string()?.text(&mut self.notes.text);
                (Timestamp::parse(text, unit), text)
            }
            Some(b'n') => return scanner.literal("null"), // a device without a clock
            _ => {
                scanner.skip()?;
                self.bad(Problem::Shape("the time must be a number or a text"), value_at);
                return Ok(());
            }
        };
        match time {
            Ok(time) => self.time = Some(time),
            Err(error) => {
                let found = excerpt(text);
                self.bad(Problem::Time { found, error }, value_at);
            }
        }
        Ok(())
    }

    fn read_seq(&mut self, scanner: &mut Scanner<'_>, key: &str, at: usize) -> Result<(), Fault> {
        self.once(self.has_seq, key, at);
        self.has_seq = true;
        let value_at = scanner.at();
        let number = match scanner.peek() {
            Some(b'-' | b'0'..=b'9') => match scanner.number()?.0 {
                Number::Int(number) => u64::try_from(number).ok(),
                _ => None,
            },
            Some(b'n') => return scanner.literal("null"), // a device that does not count
            _ => {
                scanner.skip()?;
                None
            }
        };
        match number {
            Some(number) => self.seq = number + 1, // below 2^63 + 1: an integer of a payload is an i64
            None => self.bad(Problem::Shape(SEQ), value_at),
        }
        Ok(())
    }

    fn read_device(&mut self, scanner: &mut Scanner<'_>, key: &str, at: usize) -> Result<(), Fault> {
        self.once(self.has_device, key, at);
        self.has_device = true;
        let value_at = scanner.at();
        let found = match scanner.peek() {
            Some(b'"') => scanner.string()?.text(&mut self.notes.text),
            Some(b'0'..=b'9') => scanner.number()?.1,
            _ => {
                scanner.skip()?;
                self.bad(Problem::Shape("the device must be a text"), value_at);
                return Ok(());
            }
        };
        let problem = match self.message.device {
            Some(expected) if expected == found => return Ok(()),
            Some(expected) => Problem::OtherDevice { found: excerpt(found), expected: excerpt(expected) },
            None => match self.readings.device(found) {
                Ok(device) => {
                    self.device = Some(device);
                    return Ok(());
                }
                Err(error) => Problem::Id(error),
            },
        };
        self.bad(problem, value_at);
        Ok(())
    }

    fn read_metric(&mut self, scanner: &mut Scanner<'_>, key: &str, at: usize) -> Result<(), Fault> {
        self.once(self.metric.is_some(), key, at);
        if self.shape == Shape::Flat {
            self.shape = Shape::Single;
        }
        let value_at = scanner.at();
        if scanner.peek() != Some(b'"') {
            scanner.skip()?;
            self.bad(Problem::Shape("the metric must be a text"), value_at);
            return Ok(());
        }
        let found = scanner.string()?.text(&mut self.notes.text);
        let problem = match self.message.metric {
            Some(expected) if expected != found => {
                Problem::OtherMetric { found: excerpt(found), expected: excerpt(expected) }
            }
            _ => match self.readings.metric(found) {
                Ok(metric) => {
                    self.metric = Some(metric);
                    return Ok(());
                }
                Err(error) => Problem::Id(error),
            },
        };
        self.bad(problem, value_at);
        Ok(())
    }

    fn read_value(&mut self, scanner: &mut Scanner<'_>, key: &str, at: usize) -> Result<(), Fault> {
        self.once(self.value.is_some(), key, at);
        let value_at = scanner.at();
        let given = value(scanner, &mut self.notes.text)?.map(|value| {
            self.readings.stage(MetricNo(0), value); // named in `finish`
            self.readings.staged() - 1
        });
        self.value = Some((given, value_at));
        Ok(())
    }

    fn read_metrics(
        &mut self,
        scanner: &mut Scanner<'_>,
        key_buffer: &mut String,
        at: usize,
    ) -> Result<(), Fault> {
        self.once(self.has_metrics, "metrics", at);
        self.has_metrics = true;
        self.shape = Shape::Nested;
        if scanner.peek() != Some(b'{') {
            let value_at = scanner.at();
            scanner.skip()?;
            self.bad(Problem::Shape("metrics must be an object of names and values"), value_at);
            return Ok(());
        }
        if self.value.is_none() {
            // Only what came before the shape was known; it is no reading.
            self.readings.discard_staged();
            self.notes.rejected.truncate(self.rejected_before);
            self.notes.next_element(); // a metric may have the name of an ignored key
        }
        let mut more = scanner.open(b'}')?;
        while more {
            if !self.read_expected(scanner, |_| false) {
                let key_at = scanner.at();
                let key = scanner.key()?;
                self.read_member(scanner, key.text(key_buffer), key_at)?;
            }
            more = scanner.more(b'}')?;
        }
        Ok(())
    }

    /// Reads the member at hand if it is what most are: the metric that comes behind the one before, and a plain number.
    /// Otherwise nothing has happened. `is_other` says whether a key of that name is no metric here.
    #[inline]
    fn read_expected(&mut self, scanner: &mut Scanner<'_>, is_other: impl Fn(&str) -> bool) -> bool {
        let Some(expected) = self.readings.metric_in_turn() else { return false };
        let key_at = scanner.at();
        if self.message.metric.is_some() || is_other(expected) || !scanner.is_key(expected) {
            return false;
        }
        let value = match scanner.plain_number() {
            Some(Number::Float(float)) => ValueRef::Float(float),
            Some(Number::Int(int)) => ValueRef::Int(int),
            _ => {
                scanner.back_to(key_at);
                return false;
            }
        };
        let metric = self.readings.take_metric_in_turn();
        self.readings.stage(metric, value);
        if self.notes.is_twice(metric) {
            self.bad(Problem::Twice(excerpt(self.readings.metric_name(metric))), key_at);
        }
        true
    }

    /// A key that names a metric, and its value.
    fn read_member(&mut self, scanner: &mut Scanner<'_>, key: &str, key_at: usize) -> Result<(), Fault> {
        let value_at = scanner.at();
        let value = value(scanner, &mut self.notes.text)?;
        let metric = match self.message.metric {
            None => self.readings.metric(key),
            Some(group) => {
                let name = &mut self.notes.name;
                name.clear();
                name.extend([group, ".", key]);
                self.readings.metric(name)
            }
        };
        let metric = match metric {
            Ok(metric) => metric,
            Err(error) => {
                self.notes.reject(Problem::Id(error).at(key_at));
                return Ok(());
            }
        };
        match value {
            Ok(value) => self.readings.stage(metric, value),
            Err(error) => {
                self.notes.reject(Problem::Value { metric: excerpt(key), error }.at(value_at));
            }
        }
        if self.notes.is_twice(metric) {
            self.bad(Problem::Twice(excerpt(key)), key_at);
        }
        Ok(())
    }

    /// Decides what the object was and commits its readings.
    fn finish(mut self) -> Result<DeviceNo, Reason> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let start = self.start;
        let at = |problem: Problem| problem.at(start);
        let device = match (self.message.device, self.device) {
            (Some(device), _) => self.readings.device(device).map_err(|error| at(error.into()))?,
            (None, Some(device)) => device,
            (None, None) => return Err(at(Problem::NoDevice)),
        };
        match (self.shape, self.value, self.metric) {
            (Shape::Nested, None, None) => {}
            (Shape::Nested, ..) => {
                return Err(at(Problem::Shape(
                    "metrics stand together with metric or value: send one of the forms",
                )));
            }
            (Shape::Single, Some((given, value_at)), Some(metric)) => {
                self.keep_single(given, value_at, metric)?
            }
            (Shape::Single, ..) => return Err(at(Problem::Shape("there is a metric but no value"))),
            (Shape::Flat, Some((given, value_at)), _) => self.finish_unnamed(given, value_at)?,
            (Shape::Flat, None, _) if self.takes_flat() => self.join_location()?,
            (Shape::Flat, None, _) => {
                return Err(at(Problem::Shape("an object needs metric and value, or metrics")));
            }
        }
        if self.readings.staged() == 0 && self.notes.rejected.len() == self.rejected_before {
            return Err(at(Problem::NoReadings));
        }
        self.readings.commit(device, self.message.when(self.time).with_seq(self.seq));
        Ok(device)
    }

    /// A `value` without a `metric`: the topic's metric, or in a flat object a metric of that name.
    fn finish_unnamed(&mut self, given: Given, value_at: usize) -> Result<(), Reason> {
        let id = |error| Problem::Id(error).at(value_at);
        if let Some(metric) = self.message.metric {
            let metric = self.readings.metric(metric).map_err(id)?;
            return self.keep_single(given, value_at, metric);
        }
        if !self.takes_flat() {
            return Err(Problem::NoMetric.at(self.start));
        }
        match given {
            Ok(row) => {
                let metric = self.readings.metric("value").map_err(id)?;
                self.readings.rename_staged(row, metric);
            }
            Err(error) => self.notes.reject(Problem::Value { metric: "value".into(), error }.at(value_at)),
        }
        Ok(())
    }

    /// Of all that was staged, only `value` is a reading.
    fn keep_single(&mut self, given: Given, value_at: usize, metric: MetricNo) -> Result<(), Reason> {
        self.notes.rejected.truncate(self.rejected_before);
        match given {
            Ok(row) => {
                self.readings.keep_staged(row, metric);
                Ok(())
            }
            Err(error) => {
                let metric = excerpt(self.readings.metric_name(metric));
                Err(Problem::Value { metric, error }.at(value_at))
            }
        }
    }

    /// `{"lat": …, "lng": …}` on a topic that names the metric is one value of it.
    fn join_location(&mut self) -> Result<(), Reason> {
        let Some(group) = self.message.metric else { return Ok(()) };
        if self.readings.staged() != 2 || self.notes.rejected.len() > self.rejected_before {
            return Ok(());
        }
        let part = |row: usize| {
            let (metric, value) = self.readings.staged_value(row)?;
            let key = self.readings.metric_name(metric).strip_prefix(group)?.strip_prefix('.')?;
            let degrees = match value {
                ValueRef::Text(_) | ValueRef::Bool(_) => None,
                number => number.as_f64(),
            };
            Some((is_latitude(key)?, degrees?))
        };
        let (lat, lng) = match (part(0), part(1)) {
            (Some((true, lat)), Some((false, lng))) | (Some((false, lng)), Some((true, lat))) => (lat, lng),
            _ => return Ok(()),
        };
        let location = on_earth(lat, lng)
            .map_err(|error| Problem::Value { metric: excerpt(group), error }.at(self.start))?;
        let metric = self.readings.metric(group).map_err(|error| Problem::Id(error).at(self.start))?;
        self.readings.discard_staged();
        self.readings.stage(metric, location);
        Ok(())
    }
}
