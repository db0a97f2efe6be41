//! Settings as people write them, and those that are refused.

use detect::{Automatic, Budget, Detector, Robust, Seasonal, Threshold, Watch, ZScore};

#[test]
fn settings_are_read() {
    for (text, detector) in [
        (r#"{"kind":"threshold","max":80}"#, Detector::Threshold(Threshold { min: None, max: Some(80.0) })),
        (r#"{"kind":"z_score"}"#, Detector::ZScore(ZScore { last: 100 })),
        (r#"{"kind":"robust","last":50}"#, Detector::Robust(Robust { last: 50 })),
        (
            r#"{"kind":"seasonal","utc_offset_minutes":60}"#,
            Detector::Seasonal(Seasonal { utc_offset_minutes: 60 }),
        ),
        (r#"{"kind":"automatic"}"#, Detector::default()),
    ] {
        assert_eq!(serde_json::from_str::<Detector>(text).unwrap(), detector, "{text}");
    }
}

#[test]
fn settings_are_written_as_they_are_read() {
    for detector in [Detector::default(), Detector::Robust(Robust { last: 50 })] {
        let text = serde_json::to_string(&detector).unwrap();
        assert_eq!(serde_json::from_str::<Detector>(&text).unwrap(), detector, "{text}");
    }
    assert_eq!(
        serde_json::to_string(&Detector::default()).unwrap(),
        r#"{"kind":"automatic","utc_offset_minutes":0}"#
    );
}

#[test]
fn settings_that_are_wrong_are_refused_with_words() {
    for (text, expected) in [
        (r#"{"kind":"threshold","min":2,"max":1}"#, "min is 2: give no more than max"),
        (r#"{"kind":"z_score","last":7}"#, "last is 7: give 8 to 1024 values"),
        (r#"{"kind":"robust","last":1025}"#, "last is 1025: give 8 to 1024 values"),
        (
            r#"{"kind":"seasonal","utc_offset_minutes":1081}"#,
            "utc_offset_minutes is 1081: give -1080 to 1080 minutes",
        ),
        (
            r#"{"kind":"automatic","utc_offset_minutes":-1081}"#,
            "utc_offset_minutes is -1081: give -1080 to 1080 minutes",
        ),
    ] {
        let detector: Detector = serde_json::from_str(text).unwrap();
        assert_eq!(detector.start().unwrap_err().to_string(), expected);
    }
    let unknown = serde_json::from_str::<Detector>(r#"{"kind":"z_score","last":10,"first":1}"#);
    assert!(unknown.unwrap_err().to_string().contains("unknown field `first`"));
}

#[test]
fn budgets_that_are_wrong_are_refused_with_words() {
    let detector = Detector::Automatic(Automatic::default());
    for (days, quiet_hours, expected) in [
        (0.5, 24.0, "days is 0.5: give 1 to 3650 days"),
        (f64::NAN, 24.0, "days is NaN: give 1 to 3650 days"),
        (30.0, -1.0, "quiet_hours is -1: give 0 to 720 hours"),
    ] {
        let refused = Watch::new(&detector, Budget { days, quiet_hours }).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
}
