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

/// Threads that samples go through: the scheduler, which is the caller's; those that make noise ahead, if any; and one
/// for each instance of the model.
///
/// Samples travel in a fixed number of slots, whose buffers are used again, so that a batch allocates nothing.
pub(super) struct Pipeline<'a> {
    workers: &'a mut [Worker],
    noise: &'a Noise,
    noise_threads: usize,
    slots: Vec<BatchBuffer>,
}

/// A slot that came back, or why it did not.
type Done = Result<BatchBuffer, BackendError>;

impl<'a> Pipeline<'a> {
    /// Makes the slots, of a batch or a block each, whichever is larger; smaller ones where there is no memory for them.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`] where there is none even for a block.
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

    /// Blocks that may be under way at once.
    pub fn blocks(&self) -> usize {
        self.slots.iter().map(|buffer| buffer.capacity / BLOCK as usize).sum()
    }

    /// Runs until the board has no more inputs. `on_samples` hears of the samples of every slot, `on_sampled` gets each
    /// input in order. Once `stop` is true, nothing more is begun or counted.
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
        // As many places as there are slots: nobody ever waits for one.
        let (to_noise, drawing) = sync_channel::<BatchBuffer>(count);
        let (to_models, running) = sync_channel::<BatchBuffer>(count);
        // Each worker may have an error to tell besides.
        let (to_here, done) = sync_channel::<Done>(count + workers.len());
        let (drawing, running) = (Mutex::new(drawing), Mutex::new(running));
        let uncompared: Vec<_> = workers.iter().map(Worker::uncompared).collect();
        // Results that wait until all their samples that are to be answered again were, with the numbers of their inputs.
        let mut results: VecDeque<(u64, Sampled)> = VecDeque::new();
        thread::scope(|scope| {
            // Queues end when all who write to them are gone.
            let first = if noise_threads == 0 { to_models.clone() } else { to_noise };
            for _ in 0..noise_threads {
                let (drawing, to_models, to_here) = (&drawing, to_models.clone(), to_here.clone());
                let draw_ahead = move || {
                    let draw = |mut buffer: BatchBuffer| {
                        // The model will not be run on it.
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
                        // Nobody waits for this, and a deadline is kept.
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
                // Votes of a batch that was broken off must not be counted.
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
            // The workers answer the last samples again, on which the last results wait.
            drop(first);
            done.iter().try_for_each(|result| result.map(drop))?;
            results.into_iter().try_for_each(|(_, sampled)| on_sampled(sampled))?;
            if is_stopped { Err(CertifyError::Interrupted) } else { Ok(()) }
        })
    }
}

/// Starts a thread of a run. If there is none to be had, those started before end when the run does.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), BackendError> {
    let started = thread::Builder::new().spawn_scoped(scope, work);
    started.map(drop).map_err(|error| BackendError::thread(&error))
}

/// Slots, and the buffers for noise: with the slots if it is made ahead, else with the workers.
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
    // One for each worker to run and one to wait for it, so that none ever sleeps while there is work: threads that wake
    // each other by turns end up on one processor.
    let count = 2 * workers.len() + 1 + 2 * noise_threads;
    (0..count)
        .map(|_| {
            let made = BatchBuffer::new(capacity, inputs, buffer(is_ahead)?)?;
            Ok(BatchBuffer { counts_blocks: noise_source == NoiseSource::Engine, ..made })
        })
        .collect()
}

/// The next slot in a queue that several threads share, until the other end is gone.
fn next(queue: &Mutex<Receiver<BatchBuffer>>) -> Option<BatchBuffer> {
    queue.lock().ok()?.recv().ok()
}

/// A model that panics must end the run with an error, not leave it waiting for the slot.
fn guarded(buffer: BatchBuffer, work: impl FnOnce(BatchBuffer) -> Done) -> Done {
    caught(buffer.samples, || work(buffer))
}

fn caught<T>(batch: usize, work: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(BackendError::Run { batch, problem: "its thread ended unexpectedly".into() }))
}
