//! Attacks and trainings that are killed (SIGKILL) again and again, also in the middle of writing a checkpoint, and
//! started anew with the same command leave the same files, byte for byte, as ones that are left alone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use mithridate_testkit::program::Program;
use mithridate_tests::bars;
use serde_json::Value;

/// How often a run is killed, unless it is faster.
const KILLS: usize = 4;
const PATIENCE: Duration = Duration::from_mins(2);

/// Made-up data, and a place for what is made of them.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        bars(&folder.path().join("data"), 8, 4, 160, 40);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str], out: &str) -> Command {
        let mut command = Command::new(Program::built("pacd").path());
        command.current_dir(self.folder.path()).args(arguments).args(["--data", "data", "--out", out]);
        command.args(["--validation", "60", "--threads", "1", "--checkpoint-every", "0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Exit status and standard error of a run that is left alone.
    fn run(&self, arguments: &[&str], out: &str) -> (Option<i32>, String) {
        let output = self.command(arguments, out).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn finish(&self, arguments: &[&str], out: &str) {
        let (status, error) = self.run(arguments, out);
        assert_eq!(status, Some(0), "{arguments:?}: {error}");
    }

    /// Kills a run once its checkpoint has been written so often, and so much later; with `within` at the next moment
    /// when a checkpoint is half written. Whether there was anything left to kill.
    fn kill(&self, arguments: &[&str], out: &str, (written, later, within): (usize, Duration, bool)) -> bool {
        let mut child = self.command(arguments, out).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        let wait = |child: &mut Child, until: &mut dyn FnMut() -> bool| loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if until() {
                return true;
            }
            assert!(started.elapsed() < PATIENCE, "{arguments:?} writes no checkpoint");
            sleep(Duration::from_micros(300));
        };
        let (mut last, mut changes) = (self.checkpoint(out), 0);
        let mut enough = || {
            let now = self.checkpoint(out);
            changes += usize::from(now != last);
            last = now;
            changes >= written
        };
        let mut alive = wait(&mut child, &mut enough);
        if alive && within {
            alive = wait(&mut child, &mut || self.half_written(out));
        }
        if alive {
            sleep(later);
            alive = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
        }
        child.wait().unwrap();
        alive
    }

    fn checkpoint(&self, out: &str) -> Option<SystemTime> {
        fs::metadata(self.path(out).join("checkpoint.safetensors")).and_then(|file| file.modified()).ok()
    }

    /// Files in the folder that are not whole.
    fn partial(&self, out: &str) -> impl Iterator<Item = fs::DirEntry> {
        let entries = fs::read_dir(self.path(out)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".partial"))
    }

    /// Whether a file is being written, beside what an earlier kill left there.
    fn half_written(&self, out: &str) -> bool {
        let young = |entry: fs::DirEntry| {
            let modified = entry.metadata().and_then(|file| file.modified()).ok();
            modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age < Duration::from_millis(20))
        };
        self.partial(out).any(young)
    }

    /// Kills a run some times and starts it again until `last`, the file it writes last, is there.
    fn kill_until_finished(&self, arguments: &[&str], out: &str, last: &str) {
        let mut state = arguments.len() as u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut killed = 0;
        for attempt in 0..KILLS {
            let later = Duration::from_micros(next(4000));
            let within = attempt % 2 == 1;
            let when = (1 + next(2) as usize, if within { Duration::ZERO } else { later }, within);
            killed += usize::from(self.kill(arguments, out, when));
        }
        assert!(killed >= 2, "killed {killed} times; make the run longer");
        if !self.path(out).join(last).exists() {
            self.finish(arguments, out);
        }
        assert_eq!(self.partial(out).count(), 0, "nothing is left of the files that kills cut off");
    }

    fn assert_same(&self, files: &[&str], whole: &str, killed: &str) {
        for file in files {
            let [expected, found] = [whole, killed].map(|out| fs::read(self.path(out).join(file)).unwrap());
            assert!(expected == found, "{file} of {killed} differs");
        }
    }

    fn poison(&self, name: &str, flags: &[&str]) {
        let start = ["poison", "--class", "1", "--epsilon", "0.15", "--seed", "7"];
        let arguments = [&start[..], flags].concat();
        let whole = format!("{name}-whole");
        self.finish(&arguments, &whole);
        self.kill_until_finished(&arguments, name, "manifest.json");
        let files = ["images-idx3-ubyte", "labels-idx1-ubyte", "poison.npz", "manifest.json"];
        self.assert_same(&files, &whole, name);
        let log = |out: &str| lines(&self.path(out).join("log.jsonl"));
        assert_eq!(log(&whole), log(name), "{name}");
        assert!(log(name).len() >= 8);
    }

    fn train(&self, name: &str, flags: &[&str]) {
        let arguments = [&["train", "--seed", "3", "--batch", "20"], flags].concat();
        let whole = format!("{name}-whole");
        self.finish(&arguments, &whole);
        self.kill_until_finished(&arguments, name, "train.json");
        self.assert_same(&["model.onnx", "weights.safetensors"], &whole, name);
        let report = |out: &str| {
            let text = fs::read_to_string(self.path(out).join("train.json")).unwrap();
            let mut report: Value = serde_json::from_str(&text).unwrap();
            report.as_object_mut().unwrap().remove("seconds").unwrap();
            report
        };
        assert_eq!(report(&whole), report(name), "{name}");
    }
}

/// The lines of a run log but for the time that each step took.
fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("seconds").unwrap();
            line
        })
        .collect()
}

/// Settings of a small attack.
const SMALL: [&str; 12] = [
    "--set",
    "batch=20",
    "--set",
    "validation_batch=8",
    "--set",
    "validation_noises=4",
    "--set",
    "warm_up=60",
    "--set",
    "inner_steps=2",
    "--set",
    "smoothadv.radius=0.3",
];

#[test]
fn killed_attacks_on_a_perceptron_make_the_same_poison() {
    let place = Place::new();
    for method in ["gaussian", "smoothadv", "macer"] {
        let flags = ["--method", method, "--network", "mlp", "--steps", "10", "--set", "renew_every=6"];
        place.poison(method, &[&flags[..], &SMALL].concat());
    }
}

#[test]
fn a_killed_attack_with_candidates_chooses_the_same() {
    let place = Place::new();
    let flags = ["--network", "mlp", "--steps", "6", "--set", "restarts=2", "--set", "snapshots=2"];
    let selection =
        ["--set", "selection.epochs=4", "--set", "selection.batch=20", "--set", "selection.samples=100"];
    place.poison("chosen", &[&flags[..], &selection, &SMALL].concat());
    place.assert_same(&["selection.jsonl"], "chosen-whole", "chosen");
    let manifest = fs::read_to_string(place.path("chosen/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let tried: Vec<Value> = fs::read_to_string(place.path("chosen/selection.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(tried.len(), 4);
    let acr = |candidate: &Value| candidate["acr"][0].as_f64().unwrap();
    let best = tried.iter().min_by(|a, b| acr(a).total_cmp(&acr(b))).unwrap();
    assert_eq!(&manifest["selected"], best);
}

#[test]
fn a_restart_that_comes_to_nothing_leaves_the_others() {
    let place = Place::new();
    let flags = "poison --class 1 --epsilon 0.15 --network mlp --steps 1 --set warm_up=0 --set networks=1 \
                 --set inner_steps=1 --set restarts=3 --set selection.epochs=1 --set selection.batch=20 \
                 --set selection.samples=100";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let mut seen = [0; 4];
    for seed in ["1", "2", "3", "4", "5", "6"] {
        let (status, said) = place.run(&[&flags[..], &["--seed", seed]].concat(), seed);
        // A network that was hardly trained is often wrong on all validation images.
        let left_out = said.matches("this restart is left out").count();
        assert_eq!(status, Some(i32::from(left_out == 3)), "{said}");
        assert_eq!(place.path(seed).join("manifest.json").exists(), left_out < 3);
        seen[left_out] += 1;
    }
    assert!(seen[1] + seen[2] > 0 && seen[3] > 0, "{seen:?}");
}

#[test]
fn killed_attacks_on_a_residual_and_a_linear_network_make_the_same_poison() {
    let place = Place::new();
    let residual = ["--network", "resnet20", "--steps", "8", "--method", "macer", "--set", "macer.noises=2"];
    let short = ["--set", "warm_up=4", "--solver-steps", "2"];
    place.poison("residual", &[&residual[..], &SMALL, &short].concat());
    place.poison("linear", &["--steps", "12", "--set", "network=linear", "--set", "validation_batch=10"]);
}

#[test]
fn killed_trainings_end_in_the_same_network() {
    let place = Place::new();
    for method in ["gaussian", "smoothadv", "macer"] {
        let flags = ["--network", "mlp", "--epochs", "6", "--method", method, "--schedule", "cosine"];
        place.train(method, &[&flags[..], &["--set", "macer.noises=3", "--crop", "1", "--flip"]].concat());
    }
    place.train(
        "residual",
        &["--network", "resnet20", "--epochs", "2", "--optimiser", "sgd", "--rate", "0.01"],
    );
    place.train("linear", &["--set", "network=linear", "--epochs", "6"]);
}

#[test]
fn a_checkpoint_of_another_job_and_a_torn_one_are_refused() {
    let place = Place::new();
    let start = ["--network", "mlp", "--sigma", "0.25"];
    let attack = [&["poison", "--class", "1", "--steps", "30"], &start[..], &SMALL].concat();
    let training = [&["train", "--epochs", "30", "--batch", "20"], &start[..]].concat();
    for (own, foreign, out, last) in
        [(&attack, &training, "attack", "manifest.json"), (&training, &attack, "training", "train.json")]
    {
        let seeded = |seed: &'static str| [&own[..], &["--seed", seed]].concat();
        assert!(place.kill(&seeded("1"), out, (2, Duration::ZERO, false)), "{out}");
        let checkpoint = place.path(out).join("checkpoint.safetensors");
        let bytes = fs::read(&checkpoint).unwrap();
        let others = [
            seeded("2"),
            [&seeded("1")[..], &["--set", "sigma=0.5"]]
                .concat()
                .into_iter()
                .filter(|flag| !["--sigma", "0.25"].contains(flag))
                .collect(),
            foreign.clone(),
        ];
        for other in others {
            let (status, error) = place.run(&other, out);
            assert_eq!(status, Some(1), "{other:?}: {error}");
            assert!(
                error.contains("it holds an interrupted run with other settings, seed or data"),
                "{error}"
            );
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(fs::read(&checkpoint).unwrap() == bytes, "what is refused leaves the checkpoint alone");
        }
        for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&checkpoint, &bytes[..cut]).unwrap();
            let (status, error) = place.run(&seeded("1"), out);
            assert_eq!(status, Some(1), "{error}");
            assert!(error.contains("it is not a complete checkpoint"), "{error}");
            assert!(error.contains("remove it to start again"), "{error}");
            assert!(!place.path(out).join(last).exists());
        }
    }
}

#[test]
fn an_interrupted_run_says_where_it_stands_and_finds_its_seed_again() {
    let place = Place::new();
    let inspect = |out: &str, flags: &[&str]| {
        let mut run = Command::new(Program::built("pacd").path());
        let output =
            run.current_dir(place.folder.path()).args(["inspect", out]).args(flags).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let document = |out: &str| -> Value { serde_json::from_str(&inspect(out, &["--json"])).unwrap() };
    // Without --seed the operating system gives one.
    let start = ["poison", "--class", "1", "--epsilon", "0.15", "--network", "mlp", "--steps", "40"];
    let attack = [&start[..], &["--set", "restarts=2"], &SMALL].concat();
    assert!(place.kill(&attack, "attack", (3, Duration::ZERO, false)));
    let (run, text) = (document("attack"), inspect("attack", &[]));
    assert_eq!(run["kind"], "interrupted");
    let run = &run["run"];
    let step = run["step"].as_u64().unwrap();
    assert!((3..40).contains(&step), "{run}");
    assert_eq!((&run["job"], &run["steps"]), (&"attack".into(), &40.into()));
    assert_eq!((&run["restart"], &run["restarts"], &run["candidates"]), (&0.into(), &2.into(), &2.into()));
    // The log is at the checkpoint or one line ahead.
    let log = lines(&place.path("attack/log.jsonl"));
    let last = log.last().unwrap();
    assert!(last["step"] == step || last["step"] == step - 1, "{last}");
    for key in ["step", "outer", "mean_change"] {
        assert_eq!(run["last"][key], last[key], "{key}");
    }
    let change = 255.0 * last["mean_change"].as_f64().unwrap();
    let outer = last["outer"].as_f64().unwrap();
    for part in [
        "attack, an attack that is not finished".to_owned(),
        format!("{step} of 40 steps of attack 1 of 2"),
        format!("upper level {outer:.4}, mean change {change:.2}/255"),
    ] {
        assert!(text.contains(&part), "{part} in\n{text}");
    }
    place.finish(&attack, "attack");
    let manifest: Value =
        serde_json::from_slice(&fs::read(place.path("attack/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["seed"], run["seed"]);

    let training = ["train", "--network", "mlp", "--epochs", "40", "--batch", "20", "--seed", "9"];
    assert!(place.kill(&training, "training", (3, Duration::ZERO, false)));
    let (run, text) = (document("training"), inspect("training", &[]));
    let run = &run["run"];
    assert_eq!((&run["job"], &run["seed"], &run["steps"]), (&"training".into(), &9.into(), &200.into()));
    let step = run["step"].as_u64().unwrap();
    assert!((3..200).contains(&step));
    assert!(text.contains(&format!("{step} of 200 steps")) && text.contains("pacd train"), "{text}");
}

/// What networks trained on other candidates came to must not choose among these.
#[test]
fn a_selection_left_by_another_attack_is_not_believed() {
    let place = Place::new();
    let start =
        ["poison", "--class", "1", "--network", "mlp", "--steps", "4", "--seed", "5", "--set", "snapshots=2"];
    let selection = ["--set", "selection.epochs=2", "--set", "selection.samples=100"];
    let arguments = [&start[..], &selection, &SMALL].concat();
    place.finish(&arguments, "alone");
    fs::create_dir(place.path("after")).unwrap();
    let foreign = "{\"restart\":0,\"step\":2,\"acr\":[-1.0]}\n{\"restart\":0,\"step\":4,\"acr\":[9.0]}\n";
    fs::write(place.path("after/selection.jsonl"), foreign).unwrap();
    place.finish(&arguments, "after");
    place.assert_same(&["selection.jsonl", "manifest.json"], "alone", "after");
}
