//! A classifier of one value with two classes, of which all is known.

use mithridate_runtime::{
    backend::LinearClassifier,
    certify::{Certificate, Settings, StoppingRule},
    embed::FrameCertificate,
    noise::{Distribution, NoiseMode},
};
use ndarray::array;
use statrs::distribution::{ContinuousCDF, Normal};

/// Standard deviation of the noise; small, so that the table of noise on the grid is made quickly.
pub const SIGMA: f64 = 0.05;
/// The inputs: levels of 255, so that noise on the grid can be added to them. On both sides of the boundary, where classes
/// are all but equally likely, half way, and where the second class is rare.
pub const LEVELS: [u8; 4] = [127, 128, 136, 145];
/// The boundary lies in the middle between levels 127 and 128.
const BOUNDARY: f64 = 127.5;

/// What is certified.
#[derive(Clone, Debug)]
pub struct Case {
    /// When sampling stops.
    pub rule: StoppingRule,
    /// The noise.
    pub distribution: Distribution,
    /// Which inputs get which noise.
    pub mode: NoiseMode,
}

/// The class, bound and radius of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The class; none if no sample voted.
    pub class: Option<usize>,
    /// Lower bound on its probability.
    pub p_lower: f64,
    /// Certified radius; none for an abstention.
    pub radius: Option<f64>,
}

/// Answers the first class above ½ and the second below.
pub fn classifier() -> LinearClassifier {
    LinearClassifier::new(array![[1.0], [-1.0]], array![-0.5, 0.5])
}

/// The value of a level.
pub fn value(level: u8) -> f32 {
    f32::from(level) / 255.0
}

/// The probability of the first class: the noise must not take the value across the boundary.
pub fn probability(distribution: Distribution, level: u8) -> f64 {
    let distance = (f64::from(level) - BOUNDARY) / 255.0;
    match distribution {
        // Noise on the grid takes a level k across the boundary where noise rounded to it does: as before.
        Distribution::Gaussian | Distribution::QuantizedGaussian => Normal::standard().cdf(distance / SIGMA),
        Distribution::Uniform => (0.5 + distance / (2.0 * 3.0_f64.sqrt() * SIGMA)).clamp(0.0, 1.0),
    }
}

/// How far the class stays the same: to the boundary, or to the first level beyond it.
fn true_radius(distribution: Distribution, level: u8) -> f64 {
    let reach = (f64::from(level) - BOUNDARY).abs();
    let reach = if distribution == Distribution::QuantizedGaussian { reach + 0.5 } else { reach };
    reach / 255.0
}

impl Claim {
    /// Whether it is false of this input: a bound above the probability, a radius for a class that is not the smoothed
    /// classifier's answer, or one that reaches beyond the boundary.
    pub fn is_false(&self, distribution: Distribution, level: u8) -> bool {
        let Some(class) = self.class else { return false };
        let first = probability(distribution, level);
        let truth = if class == 0 { first } else { 1.0 - first };
        let reaches_too_far = |radius: f64| truth <= 0.5 || radius > true_radius(distribution, level);
        self.p_lower > truth || self.radius.is_some_and(reaches_too_far)
    }
}

impl From<&Certificate> for Claim {
    fn from(certificate: &Certificate) -> Self {
        let &Certificate { class, p_lower, radius, .. } = certificate;
        Self { class, p_lower, radius }
    }
}

impl From<&FrameCertificate> for Claim {
    fn from(certificate: &FrameCertificate) -> Self {
        let &FrameCertificate { class, p_lower, radius, .. } = certificate;
        Self { class, p_lower, radius }
    }
}

/// The radius that a bound proves, for procedures that make their own.
pub fn claim(settings: &Settings, class: usize, p_lower: f64) -> Claim {
    Claim { class: Some(class), p_lower, radius: settings.radius(p_lower) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_tables() {
        // Φ(2/3) and the share of a uniform distribution, at level 136: 8.5 / 255 = 1/30 from the boundary.
        assert!((probability(Distribution::Gaussian, 136) - 0.747_507_462_5).abs() < 1e-9);
        let width = 2.0 * 0.05 * 3.0_f64.sqrt();
        assert!((probability(Distribution::Uniform, 136) - (0.5 + 1.0 / 30.0 / width)).abs() < 1e-12);
        assert!(
            (probability(Distribution::Gaussian, 127) + probability(Distribution::Gaussian, 128) - 1.0).abs()
                < 1e-12
        );
    }

    #[test]
    fn a_claim_is_false_where_it_says_too_much() {
        let claim = |class, p_lower, radius| Claim { class: Some(class), p_lower, radius };
        let is_false = |claim: Claim| claim.is_false(Distribution::Gaussian, 136);
        assert!(!is_false(claim(0, 0.747, Some(0.033))));
        assert!(is_false(claim(0, 0.748, Some(0.033))));
        assert!(is_false(claim(0, 0.747, Some(0.034))));
        assert!(is_false(claim(1, 0.1, Some(0.001))));
        assert!(!is_false(claim(1, 0.1, None)));
        assert!(!is_false(Claim { class: None, p_lower: 0.9, radius: None }));
    }
}
