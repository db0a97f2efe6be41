//! What lines say beside their readings.

use std::ops::Range;

use record::Timestamp;

/// Measurement, tags and time of each good line, by the number of its element.
#[derive(Debug, Default)]
pub(in crate::payload) struct LineFacts {
    text: String,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    element: usize,
    measurement: Range<usize>,
    tags: Range<usize>,
    /// Where the time stands in the payload, and what it is.
    time: Option<(usize, Timestamp)>,
    /// Where the tag `host` stands in the payload, if it names the device.
    host_at: Option<usize>,
}

impl LineFacts {
    pub(in crate::payload) fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
        if self.lines.capacity() > record::limits::READINGS_KEPT {
            *self = Self::default();
        }
    }

    pub(super) fn add(
        &mut self,
        element: usize,
        measurement: &str,
        tags: &str,
        time: Option<(usize, Timestamp)>,
        host_at: Option<usize>,
    ) {
        let start = self.text.len();
        self.text.push_str(measurement);
        let middle = self.text.len();
        self.text.push_str(tags);
        let (measurement, tags) = (start..middle, middle..self.text.len());
        self.lines.push(Line { element, measurement, tags, time, host_at });
    }

    fn line(&self, element: usize) -> Option<&Line> {
        // Elements are added in order, and every good one has a line.
        let found = self.lines.binary_search_by_key(&element, |line| line.element).ok()?;
        self.lines.get(found)
    }

    pub(in crate::payload) fn measurement(&self, element: usize) -> Option<&str> {
        self.line(element).map(|line| &self.text[line.measurement.clone()])
    }

    pub(in crate::payload) fn tags(&self, element: usize) -> Option<&str> {
        self.line(element).map(|line| &self.text[line.tags.clone()])
    }

    pub(in crate::payload) fn host_at(&self, element: usize) -> Option<usize> {
        self.line(element)?.host_at
    }

    pub(in crate::payload) fn time(&self, element: usize) -> Option<(usize, Timestamp)> {
        self.line(element)?.time
    }
}
