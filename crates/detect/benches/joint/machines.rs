//! Machines whose metrics follow what they are doing: two hidden loads, one with a day, mixed into every metric, and noise.

use std::f64::consts::TAU;

use fastrand::Rng;
use record::Timestamp;

pub(crate) const PER_HOUR: i64 = 12;
pub(crate) const PER_DAY: i64 = 24 * PER_HOUR;

pub(crate) struct Machine {
    levels: Vec<f64>,
    mix: Vec<[f64; 2]>,
    noise: Vec<f64>,
    /// The second load wanders; so does what a decoupled metric follows instead.
    wanders: [f64; 2],
    phase: f64,
    rng: Rng,
}

/// What goes wrong with the last metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// It follows loads of its own, as large as the others'.
    Decoupled,
    /// It reads 6 σ of its noise too much.
    Offset,
    /// It stands still.
    Stuck,
    /// Once, it is as far off as its loads ever make it.
    Spike,
}

pub(crate) const FAULTS: [Fault; 4] = [Fault::Decoupled, Fault::Offset, Fault::Stuck, Fault::Spike];

impl Machine {
    pub(crate) fn new(metrics: usize, number: u64) -> Self {
        let mut rng = Rng::with_seed(0xa11 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut around = |from: f64, to: f64| from + (to - from) * rng.f64();
        Self {
            levels: (0..metrics).map(|_| around(0.0, 100.0)).collect(),
            mix: (0..metrics).map(|_| [around(1.0, 5.0), around(-5.0, 5.0)]).collect(),
            noise: (0..metrics).map(|_| around(0.2, 0.8)).collect(),
            wanders: [0.0; 2],
            phase: around(0.0, TAU),
            rng,
        }
    }

    pub(crate) fn at(n: i64) -> Timestamp {
        Timestamp::from_nanos((1_735_516_800 + n * 300) * 1_000_000_000)
    }

    pub(crate) fn read(&mut self, n: i64, fault: Option<Fault>) -> Vec<f64> {
        for place in 0..2 {
            self.wanders[place] = 0.98 * self.wanders[place] + 0.2 * self.normal();
        }
        let day = n as f64 / PER_DAY as f64;
        let loads = [(TAU * day + self.phase).sin(), self.wanders[0]];
        let own = [(TAU * day * 1.3 + self.phase).sin(), self.wanders[1]];
        let last = self.levels.len() - 1;
        (0..=last)
            .map(|metric| {
                let fault = fault.filter(|_| metric == last);
                let loads = if fault == Some(Fault::Decoupled) { own } else { loads };
                let [a, b] = self.mix[metric];
                let extra = match fault {
                    Some(Fault::Offset) => 6.0 * self.noise[metric],
                    Some(Fault::Spike) if n % PER_DAY == 0 => 2.0 * (a + b.abs()),
                    _ => 0.0,
                };
                let noise = self.normal() * self.noise[metric];
                if fault == Some(Fault::Stuck) {
                    return self.levels[metric];
                }
                self.levels[metric] + a * loads[0] + b * loads[1] + noise + extra
            })
            .collect()
    }

    /// By Box and Muller.
    fn normal(&mut self) -> f64 {
        let (a, b) = (1.0 - self.rng.f64(), self.rng.f64());
        (-2.0 * a.ln()).sqrt() * (TAU * b).cos()
    }
}
