//! What a decoder notes beside the readings, and the memory it reuses.

use std::ops::Range;

use record::{DeviceNo, Readings, TimeUnit, limits};

use super::Summary;
use super::influx::LineFacts;
use super::reason::{Problem, Reason};

/// One element of a message: an object of a JSON document or of a line, a bare value, or a line of line protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Where it stands in the payload, in bytes, without surrounding white space.
    pub range: Range<usize>,
    /// The device it is of, in the table of the batch; `None` when the element was refused as a whole.
    pub device: Option<DeviceNo>,
    /// The rows of its good readings in the batch.
    pub rows: Range<usize>,
}

/// A refused element, or a refused reading of an element whose others are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The element's number in the message, from 0; the index into [`Scratch::elements`].
    pub element: usize,
    /// Where the element stands in the payload, in bytes.
    pub range: Range<usize>,
    /// Why.
    pub reason: Reason,
}

/// Working memory of the decoders, one per worker, and what the last message left in it.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) readings: Readings,
    pub(super) notes: Notes,
}

impl Scratch {
    /// Empty; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The readings of the last message that [`super::inspect`] looked at.
    #[must_use]
    pub fn readings(&self) -> &Readings {
        &self.readings
    }

    /// The elements of the last message, in order, so that a payload can be cut up by device. Empty when it could
    /// not be read at all.
    #[must_use]
    pub fn elements(&self) -> &[Element] {
        &self.notes.elements
    }

    /// What the last message held that was refused, in order.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.notes.rejected
    }

    /// For line protocol: the measurement of element `element`, without escapes.
    #[must_use]
    pub fn measurement(&self, element: usize) -> Option<&str> {
        self.notes.lines.measurement(element)
    }

    /// For line protocol: the tags of element `element` but the one that names the device, sorted by key, as
    /// `key=value,key=value` with line protocol's escapes; empty when there are none.
    #[must_use]
    pub fn tags(&self, element: usize) -> Option<&str> {
        self.notes.lines.tags(element)
    }

    /// For line protocol: appends element `element` of `payload` to `out`, its time turned from `unit` into
    /// nanoseconds, with a line break. This is what goes into the log, whose lines are all in nanoseconds.
    ///
    /// A tag `host` that names the device becomes a `device_id`: the record in the log names its device, and beside
    /// another name a host is a tag like any other, which would become part of the metrics' names.
    pub fn append_line(&self, element: usize, payload: &[u8], unit: Option<TimeUnit>, out: &mut Vec<u8>) {
        let Some(range) = self.notes.elements.get(element).map(|element| element.range.clone()) else {
            return;
        };
        let mut start = range.start;
        if let Some(host_at) = self.notes.lines.host_at(element) {
            out.extend_from_slice(&payload[start..host_at]);
            out.extend_from_slice(b"device_id");
            start = host_at + "host".len();
        }
        let unit = unit.unwrap_or(TimeUnit::Nanoseconds);
        match self.notes.lines.time(element) {
            Some((at, time)) if unit != TimeUnit::Nanoseconds => {
                out.extend_from_slice(&payload[start..at]);
                out.extend_from_slice(time.nanos().to_string().as_bytes());
            }
            _ => out.extend_from_slice(&payload[start..range.end]),
        }
        out.push(b'\n');
    }
}

/// All of the scratch but the readings, so that both can be lent at once.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) elements: Vec<Element>,
    pub(super) rejected: Vec<Rejected>,
    pub(super) lines: LineFacts,
    /// A key without escapes.
    pub(super) key: String,
    /// A text value without escapes.
    pub(super) text: String,
    /// A metric name put together from parts.
    pub(super) name: String,
    /// For each metric of the batch, the last element that had it.
    seen: Vec<u64>,
    element_no: u64,
    first_row: usize,
}

impl Notes {
    pub(super) fn begin(&mut self, readings: &Readings) {
        self.elements.clear();
        self.rejected.clear();
        self.lines.clear();
        self.first_row = readings.len();
        if self.elements.capacity() > limits::READINGS_KEPT || self.seen.capacity() > limits::READINGS_KEPT {
            self.elements.shrink_to(limits::READINGS_KEPT);
            self.rejected.shrink_to(limits::READINGS_KEPT);
            self.seen = Vec::new();
        }
    }

    /// From here on [`Notes::is_twice`] is about the next element.
    pub(super) fn next_element(&mut self) {
        self.element_no += 1;
    }

    /// Whether this element already had `metric`.
    pub(super) fn is_twice(&mut self, metric: record::MetricNo) -> bool {
        let metric = metric.0 as usize;
        if self.seen.len() <= metric {
            self.seen.resize(metric + 1, 0);
        }
        std::mem::replace(&mut self.seen[metric], self.element_no) == self.element_no
    }

    /// Notes that the element to come, or one reading of it, is refused. The range is filled in by
    /// [`Notes::element`].
    pub(super) fn reject(&mut self, reason: Reason) {
        // One beyond the limit says that it is broken; more would only cost memory.
        if self.rejected.len() <= limits::REJECTED_PER_MESSAGE {
            self.rejected.push(Rejected { element: self.elements.len(), range: 0..0, reason });
        }
    }

    /// Notes an element and completes the refusals noted since `rejected_before`.
    pub(super) fn element(
        &mut self,
        element: Element,
        rejected_before: usize,
        readings: &Readings,
    ) -> Result<(), Problem> {
        for rejected in &mut self.rejected[rejected_before..] {
            rejected.range = element.range.clone();
        }
        self.elements.push(element);
        if self.rejected.len() > limits::REJECTED_PER_MESSAGE {
            return Err(Problem::TooManyRejected);
        }
        if readings.len() - self.first_row > limits::READINGS_PER_MESSAGE {
            return Err(Problem::TooManyReadings);
        }
        Ok(())
    }

    pub(super) fn summary(&self, readings: &Readings) -> Result<Summary, Reason> {
        let times = &readings.time_column()[self.first_row..];
        match (times.iter().min(), times.iter().max()) {
            (Some(&oldest), Some(&newest)) => {
                Ok(Summary { readings: times.len(), rejected: self.rejected.len(), oldest, newest })
            }
            _ => match self.rejected.first() {
                Some(first) => Err(first.reason.clone()),
                None => Err(Problem::NoReadings.at(0)),
            },
        }
    }
}
