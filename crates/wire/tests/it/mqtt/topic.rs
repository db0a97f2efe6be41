//! Topic names, filters, and which match.

use record::limits::{TOPIC_BYTES, TOPIC_LEVELS};
use wire::mqtt::topic::{check_name, matches, parse_filter};

#[test]
fn names() {
    for good in ["a", "/", "a/b", "//", "a b/ü", "$SYS/x", "$share/g/t", "\u{FEFF}a"] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    for (bad, what) in [
        ("", "topic is empty at byte 0"),
        ("#", "topic contains a wildcard at byte 0"),
        ("a/+/b", "topic contains a wildcard at byte 2"),
        ("a+", "topic contains a wildcard at byte 1"),
        ("ü\0", "topic contains U+0000 at byte 2"),
    ] {
        assert_eq!(check_name(bad).unwrap_err().to_string(), what);
    }
    assert_eq!(check_name(&"a".repeat(TOPIC_BYTES)), Ok(()));
    assert!(check_name(&"a".repeat(TOPIC_BYTES + 1)).is_err());
    assert_eq!(check_name(&"/".repeat(TOPIC_LEVELS - 1)), Ok(()));
    let deep = check_name(&"/".repeat(TOPIC_LEVELS)).unwrap_err();
    assert_eq!(deep.to_string(), "topic has more levels than the limit at byte 127");
}

#[test]
fn filters() {
    for (filter, group, rest) in [
        ("a", None, "a"),
        ("#", None, "#"),
        ("+/+/#", None, "+/+/#"),
        ("/+", None, "/+"),
        ("$share", None, "$share"),
        ("$shared/a", None, "$shared/a"),
        ("$share/g/a/#", Some("g"), "a/#"),
        ("$share/g//", Some("g"), "/"),
    ] {
        let parsed = parse_filter(filter).unwrap();
        assert_eq!((parsed.group, parsed.filter), (group, rest), "{filter}");
    }
    for (bad, what) in [
        ("", "topic filter is empty at byte 0"),
        ("a/#/b", "'#' is not alone in the last level at byte 2"),
        ("a#", "'#' is not alone in the last level at byte 1"),
        ("#a", "'#' is not alone in the last level at byte 0"),
        ("##", "'#' is not alone in the last level at byte 0"),
        ("a+", "'+' is not alone in its level at byte 1"),
        ("+a/b", "'+' is not alone in its level at byte 0"),
        ("a/++", "'+' is not alone in its level at byte 2"),
        ("a\0", "topic filter contains U+0000 at byte 1"),
        ("$share/", "share name is empty at byte 7"),
        ("$share//a", "share name is empty at byte 7"),
        ("$share/g", "no topic filter follows the share name at byte 8"),
        ("$share/g/", "no topic filter follows the share name at byte 9"),
        ("$share/g+/a", "share name contains a wildcard at byte 8"),
        ("$share/#/a", "share name contains a wildcard at byte 7"),
        ("$share/g/a/#/b", "'#' is not alone in the last level at byte 11"),
    ] {
        assert_eq!(parse_filter(bad).unwrap_err().to_string(), what, "{bad:?}");
    }
    assert!(parse_filter(&"a".repeat(TOPIC_BYTES + 1)).is_err());
    assert!(parse_filter(&"/".repeat(TOPIC_LEVELS)).is_err());
}

#[test]
fn matching() {
    for (filter, name, yes) in [
        ("a/b", "a/b", true),
        ("a/b", "a/B", false),
        ("a/b", "a/b/c", false),
        ("a/b/c", "a/b", false),
        ("a/+", "a/b", true),
        ("a/+", "a/", true),
        ("a/+", "a", false),
        ("a/+", "a/b/c", false),
        ("+", "a", true),
        ("+", "/a", false),
        ("+/+", "/a", true),
        ("/+", "/a", true),
        ("a/#", "a", true),
        ("a/#", "a/b/c", true),
        ("a/#", "ab", false),
        ("#", "a/b", true),
        ("#", "/", true),
        ("+/b/#", "a/b", true),
        ("#", "$SYS/x", false),
        ("+/x", "$SYS/x", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/+", "$SYS/x", true),
        ("a/#", "a/$x", true),
    ] {
        assert_eq!(matches(filter, name), yes, "{filter} {name}");
    }
}
