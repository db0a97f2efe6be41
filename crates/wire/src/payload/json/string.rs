//! JSON strings: finding the end, eight bytes at a time, and taking the escapes out.

/// A string of the payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a> {
    /// What stands between the quotes, escapes checked.
    raw: &'a str,
    escaped: bool,
    /// After the closing quote.
    pub(super) end: usize,
}

impl<'a> Quoted<'a> {
    /// The string without escapes; `buffer` is used only where there are some.
    #[inline]
    pub(super) fn text<'b>(&self, buffer: &'b mut String) -> &'b str
    where
        'a: 'b,
    {
        if !self.escaped {
            return self.raw;
        }
        buffer.clear();
        unescape(self.raw, buffer);
        buffer
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of the first byte that is a quote, a backslash or a control character (and perhaps of later ones:
/// a borrow only ever runs upwards from a hit).
#[inline]
fn special(word: u64) -> u64 {
    let zero = |w: u64| w.wrapping_sub(ONES) & !w;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

/// Scans the string whose first character is at `start`.
#[inline]
pub(super) fn scan(text: &str, start: usize) -> Result<Quoted<'_>, (usize, &'static str)> {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut escaped = false;
    loop {
        while let Some(chunk) = bytes.get(at..at + 8) {
            let found = special(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
            if found != 0 {
                at += found.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match bytes.get(at) {
            Some(b'"') => return Ok(Quoted { raw: &text[start..at], escaped, end: at + 1 }),
            Some(b'\\') => {
                escaped = true;
                at = escape(bytes, at)?.1;
            }
            Some(0..0x20) => return Err((at, "a control character in a string must be escaped")),
            Some(_) => at += 1,
            None => return Err((at, "a string is not closed")),
        }
    }
}

/// The character that the escape at `at` stands for, and where the escape ends.
fn escape(bytes: &[u8], at: usize) -> Result<(char, usize), (usize, &'static str)> {
    let simple = match bytes.get(at + 1) {
        Some(&c @ (b'"' | b'\\' | b'/')) => char::from(c),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(bytes, at),
        Some(_) => return Err((at, "no such escape")),
        None => return Err((at + 1, "a string is not closed")),
    };
    Ok((simple, at + 2))
}

/// `\uXXXX`, or two of them that make a surrogate pair (RFC 8259, section 7).
fn unicode(bytes: &[u8], at: usize) -> Result<(char, usize), (usize, &'static str)> {
    const LONE: &str = "half of a surrogate pair: \\ud800 to \\udbff must be followed by \\udc00 to \\udfff";
    let unit = hex4(bytes, at + 2)?;
    let (code, end) = match unit {
        0xd800..0xdc00 => {
            if bytes.get(at + 6..at + 8) != Some(b"\\u") {
                return Err((at, LONE));
            }
            match hex4(bytes, at + 8)? {
                low @ 0xdc00..0xe000 => (0x1_0000 + ((unit - 0xd800) << 10 | (low - 0xdc00)), at + 12),
                _ => return Err((at, LONE)),
            }
        }
        _ => (unit, at + 6),
    };
    char::from_u32(code).map(|c| (c, end)).ok_or((at, LONE))
}

fn hex4(bytes: &[u8], at: usize) -> Result<u32, (usize, &'static str)> {
    let mut code = 0;
    for place in at..at + 4 {
        let digit = bytes.get(place).and_then(|&b| char::from(b).to_digit(16));
        code = code << 4 | digit.ok_or((place, "\\u needs four hexadecimal digits"))?;
    }
    Ok(code)
}

/// Appends `raw`, whose escapes were checked, without them.
fn unescape(raw: &str, out: &mut String) {
    let mut from = 0;
    while let Some(step) = memchr::memchr(b'\\', &raw.as_bytes()[from..]) {
        out.push_str(&raw[from..from + step]);
        let (character, end) =
            escape(raw.as_bytes(), from + step).expect("escapes were checked while scanning");
        out.push(character);
        from = end;
    }
    out.push_str(&raw[from..]);
}
