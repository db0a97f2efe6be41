//! The tokens of line protocol, as slices of the payload.

use record::ValueRef;

use crate::payload::number::{self, Number};
use crate::payload::reason::{Problem, Reason};

/// A measurement, tag key, tag value or field key, with its escapes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) raw: &'a str,
}

impl<'a> Name<'a> {
    /// The name without escapes; `buffer` is used only where there are some.
    pub(super) fn text<'b>(self, buffer: &'b mut String) -> &'b str
    where
        'a: 'b,
    {
        if memchr::memchr(b'\\', self.raw.as_bytes()).is_none() {
            return self.raw;
        }
        buffer.clear();
        self.append_to(buffer);
        buffer
    }

    /// Appends the name without escapes.
    pub(super) fn append_to(self, out: &mut String) {
        unescape(self.raw, |byte| matches!(byte, b',' | b'=' | b' '), out);
    }
}

/// Appends `raw` to `out`, leaving out each backslash that stands before an `escapable` character. Others are
/// plain characters.
pub(super) fn unescape(raw: &str, escapable: impl Fn(u8) -> bool, out: &mut String) {
    let bytes = raw.as_bytes();
    let (mut from, mut at) = (0, 0);
    while let Some(step) = memchr::memchr(b'\\', &bytes[at..]) {
        at += step;
        if bytes.get(at + 1).is_some_and(|&byte| escapable(byte)) {
            out.push_str(&raw[from..at]);
            from = at + 1;
            at += 1;
        }
        at += 1;
    }
    out.push_str(&raw[from..]);
}

/// A field's value as it stands in the payload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token<'a> {
    /// Between the quotes, with escapes.
    Quoted(&'a str),
    Bare(&'a str),
}

/// Whether a value that is not quoted ends before this byte, or the end of the text.
fn ends_value(byte: Option<&u8>) -> bool {
    matches!(byte, None | Some(b',' | b' ' | b'\t' | b'\n' | b'\r'))
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, Reason> {
        Err(Problem::Line(what).at(self.at))
    }

    /// Steps over blank lines and comments. Returns how many line ends that took.
    pub(super) fn skip_to_line(&mut self) -> u32 {
        let start = self.at;
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'#') => self.skip_line(),
                _ => return self.lines_since(start),
            }
        }
    }

    /// Where the next line begins; `None` at the end.
    pub(super) fn rest(&self) -> Option<usize> {
        (self.at < self.text.len()).then_some(self.at)
    }

    /// Goes to the end of the line.
    pub(super) fn skip_line(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }

    /// How many line ends lie between `start` and here.
    pub(super) fn lines_since(&self, start: usize) -> u32 {
        memchr::memchr_iter(b'\n', &self.text.as_bytes()[start..self.at]).count() as u32
    }

    /// Everything up to a character of `ends` or a line end that no backslash stands before.
    fn name(&mut self, ends: &[u8]) -> Name<'a> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' if matches!(bytes.get(self.at + 1), Some(b',' | b'=' | b' ')) => self.at += 2,
                b'\n' => break,
                byte if ends.contains(&byte) => break,
                _ => self.at += 1,
            }
        }
        Name { raw: &self.text[start..self.at] }
    }

    pub(super) fn measurement(&mut self) -> Result<Name<'a>, Reason> {
        let name = self.name(b", ");
        if name.raw.is_empty() {
            return self.wrong("a line begins with its measurement");
        }
        if !matches!(self.peek(), Some(b',' | b' ')) {
            return self.wrong("the line ends before its fields");
        }
        Ok(name)
    }

    /// The next tag; `None` once the fields begin.
    pub(super) fn tag(&mut self) -> Result<Option<(Name<'a>, Name<'a>)>, Reason> {
        if self.peek() == Some(b' ') {
            return Ok(None);
        }
        self.at += 1; // the comma that ended the measurement or the tag before
        let key = self.name(b",= ");
        if self.peek() != Some(b'=') || key.raw.is_empty() {
            return self.wrong("a tag must be key=value");
        }
        self.at += 1;
        let value = self.name(b",= ");
        if value.raw.is_empty() {
            return self.wrong("a tag must have a value");
        }
        match self.peek() {
            Some(b',' | b' ') => Ok(Some((key, value))),
            Some(b'=') => self.wrong("an equals sign in a tag's value must be escaped: \\="),
            _ => self.wrong("the line ends before its fields"),
        }
    }

    pub(super) fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// A field's key and value. Afterwards [`Scanner::more_fields`].
    pub(super) fn field(&mut self) -> Result<(Name<'a>, Token<'a>), Reason> {
        let key = self.name(b",= ");
        if self.peek() != Some(b'=') || key.raw.is_empty() {
            return self.wrong("a field must be key=value");
        }
        self.at += 1;
        if self.peek() == Some(b'"') {
            return Ok((key, Token::Quoted(self.quoted()?)));
        }
        let start = self.at;
        while !ends_value(self.text.as_bytes().get(self.at)) {
            self.at += 1;
        }
        Ok((key, Token::Bare(&self.text[start..self.at])))
    }

    /// The value of the field at hand, if its key is `key` to the letter and it is a plain number; then it is stepped over.
    #[inline]
    pub(super) fn plain_field(&mut self, key: &str) -> Option<ValueRef<'static>> {
        let bytes = self.text.as_bytes();
        let end = self.at + key.len();
        if bytes.get(self.at..end) != Some(key.as_bytes()) || bytes.get(end) != Some(&b'=') {
            return None;
        }
        let (value, at) = match number::plain(bytes, end + 1)? {
            (Number::Int(int), at) if bytes.get(at) == Some(&b'i') => (ValueRef::Int(int), at + 1),
            (Number::Int(int), at) => (ValueRef::Float(int as f64), at),
            (Number::Float(float), at) => (ValueRef::Float(float), at),
            _ => return None,
        };
        if !ends_value(bytes.get(at)) {
            return None;
        }
        self.at = at;
        Some(value)
    }

    fn quoted(&mut self) -> Result<&'a str, Reason> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        while let Some(step) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
            at += step;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(&self.text[start..at]);
            }
            at += if matches!(bytes.get(at + 1), Some(b'"' | b'\\')) { 2 } else { 1 };
        }
        self.wrong("a text is not closed: it stands in double quotes")
    }

    /// After a field: whether another follows.
    pub(super) fn more_fields(&mut self) -> Result<bool, Reason> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            None | Some(b' ' | b'\t' | b'\n' | b'\r') => Ok(false),
            _ => self.wrong("expected a comma, a space or the end of the line after the field"),
        }
    }

    /// The line's time and where it stands, if it has one; the line must end after it.
    pub(super) fn time(&mut self) -> Result<Option<(usize, &'a str)>, Reason> {
        self.spaces();
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        while let Some(b' ' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
        if !matches!(self.peek(), None | Some(b'\n')) {
            return self.wrong("the time must be a whole number, and the line must end after it");
        }
        Ok((!text.is_empty()).then_some((start, text)))
    }
}
