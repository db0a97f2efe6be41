//! What a turn puts out, before it is committed.

use std::collections::{BTreeMap, HashMap};

use record::{DeviceNo, MetricNo, Readings, TenantId, Timestamp};
use series::{DeadMessage, LateRow, Source, WindowKey, WindowRow, WriteBatch};

use crate::account::Account;
use crate::enrich::{Acquainted, Clean, Enricher};
use crate::facts::FactNews;

/// A window whose result is to be computed again from the stored points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// Which window; of a session: `start` is a moment in it or beside it.
    pub(crate) key: WindowKey,
    /// Its end, exclusive; of a session: as `start`.
    pub(crate) end: Timestamp,
    /// The gap of a session; `None` for windows of a fixed size.
    pub(crate) gap_nanos: Option<i64>,
    /// Its result is kept if it is of so many readings.
    pub(crate) least: u64,
}

/// One tenant's readings of a turn: those kept so far, and behind them the message being worked on.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    pub(crate) readings: Readings,
    pub(crate) fresh: Fresh,
    pub(crate) devices: Acquainted,
}

/// Finds kept rows by key. Made when the first question comes, and then only added to.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    rows: HashMap<(DeviceNo, MetricNo, Timestamp, u64), usize>,
    indexed: usize,
}

impl Fresh {
    /// The last of the first `kept` rows that has the key of `row`.
    pub(crate) fn find(&mut self, readings: &Readings, row: usize, kept: usize) -> Option<usize> {
        for kept in self.indexed..kept {
            self.rows.insert(key_of(readings, kept), kept);
        }
        self.indexed = self.indexed.max(kept);
        self.rows.get(&key_of(readings, row)).copied()
    }
}

fn key_of(readings: &Readings, row: usize) -> (DeviceNo, MetricNo, Timestamp, u64) {
    let when = readings.when(row).expect("the row is in the batch");
    (readings.device_column()[row], readings.metric_column()[row], when.claimed, when.seq)
}

/// The outcome of a turn, growing.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) batch: WriteBatch,
    /// `None` while it is lent.
    benches: BTreeMap<TenantId, Option<Bench>>,
    /// How many readings the turn before had: about as many will come.
    expected: usize,
    pub(crate) account: Account,
    pub(crate) revisions: Vec<Revision>,
    pub(crate) tally: Tally,
    /// Absent where the outcome is thrown away, or nobody wants to know of devices.
    pub(crate) enricher: Option<Enricher>,
}

/// An outcome that is complete.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    pub(crate) batch: WriteBatch,
    pub(crate) revisions: Vec<Revision>,
    pub(crate) tally: Tally,
    pub(crate) clean: Vec<Clean>,
    pub(crate) news: Vec<FactNews>,
}

/// What the stages did, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) kept: u64,
    pub(crate) duplicates: u64,
    pub(crate) corrections: u64,
    pub(crate) late: u64,
    pub(crate) shed: u64,
    pub(crate) shed_behind: u64,
    pub(crate) beyond_limits: u64,
    pub(crate) asked: u64,
    pub(crate) replays: u64,
}

impl Output {
    /// One that passes through the stage `enrich`, if there is one. About so many readings are expected.
    pub(crate) fn enriched(enricher: Option<Enricher>, expected: usize) -> Self {
        Self { enricher, expected, ..Self::default() }
    }

    /// Lends the tenant's readings; to be put back.
    pub(crate) fn take_bench(&mut self, tenant: &TenantId) -> Bench {
        match self.benches.get_mut(tenant) {
            Some(bench) => bench.take().unwrap_or_default(),
            None => {
                let mut bench = Bench::default();
                // Of the first tenant only: nobody knows how they share the turn.
                bench.readings.reserve(std::mem::take(&mut self.expected));
                bench
            }
        }
    }

    pub(crate) fn put_bench(&mut self, tenant: &TenantId, bench: Bench) {
        match self.benches.get_mut(tenant) {
            Some(place) => *place = Some(bench),
            None => {
                self.benches.insert(tenant.clone(), Some(bench));
            }
        }
    }

    pub(crate) fn late(&mut self, tenant: &TenantId, row: LateRow) {
        self.tally.late += 1;
        match self.batch.late.get_mut(tenant) {
            Some(rows) => rows.push(row),
            None => {
                self.batch.late.insert(tenant.clone(), vec![row]);
            }
        }
    }

    pub(crate) fn dead(&mut self, message: DeadMessage) {
        self.batch.dead.push(message);
    }

    pub(crate) fn resolved(&mut self, source: Source, offset: u64) {
        self.batch.resolved.push((source, offset));
    }

    pub(crate) fn window(&mut self, row: WindowRow) {
        self.batch.windows.push(row);
    }

    /// The batch, its account filled in, and what goes elsewhere.
    pub(crate) fn finish(mut self) -> Finished {
        self.batch.account = self.account.take();
        let mut news = Vec::new();
        let benches = self.benches.into_iter().filter_map(|(tenant, bench)| Some((tenant, bench?)));
        for (tenant, bench) in benches {
            news.append(&mut bench.devices.news(&tenant, &bench.readings));
            if !bench.readings.is_empty() {
                self.batch.readings.insert(tenant, bench.readings);
            }
        }
        let clean = self.enricher.map(|enricher| enricher.clean).unwrap_or_default();
        let Self { batch, revisions, tally, .. } = self;
        Finished { batch, revisions, tally, clean, news }
    }
}
