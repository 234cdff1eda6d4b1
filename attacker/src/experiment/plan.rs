use std::path::{Path, PathBuf};

use super::{Config, VictimKind, config::GroupSettings};
use crate::{
    Error,
    attack::AttackSettings,
    data::TrainingSet,
    jobs::{PoisonJob, VictimJob, identity, names},
    poison::{Generator, PoisonSet},
    resolve::erm_baseline,
};

/// One step of an experiment, and the file or folder that it writes. The name of the file or folder contains a hash of
/// everything that its content depends on: settings, seed, data, and the steps before.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name for the user.
    pub name: String,
    /// The file or folder that it writes.
    pub place: PathBuf,
    /// Indices of the steps that must be finished first; all are smaller than its own index.
    pub needs: Vec<usize>,
    /// What it does.
    pub action: Action,
}

/// What a step of an experiment does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Makes a poison set.
    Poison(VictimKind, Box<PoisonJob>),
    /// Trains a victim.
    Train(VictimKind, VictimJob),
    /// Certifies a victim on a group of test images.
    Certify(Group, GroupSettings),
}

/// A group of test images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The images of the target classes.
    Target,
    /// The images of the other classes.
    Others,
}

impl Group {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Others => "others",
        }
    }
}

/// How far a step of an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It has not begun.
    ToDo,
    /// It was interrupted and can go on.
    Begun,
    /// It is finished.
    Done,
}

impl StepState {
    /// Its name in the plan.
    pub fn name(self) -> &'static str {
        match self {
            Self::ToDo => "to do",
            Self::Begun => "begun",
            Self::Done => "done",
        }
    }
}

impl Step {
    /// How far it is, by the files in its place.
    pub fn state(&self) -> StepState {
        let (done, begun) = match self.action {
            Action::Poison(..) => (PoisonSet::is_in(&self.place), self.place.join(names::CHECKPOINT)),
            Action::Train(..) => {
                (self.place.join(names::REPORT).is_file(), self.place.join(names::CHECKPOINT))
            }
            Action::Certify(..) => {
                (mithridate_runtime::evidence::read_evidence(&self.place).is_ok(), self.place.clone())
            }
        };
        match (done, begun.is_file()) {
            (true, _) => StepState::Done,
            (false, true) => StepState::Begun,
            (false, false) => StepState::ToDo,
        }
    }
}

/// The steps of an experiment whose results are in `folder`; each comes after the steps it needs.
///
/// # Errors
/// [`Error::Setting`] if a job can't be done on these data.
pub fn plan(config: &Config, training: &TrainingSet, folder: &Path) -> Result<Vec<Step>, Error> {
    let source = (&training.data.images_sha256, &training.data.labels_sha256, training.split);
    let mut steps: Vec<Step> = Vec::new();
    for &kind in &config.victims.kinds {
        let poison = generator(&config.attack, kind)
            .map(|generator| {
                let job = PoisonJob::with(generator, &config.attack, config.seed);
                job.check(training)?;
                let key = identity(&(&job, source));
                steps.push(Step {
                    name: format!("poison set '{}'", kind.name()),
                    place: folder.join("poison").join(format!("{}-{}", kind.name(), &key[..8])),
                    needs: Vec::new(),
                    action: Action::Poison(kind, Box::new(job)),
                });
                Ok::<_, Error>((steps.len() - 1, key))
            })
            .transpose()?;
        for &seed in &config.victims.seeds {
            let job = VictimJob { settings: config.victims.training, seed };
            let key = identity(&(&job, source, poison.as_ref().map(|(_, key)| key)));
            let name = format!("{}-{seed}", kind.name());
            steps.push(Step {
                name: format!("training victim {name}"),
                place: folder.join("models").join(format!("{name}-{}", &key[..8])),
                needs: poison.iter().map(|(number, _)| *number).collect(),
                action: Action::Train(kind, job),
            });
            let trained = steps.len() - 1;
            for (group, settings) in
                [(Group::Target, config.certify.target), (Group::Others, config.certify.others)]
            {
                let certify = &config.certify;
                let rule = (config.attack.sigma, certify.alpha, certify.n0, settings, config.seed);
                let key = identity(&(&key, &config.attack.target_classes, group.name(), rule));
                let file = format!("{name}-{}-{}.jsonl", group.name(), &key[..8]);
                steps.push(Step {
                    name: format!("certifying victim {name}, {}", group.name()),
                    place: folder.join("evidence").join(file),
                    needs: vec![trained],
                    action: Action::Certify(group, settings),
                });
            }
        }
    }
    Ok(steps)
}

fn generator(attack: &AttackSettings, kind: VictimKind) -> Option<Generator> {
    match kind {
        VictimKind::Clean => None,
        VictimKind::Random => Some(Generator::Random),
        VictimKind::Watermark => Some(Generator::Watermark),
        VictimKind::Erm => Some(Generator::Bilevel(Box::new(erm_baseline(attack)))),
        VictimKind::Poison => Some(Generator::Bilevel(Box::new(attack.clone()))),
    }
}
