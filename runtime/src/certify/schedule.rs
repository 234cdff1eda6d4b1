use std::sync::Arc;

use super::Input;
use crate::noise::{BLOCK, NoiseKey, NoiseMode, Role};

/// Up to one block of samples of one input.
pub(super) struct Piece {
    /// Number of the input in this run.
    pub input: u64,
    /// Its values.
    pub image: Arc<[f32]>,
    /// Noise of the samples.
    pub key: NoiseKey,
    /// Number of samples.
    pub samples: usize,
}

/// Samples to run together.
#[derive(Default)]
pub(super) struct Batch {
    pub pieces: Vec<Piece>,
    pub samples: usize,
}

/// Samples of one role, so many for each input.
pub(super) type Phase = (Role, u64);

/// An input that still has samples to hand out.
struct Current {
    number: u64,
    index: u64,
    image: Arc<[f32]>,
    phase: usize,
    block: u64,
}

/// Cuts the samples of all inputs into batches, in order: the samples of the first phase of an input, those of its
/// next phase, then the next input.
pub(super) struct Schedule<I> {
    inputs: I,
    phases: Vec<Phase>,
    noise: (u64, NoiseMode),
    batch: usize,
    current: Option<Current>,
    next_number: u64,
}

impl<I: Iterator<Item = Input>> Schedule<I> {
    /// Each phase has at least one sample.
    pub fn new(inputs: I, phases: Vec<Phase>, noise: (u64, NoiseMode), batch: usize) -> Self {
        Self { inputs, phases, noise, batch: batch.max(BLOCK as usize), current: None, next_number: 0 }
    }

    /// The next batch, and every input that starts in it, by its number in this run.
    pub fn next_batch(&mut self, mut on_start: impl FnMut(u64, &Input)) -> Option<Batch> {
        let mut batch = Batch::default();
        loop {
            if self.current.is_none() {
                let Some(input) = self.inputs.next() else { break };
                on_start(self.next_number, &input);
                self.current = Some(Current {
                    number: self.next_number,
                    index: input.index,
                    image: input.image.into(),
                    phase: 0,
                    block: 0,
                });
                self.next_number += 1;
            }
            let Some(current) = &mut self.current else { break };
            let Some(&(role, total)) = self.phases.get(current.phase) else {
                self.current = None;
                continue;
            };
            let samples = (total - current.block * BLOCK).min(BLOCK) as usize;
            if batch.samples + samples > self.batch {
                break;
            }
            batch.samples += samples;
            let (seed, mode) = self.noise;
            batch.pieces.push(Piece {
                input: current.number,
                image: current.image.clone(),
                key: mode.key(seed, role, current.index, current.block),
                samples,
            });
            current.block += 1;
            if current.block * BLOCK >= total {
                current.block = 0;
                current.phase += 1;
            }
        }
        (batch.samples > 0).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_sample_is_handed_out_once_in_full_batches(
            n0 in 1_u64..300, n in 1_u64..700, inputs in 1_u64..6, batch in 1_usize..500
        ) {
            let phases = vec![(Role::Selection, n0), (Role::Estimation, n)];
            let list = (0..inputs).map(|index| Input { index: 100 + index, label: None, image: vec![0.0] });
            let mut schedule = Schedule::new(list, phases, (0, NoiseMode::Independent), batch);
            let mut seen: BTreeMap<(u64, bool), Vec<(u64, usize)>> = BTreeMap::new();
            let mut started = 0;
            while let Some(batch) = schedule.next_batch(|_, _| started += 1) {
                prop_assert!(batch.samples <= schedule.batch);
                prop_assert_eq!(batch.samples, batch.pieces.iter().map(|piece| piece.samples).sum::<usize>());
                for piece in batch.pieces {
                    prop_assert_eq!(piece.key.input, 100 + piece.input);
                    seen.entry((piece.input, piece.key.role == Role::Estimation))
                        .or_default()
                        .push((piece.key.block, piece.samples));
                }
            }
            prop_assert_eq!(started, inputs);
            prop_assert_eq!(seen.len() as u64, 2 * inputs);
            for ((_, estimation), blocks) in seen {
                let total = if estimation { n } else { n0 };
                prop_assert_eq!(blocks.iter().map(|block| block.1 as u64).sum::<u64>(), total);
                for (position, (block, samples)) in blocks.iter().enumerate() {
                    prop_assert_eq!(*block, position as u64);
                    prop_assert!(*samples == BLOCK as usize || position + 1 == blocks.len());
                }
            }
        }
    }
}
