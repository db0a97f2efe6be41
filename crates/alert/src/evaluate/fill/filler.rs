//! The worker's side: which windows are filled next, and what of it goes where.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use log::Position;
use record::{DeviceId, TenantId, Timestamp};
use rule::{OpenWindows, Output};
use tokio::sync::mpsc;

use super::reader::Reader;
use super::{Ask, Page, Stored, Watch};
use crate::evaluate::partition::Partition;
use crate::evaluate::{Counts, Parts};

/// The name of the thread that reads the store.
const THREAD: &str = "rules-past";

/// Has windows filled, one tenant after the other.
pub(in crate::evaluate) struct Filler {
    /// When the server began to hear devices.
    began: Timestamp,
    running: Option<Running>,
}

struct Running {
    thread: JoinHandle<()>,
    asked: mpsc::Receiver<Ask>,
    open: Arc<OpenWindows>,
    /// What was stored and waits until rules have come as far.
    page: Option<Page>,
}

type Partitions = BTreeMap<u16, Partition>;

impl Filler {
    pub(in crate::evaluate) const fn new(began: Timestamp) -> Self {
        Self { began, running: None }
    }

    /// What the reader wants; `None` where nothing is filled.
    pub(in crate::evaluate) async fn ask(&mut self) -> Option<Ask> {
        let running = self.running.as_mut()?;
        // A reader that died has told all that it will tell.
        Some(running.asked.recv().await.unwrap_or_else(|| Ask::Done(Arc::clone(&running.open))))
    }

    /// Begins with the next tenant that has windows which wait, unless one is being filled.
    pub(in crate::evaluate) fn begin(&mut self, parts: &Parts, partitions: &mut Partitions) {
        while self.running.is_none() {
            let Some(open) = next(partitions).map(Arc::new) else { return };
            let (asks, asked) = mpsc::channel(1);
            let reader = Reader {
                past: parts.past.clone(),
                log: Arc::clone(&parts.log),
                clock: Arc::clone(&parts.clock),
                open: Arc::clone(&open),
                asks,
                began: self.began,
            };
            match std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || reader.run()) {
                Ok(thread) => self.running = Some(Running { thread, asked, open, page: None }),
                Err(error) => {
                    tracing::error!(%error, "no thread to fill windows of rules: they begin empty");
                    close(&open, partitions);
                }
            }
        }
    }

    /// Does what the reader asks for.
    pub(in crate::evaluate) fn answer(
        &mut self,
        ask: Ask,
        parts: &Parts,
        partitions: &mut Partitions,
        counts: &Counts,
        out: &mut Output,
    ) {
        match ask {
            Ask::Watch { open, devices, answer } => {
                watch(&open, devices, parts.log.partitions(log::Topic::Raw), partitions);
                // Where it is gone it needs no answer; so below.
                let _ = answer.send(partitions.values().flat_map(Partition::history).collect());
            }
            Ask::Apply(page) => {
                if let Some(running) = &mut self.running {
                    running.page = Some(page);
                }
                self.apply(partitions, counts, out);
            }
            Ask::Done(open) => {
                close(&open, partitions);
                self.running = None;
                self.begin(parts, partitions);
            }
        }
    }

    /// Fills windows with what was stored, if rules have come so far that none of it is still before them.
    pub(in crate::evaluate) fn apply(
        &mut self,
        partitions: &mut Partitions,
        counts: &Counts,
        out: &mut Output,
    ) {
        let Some(running) = &mut self.running else { return };
        let is_reached = |end: &Position| {
            let of = partitions.get(&end.partition.index);
            of.is_none_or(|of| of.next[end.partition.lane as usize] >= end.offset)
        };
        let Some(page) = running.page.take_if(|page| page.ends.iter().all(is_reached)) else { return };
        let again = apply(&page.tenant, page.devices, partitions, counts, out);
        let _ = page.answer.send(again);
    }

    /// Ends what is under way: it is begun again after the next start.
    pub(in crate::evaluate) async fn end(self) {
        let Some(Running { thread, asked, .. }) = self.running else { return };
        drop(asked);
        if !matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(()))) {
            tracing::error!(
                "filling windows of rules did not end cleanly; it begins again with the next start"
            );
        }
    }
}

/// What waits of the first tenant of which something does.
fn next(partitions: &Partitions) -> Option<OpenWindows> {
    let mut found: Option<OpenWindows> = None;
    for open in partitions.values().flat_map(|of| of.evaluator.open_windows()) {
        match &mut found {
            Some(found) if found.tenant() == open.tenant() => found.add(&open),
            Some(_) => {}
            None => found = Some(open),
        }
    }
    found
}

fn close(open: &OpenWindows, partitions: &mut Partitions) {
    for partition in partitions.values_mut() {
        partition.watch = None;
        partition.evaluator.close(open);
        partition.has_moved = true;
    }
}

/// As the stream writes them: a device is where its partition of the raw topic is.
fn of_device(raw: u16, partitions: &Partitions) -> u16 {
    raw % u16::try_from(partitions.len()).expect("partitions are numbered by u16").max(1)
}

fn watch(open: &Arc<OpenWindows>, devices: Vec<DeviceId>, of_raw: u16, partitions: &mut Partitions) {
    let mut by_partition: BTreeMap<u16, Vec<DeviceId>> = BTreeMap::new();
    for device in devices {
        let raw = record::partition_of(open.tenant().as_str(), device.as_str(), of_raw);
        by_partition.entry(of_device(raw, partitions)).or_default().push(device);
    }
    for (index, partition) in partitions {
        let devices = by_partition.remove(index);
        partition.watch = devices.map(|devices| Watch::new(Arc::clone(open), devices));
    }
}

fn apply(
    tenant: &TenantId,
    page: Vec<Stored>,
    partitions: &mut Partitions,
    counts: &Counts,
    out: &mut Output,
) -> Vec<DeviceId> {
    let mut again = Vec::new();
    for stored in page {
        let index = of_device(stored.partition, partitions);
        let Some(partition) = partitions.get_mut(&index) else { continue };
        let Some(watch) = &mut partition.watch else { continue };
        match watch.complete(stored) {
            Ok(Some(filled)) => {
                partition.evaluator.fill(tenant, filled, out);
                partition.has_moved = true;
                counts.filled.fetch_add(1, Ordering::Relaxed);
            }
            Ok(None) => {}
            Err(device) => again.push(device),
        }
    }
    again
}
