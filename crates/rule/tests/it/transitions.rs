//! When rules begin and end.

use record::ValueRef;

use crate::given::{Given, rule, when};

#[test]
fn a_threshold_is_crossed_and_crossed_back() {
    let mut given = Given::new(&[when("temperature > 80")]);
    given.number(0, "temperature", 70.0).number(10, "temperature", 90.0).number(20, "temperature", 95.0);
    given.number(30, "temperature", 80.0).number(40, "temperature", 80.1);
    assert_eq!(given.told(), ["+r@10 10", "-r@10 30", "+r@40 40"]);
}

#[test]
fn for_is_proven_by_a_reading_or_by_time() {
    let hot = rule(r#"{"name": "hot", "when": "t > 80", "for": "1m"}"#);
    let mut given = Given::new(&[hot]);
    given.number(0, "t", 90.0).number(59, "t", 90.0);
    assert!(given.told().is_empty());
    given.number(61, "t", 90.0).number(70, "t", 10.0);
    assert_eq!(given.told(), ["+hot@0 60", "-hot@0 70"]);
    given.number(100, "t", 90.0).number(130, "t", 10.0).number(140, "t", 90.0).tick(199);
    assert!(given.told().is_empty(), "a break starts it anew");
    given.tick(200);
    assert_eq!(given.told(), ["+hot@140 200"]);
    given.number(300, "t", 10.0).number(400, "t", 90.0).number(500, "t", 10.0);
    assert_eq!(
        given.told(),
        ["-hot@140 300", "+hot@400 460", "-hot@400 500"],
        "it held until the reading that ended it"
    );
}

#[test]
fn silence_is_found_by_time_or_by_the_next_reading() {
    let mut given = Given::new(&[when("no_data('10 minutes')")]);
    given.number(0, "a", 1.0).tick(599);
    assert!(given.told().is_empty());
    given.tick(605).number(700, "a", 1.0).number(1500, "a", 2.0);
    assert_eq!(given.told(), ["+r@600 600", "-r@600 700", "+r@1300 1300", "-r@1300 1500"]);
}

#[test]
fn text_and_facts() {
    let mut given = Given::new(&[when("state = 'fault' AND device.type = 'motor'")]);
    given.facts.device_type = Some("motor".into());
    given.send(0, &[("state", ValueRef::Text("fault"))]).send(1, &[("state", ValueRef::Text("ok"))]);
    assert_eq!(given.told(), ["+r@0 0", "-r@0 1"]);
    given.facts.device_type = Some("pump".into());
    given.send(2, &[("state", ValueRef::Text("fault"))]);
    assert!(given.told().is_empty());
}
