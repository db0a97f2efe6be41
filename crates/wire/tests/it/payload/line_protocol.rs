//! InfluxDB line protocol (R1.3).

use super::show::{decoded, message};
use record::{Encoding, Readings, TimeUnit};
use wire::payload::{self, Scratch};

fn check(topic: &str, payload: &str, expect: &str) {
    assert_eq!(decoded(topic, Encoding::Influx, payload.as_bytes()), expect, "{topic} {payload}");
}

#[test]
fn lines_become_readings() {
    for (topic, payload, expect) in [
        (
            "-/-",
            "weather,device_id=d1 temperature=21.5,rain=t 1700000000123456789",
            "d1 weather.temperature 21.5 @1700000000.123456789; d1 weather.rain true @1700000000.123456789",
        ),
        ("-/-", "t,device=d1 value=1i", "d1 t 1i @server"),
        (
            "-/-",
            "t,host=h value=1i,value2=2u,f=1,s=\"a b,c=d\"",
            "h t 1i @server; h t.value2 2i @server; h t.f 1 @server; h t.s \"a b,c=d\" @server",
        ),
        ("-/-", "t,host=h,device=e,device_id=d value=1", "d t{device=e,host=h} 1 @server"),
        (
            "-/-",
            "cpu,host=h,cpu=cpu0 idle=1 1\ncpu,cpu=cpu1,host=h idle=2 1\n",
            "h cpu.idle{cpu=cpu0} 1 @0.000000001; h cpu.idle{cpu=cpu1} 2 @0.000000001",
        ),
        ("-/-", "t,b=2,host=h,a=1 v=1", "h t.v{a=1,b=2} 1 @server"),
        ("d1/-", "t v=1", "d1 t.v 1 @server"),
        ("d1/-", "t,device_id=d1,host=h v=1", "d1 t.v{host=h} 1 @server"),
        ("d1/-", "# comment\r\n\r\n  t v=1 5 \r\n#end", "d1 t.v 1 @0.000000005"),
        ("d1/-", "t v=1 -5", "d1 t.v 1 @-1.999999995"),
        ("d1/-", "t v=1 5\t\r\n", "d1 t.v 1 @0.000000005"),
        ("d1/-", "t  a=1,b=2  5", "d1 t.a 1 @0.000000005; d1 t.b 2 @0.000000005"),
        ("d1/-", "my\\ t\\,x,k\\=1=v\\ 2 f\\ g=1", "d1 my t,x.f g{k\\=1=v\\ 2} 1 @server"),
        (
            "d1/-",
            "t a=\"q\\\"\\\\ \\n\nx\" 7\nt b=1",
            "d1 t.a \"q\\\"\\\\ \\\\n\\nx\" @0.000000007; d1 t.b 1 @server",
        ),
        (
            "d1/-",
            "t a=T,b=True,c=TRUE,d=f,e=False,f=FALSE",
            "d1 t.a true @server; d1 t.b true @server; d1 t.c true @server; d1 t.d false @server; d1 t.e false @server; d1 t.f false @server",
        ),
        (
            "d1/-",
            "t a=1.,b=.5,c=+1,d=007,e=-1.5E-3,f=-0",
            "d1 t.a 1 @server; d1 t.b 0.5 @server; d1 t.c 1 @server; d1 t.d 7 @server; d1 t.e -0.0015 @server; d1 t.f -0 @server",
        ),
        (
            "d1/-",
            "t a=-9223372036854775808i,b=9223372036854775807u",
            "d1 t.a -9223372036854775808i @server; d1 t.b 9223372036854775807i @server",
        ),
        ("d1/-", "t\\x v=1", "d1 t\\x.v 1 @server"),
        ("d1/-", "größe m=1,ü=\"ß\"", "d1 größe.m 1 @server; d1 größe.ü \"ß\" @server"),
    ] {
        check(topic, payload, expect);
    }
}

#[test]
fn a_refusal_names_the_line() {
    const FIELD: &str =
        "a field's value is a number, an integer such as 1i, true, false or a text in double quotes";
    for (topic, payload, expect) in [
        ("d/-", "", "byte 0: the payload is empty".to_owned()),
        ("d/-", "\u{feff}t v=1", "byte 0: the payload begins with a byte order mark: send plain UTF-8".to_owned()),
        ("d/-", "# nothing\n\n", "byte 0: the payload is empty".to_owned()),
        ("-/-", "\n#c\nt v=1", "line 3, byte 4: no device: give the line a tag device_id, device or host".to_owned()),
        ("d/-", "t", "line 1, byte 1: not line protocol: the line ends before its fields".to_owned()),
        ("d/-", "t,a=1", "line 1, byte 5: not line protocol: the line ends before its fields".to_owned()),
        ("d/-", ",a=1 v=1", "line 1, byte 0: not line protocol: a line begins with its measurement".to_owned()),
        ("d/-", "t,a v=1", "line 1, byte 3: not line protocol: a tag must be key=value".to_owned()),
        ("d/-", "t,a= v=1", "line 1, byte 4: not line protocol: a tag must have a value".to_owned()),
        ("d/-", "t,a=1=2 v=1", "line 1, byte 5: not line protocol: an equals sign in a tag's value must be escaped: \\=".to_owned()),
        ("d/-", "t,a=1,a=2 v=1", "line 1, byte 1: \"a\" is given twice: which one counts is not defined".to_owned()),
        ("d/-", "t v=1,v=2", "line 1, byte 6: \"v\" is given twice: which one counts is not defined".to_owned()),
        ("d/-", "t v", "line 1, byte 3: not line protocol: a field must be key=value".to_owned()),
        ("d/-", "t v=", format!("line 1, byte 2: not line protocol: {FIELD}")),
        ("d/-", "t v=nan", format!("line 1, byte 2: not line protocol: {FIELD}")),
        ("d/-", "t v=inf", format!("line 1, byte 2: not line protocol: {FIELD}")),
        ("d/-", "t v=1e", format!("line 1, byte 2: not line protocol: {FIELD}")),
        ("d/-", "t v=1xi", "line 1, byte 2: not line protocol: an integer is digits and i".to_owned()),
        ("d/-", "t v=-1u", "line 1, byte 2: not line protocol: an unsigned integer is digits and u".to_owned()),
        ("d/-", "t v=\"x", "line 1, byte 4: not line protocol: a text is not closed: it stands in double quotes".to_owned()),
        ("d/-", "t v=\"x\"y", "line 1, byte 7: not line protocol: expected a comma, a space or the end of the line after the field".to_owned()),
        ("d/-", "t v=1 1.5", "line 1, byte 7: not line protocol: the time must be a whole number, and the line must end after it".to_owned()),
        ("d/-", "t v=1 -", "line 1, byte 6: the time \"-\" is neither a number since 1970 nor an RFC 3339 time such as 2023-11-14T22:13:20Z (wrong at character 1)".to_owned()),
        ("d/-", "t v=1 99999999999999999999", "line 1, byte 6: the time \"99999999999999999999\" is outside 1677-09-21 to 2262-04-11, the range of 64-bit nanoseconds".to_owned()),
        ("d/-", "t v=9223372036854775808u", "line 1, byte 2: \"t.v\" is an integer beyond 64 signed bits: send it as text, or as a float if its last digits do not matter".to_owned()),
        ("d/-", "t v=1e400", "line 1, byte 2: \"t.v\" is a number beyond the range of a 64-bit float".to_owned()),
        ("d/-", "t,device=e v=1", "line 1, byte 0: the payload names the device \"e\", topic or credential name \"d\": they must agree".to_owned()),
    ] {
        check(topic, payload, &format!("refused: {expect}"));
    }
    check(
        "d/-",
        "t a=\"1\n2\",a=1\nt b=1", // the line break in the text is no line's end
        "d t.b 1 @server; 0 at 0..13 line 1, byte 10: \"a\" is given twice: which one counts is not defined",
    );
    check(
        "d/-",
        "t a=1\nbad\nt b=9223372036854775808u,c=1\n\"\nt d=1",
        "d t.a 1 @server; d t.c 1 @server; d t.d 1 @server; \
         1 at 6..9 line 2, byte 9: not line protocol: the line ends before its fields; \
         2 at 10..38 line 3, byte 12: \"t.b\" is an integer beyond 64 signed bits: send it as text, or as a float if its last digits do not matter; \
         3 at 39..40 line 4, byte 40: not line protocol: the line ends before its fields",
    );
}

#[test]
fn a_line_keeps_its_facts_and_goes_on_in_nanoseconds() {
    let payload = b"cpu,host=h,dc=x\\ y,cpu=c0 idle=1 1700000000\nbad\nm,host=h v=\"1 5\"\n";
    let mut message = message("-/-", Encoding::Influx, payload);
    let mut scratch = Scratch::new();
    for (precision, unit, nanos) in [
        ("s", TimeUnit::Seconds, "1700000000000000000"),
        ("ms", TimeUnit::Milliseconds, "1700000000000000"),
        ("us", TimeUnit::Microseconds, "1700000000000"),
        ("u", TimeUnit::Microseconds, "1700000000000"),
        ("ns", TimeUnit::Nanoseconds, "1700000000"),
        ("n", TimeUnit::Nanoseconds, "1700000000"),
    ] {
        assert_eq!(TimeUnit::from_precision(precision), Some(unit));
        message.time_unit = Some(unit);
        let summary = payload::inspect(&message, &mut scratch).unwrap();
        assert_eq!((summary.readings, summary.rejected), (2, 1));
        assert_eq!(scratch.measurement(0), Some("cpu"));
        assert_eq!(scratch.tags(0), Some("cpu=c0,dc=x\\ y"));
        assert_eq!((scratch.measurement(1), scratch.tags(1)), (None, None));
        assert_eq!((scratch.measurement(2), scratch.tags(2)), (Some("m"), Some("")));
        let mut out = Vec::new();
        for element in [0, 2] {
            scratch.append_line(element, payload, message.time_unit, &mut out);
        }
        let expect = format!("cpu,device_id=h,dc=x\\ y,cpu=c0 idle=1 {nanos}\nm,device_id=h v=\"1 5\"\n");
        assert_eq!(String::from_utf8(out.clone()).unwrap(), expect);
        // By itself, and as a record that names its device, it says the same as before.
        for device in [None, Some("h")] {
            let again = payload::Message { time_unit: None, device, payload: &out, ..message };
            let mut readings = Readings::new();
            payload::decode(&again, &mut readings, &mut Scratch::new()).unwrap();
            assert!(readings.iter().eq(scratch.readings().iter()), "{device:?}");
        }
    }
    for (precision, unit) in [("m", Some(TimeUnit::Minutes)), ("h", Some(TimeUnit::Hours)), ("d", None)] {
        assert_eq!(TimeUnit::from_precision(precision), unit);
    }
}

#[test]
fn a_line_with_endless_tags_is_refused_before_its_fields_are_named() {
    let tags: String = (0..20_000).map(|n| format!(",tag{n}=value")).collect();
    let fields = vec!["f=1"; 20_000].join(",");
    let line = format!("t{tags} {fields}");
    let expect = format!(
        "refused: line 1, byte {}: the metric name of measurement and tags has {} bytes, at most 1024 are allowed",
        1 + tags.len() + 1,
        tags.len()
    );
    check("d/-", &line, &expect);
}
