//! What ids look like, for people who ask what there is so much of.

/// A longer run of hexadecimal digits with a decimal one among them is a number, too.
const HEX_DIGITS: usize = 4;

/// Longest pattern, bytes: enough to know a kind of name again.
const PATTERN_BYTES: usize = 64;

/// What an id looks like: each run of digits, and each longer run of hexadecimal digits that holds a decimal one, is `#`;
/// groups of these, as in a UUID, become one. At most 64 bytes.
#[must_use]
pub fn pattern_of(id: &str) -> String {
    let mut pattern = String::new();
    let mut rest = id;
    while let Some(first) = rest.chars().next() {
        let run = number(rest);
        if run > 0 {
            let joins = pattern.strip_suffix(['-', ':', '.']).is_some_and(|before| before.ends_with('#'));
            if joins {
                pattern.pop();
            } else {
                pattern.push('#');
            }
            rest = &rest[run..];
            continue;
        }
        // A word stays whole: the hexadecimal digits at its end are part of it.
        let word = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()).max(first.len_utf8());
        pattern.push_str(&rest[..word]);
        rest = &rest[word..];
        if pattern.len() >= PATTERN_BYTES {
            pattern.truncate(pattern.floor_char_boundary(PATTERN_BYTES - 3));
            pattern.push('…');
            break;
        }
    }
    pattern
}

/// How many bytes at the beginning of `text` are a number.
fn number(text: &str) -> usize {
    let run_of = |is_digit: fn(&u8) -> bool| text.bytes().take_while(is_digit).count();
    let hex = run_of(u8::is_ascii_hexdigit);
    let ends_there = text.as_bytes().get(hex).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let has_decimal = text.as_bytes()[..hex].iter().any(u8::is_ascii_digit);
    if hex >= HEX_DIGITS && ends_there && has_decimal { hex } else { run_of(u8::is_ascii_digit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_out_of_ids() {
        for (id, pattern) in [
            ("sensor-0042", "sensor-#"),
            ("d1", "d#"),
            ("line3/robot12", "line#/robot#"),
            ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "#"),
            ("session_8f2a91bc", "session_#"),
            ("urn:uuid:3f2504e0-4f89-11d3-9a0c-0305e82c3301", "urn:uuid:#"),
            ("AA:BB:01:02", "AA:BB:#"),
            ("cafe", "cafe"),
            ("deadbeef", "deadbeef"),
            ("10.0.0.17", "#"),
            ("cpu.usage_idle{container=3b1f09aa77}", "cpu.usage_idle{container=#}"),
            ("größe-7°", "größe-#°"),
            ("", ""),
        ] {
            assert_eq!(pattern_of(id), pattern, "{id}");
        }
        assert_eq!(pattern_of(&"x".repeat(300)).len(), 64);
        assert_eq!(pattern_of(&"-1a".repeat(300)).chars().last(), Some('…'));
    }
}
