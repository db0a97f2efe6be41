//! Times as people write and read them.

use record::Timestamp;

/// A point in time as RFC 3339 in UTC, with as many groups of three decimals as it needs.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let full = time.to_rfc3339();
    let mut text = full.trim_end_matches('Z');
    while let Some(shorter) = text.strip_suffix("000").filter(|shorter| shorter.contains('.')) {
        text = shorter;
    }
    format!("{}Z", text.trim_end_matches('.'))
}

/// Reads an RFC 3339 time. As people are kind to themselves, a date alone is its midnight, seconds may be left
/// out, and a missing offset means UTC. `None` for anything else, and outside of 1677 to 2262.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let strict = |text: &str| Timestamp::parse_rfc3339(text).ok();
    match text.len() {
        10 => strict(&format!("{text}T00:00:00Z")),
        16 => strict(&format!("{text}:00Z")),
        _ => strict(text).or_else(|| strict(&format!("{text}Z"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_render_as_short_as_they_are_exact() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (1_700_000_000_123_000_000, "2023-11-14T22:13:20.123Z"),
            (1_700_000_000_100_000_000, "2023-11-14T22:13:20.100Z"),
            (1_700_000_000_000_456_000, "2023-11-14T22:13:20.000456Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_nanos(nanos)), text);
            assert_eq!(parse_rfc3339(text), Some(Timestamp::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_people_write_is_read_and_nonsense_is_not() {
        let noon = parse_rfc3339("2026-11-20T12:00:00Z");
        assert!(noon.is_some());
        for text in
            ["2026-11-20 12:00:00", "2026-11-20T13:30:00+01:30", "2026-11-20T12:00", "2026-11-20T12:00:00.0"]
        {
            assert_eq!(parse_rfc3339(text), noon, "{text}");
        }
        assert_eq!(parse_rfc3339("2026-11-20"), parse_rfc3339("2026-11-20T00:00:00Z"));
        for text in
            ["", "2026", "2026-13-01", "2026-02-29", "2026-11-20T", "2026-11-20T12:00:00Zx", "3000-01-01"]
        {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
