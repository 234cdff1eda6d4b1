use std::{
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Control, DataSettings, JobError, ModelSettings, Work,
    dataset::{OpenedInputs, inputs},
    error::{ensure, set_aside},
    keywords::{Keywords, NamedJob},
    run_header::{TOOL, execution, file_name, model_source, now},
    seed::{chosen_or_drawn, derive},
    self_test::check_noise,
};
use crate::{
    audit::{Run, RunSummary, summarize},
    backend::{OnnxModel, OnnxRuntime},
    certify::{Certifier, Settings, StoppingRule, Timings},
    data::Dataset,
    evidence::{
        DataSource, Evidence, EvidenceWriter, Header, Machine, NoiseSource, Record, ResumableRun, SCHEMA,
        Shard, Simultaneous, VotesWriter, is_table, parse_challenge, read_evidence, to_table, votes_path,
    },
    files::{check_place, check_replaceable, is_same, write_atomically},
    noise::{Distribution, NoiseMode},
    statistics::SequenceForm,
    units::{Alpha, Sigma},
};

/// Certifies inputs of a data set under a model and writes an evidence file: CERTIFY of Cohen, Rosenfeld and Kolter
/// (2019) with stopping rules.
///
/// See the [module](super) for an example.
#[derive(Clone, Debug)]
pub struct Certify {
    /// The model.
    pub model: ModelSettings,
    /// The inputs.
    pub data: DataSettings,
    /// Standard deviation of the noise in data-set units; `None`: the training σ in the model's metadata.
    pub sigma: Option<Sigma>,
    /// Distribution of the noise.
    pub distribution: Distribution,
    /// Whether inputs share their noise.
    pub noise_mode: NoiseMode,
    /// Number of selection samples, which choose the class.
    pub n0: u64,
    /// Largest number of estimation samples, which bound the probability of the class.
    pub n: u64,
    /// Failure probability of the certificate of each input; with `simultaneous`, of all certificates together.
    pub alpha: Alpha,
    /// Stopping rule: when sampling of an input stops before `n`.
    pub stop: StoppingRule,
    /// Form of the confidence sequence, for the stopping rules that need one.
    pub sequence: SequenceForm,
    /// Seed of all noise; `None`: drawn from the operating system.
    pub seed: Option<u64>,
    /// Challenge: text from which the seed is derived, together with model, data and settings. Excludes `seed`.
    pub challenge: Option<String>,
    /// Whether the vote of every estimation sample is kept in a file beside the evidence.
    pub keep_votes: bool,
    /// Whether one claim is made about all inputs at once.
    pub simultaneous: bool,
    /// Part of the inputs to certify; `None`: all.
    pub shard: Option<Shard>,
    /// The evidence file.
    pub out: PathBuf,
    /// File to which a table of results for other tools is written; `None`: no table.
    pub table: Option<PathBuf>,
    /// Whether to continue an interrupted run. Its seed and challenge are used again.
    pub resume: bool,
}

/// Result of [`Certify`].
pub struct Certified {
    /// The evidence, as it was read back from its file.
    pub evidence: Evidence,
    /// Time that sampling took; `None` for a run that was finished before.
    pub time: Option<SamplingTime>,
}

/// Time that sampling took.
#[derive(Clone, Copy, Debug)]
pub struct SamplingTime {
    /// Time spent on each part of the work, summed over the instances of the model.
    pub timings: Timings,
    /// Elapsed time.
    pub wall: Duration,
}

impl Certify {
    /// A job with 100 selection samples, 100,000 estimation samples, Gaussian noise and α = 0.001.
    pub fn new(model: ModelSettings, data: DataSettings, out: impl Into<PathBuf>) -> Self {
        Self {
            model,
            data,
            sigma: None,
            distribution: Distribution::Gaussian,
            noise_mode: NoiseMode::Independent,
            n0: 100,
            n: 100_000,
            alpha: Alpha::USUAL,
            stop: StoppingRule::Fixed,
            sequence: SequenceForm::default(),
            seed: None,
            challenge: None,
            keep_votes: false,
            simultaneous: false,
            shard: None,
            out: out.into(),
            table: None,
            resume: false,
        }
    }

    /// Runs the job.
    ///
    /// # Errors
    /// [`JobError`]. Inputs that were finished before the error stay in the evidence file, and a job with `resume`
    /// continues after them.
    pub fn run(&self, control: &Control) -> Result<Certified, JobError> {
        self.check_places()?;
        let OpenedInputs { sigma, data, runtime, model, indices: selected } =
            self.data.open_with(control, &self.model, self.sigma)?;
        let earlier =
            if self.resume && self.out.exists() { Some(ResumableRun::read(&self.out)?) } else { None };
        let mut header = self.header(
            sigma,
            &data,
            &runtime,
            &model,
            selected.len(),
            own_header(earlier.as_ref(), self.seed),
        )?;
        check_noise(&header.settings, header.noise.mode, &selected, &data, &model.input_precision())?;
        if let Some(earlier) = &earlier
            && earlier.is_finished(&header)?
        {
            return Ok(Certified { evidence: self.finish()?, time: None });
        }
        let indices: Vec<usize> = match self.shard {
            Some(shard) => {
                shard.positions(selected.len() as u64).map(|position| selected[position as usize]).collect()
            }
            None => selected,
        };
        let shared = match self.noise_mode {
            NoiseMode::Shared => header.settings.shared_noise(),
            NoiseMode::Independent => None,
        };
        let Settings { n0, n, stop, .. } = &header.settings;
        let samples = n0.saturating_add(stop.expected_samples(*n)).saturating_mul(indices.len() as u64);
        let ready = self.model.ready(control, runtime, model, shared.as_ref(), samples)?;
        header.execution.plan = ready.plan;
        // Nothing is written if certification is impossible with these settings or this model.
        let certifier = ready.certifier(control, header.settings.clone(), header.noise.mode)?;
        let (writer, done) = begin_or_resume(control, &self.out, earlier, &header)?;
        let time = self.sample(control, certifier, &header, &data, &indices, (writer, done))?;
        Ok(Certified { evidence: self.finish()?, time: Some(time) })
    }

    /// The result as one JSON document.
    pub fn to_json(&self, done: &Certified) -> Value {
        let header = &done.evidence.header;
        json!({
            "evidence": self.out.to_string_lossy(),
            "run": summary(&self.out, &done.evidence),
            "seed": header.settings.seed,
            "challenge": header.challenge,
            "plan": header.execution.plan,
            "overhead": done.time.map(|time| time.timings.overhead()),
            "timings": done.time.map(|SamplingTime { timings, wall }| json!({
                "samples": timings.samples,
                "wall": wall.as_secs_f64(),
                "noise": timings.noise.as_secs_f64(),
                "forward": timings.forward.as_secs_f64(),
                "count": timings.count.as_secs_f64(),
                "comparison": timings.comparison.as_secs_f64(),
            })),
            "compared": done.time.map(|time| time.timings.compared),
        })
    }

    /// Checks that all results can be written, and that no other file is overwritten.
    fn check_places(&self) -> Result<(), JobError> {
        let out = &*self.out;
        let votes = votes_path(out);
        let table = self.table.as_deref();
        for place in table.into_iter().chain([out]).chain(self.keep_votes.then_some(&*votes)) {
            check_place(place).map_err(|error| JobError::cannot_write(place, error))?;
        }
        if !self.resume {
            EvidenceWriter::check_new(out)?;
            if self.keep_votes {
                VotesWriter::check_new(&votes)?;
            }
        }
        let Some(table) = table else { return Ok(()) };
        let name = table.display();
        ensure!(
            ![out, &*votes].into_iter().any(|place| is_same(place, table)),
            "`table` {name} is the name of an evidence file or its votes; give the table another name"
        );
        ensure!(
            self.resume || !table.exists(),
            "{name} exists; add `resume` to continue that run, or choose another name with `table`"
        );
        check_replaceable(table, "table of results", is_table)
            .map_err(|error| JobError::cannot_write(table, error))
    }

    /// The header of this run. `own` is the header of the same run before it was interrupted.
    fn header(
        &self,
        sigma: Sigma,
        data: &Dataset,
        runtime: &OnnxRuntime,
        model: &OnnxModel,
        count: usize,
        own: Option<&Header>,
    ) -> Result<Header, JobError> {
        let simultaneous =
            self.simultaneous.then_some(Simultaneous { alpha: self.alpha, inputs: count as u64 });
        let alpha = simultaneous.as_ref().map_or(Ok(self.alpha), Simultaneous::alpha_each)?;
        let challenge = self.challenge.clone().or_else(|| own?.challenge.clone());
        let seed = match own {
            Some(own) => own.settings.seed,
            None if challenge.is_some() => 0,
            None => chosen_or_drawn(self.seed)?,
        };
        let settings = Settings {
            sigma,
            distribution: self.distribution,
            alpha,
            n0: self.n0,
            n: self.n,
            stop: self.stop.clone(),
            sequence: self.sequence,
            seed,
        };
        settings.check()?;
        let mut header = Header {
            schema: SCHEMA.into(),
            tool: TOOL.into(),
            model: model_source(model, sigma),
            data: DataSource {
                file: file_name(&data.path),
                images_sha256: data.images_sha256.clone(),
                labels_sha256: data.labels_sha256.clone(),
                shape: data.shape(),
                range: [0.0, 1.0],
                preparation: self.data.preparation,
                class_names: data.class_names().unwrap_or_default(),
            },
            // The same inputs have the same description, so that a challenge gives one seed.
            subset: self.data.subset(count as u64).in_normal_form(data),
            shard: self.shard,
            noise: NoiseSource { mode: self.noise_mode, generator: settings.distribution.generator().into() },
            keeps_votes: self.keep_votes,
            recertification: None,
            settings,
            simultaneous,
            challenge: None,
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
        indices: &[usize],
        (mut writer, done): (EvidenceWriter, u64),
    ) -> Result<SamplingTime, JobError> {
        // The number of samples of an input is known beforehand only with the rule `fixed`.
        let (samples, unit) = match header.settings.stop {
            StoppingRule::Fixed => (header.settings.n0 + header.settings.n, "samples"),
            _ => (1, "inputs"),
        };
        let work = Work {
            title: &format!("certifying {}", header.model.file),
            steps: indices.len() as u64 * samples,
            done: done * samples,
            unit,
            out: Some(&self.out),
        };
        if header.keeps_votes {
            certifier.keep_votes();
        }
        let inputs = inputs(data, &indices[done as usize..]);
        let started = Instant::now();
        let mut failure = None;
        let sample = || {
            certifier.certify_with_votes(
                inputs,
                |run| control.observer.advance(if samples > 1 { run } else { 0 }),
                |certificate, votes| {
                    control.observer.advance(u64::from(samples == 1));
                    let record = Record::new(certificate, header);
                    let written = writer.record_with_votes(record, &votes.unwrap_or_default());
                    written.map_err(set_aside(&mut failure))
                },
            )
        };
        let result = control.during(&work, sample);
        if let Some(error) = failure {
            return Err(JobError::unwritten(error));
        }
        result?;
        writer.finish().map_err(JobError::unwritten)?;
        Ok(SamplingTime { timings: certifier.timings(), wall: started.elapsed() })
    }

    /// Reads the evidence back and writes the table.
    fn finish(&self) -> Result<Evidence, JobError> {
        let evidence = read_evidence(&self.out)?;
        if let Some(path) = &self.table {
            write_atomically(path, |file| file.write_all(to_table(&evidence.records).as_bytes()))
                .map_err(|error| JobError::cannot_write(path, error))?;
        }
        Ok(evidence)
    }
}

impl NamedJob for Certify {
    const NAME: &'static str = "certify";

    fn from_keywords(keywords: &mut Keywords) -> Result<Self, JobError> {
        let (model, data) = (ModelSettings::from_keywords(keywords)?, DataSettings::from_keywords(keywords)?);
        let mut job = Self::new(model, data, keywords.need::<PathBuf>("out")?);
        job.sigma = keywords.get("sigma")?;
        keywords.set("distribution", &mut job.distribution)?;
        keywords.set("noise_mode", &mut job.noise_mode)?;
        keywords.set("n0", &mut job.n0)?;
        keywords.set("n", &mut job.n)?;
        keywords.set("alpha", &mut job.alpha)?;
        keywords.set("stop", &mut job.stop)?;
        keywords.set("sequence", &mut job.sequence)?;
        job.seed = keywords.get("seed")?;
        job.challenge = challenge(keywords)?;
        keywords.set("keep_votes", &mut job.keep_votes)?;
        keywords.set("simultaneous", &mut job.simultaneous)?;
        job.shard = keywords.get("shard")?;
        ensure!(
            job.shard.is_none() || job.seed.is_some() || job.challenge.is_some(),
            "`shard` needs `seed` or `challenge`, the same for all parts"
        );
        job.table = keywords.get("table")?;
        keywords.set("resume", &mut job.resume)?;
        ensure!(job.seed.is_none() || job.challenge.is_none(), "give `seed` or `challenge`, not both");
        Ok(job)
    }

    fn run_to_json(&self, control: &Control) -> Result<Value, JobError> {
        Ok(self.to_json(&self.run(control)?))
    }
}

/// The challenge that keywords give, if it is a valid one.
pub(super) fn challenge(keywords: &mut Keywords) -> Result<Option<String>, JobError> {
    let given: Option<String> = keywords.get("challenge")?;
    given
        .map(|text| {
            parse_challenge(&text).map_err(|problem| JobError::Refused(format!("`challenge`: {problem}")))
        })
        .transpose()
}

/// The summary of a run, as in an audit. `out` is its evidence file.
pub(crate) fn summary(out: &Path, evidence: &Evidence) -> RunSummary {
    let norm = evidence.header.settings.distribution.norm();
    summarize(&Run::of_evidence(&file_name(out), evidence), &[], norm)
}

/// The header of the run to resume, if no `seed` is given: it is then resumed with its own seed and challenge.
pub(super) fn own_header(earlier: Option<&ResumableRun>, seed: Option<u64>) -> Option<&Header> {
    earlier.and_then(ResumableRun::header).filter(|_| seed.is_none())
}

/// Opens the evidence file; returns the writer and the number of finished inputs.
pub(super) fn begin_or_resume(
    control: &Control,
    out: &Path,
    earlier: Option<ResumableRun>,
    header: &Header,
) -> Result<(EvidenceWriter, u64), JobError> {
    let Some(earlier) = earlier else { return Ok((EvidenceWriter::create(out, header)?, 0)) };
    let there = earlier.inputs();
    let (writer, done) = earlier.resume(header)?;
    if done < there {
        control.note(&format!(
            "{} inputs are certified again, because {} lacks their votes",
            there - done,
            votes_path(out).display()
        ));
    }
    Ok((writer, done))
}
