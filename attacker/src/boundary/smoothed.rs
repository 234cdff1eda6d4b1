use std::f64::consts::FRAC_1_SQRT_2;

use ndarray::Array2;
use statrs::function::erf::erfc;
use tch::{Device, Kind, Tensor, no_grad};

use crate::networks::Network;

/// Nodes along each axis at which the network is evaluated.
const NODES: usize = 256;
/// Lines of the quadrature from one row of nodes to the next; logits are linear between rows.
const LINES: usize = 4;
/// Margin of the grid around the unit square, in units of σ; the noise leaves it with probability below 10⁻⁵.
const REACH: f64 = 4.5;

/// The smoothed classifier g(x) = P(f(x + σ·η) = 1), η standard normal, of a network f with two classes on the plane. It
/// is computed by quadrature instead of samples, for pictures.
///
/// Logits are interpolated linearly between the nodes of a fine grid. Along each of many parallel lines the integral is
/// then exact, from the points where the answer changes; the trapezoid rule sums over the lines.
#[derive(Debug)]
pub struct SmoothedClassifier {
    sigma: f64,
    lines: Vec<QuadratureLine>,
}

/// The network along a line parallel to the first axis.
#[derive(Debug)]
struct QuadratureLine {
    y: f64,
    /// Whether the answer at the left end is class 1.
    starts_in_one: bool,
    /// Coordinates where the answer changes, ascending.
    changes: Vec<f64>,
}

impl QuadratureLine {
    /// The line at height `y`; `margins` are the logit of class 1 minus that of class 0 at the nodes `xs`.
    fn new(y: f64, xs: &[f64], margins: &[f64]) -> Self {
        let changes = xs.windows(2).zip(margins.windows(2)).filter_map(|(x, margin)| {
            let (before, after) = (margin[0], margin[1]);
            ((before > 0.0) != (after > 0.0)).then(|| x[0] + (x[1] - x[0]) * before / (before - after))
        });
        Self {
            y,
            starts_in_one: margins.first().is_some_and(|&margin| margin > 0.0),
            changes: changes.collect(),
        }
    }

    /// Probability of class 1 at `x` under noise along the line.
    fn probability(&self, x: f64, sigma: f64) -> f64 {
        let mut one = self.starts_in_one;
        let mut sum = if one { 1.0 } else { 0.0 };
        for change in &self.changes {
            let right_of_it = normal_cdf((x - change) / sigma);
            sum += if one { -right_of_it } else { right_of_it };
            one = !one;
        }
        sum
    }
}

/// The normal distribution function Φ.
fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z * FRAC_1_SQRT_2)
}

impl SmoothedClassifier {
    /// Smooths a network on points 2×1×1 with noise level σ. The result is accurate in the unit square.
    pub fn new(network: &Network, sigma: f64) -> Self {
        let (from, to) = (-REACH * sigma, 1.0 + REACH * sigma);
        let at = |node: usize| from + (to - from) * node as f64 / (NODES - 1) as f64;
        let ends: Vec<f64> = (0..NODES).map(at).collect();
        let nodes = NODES as i64;
        let axis = Tensor::from_slice(&ends).to_kind(Kind::Float);
        let [across, up] =
            [axis.view([1, nodes]), axis.view([nodes, 1])].map(|axis| axis.expand([nodes, nodes], false));
        let grid = Tensor::stack(&[across, up], 2);
        let margins: Vec<Vec<f64>> = (0..nodes)
            .map(|row| {
                let points = grid.select(0, row).reshape([nodes, 2, 1, 1]);
                let logits = no_grad(|| network.forward(&points));
                let margins = (logits.select(1, 1) - logits.select(1, 0)).to_kind(Kind::Double);
                let mut host = vec![0.0; NODES];
                margins.to_device(Device::Cpu).copy_data(&mut host, NODES);
                host
            })
            .collect();
        let lines = (0..=(NODES - 1) * LINES)
            .map(|line| {
                let (row, share) = (line / LINES, (line % LINES) as f64 / LINES as f64);
                let next = (row + 1).min(NODES - 1);
                let mixed: Vec<f64> = margins[row]
                    .iter()
                    .zip(&margins[next])
                    .map(|(below, above)| below + share * (above - below))
                    .collect();
                QuadratureLine::new(ends[row] + share * (ends[next] - ends[row]), &ends, &mixed)
            })
            .collect();
        Self { sigma, lines }
    }

    /// Probability of class 1 at a point.
    #[cfg(test)]
    fn probability(&self, x: f64, y: f64) -> f64 {
        let weights = self.weights(y);
        self.lines.iter().zip(weights).map(|(line, weight)| weight * line.probability(x, self.sigma)).sum()
    }

    /// Probability of class 1 on a regular grid of `nodes` × `nodes` over the unit square, rows × columns, the first row
    /// at y = 0; a field for [`mithridate_runtime::report::Plane`].
    pub fn field(&self, nodes: usize) -> Array2<f64> {
        let at = |node: usize| node as f64 / nodes.saturating_sub(1).max(1) as f64;
        let count = self.lines.len();
        let weights: Vec<f64> = (0..nodes).flat_map(|row| self.weights(at(row))).collect();
        let weights = Array2::from_shape_fn((nodes, count), |(row, line)| weights[row * count + line]);
        let along = Array2::from_shape_fn((count, nodes), |(line, column)| {
            self.lines[line].probability(at(column), self.sigma)
        });
        weights.dot(&along)
    }

    /// Weight of each line for a point at height `y`; the weights sum to 1.
    fn weights(&self, y: f64) -> Vec<f64> {
        let density: Vec<f64> =
            self.lines.iter().map(|line| (-0.5 * ((line.y - y) / self.sigma).powi(2)).exp()).collect();
        let total: f64 = density.iter().sum();
        density.into_iter().map(|weight| weight / total).collect()
    }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{ContinuousCDF, Normal};

    use super::*;
    use crate::{
        networks::Architecture,
        random::{Domain, Random},
    };

    /// A linear network that answers 1 where w·x + b > 0.
    pub(crate) fn linear(w: [f32; 2], b: f32) -> Network {
        let random = Random::new(Domain::Data, 1);
        let mut network = Network::new(Architecture::Linear, [2, 1, 1], 2, random, Device::Cpu).unwrap();
        let weights = [
            Tensor::from_slice(&[-w[0], -w[1], w[0], w[1]]).view([2, 2]) * 0.5,
            Tensor::from_slice(&[-0.5 * b, 0.5 * b]),
        ];
        no_grad(|| {
            for (own, wanted) in network.parameters_mut().tensors_mut().iter_mut().zip(&weights) {
                own.copy_(wanted);
            }
        });
        network
    }

    #[test]
    fn a_smoothed_half_plane_is_the_normal_distribution_function_of_the_distance() {
        let normal = Normal::standard();
        for (w, b) in [([3.0, 0.0], -1.2), ([0.0, 2.0], -1.1), ([1.5, -2.5], 0.4), ([-4.0, 0.1], 2.0)] {
            for sigma in [0.01, 0.1, 1.0] {
                let smoothed = SmoothedClassifier::new(&linear(w, b), sigma);
                let length = f64::from(w[0]).hypot(f64::from(w[1]));
                // Along lines that are parallel to its border the half plane ends at a line.
                let step = (1.0 + 2.0 * REACH * sigma) / ((NODES - 1) * LINES) as f64;
                let tolerance = if w[0] == 0.0 { 0.2 * step / sigma + 3e-5 } else { 3e-5 };
                for (x, y) in [(0.0, 0.0), (0.31, 0.44), (0.5, 0.58), (0.9, 0.2), (1.0, 1.0)] {
                    let distance = (f64::from(w[0]) * x + f64::from(w[1]) * y + f64::from(b)) / length;
                    let expected = normal.cdf(distance / sigma);
                    let found = smoothed.probability(x, y);
                    assert!(
                        (found - expected).abs() < tolerance,
                        "{w:?} {sigma} {x} {y}: {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_field_holds_the_probabilities_of_its_nodes() {
        let smoothed = SmoothedClassifier::new(&linear([1.0, 2.0], -1.4), 0.15);
        let field = smoothed.field(5);
        assert_eq!(field.dim(), (5, 5));
        for ((row, column), &found) in field.indexed_iter() {
            let expected = smoothed.probability(column as f64 / 4.0, row as f64 / 4.0);
            assert!((found - expected).abs() < 1e-12);
        }
        assert!(field[(4, 4)] > 0.9 && field[(0, 0)] < 0.1);
    }
}
