use statrs::distribution::{ContinuousCDF, Normal};

use crate::noise::{Distribution, GRID, Noise};

/// Number of edges at which distribution functions are compared (on the grid of 1/255, an upper limit).
const EDGES: usize = 512;
/// Bits of randomness with which an accidental repetition is practically impossible: 2⁻¹¹⁰ for each of at most 2⁴⁰
/// pairs.
const REPETITION_BITS: f64 = 110.0;

/// The expected distribution of single noise values, in units of σ.
pub(super) struct Expected {
    /// Moments of order 2, 4 and 8; those of odd order are 0.
    pub moments: [f64; 3],
    /// First edge; `step` is the distance between edges and `cumulative` the distribution function at each edge.
    pub first_edge: f64,
    pub step: f64,
    pub cumulative: Vec<f64>,
    /// Pairs of a distance from 0 and the probability of a value farther away than that.
    pub tails: Vec<(f64, f64)>,
    /// Number of consecutive values that contain [`REPETITION_BITS`] bits of randomness.
    pub unrepeated: usize,
}

impl Expected {
    /// `rounding` is the largest change of a value by rounding, in units of σ.
    pub fn new(noise: &Noise, rounding: f64) -> Self {
        match noise.distribution() {
            Distribution::Gaussian => Self::gaussian(),
            Distribution::Uniform => Self::uniform(noise.sigma().get(), rounding),
            Distribution::QuantizedGaussian => Self::quantized(noise.sigma().get()),
        }
    }

    fn gaussian() -> Self {
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

    fn uniform(sigma: f64, rounding: f64) -> Self {
        let most = 3.0_f64.sqrt();
        let step = 2.0 * most / EDGES as f64;
        // A value can exceed λ only by the rounding of λ and of the sum with a pixel.
        let outside = most * (1.0 + 1e-6) + 2e-6 / sigma + rounding;
        Self {
            moments: [1.0, 9.0 / 5.0, 81.0 / 9.0],
            first_edge: -most,
            step,
            cumulative: (0..=EDGES).map(|edge| edge as f64 / EDGES as f64).collect(),
            tails: vec![(0.99 * most, 0.01), (outside, 0.0)],
            unrepeated: 16,
        }
    }

    fn quantized(sigma: f64) -> Self {
        let normal = Normal::standard();
        let level = 1.0 / (f64::from(GRID) * sigma);
        let probability = |m: i32| {
            let m = f64::from(m.abs());
            normal.cdf((0.5 - m) * level) - normal.cdf((-0.5 - m) * level)
        };
        let reach = (12.0 / level) as i32 + 1;
        let moment = |power: i32| -> f64 {
            (-reach..=reach).map(|m| probability(m) * (f64::from(m) * level).powi(power)).sum()
        };
        let collision: f64 = (-reach..=reach).map(|m| probability(m).powi(2)).sum();
        let edge_levels = (12.0 / level / EDGES as f64).ceil();
        let first_edge = (-(6.0 / level).ceil() - 0.5) * level;
        let step = edge_levels * level;
        let edges = (-2.0 * first_edge / step) as usize;
        let tails = [2.5, 3.5].map(|tail: f64| ((tail / level).floor() + 0.5) * level);
        Self {
            moments: [moment(2), moment(4), moment(8)],
            first_edge,
            step,
            cumulative: (0..=edges).map(|edge| normal.cdf(first_edge + edge as f64 * step)).collect(),
            tails: tails.map(|tail| (tail, 2.0 * normal.cdf(-tail))).to_vec(),
            unrepeated: (REPETITION_BITS / -collision.log2()).ceil() as usize,
        }
    }
}
