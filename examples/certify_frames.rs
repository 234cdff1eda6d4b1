//! Certifies the images of a data set as a robot would the frames of its camera: each within a time limit, in memory that
//! is taken once, and prints how many samples there was time for and how well the limit was kept.
//!
//! ```text
//! cargo run --release -p mithridate-examples --bin certify-frames -- MODEL DATA FRAMES MILLISECONDS SIGMA
//! ```

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use mithridate_runtime::{
    backend::{InputOptions, OnnxModel, OnnxRuntime, Provider},
    certify::Settings,
    data::{Dataset, Split},
    embed::FrameCertifier,
    noise::seed_from_os,
};

/// Samples that the model gets at once.
const BATCH: usize = 64;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, data, frames, milliseconds, sigma] = &arguments[..] else {
        anyhow::bail!("usage: certify-frames MODEL DATA FRAMES MILLISECONDS SIGMA");
    };
    let frames: usize = frames.parse().context("FRAMES is a number of test images")?;
    let limit = Duration::from_millis(milliseconds.parse().context("MILLISECONDS is a whole number")?);
    let data = Dataset::open(Path::new(data), Split::Test)?;
    ensure!((1..=data.len()).contains(&frames), "there are {} test images", data.len());

    let runtime = OnnxRuntime::load()?;
    let reading = InputOptions { image: Some(data.shape()), ..InputOptions::default() };
    let model = OnnxModel::open(&runtime, Path::new(model), &reading)?;
    let classifier = model.classifier(&runtime, Provider::Cpu, 1)?.bind(BATCH)?;
    // One batch chooses the class.
    let settings = Settings { n0: BATCH as u64, ..Settings::new(sigma.parse()?, seed_from_os()?) };
    let mut certifier = FrameCertifier::new(Box::new(classifier), settings)?;

    let (mut samples, mut times, mut right, mut radii) = (0, Vec::with_capacity(frames), 0, 0.0);
    for frame in 0..frames {
        let image = data.image(frame);
        let started = Instant::now();
        let certificate = certifier.certify(&image, limit)?;
        times.push(started.elapsed());
        samples += certificate.selection_samples + certificate.samples;
        if let Some(radius) =
            certificate.radius.filter(|_| certificate.class == Some(data.labels()[frame].into()))
        {
            right += 1;
            radii += radius;
        }
    }
    times.sort();
    let late = times.iter().filter(|&&time| time > limit).count();
    println!(
        "{frames} frames, {} samples each\n\
         right class certified for {right}, average certified radius {:.3}\n\
         time: median {:.1} ms, longest {:.1} ms; {late} later than {} ms",
        samples / frames as u64,
        radii / frames as f64,
        1e3 * times[frames / 2].as_secs_f64(),
        1e3 * times[frames - 1].as_secs_f64(),
        limit.as_millis(),
    );
    Ok(())
}
