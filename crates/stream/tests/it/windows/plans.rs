//! Plans from texts.

use penstock_stream::window::{Plan, PlanError, WindowKind};

use super::SECOND;

fn parse(text: &str) -> Result<Plan, PlanError> {
    Plan::parse([(text, &[] as &[&str])])
}

#[test]
fn texts_are_read_and_written_in_the_largest_unit() {
    let grid = |size: i64, slide: i64| WindowKind::Grid { size: size * SECOND, slide: slide * SECOND };
    for (text, kind, name) in [
        ("1m", grid(60, 60), "1m"),
        ("5m", grid(300, 300), "5m"),
        ("90s", grid(90, 90), "90s"),
        ("60s", grid(60, 60), "1m"),
        ("24h", grid(86_400, 86_400), "1d"),
        (" 10m / 1m ", grid(600, 60), "10m/1m"),
        ("10m/4m", grid(600, 240), "10m/4m"),
        ("session 30s", WindowKind::Session { gap: 30 * SECOND }, "session 30s"),
        ("session  60m", WindowKind::Session { gap: 3600 * SECOND }, "session 1h"),
    ] {
        let plan = parse(text).unwrap();
        assert_eq!((plan.windows()[0].kind(), plan.windows()[0].name().as_str()), (kind, name), "{text}");
        assert_eq!(parse(name).unwrap(), plan, "a name is a text again");
    }
}

#[test]
fn a_text_may_say_from_how_many_readings_on_a_result_is_kept() {
    for (text, least, name) in [
        ("1m", 1, "1m"),
        ("1m at least 20", 20, "1m"),
        (" 10m / 1m  at least  3 ", 3, "10m/1m"),
        ("session 30s at least 2", 2, "session 30s"),
    ] {
        let plan = parse(text).unwrap();
        assert_eq!((plan.windows()[0].least(), plan.windows()[0].name().as_str()), (least, name), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, message) in [
        (
            "1m at least 0",
            r#"window "1m at least 0": "0" is not a number of readings; write one above zero, such as 1m at least 20"#,
        ),
        ("1m at least ", r#"window "1m at least ": "" is not a number of readings"#),
        ("1m at least 2x", r#"window "1m at least 2x": "2x" is not a number of readings"#),
        ("1m at most 2", r#"window "1m at most 2": "1m at most 2" is not a duration"#),
        (
            "",
            r#"window "": "" is not a duration; write a whole number above zero and s, m, h or d, such as 30s"#,
        ),
        ("1", r#"window "1": "1" is not a duration"#),
        ("0s", r#"window "0s": "0s" is not a duration"#),
        ("-1m", r#"window "-1m": "-1m" is not a duration"#),
        ("1.5m", r#"window "1.5m": "1.5m" is not a duration"#),
        ("m", r#"window "m": "m" is not a duration"#),
        ("99999999999999d", r#"window "99999999999999d": "99999999999999d" is not a duration"#),
        ("10m/", r#"window "10m/": "" is not a duration"#),
        ("session", r#"window "session": "" is not a duration"#),
        ("1m/1m", r#"window "1m/1m": the slide must be shorter than the size"#),
        ("1m/2m", r#"window "1m/2m": the slide must be shorter than the size"#),
        (
            "2d/1m",
            r#"window "2d/1m": size and slide cut it into 2880 parts, more than 1440; choose a longer slide"#,
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
    let twice = Plan::parse([("1m", ["a"]), ("60s", ["b"])]).unwrap_err();
    assert_eq!(twice.to_string(), r#"window "1m" stands twice: put its metric patterns together"#);
    let empty = Plan::parse([("1m", [""])]).unwrap_err();
    assert_eq!(
        empty.to_string(),
        r#"window "1m": an empty metric pattern matches nothing; write * for every metric"#
    );
    let sizes: Vec<String> = (1..=33).map(|size| format!("{size}s")).collect();
    let many = Plan::parse(sizes.iter().map(|size| (size.as_str(), &[] as &[&str]))).unwrap_err();
    assert_eq!(many, PlanError::Many { count: 33 });
}

#[test]
fn patterns_choose_metrics() {
    for (pattern, metric, applies) in [
        ("*", "anything", true),
        ("temp", "temp", true),
        ("temp", "temperature", false),
        ("temp*", "temperature", true),
        ("*ture", "temperature", true),
        ("t*e", "temperature", true),
        ("t*e*e", "temperature", true),
        ("t*x*e", "temperature", false),
        ("a*a", "a", false),
        ("*a*b*", "xaxbx", true),
        ("ab*ab", "abab", true),
        ("ab*ab", "ab", false),
    ] {
        let plan = Plan::parse([("1m", [pattern])]).unwrap();
        assert_eq!(plan.windows()[0].applies_to(metric), applies, "{pattern} on {metric}");
    }
}
