//! Certifies one image of a data set under an ONNX model, from a program of one's own.
//!
//! ```text
//! cargo run --release -p mithridate-examples --bin certify-one-image -- MODEL DATA INDEX SIGMA
//! ```

use std::path::Path;

use anyhow::{Context, ensure};
use mithridate_runtime::{
    backend::{OnnxClassifier, OnnxRuntime, Provider},
    certify::{Certifier, Input, Settings},
    data::{Dataset, Split},
    noise::seed_from_os,
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, data, index, sigma] = &arguments[..] else {
        anyhow::bail!("usage: certify-one-image MODEL DATA INDEX SIGMA");
    };
    let index: usize = index.parse().context("INDEX is the number of a test image")?;
    let data = Dataset::open(Path::new(data), Split::Test)?;
    ensure!(index < data.len(), "there are {} test images", data.len());

    let runtime = OnnxRuntime::load()?;
    let threads = std::thread::available_parallelism()?.get();
    let classifier = OnnxClassifier::load(&runtime, Path::new(model), Provider::Cpu, threads)?;
    let settings = Settings { n: 10_000, ..Settings::new(sigma.parse()?, seed_from_os()?) };
    let mut certifier = Certifier::new(vec![Box::new(classifier)], settings.clone(), 256)?;

    let label = usize::from(data.labels()[index]);
    let certificate = certifier.certify_one(&Input {
        index: index as u64,
        label: Some(label),
        image: data.image(index),
    })?;
    match (certificate.class, certificate.radius) {
        (Some(class), Some(radius)) => println!(
            "class {class} (label {label}) within an l2 distance of {radius:.4}, with probability {}",
            1.0 - settings.alpha.get()
        ),
        _ => println!("nothing can be certified (label {label})"),
    }
    Ok(())
}
