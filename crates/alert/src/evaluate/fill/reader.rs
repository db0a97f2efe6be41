//! Asks the store for what belongs into windows that are new, on a thread of its own.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{Lane, Log, PartitionId, Position, Topic};
use record::{DeviceId, MetricName, TenantId, Timestamp};
use rule::{Filled, Filling, OpenWindows};
use series::Device;
use tokio::sync::{mpsc, oneshot};

use super::{Ask, Page, Past, Stored};
use crate::{Clock, Error, Result};

/// Devices that are filled at once: what the worker applies in one go, some milliseconds.
const PAGE: u32 = 64;
/// Most readings that are taken from the store for the windows of one tenant, some minutes of work. The devices for which there is no
/// room begin empty.
const READINGS: u64 = 100_000_000;
/// Who was not heard for longer is not known, and so not silent: seven days, as long as the longest window.
const HEARD_NANOS: i64 = rule::limits::WINDOW_NS;
/// How often the store is looked at until it holds what was in the raw topic, and the pause between: half a minute.
const WAITS: (u32, Duration) = (1200, Duration::from_millis(25));
/// The longest rest after a page: a server that stops waits for it.
const REST: Duration = Duration::from_secs(1);
/// What is newer than this is read apart, so that it can be read between two writes of the store.
const RECENT_NANOS: i64 = 120 * 1_000_000_000;
/// What of a device is in memory at once.
const SLICE_NANOS: i64 = 6 * 3600 * 1_000_000_000;
/// How often what is recent is tried for a device. The store writes some dozen times a second; to read it takes about a millisecond.
const TRIES: usize = 50;
/// How often a device is read again where a reading could be counted twice.
const AGAIN: usize = 5;

/// See the module.
pub(in crate::evaluate) struct Reader {
    pub(in crate::evaluate) past: Past,
    pub(in crate::evaluate) log: Arc<dyn Log>,
    pub(in crate::evaluate) clock: Clock,
    pub(in crate::evaluate) open: Arc<OpenWindows>,
    pub(in crate::evaluate) asks: mpsc::Sender<Ask>,
    /// When the server began to hear devices, by its clock.
    pub(in crate::evaluate) began: Timestamp,
}

/// The worker is gone.
struct Gone;

/// What was done.
#[derive(Default)]
struct Done {
    devices: u64,
    readings: u64,
    /// Devices whose windows begin empty.
    left: u64,
    /// Whether the store was too far behind: nobody waits for it any longer.
    is_behind: bool,
}

impl Reader {
    /// Fills the windows of a tenant, and says when that is done.
    pub(in crate::evaluate) fn run(self) {
        let mut done = Done::default();
        let tenant = self.open.tenant();
        match self.devices(&mut done) {
            Err(Gone) => return,
            Ok(Err(error)) => {
                tracing::error!(%tenant, %error, "what was stored cannot be read: windows of rules begin empty");
            }
            Ok(Ok(())) if done.left > 0 => {
                let Done { devices, readings, left, .. } = done;
                tracing::warn!(%tenant, devices, readings, left, "windows of rules are filled, but for some devices");
            }
            Ok(Ok(())) => {}
        }
        // Where the worker is gone there is nobody to be told.
        let _ = self.asks.blocking_send(Ask::Done(Arc::clone(&self.open)));
    }

    fn devices(&self, done: &mut Done) -> std::result::Result<Result<()>, Gone> {
        let mut after = None::<String>;
        loop {
            let page = self.past.store.devices(self.open.tenant(), after.as_deref(), PAGE);
            let page = match page {
                Ok(page) => page,
                Err(error) => return Ok(Err(error.into())),
            };
            let Some(last) = page.last() else { return Ok(Ok(())) };
            after = Some(last.id.as_str().to_owned());
            let now = self.clock.as_ref()();
            let since = now.nanos().saturating_sub(HEARD_NANOS);
            let mut page: Vec<Device> = page.into_iter().filter(|of| of.last_seen.nanos() >= since).collect();
            let began = Instant::now();
            for _ in 0..AGAIN {
                if page.is_empty() || done.readings >= READINGS || done.is_behind {
                    break;
                }
                let again = match self.page(&page, now, done)? {
                    Ok(again) => again,
                    Err(error) => return Ok(Err(error)),
                };
                page.retain(|device| again.contains(&device.id));
            }
            done.left += page.len() as u64;
            // Half of a core is for those who work now.
            thread::sleep(began.elapsed().min(REST));
        }
    }

    /// Fills the windows of some devices; says which have to be read again.
    fn page(
        &self,
        page: &[Device],
        now: Timestamp,
        done: &mut Done,
    ) -> std::result::Result<Result<Vec<DeviceId>>, Gone> {
        let devices: Vec<DeviceId> = page.iter().map(|device| device.id.clone()).collect();
        let (answer, answered) = oneshot::channel();
        let open = Arc::clone(&self.open);
        self.asks.blocking_send(Ask::Watch { open, devices, answer }).map_err(|_| Gone)?;
        let history = answered.blocking_recv().map_err(|_| Gone)?;
        match self.wait(&history) {
            Ok(true) => {}
            Ok(false) => {
                done.is_behind = true;
                return Ok(Ok(page.iter().map(|device| device.id.clone()).collect()));
            }
            Err(error) => return Ok(Err(error)),
        }
        let mut stored = Vec::new();
        for device in page {
            if self.asks.is_closed() {
                return Err(Gone);
            }
            match self.device(device, now, done) {
                Ok(of) => stored.extend(of),
                Err(error) => {
                    done.left += 1;
                    let device = &device.id;
                    tracing::error!(%device, %error, "what was stored of a device cannot be read");
                }
            }
        }
        done.devices += stored.len() as u64;
        let ends = match self.ends() {
            Ok(ends) => ends,
            Err(error) => return Ok(Err(error)),
        };
        let (answer, answered) = oneshot::channel();
        let page = Page { tenant: self.open.tenant().clone(), devices: stored, ends, answer };
        self.asks.blocking_send(Ask::Apply(page)).map_err(|_| Gone)?;
        answered.blocking_recv().map(Ok).map_err(|_| Gone)
    }

    /// Waits until the store holds what live messages there are, and what the worker has seen of history.
    fn wait(&self, history: &[(u16, u64)]) -> Result<bool> {
        let mut wanted = Vec::new();
        for index in 0..self.log.partitions(Topic::Raw) {
            let of = PartitionId { topic: Topic::Raw, lane: Lane::Live, index };
            wanted.push((Lane::Live, index, self.log.extent(of)?.end));
        }
        wanted.extend(history.iter().map(|(index, offset)| (Lane::Backfill, *index, *offset)));
        for _ in 0..WAITS.0 {
            let held = self.positions()?;
            if wanted.iter().all(|(lane, index, offset)| held.of(*lane, *index) >= *offset) {
                return Ok(true);
            }
            if self.asks.is_closed() {
                return Ok(false);
            }
            thread::sleep(WAITS.1);
        }
        tracing::warn!("the store is too far behind for windows of rules to be filled: some begin empty");
        Ok(false)
    }

    /// Where the clean topic ends.
    fn ends(&self) -> Result<Vec<Position>> {
        let partitions = 0..self.log.partitions(Topic::Clean);
        let all = partitions.flat_map(|index| {
            [Lane::Live, Lane::Backfill].map(|lane| PartitionId { topic: Topic::Clean, lane, index })
        });
        let end = |partition| Ok(Position { partition, offset: self.log.extent(partition)?.end });
        all.map(end).collect()
    }

    /// What is stored of a device; nothing where the store wrote too often to be read in between.
    fn device(&self, device: &Device, now: Timestamp, done: &mut Done) -> Result<Option<Stored>> {
        let tenant = self.open.tenant();
        let partition =
            record::partition_of(tenant.as_str(), device.id.as_str(), self.log.partitions(Topic::Raw));
        let at = |nanos: i64| Timestamp::from_nanos(nanos);
        let begin = at(now.nanos().saturating_sub(self.open.longest().nanos()));
        let cut = at(now.nanos().saturating_sub(RECENT_NANOS)).max(begin);
        let metrics: Vec<MetricName> =
            self.open.metrics().iter().filter_map(|name| MetricName::parse(name).ok()).collect();
        let before = self.positions()?.lanes(partition);
        let mut windows = self.open.start();
        let mut from = begin;
        while from < cut {
            let to = at(from.nanos().saturating_add(SLICE_NANOS)).min(cut);
            done.readings += self.points((&device.id, &metrics), from..to, &mut windows)?;
            from = to;
        }
        for _ in 0..TRIES {
            let recent = self.positions()?.lanes(partition);
            let mut windows = windows.clone();
            let readings = self.points((&device.id, &metrics), cut..at(i64::MAX), &mut windows)?;
            let last = self.past.store.latest(tenant, &device.id)?;
            if self.positions()?.lanes(partition) != recent {
                continue;
            }
            done.readings += readings;
            let last = last
                .into_iter()
                .map(|of| (of.metric, of.value, of.when.time, self.heard(of.when.arrived_at)));
            let filled = Filled {
                device: device.id.clone(),
                facts: self.facts(tenant, &device.id)?,
                heard: self.heard(device.last_seen),
                last: last.collect(),
                windows,
            };
            return Ok(Some(Stored { filled, partition, cut, old: before, recent }));
        }
        done.left += 1;
        Ok(None)
    }

    /// The time that the server was not there is nobody's silence.
    fn heard(&self, at: Timestamp) -> Timestamp {
        at.max(self.began)
    }

    fn facts(&self, tenant: &TenantId, device: &DeviceId) -> Result<record::Facts> {
        self.past.directory.facts(tenant, device).map_err(|reason| Error::Directory {
            what: format!("device {device}"),
            tenant: tenant.to_string(),
            reason,
        })
    }

    /// Puts what is stored of a range into windows, in the order of time; says how many readings that were.
    fn points(
        &self,
        (device, metrics): (&DeviceId, &[MetricName]),
        range: std::ops::Range<Timestamp>,
        windows: &mut Filling,
    ) -> Result<u64> {
        if metrics.is_empty() || range.is_empty() {
            return Ok(0);
        }
        let places: Vec<usize> = metrics
            .iter()
            .map(|metric| {
                let mut names = self.open.metrics().iter();
                names.position(|name| **name == *metric.as_str()).expect("they were made of these")
            })
            .collect();
        let mut points = Vec::new();
        let tenant = self.open.tenant();
        self.past.store.device_points(tenant, device, metrics, range, &mut |metric, at, value| {
            points.extend(value.as_f64().map(|value| (at, places[metric], value)));
        })?;
        points.sort_by_key(|(at, metric, _)| (*at, *metric));
        for (at, metric, value) in &points {
            windows.take(*metric, *at, *value);
        }
        Ok(points.len() as u64)
    }

    fn positions(&self) -> Result<Held> {
        Ok(Held((self.past.positions)()?))
    }
}

/// Where the store stands.
struct Held(Vec<series::Position>);

impl Held {
    fn of(&self, lane: Lane, partition: u16) -> u64 {
        let is_it = |of: &&series::Position| {
            (of.source.topic, of.source.lane, of.source.partition) == (Topic::Raw as u8, lane, partition)
        };
        self.0.iter().find(is_it).map_or(0, |of| of.offset)
    }

    fn lanes(&self, partition: u16) -> [u64; 2] {
        [Lane::Live, Lane::Backfill].map(|lane| self.of(lane, partition))
    }
}
