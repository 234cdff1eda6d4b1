use std::path::Path;

use serde::Serialize;
use statrs::{
    distribution::{ContinuousCDF, Normal},
    function::beta::beta_reg,
};

use super::{
    Change, Evidence, EvidenceError, ExternalSource, Header, KeptVotes, Recertification, Record, challenge,
    read::read_evidence,
    recertification,
    walk::{Fault, Walk},
};
use crate::{
    certify::{Certificate, Procedure, Votes},
    data::Dataset,
    files,
    noise::Distribution,
    statistics::{Radii, StatisticsError},
};

/// Something in an evidence file that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Number of the line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What does not hold.
    pub problem: String,
}

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verification {
    /// The header, if the file has one that can be read.
    pub header: Option<Header>,
    /// Inputs whose numbers were computed again from their votes.
    pub records: Vec<Record>,
    /// Last value of the hash chain: names the result of the run.
    pub chain: String,
    /// Everything that does not hold, line by line.
    pub problems: Vec<Problem>,
}

/// Most trials for which the second computation of a bound is known to be accurate.
const MOST_TRIALS: u64 = 10_000_000;

/// Relative error allowed to the upper tail of the normal distribution in the second computation of a radius, three times
/// the largest measured (1.03e-10 of 4,000,000 points).
const TAIL_ERROR: f64 = 3e-10;

/// Checks an evidence file: form, hash chain, order, totals, and every class, bound and radius, computed again from the
/// votes. Bounds and radii are checked in a second way too, which shares no code with the first: the upper tail of the
/// binomial distribution at the bound must be at most α, and the normal distribution function at the radius at most the
/// bound.
///
/// # Errors
/// [`EvidenceError::Read`] if the file can't be read. Whatever it holds is no error but a [`Problem`].
pub fn verify(path: &Path) -> Result<Verification, EvidenceError> {
    let bytes = files::read(path).map_err(|source| EvidenceError::Read { path: path.to_owned(), source })?;
    let (text, broken) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        // What is broken is no valid line either, and is said of its line.
        Err(error) => {
            let whole = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = whole.split(|&byte| byte == b'\n').count();
            let problem = "it holds bytes that are no UTF-8 text; it was changed".to_owned();
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(Problem { line, problem }))
        }
    };
    let walk = match Walk::new(&text) {
        Ok(walk) => walk,
        Err(Fault { line, problem }) => {
            let problems = broken.into_iter().chain([Problem { line, problem }]).collect();
            return Ok(Verification { header: None, records: Vec::new(), chain: String::new(), problems });
        }
    };
    let mut problems: Vec<Problem> = walk
        .faults
        .iter()
        .map(|Fault { line, problem }| Problem { line: *line, problem: problem.clone() })
        .chain(broken)
        .collect();
    let mut add = |line: usize, problem: String| problems.push(Problem { line, problem });
    match Procedure::new(walk.header.settings.clone()) {
        Ok(procedure) => {
            for (record, &line) in walk.records.iter().zip(&walk.lines) {
                check_record(record, &walk.header, &procedure, |problem| add(line, problem));
            }
        }
        Err(error) => add(1, error.to_string()),
    }
    check_claim(&walk.header, |problem| add(1, problem));
    challenge::check(&walk.header, |problem| add(1, problem));
    if walk.is_torn {
        add(0, "its last line has no end: it was cut off".into());
    } else if walk.footer.is_none() {
        let (found, expected) = (walk.records.len(), walk.header.inputs());
        add(0, format!("it is not finished: it holds {found} of {expected} inputs and no footer"));
    }
    problems.sort_by_key(|problem| problem.line);
    let chain = walk.encoder.chain().to_owned();
    Ok(Verification { header: Some(walk.header), records: walk.records, chain, problems })
}

/// Compares the claim about all inputs with the settings of the run.
fn check_claim(header: &Header, mut add: impl FnMut(String)) {
    if let Some(from) = &header.recertification {
        let expected = from.alpha.get() + from.alpha_change.get();
        if header.settings.alpha.get() != expected || header.settings.seed == from.seed {
            add("its alpha is not that of the earlier run and of changes together, or its noise not fresh"
                .into());
        }
    }
    let Some(claim) = &header.simultaneous else { return };
    if claim.inputs != header.selection.count {
        add(format!(
            "its claim is about {} inputs at once, and {} were selected",
            claim.inputs, header.selection.count
        ));
    }
    match claim.alpha_each() {
        Ok(alpha) if alpha == header.settings.alpha => {}
        Ok(alpha) => add(format!("its alpha is {} and must be {alpha} for its claim", header.settings.alpha)),
        Err(error) => add(error.to_string()),
    }
}

/// Compares a record with what its votes prove.
fn check_record(record: &Record, header: &Header, procedure: &Procedure, mut add: impl FnMut(String)) {
    let model = &header.model;
    let Record { label, selection, estimation, .. } = record;
    if label.is_some() == header.data.labels_sha256.is_empty() {
        let what = if label.is_some() {
            "a label, and the data had none"
        } else {
            "no label, and the data had labels"
        };
        add(format!("it has {what} by the header"));
    }
    if let Some(label) = label.filter(|label| *label >= model.classes) {
        add(format!("its label is {label} and there are {} classes", model.classes));
    }
    if !header.selection.classes.is_empty()
        && !label.is_some_and(|label| header.selection.classes.contains(&label))
    {
        let label = in_words(*label);
        add(format!("its label {label} is not among the classes that the header says were selected"));
    }
    for (name, votes) in [("selection", selection), ("estimation", estimation)] {
        if votes.by_class().len() != model.classes {
            add(format!("it has {} {name} votes for {} classes", votes.by_class().len(), model.classes));
        }
    }
    if header.keeps_votes != record.votes_sha256.is_some() {
        add("whether its votes were kept is not what the header says".into());
    }
    let decision = match (&header.recertification, &record.change) {
        (Some(from), Some(change)) => incremental(record, header, from, change),
        _ => procedure.decide(selection, estimation, record.samples),
    };
    match &header.recertification {
        Some(_) => recertification::check(record, header, &mut add),
        None if record.change.is_some() => {
            add("it rests on an earlier model, and the header names none".into());
        }
        None => {}
    }
    let (class, p_lower, radius) = match decision {
        Ok(decision) => decision,
        Err(error) => return add(error.to_string()),
    };
    let certificate = Certificate {
        index: record.index,
        label: *label,
        class,
        selection: selection.clone(),
        estimation: estimation.clone(),
        samples: record.samples,
        p_lower,
        radius,
        seconds: record.seconds,
    };
    let expected = Record::new(certificate, header);
    let json = |radii: &Option<Radii>| serde_json::to_string(radii).unwrap_or_default();
    for (name, found, expected) in [
        ("class", in_words(record.class), in_words(expected.class)),
        ("p_lower", record.p_lower.to_string(), expected.p_lower.to_string()),
        ("radius", record.radius.to_string(), expected.radius.to_string()),
        ("radii in other norms", json(&record.radii), json(&expected.radii)),
        ("abstained", record.abstained.to_string(), expected.abstained.to_string()),
    ] {
        if found != expected {
            add(format!("its {name} is {found} and its votes give {expected}"));
        }
    }
    check_otherwise(record, header, add);
}

fn in_words(class: Option<usize>) -> String {
    class.map_or_else(|| "none".to_owned(), |class| class.to_string())
}

/// Class, bound and radius of a record that rests on the bound of an earlier model.
#[allow(clippy::type_complexity)]
fn incremental(
    record: &Record,
    header: &Header,
    from: &Recertification,
    change: &Change,
) -> Result<(Option<usize>, f64, Option<f64>), StatisticsError> {
    let Record { selection, estimation, samples, .. } = record;
    for (votes, most) in [(selection.total(), header.settings.n0), (estimation.total(), *samples)] {
        if votes > most {
            return Err(StatisticsError::MoreHitsThanTrials { hits: votes, trials: most });
        }
    }
    if *samples != from.replayed {
        return Err(StatisticsError::NotAMoment { samples: *samples });
    }
    // Samples that the class lost do not vote for it now, and changed.
    let class = selection.winner();
    let hits = class.and_then(|class| estimation.by_class().get(class)).copied().unwrap_or(0);
    if change.lost > change.changed || change.changed > *samples || change.lost > samples.saturating_sub(hits)
    {
        return Err(StatisticsError::MoreHitsThanTrials {
            hits: change.changed.max(change.lost),
            trials: *samples,
        });
    }
    let p_lower = change.bound(*samples, from.alpha_change)?;
    Ok((class, p_lower, header.settings.radius(p_lower)))
}

/// The bound by the definition of Clopper and Pearson, the radius by that of Cohen et al.
fn check_otherwise(record: &Record, header: &Header, mut add: impl FnMut(String)) {
    let (alpha, sigma) = (header.settings.alpha.get(), header.settings.sigma.get());
    let Record { p_lower, radius, .. } = *record;
    let hits = record.class.and_then(|class| record.estimation.by_class().get(class)).copied().unwrap_or(0);
    let trials = record.samples;
    // That of an earlier model is not of these votes.
    let known = record.change.is_none()
        && (1..=trials).contains(&hits)
        && trials <= MOST_TRIALS
        && p_lower > 0.0
        && p_lower < 1.0;
    if known {
        // P[X ≥ k] for X ~ Binomial(n, p) is the incomplete beta function I_p(k, n − k + 1).
        let tail = beta_reg(hits as f64, (trials - hits) as f64 + 1.0, p_lower);
        if tail.is_nan() || tail > alpha * (1.0 + 1e-6) {
            add(format!(
                "{hits} or more votes of {trials} have probability {tail} at its p_lower, more than alpha {alpha}"
            ));
        }
    } else if record.change.is_none() && hits == 0 && p_lower > 0.0 {
        add(format!("its p_lower is {p_lower} without a vote for its class"));
    }
    // The most probability that the other classes may have.
    let others = match header.settings.distribution {
        Distribution::Gaussian | Distribution::QuantizedGaussian => Normal::standard().sf(radius / sigma),
        // Half the width of the noise is σ·√3, drawn in single precision.
        Distribution::Uniform => 0.5 - radius / (2.0 * f64::from((3.0_f64.sqrt() * sigma) as f32)),
    };
    if radius > 0.0 && (others.is_nan() || others < (1.0 - p_lower) * (1.0 - TAIL_ERROR) - f64::EPSILON) {
        let reach = 1.0 - others;
        add(format!("its radius {radius} needs a probability of {reach} and its p_lower is {p_lower}"));
    }
}

impl Verification {
    /// Checks the votes kept beside the file: that they have the hashes, and the counts, of the evidence.
    pub fn check_votes(&mut self, path: &Path) {
        let mut kept = match KeptVotes::open(path) {
            Ok(kept) => kept,
            Err(error) => return self.add(0, in_one_line(&error)),
        };
        let mut found = Vec::new();
        for (number, record) in self.records.iter().enumerate() {
            match kept.get(record.index, record.samples, record.votes_sha256.as_deref()) {
                Ok(votes) => {
                    let mut counts = vec![0_u64; record.estimation.by_class().len()];
                    for vote in votes {
                        if let Some(count) = counts.get_mut(usize::from(vote)) {
                            *count += 1;
                        }
                    }
                    if counts != record.estimation.by_class() {
                        found.push((number + 2, "its votes one by one add up to other numbers".to_owned()));
                    }
                }
                Err(error) => found.push((number + 2, in_one_line(&error))),
            }
        }
        if let Err(error) = kept.is_of(&self.records) {
            found.push((0, in_one_line(&error)));
        }
        for (line, problem) in found {
            self.add(line, problem);
        }
    }

    /// Checks that certificates for a changed model rest on this run of the model before, and that run for itself.
    ///
    /// # Errors
    /// [`EvidenceError`] if that run can't be read.
    pub fn check_from(&mut self, path: &Path) -> Result<(), EvidenceError> {
        let found = verify(path)?;
        for Problem { line, problem } in &found.problems {
            let place = if *line == 0 { String::new() } else { format!("line {line}: ") };
            self.add(1, format!("the run of the earlier model does not hold: {place}{problem}"));
        }
        if found.holds() {
            self.compare_with(&read_evidence(path)?);
        }
        Ok(())
    }

    fn compare_with(&mut self, old: &Evidence) {
        let Some(from) = self.header.as_ref().and_then(|header| header.recertification.clone()) else {
            return self.add(1, "it does not rest on the run of an earlier model".into());
        };
        let there = Recertification {
            from: old.footer.chain.clone(),
            from_model_sha256: old.header.model.sha256.clone(),
            alpha: old.header.settings.alpha,
            alpha_change: from.alpha_change,
            seed: old.header.settings.seed,
            n: old.header.settings.n,
            replayed: from.replayed,
        };
        if from != there {
            self.add(1, "the run of the earlier model that it names is another one".into());
        }
        let mut found = Vec::new();
        for (number, record) in self.records.iter().enumerate() {
            let before = old.records.iter().find(|before| before.index == record.index);
            let is_same = before.is_some_and(|before| {
                before.selection == record.selection
                    && record.change.as_ref().is_none_or(|change| change.p_lower == before.p_lower)
            });
            if !is_same {
                found.push((
                    number + 2,
                    "the run of the earlier model has other votes or another bound".to_owned(),
                ));
            }
        }
        for (line, problem) in found {
            self.add(line, problem);
        }
    }

    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, line: usize, problem: String) {
        self.problems.push(Problem { line, problem });
    }

    /// Checks that the model is the one that was certified, by the SHA-256 of its file and of its files of weights.
    pub fn check_model(&mut self, sha256: &str, external: &[ExternalSource]) {
        let Some(header) = self.header.clone() else { return };
        let certified = &header.model;
        if certified.sha256 != sha256 {
            let problem =
                format!("the model's file hashes to {sha256}, and the one certified to {}", certified.sha256);
            self.add(1, problem);
        }
        for file in &certified.external {
            if !external.contains(file) {
                let ExternalSource { file, sha256 } = file;
                self.add(1, format!("the model's file of weights {file} is not the one certified, which hashes to {sha256}"));
            }
        }
        for file in
            external.iter().filter(|file| !certified.external.iter().any(|known| known.file == file.file))
        {
            self.add(
                1,
                format!("the model has a file of weights {}, and the one certified had none", file.file),
            );
        }
    }

    /// Checks that the data are those that were certified, that the inputs are the ones that the header's selection takes
    /// from them, in order, and that their labels are right.
    pub fn check_data(&mut self, data: &Dataset) {
        let Some(header) = self.header.clone() else { return };
        let source = &header.data;
        for (what, found, expected) in [
            ("images", &data.images_sha256, &source.images_sha256),
            ("labels", &data.labels_sha256, &source.labels_sha256),
        ] {
            let problem = match (found.as_str(), expected.as_str()) {
                (found, expected) if found == expected => continue,
                ("", _) => format!("the data have no {what}, and those certified had"),
                (_, "") => format!("the data have {what}, and those certified had none"),
                (found, expected) => format!("the {what} hash to {found}, and those certified to {expected}"),
            };
            self.add(1, problem);
        }
        if data.shape() != source.shape {
            let problem =
                format!("images have shape {:?}, and those certified {:?}", data.shape(), source.shape);
            self.add(1, problem);
        }
        let mut selected = header.selection.indices(data);
        if selected.len() as u64 != header.selection.count {
            let problem = format!(
                "the selection takes {} inputs from these data, and the header says {}",
                selected.len(),
                header.selection.count
            );
            self.add(1, problem);
        }
        if let Some(shard) = header.shard {
            let all = selected;
            selected = shard.positions(all.len() as u64).map(|position| all[position as usize]).collect();
        }
        let mut found = Vec::new();
        for (number, record) in self.records.iter().enumerate() {
            let line = number + 2;
            match selected.get(number) {
                Some(&index) if index == record.index => {}
                Some(index) => {
                    found.push((
                        line,
                        format!("it is of input {}, and the selection has {index}", record.index),
                    ));
                }
                None => found
                    .push((line, format!("it is of input {}, past the end of the selection", record.index))),
            }
            let label = usize::try_from(record.index).ok().and_then(|index| data.label(index));
            if label.is_some() && label != record.label {
                let (there, here) = (in_words(record.label), in_words(label));
                found.push((line, format!("its label is {there}, and in the data {here}")));
            }
        }
        for (line, problem) in found {
            self.add(line, problem);
        }
        self.problems.sort_by_key(|problem| problem.line);
    }
}

/// An error with its cause.
fn in_one_line(error: &EvidenceError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Votes of an input that was certified again from its noise keys.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    /// Index of the input.
    pub index: u64,
    /// Samples whose votes must have changed at least.
    pub differing: u64,
    /// All samples that were run again.
    pub samples: u64,
}

/// Compares the votes of a record with those of the same noise run through the model again.
pub fn replayed(record: &Record, again: &Certificate, n0: u64) -> Replay {
    let differing = moved(&record.selection, &again.selection) + moved(&record.estimation, &again.estimation);
    Replay { index: record.index, differing, samples: n0.saturating_add(record.samples) }
}

/// Votes that must have changed, at least, for one count to become the other; votes for nobody are of no class.
fn moved(before: &Votes, after: &Votes) -> u64 {
    let classes = before.by_class().len().max(after.by_class().len());
    let at = |votes: &Votes, class: usize| votes.by_class().get(class).copied().unwrap_or(0);
    let lost: u64 = (0..classes).map(|class| at(before, class).saturating_sub(at(after, class))).sum();
    let gained: u64 = (0..classes).map(|class| at(after, class).saturating_sub(at(before, class))).sum();
    lost.max(gained)
}
