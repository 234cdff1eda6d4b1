//! Chooses the samples of the next batch, and counts the votes of the inputs in flight.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    iter::Fuse,
    sync::Arc,
    time::Instant,
};

use super::{
    Answer, Certificate, CertifyError, CountedVotes, Decision, Prediction, Procedure, Settings, StoppingRule,
    VoteRequest, Votes,
    batch_buffer::{BatchBuffer, Piece},
    input::check_image,
    predict,
};
use crate::{
    backend::{BackendError, InputPrecision},
    noise::{BLOCK, NoiseMode, Role},
    statistics::StatisticsError,
    votes::Vote,
};

/// Largest number of inputs in flight, so that memory does not grow with the number of inputs.
const MAX_IN_FLIGHT: usize = 1024;
/// Largest number of bytes in images and kept votes of the inputs in flight. At least four inputs are allowed.
const MAX_IN_FLIGHT_BYTES: usize = 256 << 20;

/// Purpose of the samples.
pub(super) enum Task<'a> {
    /// CERTIFY.
    Certify(&'a Procedure),
    /// PREDICT.
    Predict(&'a Settings),
    /// Vote counts only, with the fixed numbers of samples that each request asks for.
    Count(&'a Settings),
}

/// Settings that stay the same during the life of a scheduler.
pub(super) struct SchedulerSettings {
    /// Values of an input, C·H·W.
    pub values: usize,
    /// Classes of the model, K.
    pub classes: usize,
    /// Number of blocks of samples that may be in flight at once.
    pub blocks: usize,
    /// Whether the vote of each estimation sample is kept, besides the counts.
    pub keep_votes: bool,
    /// Whether inputs share their noise.
    pub noise_mode: NoiseMode,
    /// Rounding of noisy inputs before the model gets them.
    pub precision: InputPrecision,
    /// Number of the first input: 0 in the first run of a certifier, 1 in later ones.
    pub first: u64,
}

impl Task<'_> {
    fn settings(&self) -> &Settings {
        match self {
            Self::Certify(procedure) => procedure.settings(),
            Self::Predict(settings) | Self::Count(settings) => settings,
        }
    }

    fn role(&self) -> Role {
        match self {
            Self::Certify(_) | Self::Count(_) => Role::Estimation,
            Self::Predict(_) => Role::Prediction,
        }
    }

    fn rule(&self) -> &StoppingRule {
        match self {
            Self::Certify(procedure) => &procedure.settings().stop,
            Self::Predict(_) | Self::Count(_) => &StoppingRule::Fixed,
        }
    }
}

/// Samples of one role of an input, counted in the order of their blocks.
#[derive(Default)]
struct RoleVotes {
    /// Number of samples put into batch buffers.
    handed: u64,
    /// Number of samples counted, in order and without a gap.
    counted: u64,
    votes: Votes,
    /// Blocks that came back before an earlier block.
    ahead: Vec<Ahead>,
    /// The vote of every sample, if votes are kept.
    kept: Option<Vec<Vote>>,
}

struct Ahead {
    block: u64,
    asked: usize,
    votes: [Vote; BLOCK as usize],
    done: usize,
}

impl RoleVotes {
    fn new(classes: usize, keep: bool) -> Self {
        Self { votes: Votes::none(classes), kept: keep.then(Vec::new), ..Self::default() }
    }

    fn put(&mut self, block: u64, asked: usize, voted: &[Vote]) {
        let mut votes = [0; BLOCK as usize];
        votes[..voted.len()].copy_from_slice(voted);
        self.ahead.push(Ahead { block, asked, votes, done: voted.len() });
    }

    /// Counts the next block if it has come back. Returns whether all its samples were run, `None` if there is no block
    /// to count.
    fn count_next(&mut self) -> Option<bool> {
        let next = self.counted / BLOCK;
        if !self.counted.is_multiple_of(BLOCK) {
            return None;
        }
        let position = self.ahead.iter().position(|ahead| ahead.block == next)?;
        let Ahead { asked, votes, done, .. } = self.ahead.swap_remove(position);
        self.votes.count(&votes[..done]);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&votes[..done]);
        }
        self.counted += done as u64;
        Some(done == asked)
    }
}

/// An input in flight.
struct InFlight {
    index: u64,
    label: Option<usize>,
    image: Arc<[f32]>,
    seed: u64,
    n0: u64,
    n: u64,
    selection: RoleVotes,
    estimation: RoleVotes,
    /// Set when all selection samples are counted: the selected class, and the budget of estimation samples.
    chosen: Option<(Option<usize>, u64)>,
    /// The last number of estimation samples at which a bound can be computed, and the votes of these samples.
    usable: (u64, Votes),
    /// Number of samples in batch buffers that have not come back.
    under_way: u64,
    until: Option<Instant>,
    /// Whether the input needs no more samples.
    is_done: bool,
    seconds: f64,
}

/// An input with all the samples that it needs.
pub(super) struct Sampled {
    index: u64,
    label: Option<usize>,
    selection: Votes,
    estimation: Votes,
    samples: u64,
    kept: Option<Vec<Vote>>,
    seconds: f64,
}

/// Puts samples into batch buffers and collects their votes.
///
/// With the stopping rules `radius` and `precision`, blocks of different inputs are packed into one batch, from the
/// undecided input with the fewest samples first, so that batches are full until the last input is decided. With the
/// other rules, the next input is begun when the one before needs no samples at the moment. An input stops at the first
/// number of samples, in the order of its own samples, at which its rule is satisfied. Samples run beyond that are
/// dropped. So the result depends on neither batches nor threads.
pub(super) struct Scheduler<'a, I> {
    requests: Fuse<I>,
    task: Task<'a>,
    settings: SchedulerSettings,
    in_flight: VecDeque<InFlight>,
    /// Number of the first input in flight.
    first: u64,
    /// Inputs in flight that need samples: urgency (smallest first), and number of the input.
    waiting: BinaryHeap<Reverse<(u64, u64)>>,
    most_in_flight: usize,
    is_packed: bool,
}

impl<'a, I: Iterator<Item = VoteRequest>> Scheduler<'a, I> {
    /// A scheduler that takes inputs from `requests` one by one, when there is room for them.
    pub fn new(requests: I, task: Task<'a>, settings: SchedulerSettings) -> Self {
        let is_packed = matches!(&task, Task::Certify(procedure) if procedure.is_adaptive());
        let votes = if settings.keep_votes { task.settings().n.saturating_mul(2) } else { 0 };
        let bytes = (4 * settings.values.max(1)).saturating_add(votes as usize);
        let in_memory = (MAX_IN_FLIGHT_BYTES / bytes).max(4);
        let (is_packed, most_in_flight) = if task.rule().deadline().is_some() {
            // An input with a deadline must not share its time with others: such inputs are certified one at a time.
            (false, 1)
        } else if is_packed {
            (true, (2 * settings.blocks).clamp(16, MAX_IN_FLIGHT).min(in_memory))
        } else {
            (false, MAX_IN_FLIGHT.min(in_memory))
        };
        Self {
            requests: requests.fuse(),
            task,
            first: settings.first,
            settings,
            in_flight: VecDeque::new(),
            waiting: BinaryHeap::new(),
            most_in_flight,
            is_packed,
        }
    }

    /// Takes the next input, if there is one and there is room for it. Returns whether it did.
    fn open_next(&mut self) -> Result<bool, CertifyError> {
        if self.in_flight.len() >= self.most_in_flight {
            return Ok(false);
        }
        let Some(VoteRequest { input, seed, n0, n }) = self.requests.next() else { return Ok(false) };
        let SchedulerSettings { values, precision, .. } = &self.settings;
        check_image(input.index, &input.image, *values, precision, self.task.settings())?;
        let votes_of_role = |keep| RoleVotes::new(self.settings.classes, keep);
        self.waiting.push(Reverse((0, self.first + self.in_flight.len() as u64)));
        self.in_flight.push_back(InFlight {
            index: input.index,
            label: input.label,
            image: input.image.into(),
            seed,
            n0,
            n,
            selection: votes_of_role(false),
            estimation: votes_of_role(self.settings.keep_votes),
            chosen: (n0 == 0).then_some((None, n)),
            usable: (0, Votes::none(self.settings.classes)),
            under_way: 0,
            until: self.task.rule().deadline().and_then(|time| Instant::now().checked_add(time)),
            is_done: n0 == 0 && n == 0,
            seconds: 0.0,
        });
        Ok(true)
    }

    /// Fills a batch buffer with samples. Returns whether there are any.
    pub fn fill(&mut self, buffer: &mut BatchBuffer) -> Result<bool, CertifyError> {
        buffer.clear();
        loop {
            // Packing needs many inputs to choose from. Without packing, the next input is taken when the one before
            // has all its samples.
            while (self.is_packed || self.waiting.is_empty()) && self.open_next()? {}
            let Some(&Reverse((_, number))) = self.waiting.peek() else { break };
            let Some(piece) = self.next_piece(number) else {
                self.waiting.pop();
                continue;
            };
            if !buffer.has_room(piece.samples) {
                break;
            }
            let in_flight = &mut self.in_flight[(number - self.first) as usize];
            let progress = if piece.key.role == Role::Selection {
                &mut in_flight.selection
            } else {
                &mut in_flight.estimation
            };
            progress.handed += piece.samples as u64;
            in_flight.under_way += piece.samples as u64;
            buffer.until = in_flight.until;
            buffer.push(piece);
            let urgency =
                if self.is_packed { in_flight.selection.handed + in_flight.estimation.handed } else { 0 };
            self.waiting.pop();
            self.waiting.push(Reverse((urgency, number)));
        }
        Ok(buffer.samples > 0)
    }

    /// The next samples of an input, up to one block; `None` if it needs none now.
    fn next_piece(&mut self, number: u64) -> Option<Piece> {
        // The input may be finished already.
        let in_flight = self.in_flight.get_mut(number.checked_sub(self.first)? as usize)?;
        if in_flight.until.is_some_and(|until| Instant::now() >= until) {
            in_flight.is_done = true;
        }
        if in_flight.is_done {
            return None;
        }
        let (n0, n) = (in_flight.n0, in_flight.n);
        let (role, progress, total) = if in_flight.selection.handed < n0 {
            (Role::Selection, &in_flight.selection, n0)
        } else {
            let budget = match in_flight.chosen {
                Some((_, budget)) => budget,
                // The selection votes will determine the number of estimation samples.
                None if self.task.rule().waits_for_selection() => return None,
                None => n,
            };
            (self.task.role(), &in_flight.estimation, budget)
        };
        let samples = total.saturating_sub(progress.handed).min(BLOCK) as usize;
        if samples == 0 {
            return None;
        }
        let block = progress.handed / BLOCK;
        let key = self.settings.noise_mode.key(in_flight.seed, role, in_flight.index, block);
        Some(Piece { input: number, index: in_flight.index, image: in_flight.image.clone(), key, samples })
    }

    /// Collects the votes of a batch buffer.
    pub fn collect(&mut self, buffer: &BatchBuffer) -> Result<(), CertifyError> {
        let seconds = buffer.work.as_secs_f64() / buffer.samples as f64;
        let mut voted = &buffer.voted[..];
        for piece in &buffer.pieces {
            let (now, later) = voted.split_at(piece.samples.min(voted.len()));
            voted = later;
            let Some(in_flight) =
                piece.input.checked_sub(self.first).and_then(|place| self.in_flight.get_mut(place as usize))
            else {
                continue;
            };
            in_flight.seconds += seconds * piece.samples as f64;
            in_flight.under_way -= piece.samples as u64;
            if piece.key.role == Role::Selection {
                in_flight.selection.put(piece.key.block, piece.samples, now);
            } else {
                in_flight.estimation.put(piece.key.block, piece.samples, now);
            }
            let index = in_flight.index;
            self.advance(piece.input).map_err(|source| CertifyError::Statistics { index, source })?;
        }
        Ok(())
    }

    /// Counts the votes of an input in the order of its samples, as far as there is no gap, and checks whether the
    /// stopping rule is satisfied.
    fn advance(&mut self, number: u64) -> Result<(), StatisticsError> {
        let in_flight = &mut self.in_flight[(number - self.first) as usize];
        while let Some(is_whole) = in_flight.selection.count_next() {
            in_flight.is_done |= !is_whole;
        }
        if in_flight.chosen.is_none() && in_flight.selection.counted == in_flight.n0 {
            let class = in_flight.selection.votes.winner();
            let budget = if let Task::Certify(procedure) = &self.task {
                // Without a selected class no estimation samples are needed.
                in_flight.is_done |= class.is_none() && procedure.is_adaptive();
                procedure.budget(&in_flight.selection.votes)?
            } else {
                in_flight.is_done |= in_flight.n == 0;
                in_flight.n
            };
            in_flight.chosen = Some((class, budget));
            if self.task.rule().waits_for_selection() {
                self.waiting.push(Reverse((0, number)));
            }
        }
        let Some((class, budget)) = in_flight.chosen else { return Ok(()) };
        // An input that is done counts no further votes, so that the result does not depend on the order of batches.
        // With a deadline, everything that was run counts.
        let mut is_decided = in_flight.is_done && in_flight.until.is_none();
        while !is_decided && let Some(is_whole) = in_flight.estimation.count_next() {
            let RoleVotes { counted, votes, .. } = &in_flight.estimation;
            let hits = class.map_or(0, |class| votes.by_class()[class]);
            if let Task::Certify(procedure) = &self.task {
                if procedure.usable(hits, *counted) == *counted {
                    in_flight.usable.0 = *counted;
                    in_flight.usable.1.copy_from(votes);
                }
                is_decided = procedure.is_decided(hits, *counted)?;
            } else {
                in_flight.usable.0 = *counted;
                in_flight.usable.1.copy_from(votes);
            }
            is_decided |= *counted >= budget;
            in_flight.is_done |= is_decided || !is_whole;
        }
        Ok(())
    }

    /// Ends a run in which every batch buffer came back. Fails if an input got no result, which must never go unnoticed.
    pub fn finish(self) -> Result<(), CertifyError> {
        match self.in_flight.front() {
            None => Ok(()),
            Some(InFlight { index, .. }) => {
                let problem = format!("input {index} got no result");
                Err(BackendError::Run { batch: 0, problem }.into())
            }
        }
    }

    /// The next finished input in order, with its number; `None` if the first input in flight still needs samples.
    pub fn next_finished(&mut self) -> Option<(u64, Sampled)> {
        let in_flight = self.in_flight.front_mut()?;
        // Batch buffers still come back after a deadline, and their votes count as far as there is no gap.
        let is_finished = in_flight.is_done && (in_flight.until.is_none() || in_flight.under_way == 0);
        if !is_finished {
            return None;
        }
        let in_flight = self.in_flight.pop_front()?;
        let number = self.first;
        self.first += 1;
        let (samples, estimation) = in_flight.usable;
        let kept = in_flight.estimation.kept.map(|mut kept| {
            kept.truncate(samples as usize);
            kept
        });
        let sampled = Sampled {
            index: in_flight.index,
            label: in_flight.label,
            selection: in_flight.selection.votes,
            estimation,
            samples,
            kept,
            seconds: in_flight.seconds,
        };
        Some((number, sampled))
    }
}

impl Sampled {
    /// The certificate that the votes prove, and the vote of every estimation sample if votes are kept.
    pub fn certify(self, procedure: &Procedure) -> Result<(Certificate, Option<Vec<Vote>>), CertifyError> {
        let Self { index, label, selection, estimation, samples, kept, seconds } = self;
        let Decision { class, p_lower, radius } = procedure
            .decide(&selection, &estimation, samples)
            .map_err(|source| CertifyError::Statistics { index, source })?;
        let certificate =
            Certificate { index, label, class, selection, estimation, samples, p_lower, radius, seconds };
        Ok((certificate, kept))
    }

    /// The votes without a conclusion.
    pub fn counted(self) -> CountedVotes {
        let Self { index, label: _, selection, estimation, samples, kept, seconds } = self;
        CountedVotes { index, selection, estimation, samples, votes: kept.unwrap_or_default(), seconds }
    }

    /// The prediction that the votes give.
    pub fn predict(self, settings: &Settings) -> Result<Prediction, CertifyError> {
        let Self { index, label, estimation: votes, seconds, .. } = self;
        let Answer { class, p_value } = predict(&votes, settings.n, settings.alpha)
            .map_err(|source| CertifyError::Statistics { index, source })?;
        Ok(Prediction { index, label, class, votes, p_value, seconds })
    }
}

#[cfg(test)]
mod tests;
