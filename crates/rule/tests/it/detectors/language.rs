//! What is refused, and where.

use rule::Document;

#[test]
fn what_cannot_be_asked_is_shown_in_its_place() {
    let metrics: Vec<String> = (0..17).map(|n| format!("m{n}")).collect();
    let many = format!("anomaly({}) > 1", metrics.join(", "));
    for (condition, column, words) in [
        ("anomaly() > 1", 1, "a metric is needed first, or several: anomaly(temperature, 'seasonal')"),
        ("anomaly('robust') > 1", 1, "a metric is needed first"),
        ("anomaly(t + 1) > 1", 9, "the name of a metric is needed here, not t + 1"),
        ("anomaly(t, robust) > 1", 12, "robust is the name of a detector: write it in single quotes"),
        ("anomaly(t, s, t) > 1", 15, "t is named twice"),
        (&many, 79, "more than 16 metrics cannot be looked at together"),
        (
            "anomaly(t, 'robust', 7) > 1",
            22,
            "the number of the last values to compare with is needed here, 8 to 1024",
        ),
        ("anomaly(t, 'robust', '50') > 1", 22, "the number of the last values"),
        ("anomaly(t, 'zscore', 1025) > 1", 22, "8 to 1024"),
        ("anomaly(t, 'seasonal', 3) > 1", 24, "a text in single quotes is needed here, not 3"),
        ("anomaly(t, 'seasonal', '5:30') > 1", 24, "is written '+05:30' or '-03:00', at most 18 hours"),
        ("anomaly(t, 'automatic', '+18:01') > 1", 25, "at most 18 hours"),
        ("anomaly(t, 'automatic', '+0ä:1') > 1", 25, "at most 18 hours"),
        ("anomaly(t, 'robust', 50, 3) > 1", 26, "3 is one too many: a detector takes one setting"),
        (
            "anomaly(t, s, 'robust') > 1",
            15,
            "'robust' is for one metric: leave it out to have several looked at together",
        ),
        (
            "anomalous(t)",
            1,
            "anomalous takes a metric, or several, and in how long a time one false alarm is bearable",
        ),
        ("anomalous(t, 30)", 14, "a text in single quotes is needed here, not 30"),
        ("anomalous(t, 'robust')", 14, "\"robust\" is no duration"),
        ("anomalous(t, '12 hours')", 14, "one false alarm is bearable in 1 to 3650 days: '30 days'"),
        ("anomalous(t, '30 days', 'magic')", 25, "there is no detector \"magic\""),
        (
            "anomalous(t, '30 days') > 0.5 AND 'x' > anomalous(t, '9d')",
            41,
            "'x' is a text, anomalous(t, '9d') is true or false",
        ),
    ] {
        let told = Document { name: "r".into(), when: condition.into(), ..Document::default() };
        let told = told.compile().expect_err(condition);
        assert!(told.message.contains(words), "{condition}: {told}");
        assert_eq!((told.line, told.column), (1, column), "{condition}: {told}");
    }
}

#[test]
fn a_metric_may_be_called_like_a_detector() {
    for when in ["anomaly(t, \"robust\") > 0.5", "anomaly(robust) > 0.5", "anomalous(robust, t, '7d')"] {
        let document = Document { name: "r".into(), when: when.into(), ..Document::default() };
        assert_eq!(document.compile(), Ok(()), "{when}");
    }
}

#[cfg(not(feature = "onnx"))]
#[test]
fn without_the_feature_there_are_no_models() {
    let document =
        Document { name: "r".into(), when: "anomaly(t, 'model:m') > 0.5".into(), ..Document::default() };
    let told = document.compile().unwrap_err();
    assert!(told.message.contains("without its feature onnx"), "{told}");
    assert_eq!(told.column, 12);
}
