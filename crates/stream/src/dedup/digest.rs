//! Fingerprints of values, so that a value can be told from another without being kept.

use record::ValueRef;

// Odd numbers without pattern (digits of pi). Checkpoints hold digests made with them: whatever changes here is another
// version of the state.
const BY_KIND: [u64; 5] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7345,
    0xa409_3822_299f_31d1,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
];
const STIR: u64 = 0xbe54_66cf_34e9_0c6d;
const STIR_SLOT: u64 = 0xc0ac_29b7_c97c_50dd;
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The fingerprint of a value. Values that are the same for the store (`series::same`) have equal ones: any NaN is the same as
/// any other, `-0.0` as `0.0`, and an integer as the float of its size, where there is one.
///
/// Two different values share one with a probability of 2⁻⁶⁴ unless a device searches for such a pair, which
/// could only spoil corrections of its own readings.
#[must_use]
#[inline]
pub fn digest(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Float(x) => word(0, bits(x)),
        ValueRef::Int(x) if is_float(x) => word(0, bits(x as f64)),
        ValueRef::Int(x) => word(1, x as u64),
        ValueRef::Bool(x) => word(2, u64::from(x)),
        ValueRef::Text(x) => text(x.as_bytes()),
        ValueRef::Location { lat, lng } => fold(word(4, bits(lat)) ^ bits(lng), STIR),
    }
}

/// Whether there is a float of exactly this size. 2^63 is one, and would come back as 2^63 - 1.
#[inline]
fn is_float(x: i64) -> bool {
    let float = x as f64;
    float as i64 == x && float < 9_223_372_036_854_775_808.0
}

/// The fingerprint of a value in a slot; those of several slots are added up, so that their order does not matter.
#[inline]
pub(super) fn in_slot(slot: u32, digest: u64) -> u64 {
    fold(digest ^ (u64::from(slot) + 1).wrapping_mul(SPREAD), STIR_SLOT)
}

#[inline]
fn word(kind: usize, bits: u64) -> u64 {
    fold(bits ^ BY_KIND[kind], STIR)
}

#[inline]
fn bits(x: f64) -> u64 {
    if x == 0.0 {
        0
    } else if x.is_nan() {
        f64::NAN.to_bits()
    } else {
        x.to_bits()
    }
}

fn text(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = word(3, bytes.len() as u64);
    for chunk in words {
        hash = fold(hash ^ u64::from_le_bytes(*chunk), STIR).wrapping_add(SPREAD);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(hash ^ u64::from_le_bytes(last), STIR)
}

/// The two halves of a product, folded: each bit of both factors reaches every bit of the result.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn equal_values_have_equal_digests_and_no_others() {
        let location = |lat, lng| ValueRef::Location { lat, lng };
        let other_nan = f64::from_bits(f64::NAN.to_bits() ^ 1 | 1 << 63);
        for (a, b) in [
            (ValueRef::Float(f64::NAN), ValueRef::Float(other_nan)),
            (ValueRef::Float(0.0), ValueRef::Float(-0.0)),
            (location(0.0, -0.0), location(-0.0, 0.0)),
            (ValueRef::Int(-7), ValueRef::Float(-7.0)),
            (ValueRef::Int(i64::MIN), ValueRef::Float(-9_223_372_036_854_775_808.0)),
        ] {
            assert_eq!(digest(a), digest(b), "{a:?} {b:?}");
        }
        let texts: Vec<String> =
            (0..40).map(|n| "\0".repeat(n)).chain((0..40).map(|n| "a".repeat(n))).collect();
        let mut values: Vec<ValueRef<'_>> = texts[1..].iter().map(|text| ValueRef::Text(text)).collect();
        values.retain(|value| *value != ValueRef::Text(""));
        values.push(ValueRef::Text(""));
        values.extend([ValueRef::Bool(false), ValueRef::Bool(true), ValueRef::Float(f64::NAN)]);
        values.extend((-1000..1000).map(ValueRef::Int));
        values.extend([i64::MAX, i64::MAX - 1, (1 << 53) + 1].map(ValueRef::Int));
        values.push(ValueRef::Float(9_223_372_036_854_775_808.0));
        let tenths = (-1000..1000).filter(|n| n % 10 != 0); // the others are integers
        values.extend(tenths.map(|n| ValueRef::Float(f64::from(n) / 10.0)));
        values.extend((-90..90).map(|n| location(f64::from(n), 1.0)));
        values.extend((-90..0).map(|n| location(1.0, f64::from(n))));
        let digests: BTreeSet<u64> = values.iter().map(|&value| digest(value)).collect();
        assert_eq!(digests.len(), values.len());
        let in_slots: BTreeSet<u64> =
            digests.iter().flat_map(|&digest| (0..64).map(move |slot| in_slot(slot, digest))).collect();
        assert_eq!(in_slots.len(), values.len() * 64);
    }

    #[test]
    fn a_digest_never_changes() {
        // Checkpoints hold them: a change is another version of the state.
        let of = [
            ValueRef::Float(21.5),
            ValueRef::Int(i64::MAX),
            ValueRef::Bool(true),
            ValueRef::Text("open the door"),
            ValueRef::Location { lat: 53.5, lng: 10.0 },
        ]
        .map(digest);
        assert_eq!(of, EXPECTED, "{of:#x?}");
        assert_eq!(in_slot(63, of[0]), EXPECTED_IN_SLOT, "{:#x}", in_slot(63, of[0]));
    }

    const EXPECTED: [u64; 5] = [
        0x9afe_23fc_f431_8bcb,
        0xe2c8_1d2e_5b27_e8c3,
        0x6218_3321_f2be_f6bb,
        0xcf86_5170_dbff_21e6,
        0x5d44_f240_f32c_b21d,
    ];
    const EXPECTED_IN_SLOT: u64 = 0x75ec_3377_52cb_5d14;
}
