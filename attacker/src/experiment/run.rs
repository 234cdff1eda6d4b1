use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use mithridate_runtime::{
    data::{Dataset, Split, sha256},
    evidence::read_evidence,
    files::write_atomically,
};
use serde::Serialize;

use super::{
    CertifierProgram, Config, ExperimentResults, VictimKind,
    config::GroupSettings,
    estimate::Costs,
    plan::{Action, Group, Step, StepState, plan},
    report,
    results::{Victim, results},
    schedule::run_in_order,
};
use crate::{
    Error,
    data::TrainingSet,
    events::Events,
    jobs::{PoisonJob, Runner, VictimJob, VictimReport, make_poison, names, train_victim},
    poison::PoisonSet,
};

/// The output of an experiment.
#[derive(Clone, Debug)]
pub struct ExperimentOutput {
    /// The results.
    pub results: ExperimentResults,
    /// Path of the report, an HTML page.
    pub report: PathBuf,
}

/// A line of the plan that `--dry-run` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedStep {
    /// Name of the step.
    pub name: String,
    /// The file or folder that it writes.
    pub place: PathBuf,
    /// "done", "begun" or "to do".
    pub state: &'static str,
    /// Estimated seconds from its beginning; 0 if it is done.
    pub seconds: f64,
}

/// An experiment in its folder.
///
/// The names of its files contain a hash of everything they depend on. A second run, of the same experiment or of one
/// with more victims or seeds, therefore does only the steps that are missing.
pub struct Experiment<'a> {
    config: &'a Config,
    folder: &'a Path,
    training: TrainingSet,
    steps: Vec<Step>,
}

impl<'a> Experiment<'a> {
    /// Opens the data and makes the plan. It checks everything that can be checked before any step runs.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::Data`], [`Error::Network`].
    pub fn new(config: &'a Config, folder: &'a Path) -> Result<Self, Error> {
        config.attack.check(usize::MAX)?;
        let training = TrainingSet::open(&config.data.path, config.data.split())?;
        config.attack.check(training.classes)?;
        check_test_split(config, &training)?;
        let steps = plan(config, &training, folder)?;
        Ok(Self { config, folder, training, steps })
    }

    /// The steps with an estimate of the time of each, from short measurements on this machine.
    ///
    /// # Errors
    /// [`Error`] if the measurements can't be made.
    pub fn planned(&self, runner: &Runner<'_>) -> Result<Vec<PlannedStep>, Error> {
        let open: Vec<Step> =
            self.steps.iter().filter(|step| step.state() != StepState::Done).cloned().collect();
        let seconds = Costs::new(self.config, &self.training, runner).of(&open)?;
        let known: BTreeMap<&PathBuf, f64> = open.iter().map(|step| &step.place).zip(seconds).collect();
        Ok(self
            .steps
            .iter()
            .map(|step| PlannedStep {
                name: step.name.clone(),
                place: step.place.clone(),
                state: step.state().name(),
                seconds: known.get(&step.place).copied().unwrap_or(0.0),
            })
            .collect())
    }

    /// Runs the missing steps, up to `jobs` at a time, and writes results and report.
    ///
    /// # Errors
    /// The first [`Error`] of a step; finished steps are kept.
    pub fn run(
        &self,
        runner: &Runner<'_>,
        certifier: &CertifierProgram,
        jobs: usize,
    ) -> Result<ExperimentOutput, Error> {
        self.training.data.notes().iter().for_each(|text| runner.events.note(text));
        fs::create_dir_all(self.folder.join("evidence")).map_err(Error::write(self.folder))?;
        let text = toml::to_string(self.config).map_err(Error::write(self.folder))?;
        self.write("config.toml", &text)?;
        // Each set is read once.
        let sets: Mutex<BTreeMap<VictimKind, PoisonSet>> = Mutex::default();
        let needs: Vec<Vec<usize>> = self.steps.iter().map(|step| step.needs.clone()).collect();
        let counter = AtomicUsize::new(0);
        run_in_order(&needs, jobs, |number| {
            let step = &self.steps[number];
            let count = counter.fetch_add(1, Ordering::SeqCst) + 1;
            runner.events.note(&format!("[{count}/{}] {}", self.steps.len(), step.name));
            let set_of = |kind: VictimKind| -> Option<PoisonSet> {
                sets.lock().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned()
            };
            match &step.action {
                Action::Poison(kind, job) => {
                    let set = self.poison(job, &step.place, &step.name, runner)?;
                    sets.lock().unwrap_or_else(PoisonError::into_inner).insert(*kind, set);
                    Ok(())
                }
                Action::Train(kind, job) => {
                    self.train(job, set_of(*kind).as_ref(), &step.place, &step.name, runner)
                }
                Action::Certify(group, settings) => {
                    let model = self.steps[step.needs[0]].place.join(names::MODEL);
                    self.certify(&model, &step.place, *group, *settings, certifier, runner.events)
                }
            }
        })?;
        let sets = sets.into_inner().unwrap_or_else(PoisonError::into_inner);
        let victims = self.victims()?;
        let results = results(self.config, &victims);
        let text = serde_json::to_string_pretty(&results).map_err(Error::write(self.folder))?;
        let page =
            report::page(self.config, &results, &victims, &self.training, sets.get(&VictimKind::Poison))?;
        self.write("results.json", &text)?;
        Ok(ExperimentOutput { results, report: self.write("report.html", &page)? })
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        write_atomically(&path, |file| file.write_all(content.as_bytes())).map_err(Error::write(&path))?;
        Ok(path)
    }

    fn poison(
        &self,
        job: &PoisonJob,
        place: &Path,
        title: &str,
        runner: &Runner<'_>,
    ) -> Result<PoisonSet, Error> {
        if !PoisonSet::is_in(place) {
            return make_poison(job, &self.training, runner, place, title);
        }
        let set = PoisonSet::read(place, &self.training)?;
        if job.made(&set.manifest) { Ok(set) } else { Err(stale(place, "poison made with other settings")) }
    }

    fn train(
        &self,
        job: &VictimJob,
        poison: Option<&PoisonSet>,
        place: &Path,
        title: &str,
        runner: &Runner<'_>,
    ) -> Result<(), Error> {
        if !place.join(names::REPORT).is_file() {
            return train_victim(job, &self.training, poison, runner, place, title).map(|_| ());
        }
        if job.trained(&VictimReport::read(place)?, &self.training, poison) {
            return Ok(());
        }
        Err(stale(place, "a network trained on other data or with other settings"))
    }

    /// Certifies a victim on a group of test images. All victims get the same images and the same noise.
    fn certify(
        &self,
        model: &Path,
        evidence: &Path,
        group: Group,
        settings: GroupSettings,
        certifier: &CertifierProgram,
        events: Events<'_>,
    ) -> Result<(), Error> {
        // Finished evidence needs no certifier; `read_evidence` has checked its hash.
        if let Ok(finished) = read_evidence(evidence) {
            let bytes = fs::read(model).map_err(Error::read(model))?;
            // The same settings may have made another model, for example on another device.
            let same = finished.header.model.sha256 == sha256(&bytes);
            return if same {
                Ok(())
            } else {
                Err(stale(evidence, "evidence of another model than its victim's"))
            };
        }
        let (config, targets) = (self.config, &self.config.attack.target_classes);
        let classes: Vec<String> = (0..self.training.classes)
            .filter(|class| targets.contains(class) == (group == Group::Target))
            .map(|class| class.to_string())
            .collect();
        let flags = [
            ("--sigma", config.attack.sigma.to_string()),
            ("--alpha", config.certify.alpha.to_string()),
            ("--n0", config.certify.n0.to_string()),
            ("--n", settings.n.to_string()),
            ("--class", classes.join(",")),
            ("--max", settings.inputs.to_string()),
            ("--seed", config.seed.to_string()),
        ];
        certifier.certify(model, &config.data.path, evidence, &flags, events)
    }

    /// The victims with their evidence.
    fn victims(&self) -> Result<Vec<Victim>, Error> {
        let mut victims = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let Action::Train(kind, job) = &step.action else { continue };
            let records = |wanted: Group| {
                let evidence = self.steps.iter().find(|other| {
                    other.needs == [number]
                        && matches!(other.action, Action::Certify(group, _) if group == wanted)
                });
                evidence.map_or(Ok(Vec::new()), |step| Ok::<_, Error>(read_evidence(&step.place)?.records))
            };
            victims.push(Victim {
                kind: *kind,
                seed: job.seed,
                report: VictimReport::read(&step.place)?,
                target: records(Group::Target)?,
                others: records(Group::Others)?,
            });
        }
        Ok(victims)
    }
}

/// Checks before the attack that the test images fit the experiment.
fn check_test_split(config: &Config, training: &TrainingSet) -> Result<(), Error> {
    let test = Dataset::open(&config.data.path, Split::Test)?;
    config.victims.training.network.layers(training.data.shape(), training.classes)?;
    config.attack.network.layers(training.data.shape(), training.classes)?;
    let (found, expected) = (test.shape(), training.data.shape());
    if found != expected {
        return Err(Error::setting(
            "the shape of test images",
            format!("{expected:?}"),
            &format!("{found:?}"),
        ));
    }
    let targets = &config.attack.target_classes;
    let of_target = test.labels().iter().filter(|&&label| targets.contains(&usize::from(label))).count();
    if of_target == 0 || of_target == test.len() {
        let expected = format!("at least 1 and less than all {}", test.len());
        return Err(Error::setting("the number of test images of the target classes", expected, &of_target));
    }
    if let Some(label) = test.labels().iter().find(|&&label| usize::from(label) >= training.classes) {
        let expected = format!("one of the {} classes of the training images", training.classes);
        return Err(Error::setting("every test label", expected, label));
    }
    Ok(())
}

/// The error for a result at `place` whose content, `found`, does not fit the hash in its name.
fn stale(place: &Path, found: &str) -> Error {
    Error::write(place)(format!("it holds {found}, so it is not the file that its name says; move it away"))
}
