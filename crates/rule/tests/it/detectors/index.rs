//! Rules that are looked at only when a score crosses a threshold say what they would if they were looked at each time.

use std::sync::Arc;

use rule::{Evaluator, Settings, Standard};

use super::{INTERVAL, noise};
use crate::given::{Given, rule, set};

#[test]
fn scores_are_as_good_a_threshold_as_values() {
    // `score + 0` is no number that an index knows.
    let conditions = [
        "{zscore(a, 10)} > 1.2",
        "{zscore(a, 10)} > 1.2 AND b > 54",
        "{zscore(a, 10)} > 1.2 AND a + b > 100",
        "{anomaly(a, 'robust', 8)} > 0.2 OR c > 3",
        "{anomaly(a, b)} > 0.02",
        "{anomaly(a, b)} > 0.01 AND c >= 0",
        "{anomaly(a, b)} < 0.01 AND a + c > 50",
        "NOT {anomaly(b, a)} < 0.01 AND {zscore(c, 12)} < 1",
    ];
    let named =
        |name: String, when: String| rule(&serde_json::json!({"name": name, "when": when}).to_string());
    let mut rules = Vec::new();
    for (number, condition) in conditions.into_iter().enumerate() {
        rules.push(named(format!("indexed-{number}"), condition.replace(['{', '}'], "")));
        rules.push(named(format!("each-{number}"), condition.replace('{', "(").replace('}', " + 0)")));
    }
    let settings = Settings { detectors: Arc::new(Standard::default()), ..Settings::default() };
    let mut given = Given::new(&[]);
    given.evaluator = Evaluator::new(set(&rules), settings);
    for n in 0..3000 {
        // Whole numbers, so that many stay the same; now and then b goes its own way.
        let a = (50.0 + 3.0 * noise(n)).round();
        let b = if n % 211 == 0 { 63.0 } else { (a + 0.7 * noise(n + 9000)).round() };
        let all = [("a", a), ("b", b), ("c", noise(n + 20_000).round())];
        for (place, (metric, value)) in all.into_iter().enumerate() {
            // Not all come in each moment.
            if !(n as usize + place).is_multiple_of(5) {
                given.number(n * INTERVAL, metric, value);
            }
        }
    }
    let told = given.told();
    for (number, condition) in conditions.iter().enumerate() {
        let of = |kind: &str| {
            let name = format!("{kind}-{number}@");
            let own = told.iter().filter(|told| told[1..].starts_with(&name));
            own.map(|told| told.replace(kind, "")).collect::<Vec<_>>()
        };
        assert_eq!(of("indexed"), of("each"), "{condition}");
        assert!(of("each").len() > 4, "{condition}: {:?}", of("each"));
    }
}
