use super::*;
use crate::{
    backend::Preprocessing,
    certify::{Plan, StoppingRule},
    data::Preparation,
    evidence::{ExternalSource, Machine, ModelUse, Simultaneous, example_header},
    noise::{Distribution, NoiseMode},
    statistics::SequenceForm,
    units::{Alpha, Sigma},
};

/// A header with all optional members.
fn full() -> Header {
    let mut header = example_header();
    header.model.external = vec![ExternalSource { file: "m.bin".into(), sha256: "dd".into() }];
    header.model.r#use = ModelUse {
        preprocessing: Preprocessing { mean: vec![0.5], std: vec![0.25], ..Preprocessing::default() },
        output: Some("logits".into()),
        sigma_in_model: vec![1.0],
        class_labels: vec![],
        batch_rewritten_from: Some(1),
    };
    header.data.preparation = Preparation { resize: Some(256), crop: Some(224) };
    header.simultaneous = Some(Simultaneous { alpha: Alpha::USUAL, inputs: 3 });
    header
}

/// A header of a rule that looks at votes.
fn adaptive() -> Header {
    let mut header = example_header();
    header.settings.stop = StoppingRule::Radius(vec![0.5]);
    header
}

/// Seeds that `tests/fixtures/challenge_seed.py` computed from the headers as JSON.
#[test]
fn seeds_are_those_of_another_implementation() {
    for (header, challenge, seed) in [
        (example_header(), "beacon 5213", 15_086_180_341_127_576_133),
        (adaptive(), "Übung", 16_170_086_607_410_107_579),
        (full(), "beacon 5213", 3_365_643_972_286_849_760),
    ] {
        assert_eq!(
            challenge_seed(&header, challenge).unwrap(),
            seed,
            "{}",
            serde_json::to_string(&header).unwrap()
        );
    }
}

type Change = fn(&mut Header);

#[test]
fn whatever_a_certificate_depends_on_changes_the_seed() {
    let changes: [(&str, Change); 22] = [
        ("model", |header| header.model.sha256 = "ab".into()),
        ("weights", |header| header.model.external[0].sha256 = "ab".into()),
        ("name of weights", |header| header.model.external[0].file = "n.bin".into()),
        ("mean", |header| header.model.r#use.preprocessing.mean = vec![0.25]),
        ("std", |header| header.model.r#use.preprocessing.std = vec![0.5]),
        ("output", |header| header.model.r#use.output = None),
        ("images", |header| header.data.images_sha256 = "ab".into()),
        ("labels", |header| header.data.labels_sha256 = String::new()),
        ("shape", |header| header.data.shape = [1, 1, 2]),
        ("crop", |header| header.data.preparation.crop = None),
        ("classes", |header| header.subset.classes = vec![1]),
        ("skip", |header| header.subset.skip = 2),
        ("count", |header| header.subset.count = 2),
        ("sigma", |header| header.settings.sigma = Sigma::new(0.5).unwrap()),
        ("distribution", |header| header.settings.distribution = Distribution::Uniform),
        ("alpha", |header| header.settings.alpha = Alpha::new(0.01).unwrap()),
        ("n0", |header| header.settings.n0 = 101),
        ("n", |header| header.settings.n = 11),
        ("rule", |header| header.settings.stop = StoppingRule::Deadline(1.0)),
        ("claim", |header| header.simultaneous = None),
        ("mode", |header| header.noise.mode = NoiseMode::Shared),
        ("range", |header| header.data.range = [0.0, 2.0]),
    ];
    let mut seeds = vec![challenge_seed(&full(), "a").unwrap(), challenge_seed(&full(), "b").unwrap()];
    for (name, change) in changes {
        let mut header = full();
        change(&mut header);
        assert_ne!(header, full(), "{name}");
        let seed = challenge_seed(&header, "a").unwrap();
        assert!(!seeds.contains(&seed), "{name}");
        seeds.push(seed);
    }
}

#[test]
fn nothing_else_has_a_part_in_the_seed() {
    let changes: [Change; 15] = [
        // A limit without effect, and a setting that the rule `fixed` does not use.
        |header| header.subset.max = Some(3),
        |header| header.settings.sequence = SequenceForm::Betting,
        |header| header.settings.seed = 77,
        |header| header.challenge = Some("another".into()),
        |header| header.tool = "rscert 99".into(),
        |header| header.schema = "another".into(),
        |header| header.model.file = "renamed.onnx".into(),
        |header| header.data.file = "renamed".into(),
        |header| header.shard = "2/3".parse().ok(),
        |header| header.execution.engine = "another".into(),
        |header| header.execution.provider = "cuda".into(),
        |header| header.execution.plan = Plan { sessions: 9, threads: 9, batch: 9, noise_threads: 9 },
        |header| header.machine = Machine { system: "s".into(), processor: "p".into(), threads: 9 },
        |header| header.started = 9,
        |header| header.keeps_votes = true,
    ];
    let seed = challenge_seed(&full(), "a").unwrap();
    for change in changes {
        let mut header = full();
        change(&mut header);
        assert_ne!(header, full());
        assert_eq!(challenge_seed(&header, "a").unwrap(), seed, "{header:?}");
    }
}

#[test]
fn the_sequence_has_a_part_where_the_rule_looks_at_votes() {
    for (rule, matters) in [
        ("radius:0.5", true),
        ("precision:5%", true),
        ("deadline:9", true),
        ("loss:0.1", false),
        ("fixed", false),
    ] {
        let mut header = full();
        header.settings.stop = rule.parse().unwrap();
        let seed = challenge_seed(&header, "a").unwrap();
        header.settings.sequence = SequenceForm::Betting;
        assert_eq!(challenge_seed(&header, "a").unwrap() != seed, matters, "{rule}");
    }
}

#[test]
fn values_that_differ_are_encoded_differently() {
    let encoded = |text: &str| {
        let mut bytes = Vec::new();
        encode(&serde_json::from_str(text).unwrap(), &mut bytes);
        bytes
    };
    assert_eq!(encoded(r#"{"b":[1,1.0,null],"a":"é"}"#), b"m2:s1:as2:\xc3\xa9s1:bl3:i1;d3ff0000000000000;n");
    assert_eq!(encoded("[true,false,[],{}]"), b"l4:tfl0:m0:");
    for (left, right) in
        [(r#"["ab","c"]"#, r#"["a","bc"]"#), ("[[1],2]", "[[1,2]]"), ("\"1\"", "1"), ("0.0", "-0.0")]
    {
        assert_ne!(encoded(left), encoded(right));
    }
}

#[test]
fn a_chosen_seed_is_found() {
    let found = |header: &Header| {
        let mut problems = Vec::new();
        check(header, |problem| problems.push(problem));
        problems
    };
    let mut header = full();
    assert!(found(&header).is_empty());
    header.challenge = Some("a".into());
    header.settings.seed = challenge_seed(&header, "a").unwrap();
    assert!(found(&header).is_empty());
    header.settings.seed += 1;
    assert!(found(&header)[0].contains("for its challenge"), "{:?}", found(&header));
    // Texts that look like valid ones are refused too: a zero-width space, a letter of another alphabet.
    for bad in ["", " a", "a\n", "a  b", "beacon\u{200b}", "b\u{435}acon", &"a".repeat(1025)] {
        header.challenge = Some(bad.into());
        header.settings.seed = challenge_seed(&header, bad).unwrap();
        assert_eq!(found(&header).len(), 1, "{bad}");
    }
}
