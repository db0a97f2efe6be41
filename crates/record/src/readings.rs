//! A batch of readings as columns: what decoders fill and the stream, the store and rules read.

use std::ops::Range;

use crate::names::Names;
use crate::{
    DeviceId, DeviceNo, IdError, MetricName, MetricNo, Reading, ReadingRef, TimeOrigin, Timestamp, ValueKind,
    ValueRef, When, limits,
};

/// A table of more metrics is not kept by [`Readings::clear_rows`]: those of a few kinds of devices are fewer.
const METRICS_KEPT: usize = 256;

/// Many readings, a column per part, names as numbers into tables. Clearing keeps the memory.
///
/// Rows can be added whole ([`Readings::push`]), or *staged* by a decoder that learns the device and the
/// time only at the end of an object: [`Readings::stage`] any number of values, then
/// [`Readings::commit`] them together, or [`Readings::rollback`] to a [`Mark`]. Staged rows are not seen
/// by readers.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    devices: Names,
    metrics: Names,
    device: Vec<DeviceNo>,
    time: Vec<Timestamp>,
    origin: Vec<TimeOrigin>,
    arrived_at: Vec<Timestamp>,
    /// Empty, or a row each: most batches have neither a sequence number nor a corrected clock.
    seq: Vec<u64>,
    claimed: Vec<Timestamp>,
    // These three run ahead of the others by the staged rows.
    metric: Vec<MetricNo>,
    kind: Vec<ValueKind>,
    /// Float and integer bits, 0 or 1, the number of a text, the number of a location.
    word: Vec<u64>,
    text: String,
    text_ends: Vec<usize>,
    locations: Vec<(f64, f64)>,
}

/// A state of a [`Readings`] to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    rows: usize,
    staged_to: usize,
    devices: usize,
    metrics: usize,
    text: usize,
    texts: usize,
    locations: usize,
}

impl Readings {
    /// An empty batch. Allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many readings it holds; staged ones do not count.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.device.len()
    }

    /// Whether it holds none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.device.is_empty()
    }

    /// Empties it, tables included. Keeps the memory up to [`limits::READINGS_KEPT`] rows.
    pub fn clear(&mut self) {
        self.metrics.truncate(0);
        self.clear_rows();
    }

    /// Empties it, but keeps the table of metrics unless that is long: for who reads one message after the other, of devices
    /// that have the same metrics. A metric of an earlier message may then have no row.
    pub fn clear_rows(&mut self) {
        let metrics = self.metrics.len();
        self.rollback(&Mark {
            rows: 0,
            staged_to: 0,
            devices: 0,
            metrics: if metrics > METRICS_KEPT { 0 } else { metrics },
            text: 0,
            texts: 0,
            locations: 0,
        });
        if self.word.capacity() > limits::READINGS_KEPT || self.text.capacity() > 32 * limits::READINGS_KEPT {
            self.shrink();
        }
    }

    /// Makes room for so many more rows, so that they need not move while they come.
    pub fn reserve(&mut self, rows: usize) {
        self.device.reserve(rows);
        self.time.reserve(rows);
        self.origin.reserve(rows);
        self.arrived_at.reserve(rows);
        self.metric.reserve(rows);
        self.kind.reserve(rows);
        self.word.reserve(rows);
    }

    #[cold]
    fn shrink(&mut self) {
        let rows = limits::READINGS_KEPT;
        self.devices.shrink_to(rows);
        self.metrics.shrink_to(rows);
        self.device.shrink_to(rows);
        self.time.shrink_to(rows);
        self.origin.shrink_to(rows);
        self.arrived_at.shrink_to(rows);
        self.seq.shrink_to(rows);
        self.claimed.shrink_to(rows);
        self.metric.shrink_to(rows);
        self.kind.shrink_to(rows);
        self.word.shrink_to(rows);
        self.text.shrink_to(32 * rows);
        self.text_ends.shrink_to(rows);
        self.locations.shrink_to(rows);
    }

    /// The number of `device`, which joins the table if it is new.
    ///
    /// # Errors
    /// [`IdError`] when it is new and not a [`DeviceId`].
    #[inline]
    pub fn device(&mut self, device: &str) -> Result<DeviceNo, IdError> {
        if let Some(number) = self.devices.find(device) {
            return Ok(DeviceNo(number));
        }
        DeviceId::check(device)?;
        Ok(DeviceNo(self.devices.add(device)))
    }

    /// The number of `metric`, which joins the table if it is new.
    ///
    /// # Errors
    /// [`IdError`] when it is new and not a [`MetricName`].
    #[inline]
    pub fn metric(&mut self, metric: &str) -> Result<MetricNo, IdError> {
        if let Some(number) = self.metrics.find_in_turn(metric) {
            return Ok(MetricNo(number));
        }
        MetricName::check(metric)?;
        Ok(MetricNo(self.metrics.add(metric)))
    }

    /// The metric behind the one that was last looked up: for who finds it next, as metrics of a device come in the same order
    /// each time. Only a name of ASCII letters, digits and `_.-/:`, behind which tags may stand in braces, without quotes and
    /// backslashes: text formats escape nothing of it. [`Readings::take_metric_in_turn`] takes it.
    #[inline]
    #[must_use]
    pub fn metric_in_turn(&self) -> Option<&str> {
        self.metrics.in_turn()
    }

    /// The number of the metric that [`Readings::metric_in_turn`] shows, as [`Readings::metric`] would give it.
    ///
    /// It must have shown one since the last metric was looked up.
    #[inline]
    pub fn take_metric_in_turn(&mut self) -> MetricNo {
        debug_assert!(self.metrics.in_turn().is_some(), "no metric was shown");
        MetricNo(self.metrics.take_in_turn())
    }

    /// Adds one reading. The numbers are from this batch's [`Readings::device`] and [`Readings::metric`].
    pub fn push(&mut self, device: DeviceNo, metric: MetricNo, when: When, value: ValueRef<'_>) {
        self.stage(metric, value);
        self.commit(device, when);
    }

    /// Adds a reading that stands on its own.
    pub fn push_reading(&mut self, reading: &Reading) {
        let device = self.device(reading.device.as_str()).expect("a device id was checked when it was made");
        let metric =
            self.metric(reading.metric.as_str()).expect("a metric name was checked when it was made");
        self.push(device, metric, reading.when, reading.value.as_ref());
    }

    /// Adds a value whose device and time are not known yet.
    #[inline]
    pub fn stage(&mut self, metric: MetricNo, value: ValueRef<'_>) {
        let word = match value {
            ValueRef::Float(x) => x.to_bits(),
            ValueRef::Int(x) => x as u64,
            ValueRef::Bool(x) => u64::from(x),
            ValueRef::Text(x) => {
                self.text.push_str(x);
                self.text_ends.push(self.text.len());
                self.text_ends.len() as u64 - 1
            }
            ValueRef::Location { lat, lng } => {
                self.locations.push((lat, lng));
                self.locations.len() as u64 - 1
            }
        };
        self.metric.push(metric);
        self.kind.push(value.kind());
        self.word.push(word);
    }

    /// How many rows are staged.
    #[inline]
    #[must_use]
    pub fn staged(&self) -> usize {
        self.word.len() - self.device.len()
    }

    /// The metric and value of the `n`-th staged row.
    #[must_use]
    #[inline]
    pub fn staged_value(&self, n: usize) -> Option<(MetricNo, ValueRef<'_>)> {
        let row = self.device.len() + n;
        Some((*self.metric.get(row)?, self.value_at(row)))
    }

    /// Drops every staged row but the `n`-th, which becomes a row of `metric`.
    pub fn keep_staged(&mut self, n: usize, metric: MetricNo) {
        let (to, from) = (self.device.len(), self.device.len() + n);
        assert!(from < self.word.len(), "row {n} is not staged");
        self.metric[to] = metric;
        self.kind[to] = self.kind[from];
        self.word[to] = self.word[from];
        self.cut_staged(to + 1);
    }

    /// Changes the metric of the `n`-th staged row.
    pub fn rename_staged(&mut self, n: usize, metric: MetricNo) {
        let row = self.device.len() + n;
        self.metric[row] = metric;
    }

    /// Drops the staged rows.
    pub fn discard_staged(&mut self) {
        self.cut_staged(self.device.len());
    }

    fn cut_staged(&mut self, rows: usize) {
        self.metric.truncate(rows);
        self.kind.truncate(rows);
        self.word.truncate(rows);
    }

    /// Gives every staged row its device and time, which makes them readings. Returns how many.
    #[inline]
    pub fn commit(&mut self, device: DeviceNo, when: When) -> usize {
        let (from, rows) = (self.device.len(), self.word.len());
        self.device.resize(rows, device);
        self.time.resize(rows, when.time);
        self.origin.resize(rows, when.origin);
        self.arrived_at.resize(rows, when.arrived_at);
        if when.seq != 0 || !self.seq.is_empty() {
            self.seq.resize(from, 0);
            self.seq.resize(rows, when.seq);
        }
        if when.claimed != when.time || !self.claimed.is_empty() {
            self.claimed.extend_from_slice(&self.time[self.claimed.len()..from]);
            self.claimed.resize(rows, when.claimed);
        }
        rows - from
    }

    /// Gives the rows another time; their values stay.
    ///
    /// # Panics
    /// When the range reaches past the end.
    #[inline]
    pub fn set_when(&mut self, rows: Range<usize>, when: When) {
        assert!(rows.end <= self.len(), "rows {rows:?} of {}", self.len());
        if when.seq != 0 || !self.seq.is_empty() {
            self.seq.resize(self.len(), 0);
            self.seq[rows.clone()].fill(when.seq);
        }
        if when.claimed != when.time || !self.claimed.is_empty() {
            self.claimed.extend_from_slice(&self.time[self.claimed.len()..]);
            self.claimed[rows.clone()].fill(when.claimed);
        }
        self.time[rows.clone()].fill(when.time);
        self.origin[rows.clone()].fill(when.origin);
        self.arrived_at[rows].fill(when.arrived_at);
    }

    /// Writes row `from` over row `to`, which stands before it: so the rows to keep move up over those to drop, and
    /// [`Readings::truncate_rows`] cuts what is left. Names, text and numbers of dropped rows stay in the tables.
    /// Nothing may be staged.
    ///
    /// # Panics
    /// When one of them is past the end.
    #[inline]
    pub fn move_row(&mut self, from: usize, to: usize) {
        debug_assert_eq!(self.staged(), 0, "rows are staged");
        if from == to {
            return;
        }
        self.device[to] = self.device[from];
        self.time[to] = self.time[from];
        self.origin[to] = self.origin[from];
        self.arrived_at[to] = self.arrived_at[from];
        self.metric[to] = self.metric[from];
        self.kind[to] = self.kind[from];
        self.word[to] = self.word[from];
        if !self.seq.is_empty() {
            self.seq[to] = self.seq[from];
        }
        if !self.claimed.is_empty() {
            self.claimed[to] = self.claimed[from];
        }
    }

    /// Drops the rows from `to` on, and what is staged.
    #[inline]
    pub fn truncate_rows(&mut self, to: usize) {
        self.device.truncate(to);
        self.time.truncate(to);
        self.origin.truncate(to);
        self.arrived_at.truncate(to);
        self.seq.truncate(to);
        self.claimed.truncate(to);
        self.cut_staged(self.device.len());
    }

    /// Where it stands, to go back to.
    #[must_use]
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark {
            rows: self.device.len(),
            staged_to: self.word.len(),
            devices: self.devices.len(),
            metrics: self.metrics.len(),
            text: self.text.len(),
            texts: self.text_ends.len(),
            locations: self.locations.len(),
        }
    }

    /// Forgets all that was added since `mark`, names included.
    pub fn rollback(&mut self, mark: &Mark) {
        self.devices.truncate(mark.devices);
        self.metrics.truncate(mark.metrics);
        self.device.truncate(mark.rows);
        self.time.truncate(mark.rows);
        self.origin.truncate(mark.rows);
        self.arrived_at.truncate(mark.rows);
        self.seq.truncate(mark.rows);
        self.claimed.truncate(mark.rows);
        self.cut_staged(mark.staged_to);
        self.text.truncate(mark.text);
        self.text_ends.truncate(mark.texts);
        self.locations.truncate(mark.locations);
    }

    /// The reading in row `row`; `None` past the end.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> Option<ReadingRef<'_>> {
        let device_no = *self.device.get(row)?;
        let metric_no = self.metric[row];
        Some(ReadingRef {
            device: self.device_name(device_no),
            metric: self.metric_name(metric_no),
            device_no,
            metric_no,
            when: self.when_at(row),
            value: self.value_at(row),
        })
    }

    /// When the reading in row `row` happened and arrived; `None` past the end.
    #[inline]
    #[must_use]
    pub fn when(&self, row: usize) -> Option<When> {
        (row < self.len()).then(|| self.when_at(row))
    }

    /// Where the rows end that are of the same device and moment as row `from`; at `until` at the latest.
    ///
    /// # Panics
    /// When one of them is past the end.
    #[inline]
    #[must_use]
    pub fn end_of_moment(&self, from: usize, until: usize) -> usize {
        let same = |row: usize| {
            self.device[row] == self.device[from]
                && self.time[row] == self.time[from]
                && self.arrived_at[row] == self.arrived_at[from]
                && self.origin[row] == self.origin[from]
                && (self.seq.is_empty() || self.when_at(row).seq == self.when_at(from).seq)
                && (self.claimed.is_empty() || self.when_at(row).claimed == self.when_at(from).claimed)
        };
        (from + 1..until).find(|&row| !same(row)).unwrap_or(until)
    }

    #[inline]
    fn when_at(&self, row: usize) -> When {
        let time = self.time[row];
        When {
            time,
            origin: self.origin[row],
            arrived_at: self.arrived_at[row],
            claimed: self.claimed.get(row).copied().unwrap_or(time),
            seq: self.seq.get(row).copied().unwrap_or(0),
        }
    }

    /// The readings in the order they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ReadingRef<'_>> + DoubleEndedIterator {
        (0..self.len()).map(|row| self.get(row).expect("the row is below the length"))
    }

    /// The name behind a number of this batch; empty for a number of another.
    #[inline]
    #[must_use]
    pub fn device_name(&self, device: DeviceNo) -> &str {
        self.devices.get(device.0 as usize).unwrap_or_default()
    }

    /// The name behind a number of this batch; empty for a number of another.
    #[inline]
    #[must_use]
    pub fn metric_name(&self, metric: MetricNo) -> &str {
        self.metrics.get(metric.0 as usize).unwrap_or_default()
    }

    /// The table of devices, in the order of their numbers. One may have no row.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.devices.len()).map(|n| self.devices.get(n).expect("the number is below the length"))
    }

    /// The table of metrics, in the order of their numbers. One may have no row.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.metrics.len()).map(|n| self.metrics.get(n).expect("the number is below the length"))
    }

    /// Device of each row.
    #[must_use]
    #[inline]
    pub fn device_column(&self) -> &[DeviceNo] {
        &self.device
    }

    /// Metric of each row.
    #[must_use]
    #[inline]
    pub fn metric_column(&self) -> &[MetricNo] {
        &self.metric[..self.device.len()]
    }

    /// When each row happened.
    #[must_use]
    #[inline]
    pub fn time_column(&self) -> &[Timestamp] {
        &self.time
    }

    /// Whose clock each row's time is from.
    #[must_use]
    #[inline]
    pub fn origin_column(&self) -> &[TimeOrigin] {
        &self.origin
    }

    /// When each row arrived.
    #[must_use]
    #[inline]
    pub fn arrived_at_column(&self) -> &[Timestamp] {
        &self.arrived_at
    }

    /// Type of each row's value.
    #[must_use]
    #[inline]
    pub fn kind_column(&self) -> &[ValueKind] {
        &self.kind[..self.device.len()]
    }

    /// The value in row `row`; `None` past the end.
    #[inline]
    #[must_use]
    pub fn value(&self, row: usize) -> Option<ValueRef<'_>> {
        (row < self.len()).then(|| self.value_at(row))
    }

    /// The bits behind each row's value: a float's or an integer's own, 0 or 1, else a number within this batch.
    #[must_use]
    pub fn word_column(&self) -> &[u64] {
        &self.word[..self.device.len()]
    }

    #[inline]
    fn value_at(&self, row: usize) -> ValueRef<'_> {
        let word = self.word[row];
        match self.kind[row] {
            ValueKind::Float => ValueRef::Float(f64::from_bits(word)),
            ValueKind::Int => ValueRef::Int(word as i64),
            ValueKind::Bool => ValueRef::Bool(word != 0),
            ValueKind::Text => {
                let number = word as usize;
                let start = if number == 0 { 0 } else { self.text_ends[number - 1] };
                ValueRef::Text(&self.text[start..self.text_ends[number]])
            }
            ValueKind::Location => {
                let (lat, lng) = self.locations[word as usize];
                ValueRef::Location { lat, lng }
            }
        }
    }
}

impl<'a> Extend<&'a Reading> for Readings {
    fn extend<I: IntoIterator<Item = &'a Reading>>(&mut self, readings: I) {
        readings.into_iter().for_each(|reading| self.push_reading(reading));
    }
}

impl<'a> FromIterator<&'a Reading> for Readings {
    fn from_iter<I: IntoIterator<Item = &'a Reading>>(readings: I) -> Self {
        let mut batch = Self::new();
        batch.extend(readings);
        batch
    }
}
