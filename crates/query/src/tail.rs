//! Readings as the store takes them, for who watches.
//!
//! ```text
//!   stream ──▶ Tailed::write ──▶ store          what the store has taken, nothing before
//!                   │ after Ok
//!                   ▼
//!                 Tail ──▶ a bounded queue per watcher; what finds it full is counted, and the watcher is told
//! ```
//!
//! A tail is for looking on, not for copying: whoever needs every reading asks SQL, or reads the clean topic. The writer never
//! waits for a watcher, and with nobody there a batch costs one look at a number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;
use record::{DeviceId, MetricName, Reading, Readings, TenantId};
use series::{Note, Position, Result, SeriesWriter, WriteBatch, Written};
use tokio::sync::mpsc;

/// Most watchers at a time: each is looked at for each batch, by the writer.
pub const WATCHERS: usize = 64;

/// Readings that wait for one watcher: some seconds of what a person can follow. Each takes 100 to 300 bytes.
const WAITING: usize = 1024;

/// Who watches what is written.
#[derive(Default)]
pub struct Tail {
    watchers: RwLock<Vec<Watcher>>,
    /// How many there are: the writer looks here first.
    count: AtomicUsize,
}

/// What a watcher wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Whose readings.
    pub tenant: TenantId,
    /// Of this device only.
    pub device: Option<DeviceId>,
    /// Of this metric only.
    pub metric: Option<MetricName>,
}

struct Watcher {
    watched: Watch,
    queue: mpsc::Sender<Reading>,
    missed: Arc<AtomicU64>,
}

/// One watcher's end. Dropped, it watches no more.
pub struct Watching {
    queue: mpsc::Receiver<Reading>,
    missed: Arc<AtomicU64>,
}

impl Tail {
    /// Watches from now on; `None` when as many watch as may ([`WATCHERS`]).
    #[must_use]
    pub fn watch(&self, watched: Watch) -> Option<Watching> {
        let mut watchers = self.watchers.write();
        watchers.retain(|watcher| !watcher.queue.is_closed());
        let place = watchers.len() < WATCHERS;
        let watching = place.then(|| {
            let (sender, queue) = mpsc::channel(WAITING);
            let missed = Arc::<AtomicU64>::default();
            watchers.push(Watcher { watched, queue: sender, missed: Arc::clone(&missed) });
            Watching { queue, missed }
        });
        self.count.store(watchers.len(), Ordering::Release);
        watching
    }

    /// Shows a batch that the store has taken.
    fn show(&self, batch: &WriteBatch) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut gone = false;
        for watcher in &*self.watchers.read() {
            if watcher.queue.is_closed() {
                gone = true;
            } else if let Some(readings) = batch.readings.get(&watcher.watched.tenant) {
                watcher.show(readings);
            }
        }
        if gone {
            let mut watchers = self.watchers.write();
            watchers.retain(|watcher| !watcher.queue.is_closed());
            self.count.store(watchers.len(), Ordering::Release);
        }
    }
}

impl Watcher {
    fn show(&self, readings: &Readings) {
        let Watch { device, metric, .. } = &self.watched;
        // The tables of names are short beside the rows: a batch without the device is not gone through.
        let device =
            device.as_ref().map(|device| readings.devices().position(|name| name == device.as_str()));
        let metric =
            metric.as_ref().map(|metric| readings.metrics().position(|name| name == metric.as_str()));
        if device == Some(None) || metric == Some(None) {
            return;
        }
        let (device, metric) = (device.flatten(), metric.flatten());
        let wanted = |row: &usize| {
            device.is_none_or(|device| readings.device_column()[*row].0 as usize == device)
                && metric.is_none_or(|metric| readings.metric_column()[*row].0 as usize == metric)
        };
        for row in (0..readings.len()).filter(wanted) {
            // A reading is copied only where there is room for it.
            match (self.queue.try_reserve(), readings.get(row)) {
                (Ok(place), Some(reading)) => place.send(reading.to_reading()),
                _ => {
                    self.missed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

impl Watching {
    /// At least one reading, at most `limit`, put behind what `into` holds. `false`: there will be none any more.
    pub async fn next(&mut self, into: &mut Vec<Reading>, limit: usize) -> bool {
        self.queue.recv_many(into, limit).await > 0
    }

    /// How many found the queue full since this was asked last.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

/// The store's writer, with those who watch.
pub struct Tailed {
    writer: Arc<dyn SeriesWriter>,
    tail: Arc<Tail>,
}

impl Tailed {
    /// Writes through `writer`, and shows `tail` what it has taken.
    #[must_use]
    pub fn new(writer: Arc<dyn SeriesWriter>, tail: Arc<Tail>) -> Self {
        Self { writer, tail }
    }
}

impl SeriesWriter for Tailed {
    fn write(&self, batch: &WriteBatch) -> Result<Written> {
        let written = self.writer.write(batch)?;
        self.tail.show(batch);
        Ok(written)
    }

    fn flush(&self) -> Result<()> {
        self.writer.flush()
    }

    fn positions(&self) -> Result<Vec<Position>> {
        self.writer.positions()
    }

    fn notes(&self) -> Result<Vec<Note>> {
        self.writer.notes()
    }
}

#[cfg(test)]
mod tests {
    use record::{Timestamp, Value, When};

    use super::*;

    struct Taking;

    impl SeriesWriter for Taking {
        fn write(&self, batch: &WriteBatch) -> Result<Written> {
            match batch.readings.is_empty() {
                true => {
                    Err(series::Error::Database { operation: "o", place: "d".into(), reason: "r".into() })
                }
                false => Ok(Written::default()),
            }
        }

        fn flush(&self) -> Result<()> {
            Ok(())
        }

        fn positions(&self) -> Result<Vec<Position>> {
            Ok(Vec::new())
        }

        fn notes(&self) -> Result<Vec<Note>> {
            Ok(Vec::new())
        }
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn batch(of: &str, names: &[(&str, &str)], rounds: usize) -> WriteBatch {
        let mut readings = Readings::new();
        for _ in 0..rounds {
            for (device, metric) in names {
                readings.push_reading(&Reading {
                    device: DeviceId::parse(device).unwrap(),
                    metric: MetricName::parse(metric).unwrap(),
                    when: When::by_server(Timestamp::from_nanos(1)),
                    value: Value::Int(1),
                });
            }
        }
        WriteBatch { readings: [(tenant(of), readings)].into(), ..WriteBatch::default() }
    }

    fn watched(device: Option<&str>, metric: Option<&str>) -> Watch {
        Watch {
            tenant: tenant("acme"),
            device: device.map(|device| DeviceId::parse(device).unwrap()),
            metric: metric.map(|metric| MetricName::parse(metric).unwrap()),
        }
    }

    async fn seen(watching: &mut Watching) -> Vec<String> {
        let mut readings = Vec::new();
        assert!(watching.next(&mut readings, WAITING).await);
        readings.iter().map(|reading| format!("{}/{}", reading.device, reading.metric)).collect()
    }

    #[tokio::test]
    async fn a_watcher_sees_what_is_its_tenants_and_what_it_asked_for() {
        let tail = Arc::new(Tail::default());
        let writer = Tailed::new(Arc::new(Taking), Arc::clone(&tail));
        let mut all = tail.watch(watched(None, None)).unwrap();
        let mut one = tail.watch(watched(Some("a"), None)).unwrap();
        let mut both = tail.watch(watched(Some("b"), Some("t"))).unwrap();
        writer.write(&batch("other", &[("a", "t")], 1)).unwrap();
        writer.write(&batch("acme", &[("a", "t"), ("b", "t"), ("b", "u")], 1)).unwrap();
        assert_eq!(seen(&mut all).await, ["a/t", "b/t", "b/u"]);
        assert_eq!(seen(&mut one).await, ["a/t"]);
        assert_eq!(seen(&mut both).await, ["b/t"]);
    }

    #[tokio::test]
    async fn who_is_slow_is_told_how_many_it_missed_and_holds_nobody_up() {
        let tail = Arc::new(Tail::default());
        let writer = Tailed::new(Arc::new(Taking), Arc::clone(&tail));
        let mut slow = tail.watch(watched(None, None)).unwrap();
        writer.write(&batch("acme", &[("a", "t")], WAITING + 7)).unwrap();
        assert_eq!((slow.missed(), slow.missed()), (7, 0));
        assert_eq!(seen(&mut slow).await.len(), WAITING);
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let tail = Arc::new(Tail::default());
        let mut watching: Vec<_> = (0..WATCHERS).map(|_| tail.watch(watched(None, None)).unwrap()).collect();
        assert!(tail.watch(watched(None, None)).is_none());
        watching.pop();
        assert!(tail.watch(watched(None, None)).is_some());
        drop(watching);
        Tailed::new(Arc::new(Taking), Arc::clone(&tail)).write(&batch("acme", &[("a", "t")], 1)).unwrap();
        assert_eq!(tail.count.load(Ordering::Acquire), 0, "nobody is looked at any more");
    }
}
