use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, Scope},
};

use super::{
    CertifyError, Input,
    board::{Board, Sampled},
    forward::halved,
    slot::Slot,
    worker::Worker,
};
use crate::{
    backend::{BackendError, make_room},
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
    slots: Vec<Slot>,
}

/// A slot that came back, or why it did not.
type Done = Result<Slot, BackendError>;

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
            match make_slots(workers, noise_threads, capacity) {
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
        self.slots.iter().map(|slot| slot.capacity / BLOCK as usize).sum()
    }

    /// Runs until the board has no more inputs. `on_samples` hears of the samples of every slot, `on_sampled` gets each
    /// input in order. Once `stop` is true, nothing more is begun or counted.
    pub fn run<I: Iterator<Item = Input>>(
        self,
        mut board: Board<'_, I>,
        stop: Option<&AtomicBool>,
        mut on_samples: impl FnMut(u64),
        mut on_sampled: impl FnMut(Sampled) -> Result<(), CertifyError>,
    ) -> Result<(), CertifyError> {
        let Self { workers, noise, noise_threads, slots: mut free } = self;
        let count = free.len();
        let fixed_batch = workers[0].model().fixed_batch();
        // As many places as there are slots: nobody ever waits for one.
        let (to_noise, drawing) = sync_channel::<Slot>(count);
        let (to_models, running) = sync_channel::<Slot>(count);
        // Each worker may have an error to tell besides.
        let (to_here, done) = sync_channel::<Done>(count + workers.len());
        let (drawing, running) = (Mutex::new(drawing), Mutex::new(running));
        thread::scope(|scope| {
            // Queues end when all who write to them are gone.
            let first = if noise_threads == 0 { to_models.clone() } else { to_noise };
            for _ in 0..noise_threads {
                let (drawing, to_models, to_here) = (&drawing, to_models.clone(), to_here.clone());
                let draw_ahead = move || {
                    let draw = |mut slot: Slot| {
                        // The model will not be run on it.
                        if !slot.is_late() {
                            slot.draw(noise, fixed_batch);
                        }
                        Ok(slot)
                    };
                    while let Some(slot) = next(drawing) {
                        let is_lost = match guarded(slot, draw) {
                            Ok(slot) => to_models.send(slot).is_err(),
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
                    while let Some(slot) = next(running) {
                        let result = guarded(slot, |mut slot| {
                            worker.run(&mut slot, own_noise)?;
                            Ok(slot)
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
            let (mut under_way, mut is_stopped) = (0, false);
            loop {
                // Votes of a batch that was broken off must not be counted.
                is_stopped = stop.is_some_and(|stop| stop.load(Ordering::SeqCst));
                if is_stopped {
                    break;
                }
                while let Some(mut slot) = free.pop() {
                    if !board.fill(&mut slot)? {
                        free.push(slot);
                        break;
                    }
                    if first.send(slot).is_err() {
                        break;
                    }
                    under_way += 1;
                }
                let mut has_finished = false;
                while let Some(sampled) = board.next_finished() {
                    on_sampled(sampled)?;
                    has_finished = true;
                }
                if under_way == 0 && !has_finished {
                    break;
                }
                if under_way > 0 {
                    let Ok(result) = done.recv() else { break };
                    under_way -= 1;
                    let slot = result?;
                    on_samples(slot.voted.len() as u64);
                    board.collect(&slot)?;
                    free.push(slot);
                }
            }
            // The workers answer the last samples again, also those of a run that was stopped, whose certificates were
            // handed on.
            drop(first);
            done.iter().try_for_each(|result| result.map(drop))?;
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
fn make_slots(
    workers: &mut [Worker],
    noise_threads: usize,
    capacity: usize,
) -> Result<Vec<Slot>, BackendError> {
    let model = workers[0].model();
    let (values, has_bank) = (model.input_len(), model.has_bank());
    let inputs = model.fixed_batch().map_or(capacity, |size| capacity.next_multiple_of(size));
    let buffer = |is_needed: bool| -> Result<Vec<f32>, BackendError> {
        let mut noisy = Vec::new();
        make_room(&mut noisy, if is_needed { inputs.saturating_mul(values) } else { 0 }, inputs)?;
        Ok(noisy)
    };
    let is_ahead = noise_threads > 0;
    for worker in &mut *workers {
        worker.noisy = buffer(!is_ahead && !has_bank)?;
    }
    // One for each worker to run and one to wait for it, so that none ever sleeps while there is work: threads that wake
    // each other by turns end up on one processor.
    let count = 2 * workers.len() + 1 + 2 * noise_threads;
    (0..count).map(|_| Slot::new(capacity, inputs, buffer(is_ahead)?)).collect()
}

/// The next slot in a queue that several threads share, until the other end is gone.
fn next(queue: &Mutex<Receiver<Slot>>) -> Option<Slot> {
    queue.lock().ok()?.recv().ok()
}

/// A model that panics must end the run with an error, not leave it waiting for the slot.
fn guarded(slot: Slot, work: impl FnOnce(Slot) -> Done) -> Done {
    caught(slot.samples, || work(slot))
}

fn caught<T>(batch: usize, work: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(BackendError::Run { batch, problem: "its thread ended unexpectedly".into() }))
}
