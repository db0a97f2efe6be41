//! Variable byte integers (MQTT 5, 1.5.5; 3.1.1, 2.2.3): seven bits a byte, least significant first, four bytes at most.

use super::rules::{LENGTH_NOT_MINIMAL, LENGTH_OVERLONG, Rule};

/// The largest value: four bytes of seven bits.
pub(super) const MAX: u32 = 268_435_455;

/// The value at the start of `bytes` and how many bytes it takes; `None` when `bytes` ends before it does.
/// Longer forms than needed are refused: one value, one encoding.
#[inline]
pub(super) fn read(bytes: &[u8]) -> Result<Option<(u32, usize)>, &'static Rule> {
    match bytes {
        [] => Ok(None),
        [only, ..] if *only < 0x80 => Ok(Some((u32::from(*only), 1))),
        _ => read_long(bytes),
    }
}

fn read_long(bytes: &[u8]) -> Result<Option<(u32, usize)>, &'static Rule> {
    let mut value = 0_u32;
    for (i, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            return if byte == 0 && i > 0 { Err(&LENGTH_NOT_MINIMAL) } else { Ok(Some((value, i + 1))) };
        }
    }
    if bytes.len() >= 4 { Err(&LENGTH_OVERLONG) } else { Ok(None) }
}

/// How many bytes `value` takes; it is at most [`MAX`].
pub(super) const fn len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// The bytes of `value` and how many of them count; it is at most [`MAX`].
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
pub(super) const fn bytes(value: usize) -> ([u8; 4], usize) {
    let n = len(value);
    let mut out = [0; 4];
    let mut i = 0;
    while i < n {
        let more = if i + 1 < n { 0x80 } else { 0 };
        out[i] = (value >> (7 * i)) as u8 & 0x7F | more;
        i += 1;
    }
    (out, n)
}
