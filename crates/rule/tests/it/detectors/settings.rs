//! Settings in a rule's text are those of the detector.

use detect::{Automatic, Detector, Robust, Seasonal, ZScore};
use record::Timestamp;

use super::{INTERVAL, PER_DAY, given, healthy, number, send};
use crate::given::{SECOND, START};

#[test]
fn settings_reach_the_detector() {
    for (text, detector) in [
        ("anomaly(t)", Detector::Automatic(Automatic::default())),
        ("anomaly(t, 'automatic')", Detector::Automatic(Automatic::default())),
        (
            "anomaly(t, 'automatic', '-07:00')",
            Detector::Automatic(Automatic { utc_offset_minutes: -420, ..Automatic::default() }),
        ),
        ("anomaly(t, 'seasonal', '+05:30')", Detector::Seasonal(Seasonal { utc_offset_minutes: 330 })),
        ("anomaly(t, 'robust')", Detector::Robust(Robust { last: 100 })),
        ("anomaly(t, 'robust', 8)", Detector::Robust(Robust { last: 8 })),
        ("anomaly(t, 'zscore', 1024)", Detector::ZScore(ZScore { last: 1024 })),
    ] {
        let mut given = given(&format!("{text} > 0.5"));
        let mut state = detector.start().unwrap();
        for n in 0..4 * PER_DAY {
            // A day without its shape, and spikes.
            let value = if n > 3 * PER_DAY { 50.0 } else { healthy(n) } + f64::from(n % 200 == 199) * 20.0;
            send(&mut given, n, &[("t", value)]);
            let expected = state.observe(Timestamp::from_nanos(START + n * INTERVAL * SECOND), value);
            assert_eq!(number(&given), expected.score, "{text}, value {n}");
        }
    }
}
