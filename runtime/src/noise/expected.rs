use statrs::distribution::{ContinuousCDF, Normal};

/// Number of steps between the edges at which distribution functions are compared (on the grid of 1/255, an upper limit).
pub(super) const EDGES: usize = 512;

/// The expected distribution of single noise values, in units of σ.
pub(crate) struct Expected {
    /// Moments of order 2, 4 and 8; those of odd order are 0.
    pub moments: [f64; 3],
    /// First edge at which distribution functions are compared.
    pub first_edge: f64,
    /// Distance between edges.
    pub step: f64,
    /// The distribution function at each edge.
    pub cumulative: Vec<f64>,
    /// Pairs of a distance from 0 and the probability of a value farther away than that.
    pub tails: Vec<(f64, f64)>,
    /// Number of consecutive values with enough bits of randomness, [`REPETITION_BITS`], that they do not occur twice by
    /// chance.
    pub unrepeated: usize,
}

/// Bits of randomness with which an accidental repetition is practically impossible: 2⁻¹¹⁰ for each of at most 2⁴⁰
/// pairs.
pub(super) const REPETITION_BITS: f64 = 110.0;

impl Expected {
    /// The standard normal distribution.
    pub fn normal() -> Self {
        let normal = Normal::standard();
        let (first_edge, step) = (-6.0, 12.0 / EDGES as f64);
        Self {
            moments: [1.0, 3.0, 105.0],
            first_edge,
            step,
            cumulative: (0..=EDGES).map(|edge| normal.cdf(first_edge + edge as f64 * step)).collect(),
            tails: [2.5, 3.5, 4.5].map(|tail| (tail, 2.0 * normal.cdf(-tail))).to_vec(),
            // At least 12 bits a value: σ is not below 1,600 steps of single precision near 1.
            unrepeated: 16,
        }
    }
}
