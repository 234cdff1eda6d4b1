//! Other models, other data and other names of classes than those that were certified.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use mithridate_onnx::ModelMetadata;
use mithridate_runtime::{
    data::{Dataset, Split, sha256},
    evidence::{Header, Record, read_evidence, verify},
};
use mithridate_testkit::{
    forgery::forge,
    halves::{model, model_leaning},
    place::{Place, png, put},
};
use serde_json::Value;

/// The file is swapped all the time, between the model that was certified and one that gave the votes.
#[test]
fn the_model_that_was_hashed_is_the_one_that_runs() {
    let place = Place::new();
    let other = model_leaning(&ModelMetadata::default(), 0.3);
    mithridate_onnx::write(&other, place.path("other.onnx")).unwrap();
    let flags = ["--data", "data", "--sigma", "0.25", "--n", "300", "--out", "other.jsonl"];
    assert!(place.run(&[&["certify", "--model", "other.onnx"], &flags[..]].concat()).status.success());
    let certified = fs::read(place.path("model.onnx")).unwrap();
    forge(&place, "other.jsonl", "lie.jsonl", |header, _| header.model.sha256 = sha256(&certified));
    let other = fs::read(place.path("other.onnx")).unwrap();
    fs::write(place.path("swapped.onnx"), &certified).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for bytes in [&certified, &other] {
                    fs::write(place.path("next.onnx"), bytes).unwrap();
                    fs::rename(place.path("next.onnx"), place.path("swapped.onnx")).unwrap();
                }
            }
        });
        for _ in 0..12 {
            let output = place.verify_replayed("lie.jsonl", "swapped.onnx", &[]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            let found = text.contains("the SHA-256 of the model's file is") || text.contains("votes differ");
            // The process that tries a model first may have read the other file.
            let is_refused = error.contains("was changed while it was read");
            if !matches!((output.status.code(), found, is_refused), (Some(3), true, _) | (Some(1), _, true)) {
                is_over.store(true, Ordering::Relaxed);
                panic!("{text}{error}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// A place with a folder of images by class and models that name the classes in several ways.
fn named() -> Place {
    let place = Place::new();
    put(place.root(), "images/above/1.png", &png(2, 2, &[200, 190, 20, 10]));
    put(place.root(), "images/below/1.png", &png(2, 2, &[20, 10, 200, 190]));
    for (name, names) in
        [("named.onnx", &["above", "below"][..]), ("foreign.onnx", &["oben", "unten"]), ("plain.onnx", &[])]
    {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let metadata = ModelMetadata {
            class_names: Some(names).filter(|names| !names.is_empty()),
            ..ModelMetadata::default()
        };
        mithridate_onnx::write(&model(&metadata), place.path(name)).unwrap();
    }
    place
}

/// Names of classes that change places change labels, and with them what is right: accuracy 1 becomes 0, or 0 becomes 1.
#[test]
fn names_of_classes_that_changed_places_are_found() {
    let place = named();
    for model in ["named.onnx", "foreign.onnx", "plain.onnx"] {
        let flags = ["--data", "images", "--sigma", "0.25", "--n", "300", "--seed", "1"];
        let run = format!("{model}.jsonl");
        let output = place.run(&[&["certify", "--model", model, "--out", &run], &flags[..]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let verified = |run: &str, flags: &[&str]| {
            let output = place.run(&[&["verify", run], flags].concat());
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let both = ["--model", model, "--data", "images"];
        let (status, text) = verified(&run, &both);
        assert_eq!(status, Some(0), "{text}");

        let mut data = Dataset::open(&place.path("images"), Split::Test).unwrap();
        data.order_classes(&["below".into(), "above".into()]).unwrap();
        let honest = read_evidence(&place.path(&run)).unwrap();
        assert!(honest.records.iter().all(Record::is_right));
        let lie = forge(&place, &run, "lie.jsonl", |header, records| {
            header.data.class_names.reverse();
            header.data.labels_sha256.clone_from(&data.labels_sha256);
            for record in records {
                record.label = record.label.map(|label| 1 - label);
            }
        });
        assert!(verify(&lie).unwrap().holds());
        let (status, text) = verified("lie.jsonl", &both);
        assert_eq!(status, Some(3), "{model}: {text}");
        assert!(
            text.contains("the classes of the data are above, below, and those of the run are below, above"),
            "{text}"
        );
        // Without the model nobody can know, and that is said.
        let (status, text) = verified("lie.jsonl", &["--data", "images"]);
        assert_eq!(status, Some(0), "{text}");
        let said = "- names of classes: the classes are below, above in the run, and above, below in the data; to \
                    check that the order in the run is that of the model, give --model";
        assert!(text.contains(said), "{text}");
        let (status, text) = verified("lie.jsonl", &["--model", model]);
        assert_eq!(status, Some(if model == "named.onnx" { 3 } else { 0 }), "{text}");

        let none = forge(&place, &run, "none.jsonl", |header, _| header.data.class_names.clear());
        assert!(verify(&none).unwrap().holds());
        let (status, text) = verified("none.jsonl", &["--data", "images"]);
        assert!(status == Some(3) && text.contains("and those of the run are without names"), "{text}");
        let (status, text) = verified(
            forge(&place, &run, "new.jsonl", |header, _| {
                header.data.class_names = vec!["cat".into(), "dog".into()];
            })
            .file_name()
            .unwrap()
            .to_str()
            .unwrap(),
            &both,
        );
        assert!(status == Some(3) && text.contains("those of the run are cat, dog"), "{text}");
    }
}

#[test]
fn how_the_model_was_used_is_compared_with_the_model() {
    type Lie = fn(&mut Header);
    let place = Place::new();
    place.certify("run.jsonl", &["--n", "300"]);
    let lies: [(&str, Lie); 4] = [
        ("the model can't be used as the header says: it has no output 'scores', only logits", |header| {
            header.model.r#use.output = Some("scores".into());
        }),
        ("the batch of the model was rewritten from 4 in the run, and is not rewritten", |header| {
            header.model.r#use.batch_rewritten_from = Some(4);
        }),
        ("computes in float32 on the processor, and the header states float16", |header| {
            header.execution.precision = "float16".into();
        }),
        ("the SHA-256 of the model's file of weights w.bin is not that of the certified file", |header| {
            header.model.external =
                serde_json::from_value(serde_json::json!([{ "file": "w.bin", "sha256": "00" }])).unwrap();
        }),
    ];
    for (expected, lie) in lies {
        forge(&place, "run.jsonl", "lie.jsonl", |header, _| lie(header));
        let output = place.run(&["verify", "lie.jsonl", "--model", "model.onnx"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(3) && text.contains(expected), "{expected}: {text}");
    }
    // What the metadata of the model contradict is not the run's to prove, and said.
    let metadata = ModelMetadata { input_range: Some(vec![0.0, 1.0]), ..ModelMetadata::default() };
    mithridate_onnx::write(&model(&metadata), place.path("own.onnx")).unwrap();
    let flags =
        ["--data", "data", "--sigma", "0.25", "--n", "100", "--range", "0,255", "--out", "wide.jsonl"];
    assert!(place.run(&[&["certify", "--model", "own.onnx"], &flags[..]].concat()).status.success());
    let output = place.run(&["verify", "wide.jsonl", "--model", "own.onnx"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("- preprocessing: range [0.0, 255.0], and [0.0, 1.0] by the model's metadata"),
        "{text}"
    );
}

#[test]
fn what_was_checked_what_was_not_and_what_it_costs_is_said() {
    let place = Place::new();
    place.certify("run.jsonl", &["--n", "300"]);
    let document = |flags: &[&str]| -> Value {
        let output = place.run(&[&["verify", "run.jsonl", "--json"], flags].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let subjects = |document: &Value, list: &str| -> Vec<String> {
        let checks = document[list].as_array().unwrap();
        checks.iter().map(|check| check["subject"].as_str().unwrap().to_owned()).collect()
    };
    let alone = document(&[]);
    assert_eq!(subjects(&alone, "checked"), ["file", "certificates", "header"]);
    assert_eq!(subjects(&alone, "not_checked"), ["model", "data", "replay", "seed", "signature"]);
    assert_eq!(subjects(&alone, "stated"), ["program", "engine", "machine", "time", "plan", "names"]);
    assert_eq!(alone["settings"]["sigma"], 0.25);
    assert_eq!((&alone["settings"]["n"], &alone["settings"]["seed"]), (&300.into(), &7.into()));
    let all = document(&["--model", "model.onnx", "--data", "data", "--replay", "2"]);
    assert_eq!(subjects(&all, "not_checked"), ["seed", "signature"], "{all}");
    assert!(subjects(&all, "checked").contains(&"replay".to_owned()), "{all}");
    let engine = all["stated"].as_array().unwrap().iter().find(|check| check["subject"] == "engine").unwrap();
    assert!(engine["detail"].as_str().unwrap().ends_with("on cpu in float32, as here"), "{engine}");
    let text = String::from_utf8(place.run(&["verify", "run.jsonl"]).stdout).unwrap();
    let settings = "sigma 0.25, gaussian noise, independent; alpha 0.001 for each input; n0 100, n 300, stopping rule \
                    fixed; seed 7 drawn or chosen by the maker of the run\n";
    assert!(text.contains(settings) && text.contains("not checked:\n- model: "), "{text}");
    // As many selection samples as a bound can be computed for: refused before the first is run.
    forge(&place, "run.jsonl", "endless.jsonl", |header, records| {
        header.settings.n0 = 10_000_000_000;
        for record in records {
            record.selection = if record.class == Some(0) {
                vec![10_000_000_000, 0].into()
            } else {
                vec![0, 10_000_000_000].into()
            };
        }
    });
    let output = place.verify_replayed("endless.jsonl", "model.onnx", &[]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        error,
        "rscert: replaying 12 inputs takes 120000003600 samples, more than --samples-limit 10000000000; replay fewer \
         inputs, or raise the limit\n"
    );
    let output = place.verify_replayed("run.jsonl", "model.onnx", &["--samples-limit", "4799"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        place.verify_replayed("run.jsonl", "model.onnx", &["--samples-limit", "4800"]).status.code(),
        Some(0)
    );
}
