//! A device's metrics together: what is found of faults that no metric shows by itself, by each of several ways to look, with the same
//! false alarms for all of them.
//!
//! `cargo bench -p penstock-detect --bench joint [-- DEVICES]`

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

extern crate penstock_detect as detect;

mod machines;
mod trees;

use detect::{Automatic, Detector, Joint, JointState, State};
use machines::{FAULTS, Fault, Machine, PER_DAY, PER_HOUR};
use trees::HalfSpaceTrees;

const DEVICES: u64 = 100;
const DAYS: i64 = 28;
const FAULT_DAY: i64 = 21;

/// Shares of hours that are false alarms for each way to look, by a threshold that is looked for: one in a quarter of a year, one in
/// a day.
const FALSE_ALARMS: [f64; 2] = [1.0 / 2160.0, 1.0 / 24.0];

/// A way to look at all metrics of a moment: how far out they are.
trait Look {
    fn look(&mut self, n: i64, values: &[f64]) -> f64;
}

impl Look for JointState {
    fn look(&mut self, n: i64, values: &[f64]) -> f64 {
        -detect::chance(self.observe(Machine::at(n), values).score).ln()
    }
}

/// The automatic detector on each metric by itself; the most surprising one counts.
impl Look for Vec<State> {
    fn look(&mut self, n: i64, values: &[f64]) -> f64 {
        let each =
            self.iter_mut().zip(values).map(|(state, value)| state.observe(Machine::at(n), *value).raw);
        each.fold(0.0, f64::max)
    }
}

impl Look for HalfSpaceTrees {
    fn look(&mut self, _: i64, values: &[f64]) -> f64 {
        self.score(values)
    }
}

fn main() {
    let devices = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(DEVICES);
    for metrics in [4, 8] {
        println!("{devices} devices of {metrics} metrics, {DAYS} days, a moment every 5 minutes");
        report("covariance", devices, metrics, &|| {
            Box::new(Joint { metrics: metrics as u16 }.start().expect("few metrics"))
        });
        report("half-space trees", devices, metrics, &|| Box::new(HalfSpaceTrees::new(metrics, 7)));
        report("each by itself", devices, metrics, &|| {
            let start = || Detector::Automatic(Automatic::default()).start().expect("the settings are right");
            Box::new((0..metrics).map(|_| start()).collect::<Vec<_>>())
        });
    }
}

fn report(name: &str, devices: u64, metrics: usize, make: &dyn Fn() -> Box<dyn Look>) {
    let mut hours: Vec<f64> =
        (0..devices).flat_map(|number| healthy_hours(number, metrics, make())).collect();
    hours.sort_by(f64::total_cmp);
    for share in FALSE_ALARMS {
        let threshold = hours[hours.len() - 1 - (hours.len() as f64 * share) as usize];
        println!("  {name}, a false alarm in {:.0} days", 1.0 / share / 24.0);
        found(devices, metrics, make, threshold);
    }
}

fn found(devices: u64, metrics: usize, make: &dyn Fn() -> Box<dyn Look>, threshold: f64) {
    for fault in FAULTS {
        let mut after: Vec<f64> = (0..devices)
            .filter_map(|number| hours_until(number, metrics, fault, make(), threshold))
            .collect();
        after.sort_by(f64::total_cmp);
        let share = 100.0 * after.len() as f64 / devices as f64;
        let median = after.get(after.len() / 2).copied().unwrap_or(f64::NAN);
        println!("    {:10} {share:3.0} % {median:4.1} h", format!("{fault:?}"));
    }
}

/// The greatest measure of each hour after the first week.
fn healthy_hours(number: u64, metrics: usize, mut look: Box<dyn Look>) -> Vec<f64> {
    let mut machine = Machine::new(metrics, number);
    let mut hours = Vec::new();
    let mut greatest: f64 = 0.0;
    for n in 0..DAYS * PER_DAY {
        greatest = greatest.max(look.look(n, &machine.read(n, None)));
        if n % PER_HOUR == PER_HOUR - 1 {
            if n >= 7 * PER_DAY {
                hours.push(greatest);
            }
            greatest = 0.0;
        }
    }
    hours
}

fn hours_until(
    number: u64,
    metrics: usize,
    fault: Fault,
    mut look: Box<dyn Look>,
    threshold: f64,
) -> Option<f64> {
    let mut machine = Machine::new(metrics, number);
    let begin = FAULT_DAY * PER_DAY + (number as i64 * 37) % PER_DAY;
    (0..begin + PER_DAY).find_map(|n| {
        let fault = (n >= begin).then_some(fault);
        let measure = look.look(n, &machine.read(n, fault));
        (n >= begin && measure > threshold).then(|| (n - begin) as f64 / PER_HOUR as f64)
    })
}
