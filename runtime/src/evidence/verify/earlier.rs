use mithridate_onnx::ModelFile;

use super::{Problem, Verification, in_one_line, replay::moved};
use crate::{
    certify::{StoppingRule, Vote, Votes},
    evidence::{Change, Header, KeptVotes, Recertification, Record, check::ReplayedHits},
};

impl Verification {
    /// Checks a recertification against the earlier run. `earlier` must be valid, complete, made with the stopping rule
    /// `fixed` and not itself a recertification. Data, input subset, σ, noise and n0 must be equal, and the earlier
    /// bounds and selection votes must be those of the earlier run. With the kept votes of the earlier run (`votes`),
    /// the numbers of changed and lost votes are also checked for consistency, by class.
    pub fn check_earlier(&mut self, earlier: &Verification, votes: Option<&mut KeptVotes>) {
        for Problem { line, problem } in &earlier.problems {
            let place = if *line == 0 { String::new() } else { format!("line {line}: ") };
            self.add(1, format!("the earlier run has a problem: {place}{problem}"));
        }
        let Some(header) = self.header.clone() else { return };
        let Some(from) = header.recertification.clone() else {
            return self.add(1, "it is not based on an earlier run".into());
        };
        let Some(old) = earlier.header.as_ref().filter(|_| earlier.holds()) else { return };
        self.compare_headers(&header, &from, old, &earlier.chain);
        self.compare_records(&from, &earlier.records);
        if let Some(votes) = votes {
            self.compare_votes(&from, &earlier.records, votes);
        }
        self.add_checked(
            "earlier run",
            "that it is valid, and its data, selection, sigma, noise, n0, seeds, alpha, bounds and selection votes",
        );
        self.sort();
    }

    /// Checks that `file` is the model of the earlier run. Whether it gave the recorded votes can only be checked by a
    /// replay. Returns whether it is that model.
    pub fn check_earlier_model(&mut self, earlier: &mut Verification, file: &ModelFile) -> bool {
        let before = earlier.problems.len();
        let is_same = earlier.check_model(file);
        for Problem { problem, .. } in earlier.problems.split_off(before) {
            self.add(1, format!("the earlier model: {problem}"));
        }
        self.add_not_checked(
            "earlier model",
            "that it gave the votes of the earlier run: only the hash of its file was compared; give `replay` too",
        );
        self.sort();
        is_same
    }

    fn compare_headers(&mut self, header: &Header, from: &Recertification, old: &Header, chain: &str) {
        let there = Recertification {
            from: chain.to_owned(),
            from_model_sha256: old.model.sha256.clone(),
            alpha: old.settings.alpha,
            alpha_change: from.alpha_change,
            seed: old.settings.seed,
            n: old.settings.n,
            replayed: from.replayed,
        };
        if *from != there {
            self.add(1, "it is based on another earlier run than the given one".into());
        }
        if let Some(problem) = unfit(old) {
            self.add(1, format!("the earlier run {problem}"));
        }
        // The file name of the data may differ.
        let data =
            |header: &Header| crate::evidence::DataSource { file: String::new(), ..header.data.clone() };
        let (now, before) = (&header.settings, &old.settings);
        for (name, is_same) in [
            ("data", data(header) == data(old)),
            ("selection of inputs", header.subset == old.subset),
            ("sigma", now.sigma == before.sigma),
            ("distribution of the noise", now.distribution == before.distribution),
            ("mode or generator of the noise", header.noise == old.noise),
            ("n0", now.n0 == before.n0),
            ("number of classes", header.model.classes == old.model.classes),
        ] {
            if !is_same {
                self.add(1, format!("its {name} and that of the earlier run differ"));
            }
        }
    }

    fn compare_records(&mut self, from: &Recertification, old: &[Record]) {
        let mut found = Vec::new();
        if self.records.len() != old.len() {
            let (now, before) = (self.records.len(), old.len());
            found.push((1, format!("it has {now} inputs, and the earlier run has {before}")));
        }
        for (number, record) in self.records.iter().enumerate() {
            let line = number + 2;
            let before = old.binary_search_by_key(&record.index, |before| before.index);
            let Some(before) = before.ok().map(|place| &old[place]) else {
                found.push((line, format!("the earlier run has no input {}", record.index)));
                continue;
            };
            let is_same = before.selection == record.selection
                && before.label == record.label
                && record.change.as_ref().is_none_or(|change| change.p_lower == before.p_lower);
            if !is_same {
                found.push((
                    line,
                    "the earlier run has other selection votes, another bound or another label".to_owned(),
                ));
            }
            if let Some(change) = &record.change {
                let class = before.selection.winner().unwrap_or_default();
                let hits = before.estimation.by_class().get(class).copied().unwrap_or(0);
                let add = |problem| found.push((line, problem));
                ReplayedHits::of(hits, from).check(record, change, add);
            }
        }
        self.add_all(found);
    }

    /// Checks the numbers of changed and lost votes against the earlier votes, as far as possible without the new votes.
    fn compare_votes(&mut self, from: &Recertification, old: &[Record], kept: &mut KeptVotes) {
        let mut found = Vec::new();
        for (number, record) in self.records.iter().enumerate() {
            let line = number + 2;
            let before = old.binary_search_by_key(&record.index, |before| before.index);
            let (Some(change), Ok(place)) = (&record.change, before) else { continue };
            match kept.of(&old[place]) {
                Ok(votes) => {
                    let first = &votes[..votes.len().min(from.replayed as usize)];
                    found.extend(impossible(record, change, first).map(|problem| (line, problem)));
                }
                Err(error) => {
                    let error = in_one_line(&error);
                    found.push((line, format!("the votes of the earlier model: {error}")));
                }
            }
        }
        self.add_all(found);
        self.add_checked(
            "votes of the earlier run",
            "hashes and counts, and that the stated number of changed votes is possible",
        );
    }
}

/// The reason why a run can't be used for recertification, as the end of a sentence that starts with the run; `None` if it can. It must be
/// complete, made with the stopping rule `fixed`, not itself a recertification, and have kept its votes.
pub fn unfit(old: &Header) -> Option<String> {
    if old.settings.stop != StoppingRule::Fixed {
        return Some(format!(
            "has the stopping rule {}; recertification needs a run with `stop` fixed",
            old.settings.stop
        ));
    }
    if old.recertification.is_some() {
        return Some("is itself a recertification; use the run on which it is based".into());
    }
    if let Some(shard) = old.shard {
        return Some(format!("is part {shard} of a run; join all parts with `rscert merge` first"));
    }
    (!old.keeps_votes)
        .then(|| "was made without `keep_votes`; certify the earlier model again with `keep_votes`".into())
}

/// The reason why the numbers of a change are impossible, given the earlier votes `before`; `None` if they are possible.
fn impossible(record: &Record, change: &Change, before: &[Vote]) -> Option<String> {
    let mut counts = Votes::none(record.estimation.by_class().len());
    counts.count(before);
    let class = record.selection.winner().unwrap_or_default();
    let hits = counts.by_class().get(class).copied().unwrap_or(0);
    let mut problem = None;
    ReplayedHits { least: hits, most: hits }.check(record, change, |found| problem = Some(found));
    let least = moved(&counts, &record.estimation);
    if problem.is_none() && change.changed < least {
        let changed = change.changed;
        problem = Some(format!("{least} or more votes changed, and the record states {changed}"));
    }
    problem
}
