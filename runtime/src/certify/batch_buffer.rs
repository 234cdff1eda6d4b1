use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    backend::{BackendError, make_room},
    noise::{BLOCK, Noise, NoiseKey},
    votes::Vote,
};

/// Up to one block of samples of one input.
pub(super) struct Piece {
    /// Number of the input in this run. Only the very first input of a certifier has number 0.
    pub input: u64,
    /// Index of the input in the data set.
    pub index: u64,
    /// Values of the input, C·H·W.
    pub image: Arc<[f32]>,
    /// Key of the block of noise that the samples get.
    pub key: NoiseKey,
    /// Number of samples.
    pub samples: usize,
}

/// Samples that are run together, with the memory for them. Batch buffers circulate between the scheduler, the noise
/// threads and the workers, and are reused.
pub(super) struct BatchBuffer {
    pub pieces: Vec<Piece>,
    /// Number of samples of all pieces.
    pub samples: usize,
    /// Largest number of samples.
    pub capacity: usize,
    /// Whether each piece takes the memory of a whole block, even if it has fewer samples. This is so if the engine adds
    /// the noise.
    pub counts_blocks: bool,
    /// Noisy inputs, samples × (C·H·W) values, after [`draw`](Self::draw).
    pub noisy: Vec<f32>,
    /// Vote of each sample. There are fewer votes than samples if the run stopped or the deadline passed.
    pub voted: Vec<Vote>,
    /// Deadline after which the model is not run any more.
    pub until: Option<Instant>,
    /// Time spent on drawing noise.
    pub noise: Duration,
    /// Time spent on noise and model together.
    pub work: Duration,
}

impl BatchBuffer {
    /// A buffer for up to `capacity` samples, which make at most `inputs` inputs of the model with the rows that fill
    /// up a fixed batch. `noisy` has the memory for noisy inputs if noise is drawn ahead. Otherwise that memory belongs
    /// to the worker, so that it stays near the worker's processor.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn new(capacity: usize, inputs: usize, noisy: Vec<f32>) -> Result<Self, BackendError> {
        let mut voted = Vec::new();
        make_room(&mut voted, inputs, inputs)?;
        Ok(Self {
            pieces: Vec::new(),
            samples: 0,
            capacity,
            counts_blocks: false,
            noisy,
            voted,
            until: None,
            noise: Duration::ZERO,
            work: Duration::ZERO,
        })
    }

    /// Removes all pieces and votes.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.voted.clear();
        (self.samples, self.until) = (0, None);
        (self.noise, self.work) = (Duration::ZERO, Duration::ZERO);
    }

    /// Whether the deadline has passed.
    pub fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether there is room for a piece of `samples` samples.
    pub fn has_room(&self, samples: usize) -> bool {
        if self.counts_blocks {
            (self.pieces.len() + 1) * BLOCK as usize <= self.capacity
        } else {
            self.samples + samples <= self.capacity
        }
    }

    pub fn push(&mut self, piece: Piece) {
        self.samples += piece.samples;
        self.pieces.push(piece);
    }

    /// Draws the noise of all samples and adds it to their inputs.
    pub fn draw(&mut self, noise: &Noise, fixed_batch: Option<usize>) {
        let started = Instant::now();
        let values = self.pieces.first().map_or(0, |piece| piece.image.len());
        let inputs = fixed_batch.map_or(self.samples, |size| self.samples.next_multiple_of(size));
        self.noisy.resize(inputs * values, 0.0);
        let mut rest = &mut self.noisy[..];
        for piece in &self.pieces {
            let (samples, after) = rest.split_at_mut(piece.samples * values);
            noise.add(&piece.key, &piece.image, samples);
            rest = after;
        }
        self.noise = started.elapsed();
        self.work += self.noise;
    }
}
