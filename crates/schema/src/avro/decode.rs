//! Avro's binary encoding (specification 1.12, "Binary encoding") as JSON text.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use record::{TimeUnit, Timestamp, limits};

use super::{Avro, Logical, Type, TypeNo};
use crate::text::{Bytes, Slot, Text, Unreadable, utf8};

impl Avro {
    /// Writes `payload` down as JSON. `at`: where it begins in the message.
    pub(crate) fn decode(&self, payload: &[u8], at: usize, out: &mut String) -> Result<(), Unreadable> {
        let text = Text::new(out, payload.len());
        let mut decoder = Decoder { schema: self, bytes: Bytes::new(payload, at), text };
        decoder.value(self.root, Slot::Root, 0)?;
        if decoder.bytes.is_empty() {
            return Ok(());
        }
        let reason =
            format!("{} bytes are left over: it was written with another schema", decoder.bytes.rest().len());
        Err(Unreadable::new(decoder.bytes.at(), reason))
    }
}

struct Decoder<'s, 'p, 'b> {
    schema: &'s Avro,
    bytes: Bytes<'p>,
    text: Text<'b>,
}

impl<'s> Decoder<'s, '_, '_> {
    fn value(&mut self, of: TypeNo, slot: Slot<'_>, depth: usize) -> Result<(), Unreadable> {
        self.text.bounded(self.bytes.at())?;
        if depth > limits::JSON_DEPTH {
            let reason = format!("nested deeper than {} levels", limits::JSON_DEPTH);
            return Err(Unreadable::new(self.bytes.at(), reason));
        }
        let schema = self.schema;
        match schema.get(of) {
            Type::Null => self.text.nothing(slot),
            Type::Boolean => {
                let at = self.bytes.at();
                match self.bytes.array()? {
                    [0] => self.text.boolean(slot, false),
                    [1] => self.text.boolean(slot, true),
                    [other] => return Err(Unreadable::new(at, format!("a boolean is 0 or 1, not {other}"))),
                }
            }
            Type::Int | Type::Long => {
                let value = self.bytes.zigzag()?;
                self.text.integer(slot, value);
            }
            Type::Float => {
                let value = f32::from_le_bytes(self.bytes.array()?);
                self.text.float(slot, value.into());
            }
            Type::Double => {
                let value = f64::from_le_bytes(self.bytes.array()?);
                self.text.float(slot, value);
            }
            Type::Bytes => {
                let bytes = self.counted()?;
                self.text.string(slot, &BASE64_STANDARD.encode(bytes));
            }
            Type::Fixed { size, .. } => {
                let bytes = self.bytes.take(*size as u64)?;
                self.text.string(slot, &BASE64_STANDARD.encode(bytes));
            }
            Type::String => {
                let text = self.string()?;
                self.text.string(slot, text);
            }
            Type::Enum { symbols, .. } => {
                let symbol = self.choice(symbols, "symbols")?;
                self.text.string(slot, symbol);
            }
            Type::Union(branches) => {
                let branch = *self.choice(branches, "branches")?;
                self.value(branch, slot, depth + 1)?;
            }
            Type::Record { fields, .. } => {
                self.text.open(slot, '{');
                for field in fields {
                    self.value(field.of, Slot::Key(&field.name), depth + 1)?;
                }
                self.text.close('}');
            }
            Type::Array(items) => {
                self.blocks(slot, ['[', ']'], |decoder| decoder.value(*items, Slot::Item, depth + 1))?
            }
            Type::Map(values) => self.blocks(slot, ['{', '}'], |decoder| {
                let key = decoder.string()?;
                decoder.value(*values, Slot::Key(key), depth + 1)
            })?,
            Type::Logical { of, logical } => self.logical(*of, *logical, slot, depth)?,
        }
        Ok(())
    }

    /// Blocks of values, each behind their number; a negative number is followed by the block's bytes.
    fn blocks(
        &mut self,
        slot: Slot<'_>,
        brackets: [char; 2],
        mut one: impl FnMut(&mut Self) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        self.text.open(slot, brackets[0]);
        loop {
            let count = self.bytes.zigzag()?;
            if count < 0 {
                self.bytes.zigzag()?;
            }
            if count == 0 {
                break;
            }
            // Items may be of no bytes: what bounds their number is the text they become.
            for _ in 0..count.unsigned_abs() {
                one(self)?;
            }
        }
        self.text.close(brackets[1]);
        Ok(())
    }

    fn logical(
        &mut self,
        of: TypeNo,
        logical: Logical,
        slot: Slot<'_>,
        depth: usize,
    ) -> Result<(), Unreadable> {
        let at = self.bytes.at();
        let unit = match logical {
            Logical::Date => return self.value(of, slot, depth),
            Logical::TimestampMillis => TimeUnit::Milliseconds,
            Logical::TimestampMicros => TimeUnit::Microseconds,
            Logical::TimestampNanos => TimeUnit::Nanoseconds,
            Logical::Decimal { scale, .. } => return self.decimal(of, scale, slot, depth),
        };
        let count = self.bytes.zigzag()?;
        match Timestamp::from_count(count, Some(unit)) {
            Ok(time) => self.text.time(slot, time),
            Err(error) => return Err(Unreadable::new(at, format!("the time {count} {error}"))),
        }
        Ok(())
    }

    /// Digits as a signed number, highest byte first.
    fn decimal(&mut self, of: TypeNo, scale: u64, slot: Slot<'_>, depth: usize) -> Result<(), Unreadable> {
        let at = self.bytes.at();
        let bytes = match self.schema.get(of) {
            Type::Bytes => self.counted()?,
            Type::Fixed { size, .. } => self.bytes.take(*size as u64)?,
            _ => return self.value(of, slot, depth),
        };
        let mut wide = [if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 }; 16];
        let (Some(start), Ok(scale @ 0..=64)) = (16_usize.checked_sub(bytes.len()), usize::try_from(scale))
        else {
            return Err(Unreadable::new(
                at,
                "a decimal of more than 128 bits, or of more than 64 digits behind the point",
            ));
        };
        wide[start..].copy_from_slice(bytes);
        self.text.decimal(slot, i128::from_be_bytes(wide), scale);
        Ok(())
    }

    fn choice<T>(&mut self, from: &'s [T], what: &str) -> Result<&'s T, Unreadable> {
        let at = self.bytes.at();
        let number = self.bytes.zigzag()?;
        let chosen = usize::try_from(number).ok().and_then(|number| from.get(number));
        chosen.ok_or_else(|| Unreadable::new(at, format!("number {number} of {} {what}", from.len())))
    }
}

impl<'p> Decoder<'_, 'p, '_> {
    /// Bytes behind their number.
    fn counted(&mut self) -> Result<&'p [u8], Unreadable> {
        let at = self.bytes.at();
        let count = self.bytes.zigzag()?;
        let count = u64::try_from(count).map_err(|_| Unreadable::new(at, format!("a length of {count}")))?;
        self.bytes.take(count)
    }

    fn string(&mut self) -> Result<&'p str, Unreadable> {
        let at = self.bytes.at();
        utf8(self.counted()?, at)
    }
}
