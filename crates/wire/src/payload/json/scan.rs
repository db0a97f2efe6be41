//! A pull scanner over JSON text (RFC 8259): tokens are slices of the payload, nothing is built.

use record::limits;

use super::string::{self, Quoted};
use crate::payload::number::{self, Number};
use crate::payload::reason::{Problem, Reason};

/// The text is not JSON. Small, because every scanning function returns it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    /// `None`: too deep.
    pub(super) what: Option<&'static str>,
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        match fault.what {
            Some(what) => Problem::Json(what).at(fault.at),
            None => Problem::TooDeep.at(fault.at),
        }
    }
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// Scans `text` from `at` to `end`.
    pub(super) fn new(text: &'a str, at: usize, end: usize) -> Self {
        Self { text: &text[..end], at, depth: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to a place that it has passed, within the same object or array.
    pub(super) fn back_to(&mut self, at: usize) {
        debug_assert!(at <= self.at, "{at} was not passed");
        self.at = at;
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    pub(super) fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    pub(super) fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        let what = if self.at >= self.text.len() { "the text ends too early" } else { what };
        Err(Fault { at: self.at, what: Some(what) })
    }

    /// Steps over the `{` or `[` at hand. Whether anything comes before `close`, which is stepped over too.
    #[inline]
    pub(super) fn open(&mut self, close: u8) -> Result<bool, Fault> {
        if self.depth == limits::JSON_DEPTH {
            return Err(Fault { at: self.at, what: None });
        }
        self.at += 1;
        self.white_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        self.depth += 1;
        Ok(true)
    }

    /// After a member: whether another follows; else steps over `close`.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Fault> {
        self.white_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.white_space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ => self.fault("expected a comma or the end of the object or array"),
        }
    }

    /// A key and its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Quoted<'a>, Fault> {
        if self.peek() != Some(b'"') {
            return self.fault("expected a key in double quotes");
        }
        let key = self.string()?;
        self.white_space();
        if self.peek() != Some(b':') {
            return self.fault("expected a colon after the key");
        }
        self.at += 1;
        self.white_space();
        Ok(key)
    }

    /// Steps over the key at hand and its colon, if it is `name` to the letter, with no space in between.
    #[inline]
    pub(super) fn is_key(&mut self, name: &str) -> bool {
        let bytes = self.text.as_bytes();
        let end = self.at + 1 + name.len();
        let is_it = bytes.get(self.at) == Some(&b'"')
            && bytes.get(self.at + 1..end) == Some(name.as_bytes())
            && bytes.get(end..end + 2) == Some(b"\":");
        if is_it {
            self.at = end + 2;
        }
        is_it
    }

    /// Steps over the number at hand, if it is a plain one.
    #[inline]
    pub(super) fn plain_number(&mut self) -> Option<Number> {
        let (number, end) = number::plain(self.text.as_bytes(), self.at)?;
        self.at = end;
        Some(number)
    }

    /// The string whose opening quote is at hand.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Quoted<'a>, Fault> {
        let quoted = string::scan(self.text, self.at + 1).map_err(|(at, what)| {
            let what = if at >= self.text.len() { "the text ends inside a string" } else { what };
            Fault { at, what: Some(what) }
        })?;
        self.at = quoted.end;
        Ok(quoted)
    }

    /// The number at hand, and its text.
    #[inline]
    pub(super) fn number(&mut self) -> Result<(Number, &'a str), Fault> {
        let start = self.at;
        if let Some(number) = self.plain_number() {
            return Ok((number, &self.text[start..self.at]));
        }
        let (number, end) =
            number::json(self.text, start).map_err(|(at, what)| Fault { at, what: Some(what) })?;
        self.at = end;
        Ok((number, &self.text[start..end]))
    }

    /// Steps over `word`, of which the first letter was seen.
    #[inline]
    pub(super) fn literal(&mut self, word: &str) -> Result<(), Fault> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        self.fault("expected a value: a text stands in double quotes, and NaN and Infinity are no JSON")
    }

    /// Steps over any value, checking it.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            Some(b'{') => {
                let mut more = self.open(b'}')?;
                while more {
                    self.key()?;
                    self.skip()?;
                    more = self.more(b'}')?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut more = self.open(b']')?;
                while more {
                    self.skip()?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            _ => self.literal("null"),
        }
    }
}
