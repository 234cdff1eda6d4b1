//! Randomized-smoothing certification for any ONNX classifier.
//!
//! Smoothing a classifier f with Gaussian noise of standard deviation σ gives the smoothed classifier g: g(x) is the
//! class that f returns most often for x plus noise. If that class has probability at least p̲ > ½, g returns the same
//! class everywhere in the ℓ2 ball of radius σ·Φ⁻¹(p̲) around x (Cohen, Rosenfeld and Kolter, *Certified adversarial
//! robustness via randomized smoothing*, 2019). This crate draws the noise, counts the votes, computes the lower bound
//! p̲ from them, and writes an evidence file from which others can check the certificates. The terms are explained in
//! `docs/glossary.md`.
//!
//! | module | subject |
//! | --- | --- |
//! | [`data`] | reading data sets: IDX, CIFAR, NumPy, PNG and JPEG |
//! | [`noise`] | noise keyed by seed, role, input and block: Gaussian, uniform, on the grid of 1/255; the self-test before a run |
//! | [`backend`] | engines that run a classifier: ONNX Runtime, a mock |
//! | [`statistics`] | Clopper–Pearson bound, radius, norms, intervals |
//! | [`certify`] | the procedures CERTIFY and PREDICT over many inputs |
//! | [`embed`] | certificates for the frames of a camera, each under a deadline |
//! | [`evidence`] | evidence files: the records of runs, and their verification |
//! | [`audit`] | summary of runs: ACR, certified accuracy, comparison |
//! | [`report`] | figures and pages |
//! | [`signature`] | signatures of runs: keys, envelopes, statements |
//! | `jobs` | the use cases of the program `rscert` as library calls; needs the feature `ort` |
//! | [`setting_names`] | the names of settings on the command line and in C, for error messages |
//!
//! # Example
//!
//! Certify one input under a linear classifier with two classes and weights ±w, for which everything is known: under
//! noise it returns the first class with probability Φ(2w·x / (σ‖2w‖)).
//!
//! ```
//! use ndarray::array;
//! use mithridate_runtime::{
//!     backend::LinearClassifier,
//!     certify::{Certifier, Input, Settings},
//!     units::{Alpha, Sigma},
//! };
//!
//! let model = LinearClassifier::new(array![[1.0], [-1.0]], array![0.0, 0.0]);
//! let settings = Settings { n: 10_000, ..Settings::new(Sigma::new(0.5)?, 7) };
//! let mut certifier = Certifier::new(vec![Box::new(model)], settings, 256)?;
//! let certificate = certifier.certify_one(&Input { index: 0, label: None, image: vec![0.4] })?;
//! // The true radius is the distance to the boundary, 0.4; the certified one is a little less.
//! let radius = certificate.radius.expect("certified");
//! assert!(0.37 < radius && radius < 0.4, "{radius}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod audit;
pub mod backend;
pub mod certify;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod embed;
pub mod evidence;
mod input;
#[cfg(feature = "ort")]
pub mod jobs;
pub mod noise;
pub mod report;
pub mod setting_names;
pub mod signature;
pub mod statistics;
pub mod terminal;
pub mod units;
mod votes;

pub use mithridate_onnx::{files, memory};
