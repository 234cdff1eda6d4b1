use std::{
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Certifier, CertifyError, Input, Instances, Plan, Settings, Timings};
use crate::{
    backend::{Answers, BackendError, Samples, VoteSampler, make_room},
    noise::{BLOCK, Noise, NoiseKey, Role},
    units::Sigma,
};

/// Batch sizes that are tried, in this order.
const BATCHES: [usize; 9] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048];
/// The batch size for runs that are too short to try several.
const USUAL_BATCH: usize = 32;
/// Largest number of bytes in the inputs of one batch that is tried.
const MAX_BATCH_BYTES: usize = 64 << 20;
/// Largest share of the time of a run that is spent on finding its plan.
const SHARE: f64 = 0.03;

/// Time for each kind of measurement.
#[derive(Clone, Copy)]
struct Effort {
    /// For one batch size.
    size: Duration,
    /// For all batch sizes with one division of the threads.
    split: Duration,
    /// For one number of noise threads.
    noise_split: Duration,
}

impl Effort {
    /// The longest measurements that are ever made.
    const FULL: Self = Self {
        size: Duration::from_millis(60),
        split: Duration::from_millis(600),
        noise_split: Duration::from_millis(120),
    };
    /// Approximate total time of these measurements.
    const FULL_TIME: Duration = Duration::from_millis(1500);
    /// Below this share of the full time, measurements are too noisy.
    const LEAST: f64 = 0.1;

    /// The effort for a run of `samples` samples at `rate` samples per second; `None` if the run is too short for
    /// measurements.
    fn worth(samples: u64, rate: f64) -> Option<Self> {
        let share = SHARE * samples as f64 / rate / Self::FULL_TIME.as_secs_f64();
        (share >= Self::LEAST).then(|| {
            let part = |time: Duration| time.mul_f64(share.min(1.0));
            Self {
                size: part(Self::FULL.size),
                split: part(Self::FULL.split),
                noise_split: part(Self::FULL.noise_split),
            }
        })
    }
}

/// Finds the fastest plan for a model with `threads` threads and about `samples` samples by measurement. It tries
/// several divisions of the threads into instances and threads of each instance, and batch sizes in rising order until
/// larger ones are no faster. This takes a few percent of the time of the run, and about two seconds at most. A run
/// that is too short for measurements gets one instance for each thread and the default batch size. The plan affects
/// the speed, not the results.
///
/// `load` creates an instance of the model with the given number of threads. `batch` fixes the batch size. Returns the
/// plan and its instances, ready to run.
///
/// # Errors
/// [`BackendError`] from loading or running the model.
pub fn plan(
    mut load: impl FnMut(usize) -> Result<Box<dyn VoteSampler>, BackendError>,
    threads: usize,
    batch: Option<usize>,
    samples: u64,
) -> Result<(Plan, Instances), BackendError> {
    let threads = threads.max(1);
    let mut instances =
        |sessions, inner| (0..sessions).map(|_| load(inner)).collect::<Result<Instances, _>>();
    let mut models = instances(threads, 1)?;
    let batch = models[0].classifier().fixed_batch().or(batch).map(|size| size.max(1));
    let sizes = match batch {
        Some(size) => vec![size],
        None => sizes(models[0].classifier().input_len()),
    };
    // Estimates the length of the run from one batch.
    let (rate, size) = fastest_batch(&mut models, &sizes[..1], Duration::ZERO, Duration::ZERO)?;
    // If there was no memory even for that batch, no larger one is tried.
    let is_settled = size < sizes[0] || (threads == 1 && sizes.len() == 1);
    let usual = if is_settled { size } else { USUAL_BATCH.clamp(sizes[0], sizes[sizes.len() - 1]) };
    let mut plan = Plan { sessions: threads, threads: 1, batch: usual, noise_threads: 0 };
    let Some(effort) = Effort::worth(samples, rate).filter(|_| !is_settled) else {
        return Ok((plan, models));
    };
    let mut fastest;
    (fastest, plan.batch) = fastest_batch(&mut models, &sizes, effort.size, effort.split)?;
    let mut splits = Vec::new();
    if threads > 1 {
        splits.push((1, threads));
    }
    if threads >= 8 {
        splits.push((threads / 4, 4));
    }
    for (sessions, inner) in splits {
        let tried = instances(sessions, inner).and_then(|mut models| {
            Ok((fastest_batch(&mut models, &sizes, effort.size, effort.split)?, models))
        });
        // There may be no memory for other instances beside the best so far. The best so far works in any case.
        let Ok(((rate, batch), others)) = tried else { continue };
        // A later division replaces the best so far only if it is clearly faster.
        if rate > 1.03 * fastest {
            (fastest, models) = (rate, others);
            plan = Plan { sessions, threads: inner, batch, noise_threads: 0 };
        }
    }
    // With a slow model the time for noise is negligible.
    if threads > 1 && 8.0 * plan.batch as f64 / fastest < effort.noise_split.as_secs_f64() / 2.0 {
        (plan.noise_threads, models) = fastest_noise(models, plan.batch, threads, effort.noise_split)?;
    }
    Ok((plan, models))
}

/// Batch sizes to try for inputs with `values` values.
fn sizes(values: usize) -> Vec<usize> {
    let largest = (MAX_BATCH_BYTES / (4 * values)).max(BATCHES[0]);
    BATCHES.into_iter().filter(|&size| size <= largest).collect()
}

/// The fastest number of noise threads; 0 unless others are clearly faster.
fn fastest_noise(
    mut models: Instances,
    batch: usize,
    threads: usize,
    time: Duration,
) -> Result<(usize, Instances), BackendError> {
    let mut counts = vec![(0, 0.0_f64), (1, 0.0)];
    counts.extend((threads >= 8).then_some((threads / 4, 0.0)));
    // The numbers are measured alternately, so that a machine that slows down or speeds up favours none.
    for _ in 0..2 {
        for (count, best) in &mut counts {
            let timed = time_certification(models, batch, *count, time / 2)?;
            models = timed.models;
            *best = best.max(timed.samples_per_second);
        }
    }
    let mut fastest = (0, 0.0);
    for (count, rate) in counts {
        if rate > 1.05 * fastest.1 {
            fastest = (count, rate);
        }
    }
    Ok((fastest.0, models))
}

/// Result of [`time_certification`].
pub struct TimedCertification {
    /// Samples per second of elapsed time.
    pub samples_per_second: f64,
    /// Time spent on each part of the work, summed over workers.
    pub timings: Timings,
    /// Time of the first batches for each part of the work. `timings` does not contain these batches, because more samples
    /// of the first input are compared than of any other.
    pub first: Timings,
    /// The instances of the model.
    pub models: Instances,
}

/// Number of estimation samples with which certification is timed.
const TIMED_SAMPLES: u64 = 10_000;

/// Measures certification of grey images, with 10,000 estimation samples each and Gaussian noise of σ = ¼, for about
/// `time`. With a slow model the time ends before the first image is done.
///
/// # Errors
/// [`BackendError`] from the model.
pub fn time_certification(
    models: Instances,
    batch: usize,
    noise_threads: usize,
    time: Duration,
) -> Result<TimedCertification, BackendError> {
    let settings = Settings { n: TIMED_SAMPLES, ..usual_settings()? };
    let image = vec![0.5; models[0].classifier().input_len()];
    let mut certifier = Certifier::new(models, settings, batch).map_err(|error| match error {
        CertifyError::Backend(error) => error,
        error => not_timed(error),
    })?;
    certifier.set_noise_threads(noise_threads);
    let stop = Arc::new(AtomicBool::new(false));
    certifier.stop_when(&stop);
    let mut certify_for = |time: Duration| {
        stop.store(false, Ordering::SeqCst);
        let started = Instant::now();
        let endless = (0..).map(|index| Input { index, label: None, image: image.clone() });
        let stop_in_time = |_| stop.store(started.elapsed() >= time, Ordering::SeqCst);
        match certifier.certify_all(endless, stop_in_time, |_| Ok(())) {
            Ok(()) | Err(CertifyError::Interrupted) => Ok((certifier.timings(), started.elapsed())),
            Err(CertifyError::Backend(error)) => Err(error),
            Err(error) => Err(not_timed(error)),
        }
    };
    let (first, _) = certify_for(Duration::ZERO)?;
    let (all, elapsed) = certify_for(time)?;
    let timings = all.since(&first);
    let samples_per_second = timings.samples as f64 / elapsed.as_secs_f64();
    Ok(TimedCertification { samples_per_second, timings, first, models: certifier.into_models() })
}

/// Samples per second, and size, of the fastest batch. Each size is run for `time`, all sizes together for little more
/// than `most`. If there is no memory for the first size, smaller ones are tried.
fn fastest_batch(
    models: &mut [Box<dyn VoteSampler>],
    sizes: &[usize],
    time: Duration,
    most: Duration,
) -> Result<(f64, usize), BackendError> {
    let noise = usual_settings()?.noise().map_err(not_timed)?;
    let started = Instant::now();
    let (mut best, mut slower) = ((0.0_f64, sizes[0]), 0);
    for &size in sizes {
        let rate = match time_samples(models, size, Some(&noise), time) {
            // There was memory for the smaller sizes tried before.
            Err(BackendError::OutOfMemory { .. }) if best.0 > 0.0 => break,
            Err(BackendError::OutOfMemory { .. })
                if size > 1 && models[0].classifier().fixed_batch().is_none() =>
            {
                return fastest_batch(models, &[size / 2], time, most);
            }
            other => other?,
        };
        // A larger batch must be clearly faster, because it takes more memory.
        if rate > 1.02 * best.0 {
            (best, slower) = ((rate, size), 0);
        } else {
            slower += 1;
        }
        if slower == 2 || started.elapsed() > most {
            break;
        }
    }
    Ok(best)
}

/// Samples per second of the forward pass alone, with all instances running at once, measured for at least `time`.
///
/// # Errors
/// [`BackendError`] from the model.
pub fn time_forward(
    models: &mut [Box<dyn VoteSampler>],
    batch: usize,
    time: Duration,
) -> Result<f64, BackendError> {
    time_samples(models, batch, None, time)
}

/// As [`time_forward`]. If `noise` is given, each instance also draws noise between batches.
fn time_samples(
    models: &mut [Box<dyn VoteSampler>],
    batch: usize,
    noise: Option<&Noise>,
    least: Duration,
) -> Result<f64, BackendError> {
    let rates = thread::scope(|scope| {
        let threads: Vec<_> = models
            .iter_mut()
            .map(|model| {
                let time = move || {
                    let len = model.classifier().input_len();
                    // The values do not matter, but they should differ.
                    let (mut image, mut inputs) = (Vec::new(), Vec::new());
                    make_room(&mut image, len, batch)?;
                    make_room(&mut inputs, batch.saturating_mul(len), batch)?;
                    image.iter_mut().enumerate().for_each(|(i, value)| *value = (i % 251) as f32 / 251.0);
                    inputs.iter_mut().enumerate().for_each(|(i, value)| *value = (i % 251) as f32 / 251.0);
                    let mut answers = Answers::default();
                    let mut run = |number: u64| {
                        if let Some(noise) = noise {
                            for (place, samples) in inputs.chunks_mut(BLOCK as usize * len).enumerate() {
                                let key = NoiseKey {
                                    seed: 0,
                                    role: Role::Estimation,
                                    input: number,
                                    block: place as u64,
                                };
                                noise.add(&key, &image, samples);
                            }
                        }
                        answers.votes.clear();
                        // This includes reading the votes.
                        model.votes(Samples::Noisy(&inputs), &mut answers)
                    };
                    run(0)?;
                    let (started, mut runs) = (Instant::now(), 0);
                    while runs == 0 || started.elapsed() < least {
                        runs += 1;
                        run(runs)?;
                    }
                    Ok((runs * batch as u64) as f64 / started.elapsed().as_secs_f64())
                };
                thread::Builder::new().spawn_scoped(scope, time).map_err(|error| BackendError::thread(&error))
            })
            .collect::<Result<_, _>>()?;
        threads
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(BackendError::Run { batch, problem: "its thread ended unexpectedly".into() })
                })
            })
            .collect::<Result<Vec<f64>, _>>()
    })?;
    Ok(rates.iter().sum())
}

/// Settings with Gaussian noise of σ = ¼ and one block of selection samples, for measurements.
fn usual_settings() -> Result<Settings, BackendError> {
    let sigma = Sigma::new(0.25).map_err(not_timed)?;
    Ok(Settings { n0: BLOCK, ..Settings::new(sigma, 0) })
}

/// An error that made the measurement impossible.
fn not_timed(error: impl Display) -> BackendError {
    BackendError::Run { batch: 0, problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};

    use super::*;
    use crate::backend::LinearClassifier;

    #[test]
    fn a_split_that_there_is_no_memory_for_is_left_out() {
        for possible in [1, 2] {
            let mut loaded = 0;
            let load = |_| {
                loaded += 1;
                if loaded > possible {
                    return Err(BackendError::OutOfMemory { batch: 1, problem: "full".into() });
                }
                let model = LinearClassifier::new(Array2::zeros((2, 8)), Array1::zeros(2));
                Ok(Box::new(model) as Box<dyn VoteSampler>)
            };
            let found = plan(load, 2, Some(100), u64::MAX)
                .map(|(plan, models)| (plan.sessions, plan.threads, models.len()));
            // Two instances are tried first; if there is no memory for them, `plan` fails.
            assert_eq!(found.ok(), (possible == 2).then_some((2, 1, 2)));
        }
    }

    #[test]
    fn a_plan_uses_the_threads_and_batch_it_is_given() {
        let mut loaded = Vec::new();
        let load = |threads| {
            loaded.push(threads);
            Ok(Box::new(LinearClassifier::new(Array2::zeros((2, 8)), Array1::zeros(2)))
                as Box<dyn VoteSampler>)
        };
        let (plan, models) = plan(load, 2, Some(100), u64::MAX).unwrap();
        assert_eq!((plan.batch, plan.sessions * plan.threads), (100, 2));
        assert_eq!(models.len(), plan.sessions);
        assert_eq!(loaded, [1, 1, 2]);
    }

    #[test]
    fn a_short_run_is_not_delayed_by_looking_for_the_fastest_way() {
        let mut loaded = Vec::new();
        let load = |threads| {
            loaded.push(threads);
            let model = LinearClassifier::new(Array2::zeros((2, 8)), Array1::zeros(2));
            Ok(Box::new(model) as Box<dyn VoteSampler>)
        };
        let (plan, _) = plan(load, 2, None, 100).unwrap();
        assert_eq!(plan, Plan { sessions: 2, threads: 1, batch: USUAL_BATCH, noise_threads: 0 });
        assert_eq!(loaded, [1, 1]);
        assert!(Effort::worth(100, 1e6).is_none());
        let (half, full) = (Effort::worth(25_000_000, 1e6), Effort::worth(1_000_000_000, 1e6));
        assert_eq!(half.unwrap().size, Effort::FULL.size / 2);
        assert_eq!(full.unwrap().split, Effort::FULL.split);
    }
}
