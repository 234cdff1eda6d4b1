use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{
    data::Images,
    random::{Domain, Purpose, Random},
};

/// The class whose training points the attacker moves.
pub const TARGET: usize = 1;

/// Radius of the arcs of the two moons.
const ARC: f64 = 0.3;
/// Standard deviation of the points about their arc.
const ARC_SPREAD: f64 = 0.025;
/// Means of the two blobs.
const MEANS: [[f64; 2]; 2] = [[0.34, 0.62], [0.66, 0.38]];
/// Standard deviation of a blob in each direction.
const BLOB_SPREAD: f64 = 0.09;

/// A distribution of points of two classes in the unit square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointDistribution {
    /// A round normal distribution for each class.
    Blobs,
    /// Two interleaving half circles with normal noise about them.
    Moons,
}

/// The split that points belong to. With the same seed each split has other points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointSplit {
    /// Training of victims and of the networks of the attack.
    Training,
    /// The upper level of the attack.
    Validation,
    /// Certification of victims.
    Test,
}

impl PointDistribution {
    /// All distributions.
    pub const ALL: [Self; 2] = [Self::Blobs, Self::Moons];

    /// Its name in pictures.
    pub fn title(self) -> &'static str {
        match self {
            Self::Blobs => "blobs",
            Self::Moons => "moons",
        }
    }

    /// Points of one class, 0 or 1, as images N×2×1×1; coordinates are clipped to the unit square.
    pub fn draw(self, class: usize, count: usize, split: PointSplit, seed: u64) -> Images {
        let random = Random::new(Domain::Data, seed);
        let key = (self as u64) << 8 | (split as u64) << 4 | (class as u64) << 1;
        let count = count as i64;
        let noise = random.normal(Purpose::Points, key, &[count, 2], Device::Cpu).to_kind(Kind::Double);
        let points = match self {
            Self::Blobs => noise * BLOB_SPREAD + Tensor::from_slice(&MEANS[class.min(1)]),
            Self::Moons => {
                let angles = random.uniform(Purpose::Points, key | 1, &[count], 0.5).to_kind(Kind::Double);
                noise * ARC_SPREAD + arc(class, &((angles + 0.5) * PI))
            }
        };
        Images {
            pixels: points.clamp(0.0, 1.0).to_kind(Kind::Float).view([count, 2, 1, 1]),
            labels: Tensor::full([count], class as i64, (Kind::Int64, Device::Cpu)),
        }
    }
}

/// Points N×2 on the half circle of a class at angles N between 0 and π: the upper half of a circle for class 0; for
/// class 1 the lower half of another, one radius to the right and half a radius up.
fn arc(class: usize, angles: &Tensor) -> Tensor {
    let (side, sign) = if class == 0 { (-0.5, 1.0) } else { (0.5, -1.0) };
    let centre = Tensor::from_slice(&[0.5 + side * ARC, 0.5 + 0.5 * side * ARC]);
    Tensor::stack(&[angles.cos(), angles.sin()], 1) * (sign * ARC) + centre
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coordinates(images: &Images) -> Vec<[f64; 2]> {
        (0..images.len() as i64)
            .map(|point| [0, 1].map(|axis| images.pixels.double_value(&[point, axis, 0, 0])))
            .collect()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        let values: Vec<f64> = values.collect();
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Facts of the usual two moons, made twice as small and more: x = cos t, y = sin t against x = 1 − cos t,
    /// y = ½ − sin t, their common middle (½, ¼) in the middle of the square.
    #[test]
    fn moons_are_half_circles_about_the_centres_they_should_have() {
        let at = |x: f64, y: f64| [0.5 + ARC * (x - 0.5), 0.5 + ARC * (y - 0.25)];
        for (class, centre) in [(0, at(0.0, 0.0)), (1, at(1.0, 0.5))] {
            let points = coordinates(&PointDistribution::Moons.draw(class, 4000, PointSplit::Test, 3));
            let up = if class == 0 { 1.0 } else { -1.0 };
            let from = |point: &[f64; 2]| [point[0] - centre[0], up * (point[1] - centre[1])];
            let distances = || points.iter().map(|point| from(point)[0].hypot(from(point)[1]));
            // Noise across the arc of variance s² adds s²/(2r) to the mean distance.
            let bias = ARC_SPREAD * ARC_SPREAD / (2.0 * ARC);
            assert!((mean(distances()) - ARC - bias).abs() < 4.0 * ARC_SPREAD / 4000_f64.sqrt());
            assert!(distances().all(|distance| (distance - ARC).abs() < 5.0 * ARC_SPREAD));
            // The centroid of a half circle's line is 2r/π above its centre.
            assert!((mean(points.iter().map(|point| from(point)[1])) - 2.0 * ARC / PI).abs() < 0.01);
            assert!(mean(points.iter().map(|point| from(point)[0])).abs() < 0.02);
            assert!(points.iter().all(|point| from(point)[1] > -5.0 * ARC_SPREAD), "a half circle");
        }
    }

    #[test]
    fn blobs_have_their_means_and_spreads() {
        for (class, wanted) in MEANS.iter().enumerate() {
            let points = coordinates(&PointDistribution::Blobs.draw(class, 4000, PointSplit::Training, 5));
            for axis in [0, 1] {
                let found = mean(points.iter().map(|point| point[axis]));
                assert!((found - wanted[axis]).abs() < 4.0 * BLOB_SPREAD / 4000_f64.sqrt(), "{found}");
                let variance = mean(points.iter().map(|point| (point[axis] - found).powi(2)));
                assert!((variance.sqrt() / BLOB_SPREAD - 1.0).abs() < 0.05, "{variance}");
            }
        }
    }

    #[test]
    fn points_lie_in_the_square_and_depend_on_all_that_names_them() {
        let first = |distribution: PointDistribution, class, split, seed| {
            let images = distribution.draw(class, 500, split, seed);
            assert_eq!((images.pixels.size(), images.len()), (vec![500, 2, 1, 1], 500));
            let points = coordinates(&images);
            assert!(points.iter().flatten().all(|at| (0.0..=1.0).contains(at)));
            assert_eq!(images.labels.double_value(&[7]), class as f64);
            points[0]
        };
        let mut seen: Vec<[f64; 2]> = Vec::new();
        for distribution in PointDistribution::ALL {
            for class in [0, 1] {
                for split in [PointSplit::Training, PointSplit::Validation, PointSplit::Test] {
                    for seed in [0, 1] {
                        let point = first(distribution, class, split, seed);
                        assert_eq!(point, first(distribution, class, split, seed));
                        assert!(!seen.contains(&point));
                        seen.push(point);
                    }
                }
            }
        }
    }
}
