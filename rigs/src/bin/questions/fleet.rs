//! A fleet that measures once a minute: the same seed gives the same readings.

use std::collections::BTreeMap;

use record::{Lane, Readings, TenantId, Timestamp, ValueRef, When};
use series::{Source, Span, WriteBatch};

pub(crate) const METRICS: usize = 10;
pub(crate) const START_MS: i64 = 1_764_288_000_000; // a midnight

pub(crate) fn device(n: u32) -> String {
    format!("device-{n:06}")
}

pub(crate) fn readings(devices: u32, days: i64) -> u64 {
    u64::from(devices) * METRICS as u64 * days as u64 * 1440
}

pub(crate) struct Fleet {
    /// A random walk for each metric of each device.
    walks: Vec<[f64; METRICS]>,
    random: u64,
}

impl Fleet {
    pub(crate) fn new(devices: u32, seed: u64) -> Self {
        Self { walks: vec![[20.0; METRICS]; devices as usize], random: seed }
    }

    fn unit(&mut self) -> f64 {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// What all devices measure in a minute.
    pub(crate) fn batch(&mut self, minute: i64) -> WriteBatch {
        let mut readings = Readings::new();
        let metrics: Vec<_> =
            (0..METRICS).map(|n| readings.metric(&format!("m{n}")).expect("a metric's name")).collect();
        for n in 0..self.walks.len() {
            let device = readings.device(&device(n as u32)).expect("a device's id");
            // Each device has its second of the minute, and its clock jitters a little.
            let ms = START_MS + minute * 60_000 + (n as i64 * 17) % 59_000 + (self.unit() * 500.0) as i64;
            let at = |ms| Timestamp::from_millis(ms).expect("a time of this century");
            let when = When::by_device(at(ms), at(ms + 20 + (self.unit() * 50.0) as i64));
            for (at, metric) in metrics.iter().enumerate() {
                let step = (self.unit() - 0.5) * 0.4;
                self.walks[n][at] += step;
                let value = (self.walks[n][at] * 10.0).round() / 10.0;
                readings.push(device, *metric, when, ValueRef::Float(value));
            }
        }
        let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
        let spans = vec![Span { source, from: minute as u64, to: minute as u64 + 1 }];
        let readings = BTreeMap::from([(TenantId::default_tenant(), readings)]);
        WriteBatch { readings, spans, ..WriteBatch::default() }
    }
}
