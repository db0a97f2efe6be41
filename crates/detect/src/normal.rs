//! The normal distribution's tail.

/// How often a normal value is more than `sigmas` from its mean, on both sides together.
///
/// The upper tail by the bound-like formula of Abramowitz and Stegun 7.1.26: its error is below 2·10⁻⁷ of the whole, so past 4 σ
/// the first terms of the asymptotic series (7.1.23) are taken, which are good to a few percent there and better further out.
#[inline]
pub(crate) fn two_sided(sigmas: f64) -> f64 {
    let z = sigmas.abs();
    let density = (-0.5 * z * z).exp() * 0.398_942_280_401_432_7;
    if z > 4.0 {
        let w = 1.0 / (z * z);
        return 2.0 * density / z * (1.0 - w + 3.0 * w * w);
    }
    let x = z * std::f64::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    (poly * (-x * x).exp()).clamp(0.0, 1.0)
}
