//! What a detector says of the files, in the three ways it is scored.

use detect::{Budget, Detector, Watch};

use crate::files::File;
use crate::scoring::Scored;

/// What a detector says of the files.
pub(crate) struct Run {
    /// Each value's measure: every value above the threshold is a detection, as the benchmark has it.
    pub(crate) values: Vec<Scored>,
    /// The measure where it would be an alarm at that threshold, and nothing elsewhere: a value no worse than one in the quiet hours
    /// before it is not told again.
    pub(crate) alarms: Vec<Scored>,
    /// 1 where the default budget makes it an alarm, nothing elsewhere. No threshold is looked for.
    pub(crate) default: Vec<Scored>,
}

pub(crate) fn run(detector: &Detector, files: &[File]) -> Run {
    let mut run = Run { values: Vec::new(), alarms: Vec::new(), default: Vec::new() };
    for file in files {
        let mut watch = Watch::new(detector, Budget::default()).expect("the settings are right");
        let verdicts: Vec<_> = file.rows.iter().map(|(at, value)| watch.observe(*at, *value)).collect();
        let scored = |scores: Vec<f64>| Scored { scores, windows: file.windows.clone() };
        let measures: Vec<f64> = verdicts.iter().map(|verdict| verdict.score.raw).collect();
        run.alarms.push(scored(worse_only(file, &measures)));
        run.values.push(scored(measures));
        run.default.push(scored(verdicts.iter().map(|verdict| f64::from(u8::from(verdict.alarm))).collect()));
    }
    run
}

/// The measures that are greater than all in the quiet hours before them.
fn worse_only(file: &File, measures: &[f64]) -> Vec<f64> {
    let quiet = (Budget::default().quiet_hours * 3.6e12) as i64;
    let mut last: Option<(i64, f64)> = None;
    file.rows
        .iter()
        .zip(measures)
        .map(|((at, _), measure)| {
            let known = last.is_some_and(|(before, worst)| at.nanos() - before < quiet && *measure <= worst);
            if known {
                return 0.0;
            }
            last = Some((at.nanos(), *measure));
            *measure
        })
        .collect()
}
