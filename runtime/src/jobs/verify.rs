mod origin;
mod rerun;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use mithridate_onnx::ModelFile;
use serde_json::{Value, json};

use self::rerun::{EarlierRun, note_left_out};
use super::{
    Control, JobError, ModelSettings, Share,
    dataset::open_certified,
    error::{ensure, in_full},
    keywords::{Keywords, NamedJob},
    model::device,
    replay::Opened,
    run_header::{engine, model_source},
};
use crate::{
    backend::BackendError,
    data::{DataError, Dataset, Split},
    evidence::{FreshComparison, Header, KeptVotes, Replay, Verification, verify, votes_path},
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
            note_left_out(control, "certified anew");
        }
        if self.replay.is_some() {
            note_left_out(control, "replayed");
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
