//! The latest readings of devices, of some kinds of value: what a map of them asks for.

use record::Value;

use crate::types::fleet;

#[test]
fn of_the_latest_readings_those_of_a_kind_are_read_alone() {
    let fleet = fleet();
    let at = |lat, lng| Value::Location { lat, lng };
    fleet.send(
        "default",
        &[
            ("a", "position", 10, at(54.0, 10.0)),
            ("a", "temperature", 10, Value::Float(20.5)),
            ("b", "position", 20, at(1.0, 2.0)),
            ("b", "position", 30, Value::Text("lost".into())),
            ("c", "temperature", 40, Value::Float(7.5)),
        ],
    );
    fleet.send("other", &[("o", "position", 10, at(8.0, 8.0))]);
    for _ in 0..2 {
        let located = "SELECT device_id, lat, lng FROM latest WHERE kind = 'location'";
        assert_eq!(fleet.ask(located), "device_id,lat,lng\na,54.0,10.0\n");
        let others = "SELECT device_id, metric FROM latest WHERE kind IN ('float', 'text') ORDER BY 1, 2";
        assert_eq!(fleet.ask(others), "device_id,metric\na,temperature\nb,position\nc,temperature\n");
        assert_eq!(fleet.ask("SELECT count(*) AS n FROM latest WHERE kind <> 'location'"), "n\n3\n");
        assert_eq!(fleet.ask("SELECT count(*) AS n FROM latest WHERE kind = 'colour'"), "n\n0\n");
        fleet.store.roll().unwrap();
    }
    let explained = fleet.ask("EXPLAIN SELECT lat FROM latest WHERE kind = 'location' AND device_id = 'a'");
    assert!(explained.contains("Scan: table=latest, devices=1, kinds=1"), "{explained}");
    // Where everything is read anyway, the condition stays a step of its own.
    let explained = fleet.ask("EXPLAIN SELECT lat FROM telemetry WHERE kind = 'location'");
    assert!(explained.contains("Scan: table=telemetry\n"), "{explained}");
}
