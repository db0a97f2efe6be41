//! The backends that the contract is asked of; the buffering one in every state it can be in.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use penstock_series::parquet::store::Options;
use penstock_series::{
    AccountEntry, Audit, Cardinality, ClockRow, DeadMessage, Device, Figures, Key, LateReading, Memory, Note,
    Old, Parquet, Point, Position, Removal, Result, SeriesAudit, SeriesReader, SeriesRemove, SeriesScan,
    SeriesWriter, Snapshot, Source, Sqlite, Superseded, WindowRow, WriteBatch, Written,
};
use record::{DeviceId, MetricName, Reading, TenantId, Timestamp, Value};

pub(crate) trait Store: SeriesReader + SeriesWriter + SeriesAudit + SeriesScan + SeriesRemove {}
impl<T: SeriesReader + SeriesWriter + SeriesAudit + SeriesScan + SeriesRemove> Store for T {}

/// Runs `check` on an empty store of every kind.
pub(crate) fn on_all(check: impl Fn(&dyn Store)) {
    check(&Memory::new());
    let dir = tempfile::tempdir().unwrap();
    check(&Sqlite::open(&dir.path().join("series.db")).unwrap());
    for then in [Then::Nothing, Then::Crash, Then::Roll, Then::RollAndCrash, Then::Merge] {
        let dir = tempfile::tempdir().unwrap();
        check(&Pushed::new(dir.path(), then));
    }
}

/// What is done after each write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Nothing,
    /// The process is gone and another opens the store.
    Crash,
    /// What is buffered becomes runs.
    Roll,
    RollAndCrash,
    /// Likewise, and all runs of a period become one.
    Merge,
}

/// Merges what can be merged: at the end of time everything is quiet.
pub(crate) fn merge_all(store: &Parquet) {
    while store.maintain(i64::MAX - 100_000_000).unwrap() {}
    while store.maintain(i64::MAX).unwrap() {}
}

/// A Parquet store that is pushed on after each write.
#[derive(Debug)]
pub(crate) struct Pushed {
    then: Then,
    dir: std::path::PathBuf,
    store: Mutex<Option<Parquet>>,
}

impl Pushed {
    pub(crate) fn new(dir: &std::path::Path, then: Then) -> Self {
        let store = Parquet::open(dir, Options::default()).unwrap();
        Self { then, dir: dir.to_owned(), store: Mutex::new(Some(store)) }
    }

    fn push_on(&self) {
        let mut store = self.store.lock().unwrap();
        let open = store.as_ref().unwrap();
        if matches!(self.then, Then::Roll | Then::RollAndCrash | Then::Merge) {
            open.roll().unwrap();
        }
        match self.then {
            Then::Nothing | Then::Roll => {}
            Then::Crash | Then::RollAndCrash => {
                // The lock has to go before it is taken again.
                *store = None;
                *store = Some(Parquet::open(&self.dir, Options::default()).unwrap());
            }
            Then::Merge => merge_all(open),
        }
    }

    fn with<T>(&self, call: impl FnOnce(&Parquet) -> T) -> T {
        call(self.store.lock().unwrap().as_ref().unwrap())
    }
}

impl SeriesScan for Pushed {
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>> {
        self.with(|store| store.snapshot(tenant))
    }
}

impl SeriesRemove for Pushed {
    fn erase(&self, tenant: &TenantId, device: &DeviceId, reason: &str, at: Timestamp) -> Result<Removal> {
        let removal = self.with(|store| store.erase(tenant, device, reason, at));
        self.push_on();
        removal
    }

    fn expire(&self, tenant: &TenantId, old: &Old, at: Timestamp) -> Result<Option<Removal>> {
        let removal = self.with(|store| store.expire(tenant, old, at));
        self.push_on();
        removal
    }

    fn tenants(&self) -> Result<Vec<TenantId>> {
        self.with(|store| store.tenants())
    }

    fn removals(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Removal>> {
        self.with(|store| store.removals(tenant, limit))
    }

    fn expired_before(&self, tenant: &TenantId, metric: &MetricName) -> Result<Option<Timestamp>> {
        self.with(|store| store.expired_before(tenant, metric))
    }
}

impl SeriesWriter for Pushed {
    fn write(&self, batch: &WriteBatch) -> Result<Written> {
        let written = self.with(|store| store.write(batch));
        self.push_on();
        written
    }

    fn positions(&self) -> Result<Vec<Position>> {
        self.with(Parquet::positions)
    }

    fn flush(&self) -> Result<()> {
        self.with(Parquet::flush)
    }

    fn notes(&self) -> Result<Vec<Note>> {
        self.with(Parquet::notes)
    }
}

impl SeriesReader for Pushed {
    fn points(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
        visit: &mut dyn FnMut(Point) -> bool,
    ) -> Result<()> {
        self.with(|store| store.points(tenant, device, metric, range, visit))
    }

    fn latest(&self, tenant: &TenantId, device: &DeviceId) -> Result<Vec<Reading>> {
        self.with(|store| store.latest(tenant, device))
    }

    fn device(&self, tenant: &TenantId, device: &DeviceId) -> Result<Option<Device>> {
        self.with(|store| store.device(tenant, device))
    }

    fn devices(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Device>> {
        self.with(|store| store.devices(tenant, after, limit))
    }

    fn held(&self, keys: &[Key<'_>]) -> Result<Vec<Option<Value>>> {
        self.with(|store| store.held(keys))
    }

    fn cardinality(&self, tenant: &TenantId) -> Result<Cardinality> {
        self.with(|store| store.cardinality(tenant))
    }

    fn dead_message(&self, source: Source, offset: u64) -> Result<Option<DeadMessage>> {
        self.with(|store| store.dead_message(source, offset))
    }

    fn dead_messages(&self, tenant: &str, limit: u32) -> Result<Vec<DeadMessage>> {
        self.with(|store| store.dead_messages(tenant, limit))
    }
}

impl SeriesAudit for Pushed {
    fn account(&self, tenant: Option<&str>, minutes: Range<Timestamp>) -> Result<Vec<AccountEntry>> {
        self.with(|store| store.account(tenant, minutes))
    }

    fn audit(&self) -> Result<Audit> {
        self.with(Parquet::audit)
    }

    fn figures(&self) -> Result<Figures> {
        self.with(Parquet::figures)
    }

    fn series(&self, tenant: &TenantId, visit: &mut dyn FnMut(&str, &str) -> bool) -> Result<()> {
        self.with(|store| store.series(tenant, visit))
    }

    fn windows(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        starts: Range<Timestamp>,
    ) -> Result<Vec<WindowRow>> {
        self.with(|store| store.windows(tenant, device, metric, starts))
    }

    fn late(&self, tenant: &TenantId, limit: u32) -> Result<Vec<LateReading>> {
        self.with(|store| store.late(tenant, limit))
    }

    fn superseded(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Superseded>> {
        self.with(|store| store.superseded(tenant, limit))
    }

    fn clocks(&self, tenant: &TenantId) -> Result<Vec<ClockRow>> {
        self.with(|store| store.clocks(tenant))
    }
}
