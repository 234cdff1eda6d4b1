//! Certification inside another program, such as that of a robot or a camera. The caller passes a frame and a time
//! limit, and gets a class, a certified radius and the number of samples behind them. Once the model is loaded, no file
//! is read or written, no thread is started except those of the engine, and a [`FrameCertifier`] allocates no memory.
//!
//! A frame is sampled until its time limit or the largest number of samples is reached. The lower bound comes from a
//! [confidence sequence](crate::statistics::ConfidenceSequence), so it is valid whenever sampling stops.
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
