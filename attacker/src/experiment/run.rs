use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use mithridate_runtime::{
    data::{Dataset, Split},
    evidence::{Record, read_evidence},
    files::write_atomically,
};

use super::{
    Certifier, Config, Results, VictimKind,
    config::{GroupSettings, parse_toml},
    report,
    results::{Victim, results},
};
use crate::{
    Error,
    data::TrainingSet,
    device::DeviceChoice,
    jobs::{PoisonJob, VictimJob, VictimReport, make_poison, names, train_victim},
    poison::{Generator, PoisonSet},
};

/// What an experiment leaves.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The figures.
    pub results: Results,
    /// The page.
    pub report: PathBuf,
}

/// Runs an experiment in a folder. What the folder holds of the same experiment is used, so that an interrupted
/// run goes on where it stopped.
///
/// # Errors
/// [`Error`]; what was finished is kept.
pub fn run(
    config: &Config,
    folder: &Path,
    device: DeviceChoice,
    certifier: &Certifier,
) -> Result<Outcome, Error> {
    config.attack.check(usize::MAX)?;
    let training = TrainingSet::open(&config.data.path, config.data.split())?;
    config.attack.check(training.classes)?;
    check_test_split(config, &training)?;
    claim(config, folder)?;
    let tensors = device.prepare()?;
    let kinds = &config.victims.kinds;
    let steps = 2 * kinds.len() * config.victims.seeds.len()
        + kinds.iter().filter(|kind| **kind != VictimKind::Clean).count();
    let mut step = 0;
    let mut announce = |text: &str| {
        step += 1;
        eprintln!("[{step}/{steps}] {text}");
    };

    let mut victims = Vec::new();
    let mut sets = Vec::new();
    for &kind in kinds {
        if let Some(generator) = generator(config, kind) {
            let place = folder.join(kind.name());
            announce(&format!("poison set '{}'", kind.name()));
            let job = PoisonJob {
                generator,
                target_class: config.attack.target_class,
                epsilon: config.attack.epsilon,
                seed: config.seed,
                device,
            };
            let set = if PoisonSet::is_in(&place) {
                let set = PoisonSet::read(&place, &training)?;
                if !job.made(&set.manifest) {
                    return Err(stale(&place, "was made with other settings"));
                }
                set
            } else {
                make_poison(&job, &training, tensors, &place)?
            };
            sets.push((kind, set));
        }
    }
    for &kind in kinds {
        let poison = sets.iter().find(|(of, _)| *of == kind).map(|(_, set)| set);
        for &seed in &config.victims.seeds {
            let name = format!("{}-{seed}", kind.name());
            let place = folder.join("models").join(&name);
            announce(&format!("training victim {name}"));
            let job = VictimJob { settings: config.victim_settings(), seed, device };
            let report = if place.join(names::REPORT).is_file() {
                let report = VictimReport::read(&place)?;
                if !job.trained(&report, &training, poison) {
                    return Err(stale(&place, "was trained on other data or with other settings"));
                }
                report
            } else {
                train_victim(&job, &training, poison, tensors, &place, &format!("training {name}"))?
            };
            announce(&format!("certifying victim {name}"));
            let (target, others) = certify(config, folder, &name, training.classes, certifier)?;
            victims.push(Victim { kind, seed, report, target, others });
        }
    }
    let results = results(config, &victims);
    let text = serde_json::to_string_pretty(&results).map_err(Error::write(folder))?;
    let page = report::page(
        config,
        &results,
        &victims,
        &training,
        sets.iter().find(|(kind, _)| *kind == VictimKind::Poison).map(|(_, set)| set),
    );
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        write_atomically(&path, |file| file.write_all(content.as_bytes())).map_err(Error::write(&path))?;
        Ok::<PathBuf, Error>(path)
    };
    write("results.json", &text)?;
    Ok(Outcome { results, report: write("report.html", &page)? })
}

/// Finds what can't work with the test images before the attack, not after it.
fn check_test_split(config: &Config, training: &TrainingSet) -> Result<(), Error> {
    let test = Dataset::open(&config.data.path, Split::Test)?;
    config.victims.network.layers(training.data.shape(), training.classes)?;
    let (found, expected) = (test.shape(), training.data.shape());
    if found != expected {
        return Err(Error::setting(
            "the shape of test images",
            format!("{expected:?}"),
            &format!("{found:?}"),
        ));
    }
    let target = config.attack.target_class;
    let of_target = test.labels().iter().filter(|&&label| usize::from(label) == target).count();
    if of_target == 0 || of_target == test.len() {
        let expected = format!("at least 1 and less than all {}", test.len());
        return Err(Error::setting("the number of test images of the target class", expected, &of_target));
    }
    if let Some(label) = test.labels().iter().find(|&&label| usize::from(label) >= training.classes) {
        let expected = format!("one of the {} classes of the training images", training.classes);
        return Err(Error::setting("every test label", expected, label));
    }
    Ok(())
}

fn stale(place: &Path, why: &str) -> Error {
    Error::write(place)(format!(
        "what it holds {why}; move the experiment's folder away, or give this one another name"
    ))
}

/// Makes the folder this experiment's, or fails if it is another's.
fn claim(config: &Config, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder.join("evidence")).map_err(Error::write(folder))?;
    let path = folder.join("config.toml");
    if path.is_file() {
        let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
        let there: Config = parse_toml(&text).map_err(Error::read(&path))?;
        if there == *config {
            return Ok(());
        }
        return Err(Error::write(folder)(
            "it holds an experiment with other settings; give this one another name, or move the folder away",
        ));
    }
    let text = toml::to_string(config).map_err(Error::write(&path))?;
    write_atomically(&path, |file| file.write_all(text.as_bytes())).map_err(Error::write(&path))
}

fn generator(config: &Config, kind: VictimKind) -> Option<Generator> {
    match kind {
        VictimKind::Clean => None,
        VictimKind::Random => Some(Generator::Random),
        VictimKind::Poison => Some(Generator::Bilevel(Box::new(config.attack.clone()))),
    }
}

/// Certifies a victim on both groups of test images, the target class and the others; every victim gets the same images
/// and the same noise.
fn certify(
    config: &Config,
    folder: &Path,
    name: &str,
    classes: usize,
    certifier: &Certifier,
) -> Result<(Vec<Record>, Vec<Record>), Error> {
    let target = config.attack.target_class;
    let others: Vec<String> =
        (0..classes).filter(|&class| class != target).map(|class| class.to_string()).collect();
    let one = |group: &str, classes: String, settings: GroupSettings| {
        let evidence = folder.join("evidence").join(format!("{name}-{group}.jsonl"));
        let flags = [
            ("--sigma", config.attack.sigma.to_string()),
            ("--alpha", config.certify.alpha.to_string()),
            ("--n0", config.certify.n0.to_string()),
            ("--n", settings.n.to_string()),
            ("--class", classes),
            ("--max", settings.inputs.to_string()),
            ("--seed", config.seed.to_string()),
        ];
        let model = folder.join("models").join(name).join(names::MODEL);
        certifier.certify(&model, &config.data.path, &evidence, &flags)?;
        Ok::<_, Error>(read_evidence(&evidence)?.records)
    };
    Ok((
        one("target", target.to_string(), config.certify.target)?,
        one("others", others.join(","), config.certify.others)?,
    ))
}
