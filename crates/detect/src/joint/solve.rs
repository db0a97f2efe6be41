//! Small symmetric systems, by Cholesky's factor.

/// The inverse of the lower triangular factor of a positive definite matrix.
pub(super) struct Factor {
    size: usize,
    /// Of the factor's inverse, row by row; above the diagonal nothing is looked at.
    inverse: Vec<f64>,
}

/// A pivot is never smaller: what depends on the others, but for rounding, counts as if it had this variance of its own.
const LEAST_PIVOT: f64 = 1e-4;

impl Factor {
    /// Of the matrix whose lower triangle `entry(row, column)` gives.
    pub(super) fn new(size: usize, entry: impl Fn(usize, usize) -> f64) -> Self {
        let mut factor = vec![0.0; size * size];
        for row in 0..size {
            for column in 0..=row {
                let sum: f64 = (0..column).map(|k| factor[row * size + k] * factor[column * size + k]).sum();
                let rest = entry(row, column) - sum;
                factor[row * size + column] = if row == column {
                    rest.max(LEAST_PIVOT).sqrt()
                } else {
                    rest / factor[column * size + column]
                };
            }
        }
        Self { size, inverse: inverted(&factor, size) }
    }

    /// Mahalanobis' distance of a vector from zero: the length of `inverse · vector`.
    pub(super) fn distance(&self, vector: &[f64]) -> f64 {
        self.times(vector).iter().map(|part| part * part).sum::<f64>().sqrt()
    }

    /// The component that is farthest from what the others make of it, in the σ that it has given them, and what they make of it.
    ///
    /// With the matrix' inverse P and the vector v: (P·v)ᵢ ÷ √Pᵢᵢ is that distance, and vᵢ − (P·v)ᵢ ÷ Pᵢᵢ the expected value.
    pub(super) fn most_unexpected(&self, vector: &[f64]) -> (usize, f64) {
        let half = self.times(vector);
        let mut worst = (0, 0.0, -1.0);
        for (component, value) in vector.iter().enumerate() {
            let column = (component..self.size).map(|row| (row, self.inverse[row * self.size + component]));
            let (mut product, mut diagonal) = (0.0, 0.0);
            for (row, part) in column {
                product += part * half[row];
                diagonal += part * part;
            }
            let distance = product.abs() / diagonal.sqrt();
            if distance > worst.2 {
                worst = (component, value - product / diagonal, distance);
            }
        }
        (worst.0, worst.1)
    }

    fn times(&self, vector: &[f64]) -> Vec<f64> {
        let row = |row: usize| (0..=row).map(|k| self.inverse[row * self.size + k] * vector[k]).sum();
        (0..self.size).map(row).collect()
    }
}

/// By forward substitution of the unit vectors.
fn inverted(factor: &[f64], size: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; size * size];
    for column in 0..size {
        for row in column..size {
            let unit = f64::from(u8::from(row == column));
            let sum: f64 = (column..row).map(|k| factor[row * size + k] * inverse[k * size + column]).sum();
            inverse[row * size + column] = (unit - sum) / factor[row * size + row];
        }
    }
    inverse
}
