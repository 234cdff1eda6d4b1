use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use mithridate_onnx::ModelFile;
use serde_json::{Value, json};

use super::{
    Control, JobError, ModelSettings, Share,
    dataset::open_certified,
    error::{ensure, in_full},
    fresh,
    keywords::{Keywords, NamedJob},
    model::device,
    replay::{Opened, Replayed, state_cost},
    run_header::{engine, model_source},
};
use crate::{
    backend::BackendError,
    certify::CertifyError,
    data::{DataError, Dataset, Split},
    evidence::{
        FreshComparison, Header, KeptVotes, Problem, Record, Replay, Verification, seed_origin, verify,
        votes_path,
    },
    signature::{PublicKey, SignatureError, Signed, signature_path, verify_run},
};

/// Checks an evidence file, alone and against the files that are given.
///
/// # Example
/// ```no_run
/// use mithridate_runtime::jobs::{Control, ModelSettings, Share, Verify};
///
/// let mut job = Verify::new("run.jsonl");
/// job.model = Some(ModelSettings::new("lenet.onnx"));
/// job.data = Some("data/mnist".into());
/// job.replay = Some(Share::Some(5));
/// let found = job.run(&Control::default())?;
/// assert!(found.verification.holds(), "{:?}", found.verification.problems);
/// # Ok::<(), mithridate_runtime::jobs::JobError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Verify {
    /// The evidence file.
    pub run: PathBuf,
    /// The model: checked to be the one that was certified. The evidence determines how it is used; `input` and `batch`
    /// are ignored.
    pub model: Option<ModelSettings>,
    /// The data set: checked to have the certified images, and the inputs that the header names.
    pub data: Option<PathBuf>,
    /// Part of the data set, if it is a folder.
    pub split: Split,
    /// The earlier run, for a recertification.
    pub from: Option<PathBuf>,
    /// The model of the earlier run.
    pub from_model: Option<PathBuf>,
    /// Number of inputs to replay: their noise is run through the model again. Needs `model` and `data`.
    pub replay: Option<Share>,
    /// Largest number of votes of a replayed input that may differ, because another provider or version of the engine
    /// may round differently.
    pub differing: u64,
    /// Largest number of samples to replay; a replay with more is refused.
    pub samples_limit: u64,
    /// Number of inputs to certify again with a fresh seed. Needs `model` and `data`.
    pub fresh_seed: Option<Share>,
    /// A public key: its holder must have signed this run.
    pub key: Option<PathBuf>,
    /// The file of signatures; `None`: the run's name with `.dsse.json`.
    pub signature: Option<PathBuf>,
}

/// Result of [`Verify`].
pub struct Verified {
    /// The lists of checked, stated and unchecked claims, and the problems found.
    pub verification: Verification,
    /// Results of the replayed inputs.
    pub replays: Vec<Replay>,
    /// Results of the same inputs of the earlier run.
    pub earlier_replays: Vec<Replay>,
    /// Comparison of the inputs certified with a fresh seed.
    pub fresh: Option<FreshComparison>,
}

impl Verify {
    /// A job that checks the file alone.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            model: None,
            data: None,
            split: Split::Test,
            from: None,
            from_model: None,
            replay: None,
            differing: 0,
            samples_limit: 10_000_000_000,
            fresh_seed: None,
            key: None,
            signature: None,
        }
    }

    /// Runs the job.
    ///
    /// # Errors
    /// [`JobError`] if a file can't be read, or the model can't be run. A failed check is not an error; it is in the
    /// result.
    pub fn run(&self, control: &Control) -> Result<Verified, JobError> {
        ensure!(
            (self.replay.is_none() && self.fresh_seed.is_none())
                || (self.model.is_some() && self.data.is_some()),
            "`replay` and `fresh_seed` need `model` and `data`"
        );
        let mut found = verify(&self.run)?;
        // The model is read once, so that the bytes that run are the bytes that were hashed.
        let model = self.model.as_ref().map(|model| &*model.path);
        let model = read_model(model, |file| found.check_model(file))?;
        let mut kept = open_votes(&self.run, &mut found);
        let mut earlier = match &self.from {
            Some(path) => Some(EarlierRun::open(path, &mut found)?),
            None => None,
        };
        if let Some(earlier) = &mut earlier {
            let run = &mut earlier.run;
            earlier.model =
                read_model(self.from_model.as_deref(), |file| found.check_earlier_model(run, file))?;
        }
        let data = self.open_data(control, &mut found)?;
        let opened = match (model, &self.model) {
            (Some(file), Some(settings)) => self.open_model(control, settings, file, &mut found)?,
            _ => None,
        };
        self.check_origin(&mut found)?;
        let mut verified =
            Verified { verification: found, replays: Vec::new(), earlier_replays: Vec::new(), fresh: None };
        if let (Some(opened), Some(data)) = (opened, data) {
            self.certify_anew(control, &opened, &data, &mut verified)?;
            self.replay(control, opened, &data, &mut verified, (kept.as_mut(), earlier))?;
        } else if !verified.verification.holds() {
            self.note_left_out(control);
        }
        verified.judge(self.differing);
        Ok(verified)
    }

    /// The result as one JSON document.
    pub fn to_json(&self, found: &Verified) -> Value {
        let verification = &found.verification;
        json!({
            "evidence": self.run.to_string_lossy(),
            "holds": verification.holds(),
            "inputs": verification.records.len(),
            "chain": verification.chain,
            "settings": verification.header.as_ref().map(settings_json),
            "problems": verification.problems,
            "checked": verification.checked,
            "stated": verification.stated,
            "not_checked": verification.not_checked,
            "replays": found.replays,
            "earlier_replays": found.earlier_replays,
            "fresh": found.fresh,
            "differing_allowed": self.replay.map(|_| self.differing),
        })
    }

    /// Sends notes that the replay and the comparison with a fresh seed are left out, because other checks failed.
    fn note_left_out(&self, control: &Control) {
        if self.fresh_seed.is_some() {
            control.note("no input is certified anew, because other checks of the file failed");
        }
        if self.replay.is_some() {
            control.note("no input is replayed, because other checks of the file failed");
        }
    }

    /// Opens the data, if given, and checks that they are those of the run.
    fn open_data(&self, control: &Control, found: &mut Verification) -> Result<Option<Dataset>, JobError> {
        let (Some(path), Some(header)) = (&self.data, &found.header) else { return Ok(None) };
        match open_certified(control, path, self.split, header, &found.records) {
            Ok(mut data) => {
                found.check_data(&mut data);
                Ok(Some(data))
            }
            // These data can't be prepared as the header says.
            Err(error @ (DataError::Option { .. } | DataError::ClassLabel { .. })) => {
                found.add(1, format!("the data can't be read as the header says: {error}"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Loads the certified model with the options of the run, and compares how it is used.
    fn open_model(
        &self,
        control: &Control,
        settings: &ModelSettings,
        file: ModelFile,
        found: &mut Verification,
    ) -> Result<Option<Opened>, JobError> {
        let Some(header) = found.header.clone() else { return Ok(None) };
        let opened = match load(control, settings, file, &header) {
            Ok(opened) => opened,
            Err(JobError::Backend(BackendError::Unsupported { problem, .. })) => {
                found.add(1, format!("the model can't be used as the header says: {problem}"));
                return Ok(None);
            }
            Err(error) if self.replay.is_some() => return Err(error),
            Err(error) => {
                found.add_not_checked(
                    "use of the model",
                    format!("it can't be tested on this machine: {}", in_full(&error)),
                );
                return Ok(None);
            }
        };
        let Opened { runtime, model, .. } = &opened;
        found.check_use(&model_source(model, header.settings.sigma), model.precision());
        let (provider, precision) =
            (settings.device.provider.to_string(), settings.device.precision_of(model.precision()));
        let used = &header.execution;
        let here = format!("{} on {provider} in {precision}", engine(runtime));
        let there = format!("{} on {} in {}", used.engine, used.provider, used.precision);
        if here == there {
            found.add_stated("engine", format!("{there}, as here"));
        } else {
            found.add_stated("engine", format!("{there}; here {here}"));
            if self.replay.is_some() {
                control.note(&format!(
                    "the votes were made by {there} and are made again by {here}, which may round differently; a few \
                     differing votes are then no sign of a false run"
                ));
            }
        }
        Ok(Some(opened))
    }

    /// Checks who signed a run and where its seed comes from.
    fn check_origin(&self, found: &mut Verification) -> Result<(), JobError> {
        if let Some(header) = &found.header {
            let (origin, is_derived) = (seed_origin(header), header.challenge.is_some());
            if is_derived {
                found.add_checked("seed", origin);
            } else {
                found.add_not_checked("seed", origin);
            }
        }
        let place = self.signature.clone().unwrap_or_else(|| signature_path(&self.run));
        let Some(key) = &self.key else {
            found.add_not_checked(
                SIGNATURE,
                if place.exists() {
                    format!(
                        "who signed it: to check the signatures in {}, give a public key with `key`",
                        place.display()
                    )
                } else {
                    "who made it: it is not signed, and anybody can make a file with valid hashes".into()
                },
            );
            return Ok(());
        };
        let public = PublicKey::read(key).map_err(|error| JobError::While {
            doing: format!("cannot check a signature with {}", key.display()),
            source: error.into(),
        })?;
        ensure!(
            place.exists(),
            "there is no {}; name the file of signatures with `signature`, or `rscert sign` the run",
            place.display()
        );
        if !found.holds() {
            found.add_not_checked(SIGNATURE, "who signed it, because other checks of the file failed");
            return Ok(());
        }
        match verify_run(&self.run, &public, &place) {
            Ok(signed) if signed.chain == found.chain => state_signature(found, &signed, &place),
            Ok(_) => found.problems.push(of_file(&self.run, "it was changed while it was verified")),
            Err(error @ SignatureError::Read { .. }) => return Err(error.into()),
            Err(error) => found.problems.push(of_file(&place, &error.to_string())),
        }
        Ok(())
    }

    /// Certifies inputs with a fresh seed, and adds this to the lists.
    fn certify_anew(
        &self,
        control: &Control,
        opened: &Opened,
        data: &Dataset,
        verified: &mut Verified,
    ) -> Result<(), JobError> {
        let Some(share) = self.fresh_seed else { return Ok(()) };
        let found = &mut verified.verification;
        if !found.holds() {
            control.note("no input is certified anew, because other checks of the file failed");
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
    fn replay(
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
            control.note("no input is replayed, because other checks of the file failed");
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
    fn judge(&mut self, allowed: u64) {
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
struct EarlierRun {
    run: Verification,
    kept: Option<KeptVotes>,
    model: Option<ModelFile>,
}

impl EarlierRun {
    fn open(path: &Path, found: &mut Verification) -> Result<Self, JobError> {
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

impl NamedJob for Verify {
    const NAME: &'static str = "verify";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        let mut job = Self::new(keywords.need::<PathBuf>("run")?);
        let model = keywords.get::<PathBuf>("model")?;
        let (device, threads) =
            (device(keywords)?, keywords.get::<NonZeroUsize>("threads")?.map(NonZeroUsize::get));
        job.model = model.map(|path| ModelSettings { device, threads, ..ModelSettings::new(path) });
        job.data = keywords.get("data")?;
        keywords.set("split", &mut job.split)?;
        job.from = keywords.get("from")?;
        job.from_model = keywords.get("from_model")?;
        job.replay = keywords.get_text("replay")?;
        keywords.set("differing", &mut job.differing)?;
        keywords.set("samples_limit", &mut job.samples_limit)?;
        job.fresh_seed = keywords.get_text("fresh_seed")?;
        job.key = keywords.get("key")?;
        job.signature = keywords.get("signature")?;
        Ok(job)
    }

    fn run_to_json(&self, control: &Control) -> Result<Value, JobError> {
        Ok(self.to_json(&self.run(control)?))
    }
}

/// The settings of a run, for the JSON document.
fn settings_json(header: &Header) -> Value {
    let settings = &header.settings;
    json!({
        "sigma": settings.sigma,
        "distribution": settings.distribution,
        "noise_mode": header.noise.mode,
        "alpha": settings.alpha,
        "simultaneous": header.simultaneous,
        "n0": settings.n0,
        "n": settings.n,
        "stopping_rule": settings.stop,
        "seed": settings.seed,
        "challenge": header.challenge,
        "sequence": settings.sequence,
        "selection": header.subset,
        "shard": header.shard,
        "use": header.model.r#use,
    })
}

/// Subject of the signature check in the lists.
const SIGNATURE: &str = "signature";

fn state_signature(found: &mut Verification, signed: &Signed, place: &Path) {
    let Signed { key_id, name, signatures, .. } = signed;
    found.add_checked(
        SIGNATURE,
        format!("key {key_id} signed this file, and every field of the signed statement is that of the run"),
    );
    found.add_stated("name", format!("it was signed under the name {name}"));
    if *signatures > 1 {
        let others = signatures - 1;
        let plural = if others == 1 { "" } else { "s" };
        let detail = format!("{others} other signature{plural} in {}", place.display());
        found.add_not_checked("other signatures", detail);
    }
}

fn of_file(path: &Path, problem: &str) -> Problem {
    Problem { line: 0, problem: format!("{}: {problem}", path.display()) }
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

/// Reads a model, if given. Returns it if `is_meant` accepts it.
fn read_model(
    path: Option<&Path>,
    is_meant: impl FnOnce(&ModelFile) -> bool,
) -> Result<Option<ModelFile>, JobError> {
    let file = path.map(ModelFile::read).transpose()?;
    Ok(file.filter(is_meant))
}

/// The kept votes of a run, after a check, if the run has any.
fn open_votes(run: &Path, found: &mut Verification) -> Option<KeptVotes> {
    if !found.header.as_ref().is_some_and(|header| header.keeps_votes) {
        return None;
    }
    let path = votes_path(run);
    if !path.exists() {
        found.add_not_checked(
            "votes",
            format!("the vote of each sample: there is no file {}", path.display()),
        );
        return None;
    }
    found.check_votes(&path)
}

fn load(
    control: &Control,
    settings: &ModelSettings,
    file: ModelFile,
    header: &Header,
) -> Result<Opened, JobError> {
    let (runtime, model) = (control.load)(file, &[header.input_options()])?;
    Ok(Opened { settings: settings.clone(), runtime, model })
}
