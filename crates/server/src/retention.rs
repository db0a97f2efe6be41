//! What the store no longer keeps: old readings and windows, tenant by tenant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use record::{TenantId, Timestamp};
use series::{Expiring, SeriesRemove};
use tokio::task::JoinHandle;

/// How often it is looked at. Ages are days.
const EVERY: Duration = Duration::from_secs(3600);

/// How long a tenant's readings and windows are kept; `None`: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// Readings, by event time.
    pub readings: Option<Duration>,
    /// Results of windows, by their end.
    pub windows: Option<Duration>,
}

/// Ages by tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Of tenants that have none of their own.
    pub all: Ages,
    /// Of these.
    pub tenants: BTreeMap<TenantId, Ages>,
}

impl Policy {
    fn of(&self, tenant: &TenantId) -> Ages {
        self.tenants.get(tenant).copied().unwrap_or(self.all)
    }

    fn keeps_everything(&self) -> bool {
        [self.all].iter().chain(self.tenants.values()).all(|ages| *ages == Ages::default())
    }
}

/// Removes what is old, now and each hour, until it is aborted. `None`: nothing ever is.
pub(crate) fn start(policy: &Policy, store: Arc<dyn SeriesRemove>) -> Option<JoinHandle<()>> {
    if policy.keeps_everything() {
        return None;
    }
    let policy = Arc::new(policy.clone());
    Some(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            let (policy, store) = (Arc::clone(&policy), Arc::clone(&store));
            let job = tokio::task::spawn_blocking(move || sweep(&policy, &*store, Timestamp::now()));
            if let Ok(Err(error)) = job.await {
                tracing::error!(%error, "not everything that is old could be removed; trying again in an hour");
            }
        }
    }))
}

/// What fails for one tenant does not keep the others' from being removed; the last error is returned.
fn sweep(policy: &Policy, store: &dyn SeriesRemove, now: Timestamp) -> series::Result<()> {
    let mut outcome = Ok(());
    for tenant in store.tenants()? {
        let Ages { readings, windows } = policy.of(&tenant);
        for (what, age) in [(Expiring::Readings, readings), (Expiring::Windows, windows)] {
            let Some(age) = age else { continue };
            let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
            let before = Timestamp::from_nanos(now.nanos().saturating_sub(age));
            match store.expire(&tenant, what, before, now) {
                Ok(Some(removal)) => {
                    let removed = removal.removed;
                    tracing::info!(%tenant, reason = removal.reason, ?removed, "what was old is removed");
                }
                Ok(None) => {}
                Err(error) => outcome = Err(error),
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use series::{Memory, SeriesReader as _, SeriesWriter as _, WriteBatch};

    use super::*;

    #[test]
    fn each_tenant_keeps_as_long_as_its_policy_says() {
        let store = Memory::new();
        let day = |days: u64| Duration::from_secs(days * 86_400);
        let now = Timestamp::from_nanos(100 * 86_400_000_000_000);
        let tenant = |name: &str| TenantId::parse(name).expect("a tenant's name");
        let mut batch = WriteBatch::default();
        for name in ["short", "long", "for-ever"] {
            let mut readings = record::Readings::new();
            let device = readings.device("d").expect("a device's id");
            let metric = readings.metric("m").expect("a metric's name");
            for age in [1, 10, 60] {
                let at = Timestamp::from_nanos(now.nanos() - age * 86_400_000_000_000);
                readings.push(device, metric, record::When::by_device(at, at), record::ValueRef::Int(age));
            }
            batch.readings.insert(tenant(name), readings);
        }
        store.write(&batch).expect("it is written");
        let ages = |days| Ages { readings: Some(day(days)), windows: None };
        let policy = Policy {
            all: ages(30),
            tenants: [(tenant("short"), ages(5)), (tenant("for-ever"), Ages::default())].into(),
        };
        sweep(&policy, &store, now).expect("it is removed");
        let left = |name: &str| {
            let (device, metric) = (record::DeviceId::parse("d"), record::MetricName::parse("m"));
            let always = Timestamp::from_nanos(0)..Timestamp::from_nanos(i64::MAX);
            let mut count = 0;
            let mut visit = |_| {
                count += 1;
                true
            };
            let (device, metric) = (device.expect("an id"), metric.expect("a name"));
            store.points(&tenant(name), &device, &metric, always, &mut visit).expect("points");
            count
        };
        assert_eq!(["short", "long", "for-ever"].map(left), [1, 2, 3]);
        assert!(Policy::default().keeps_everything() && !policy.keeps_everything());
    }
}
