//! Sampling (R5.7) and shedding (R7.9): of metrics that are not critical, one reading in so many is kept; the others are shed and
//! counted. A policy holds always, or only while the store does not keep up.
//!
//! Whether a reading is kept is drawn from its key alone, so that the same reading meets the same fate whenever it comes again,
//! as long as the same policy holds.

use serde::{Deserialize, Serialize};

use crate::dedup::Moment;
use crate::pattern::{Selector, SelectorError};

/// A `[[stream.sample]]` as written. The first one that fits a series holds for it: of those that hold always, and of those that
/// hold while the store does not keep up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// The metrics, by name or by a pattern with `*`.
    pub metric: String,
    /// Whose; absent: all tenants'.
    #[serde(default)]
    pub tenant: Option<String>,
    /// One reading in so many is kept; 1: all, which exempts metrics from a wider pattern further down; 0, only together with
    /// `when_behind_s`: none.
    pub keep_one_in: u32,
    /// It holds only for readings that have waited in the log for so long, seconds, because the store could not follow. Absent:
    /// always.
    #[serde(default)]
    pub when_behind_s: Option<u32>,
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
    #[error(
        "sampling {number}: keep_one_in is 0: write 1 to keep all; none are kept only together with when_behind_s"
    )]
    Zero {
        /// Which, counted from 1.
        number: usize,
    },
    /// Behind by nothing.
    #[error(
        "sampling {number}: when_behind_s is 0: every reading waits a moment; write 10 or more, or leave it out"
    )]
    Behind {
        /// Which, counted from 1.
        number: usize,
    },
}

/// Which metrics are sampled.
#[derive(Clone, Debug, Default)]
pub struct Sampling {
    always: Vec<(Selector, u32)>,
    /// With how long a reading must have waited, nanoseconds.
    behind: Vec<(Selector, u32, i64)>,
}

/// What is kept of one series. Made when the series gets its number; not part of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    one_in: u32,
    /// One in so many of readings that have waited for so long, nanoseconds; 0: none.
    behind: (u32, i64),
    seed: u64,
}

/// Why a reading is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// By a policy that holds always.
    Sampled,
    /// By one that holds while the store does not keep up.
    Behind,
}

impl Sampling {
    /// Checks policies as written.
    ///
    /// # Errors
    /// [`SampleError`] says which one is wrong and how.
    pub fn new(configs: &[SampleConfig]) -> Result<Self, SampleError> {
        let mut sampling = Self::default();
        for (number, config) in (1..).zip(configs) {
            let selector = Selector::new(config.tenant.as_deref(), &config.metric)
                .map_err(|problem| SampleError::Selector { number, problem })?;
            match (config.keep_one_in, config.when_behind_s) {
                (0, None) => return Err(SampleError::Zero { number }),
                (_, Some(0)) => return Err(SampleError::Behind { number }),
                (one_in, None) => sampling.always.push((selector, one_in)),
                (one_in, Some(s)) => {
                    sampling.behind.push((selector, one_in, i64::from(s) * NANOS_PER_S));
                }
            }
        }
        Ok(sampling)
    }

    /// The same without what holds only while the store does not keep up: to a trial over history all readings are old.
    pub(crate) fn without_shedding(mut self) -> Self {
        self.behind.clear();
        self
    }

    /// Whether no metric is sampled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.always.is_empty() && self.behind.is_empty()
    }

    /// What is kept of a series.
    #[must_use]
    pub fn of(&self, tenant: &str, device: &str, metric: &str) -> Sample {
        let always = self.always.iter().find(|(selector, _)| selector.selects(tenant, metric));
        let behind = self.behind.iter().find(|(selector, ..)| selector.selects(tenant, metric));
        let one_in = always.map_or(1, |&(_, one_in)| one_in);
        let behind = behind.map_or(NEVER, |&(_, one_in, waited)| (one_in, waited));
        if (one_in, behind.0) == (1, 1) {
            return Sample::ALL;
        }
        Sample { one_in, behind, seed: mix(hash(device), hash(metric)) }
    }
}

impl Sample {
    /// Everything.
    pub const ALL: Self = Self { one_in: 1, behind: NEVER, seed: 0 };

    /// Why the reading of this moment, which has waited for so long (nanoseconds), is left out; `None`: it is kept.
    #[must_use]
    #[inline]
    pub fn sheds(&self, moment: Moment, waited: i64) -> Option<Shed> {
        if self.one_in != 1 && !self.draws(moment, self.one_in) {
            return Some(Shed::Sampled);
        }
        let (one_in, after) = self.behind;
        (waited >= after && !self.draws(moment, one_in)).then_some(Shed::Behind)
    }

    /// Draws one moment in so many.
    fn draws(&self, moment: Moment, one_in: u32) -> bool {
        match one_in {
            0 => false,
            1 => true,
            _ => mix(mix(self.seed, moment.time as u64), moment.seq).is_multiple_of(u64::from(one_in)),
        }
    }
}

const NANOS_PER_S: i64 = 1_000_000_000;

/// All are kept, however long they have waited.
const NEVER: (u32, i64) = (1, i64::MAX);

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

    fn keeps(sample: Sample, moment: Moment) -> bool {
        sample.sheds(moment, 0).is_none()
    }

    #[test]
    fn what_is_behind_is_shed_by_policies_of_its_own() {
        let sampling = sampling(
            "[[sampling]]\nmetric = 'debug.error'\nkeep_one_in = 1\nwhen_behind_s = 60\n\
             [[sampling]]\nmetric = 'debug.*'\nkeep_one_in = 0\nwhen_behind_s = 60\n\
             [[sampling]]\nmetric = 'debug.noise'\nkeep_one_in = 1000000\n\
             [[sampling]]\nmetric = 'vibration'\nkeep_one_in = 2\nwhen_behind_s = 10",
        )
        .unwrap();
        let at = Moment { time: 1, seq: 0 };
        let fate = |metric, waited_s: i64| sampling.of("t", "d", metric).sheds(at, waited_s * NANOS_PER_S);
        assert_eq!((fate("debug.x", 59), fate("debug.x", 60)), (None, Some(Shed::Behind)));
        assert_eq!((fate("debug.error", 3600), fate("temperature", 3600)), (None, None));
        assert_eq!(
            (fate("debug.noise", 0), fate("debug.noise", 60)),
            (Some(Shed::Sampled), Some(Shed::Sampled))
        );
        let half = sampling.of("t", "d", "vibration");
        let moments = (0..1000).map(|time| Moment { time, seq: 0 });
        let kept = moments.filter(|&moment| half.sheds(moment, 10 * NANOS_PER_S).is_none()).count();
        assert!((420..580).contains(&kept), "{kept}");
        assert_eq!(sampling.clone().without_shedding().of("t", "d", "debug.x"), Sample::ALL);
    }

    #[test]
    fn one_in_so_many_is_kept_of_every_series() {
        let ten = sampling("[[sampling]]\nmetric = '*'\nkeep_one_in = 10").unwrap();
        for device in ["a", "b", "device-77"] {
            for step in [1, 1_000_000, 1_000_000_000, 60_000_000_000] {
                let sample = ten.of("t", device, "debug");
                let moments =
                    (0..20_000).map(|n| Moment { time: 1_700_000_000_000_000_000 + n * step, seq: 0 });
                let kept = moments.filter(|&moment| keeps(sample, moment)).count();
                assert!((1850..2150).contains(&kept), "{device} {step}: {kept}"); // 2000 ± 3.5 sigma
                let by_seq = (0..20_000).filter(|&seq| keeps(sample, Moment { time: 0, seq })).count();
                assert!((1850..2150).contains(&by_seq), "{device} by seq: {by_seq}");
            }
        }
        let at = Moment { time: 0, seq: 0 };
        let agree = (0..20_000).filter(|n| {
            let device = n.to_string();
            keeps(ten.of("t", &device, "a"), at) && keeps(ten.of("t", &device, "b"), at)
        });
        assert!((130..270).contains(&agree.count()), "metrics are drawn each on its own");
    }

    #[test]
    fn a_draw_never_changes() {
        // Fixed for ever: readings that were shed once come again.
        let sample = sampling("[[sampling]]\nmetric = '*'\nkeep_one_in = 4").unwrap().of("t", "d1", "debug");
        let kept: Vec<i64> = (0..32).filter(|&time| keeps(sample, Moment { time, seq: 0 })).collect();
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
            (
                "metric = 'm'\nkeep_one_in = 0",
                "sampling 1: keep_one_in is 0: write 1 to keep all; none are kept only together with when_behind_s",
            ),
            (
                "metric = 'm'\nkeep_one_in = 0\nwhen_behind_s = 0",
                "sampling 1: when_behind_s is 0: every reading waits a moment; write 10 or more, or leave it out",
            ),
            (
                "metric = ''\nkeep_one_in = 2",
                "sampling 1: metric \"\" is neither a metric name nor a pattern such as \"motor.*\"",
            ),
            ("metric = 'm'", "missing field `keep_one_in`"),
            (
                "metric = 'm'\nkeep_one_in = 2\nrate = 3",
                "unknown field `rate`, expected one of `metric`, `tenant`, `keep_one_in`, `when_behind_s`",
            ),
        ] {
            assert_eq!(sampling(&format!("[[sampling]]\n{text}")).unwrap_err(), expected);
        }
    }
}
