use std::path::PathBuf;

use mithridate_onnx::ModelFile;

use serde_json::{Value, json};

use super::{
    Control, JobError, ModelSettings, Work,
    certify::{begin_or_resume, challenge, own_header, summary},
    dataset::{input_of, open_certified},
    error::{ensure, set_aside},
    keywords::{Keywords, NamedJob},
    run_header::{TOOL, execution, model_source, now},
    seed::{chosen_or_drawn, derive},
    self_test::check_noise,
};
use crate::{
    backend::{InputOptions, OnnxModel, OnnxRuntime},
    certify::{Certificate, Certifier, CountedVotes, Decision, Procedure, Vote, VoteRequest},
    data::{Dataset, Split},
    evidence::{
        Change, Evidence, EvidenceWriter, Header, KeptVotes, Machine, Problem, Recertification, Record,
        ResumableRun, SCHEMA, Verification, is_other_numbering, read_evidence, unfit, votes_path,
    },
    files::check_place,
    units::Alpha,
};

/// Certifies a changed model, based on the run of the earlier model. The noise of that run goes through the changed
/// model, and an upper bound on the probability of a lost vote is subtracted from the old lower bound.
///
/// # Example
/// ```no_run
/// use mithridate_runtime::jobs::{Control, ModelSettings, Recertify};
///
/// let mut job =
///     Recertify::new("lenet.jsonl", ModelSettings::new("lenet-int8.onnx"), "data/mnist", "lenet-int8.jsonl");
/// job.n = 5000;
/// let done = job.run(&Control::default())?;
/// println!("{} inputs rest on the earlier run", done.incremental);
/// # Ok::<(), mithridate_runtime::jobs::JobError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recertify {
    /// Evidence of the earlier model, made with `keep_votes` and the stopping rule `fixed`.
    pub from: PathBuf,
    /// The changed model. Options that its `input` does not give are those of the earlier model.
    pub model: ModelSettings,
    /// The data set of that run.
    pub data: PathBuf,
    /// Part of the data set, if it is a folder.
    pub split: Split,
    /// Number of samples of the earlier noise that are run through the changed model, for each input that is not
    /// certified anew.
    pub n: u64,
    /// Number of samples of an input that is certified anew, because this is expected to give a larger radius; `None`:
    /// as `n`.
    pub fresh_n: Option<u64>,
    /// `α_ζ`: failure probability of the bound on lost votes, in addition to the α of the earlier run.
    pub alpha_change: Alpha,
    /// Seed of fresh noise; `None`: drawn from the operating system.
    pub seed: Option<u64>,
    /// Challenge: text from which the seed of fresh noise is derived. Every input is then certified anew. Excludes
    /// `seed`.
    pub challenge: Option<String>,
    /// The evidence file.
    pub out: PathBuf,
    /// Whether to continue an interrupted run.
    pub resume: bool,
}

/// Result of [`Recertify`].
pub struct Recertified {
    /// The evidence, as it was read back from its file.
    pub evidence: Evidence,
    /// Number of inputs whose bound is based on the earlier run; the others were certified anew.
    pub incremental: usize,
    /// Share, from 0 to 1, of the votes of these inputs that changed.
    pub share_changed: f64,
    /// Share, from 0 to 1, of the votes of these inputs that their class lost.
    pub share_lost: f64,
}

impl Recertify {
    /// A job with 10,000 samples and `alpha_change` 0.001.
    pub fn new(
        from: impl Into<PathBuf>,
        model: ModelSettings,
        data: impl Into<PathBuf>,
        out: impl Into<PathBuf>,
    ) -> Self {
        Self {
            from: from.into(),
            model,
            data: data.into(),
            split: Split::Test,
            n: 10_000,
            fresh_n: None,
            alpha_change: Alpha::USUAL,
            seed: None,
            challenge: None,
            out: out.into(),
            resume: false,
        }
    }

    /// Runs the job.
    ///
    /// # Errors
    /// [`JobError`]. Inputs that were finished before the error stay in the evidence file, and a job with `resume`
    /// continues after them.
    pub fn run(&self, control: &Control) -> Result<Recertified, JobError> {
        let out = &self.out;
        check_place(out).map_err(|error| JobError::cannot_write(out, error))?;
        if !self.resume {
            EvidenceWriter::check_new(out)?;
        }
        // The earlier run must be valid. Reading it checks everything that can be checked without other files.
        let old = read_evidence(&self.from)?;
        let from = self.from.display();
        if let Some(problem) = unfit(&old.header) {
            ensure!(false, "{from} {problem}");
        }
        let before = &old.header.settings;
        ensure!(
            self.n <= before.n,
            "`n` {} is more than the {} samples of {from}, whose noise is run again",
            self.n,
            before.n
        );
        let kept = KeptVotes::open(&votes_path(&self.from))?;
        kept.is_of(&old.records)?;
        let data = self.open_data(control, &old)?;
        let (runtime, model) = self.open_changed(control, &old.header)?;
        let earlier = if self.resume && out.exists() { Some(ResumableRun::read(out)?) } else { None };
        let mut header = self.header(&old, &runtime, &model, own_header(earlier.as_ref(), self.seed))?;
        // Fresh samples need another seed than the earlier run.
        let seed = header.settings.seed;
        ensure!(
            seed != before.seed,
            "`seed` {seed} is also the seed of {from}; fresh noise needs another seed"
        );
        if let Some(earlier) = &earlier
            && earlier.is_finished(&header)?
        {
            return self.finish();
        }
        let indices: Vec<usize> = old.records.iter().map(|record| record.index as usize).collect();
        check_noise(&header.settings, header.noise.mode, &indices, &data, &model.input_precision())?;
        let samples = self.n.saturating_mul(indices.len() as u64);
        let ready = self.model.ready(control, runtime, model, None, samples)?;
        header.execution.plan = ready.plan;
        // In batches of 1 an answer can't depend on other samples: that must be true of the old bounds too.
        let batch = old.header.execution.plan.batch;
        ensure!(
            ready.plan.batch != 1 || batch == 1 || header.challenge.is_some(),
            "the bounds of {from} were made in batches of {batch}, and this run would be in batches of 1; leave out `batch` 1, \
             or certify the changed model anew"
        );
        let (writer, done) = begin_or_resume(control, out, earlier, &header)?;
        let certifier = ready.certifier(control, header.settings.clone(), header.noise.mode)?;
        let earlier = EarlierVotes { records: &old.records[done as usize..], kept };
        self.sample(control, certifier, &header, &data, earlier, writer)?;
        self.finish()
    }

    /// The result as one JSON document.
    pub fn to_json(&self, done: &Recertified) -> Value {
        json!({
            "evidence": self.out.to_string_lossy(),
            "run": summary(&self.out, &done.evidence),
            "from": self.from.to_string_lossy(),
            "incremental": done.incremental,
            "fresh": done.evidence.records.len() - done.incremental,
            "share_of_votes_changed": done.share_changed,
            "share_of_votes_lost": done.share_lost,
        })
    }

    /// Opens the data and checks that they are those of the earlier run.
    fn open_data(&self, control: &Control, old: &Evidence) -> Result<Dataset, JobError> {
        let mut data = open_certified(control, &self.data, self.split, &old.header, &old.records)?;
        let mut found = Verification::from(old);
        found.check_data(&mut data);
        if let Some(Problem { line, problem }) = found.problems.first() {
            let (data, from) = (self.data.display(), self.from.display());
            ensure!(false, "{data} is not the data of {from}: line {line}: {problem}");
        }
        Ok(data)
    }

    /// Opens the changed model. It uses the input options of the earlier model, except for those that its own settings
    /// give.
    fn open_changed(&self, control: &Control, old: &Header) -> Result<(OnnxRuntime, OnnxModel), JobError> {
        let keep_batch = self.model.batch == Some(1);
        let options = InputOptions { keep_batch, ..old.input_options().changed_by(&self.model.input) };
        let (runtime, model) = (control.load)(ModelFile::read(&self.model.path)?, &[options])?;
        let path = self.model.path.display();
        self.model.note_differences(control, &model);
        let (now, before) = (&model.preprocessing, &old.model.r#use.preprocessing);
        if now != before {
            control.note(&format!(
                "the input options of {path} differ from those of the earlier model: {now:?} now, {before:?} before; make \
                 sure that this is intended"
            ));
        }
        let (own, named) = (model.metadata.class_names.as_deref().unwrap_or_default(), &old.data.class_names);
        ensure!(
            !is_other_numbering(named, own),
            "{path} and the earlier model number their classes differently: the class names of this model are {own:?}, \
             and those of the earlier run are {named:?}; certify this model anew with `rscert certify`"
        );
        ensure!(
            model.classes() == old.model.classes && model.image_shape() == old.data.shape,
            "{path} has {} classes of images {:?}, and the model of {} {} of {:?}",
            model.classes(),
            model.image_shape(),
            self.from.display(),
            old.model.classes,
            old.data.shape
        );
        Ok((runtime, model))
    }

    fn header(
        &self,
        old: &Evidence,
        runtime: &OnnxRuntime,
        model: &OnnxModel,
        own: Option<&Header>,
    ) -> Result<Header, JobError> {
        let challenge = self.challenge.clone().or_else(|| own?.challenge.clone());
        let seed = match self.seed.or(own.map(|own| own.settings.seed)) {
            Some(seed) => seed,
            None if challenge.is_some() => 0,
            None => chosen_or_drawn(None)?,
        };
        let before = &old.header.settings;
        let from = Recertification {
            from: old.footer.chain.clone(),
            from_model_sha256: old.header.model.sha256.clone(),
            alpha: before.alpha,
            alpha_change: self.alpha_change,
            seed: before.seed,
            n: before.n,
            replayed: self.n,
        };
        let settings =
            from.settings(before, self.fresh_n.unwrap_or(self.n), seed).map_err(|error| JobError::While {
                doing: format!(
                    "`alpha_change` {} is too large together with alpha {}",
                    from.alpha_change, from.alpha
                ),
                source: error.into(),
            })?;
        settings.check()?;
        let mut header = Header {
            schema: SCHEMA.into(),
            tool: TOOL.into(),
            model: model_source(model, settings.sigma),
            data: old.header.data.clone(),
            subset: old.header.subset.clone(),
            shard: old.header.shard,
            settings,
            simultaneous: None,
            challenge: None,
            noise: old.header.noise.clone(),
            keeps_votes: false,
            recertification: Some(from),
            execution: execution(&self.model, runtime, model),
            machine: Machine::this(),
            started: now(),
        };
        derive(&mut header, challenge)?;
        Ok(header)
    }

    fn sample(
        &self,
        control: &Control,
        mut certifier: Certifier,
        header: &Header,
        data: &Dataset,
        earlier: EarlierVotes<'_>,
        mut writer: EvidenceWriter,
    ) -> Result<(), JobError> {
        let EarlierVotes { records, mut kept } = earlier;
        let Some(from) = &header.recertification else {
            return Err(JobError::Refused("the header names no earlier run".into()));
        };
        // Seed and number of samples of an input.
        let source = |record: &Record| {
            if is_incremental(header, record) {
                (from.seed, from.replayed)
            } else {
                (header.settings.seed, header.settings.n)
            }
        };
        let request = |record: &Record| {
            let (seed, n) = source(record);
            VoteRequest { input: input_of(data, record), seed, n0: 0, n }
        };
        let work = Work {
            title: &format!("recertifying {}", header.model.file),
            steps: records.iter().map(|record| source(record).1).fold(0, u64::saturating_add),
            done: 0,
            unit: "samples",
            out: Some(&self.out),
        };
        certifier.keep_votes();
        let mut old = records.iter();
        let mut failure = None;
        let mut write = |counted: CountedVotes| -> Result<(), JobError> {
            let Some(old) = old.next() else { return Ok(()) };
            let new = if is_incremental(header, old) {
                incremental(old, counted, &kept.of(old)?, header, from)?
            } else {
                fresh(old, counted, header)?
            };
            writer.record(&new).map_err(JobError::unwritten)
        };
        let result = control.during(&work, || {
            certifier.count_votes(
                records.iter().map(request),
                |samples| control.observer.advance(samples),
                |counted| write(counted).map_err(set_aside(&mut failure)),
            )
        });
        if let Some(error) = failure {
            return Err(error);
        }
        result?;
        writer.finish().map_err(JobError::unwritten)?;
        Ok(())
    }

    /// Reads the evidence back and counts.
    fn finish(&self) -> Result<Recertified, JobError> {
        let evidence = read_evidence(&self.out)?;
        let changes = || evidence.records.iter().filter_map(|record| record.change.as_ref());
        let incremental = changes().count();
        let replayed = evidence.header.recertification.as_ref().map_or(0, |from| from.replayed);
        let samples = incremental as u64 * replayed;
        let share = |count: u64| count as f64 / samples.max(1) as f64;
        let share_changed = share(changes().map(|change| change.changed).sum());
        let share_lost = share(changes().map(|change| change.lost).sum());
        Ok(Recertified { evidence, incremental, share_changed, share_lost })
    }
}

/// The records of the earlier run, from the first that is not recertified yet, with the votes of their samples.
struct EarlierVotes<'a> {
    records: &'a [Record],
    kept: KeptVotes,
}

impl NamedJob for Recertify {
    const NAME: &'static str = "recertify";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        let mut job = Self::new(
            keywords.need::<PathBuf>("from")?,
            ModelSettings::from_keywords(keywords)?,
            keywords.need::<PathBuf>("data")?,
            keywords.need::<PathBuf>("out")?,
        );
        keywords.set("split", &mut job.split)?;
        keywords.set("n", &mut job.n)?;
        job.fresh_n = keywords.get("fresh_n")?;
        keywords.set("alpha_change", &mut job.alpha_change)?;
        job.seed = keywords.get("seed")?;
        job.challenge = challenge(keywords)?;
        keywords.set("resume", &mut job.resume)?;
        ensure!(job.seed.is_none() || job.challenge.is_none(), "give `seed` or `challenge`, not both");
        Ok(job)
    }

    fn run_to_json(&self, control: &Control) -> Result<Value, JobError> {
        Ok(self.to_json(&self.run(control)?))
    }
}

/// Whether the new bound of an input is based on its old one.
fn is_incremental(header: &Header, record: &Record) -> bool {
    header.is_incremental(record.class.map_or(0, |class| record.selection.by_class()[class]))
}

/// The certificate with the old selection votes and the new estimation votes.
fn certificate(old: &Record, counted: CountedVotes, decision: Decision) -> Certificate {
    let counted = CountedVotes { selection: old.selection.clone(), ..counted };
    counted.into_certificate(old.label, decision)
}

/// The record of an input whose bound is based on the old one. `before` are its old votes.
fn incremental(
    old: &Record,
    counted: CountedVotes,
    before: &[Vote],
    header: &Header,
    from: &Recertification,
) -> Result<Record, JobError> {
    let Some(class) = old.class else {
        return Err(JobError::Refused(format!("input {} has no class in the earlier run", old.index)));
    };
    let change = Change::new(class, old.p_lower, before, &counted.votes);
    let p_lower = change.bound(counted.samples, from.alpha_change)?;
    let decision = Decision { class: old.class, p_lower, radius: header.settings.radius(p_lower) };
    Ok(Record { change: Some(change), ..Record::new(certificate(old, counted, decision), header) })
}

/// The record of an input certified anew, for the class selected by the old selection samples.
fn fresh(old: &Record, counted: CountedVotes, header: &Header) -> Result<Record, JobError> {
    let procedure = Procedure::new(header.settings.clone())?;
    let decision = procedure.decide(&old.selection, &counted.estimation, counted.samples)?;
    Ok(Record::new(certificate(old, counted, decision), header))
}
