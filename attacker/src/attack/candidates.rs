use mithridate_runtime::{
    certify::{Decision, Procedure, Settings, Votes},
    units::Sigma,
};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor, no_grad};

use crate::{
    Error,
    data::Images,
    networks::Network,
    random::{Domain, Purpose, Random},
    training::at_least_one,
};

/// How the best of several candidate poison sets is selected: networks are trained from scratch on each set and certified
/// on validation images of the target classes; the set with the smallest average certified radius is selected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CandidateSettings {
    /// Networks trained on each set.
    pub victims: usize,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in a batch.
    pub batch: usize,
    /// Validation images certified.
    pub images: usize,
    /// Samples of the estimation for each image (n).
    pub samples: u64,
}

impl Default for CandidateSettings {
    fn default() -> Self {
        Self { victims: 1, epochs: 12, batch: 100, images: 100, samples: 1000 }
    }
}

impl CandidateSettings {
    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        for (name, value) in [
            ("selection.victims", self.victims),
            ("selection.epochs", self.epochs),
            ("selection.batch", self.batch),
            ("selection.images", self.images),
            ("selection.samples", self.samples as usize),
        ] {
            at_least_one(name, value)?;
        }
        Ok(())
    }
}

/// Noisy images in one forward pass.
const BATCH: u64 = 1000;
/// Samples of the selection, which chooses the class (n₀).
const N0: u64 = 100;

/// Average certified radius of a network on the first `settings.images` of `images`, by [`certified_radii`]. The
/// radius of an image is 0 where the certified class is wrong or the certification abstains.
///
/// It serves to select among candidate poison sets. The radii that an experiment reports are certified by `rscert`.
///
/// # Errors
/// [`Error::Setting`] if σ or the number of samples is out of range.
pub fn certified_acr(
    network: &Network,
    images: &Images,
    sigma: f64,
    settings: &CandidateSettings,
    seed: u64,
) -> Result<f64, Error> {
    let count = settings.images.min(images.len());
    let pixels = images.pixels.narrow(0, 0, count as i64);
    let radii = certified_radii(network, &pixels, sigma, settings.samples, seed)?;
    let total: f64 = radii
        .into_iter()
        .enumerate()
        .filter_map(|(index, found)| {
            let label = images.labels.int64_value(&[index as i64]);
            found.filter(|found| found.class as i64 == label).map(|found| found.radius)
        })
        .sum();
    Ok(if count == 0 { 0.0 } else { total / count as f64 })
}

/// The certificate of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CertifiedRadius {
    /// The class that the smoothed classifier returns.
    pub class: usize,
    /// ℓ2 radius within which it returns that class, images in \[0, 1\].
    pub radius: f64,
}

/// Certifies each of the images `pixels`, N×C×H×W, by Cohen's procedure with α = 0.001, n₀ = 100 and n = `samples`;
/// `None` where it abstains.
///
/// # Errors
/// [`Error::Setting`] if σ or the number of samples is out of range.
pub fn certified_radii(
    network: &Network,
    pixels: &Tensor,
    sigma: f64,
    samples: u64,
    seed: u64,
) -> Result<Vec<Option<CertifiedRadius>>, Error> {
    let unit = Sigma::new(sigma).map_err(|error| Error::setting("sigma", error.to_string(), &sigma))?;
    let rule = Settings { n0: N0, n: samples, ..Settings::new(unit, seed) };
    let procedure = Procedure::new(rule)
        .map_err(|error| Error::setting("selection.samples", error.to_string(), &samples))?;
    let random = Random::new(Domain::Selection, seed);
    (0..pixels.size()[0])
        .map(|index| {
            let image = pixels.narrow(0, index, 1);
            let selection = votes(network, &image, sigma, N0, random, 2 * index as u64);
            let estimation = votes(network, &image, sigma, samples, random, 2 * index as u64 + 1);
            let Decision { class, radius, .. } = procedure
                .decide(&selection, &estimation, samples)
                .map_err(|error| Error::setting("selection.samples", error.to_string(), &samples))?;
            Ok(class.zip(radius).map(|(class, radius)| CertifiedRadius { class, radius }))
        })
        .collect()
}

/// Votes of `samples` noisy copies of an image 1×C×H×W; `key` selects their noise.
fn votes(network: &Network, image: &Tensor, sigma: f64, samples: u64, random: Random, key: u64) -> Votes {
    let device = image.device();
    let mut shape = image.size();
    let classes = network.classes() as i64;
    let mut counts = Tensor::zeros([classes], (tch::Kind::Int64, device));
    no_grad(|| {
        for (part, start) in (0..samples).step_by(BATCH as usize).enumerate() {
            shape[0] = BATCH.min(samples - start) as i64;
            let step = key << 32 | part as u64;
            let noise = random.normal(Purpose::ValidationNoise, step, &shape, device);
            let answers = network.forward(&(image + noise * sigma)).argmax(-1, false);
            counts += answers.bincount::<Tensor>(None, classes);
        }
    });
    let mut host = vec![0_i64; classes as usize];
    counts.to_device(Device::Cpu).copy_data(&mut host, classes as usize);
    Votes::from(host.into_iter().map(|votes| votes as u64).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::Architecture;
    use mithridate_runtime::statistics::certified_radius;
    use tch::Kind;

    /// A linear network on two pixels whose smoothed classifier is known: class 1 iff x₁ − x₀ > 0, so that the true
    /// radius is |x₁ − x₀| / √2 and no certificate may exceed it by more than chance allows.
    fn diagonal() -> Network {
        let random = Random::new(Domain::Data, 1);
        let mut network = Network::new(Architecture::Linear, [2, 1, 1], 2, random, Device::Cpu).unwrap();
        let weights = [
            Tensor::from_slice(&[100.0_f32, -100.0, -100.0, 100.0]).view([2, 2]),
            Tensor::zeros([2], (Kind::Float, Device::Cpu)),
        ];
        no_grad(|| {
            for (own, wanted) in network.parameters_mut().tensors_mut().iter_mut().zip(&weights) {
                own.copy_(wanted);
            }
        });
        network
    }

    #[test]
    fn radii_of_a_linear_network_come_near_the_true_ones_from_below() {
        let network = diagonal();
        let pixels = Tensor::from_slice(&[0.2_f32, 0.7, 0.9, 0.1]).view([2, 2, 1, 1]);
        let images = Images { pixels, labels: Tensor::from_slice(&[1_i64, 1]) };
        let settings = CandidateSettings { images: 2, samples: 20_000, ..CandidateSettings::default() };
        let found = certified_acr(&network, &images, 0.25, &settings, 7).unwrap();
        // The second image is wrong and counts 0.
        let truth = 0.5 / 2.0_f64.sqrt() / 2.0;
        assert!(found < truth && found > 0.93 * truth, "{found} {truth}");
        // With every sample a hit the bound is α^(1/n).
        let far = Images {
            pixels: Tensor::from_slice(&[0.0_f32, 5.0]).view([1, 2, 1, 1]),
            labels: Tensor::from_slice(&[1_i64]),
        };
        let all =
            certified_acr(&network, &far, 0.25, &CandidateSettings { samples: 1000, ..settings }, 7).unwrap();
        let expected = certified_radius(0.001_f64.powf(1.0 / 1000.0), Sigma::new(0.25).unwrap()).unwrap();
        assert!((all - expected).abs() < 1e-6 * expected, "{all} {expected}");
    }

    #[test]
    fn no_radius_reaches_beyond_the_boundary_but_by_chance() {
        let (sigma, count) = (0.1, 200);
        let pixels = Random::new(Domain::Data, 4).uniform(Purpose::Points, 0, &[count, 2, 1, 1], 0.5) + 0.5;
        let radii = certified_radii(&diagonal(), &pixels, sigma, 4000, 2).unwrap();
        assert_eq!(radii.len(), 200);
        let (mut beyond, mut certified) = (0, 0);
        for (point, found) in radii.into_iter().enumerate() {
            let at = |pixel: i64| pixels.double_value(&[point as i64, pixel, 0, 0]);
            let distance = (at(1) - at(0)) / 2.0_f64.sqrt();
            let Some(CertifiedRadius { class, radius }) = found else {
                // A hundred samples that choose the class can be wrong so near the boundary.
                assert!(distance.abs() < 0.5 * sigma, "{distance}");
                continue;
            };
            certified += 1;
            beyond += i32::from(radius > distance.abs());
            assert_eq!(class == 1, distance > 0.0, "{distance}");
            if (sigma..2.0 * sigma).contains(&distance.abs()) {
                assert!(radius > 0.88 * distance.abs(), "{distance} {radius}");
            }
        }
        // At α 0.001 a fifth of one is expected.
        assert!(certified > 160 && beyond <= 2, "{beyond} of {certified}");
    }
}
