//! Samples of a run answered again in other company: what its votes rest on is that an answer depends on its own input
//! alone.

use rand_core::Rng;

use super::slot::Piece;
use crate::{
    backend::{BackendError, Classifier, Difference, Rounding, make_room},
    certify::Vote,
    noise::{BLOCK, Role, keyed_stream},
};

/// One block in this many has a sample that is answered again.
const BLOCKS: u64 = 4;
/// One in this many of these samples is answered alone too.
const ALONE: u64 = 8;
/// Of the first block of each role of a run's first input, every sample of this number is answered again, alone too.
const FIRST: usize = 2;
/// Samples that are waited for before they are answered again, in one batch.
const BATCH: usize = 32;
/// Most samples that wait.
const ROOM: usize = 96;
/// Samples for each of which one vote may differ by rounding, beside the first few: near ties are rare.
const TIES: u64 = 10_000;
/// Votes that may differ by rounding in however few samples.
const FIRST_TIES: u64 = 2;
/// Samples for each of which one answer may differ by more: a model that jumps where rounding differs does so about as
/// often, and a run of days must not end for it.
const JUMPS: u64 = 100_000;

/// A sample of a slot that is answered again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    /// Its row among all samples of the slot.
    pub row: usize,
    /// Its piece, and its position there.
    pub piece: usize,
    pub position: usize,
    /// Whether it is to be answered alone too.
    pub is_alone: bool,
}

/// A sample of a batch that was run.
pub(super) struct Answered<'a> {
    /// The samples of its slot.
    pub pieces: &'a [Piece],
    /// Which of them it is.
    pub chosen: Chosen,
    /// Its noisy input.
    pub input: &'a [f32],
    /// The vote that is counted.
    pub vote: Vote,
    /// The logits that the vote was read from; `None` from an engine that gives votes only.
    pub logits: Option<&'a [f32]>,
}

/// A sample that waits to be answered again.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Index of its input in the data set.
    index: u64,
    role: Role,
    /// Its number among the samples of its role.
    number: u64,
    vote: Vote,
    /// Whether its logits are known, not its vote alone.
    has_logits: bool,
    is_alone: bool,
}

/// Answers a share of the samples of one instance of a model again, alone and in another batch, order and position, and
/// compares votes and logits.
///
/// The samples are chosen by a stream keyed by seed, role, input and block, so that the same run chooses the same ones,
/// whatever its batches and threads: one sample of every fourth block, that is one in 256, of which one in eight is
/// answered alone too; and half of the first block of each role of the run's first input, all of them alone too.
pub(super) struct Comparison {
    tally: Tally,
    samples: Vec<Sample>,
    /// Noisy inputs of the samples, and their logits.
    inputs: Vec<f32>,
    logits: Vec<f32>,
    /// Buffers for the inputs in their new order, for one input alone, and for answers.
    again: Vec<f32>,
    room: Vec<f32>,
    answers: Vec<f32>,
}

/// What came of the comparisons.
struct Tally {
    rounding: Rounding,
    compared: u64,
    /// Other votes between near ties.
    ties: u64,
    /// Other answers.
    jumps: u64,
}

/// The samples of a piece that are answered again: the position of each, and whether alone too.
pub(super) fn chosen(piece: &Piece) -> impl Iterator<Item = (usize, bool)> + use<> {
    let (key, samples) = (&piece.key, piece.samples);
    let mut stream = keyed_stream(
        "mithridate comparison of samples v1",
        &[key.seed, key.role as u64, piece.index, key.block],
    );
    let is_drawn = stream.next_u64().is_multiple_of(BLOCKS);
    let position = (stream.next_u64() % BLOCK) as usize;
    let is_alone = stream.next_u64().is_multiple_of(ALONE);
    let is_first = piece.input == 0 && key.block == 0;
    let first = (0..samples).step_by(FIRST).filter(move |_| is_first).map(|position| (position, true));
    first.chain((!is_first && is_drawn && position < samples).then_some((position, is_alone)))
}

impl Comparison {
    /// For a model; takes all memory it needs.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn new(model: &dyn Classifier) -> Result<Self, BackendError> {
        let (len, classes, alone) = (model.input_len(), model.classes(), model.fixed_batch().unwrap_or(1));
        let batch = ROOM.next_multiple_of(alone);
        let room = |inputs: usize, values: usize| -> Result<Vec<f32>, BackendError> {
            let mut room = Vec::new();
            make_room(&mut room, inputs.saturating_mul(values), inputs)?;
            room.clear();
            Ok(room)
        };
        let rounding = Rounding::new(model.rounding());
        Ok(Self {
            tally: Tally { rounding, compared: 0, ties: 0, jumps: 0 },
            samples: Vec::with_capacity(ROOM),
            inputs: room(ROOM, len)?,
            logits: room(ROOM, classes)?,
            again: room(batch, len)?,
            room: room(alone, len)?,
            answers: room(batch, classes)?,
        })
    }

    /// Samples compared so far.
    pub fn compared(&self) -> u64 {
        self.tally.compared
    }

    /// Takes up a sample. Where there is no more room, those that wait are answered again first; `batch` is the most
    /// inputs that the model is given at once.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn add(
        &mut self,
        model: &mut dyn Classifier,
        batch: usize,
        answered: &Answered<'_>,
    ) -> Result<(), BackendError> {
        if self.samples.len() == ROOM {
            self.finish(model, batch)?;
        }
        let &Answered { pieces, chosen: Chosen { piece, position, is_alone, .. }, input, vote, logits } =
            answered;
        let piece = &pieces[piece];
        self.samples.push(Sample {
            index: piece.index,
            role: piece.key.role,
            number: piece.key.block * BLOCK + position as u64,
            vote,
            has_logits: logits.is_some(),
            is_alone,
        });
        self.inputs.extend_from_slice(input);
        if let Some(logits) = logits {
            self.tally.rounding.see(logits);
            self.logits.extend_from_slice(logits);
        } else {
            self.logits.resize(self.logits.len() + model.classes(), 0.0);
        }
        Ok(())
    }

    /// Answers the samples that wait again, if they are enough for a batch.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn go_on(&mut self, model: &mut dyn Classifier, batch: usize) -> Result<(), BackendError> {
        if self.samples.len() >= BATCH { self.finish(model, batch) } else { Ok(()) }
    }

    /// Answers the samples that wait again.
    ///
    /// # Errors
    /// [`BackendError::Dependent`] if a sample was answered otherwise; else what the model fails with.
    pub fn finish(&mut self, model: &mut dyn Classifier, batch: usize) -> Result<(), BackendError> {
        let (count, len, classes) = (self.samples.len(), model.input_len(), model.classes());
        if count == 0 {
            return Ok(());
        }
        // In a batch of one there are no others to depend on, and every sample is answered alone.
        let is_single = model.fixed_batch().unwrap_or(batch) == 1;
        let samples = self.samples.iter().zip(self.inputs.chunks(len)).zip(self.logits.chunks(classes));
        for ((sample, input), logits) in samples.filter(|((sample, _), _)| is_single || sample.is_alone) {
            model.alone(input, &mut self.room, &mut self.answers)?;
            let how = if is_single { Company::Again } else { Company::Alone };
            self.tally.check(sample, logits, self.answers.get(..classes).unwrap_or_default(), how)?;
        }
        if !is_single {
            self.run_reversed(model, batch)?;
        }
        self.tally.compared += count as u64;
        self.samples.clear();
        self.inputs.clear();
        self.logits.clear();
        Ok(())
    }

    /// Answers them in reverse order, so that each has other neighbours and another position. What fills up the last
    /// batch of a model with a fixed one are some of them again.
    fn run_reversed(&mut self, model: &mut dyn Classifier, batch: usize) -> Result<(), BackendError> {
        let (count, len, classes) = (self.samples.len(), model.input_len(), model.classes());
        let (size, rows) = match model.fixed_batch() {
            Some(size) => (size, count.next_multiple_of(size)),
            None => (batch.min(count), count),
        };
        self.again.clear();
        for row in 0..rows {
            self.again.extend_from_slice(&self.inputs[(count - 1 - row % count) * len..][..len]);
        }
        for (number, inputs) in self.again.chunks(size * len).enumerate() {
            model.logits(inputs, &mut self.answers)?;
            for (row, answer) in (number * size..count).zip(self.answers.chunks(classes)) {
                let place = count - 1 - row;
                let logits = &self.logits[place * classes..][..classes];
                self.tally.check(&self.samples[place], logits, answer, Company::OtherBatch)?;
            }
        }
        Ok(())
    }
}

/// How a sample was answered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Alone,
    OtherBatch,
    /// In a batch of one, as before.
    Again,
}

impl Tally {
    fn check(
        &mut self,
        sample: &Sample,
        logits: &[f32],
        answer: &[f32],
        company: Company,
    ) -> Result<(), BackendError> {
        self.rounding.see(answer);
        let difference = if sample.has_logits {
            self.rounding.compare(logits, answer)
        } else {
            self.rounding.compare_vote(sample.vote, answer)
        };
        let problem = match difference {
            None => return Ok(()),
            Some(Difference::Vote) => {
                self.ties += 1;
                if self.ties <= FIRST_TIES + self.compared / TIES {
                    return Ok(());
                }
                format!("{} votes of {} differ, each between near ties", self.ties, self.compared)
            }
            Some(Difference::Answer { difference, allowed }) => {
                self.jumps += 1;
                if self.jumps <= self.compared / JUMPS {
                    return Ok(());
                }
                format!("its logits differ by {difference:.3e}, and by rounding at most {allowed:.3e}")
            }
        };
        let (what, advice) = match company {
            Company::Alone => ("alone", OTHERS),
            Company::OtherBatch => ("in another batch", OTHERS),
            Company::Again => ("when it is run again", RANDOM),
        };
        Err(BackendError::Dependent {
            index: sample.index,
            role: sample.role.name(),
            number: sample.number,
            problem: format!("gets another answer {what} ({problem}): {advice}"),
        })
    }
}

/// What an answer that depends on the others of a batch means.
const OTHERS: &str = "the model's answer to an input depends on the others in its batch, or is random, so that votes \
                      prove nothing; certify it with --batch 1";
/// What another answer in a batch of one means.
const RANDOM: &str =
    "the model draws random numbers, so that no result could be verified; export it in inference mode";

#[cfg(test)]
mod tests;
