use std::{
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Certifier, CertifyError, Input, Settings, Timings};
use crate::{
    backend::{BackendError, Classifier, make_room},
    noise::BLOCK,
    units::Sigma,
};

/// How work is split: instances of the model, threads within each, and batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Instances of the model, each on a thread of its own.
    pub sessions: usize,
    /// Threads within an operator of each instance.
    pub threads: usize,
    /// Inputs in a batch.
    pub batch: usize,
    /// Threads that make noise ahead; with none, each instance makes its own.
    #[serde(default)]
    pub noise_threads: usize,
}

/// Instances of a model.
pub type Instances = Vec<Box<dyn Classifier>>;

/// Batch sizes tried, smallest first.
const BATCHES: [usize; 9] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048];
/// Most bytes in the inputs of one batch.
const MAX_BATCH_BYTES: usize = 64 << 20;
/// Time for one batch size.
const TIME_A_SIZE: Duration = Duration::from_millis(60);
/// Time for one way to split the threads.
const TIME_A_SPLIT: Duration = Duration::from_millis(600);
/// Time for one number of noise threads.
const TIME_A_NOISE_SPLIT: Duration = Duration::from_millis(120);

/// Finds the fastest way to run a model with `threads` threads by trying: every split of the threads into instances
/// and threads within an operator that makes sense, with batch sizes from small to large until they stop getting
/// faster. Takes about a second. Results do not depend on it, only the time they take.
///
/// `load` makes an instance of the model with so many threads; `batch` fixes the batch size. Returns the plan and
/// its instances, ready to run.
///
/// # Errors
/// [`BackendError`] from loading or running the model.
pub fn plan(
    mut load: impl FnMut(usize) -> Result<Box<dyn Classifier>, BackendError>,
    threads: usize,
    batch: Option<usize>,
) -> Result<(Plan, Instances), BackendError> {
    let threads = threads.max(1);
    let mut splits = vec![(threads, 1)];
    if threads > 1 {
        splits.push((1, threads));
    }
    if threads >= 8 {
        splits.push((threads / 4, 4));
    }
    let mut best: Option<(f64, (Plan, Instances))> = None;
    let only_split = splits.len() == 1;
    for (sessions, inner) in splits {
        let models = (0..sessions).map(|_| load(inner)).collect::<Result<Vec<_>, _>>();
        let tried =
            models.and_then(|mut models| Ok((fastest_batch(&mut models, batch, only_split)?, models)));
        let ((rate, size), models) = match tried {
            // Beside the best so far there may be no memory for another; that one works.
            Err(_) if best.is_some() => continue,
            other => other?,
        };
        // An earlier split is kept unless a later one is clearly faster.
        if best.as_ref().is_none_or(|(fastest, ..)| rate > 1.03 * fastest) {
            best = Some((rate, (Plan { sessions, threads: inner, batch: size, noise_threads: 0 }, models)));
        }
    }
    // There is at least one split.
    let (_, (mut plan, models)) =
        best.ok_or_else(|| BackendError::Run { batch: 0, problem: "no way to split the threads".into() })?;
    let (noise_threads, models) = fastest_noise(models, plan.batch, threads)?;
    plan.noise_threads = noise_threads;
    Ok((plan, models))
}

/// The fastest number of threads that make noise ahead, none unless they are clearly faster.
fn fastest_noise(
    mut models: Instances,
    batch: usize,
    threads: usize,
) -> Result<(usize, Instances), BackendError> {
    // One thread is one thread.
    if threads == 1 {
        return Ok((0, models));
    }
    let mut best = (0.0_f64, 0);
    let mut counts = vec![0, 1];
    counts.extend((threads >= 8).then_some(threads / 4));
    for count in counts {
        let rate;
        (rate, _, models) = time_certification(models, batch, count, TIME_A_NOISE_SPLIT)?;
        if rate > 1.03 * best.0 {
            best = (rate, count);
        }
    }
    Ok((best.1, models))
}

/// Samples per second of certification by the clock on the wall, with Gaussian noise of standard deviation ¼ around a
/// grey image, over about `time`, and where the time went; the instances of the model come back.
///
/// # Errors
/// [`BackendError`] from the model.
pub fn time_certification(
    models: Instances,
    batch: usize,
    noise_threads: usize,
    time: Duration,
) -> Result<(f64, Timings, Instances), BackendError> {
    let failed = |problem: String| BackendError::Run { batch, problem };
    let sigma = Sigma::new(0.25).map_err(|error| failed(error.to_string()))?;
    let settings = Settings { n0: BLOCK, n: 8 * batch.max(BLOCK as usize) as u64, ..Settings::new(sigma, 0) };
    let image = vec![0.5; models[0].input_len()];
    let mut certifier = Certifier::new(models, settings, batch).map_err(|error| match error {
        CertifyError::Backend(error) => error,
        error => failed(error.to_string()),
    })?;
    certifier.set_noise_threads(noise_threads);
    let started = Instant::now();
    let endless = (0..).map_while(|index| {
        (index == 0 || started.elapsed() < time).then(|| Input { index, label: None, image: image.clone() })
    });
    certifier.certify_all(endless, |_| {}, |_| Ok(())).map_err(|error| match error {
        CertifyError::Backend(error) => error,
        error => failed(error.to_string()),
    })?;
    let timings = certifier.timings();
    let rate = timings.samples as f64 / started.elapsed().as_secs_f64();
    Ok((rate, timings, certifier.into_models()))
}

/// Samples per second and size of the fastest batch. With one size and the only split there is nothing to choose: then
/// the size is tried, and not measured.
fn fastest_batch(
    models: &mut [Box<dyn Classifier>],
    fixed: Option<usize>,
    only_split: bool,
) -> Result<(f64, usize), BackendError> {
    let largest = (MAX_BATCH_BYTES / (4 * models[0].input_len())).max(1);
    let sizes: Vec<usize> = match models[0].fixed_batch().or(fixed) {
        Some(size) => vec![size],
        None => BATCHES.into_iter().filter(|&size| size <= largest.max(BATCHES[0])).collect(),
    };
    let time = if only_split && sizes.len() == 1 { Duration::ZERO } else { TIME_A_SIZE };
    let started = Instant::now();
    let (mut best, mut slower) = ((0.0_f64, sizes[0]), 0);
    for size in sizes {
        let rate = match time_forward(models, size, time) {
            // The smaller sizes tried before did fit.
            Err(BackendError::OutOfMemory { .. }) if best.0 > 0.0 => break,
            Err(BackendError::OutOfMemory { .. }) if size > 1 && models[0].fixed_batch().is_none() => {
                return fastest_batch(models, Some(size / 2), only_split);
            }
            other => other?,
        };
        // A larger batch must be worth its memory.
        if rate > 1.02 * best.0 {
            (best, slower) = ((rate, size), 0);
        } else {
            slower += 1;
        }
        if slower == 2 || started.elapsed() > TIME_A_SPLIT {
            break;
        }
    }
    Ok(best)
}

/// Samples per second of the forward pass alone, all instances at work at once, over at least `time`.
///
/// # Errors
/// [`BackendError`] from the model.
pub fn time_forward(
    models: &mut [Box<dyn Classifier>],
    batch: usize,
    time: Duration,
) -> Result<f64, BackendError> {
    let rates = thread::scope(|scope| {
        let threads: Vec<_> = models
            .iter_mut()
            .map(|model| {
                scope.spawn(move || {
                    // Any values do, but not all alike.
                    let mut inputs = Vec::new();
                    make_room(&mut inputs, batch.saturating_mul(model.input_len()), batch)?;
                    inputs.iter_mut().enumerate().for_each(|(i, value)| *value = (i % 251) as f32 / 251.0);
                    let (mut logits, mut votes) = (Vec::new(), Vec::new());
                    let mut run = || {
                        votes.clear();
                        // Where the engine counts, that is part of what it does.
                        model.votes(&inputs, &mut votes).unwrap_or_else(|| model.logits(&inputs, &mut logits))
                    };
                    run()?;
                    let (started, mut runs) = (Instant::now(), 0);
                    while runs == 0 || started.elapsed() < time {
                        run()?;
                        runs += 1;
                    }
                    Ok(f64::from(runs) * batch as f64 / started.elapsed().as_secs_f64())
                })
            })
            .collect();
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
                Ok(Box::new(model) as Box<dyn Classifier>)
            };
            let found =
                plan(load, 2, Some(100)).map(|(plan, models)| (plan.sessions, plan.threads, models.len()));
            // Two instances are tried first; the run ends if not even they fit.
            assert_eq!(found.ok(), (possible == 2).then_some((2, 1, 2)));
        }
    }

    #[test]
    fn a_plan_uses_the_threads_and_batch_it_is_given() {
        let mut loaded = Vec::new();
        let load = |threads| {
            loaded.push(threads);
            Ok(Box::new(LinearClassifier::new(Array2::zeros((2, 8)), Array1::zeros(2)))
                as Box<dyn Classifier>)
        };
        let (plan, models) = plan(load, 2, Some(100)).unwrap();
        assert_eq!((plan.batch, plan.sessions * plan.threads), (100, 2));
        assert_eq!(models.len(), plan.sessions);
        assert_eq!(loaded, [1, 1, 2]);
    }
}
