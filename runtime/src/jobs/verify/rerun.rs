//! What `rscert verify` finds by running inputs again: the replay of recorded noise, and fresh noise.

use std::path::Path;

use mithridate_onnx::ModelFile;

use super::{Verified, Verify, load, open_votes};
use crate::{
    backend::BackendError,
    certify::CertifyError,
    data::Dataset,
    evidence::{KeptVotes, Record, Replay, Verification, verify, votes_path},
    jobs::{
        Control, JobError, ModelSettings, fresh,
        replay::{Opened, Replayed, state_cost},
    },
};

impl Verify {
    /// Certifies inputs with a fresh seed, and adds this to the lists.
    pub(super) fn certify_anew(
        &self,
        control: &Control,
        opened: &Opened,
        data: &Dataset,
        verified: &mut Verified,
    ) -> Result<(), JobError> {
        let Some(share) = self.fresh_seed else { return Ok(()) };
        let found = &mut verified.verification;
        if !found.holds() {
            note_left_out(control, "certified anew");
            return Ok(());
        }
        let Some(header) = &found.header else { return Ok(()) };
        let inputs = found.records.len();
        let chosen: Vec<&Record> =
            share.choose(inputs)?.into_iter().map(|number| &found.records[number]).collect();
        match fresh::compare(control, opened.clone(), data, header, &chosen) {
            Ok(comparison) => {
                let detail =
                    format!("{} of {inputs} inputs, certified anew with a seed drawn now", chosen.len());
                found.add_checked("fresh seed", detail);
                verified.fresh = Some(comparison);
                Ok(())
            }
            Err(error) => add_if_dependent(found, error),
        }
    }

    /// Replays inputs with the model, and those of the earlier run with the earlier model.
    pub(super) fn replay(
        &self,
        control: &Control,
        opened: Opened,
        data: &Dataset,
        verified: &mut Verified,
        (kept, mut earlier): (Option<&mut KeptVotes>, Option<EarlierRun>),
    ) -> Result<(), JobError> {
        let Some(share) = self.replay else { return Ok(()) };
        let found = &mut verified.verification;
        if !found.holds() {
            note_left_out(control, "replayed");
            return Ok(());
        }
        let Some(header) = found.header.clone() else { return Ok(()) };
        let chosen = share.choose(found.records.len())?;
        let records: Vec<&Record> = chosen.iter().map(|&number| &found.records[number]).collect();
        let of_earlier = earlier.as_mut().and_then(|earlier| {
            let header = earlier.run.header.clone()?;
            Some((earlier.model.take()?, header, self.from_model.clone()?))
        });
        let earlier_cost = match (&of_earlier, &earlier) {
            (Some((_, header, _)), Some(earlier)) => {
                let records = chosen.iter().filter_map(|&number| earlier.run.records.get(number)).collect();
                Some(Replayed { header, records, kept: None, earlier: None })
            }
            _ => None,
        };
        let mut now = Replayed { header: &header, records, kept, earlier: None };
        let runs: Vec<&Replayed<'_>> = [Some(&now), earlier_cost.as_ref()].into_iter().flatten().collect();
        state_cost(control, &runs, self.samples_limit)?;
        let has_earlier_votes = earlier.as_ref().is_some_and(|earlier| earlier.kept.is_some());
        if let Some(EarlierRun { run, kept: Some(kept), .. }) = &mut earlier {
            now.earlier = Some((&run.records, kept));
        }
        let settings = opened.settings.clone();
        let result = now.run(control, opened, data);
        drop(now);
        match result {
            Ok(replays) => verified.replays = replays,
            Err(error) => return add_if_dependent(found, error),
        }
        if let (Some((file, header, path)), Some(EarlierRun { run, kept, .. })) = (of_earlier, &mut earlier) {
            let opened = load(control, &ModelSettings { path, ..settings }, file, &header)?;
            let records = chosen.iter().filter_map(|&number| run.records.get(number)).collect();
            let mut before = Replayed { header: &header, records, kept: kept.as_mut(), earlier: None };
            match before.run(control, opened, data) {
                Ok(replays) => verified.earlier_replays = replays,
                Err(error) => return add_if_dependent(found, error),
            }
        }
        verified.state_replays(has_earlier_votes);
        Ok(())
    }
}

impl Verified {
    /// Adds the replayed inputs to the list of checked claims.
    fn state_replays(&mut self, has_earlier_votes: bool) {
        let found = &mut self.verification;
        let inputs = found.records.len();
        for (subject, replays) in [("replay", &self.replays), ("earlier model", &self.earlier_replays)] {
            if !replays.is_empty() {
                let detail =
                    format!("the noise of {} of {inputs} inputs, through the model again", replays.len());
                found.add_checked(subject, detail);
            }
        }
        // If all inputs were replayed, the changed votes are checked, not only stated.
        if self.replays.len() == inputs && has_earlier_votes {
            found.stated.retain(|claim| claim.subject != "changed votes");
            found.add_checked(
                "changed votes",
                "the numbers of changed and lost votes, counted again from the votes of both runs",
            );
        }
    }

    /// Adds a problem for each replayed input with too many differing votes, and for an incompatible fresh comparison.
    pub(super) fn judge(&mut self, allowed: u64) {
        let lists = [("", &self.replays), ("earlier run: ", &self.earlier_replays)];
        let all = lists.into_iter().flat_map(|(whose, list)| list.iter().map(move |replay| (whose, replay)));
        for (whose, Replay { index, differing, samples }) in
            all.filter(|(_, replay)| replay.differing > allowed)
        {
            let problem = format!(
                "{whose}input {index}: {differing} of {samples} votes differ when its noise is run again"
            );
            self.verification.add(0, problem);
        }
        if self.fresh.as_ref().is_some_and(|fresh| !fresh.is_compatible()) {
            self.verification.add(0, "the recorded votes are not those of an honest certification".into());
        }
    }
}

/// The run of the earlier model, with its kept votes and its model if they were given.
pub(super) struct EarlierRun {
    pub run: Verification,
    pub kept: Option<KeptVotes>,
    pub model: Option<ModelFile>,
}

impl EarlierRun {
    pub fn open(path: &Path, found: &mut Verification) -> Result<Self, JobError> {
        let mut run = verify(path)?;
        let mut kept = open_votes(path, &mut run);
        found.check_earlier(&run, kept.as_mut());
        if kept.is_none() {
            found.add_not_checked(
                "votes of the earlier run",
                format!("which votes changed: there is no file {}", votes_path(path).display()),
            );
        }
        Ok(Self { run, kept, model: None })
    }
}

/// Sends a note that no input is run again: `done` is what would be done with them.
pub(super) fn note_left_out(control: &Control, done: &str) {
    control.note(&format!("no input is {done}, because other checks of the file failed"));
}

/// If the model's answers depend on other inputs, this is a problem of the run, not an error of its verification.
fn add_if_dependent(found: &mut Verification, error: JobError) -> Result<(), JobError> {
    match error {
        JobError::Certify(CertifyError::Backend(BackendError::Dependent { .. })) => {
            found.add(0, format!("its votes prove nothing: {error}"));
            Ok(())
        }
        error => Err(error),
    }
}
