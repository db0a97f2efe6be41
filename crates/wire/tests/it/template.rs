//! Topic templates (R1.8).

use record::Lane;
use wire::template::Templates;

/// What a topic says under some templates, as one line.
fn check(templates: &Templates, topic: &str, expect: Option<&str>) {
    let found = templates.matching(topic).map(|found| {
        let mut line = String::from(found.template());
        let parts = [
            ("tenant", found.tenant),
            ("device", found.device),
            ("metric", found.metric),
            ("class", found.class),
        ];
        for (name, part) in
            parts.into_iter().filter_map(|(name, part)| Some((name, part?))).chain(found.facts())
        {
            line.push_str(&format!(" {name}={part}"));
        }
        line
    });
    assert_eq!(found.as_deref(), expect, "{topic}");
}

#[test]
fn shipped_templates_say_what_a_topic_means() {
    let shipped = Templates::shipped();
    for (topic, expect) in [
        ("devices/d1/telemetry", Some("devices/{id}/telemetry device=d1")),
        ("assets/a-7/telemetry", Some("assets/{id}/telemetry device=a-7")),
        ("fleet/truck 9/speed", Some("fleet/{id}/{metric} device=truck 9 metric=speed")),
        ("sensors/temperature", Some("sensors/{metric} metric=temperature")),
        (
            "acme/hamburg/pump/p7/vibration",
            Some(
                "{org}/{site}/{device_type}/{device_id}/{measurement} device=p7 metric=vibration org=acme \
                 site=hamburg device_type=pump",
            ),
        ),
        // Literals win, for good: nothing under `devices` is an org.
        ("devices/x/a/b/c", None),
        ("fleet/x/a/b/c", None),
        ("devices/x/status", None),
        ("devices/x/telemetry/y", None),
        ("devices/telemetry", None),
        ("sensors/a/b", None),
        // Levels that are no ids.
        ("devices//telemetry", None),
        ("acme//pump/p7/vibration", None),
        ("devices/d\u{1}/telemetry", None),
        ("acme/hamburg/pump/p7/", None),
        ("/hamburg/pump/p7/x", None),
        ("devices/+/telemetry", None),
        ("sensors/#", None),
        // The server's own.
        ("$SYS/a/b/c/d", None),
        ("$SYS", None),
        ("", None),
        ("other", None),
    ] {
        check(&shipped, topic, expect);
    }
    let long = format!("devices/{}/telemetry", "x".repeat(257));
    check(&shipped, &long, None);
}

#[test]
fn tenant_and_class_come_out_and_the_class_picks_the_lane() {
    let templates = Templates::compile(&[
        "t/{tenant}/{device}/{class}",
        "t/{tenant}/{device}/backfill/{metric}",
        "ingest",
    ])
    .unwrap();
    check(&templates, "t/acme/d1/live", Some("t/{tenant}/{device}/{class} tenant=acme device=d1 class=live"));
    check(
        &templates,
        "t/acme/d1/backfill/x",
        Some("t/{tenant}/{device}/backfill/{metric} tenant=acme device=d1 metric=x"),
    );
    check(&templates, "ingest", Some("ingest"));
    let tenant = format!("t/{}/d1/live", "x".repeat(65));
    check(&templates, &tenant, None);
    for (class, lane) in [("backfill", None), ("live", Some(Lane::Live)), ("history", Some(Lane::Live))] {
        let topic = format!("t/acme/d1/{class}");
        assert_eq!(templates.matching(&topic).and_then(|found| found.lane()), lane, "{class}");
    }
    let backfill = Templates::compile(&["{device}/{class}"]).unwrap();
    assert_eq!(backfill.matching("d1/backfill").unwrap().lane(), Some(Lane::Backfill));
    assert_eq!(Templates::shipped().matching("sensors/t").unwrap().lane(), None);
}

#[test]
fn the_order_of_templates_does_not_matter() {
    let forward = Templates::compile(&["a/{x}/c", "a/b/{y}", "{z}/b/c"]).unwrap();
    let backward = Templates::compile(&["{z}/b/c", "a/b/{y}", "a/{x}/c"]).unwrap();
    for topic in ["a/b/c", "a/q/c", "q/b/c", "a/q/q", "q/q/q"] {
        let name = |templates: &Templates| templates.matching(topic).map(|found| found.template().to_owned());
        assert_eq!(name(&forward), name(&backward), "{topic}");
    }
    check(&forward, "a/b/c", Some("a/b/{y} y=c"));
}

#[test]
fn a_bad_template_is_refused_with_what_to_do() {
    let long = vec!["x"; 129].join("/");
    for (texts, expect) in [
        (&[""][..], "a topic template is empty: remove it or write one such as devices/{id}/telemetry"),
        (&["a//b"], "topic template \"a//b\" has an empty level: remove the extra slash"),
        (&["/a"], "topic template \"/a\" has an empty level: remove the extra slash"),
        (&["a/+/b"], "topic template \"a/+/b\" holds the wildcard '+': use a placeholder such as {site}"),
        (
            &["$x/{id}"],
            "topic template \"$x/{id}\" begins with $, which belongs to the server: telemetry topics cannot",
        ),
        (
            &["a/x-{id}"],
            "topic template \"a/x-{id}\": \"x-{id}\" mixes text and braces: a placeholder takes a whole level",
        ),
        (
            &["a/{id"],
            "topic template \"a/{id\": \"{id\" mixes text and braces: a placeholder takes a whole level",
        ),
        (
            &["a/{a}{b}"],
            "topic template \"a/{a}{b}\": \"{a}{b}\" mixes text and braces: a placeholder takes a whole level",
        ),
        (&["a/{}"], "topic template \"a/{}\": placeholder \"\" needs a name of letters, digits and _"),
        (
            &["a/{my id}"],
            "topic template \"a/{my id}\": placeholder \"my id\" needs a name of letters, digits and _",
        ),
        (
            &["{id}/{device}"],
            "topic template \"{id}/{device}\" names the device twice: keep one of the placeholders",
        ),
        (
            &["{site}/{site}"],
            "topic template \"{site}/{site}\" names the site twice: keep one of the placeholders",
        ),
        (&["a\u{0}"], "topic template \"a\\0\" holds a control character, which no topic may"),
        (
            &["a/{id}", "a/{metric}"],
            "topic template \"a/{metric}\" matches the same topics as \"a/{id}\": remove one",
        ),
        (&[long.as_str()], "has more than 4096 bytes or 128 levels, as no topic may"),
    ] {
        let error = Templates::compile(texts).unwrap_err().to_string();
        assert!(error.ends_with(expect), "{error}");
    }
}

#[test]
fn a_template_may_name_the_unit_of_its_times() {
    use record::{Encoding, TimeUnit};
    let mut templates = Templates::shipped();
    templates.set_time_unit("devices/{id}/telemetry", TimeUnit::Milliseconds).unwrap();
    for (topic, encoding, expected) in [
        ("devices/d1/telemetry", Encoding::Json, Some(TimeUnit::Milliseconds)),
        ("devices/d1/telemetry", Encoding::Ndjson, Some(TimeUnit::Milliseconds)),
        ("devices/d1/telemetry", Encoding::Influx, None),
        ("assets/d1/telemetry", Encoding::Json, None),
    ] {
        assert_eq!(templates.matching(topic).unwrap().time_unit(encoding), expected, "{topic} {encoding:?}");
    }
    let refused = templates.set_time_unit("devices/{device}/telemetry", TimeUnit::Seconds).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there is no topic template \"devices/{device}/telemetry\": write one of the templates as it stands there"
    );
}
