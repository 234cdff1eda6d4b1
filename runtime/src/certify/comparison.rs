//! Samples of a run answered again in other company: what its votes rest on is that an answer depends on its own input
//! alone.

use std::collections::BTreeMap;

use rand_core::Rng;

use super::batch_buffer::Piece;
use crate::{
    backend::{BackendError, Classifier, Difference, Rounding, SINGLE, make_room},
    certify::Vote,
    noise::{BLOCK, Role, keyed_stream},
};

/// Blocks of a run with one sample that is answered again alone: one in this many.
const ALONE: u64 = 8;
/// Samples of the first block of each role of every input that are answered alone.
const FIRST: usize = 2;
/// The same for the first input of a run.
const FIRST_INPUT: usize = 32;
/// Samples of every block that are answered alone where votes are verified.
const DENSE: usize = 4;
/// Of the samples that are answered alone, one in this many is answered in another batch too.
const OTHER_BATCH: u64 = 2;
/// Samples that are waited for before they are answered again, in one batch.
const BATCH: usize = 32;
/// Most samples that wait.
const ROOM: usize = 96;
/// Most bytes of inputs that wait, but for a few.
const ROOM_BYTES: usize = 16 << 20;
/// Samples that may wait however large they are.
const LEAST_ROOM: usize = 8;
/// Samples for each of which one vote may differ by rounding in single precision: near ties are rare.
const TIES: u64 = 2_000;
/// The same for other arithmetic, in which they are less so.
const TIES_HALF: u64 = 100;
/// Chance that near ties at that rate, of one input, are more than are allowed.
const SUSPICIOUS: f64 = 1e-5;
/// Inputs whose answers are counted by themselves, at once.
const MOST_INPUTS: usize = 256;
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
    /// Whether it is to be answered in another batch too, not alone only.
    pub in_other: bool,
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
    /// Number of its input in the run, and index in the data set.
    input: u64,
    index: u64,
    role: Role,
    /// Its number among the samples of its role.
    number: u64,
    vote: Vote,
    /// Whether its logits are known, not its vote alone.
    has_logits: bool,
    /// Whether it is to be answered in another batch too.
    in_other: bool,
}

/// Answers a share of the samples of one instance of a model again, alone, and some of them in another batch, order and
/// position too, and compares votes and logits.
///
/// The samples are chosen by a stream keyed by seed, role, input and block, so that the same run chooses the same ones,
/// whatever its batches and threads: one sample of every eighth block, that is one in 512; two of the first block of each
/// role of every input, for a model may be made to misbehave for one input only; 32 of these of the run's first input. Every second
/// of them is answered in another batch too. Where votes are verified it is four samples of every block.
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
    /// Samples in their order in another batch.
    order: Vec<usize>,
    /// Most samples that wait.
    most: usize,
}

/// What came of the comparisons.
struct Tally {
    rounding: Rounding,
    /// Samples for each of which one vote may differ by rounding.
    for_each_tie: u64,
    compared: u64,
    /// Other votes between near ties.
    ties: u64,
    /// Other answers.
    jumps: u64,
    /// The same for the inputs of late, by their numbers: a model that answers one input otherwise must not pass for one
    /// that rounds otherwise now and then.
    inputs: BTreeMap<u64, OfInput>,
}

/// Answers to samples of one input.
#[derive(Clone, Copy, Debug, Default)]
struct OfInput {
    compared: u64,
    /// Other votes between near ties.
    ties: u64,
}

/// The samples of a piece that are answered again, in their order: the position of each, and whether in another batch too.
/// Where votes are verified, `secret` is a number that nobody knew when the model was made.
pub(super) fn chosen(piece: &Piece, secret: Option<u64>) -> impl Iterator<Item = (usize, bool)> + use<> {
    let (key, samples) = (&piece.key, piece.samples);
    let mut stream = keyed_stream(
        "mithridate comparison of samples v2",
        &[key.seed, key.role as u64, piece.index, key.block, secret.unwrap_or(0)][..4 + secret.iter().len()],
    );
    let wanted = match (secret, key.block, piece.input) {
        (Some(_), ..) => DENSE,
        (None, 0, 0) => FIRST_INPUT,
        (None, 0, _) => FIRST,
        (None, ..) => usize::from(stream.next_u64().is_multiple_of(ALONE)),
    };
    // One of each of as many equal parts of the block.
    let part = BLOCK as usize / wanted.max(1);
    (0..wanted)
        .map(move |number| {
            let position = number * part + (stream.next_u64() % part as u64) as usize;
            (position, stream.next_u64().is_multiple_of(OTHER_BATCH))
        })
        .filter(move |&(position, _)| position < samples)
}

impl Comparison {
    /// For a model; takes all memory it needs.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn new(model: &dyn Classifier) -> Result<Self, BackendError> {
        let (len, classes, alone) = (model.input_len(), model.classes(), model.fixed_batch().unwrap_or(1));
        let most = (ROOM_BYTES / (4 * len.max(1))).clamp(LEAST_ROOM, ROOM);
        let batch = most.next_multiple_of(alone);
        let room = |inputs: usize, values: usize| -> Result<Vec<f32>, BackendError> {
            let mut room = Vec::new();
            make_room(&mut room, inputs.saturating_mul(values), inputs)?;
            room.clear();
            Ok(room)
        };
        let relative = model.rounding();
        let for_each_tie = if relative > SINGLE { TIES_HALF } else { TIES };
        let rounding = Rounding::new(relative);
        Ok(Self {
            tally: Tally { rounding, for_each_tie, compared: 0, ties: 0, jumps: 0, inputs: BTreeMap::new() },
            samples: Vec::with_capacity(most),
            inputs: room(most, len)?,
            logits: room(most, classes)?,
            again: room(batch, len)?,
            room: room(alone, len)?,
            answers: room(batch, classes)?,
            order: Vec::with_capacity(most),
            most,
        })
    }

    /// Samples compared so far.
    pub fn compared(&self) -> u64 {
        self.tally.compared
    }

    /// The lowest number of an input that has samples waiting; `u64::MAX` if none wait.
    pub fn first_waiting(&self) -> u64 {
        self.samples.iter().map(|sample| sample.input).min().unwrap_or(u64::MAX)
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
        if self.samples.len() == self.most {
            self.finish(model, batch)?;
        }
        let &Answered { pieces, chosen: Chosen { piece, position, in_other, .. }, input, vote, logits } =
            answered;
        let piece = &pieces[piece];
        self.samples.push(Sample {
            input: piece.input,
            index: piece.index,
            role: piece.key.role,
            number: piece.key.block * BLOCK + position as u64,
            vote,
            has_logits: logits.is_some(),
            in_other,
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
        if self.samples.len() >= BATCH.min(self.most) { self.finish(model, batch) } else { Ok(()) }
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
        // In a batch of one there are no others to depend on.
        let is_single = model.fixed_batch().unwrap_or(batch) == 1;
        let how = if is_single { Company::Again } else { Company::Alone };
        let samples = self.samples.iter().zip(self.inputs.chunks(len)).zip(self.logits.chunks(classes));
        for ((sample, input), logits) in samples {
            model.alone(input, &mut self.room, &mut self.answers)?;
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

    /// Answers those that are to be in reverse order, so that each has other neighbours and another position. What fills up
    /// the last batch of a model with a fixed one are some of them again.
    fn run_reversed(&mut self, model: &mut dyn Classifier, batch: usize) -> Result<(), BackendError> {
        let (len, classes) = (model.input_len(), model.classes());
        self.order.clear();
        self.order.extend((0..self.samples.len()).rev().filter(|&place| self.samples[place].in_other));
        let count = self.order.len();
        if count == 0 {
            return Ok(());
        }
        let (size, rows) = match model.fixed_batch() {
            Some(size) => (size, count.next_multiple_of(size)),
            None => (batch.min(count), count),
        };
        self.again.clear();
        for row in 0..rows {
            self.again.extend_from_slice(&self.inputs[self.order[row % count] * len..][..len]);
        }
        for (number, inputs) in self.again.chunks(size * len).enumerate() {
            model.logits(inputs, &mut self.answers)?;
            for (row, answer) in (number * size..count).zip(self.answers.chunks(classes)) {
                let place = self.order[row];
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
        if self.inputs.len() >= MOST_INPUTS && !self.inputs.contains_key(&sample.input) {
            // Inputs come in order.
            self.inputs.pop_first();
        }
        let of_input = self.inputs.entry(sample.input).or_default();
        of_input.compared += 1;
        let problem = match difference {
            None => return Ok(()),
            Some(Difference::Vote) => {
                self.ties += 1;
                of_input.ties += 1;
                let few_of_all = self.ties <= self.compared / self.for_each_tie;
                if few_of_all && of_input.ties <= most_ties(of_input.compared, self.for_each_tie) {
                    return Ok(());
                }
                if few_of_all {
                    let OfInput { compared, ties } = of_input;
                    format!("{ties} votes of {compared} of this input differ, each between near ties")
                } else {
                    let compared = self.compared + 1;
                    format!("{} votes of about {compared} differ, each between near ties", self.ties)
                }
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

/// Most near ties among so many samples of one input, of which each is one with probability 1 / `for_each_tie`: the least
/// number that is exceeded with probability [`SUSPICIOUS`] at most.
fn most_ties(compared: u64, for_each_tie: u64) -> u64 {
    let p = 1.0 / for_each_tie as f64;
    // Binomial probabilities, one after the other.
    let mut probability = (1.0 - p).powf(compared as f64);
    let mut more = 1.0 - probability;
    let mut ties = 0;
    while more > SUSPICIOUS && ties < compared {
        probability *= (compared - ties) as f64 / (ties + 1) as f64 * p / (1.0 - p);
        ties += 1;
        more -= probability;
    }
    ties
}

/// What an answer that depends on the others of a batch means.
const OTHERS: &str = "the model's answer to an input depends on the others in its batch, or is random, so that votes \
                      prove nothing; certify it with `batch` 1";
/// What another answer in a batch of one means.
const RANDOM: &str =
    "the model draws random numbers, so that no result could be verified; export it in inference mode";

#[cfg(test)]
mod tests;
