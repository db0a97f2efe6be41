//! How many devices and series a tenant has, and what makes them up (R4.7): the place to look when a budget is
//! spent.

use std::collections::HashMap;

use record::{TenantId, pattern_of};
use series::{Cardinality, SeriesAudit};

use crate::Result;

/// Most entries of each list.
const TOP: usize = 10;

/// Most names counted at a time. With more than these the counts are lower bounds, off by at most
/// [`Makeup::undercount`]; what is frequent enough to matter is still found (Misra and Gries, 1982).
const NAMES: usize = 10_000;

/// A name and how often it comes.
pub type Counted = (String, u64);

/// What a tenant's series are made of. Each list holds the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Makeup {
    /// How many there are.
    pub total: Cardinality,
    /// Metrics, by how many devices have them.
    pub metrics: Vec<Counted>,
    /// Devices, by how many metrics they have.
    pub devices: Vec<Counted>,
    /// What device ids look like, digits and hexadecimal parts as `#`, by how many devices do.
    pub device_patterns: Vec<Counted>,
    /// What names of metrics look like, likewise, by how many series do.
    pub metric_patterns: Vec<Counted>,
    /// By how much a count may be too low; 0: all are exact.
    pub undercount: u64,
}

pub(crate) fn makeup(books: &dyn SeriesAudit, tenant: &TenantId) -> Result<Makeup> {
    let mut count = Count::default();
    books.series(tenant, &mut |device, metric| {
        count.pair(device, metric);
        true
    })?;
    Ok(count.finish())
}

#[derive(Default)]
struct Count {
    total: Cardinality,
    /// The device whose metrics are being counted; a device's metrics come together.
    device: String,
    of_device: u64,
    devices: Vec<Counted>,
    metrics: Frequent,
    device_patterns: Frequent,
    metric_patterns: Frequent,
}

impl Count {
    fn pair(&mut self, device: &str, metric: &str) {
        if self.total.series == 0 || self.device != device {
            self.close_device();
            device.clone_into(&mut self.device);
            self.total.devices += 1;
            self.device_patterns.add(&pattern_of(device));
        }
        self.of_device += 1;
        self.total.series += 1;
        self.metrics.add(metric);
        self.metric_patterns.add(&pattern_of(metric));
    }

    fn close_device(&mut self) {
        if self.of_device > 0 {
            self.devices.push((std::mem::take(&mut self.device), self.of_device));
            self.of_device = 0;
        }
        if self.devices.len() >= 2 * TOP {
            largest_first(&mut self.devices);
        }
    }

    fn finish(mut self) -> Makeup {
        self.close_device();
        largest_first(&mut self.devices);
        let undercount =
            self.metrics.forgotten.max(self.device_patterns.forgotten).max(self.metric_patterns.forgotten);
        Makeup {
            total: self.total,
            metrics: self.metrics.finish(),
            devices: self.devices,
            device_patterns: self.device_patterns.finish(),
            metric_patterns: self.metric_patterns.finish(),
            undercount,
        }
    }
}

fn largest_first(counted: &mut Vec<Counted>) {
    counted.sort_by(|(a, more), (b, than)| than.cmp(more).then_with(|| a.cmp(b)));
    counted.truncate(TOP);
}

/// Counts names in bounded memory.
#[derive(Default)]
struct Frequent {
    counts: HashMap<String, u64>,
    forgotten: u64,
}

impl Frequent {
    fn add(&mut self, name: &str) {
        if let Some(count) = self.counts.get_mut(name) {
            *count += 1;
        } else if self.counts.len() < NAMES {
            self.counts.insert(name.to_owned(), 1);
        } else {
            // One less for everybody, the new one included.
            self.forgotten += 1;
            self.counts.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    fn finish(self) -> Vec<Counted> {
        let mut all: Vec<_> = self.counts.into_iter().collect();
        largest_first(&mut all);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_ties_by_name() {
        let mut count = Count::default();
        for device in 0..50 {
            for metric in 0..=device % 25 {
                count.pair(&format!("dev-{device:02}"), &format!("m{metric}"));
            }
        }
        let makeup = count.finish();
        assert_eq!(makeup.total, Cardinality { devices: 50, series: 650 });
        let text = |(name, n): &Counted| format!("{name}={n}");
        let devices: Vec<_> = makeup.devices.iter().take(3).map(text).collect();
        assert_eq!(devices, ["dev-24=25", "dev-49=25", "dev-23=24"]);
        assert_eq!((makeup.devices.len(), makeup.metrics.len()), (TOP, TOP));
        assert_eq!(makeup.metrics.first().map(text).as_deref(), Some("m0=50"));
        assert_eq!(makeup.device_patterns, [("dev-#".to_owned(), 50)]);
        assert_eq!(makeup.metric_patterns, [("m#".to_owned(), 650)]);
        assert_eq!(makeup.undercount, 0);
    }

    #[test]
    fn what_is_frequent_is_found_among_more_names_than_are_counted() {
        let mut frequent = Frequent::default();
        for n in 0..3 * NAMES {
            frequent.add(&format!("once {n}"));
            frequent.add("often");
        }
        assert!(frequent.counts.len() <= NAMES);
        let (forgotten, top) = (frequent.forgotten, frequent.finish());
        assert!(forgotten > 0);
        assert_eq!(top[0].0, "often");
        assert!(top[0].1 <= 3 * NAMES as u64 && top[0].1 + forgotten >= 3 * NAMES as u64);
    }
}
