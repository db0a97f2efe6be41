//! What the store no longer keeps: old readings and windows, by tenant and metric.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use record::{MetricPattern, TenantId, Timestamp};
use series::{Expiring, MetricSet, Old, SeriesRemove};
use tokio::task::JoinHandle;

use crate::stores::NICENESS;

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

/// Ages by tenant and metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Of tenants that have none of their own.
    pub all: Ages,
    /// Of these.
    pub tenants: BTreeMap<TenantId, Ages>,
    /// Of some metrics: the first that names the tenant and the metric holds.
    pub metrics: Vec<OfMetrics>,
}

/// What some metrics have of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfMetrics {
    /// Whose; `None`: all tenants'.
    pub tenant: Option<TenantId>,
    /// Which.
    pub metrics: Vec<MetricPattern>,
    /// How long their readings are kept.
    pub readings: Age,
    /// How long results of their windows are.
    pub windows: Age,
}

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// As long as its tenant's.
    AsTenant,
    /// So long; `None`: for ever.
    Own(Option<Duration>),
}

impl Age {
    fn or(self, tenant: Option<Duration>) -> Option<Duration> {
        match self {
            Self::AsTenant => tenant,
            Self::Own(age) => age,
        }
    }
}

impl Policy {
    /// What of a tenant's is old at a time: of each kind one for each age, so that a file is written again once for each.
    fn old(&self, tenant: &TenantId, now: Timestamp) -> Vec<Old> {
        let Ages { readings, windows } = self.tenants.get(tenant).copied().unwrap_or(self.all);
        let own: Vec<&OfMetrics> =
            self.metrics.iter().filter(|of| of.tenant.as_ref().is_none_or(|own| own == tenant)).collect();
        let of_kind = |what, tenants: Option<Duration>, own: Vec<Option<Duration>>, of: &[&OfMetrics]| {
            let ages: BTreeSet<Duration> = own.iter().copied().chain([tenants]).flatten().collect();
            let old = ages.into_iter().map(|age| {
                let patterns = of.iter().zip(&own).flat_map(|(of, own)| {
                    of.metrics.iter().map(move |pattern| (pattern.clone(), *own == Some(age)))
                });
                let metrics = MetricSet::first_of(patterns.collect(), tenants == Some(age));
                let nanos = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
                Old { what, metrics, before: Timestamp::from_nanos(now.nanos().saturating_sub(nanos)) }
            });
            old.collect::<Vec<Old>>()
        };
        let of_readings = own.iter().map(|of| of.readings.or(readings)).collect();
        let of_windows = own.iter().map(|of| of.windows.or(windows)).collect();
        let mut old = of_kind(Expiring::Readings, readings, of_readings, &own);
        old.extend(of_kind(Expiring::Windows, windows, of_windows, &own));
        old
    }

    fn keeps_everything(&self) -> bool {
        let for_ever = |of: &OfMetrics| of.readings.or(None).is_none() && of.windows.or(None).is_none();
        [self.all].iter().chain(self.tenants.values()).all(|ages| *ages == Ages::default())
            && self.metrics.iter().all(for_ever)
    }
}

/// How often something of a tenant's that is old could not be removed, since the start.
pub(crate) type Failures = Arc<AtomicU64>;

/// Removes what is old, now and each hour, until it is aborted. `None`: nothing ever is.
pub(crate) fn start(
    policy: &Policy,
    store: Arc<dyn SeriesRemove>,
    failures: Failures,
) -> Option<JoinHandle<()>> {
    if policy.keeps_everything() {
        return None;
    }
    let policy = Arc::new(policy.clone());
    Some(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            let (policy, store, counted) = (Arc::clone(&policy), Arc::clone(&store), Arc::clone(&failures));
            let (done, outcome) = tokio::sync::oneshot::channel();
            let thread = std::thread::Builder::new().name("series-retention".into()).spawn(move || {
                // Files may be written again. Where it cannot be lowered it stays as it is.
                let _ = rustix::process::nice(NICENESS);
                sweep(&policy, &*store, Timestamp::now(), &counted);
                let _ = done.send(());
            });
            match thread {
                Err(error) => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "what is old is not removed: no thread can be started; trying again in an hour")
                }
                Ok(_) => drop(outcome.await),
            }
        }
    }))
}

/// What fails for one tenant, or of one age, does not keep the others from being removed.
fn sweep(policy: &Policy, store: &dyn SeriesRemove, now: Timestamp, failures: &AtomicU64) {
    let failed = |error: series::Error, tenant: &str, reason: &str| {
        failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(tenant, reason, %error, "not everything that is old could be removed; trying again in an hour");
    };
    let tenants = store.tenants().unwrap_or_else(|error| {
        failed(error, "all", "retention");
        Vec::new()
    });
    for tenant in tenants {
        for old in policy.old(&tenant, now) {
            match store.expire(&tenant, &old, now) {
                Ok(Some(removal)) => {
                    let removed = removal.removed;
                    tracing::info!(%tenant, reason = removal.reason, ?removed, "what was old is removed");
                }
                Ok(None) => {}
                Err(error) => failed(error, tenant.as_str(), old.what.reason()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use record::{DeviceId, MetricName, Readings, ValueRef, When};
    use series::{Memory, SeriesReader as _, SeriesWriter as _, WriteBatch};

    use super::*;

    fn day(days: u64) -> Duration {
        Duration::from_secs(days * 86_400)
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("a tenant's name")
    }

    fn now() -> Timestamp {
        Timestamp::from_nanos(100 * 86_400_000_000_000)
    }

    fn ages(days: u64) -> Ages {
        Ages { readings: Some(day(days)), windows: None }
    }

    fn of(tenant: Option<&str>, metrics: &[&str], readings: Age) -> OfMetrics {
        let metrics = metrics.iter().map(|text| MetricPattern::parse(text).expect("a pattern"));
        OfMetrics {
            tenant: tenant.map(self::tenant),
            metrics: metrics.collect(),
            readings,
            windows: Age::AsTenant,
        }
    }

    /// Of each tenant a reading of each metric, one, ten and sixty days old.
    fn store(tenants: &[&str], metrics: &[&str]) -> Memory {
        let store = Memory::new();
        let mut batch = WriteBatch::default();
        for name in tenants {
            let mut readings = Readings::new();
            let device = readings.device("d").expect("a device's id");
            for metric in metrics {
                let metric = readings.metric(metric).expect("a metric's name");
                for age in [1, 10, 60] {
                    let at = Timestamp::from_nanos(now().nanos() - age * 86_400_000_000_000);
                    readings.push(device, metric, When::by_device(at, at), ValueRef::Int(age));
                }
            }
            batch.readings.insert(tenant(name), readings);
        }
        store.write(&batch).expect("it is written");
        store
    }

    fn left(store: &Memory, name: &str, metric: &str) -> usize {
        let (device, metric) =
            (DeviceId::parse("d").expect("an id"), MetricName::parse(metric).expect("a name"));
        let always = Timestamp::from_nanos(0)..Timestamp::from_nanos(i64::MAX);
        let mut count = 0;
        let mut visit = |_| {
            count += 1;
            true
        };
        store.points(&tenant(name), &device, &metric, always, &mut visit).expect("points");
        count
    }

    fn swept(policy: &Policy, store: &Memory) {
        let failures = AtomicU64::new(0);
        sweep(policy, store, now(), &failures);
        assert_eq!(failures.into_inner(), 0);
    }

    #[test]
    fn each_tenant_keeps_as_long_as_its_policy_says() {
        let store = store(&["short", "long", "for-ever"], &["m"]);
        let policy = Policy {
            all: ages(30),
            tenants: [(tenant("short"), ages(5)), (tenant("for-ever"), Ages::default())].into(),
            metrics: Vec::new(),
        };
        swept(&policy, &store);
        assert_eq!(["short", "long", "for-ever"].map(|name| left(&store, name, "m")), [1, 2, 3]);
        assert!(Policy::default().keeps_everything() && !policy.keeps_everything());
    }

    #[test]
    fn the_first_entry_that_names_tenant_and_metric_holds_then_the_tenant_then_the_default() {
        let metrics = ["debug.error", "debug.x", "vibration", "other"];
        let store = store(&["acme", "small"], &metrics);
        let policy = Policy {
            all: ages(30),
            tenants: [(tenant("small"), ages(5))].into(),
            metrics: vec![
                of(Some("acme"), &["debug.error"], Age::Own(None)),
                of(None, &["debug.*"], Age::Own(Some(day(5)))),
                of(Some("small"), &["vibration"], Age::Own(Some(day(30)))),
                of(None, &["vibration"], Age::AsTenant),
            ],
        };
        swept(&policy, &store);
        let of_tenant = |name: &str| metrics.map(|metric| left(&store, name, metric));
        assert_eq!(of_tenant("acme"), [3, 1, 2, 2]);
        assert_eq!(of_tenant("small"), [1, 1, 2, 1]);
    }

    #[test]
    fn metrics_of_one_age_go_together_and_who_keeps_all_removes_nothing() {
        let policy = Policy {
            all: ages(30),
            tenants: BTreeMap::new(),
            metrics: vec![
                of(None, &["a.*"], Age::Own(Some(day(7)))),
                of(None, &["a*"], Age::Own(None)),
                of(None, &["b", "c"], Age::Own(Some(day(7)))),
                of(None, &["d"], Age::Own(Some(day(30)))),
            ],
        };
        let old = policy.old(&tenant("t"), now());
        let texts: Vec<(i64, String)> = old
            .iter()
            .map(|old| (old.before.nanos() / 86_400_000_000_000, old.metrics.to_string()))
            .collect();
        assert_eq!(texts, [(93, "+a.*\n-a*\n+b\n+c".to_owned()), (70, "-a.*\n-a*\n-b\n-c\n+*".to_owned())]);
        let for_ever = Policy { metrics: vec![of(None, &["a"], Age::Own(None))], ..Policy::default() };
        assert!(for_ever.keeps_everything() && for_ever.old(&tenant("t"), now()).is_empty());
        let some = Policy { metrics: vec![of(None, &["a"], Age::Own(Some(day(1))))], ..Policy::default() };
        assert!(!some.keeps_everything());
        assert_eq!(some.old(&tenant("t"), now())[0].metrics.to_string(), "+a");
    }
}
