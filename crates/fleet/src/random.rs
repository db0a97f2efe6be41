//! Small, seeded randomness: the same seed gives the same fleet.

/// The SplitMix64 finaliser: spreads any number over 64 bits. Used as a hash of (seed, place, time).
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number in `0.0..1.0` that depends on `value` alone.
#[must_use]
pub fn unit(value: u64) -> f64 {
    // 53 bits are what an f64 holds exactly.
    (mix(value) >> 11) as f64 / (1u64 << 53) as f64
}

/// Noise that moves smoothly: random heights at whole numbers of `x`, joined by 3x²−2x³, which costs a tenth of a
/// cosine. In `-1.0..1.0`.
#[must_use]
pub fn smooth(seed: u64, x: f64) -> f64 {
    let left = x.floor();
    let height = |at: f64| unit(seed ^ mix(at as i64 as u64)) * 2.0 - 1.0;
    let blend = smoothstep(x - left);
    height(left) * (1.0 - blend) + height(left + 1.0) * blend
}

/// Rises from 0 at 0 to 1 at 1 without a kink: 3x²−2x³.
#[must_use]
pub fn smoothstep(x: f64) -> f64 {
    x * x * (3.0 - 2.0 * x)
}

/// A stream of numbers from a seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream that depends on `seed` alone.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(1);
        unit(self.0)
    }
}
