//! Certificates inside another program: a robot or a camera hands over a frame and a time limit and gets a class, a
//! radius and the number of samples that they rest on. No file is written or read once the model is loaded, no thread
//! is started but those of the engine, and after it was made a [`FrameCertifier`] allocates no more memory.
//!
//! A frame is sampled until its time is up or a most number of samples is reached. The bound belongs to a
//! [confidence sequence](crate::statistics::ConfidenceSequence), so it holds at whatever moment that is.
//!
//! # Example
//!
//! A model in an ONNX file, a frame in 50 ms on one thread:
//!
//! ```no_run
//! use std::{path::Path, time::Duration};
//!
//! use mithridate_runtime::{
//!     backend::{OnnxModel, OnnxRuntime, Provider, InputOptions},
//!     certify::Settings,
//!     embed::FrameCertifier,
//!     noise::seed_from_os,
//!     units::Sigma,
//! };
//!
//! let runtime = OnnxRuntime::load()?;
//! let model = OnnxModel::open(&runtime, Path::new("lenet.onnx"), &InputOptions::default())?;
//! let classifier = model.classifier(&runtime, Provider::Cpu, 1)?.bind(64)?;
//! // One batch chooses the class; the rest of the time goes into the bound.
//! let settings = Settings { n0: 64, ..Settings::new(Sigma::new(0.25)?, seed_from_os()?) };
//! let mut certifier = FrameCertifier::new(Box::new(classifier), settings)?;
//!
//! let image = vec![0.5; certifier.input_len()];
//! let certificate = certifier.certify(&image, Duration::from_millis(50))?;
//! if let (Some(class), Some(radius)) = (certificate.class, certificate.radius) {
//!     println!("class {class} within an l2 distance of {radius}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod frame;
mod sampler;

pub use frame::{EmbedError, Ended, FrameCertificate, FrameCertifier};
