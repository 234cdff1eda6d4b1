//! The Kubernetes files, and what their containers run.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use mithridate_runtime::evidence::read_evidence;
use mithridate_testkit::program::rscert;
use saphyr::{LoadableYamlNode, Yaml};

use super::{example, prepare, text, undivided};

/// One Job and its only container.
struct Job {
    text: String,
}

impl Job {
    fn read(name: &str) -> Self {
        Self { text: fs::read_to_string(example("kubernetes").join(name)).unwrap() }
    }

    fn look<T>(&self, at: impl FnOnce(&Yaml, &Yaml) -> T) -> T {
        let documents = Yaml::load_from_str(&self.text).unwrap();
        let [job] = &documents[..] else { panic!("one document") };
        assert_eq!((job["apiVersion"].as_str(), job["kind"].as_str()), (Some("batch/v1"), Some("Job")));
        let pod = &job["spec"]["template"]["spec"];
        // Needed for a policy on failures, and wanted of a Job that resumes by itself.
        assert_eq!(pod["restartPolicy"].as_str(), Some("Never"));
        let container = &pod["containers"][0];
        assert_eq!(container["volumeMounts"][0]["name"].as_str(), pod["volumes"][0]["name"].as_str());
        at(&job["spec"], container)
    }

    /// The container's command as a pod runs it, with the volume at `folder` and some variables set otherwise.
    fn run(&self, folder: &Path, variables: &[(&str, String)]) -> Output {
        self.look(|_, container| {
            assert_eq!(container["volumeMounts"][0]["mountPath"].as_str(), Some("/shared"));
            let words = ["command", "args"].map(|list| container[list].as_vec().unwrap().clone()).concat();
            let words: Vec<String> = words
                .iter()
                .map(|word| word.as_str().unwrap().replace("/shared/", &format!("{}/", folder.display())))
                .collect();
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            for variable in container["env"].as_vec().unwrap() {
                command.env(variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
            }
            command.envs(variables.iter().map(|(name, value)| (name, value)));
            let program = rscert(folder, &[]);
            for (name, value) in program.get_envs() {
                command.env(name, value.unwrap());
            }
            // The image has the program on its path.
            let programs = Path::new(program.get_program()).parent().unwrap();
            let path = std::env::var("PATH").unwrap();
            command.env("PATH", format!("{}:{path}", programs.display())).output().unwrap()
        })
    }
}

#[test]
fn the_commands_of_the_pods_give_the_evidence_of_an_undivided_run() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    prepare(folder);
    let (certify, merge) = (Job::read("certify.yaml"), Job::read("merge.yaml"));
    let parts = 3;
    let shards = ("SHARDS", parts.to_string());
    let n = "100000";
    let smoothing =
        [("SEED", "7".to_owned()), ("SAMPLES", n.to_owned()), ("THREADS", "1".to_owned()), shards.clone()];
    // The last one first: the order is the cluster's.
    for index in (0..parts).rev() {
        let output =
            certify.run(folder, &[&smoothing[..], &[("JOB_COMPLETION_INDEX", index.to_string())]].concat());
        assert!(output.status.success(), "pod {index}: {}", text(&output));
    }
    let output = merge.run(folder, &[shards]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(read_evidence(&folder.join("run.jsonl")).unwrap().footer.chain, undivided(folder, n));
}

#[test]
fn the_jobs_agree_on_the_number_of_parts() {
    let shards = |job: &Job| {
        job.look(|_, container| {
            let variables = container["env"].as_vec().unwrap();
            let shards =
                variables.iter().find(|variable| variable["name"].as_str() == Some("SHARDS")).unwrap();
            shards["value"].as_str().unwrap().parse::<i64>().unwrap()
        })
    };
    let (certify, merge) = (Job::read("certify.yaml"), Job::read("merge.yaml"));
    let spec = certify.look(|spec, container| {
        assert_eq!(spec["completionMode"].as_str(), Some("Indexed"));
        let rules = spec["podFailurePolicy"]["rules"].as_vec().unwrap();
        let exit = rules.iter().find_map(|rule| rule.as_mapping_get("onExitCodes")).unwrap();
        assert_eq!(exit["containerName"].as_str(), container["name"].as_str());
        (spec["completions"].as_integer().unwrap(), spec["parallelism"].as_integer().unwrap())
    });
    assert_eq!(spec.0, shards(&certify));
    assert_eq!(spec.0, shards(&merge));
    assert!(spec.1 <= spec.0);
}
