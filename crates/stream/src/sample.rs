//! Sampling (R5.7): of metrics that are not critical, one reading in so many is kept; the others are shed and counted.
//!
//! Whether a reading is kept is drawn from its key alone, so that the same reading meets the same fate whenever it comes again.

use serde::{Deserialize, Serialize};

use crate::dedup::Moment;
use crate::pattern::{Selector, SelectorError};

/// A `[[stream.sampling]]` as written. The first one that fits a series holds for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// The metrics, by name or by a pattern with `*`.
    pub metric: String,
    /// Whose; absent: all tenants'.
    #[serde(default)]
    pub tenant: Option<String>,
    /// One reading in so many is kept; 1: all, which exempts metrics from a wider pattern further down.
    pub keep_one_in: u32,
}

/// Why a sampling policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// It is about nothing.
    #[error("sampling {number}: {problem}")]
    Selector {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong.
        problem: SelectorError,
    },
    /// One in none.
    #[error("sampling {number}: keep_one_in is 0: write 1 to keep all")]
    Zero {
        /// Which, counted from 1.
        number: usize,
    },
}

/// Which metrics are sampled.
#[derive(Clone, Debug, Default)]
pub struct Sampling(Vec<(Selector, u32)>);

/// What is kept of one series. Made when the series gets its number; not part of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    one_in: u32,
    seed: u64,
}

impl Sampling {
    /// Checks policies as written.
    ///
    /// # Errors
    /// [`SampleError`] says which one is wrong and how.
    pub fn new(configs: &[SampleConfig]) -> Result<Self, SampleError> {
        let checked = (1..).zip(configs).map(|(number, config)| {
            let selector = Selector::new(config.tenant.as_deref(), &config.metric)
                .map_err(|problem| SampleError::Selector { number, problem })?;
            match config.keep_one_in {
                0 => Err(SampleError::Zero { number }),
                one_in => Ok((selector, one_in)),
            }
        });
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// Whether no metric is sampled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is kept of a series.
    #[must_use]
    pub fn of(&self, tenant: &str, device: &str, metric: &str) -> Sample {
        match self.0.iter().find(|(selector, _)| selector.selects(tenant, metric)) {
            None | Some((_, 1)) => Sample::ALL,
            Some(&(_, one_in)) => Sample { one_in, seed: mix(hash(device), hash(metric)) },
        }
    }
}

impl Sample {
    /// Everything.
    pub const ALL: Self = Self { one_in: 1, seed: 0 };

    /// Whether the reading of this moment is kept.
    #[must_use]
    #[inline]
    pub fn keeps(&self, moment: Moment) -> bool {
        self.one_in == 1
            || mix(mix(self.seed, moment.time as u64), moment.seq).is_multiple_of(u64::from(self.one_in))
    }
}

/// FNV-1a. Fixed for ever: a replay must draw as the first time.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finish of SplitMix64 over both. Fixed for ever.
fn mix(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b;
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(text: &str) -> Result<Sampling, String> {
        #[derive(Deserialize, Serialize)]
        struct File {
            sampling: Vec<SampleConfig>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Sampling::new(&file.sampling).map_err(|error| error.to_string())
    }

    #[test]
    fn one_in_so_many_is_kept_of_every_series() {
        let ten = sampling("[[sampling]]\nmetric = '*'\nkeep_one_in = 10").unwrap();
        for device in ["a", "b", "device-77"] {
            for step in [1, 1_000_000, 1_000_000_000, 60_000_000_000] {
                let sample = ten.of("t", device, "debug");
                let moments =
                    (0..20_000).map(|n| Moment { time: 1_700_000_000_000_000_000 + n * step, seq: 0 });
                let kept = moments.filter(|&moment| sample.keeps(moment)).count();
                assert!((1850..2150).contains(&kept), "{device} {step}: {kept}"); // 2000 ± 3.5 sigma
                let by_seq = (0..20_000).filter(|&seq| sample.keeps(Moment { time: 0, seq })).count();
                assert!((1850..2150).contains(&by_seq), "{device} by seq: {by_seq}");
            }
        }
        let at = Moment { time: 0, seq: 0 };
        let agree = (0..20_000).filter(|n| {
            let device = n.to_string();
            ten.of("t", &device, "a").keeps(at) && ten.of("t", &device, "b").keeps(at)
        });
        assert!((130..270).contains(&agree.count()), "metrics are drawn each on its own");
    }

    #[test]
    fn a_draw_never_changes() {
        // Fixed for ever: readings that were shed once come again.
        let sample = sampling("[[sampling]]\nmetric = '*'\nkeep_one_in = 4").unwrap().of("t", "d1", "debug");
        let kept: Vec<i64> = (0..32).filter(|&time| sample.keeps(Moment { time, seq: 0 })).collect();
        assert_eq!(kept, KEPT);
    }

    const KEPT: [i64; 9] = [0, 3, 5, 14, 18, 22, 25, 28, 31];

    #[test]
    fn the_first_policy_that_fits_holds() {
        let sampling = sampling(
            "[[sampling]]\nmetric = 'debug.error'\nkeep_one_in = 1\n\
             [[sampling]]\nmetric = 'debug.*'\ntenant = 'acme'\nkeep_one_in = 1000000",
        )
        .unwrap();
        let keeps_all = |tenant, metric| sampling.of(tenant, "d", metric) == Sample::ALL;
        assert!(keeps_all("acme", "debug.error") && keeps_all("acme", "t") && keeps_all("other", "debug.x"));
        assert!(!keeps_all("acme", "debug.x"));
    }

    #[test]
    fn policies_that_make_no_sense_are_refused() {
        for (text, expected) in [
            ("metric = 'm'\nkeep_one_in = 0", "sampling 1: keep_one_in is 0: write 1 to keep all"),
            (
                "metric = ''\nkeep_one_in = 2",
                "sampling 1: metric \"\" is neither a metric name nor a pattern such as \"motor.*\"",
            ),
            ("metric = 'm'", "missing field `keep_one_in`"),
            (
                "metric = 'm'\nkeep_one_in = 2\nrate = 3",
                "unknown field `rate`, expected one of `metric`, `tenant`, `keep_one_in`",
            ),
        ] {
            assert_eq!(sampling(&format!("[[sampling]]\n{text}")).unwrap_err(), expected);
        }
    }
}
