//! Binary payloads, written down as JSON: the shapes of docs/payloads.md then hold for every encoding.

use record::Timestamp;

/// Text that a payload may become: so many times its bytes (a boolean of one byte has a name of dozens), and a floor for
/// short ones. What a few bytes announce in Avro costs no more than this.
const GROWTH: usize = 64;
const FLOOR_BYTES: usize = 64 << 10;
const CEILING_BYTES: usize = 32 << 20;

/// Why a binary payload cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Where, in bytes from its beginning.
    pub(crate) at: usize,
    pub(crate) reason: String,
}

impl Unreadable {
    pub(crate) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(crate) enum Slot<'k> {
    /// The payload itself.
    Root,
    /// In an array.
    Item,
    /// In an object, under this key.
    Key(&'k str),
}

/// The JSON that is being written.
pub(crate) struct Text<'b> {
    out: &'b mut String,
    limit: usize,
}

impl<'b> Text<'b> {
    /// Empties `out` and writes there.
    pub(crate) fn new(out: &'b mut String, payload_bytes: usize) -> Self {
        out.clear();
        let limit = payload_bytes.saturating_mul(GROWTH).saturating_add(FLOOR_BYTES).min(CEILING_BYTES);
        Self { out, limit }
    }

    /// Whether it has become too long; asked after every value.
    pub(crate) fn bounded(&self, at: usize) -> Result<(), Unreadable> {
        match self.out.len() > self.limit {
            true => Err(Unreadable::new(at, format!("it holds more than {} bytes of text", self.limit))),
            false => Ok(()),
        }
    }

    pub(crate) fn open(&mut self, slot: Slot<'_>, bracket: char) {
        self.begin(slot);
        self.out.push(bracket);
    }

    pub(crate) fn close(&mut self, bracket: char) {
        self.out.push(bracket);
    }

    /// A value that is not there: in an object, nothing.
    pub(crate) fn nothing(&mut self, slot: Slot<'_>) {
        if !matches!(slot, Slot::Key(_)) {
            self.begin(slot);
            self.out.push_str("null");
        }
    }

    pub(crate) fn boolean(&mut self, slot: Slot<'_>, value: bool) {
        self.begin(slot);
        self.out.push_str(if value { "true" } else { "false" });
    }

    pub(crate) fn integer(&mut self, slot: Slot<'_>, value: impl Into<i128>) {
        self.begin(slot);
        self.out.push_str(&value.into().to_string());
    }

    /// NaN and infinities, for which JSON has no word, are `null`, which is no value of a reading.
    pub(crate) fn float(&mut self, slot: Slot<'_>, value: f64) {
        self.begin(slot);
        match value.is_finite() {
            // With point or exponent, so that it stays a float.
            true => self.out.push_str(&format!("{value:?}")),
            false => self.out.push_str("null"),
        }
    }

    /// Digits with a point in their place.
    pub(crate) fn decimal(&mut self, slot: Slot<'_>, digits: i128, scale: usize) {
        self.begin(slot);
        let sign = if digits < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
        let (whole, part) = digits.split_at(digits.len() - scale);
        let part = if part.is_empty() { "0" } else { part };
        self.out.push_str(&format!("{sign}{whole}.{part}"));
    }

    pub(crate) fn time(&mut self, slot: Slot<'_>, time: Timestamp) {
        self.string(slot, &time.to_rfc3339());
    }

    pub(crate) fn string(&mut self, slot: Slot<'_>, value: &str) {
        self.begin(slot);
        self.quote(value);
    }

    fn begin(&mut self, slot: Slot<'_>) {
        if !matches!(slot, Slot::Root) && !self.out.ends_with(['{', '[']) {
            self.out.push(',');
        }
        if let Slot::Key(key) = slot {
            self.quote(key);
            self.out.push(':');
        }
    }

    fn quote(&mut self, text: &str) {
        self.out.push('"');
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            self.out.push_str(&rest[..at]);
            let byte = rest.as_bytes()[at]; // all of these are one byte
            self.out.push_str(&format!("\\u{byte:04x}"));
            rest = &rest[at + 1..];
        }
        self.out.push_str(rest);
        self.out.push('"');
    }
}

/// The bytes of a payload, front to back.
pub(crate) struct Bytes<'p> {
    rest: &'p [u8],
    at: usize,
}

impl<'p> Bytes<'p> {
    /// `at`: where they stand in the payload.
    pub(crate) fn new(bytes: &'p [u8], at: usize) -> Self {
        Self { rest: bytes, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'p [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, count: u64) -> Result<&'p [u8], Unreadable> {
        let parts = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let Some((head, rest)) = parts else {
            let reason = format!("{count} bytes are announced and {} are left", self.rest.len());
            return Err(Unreadable::new(self.at, reason));
        };
        self.rest = rest;
        self.at += head.len();
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        Ok(self.take(N as u64)?.try_into().expect("so many were taken"))
    }

    /// Seven bits a byte, lowest first, at most ten bytes: Avro's and Protobuf's.
    pub(crate) fn varint(&mut self) -> Result<u64, Unreadable> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unreadable::new(start, "a number of more than 64 bits"))
    }

    /// A signed number whose sign is its lowest bit.
    pub(crate) fn zigzag(&mut self) -> Result<i64, Unreadable> {
        self.varint().map(unzigzag)
    }
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(crate) fn utf8(bytes: &[u8], at: usize) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes)
        .map_err(|error| Unreadable::new(at + error.valid_up_to(), "a text that is not UTF-8"))
}
