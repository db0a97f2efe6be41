//! A cursor over one packet that knows where it is, so that a refusal can say at which byte.

use super::rules::{BAD_UTF8, NUL_IN_STRING, Rule, TRUNCATED};
use super::{DecodeError, Version, varint};

/// Reads the fields of a packet in order.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// In which version statements are quoted.
    pub(super) version: Option<Version>,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from `at`; offsets in errors count from the start of `bytes`.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], at: usize, version: Option<Version>) -> Self {
        Self { bytes, at, version }
    }

    /// Where the next field starts.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Ends the packet `n` bytes from here, which it has.
    #[inline]
    pub(super) fn end_after(&mut self, n: usize) {
        self.bytes = &self.bytes[..self.at + n];
    }

    /// What the field at `at` breaks.
    #[cold]
    pub(super) fn fail_at(&self, at: usize, rule: &'static Rule) -> DecodeError {
        DecodeError::new(rule, self.version, at)
    }

    /// What the next field breaks.
    #[cold]
    pub(super) fn fail(&self, rule: &'static Rule) -> DecodeError {
        self.fail_at(self.at, rule)
    }

    #[inline]
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        match self.bytes[self.at..].split_at_checked(n) {
            Some((taken, _)) => {
                self.at += n;
                Ok(taken)
            }
            None => Err(self.fail(&TRUNCATED)),
        }
    }

    /// Everything left.
    #[inline]
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        match self.bytes.get(self.at) {
            Some(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => Err(self.fail(&TRUNCATED)),
        }
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        match self.bytes[self.at..].first_chunk() {
            Some(&bytes) => {
                self.at += 2;
                Ok(u16::from_be_bytes(bytes))
            }
            None => Err(self.fail(&TRUNCATED)),
        }
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        match self.bytes[self.at..].first_chunk() {
            Some(&bytes) => {
                self.at += 4;
                Ok(u32::from_be_bytes(bytes))
            }
            None => Err(self.fail(&TRUNCATED)),
        }
    }

    /// A variable byte integer.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        match varint::read(&self.bytes[self.at..]) {
            Ok(Some((value, n))) => {
                self.at += n;
                Ok(value)
            }
            Ok(None) => Err(self.fail(&TRUNCATED)),
            Err(rule) => Err(self.fail(rule)),
        }
    }

    /// Binary data: a two-byte length and so many bytes.
    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let n = self.u16()?;
        self.take(n.into()).map_err(|_| self.fail_at(start, &TRUNCATED))
    }

    /// A string that is well-formed UTF-8; U+0000 is left to the caller, who looks at every byte anyway.
    #[inline]
    pub(super) fn utf8(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        let bytes = self.binary()?;
        std::str::from_utf8(bytes).map_err(|e| self.fail_at(start + 2 + e.valid_up_to(), &BAD_UTF8))
    }

    /// A string as the standard allows it: well-formed, without U+0000.
    #[inline]
    pub(super) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        let text = self.utf8()?;
        match memchr::memchr(0, text.as_bytes()) {
            None => Ok(text),
            Some(i) => Err(self.fail_at(start + 2 + i, &NUL_IN_STRING)),
        }
    }
}
