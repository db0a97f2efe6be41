//! The language of conditions: what it says of values, and what it refuses, where.

use proptest::prelude::*;
use record::ValueRef;
use rule::{Document, Phase, RuleId};

use crate::given::{Given, when};

/// What is known of the device of [`holds`].
const VALUES: &[(&str, ValueRef<'static>)] = &[
    ("t", ValueRef::Float(21.5)),
    ("n", ValueRef::Int(7)),
    ("door", ValueRef::Bool(true)),
    ("state", ValueRef::Text("Fault 17")),
    ("cabin.temperature", ValueRef::Float(3.0)),
    ("line/3", ValueRef::Float(4.0)),
    ("nan", ValueRef::Float(f64::NAN)),
    ("place", ValueRef::Location { lat: 53.5503, lng: 9.9920 }),
];

/// What a condition is of a device with [`VALUES`].
fn holds(condition: &str) -> Option<bool> {
    let mut given = Given::new(&[when(condition)]);
    given.facts.device_type = Some("motor".into());
    given.facts.tags = [("line".into(), "3".into())].into();
    given.send(0, VALUES);
    let explained = given.evaluator.explain("default", &RuleId("r".into()), "d1").unwrap();
    assert_eq!(explained.phase != Phase::Quiet, explained.holds == Some(true), "{condition}");
    explained.holds
}

#[test]
fn conditions_are_what_sql_says() {
    let (yes, no, unknown) = (Some(true), Some(false), None);
    for (condition, expected) in [
        ("t > 21", yes),
        ("21 < t", yes),
        ("t > 21.5 OR t >= 21.5", yes),
        ("t = n * 3 + 0.5", yes),
        ("n % 4 = 3 AND -n = -7 AND n / 2 = 3.5", yes),
        ("n / 0 > 1", unknown),
        ("NOT t > 30", yes),
        ("missing > 1", unknown),
        ("NOT missing > 1", unknown),
        ("missing > 1 OR t > 1", yes),
        ("missing > 1 AND t > 100", no),
        ("missing > 1 AND t > 1", unknown),
        ("missing IS NULL AND t IS NOT NULL AND nan IS NULL", yes),
        ("(missing > 1) IS UNKNOWN AND (t > 1) IS TRUE AND (t > 1) IS NOT FALSE", yes),
        ("door", yes),
        ("door = true AND door = 1 AND NOT door = false", yes),
        ("n", unknown),
        ("state > 80", unknown),
        ("state LIKE 'Fault%' AND state LIKE '%1_' AND state NOT LIKE 'fault%'", yes),
        ("state ILIKE 'FAULT%'", yes),
        ("state LIKE 'Fault!%' ESCAPE '!'", no),
        ("state IN ('ok', 'Fault 17')", yes),
        ("n IN (1, 2, 3)", no),
        ("n NOT IN (1, 2, 3) AND n BETWEEN 7 AND 8 AND n NOT BETWEEN 8 AND 9", yes),
        ("cabin.temperature = 3 AND \"cabin.temperature\" = 3 AND \"line/3\" = 4", yes),
        ("device.type = 'motor' AND t > 1", yes),
        ("device.tags.line = '3' AND device.tag('line') = '3' AND t > 1", yes),
        ("device.id LIKE 'd%' AND t > 1", yes),
        ("device.site = 'hamburg' OR t > 1", yes),
        ("CASE WHEN t > 30 THEN 'hot' WHEN t > 20 THEN 'warm' ELSE 'cold' END = 'warm'", yes),
        ("CASE n WHEN 7 THEN t END > 20", yes),
        ("CASE n WHEN 8 THEN t END IS NULL", yes),
        ("coalesce(missing, t) = 21.5 AND coalesce(missing, 'none') = 'none'", yes),
        ("abs(0 - n) = 7 AND round(t) = 22 AND round(t * 1.111, 1) = 23.9", yes),
        ("floor(t) = 21 AND ceil(t) = 22 AND sqrt(n + 2) = 3", yes),
        ("least(t, n, missing) = 7 AND greatest(t, n) = 21.5", yes),
        ("sqrt(0 - n) > 0", unknown),
        ("distance(place, 53.5503, 9.9920) < 1", yes),
        // From Hamburg's town hall to Berlin's cathedral: 255 km.
        ("distance(place, 52.5192, 13.4009) BETWEEN 253000 AND 257000", yes),
        ("distance(t, 1, 1) < 5", unknown),
        ("changed(t)", no),
        ("count(t, '5m') = 1 AND avg(t, '1h') = 21.5 AND first(t, '1h') = last(t, '1 hour')", yes),
        ("rate(t, '1h') > 0", unknown),
        ("stddev(t, '1h') >= 0", unknown),
        ("zscore(t, 100) > 3", unknown),
        ("anomaly(t) > 0.9", unknown),
        ("anomaly(t, n) > 0.9", unknown),
        ("anomalous(t, '30 days')", unknown),
        ("no_data('10 minutes')", no),
        ("no_data(missing, '10 minutes')", unknown),
        ("no_data(t, '10 minutes')", no),
    ] {
        assert_eq!(holds(condition), expected, "{condition}");
    }
}

#[test]
fn what_is_refused_is_shown_in_its_place() {
    for (condition, expected) in [
        ("", "when is empty: write a condition such as temperature > 80"),
        (
            "t > ",
            "when at line 1, column 5: Expected: an expression, found: the end of the condition\n  t > \n      ^",
        ),
        (
            "t > 80 hot",
            "when at line 1, column 8: the condition should end here, hot follows\n  t > 80 hot\n         ^",
        ),
        (
            "device.type > 80 AND t > 1",
            "when at line 1, column 15: device.type is a text, 80 is a number: they cannot be compared\n  device.type > 80 AND t > 1\n                ^",
        ),
        (
            "t > 1 AND\n  avg(t, '5 minutes') = 'hot'",
            "when at line 2, column 25: avg(t, '5 minutes') is a number, 'hot' is a text: they cannot be compared\n    avg(t, '5 minutes') = 'hot'\n                          ^",
        ),
        ("80", "when at line 1, column 1: a condition is needed here, 80 is a number\n  80\n  ^"),
        (
            "t + 'x' > 1",
            "when at line 1, column 5: a number is needed here, 'x' is a text\n  t + 'x' > 1\n      ^",
        ),
        (
            "avg(t) > 1",
            "when at line 1, column 1: avg(t) has 1 arguments; it takes a metric and a duration: avg(temperature, '5 minutes')\n  avg(t) > 1\n  ^",
        ),
        (
            "avg(t, 'soon') > 1",
            "when at line 1, column 8: \"soon\" is no duration: write it like 5m, 1h30m or 10 minutes\n  avg(t, 'soon') > 1\n         ^",
        ),
        (
            "avg(t, '30 days') > 1",
            "when at line 1, column 8: a duration here is from 1 second to 7 days\n  avg(t, '30 days') > 1\n         ^",
        ),
        (
            "avg(t + 1, '5m') > 1",
            "when at line 1, column 5: the name of a metric is needed here, not t + 1\n  avg(t + 1, '5m') > 1\n      ^",
        ),
        (
            "median(t, '5m') > 1",
            "when at line 1, column 1: there is no function median: see docs/rules.md for those there are\n  median(t, '5m') > 1\n  ^",
        ),
        (
            "device.color = 'red' AND t > 1",
            "when at line 1, column 1: device.color is no fact of devices: id, type, site, firmware and tags.KEY are; a metric of this name is written in double quotes\n  device.color = 'red' AND t > 1\n  ^",
        ),
        (
            "device.type = 'motor'",
            "when at line 1, column 1: the condition names no metric, so that nothing would ever have it looked at: name one, or use no_data\n  device.type = 'motor'\n  ^",
        ),
        (
            "zscore(t, 5) > 3",
            "when at line 1, column 11: the number of values to compare with is from 10 to 1000\n  zscore(t, 5) > 3\n            ^",
        ),
        (
            "anomaly(t, 'magic') > 1",
            "when at line 1, column 12: there is no detector \"magic\": there are automatic, seasonal, robust, zscore, and model:NAME\n  anomaly(t, 'magic') > 1\n             ^",
        ),
        (
            "t IN (SELECT 1)",
            "when at line 1, column 1: t IN (SELECT 1) is no part of conditions: see docs/rules.md for what is\n  t IN (SELECT 1)\n  ^",
        ),
        (
            "count(DISTINCT t) > 1",
            "when at line 1, column 1: count(DISTINCT t) is more than a call of a function, and no part of conditions\n  count(DISTINCT t) > 1\n  ^",
        ),
        (
            "t LIKE n",
            "when at line 1, column 8: the pattern of LIKE is a text in single quotes\n  t LIKE n\n         ^",
        ),
        (
            "t || 'x' = 'yx'",
            "when at line 1, column 1: the operator || is no part of conditions\n  t || 'x' = 'yx'\n  ^",
        ),
        (
            "CASE WHEN t > 1 THEN 1 ELSE 'one' END = 1",
            "when at line 1, column 29: 'one' is a text, what stands before it is a number: all must be of one kind\n  CASE WHEN t > 1 THEN 1 ELSE 'one' END = 1\n                              ^",
        ),
    ] {
        let told = Document { name: "r".into(), when: condition.into(), ..Document::default() }
            .compile()
            .unwrap_err();
        assert_eq!(told.to_string(), expected, "{condition}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let refused = |when: String, words: &str| {
        let told =
            Document { name: "r".into(), when, ..Document::default() }.compile().unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    };
    let all =
        |count: usize, part: fn(usize) -> String| (0..count).map(part).collect::<Vec<_>>().join(" AND ");
    refused("t > 1 OR ".repeat(1000), "has 9000 bytes");
    refused(format!("{}t{} > 1", "(".repeat(200), ")".repeat(200)), "nested too deeply");
    refused(format!("{}0 > t", "t + ".repeat(100)), "levels deep");
    refused(all(33, |n| format!("m{n} > 1")), "more than 32 metrics");
    refused(all(17, |n| format!("avg(t, '{}s') > 1", n + 1)), "more than 16 aggregates");
    // Long is not deep.
    let long = Document { name: "r".into(), when: all(400, |_| "t > 1".into()), ..Document::default() };
    assert_eq!(long.compile(), Ok(()));
}

#[test]
fn what_the_docs_show_compiles() {
    let rules = include_str!("../../../../docs/rules.md");
    let guide = include_str!("../../../../docs/guides/first-rule.md");
    let (_, block) = rules.split_once("```sql\n").unwrap();
    let examples = block.split("```").next().unwrap().lines().map(|line| line.split("--").next().unwrap());
    let (_, table) = guide.split_once("| to be told when |").unwrap();
    let of_guide = table.lines().skip(2).filter_map(|line| line.split('`').nth(1));
    let mut count = 0;
    for condition in examples.chain(of_guide) {
        let told = Document { name: "r".into(), when: condition.into(), ..Document::default() }.compile();
        assert_eq!(told, Ok(()), "{condition}");
        count += 1;
    }
    assert_eq!(count, 16);
    for text in [rules, guide] {
        let (_, block) = text.split_once("```json\n").unwrap();
        let document: Document = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
        assert_eq!(document.compile(), Ok(()));
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(
        text in "\\PC{0,60}",
        words in prop::collection::vec(prop::sample::select(vec![
            "t", "device", ".", "type", "tags", "(", ")", "'", "'5m'", "1e999", "-", "+", "*", ",", "AND", "NOT", "IN", "CASE", "WHEN",
            "THEN", "END", "avg", "no_data", "LIKE", "BETWEEN", "IS", "NULL", "\"", "\n", "::", "int", "[", "]", ">", "<", "=", "ü",
        ]), 0..20),
    ) {
        for when in [text, words.join(" ")] {
            // A condition or an error that shows its place: never a panic.
            if let Err(error) = (Document { name: "r".into(), when, ..Document::default() }).compile() {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
