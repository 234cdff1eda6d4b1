use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, Scope},
};

use super::{
    CertifyError, VoteRequest,
    batch_buffer::BatchBuffer,
    forward::halved,
    scheduler::{Sampled, Scheduler},
    worker::Worker,
};
use crate::{
    backend::{BackendError, NoiseSource, make_room},
    noise::{BLOCK, Noise},
};

/// The threads that samples pass through: the caller's thread, which runs the scheduler; threads that draw noise ahead,
/// if any; and one worker thread for each instance of the model.
///
/// Samples travel in a fixed number of batch buffers, which are reused, so that a batch allocates no memory.
pub(super) struct Pipeline<'a> {
    workers: &'a mut [Worker],
    noise: &'a Noise,
    noise_threads: usize,
    slots: Vec<BatchBuffer>,
}

/// A batch buffer that a thread has finished with, or the error that it failed with.
type Done = Result<BatchBuffer, BackendError>;

impl<'a> Pipeline<'a> {
    /// Allocates the batch buffers. Each has room for one batch or one block, whichever is larger. If memory is too
    /// small for that, the capacity is halved, down to one block.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`] if there is too little memory even for buffers of one block.
    pub fn new(
        workers: &'a mut [Worker],
        noise: &'a Noise,
        noise_threads: usize,
        batch: usize,
    ) -> Result<Self, BackendError> {
        let block = BLOCK as usize;
        let mut capacity = batch.max(block);
        let slots = loop {
            match make_buffers(workers, noise_threads, capacity) {
                Err(BackendError::OutOfMemory { problem, .. }) if capacity > block => {
                    let notices = workers[0].notices.as_ref();
                    capacity = halved(capacity, capacity, &problem, notices).max(block);
                }
                other => break other?,
            }
        };
        Ok(Self { workers, noise, noise_threads, slots })
    }

    /// Number of blocks that may be in flight at once.
    pub fn blocks(&self) -> usize {
        self.slots.iter().map(|buffer| buffer.capacity / BLOCK as usize).sum()
    }

    /// Runs until the scheduler has no more inputs. `on_samples` gets the number of samples run of every batch buffer,
    /// `on_sampled` gets each finished input, in order. Once `stop` is true, no batch is begun and no vote is counted.
    pub fn run<I: Iterator<Item = VoteRequest>>(
        self,
        mut scheduler: Scheduler<'_, I>,
        stop: Option<&AtomicBool>,
        mut on_samples: impl FnMut(u64),
        mut on_sampled: impl FnMut(Sampled) -> Result<(), CertifyError>,
    ) -> Result<(), CertifyError> {
        let Self { workers, noise, noise_threads, slots: mut free } = self;
        let count = free.len();
        let fixed_batch = workers[0].model().fixed_batch();
        // The queues have room for all batch buffers, so that no sender ever waits.
        let (to_noise, drawing) = sync_channel::<BatchBuffer>(count);
        let (to_models, running) = sync_channel::<BatchBuffer>(count);
        // Besides, each worker may send one error.
        let (to_here, done) = sync_channel::<Done>(count + workers.len());
        let (drawing, running) = (Mutex::new(drawing), Mutex::new(running));
        let uncompared: Vec<_> = workers.iter().map(Worker::uncompared).collect();
        // Finished inputs that wait for the comparison of their samples, each with the number of its input.
        let mut results: VecDeque<(u64, Sampled)> = VecDeque::new();
        thread::scope(|scope| {
            // A queue ends when all its senders are dropped.
            let first = if noise_threads == 0 { to_models.clone() } else { to_noise };
            for _ in 0..noise_threads {
                let (drawing, to_models, to_here) = (&drawing, to_models.clone(), to_here.clone());
                let draw_ahead = move || {
                    let draw = |mut buffer: BatchBuffer| {
                        // If the deadline has passed, the model will not be run, so no noise is needed.
                        if !buffer.is_late() {
                            buffer.draw(noise, fixed_batch);
                        }
                        Ok(buffer)
                    };
                    while let Some(buffer) = next(drawing) {
                        let is_lost = match guarded(buffer, draw) {
                            Ok(buffer) => to_models.send(buffer).is_err(),
                            failed => to_here.send(failed).is_err(),
                        };
                        if is_lost {
                            return;
                        }
                    }
                };
                start(scope, draw_ahead)?;
            }
            for worker in workers {
                let (running, to_here) = (&running, to_here.clone());
                let own_noise = (noise_threads == 0).then_some(noise);
                let run = move || {
                    while let Some(buffer) = next(running) {
                        let result = guarded(buffer, |mut buffer| {
                            worker.run(&mut buffer, own_noise)?;
                            Ok(buffer)
                        });
                        if to_here.send(result).is_err() {
                            return;
                        }
                        // The batch buffer was sent on first, so the comparison does not delay it.
                        if let Err(error) = caught(0, || worker.compare(false)) {
                            let _ = to_here.send(Err(error));
                            return;
                        }
                    }
                    if let Err(error) = caught(0, || worker.compare(true)) {
                        let _ = to_here.send(Err(error));
                    }
                };
                start(scope, run)?;
            }
            drop((to_models, to_here));
            let mut under_way = 0;
            let is_stopped = loop {
                // Votes of an incomplete batch must not be counted.
                if stop.is_some_and(|stop| stop.load(Ordering::SeqCst)) {
                    break true;
                }
                while let Some(mut buffer) = free.pop() {
                    if !scheduler.fill(&mut buffer)? {
                        free.push(buffer);
                        break;
                    }
                    if first.send(buffer).is_err() {
                        break;
                    }
                    under_way += 1;
                }
                let mut has_finished = false;
                while let Some(result) = scheduler.next_finished() {
                    results.push_back(result);
                    has_finished = true;
                }
                let first_uncompared =
                    uncompared.iter().map(|first| first.load(Ordering::SeqCst)).min().unwrap_or(u64::MAX);
                while let Some((_, sampled)) = results.pop_front_if(|(number, _)| *number < first_uncompared)
                {
                    on_sampled(sampled)?;
                }
                if under_way == 0 && !has_finished {
                    break false;
                }
                if under_way > 0 {
                    let Ok(result) = done.recv() else { break false };
                    under_way -= 1;
                    let buffer = result?;
                    on_samples(buffer.voted.len() as u64);
                    scheduler.collect(&buffer)?;
                    free.push(buffer);
                }
            };
            // The workers now compare their last samples; the last results wait for this.
            drop(first);
            done.iter().try_for_each(|result| result.map(drop))?;
            results.into_iter().try_for_each(|(_, sampled)| on_sampled(sampled))?;
            if is_stopped { Err(CertifyError::Interrupted) } else { scheduler.finish() }
        })
    }
}

/// Starts a thread of a run. If the operating system gives no thread, the threads started before end with the run.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), BackendError> {
    let started = thread::Builder::new().spawn_scoped(scope, work);
    started.map(drop).map_err(|error| BackendError::thread(&error))
}

/// Allocates the batch buffers and the memory for noisy inputs. That memory belongs to the batch buffers if noise is
/// drawn ahead, otherwise to the workers.
fn make_buffers(
    workers: &mut [Worker],
    noise_threads: usize,
    capacity: usize,
) -> Result<Vec<BatchBuffer>, BackendError> {
    let (model, noise_source) = (workers[0].model(), workers[0].noise_source());
    let values = model.input_len();
    let inputs = model.fixed_batch().map_or(capacity, |size| capacity.next_multiple_of(size));
    let buffer = |is_needed: bool| -> Result<Vec<f32>, BackendError> {
        let mut noisy = Vec::new();
        make_room(&mut noisy, if is_needed { inputs.saturating_mul(values) } else { 0 }, inputs)?;
        Ok(noisy)
    };
    let is_ahead = noise_threads > 0;
    for worker in &mut *workers {
        worker.noisy = buffer(!is_ahead && noise_source == NoiseSource::Caller)?;
    }
    // For each worker, one buffer to run and one that waits, so that no worker sleeps while there is work: threads that
    // wake each other in turns end up on one processor.
    let count = 2 * workers.len() + 1 + 2 * noise_threads;
    (0..count)
        .map(|_| {
            let made = BatchBuffer::new(capacity, inputs, buffer(is_ahead)?)?;
            Ok(BatchBuffer { counts_blocks: noise_source == NoiseSource::Engine, ..made })
        })
        .collect()
}

/// The next batch buffer in a queue that several threads share; `None` once all senders are dropped.
fn next(queue: &Mutex<Receiver<BatchBuffer>>) -> Option<BatchBuffer> {
    queue.lock().ok()?.recv().ok()
}

/// A model that panics must end the run with an error. Otherwise the run would wait for the batch buffer forever.
fn guarded(buffer: BatchBuffer, work: impl FnOnce(BatchBuffer) -> Done) -> Done {
    caught(buffer.samples, || work(buffer))
}

fn caught<T>(batch: usize, work: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(BackendError::Run { batch, problem: "its thread ended unexpectedly".into() }))
}
