//! `rscert` with every kind of noise and claim: what is written down, what is printed, what is refused.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::{path::PathBuf, process::Output};

use mithridate_onnx::{Dim, ElementType, GraphBuilder, ModelMetadata};
use mithridate_runtime::{
    data::write_idx,
    evidence::{Evidence, Record, read_evidence},
    noise::{Distribution, NoiseMode},
    statistics::Norm,
};
use mithridate_testkit::program::rscert;
use ndarray::{Array1, Array2};
use serde_json::Value;

const SIDE: usize = 4;

/// A folder with images of two classes, dark and bright, some of them in between, and a model that tells them apart.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let bytes = [20_u8, 60, 100, 127, 128, 160, 200, 240];
        let pixels: Vec<u8> = bytes.iter().flat_map(|&byte| [byte; SIDE * SIDE]).collect();
        write_idx(&place.path("t10k-images-idx3-ubyte"), &[8, SIDE, SIDE], &pixels).unwrap();
        write_idx(&place.path("t10k-labels-idx1-ubyte"), &[8], &[0, 0, 0, 0, 1, 1, 1, 1]).unwrap();

        let mut graph = GraphBuilder::new("threshold");
        let shape = [Dim::symbolic("batch"), Dim::Fixed(1), Dim::Fixed(4), Dim::Fixed(4)];
        let image = graph.input("image", ElementType::Float, &shape).unwrap();
        let flat = graph.flatten(&image).unwrap();
        let mut weights = Array2::from_elem((2, SIDE * SIDE), 1.0_f32);
        weights.row_mut(0).fill(-1.0);
        let bias = Array1::from(vec![8.0_f32, -8.0]);
        let weights = graph.constant("weights", &weights.view().into_dyn());
        let bias = graph.constant("bias", &bias.view().into_dyn());
        let logits = graph.linear(&flat, &weights, Some(&bias)).unwrap();
        let model = graph.finish(&[("logits", &logits)], &ModelMetadata::default()).unwrap();
        mithridate_onnx::write(&model, place.path("model.onnx")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn rscert(&self, arguments: &[&str]) -> Output {
        rscert(self.0.path(), arguments).output().unwrap()
    }

    fn run(&self, command: &str, flags: &[&str]) -> Output {
        let base = ["--model", "model.onnx", "--data", ".", "--seed", "7", "--threads", "1"];
        self.rscert(&[&[command][..], &base, flags].concat())
    }

    /// Certifies, and returns what was written and what was printed.
    fn certify(&self, out: &str, flags: &[&str]) -> (Evidence, String) {
        let output = self.run("certify", &[&["--n", "1000", "--out", out], flags].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (read_evidence(&self.path(out)).unwrap(), String::from_utf8(output.stdout).unwrap())
    }
}

/// Exit status and first line of standard error of a run that fails.
fn sentence(output: &Output) -> (i32, String) {
    assert!(output.stdout.is_empty());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), error.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn every_kind_of_noise_is_written_down_with_its_radii() {
    let place = Place::new();
    for (flags, distribution, norm) in [
        (&[][..], Distribution::Gaussian, Norm::L2),
        (&["--exact-noise"], Distribution::QuantizedGaussian, Norm::L2),
        (&["--noise", "uniform"], Distribution::Uniform, Norm::L1),
    ] {
        let name = format!("{distribution}.jsonl");
        let (evidence, table) = place.certify(&name, &[&["--sigma", "0.25"], flags].concat());
        assert_eq!(evidence.header.settings.distribution, distribution);
        assert!(table.contains(&format!("{distribution} noise")), "{table}");
        assert!(table.contains(&format!("radii in {norm}")), "{table}");
        assert!(evidence.records.iter().any(Record::is_right));
        for record in &evidence.records {
            // The class is right wherever one is certified, and no radius exceeds the distance to the boundary.
            assert!(record.abstained || record.is_right(), "{record:?}");
            let pixel = f64::from([20, 60, 100, 127, 128, 160, 200, 240][record.index as usize]) / 255.0;
            let distance = (pixel - 0.5).abs();
            let Some(radii) = record.radii else {
                assert!(record.abstained);
                continue;
            };
            assert_eq!(radii.of(norm), record.radius);
            // On the grid the claim ends at the first level beyond the boundary, half a level further.
            let slack = if distribution == Distribution::QuantizedGaussian { 0.5 / 255.0 } else { 0.0 };
            for (norm, factor) in [(Norm::L1, 16.0), (Norm::L2, 4.0), (Norm::Linf, 1.0)] {
                let limit = (distance + slack) * factor;
                assert!(radii.of(norm) <= limit, "{norm}: {radii:?}, distance {limit}");
            }
        }
    }
}

#[test]
fn runs_of_different_norms_are_compared_only_in_a_norm_that_was_asked_for() {
    let place = Place::new();
    place.certify("gauss.jsonl", &["--sigma", "0.25"]);
    place.certify("uniform.jsonl", &["--sigma", "0.25", "--noise", "uniform"]);
    let (status, error) = sentence(&place.rscert(&["audit", "gauss.jsonl", "uniform.jsonl"]));
    assert_eq!(
        (status, error.as_str()),
        (
            1,
            "rscert: gauss was certified with gaussian noise in ℓ2 and uniform with uniform noise in ℓ1; choose one \
             norm for all radii with --norm l1, l2 or linf"
        )
    );
    let arguments = [
        "audit",
        "gauss.jsonl",
        "--baseline",
        "uniform.jsonl",
        "--norm",
        "linf",
        "--json",
        "--html",
        "page.html",
    ];
    let output = place.rscert(&arguments);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let gauss = &document["runs"][0];
    assert_eq!((&gauss["norm"], &gauss["noise"]), (&"linf".into(), &"gaussian".into()));
    assert_eq!(document["baseline"]["noise"], "uniform");
    // 16 values: a quarter of the ℓ2 radius.
    assert_eq!(gauss["acr"], gauss["acr_by_norm"]["linf"]);
    let ratio = gauss["acr_by_norm"]["l2"].as_f64().unwrap() / gauss["acr"].as_f64().unwrap();
    assert!((ratio - 4.0).abs() < 1e-9, "{ratio}");
    assert_eq!(gauss["acr_by_norm"]["l1"], gauss["acr_by_norm"]["l2"]);
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("in ℓ∞, before") && page.contains("ACR in ℓ1"), "the page names the norm");
    let (status, error) = sentence(&place.rscert(&["audit", "gauss.jsonl", "--norm", "l3"]));
    assert!(status == 2 && error.ends_with("a norm is l1, l2 or linf"), "{error}");
}

#[test]
fn a_simultaneous_claim_divides_alpha_by_the_inputs() {
    let place = Place::new();
    let (plain, _) = place.certify("plain.jsonl", &["--sigma", "0.25", "--alpha", "0.01"]);
    let (all, table) = place.certify("all.jsonl", &["--sigma", "0.25", "--alpha", "0.01", "--simultaneous"]);
    let claim = all.header.simultaneous.clone().unwrap();
    assert_eq!((claim.alpha.get(), claim.inputs), (0.01, 8));
    let each = all.header.settings.alpha.get();
    assert!(each <= 0.01 / 8.0 && each > 0.01 / 8.0 * (1.0 - 1e-12));
    assert!(table.contains("α 0.01 for all inputs at once"), "{table}");
    for (one, other) in plain.records.iter().zip(&all.records) {
        assert_eq!(one.estimation, other.estimation);
        assert!(other.radius <= one.radius && other.p_lower < one.p_lower);
    }
    let (status, error) = sentence(&place.rscert(&["audit", "plain.jsonl", "all.jsonl"]));
    assert_eq!(status, 1);
    assert!(
        error.contains("at alpha 0.01 and all at alpha 0.01 for all inputs at once; audit them separately"),
        "{error}"
    );
}

#[test]
fn printed_radii_and_accuracies_are_rounded_down() {
    let place = Place::new();
    let (evidence, table) = place.certify("run.jsonl", &["--sigma", "0.25"]);
    let row = table.lines().find(|line| line.trim_start().starts_with("all")).unwrap();
    let cells: Vec<f64> = row.split_whitespace().skip(1).map(|cell| cell.parse().unwrap()).collect();
    let exact = evidence.records.iter().map(Record::right_radius).sum::<f64>() / 8.0;
    assert!(cells[1] <= exact && cells[1] > exact - 1e-4, "{} {exact}", cells[1]);
    let right = evidence.records.iter().filter(|record| record.is_right()).count();
    assert!(cells[2] <= right as f64 / 8.0 && cells[2] > right as f64 / 8.0 - 1e-4);
}

#[test]
fn predictions_are_counted_right_wrong_and_abstained() {
    let place = Place::new();
    for noise in [&[][..], &["--exact-noise"], &["--noise", "uniform"]] {
        let flags = [&["--sigma", "0.25", "--n", "500"], noise].concat();
        let output = place.run("predict", &[&flags[..], &["--json"]].concat());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let predictions = document["predictions"].as_array().unwrap();
        assert_eq!((predictions.len(), document["seed"].as_u64()), (8, Some(7)));
        // The images far from the boundary are told apart, the two beside it are not.
        let classes: Vec<&Value> = predictions.iter().map(|prediction| &prediction["class"]).collect();
        for (index, class) in [(0, 0), (1, 0), (2, 0), (5, 1), (6, 1), (7, 1)] {
            assert_eq!(*classes[index], class, "{index}");
        }
        assert!(classes[3].is_null() && classes[4].is_null());
        assert_eq!((&document["right"], &document["abstained"]), (&6.into(), &2.into()));
        let output = place.run("predict", &flags);
        let table = String::from_utf8(output.stdout).unwrap();
        let row = table.lines().find(|line| line.trim_start().starts_with("all")).unwrap();
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["all", "8", "0.7500", "0", "2"]);
    }
}

#[test]
fn predictions_from_shared_noise_are_counted_alike_in_the_graph() {
    let place = Place::new();
    let votes = |flags: &[&str]| -> Vec<[u64; 2]> {
        let output = place.run("predict", &[&["--sigma", "0.25", "--n", "500", "--json"], flags].concat());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mode = if flags.is_empty() { "independent" } else { "shared" };
        assert_eq!(document["noise_mode"], mode);
        let of_class = |prediction: &Value, class: usize| prediction["votes"][class].as_u64().unwrap();
        let predictions = document["predictions"].as_array().unwrap().iter();
        predictions.map(|prediction| [0, 1].map(|class| of_class(prediction, class))).collect()
    };
    let shared = votes(&["--noise-mode", "shared"]);
    // The same noise on a brighter image: what was bright stays bright, sample by sample.
    assert!(shared.is_sorted_by_key(|[_, bright]| *bright), "{shared:?}");
    assert_eq!(shared, votes(&["--noise-mode", "shared", "--smoothing-graph"]));
    assert_ne!(shared, votes(&[]));
}

#[test]
fn what_does_not_go_together_is_said() {
    let place = Place::new();
    for (command, flags, status, sentence_end) in [
        (
            "certify",
            &["--sigma", "0.25", "--exact-noise", "--noise", "uniform"][..],
            1,
            "leave out --exact-noise or --noise uniform",
        ),
        (
            "certify",
            &["--sigma", "0.001", "--exact-noise"],
            1,
            "noise on the grid of 1/255 needs a sigma from 0.002 to 16, not 0.001",
        ),
        (
            "predict",
            &["--sigma", "20", "--exact-noise"],
            1,
            "noise on the grid of 1/255 needs a sigma from 0.002 to 16, not 20",
        ),
        ("predict", &["--n", "100"], 1, "give one with --sigma"),
        ("predict", &["--sigma", "0.25", "--n", "0"], 2, "it must be a whole number of at least 1"),
        (
            "predict",
            &["--sigma", "0.25", "--class", "5"],
            1,
            "class 5 is outside the 2 classes of model.onnx (0 to 1)",
        ),
        ("certify", &["--sigma", "0.25", "--noise", "laplace"], 2, "'--noise <NOISE>'"),
    ] {
        let (found, error) = sentence(&place.run(command, flags));
        assert_eq!(found, status, "{error}");
        assert!(error.ends_with(sentence_end), "{flags:?}: {error}");
    }
    assert!(!place.path("model.evidence.jsonl").exists(), "an error leaves no evidence");
}

#[test]
fn a_run_is_not_resumed_with_other_noise_or_another_claim() {
    let place = Place::new();
    let (_, first) = place.certify("run.jsonl", &["--sigma", "0.25"]);
    for (flags, what) in [(&["--noise", "uniform"][..], "distribution"), (&["--simultaneous"], "alpha")] {
        let flags = [&["--n", "1000", "--out", "run.jsonl", "--sigma", "0.25", "--resume"], flags].concat();
        let (status, error) = sentence(&place.run("certify", &flags));
        assert!(status == 1 && error.contains(&format!("its {what} differs")), "{error}");
    }
    let (_, again) = place.certify("run.jsonl", &["--sigma", "0.25", "--resume"]);
    // Nothing was run, so nothing was answered again.
    let without = |text: &str| {
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("answered again")).collect();
        lines.join("\n") + "\n"
    };
    assert_ne!(first, without(&first));
    assert_eq!(without(&first), again);
}

#[test]
fn shared_noise_is_written_down_replayed_and_kept_to() {
    let place = Place::new();
    let (evidence, _) = place.certify("shared.jsonl", &["--sigma", "0.25", "--noise-mode", "shared"]);
    assert_eq!(evidence.header.noise.mode, NoiseMode::Shared);
    // The same noise on a brighter image: what was bright stays bright, sample by sample.
    for pair in evidence.records.windows(2) {
        let bright = |record: &Record| (record.selection.by_class()[1], record.estimation.by_class()[1]);
        assert!(bright(&pair[0]).0 <= bright(&pair[1]).0 && bright(&pair[0]).1 <= bright(&pair[1]).1);
    }
    let (independent, _) = place.certify("independent.jsonl", &["--sigma", "0.25"]);
    assert_eq!(independent.header.noise.mode, NoiseMode::Independent);
    assert!(independent.records.iter().zip(&evidence.records).any(|(a, b)| a.estimation != b.estimation));

    let verify = ["verify", "shared.jsonl", "--model", "model.onnx", "--data", ".", "--replay", "all"];
    let output = place.rscert(&verify);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("every vote is the same"), "{printed}");
    // Said to be independent noise, the votes are not those of the keys.
    let text = std::fs::read_to_string(place.path("shared.jsonl")).unwrap();
    assert!(text.contains(r#""mode":"shared""#));
    let other = text.replace(r#""mode":"shared""#, r#""mode":"independent""#);
    std::fs::write(place.path("shared.jsonl"), other).unwrap();
    assert_eq!(place.rscert(&verify).status.code(), Some(3));

    place.certify("part.jsonl", &["--sigma", "0.25", "--max", "2"]);
    let resumed = ["--n", "1000", "--sigma", "0.25", "--max", "2", "--out", "part.jsonl", "--resume"];
    let output = place.run("certify", &[&resumed[..], &["--noise-mode", "shared"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let output = place.run("certify", &["--sigma", "0.25", "--noise-mode", "frugal"]);
    let (status, _) = sentence(&output);
    assert_eq!(status, 2);
}

#[test]
fn what_the_processor_can_not_do_is_said() {
    let place = Place::new();
    for (flags, expected) in [
        (
            &["--precision", "tf32"][..],
            "the processor always uses the precision of the model; leave out --precision",
        ),
        (&["--device-memory", "1G"], "--device-memory limits the memory of a GPU; leave it out"),
    ] {
        let (status, error) = sentence(&place.run("certify", &[&["--sigma", "0.25"], flags].concat()));
        assert_eq!(status, 1);
        assert!(error.contains(expected), "{error}");
    }
    let (status, _) = sentence(&place.run("certify", &["--sigma", "0.25", "--device-memory", "lots"]));
    assert_eq!(status, 2);
}

#[test]
fn votes_counted_in_the_graph_are_those_counted_on_the_host() {
    for flags in [
        &["--sigma", "0.25"][..],
        &["--sigma", "0.25", "--noise-mode", "shared"],
        &["--sigma", "0.25", "--noise-mode", "shared", "--exact-noise"],
        &["--sigma", "0.25", "--noise-mode", "shared", "--stop", "radius:0.1,0.5", "--batch", "100"],
    ] {
        let place = Place::new();
        let (host, _) = place.certify("host.jsonl", flags);
        let (graph, _) = place.certify("graph.jsonl", &[flags, &["--smoothing-graph"]].concat());
        assert_eq!(graph.footer.chain, host.footer.chain, "{flags:?}");
        assert_eq!(graph.header.execution.plan.batch % 64, 0);
        let verify = ["verify", "graph.jsonl", "--model", "model.onnx", "--data", ".", "--replay", "all"];
        let output = place.rscert(&[&verify[..], &["--smoothing-graph"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
