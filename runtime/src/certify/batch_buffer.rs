use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::comparison::{Chosen, chosen};
use crate::{
    backend::{BackendError, make_room},
    noise::{BLOCK, Noise, NoiseKey},
    votes::Vote,
};

/// Up to one block of samples of one input.
pub(super) struct Piece {
    /// Number of the input among those of this run; 0 is the first that its certifier ever had.
    pub input: u64,
    /// Its index in the data set.
    pub index: u64,
    /// Its values.
    pub image: Arc<[f32]>,
    /// Noise of the samples.
    pub key: NoiseKey,
    /// Number of samples.
    pub samples: usize,
}

/// Samples to run together, with the buffers for them: they go round between the scheduler, the noise threads and the
/// models, and are used again.
pub(super) struct BatchBuffer {
    pub pieces: Vec<Piece>,
    /// Samples of all pieces.
    pub samples: usize,
    /// Most samples.
    pub capacity: usize,
    /// Whether each piece takes the room of a whole block, as where the engine adds the noise.
    pub counts_blocks: bool,
    /// Noisy inputs, samples × values of an input, once they are made.
    pub noisy: Vec<f32>,
    /// Vote of each sample; fewer than there are samples if time was up.
    pub voted: Vec<Vote>,
    /// When to stop.
    pub until: Option<Instant>,
    /// Time that making noise took.
    pub noise: Duration,
    /// Time that all of it took.
    pub work: Duration,
}

impl BatchBuffer {
    /// For up to `capacity` samples, which the model gets as `inputs` inputs at most. `noisy` is for a slot whose noise is
    /// made ahead; else it is with the instance of the model, so that it stays near its processor.
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

    /// Makes it empty again.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.voted.clear();
        (self.samples, self.until) = (0, None);
        (self.noise, self.work) = (Duration::ZERO, Duration::ZERO);
    }

    /// Whether time is up.
    pub fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether a piece of so many samples finds room.
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

    /// Writes down which samples are answered again, more of them where votes are verified.
    pub fn choose(&self, secret: Option<u64>, samples: &mut Vec<Chosen>) {
        samples.clear();
        let mut start = 0;
        for (number, piece) in self.pieces.iter().enumerate() {
            let chosen = chosen(piece, secret);
            samples.extend(chosen.map(|(position, in_other)| Chosen {
                row: start + position,
                piece: number,
                position,
                in_other,
            }));
            start += piece.samples;
        }
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
