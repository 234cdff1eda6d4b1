//! Votes counted by the smoothing graph are those that the host counts from the logits of the same samples, for every
//! form of model.

use mithridate_onnx::{
    Dim, ElementType, GraphBuilder, ModelMetadata,
    attributes::{int, ints},
    messages::ModelProto,
};
use mithridate_runtime::{
    backend::{
        Answers, Classifier, InputOptions, KeyedSamples, NoiseInput, NoiseSource, OnnxModel, OnnxRuntime,
        Provider, Samples, SharedNoise, Slot, SmoothingPlan, SmoothingSampler, VoteSampler, vote,
    },
    certify::{Certificate, Certifier, Input, Instances, MAX_CLASSES, Settings, Vote},
    noise::{BLOCK, Distribution, Noise, NoiseBank, NoiseKey, NoiseMode, Role},
    units::Sigma,
};
use mithridate_testkit::{numbers, zoo};
use ndarray::ArrayD;

use super::open;

const SIGMA: f64 = 0.4;

/// Two images, and how many samples of each are in a slot.
const SLOTS: [(usize, usize); 4] = [(0, 64), (1, 36), (0, 1), (1, 64)];

fn image(number: usize) -> Vec<f32> {
    numbers(zoo::VALUES, 20 + number as u64).into_iter().map(|value| 0.5 + value / 2.0).collect()
}

fn key(slot: usize) -> NoiseKey {
    NoiseKey { seed: 5, role: Role::Estimation, input: 3, block: slot as u64 }
}

/// `image + noise` as the host makes it, or the noise alone for an image of zeros.
fn drawn(slot: usize, image: &[f32], samples: usize) -> Vec<f32> {
    let noise = Noise::new(Distribution::Gaussian, Sigma::new(SIGMA).unwrap()).unwrap();
    let mut noisy = vec![0.0; samples * image.len()];
    noise.add(&key(slot), image, &mut noisy);
    noisy
}

/// Classes voted for by each sample of each slot, by the host.
fn on_host(model: &OnnxModel) -> Vec<Vec<Vote>> {
    let mut classifier = model.classifier(&OnnxRuntime::load().unwrap(), Provider::Cpu, 1).unwrap();
    let mut logits = Vec::new();
    let mut votes = Vec::new();
    // The batch of the graph, so that sums in the model are made in the same order.
    let mut batch = vec![0.0; SLOTS.len() * BLOCK as usize * zoo::VALUES];
    for (slot, &(number, samples)) in SLOTS.iter().enumerate() {
        let noisy = drawn(slot, &image(number), samples);
        batch[slot * BLOCK as usize * zoo::VALUES..][..noisy.len()].copy_from_slice(&noisy);
    }
    classifier.logits(&batch, &mut logits).unwrap();
    for (rows, (_, samples)) in logits.chunks(BLOCK as usize * model.classes()).zip(SLOTS) {
        votes.push(rows.chunks(model.classes()).take(samples).map(vote).collect());
    }
    votes
}

/// The same by the graph, with its counts.
fn in_graph(model: &OnnxModel, noise: NoiseInput, cuda_graph: bool) -> Vec<Vec<Vote>> {
    let plan = SmoothingPlan { noise, slots: SLOTS.len(), votes: true, cuda_graph };
    let images = [image(0), image(1)];
    let zeros = vec![0.0; zoo::VALUES];
    let bank = match noise {
        NoiseInput::Bank { .. } => {
            (0..SLOTS.len()).flat_map(|slot| drawn(slot, &zeros, BLOCK as usize)).collect()
        }
        NoiseInput::Noisy => Vec::new(),
    };
    let runtime = OnnxRuntime::load().unwrap();
    let mut session = model.smoothing(&runtime, Provider::Cpu, 1, plan, bank).unwrap();
    let noisy: Vec<Vec<f32>> = SLOTS
        .iter()
        .enumerate()
        .map(|(slot, &(number, samples))| drawn(slot, &images[number], samples))
        .collect();
    let slots: Vec<Slot<'_>> = SLOTS
        .iter()
        .enumerate()
        .map(|(slot, &(number, samples))| match noise {
            NoiseInput::Noisy => Slot::Noisy(&noisy[slot]),
            NoiseInput::Bank { .. } => Slot::Banked { image: &images[number], block: slot, samples },
        })
        .collect();
    // Other samples first: nothing of them may stay.
    let rest: Vec<Slot<'_>> = slots.iter().rev().copied().collect();
    session.count(&rest).unwrap();
    session.count(&slots[..1]).unwrap();
    assert_eq!(
        session.counts()[model.classes()..].iter().sum::<i64>(),
        0,
        "slots that were not given are empty"
    );
    session.count(&slots).unwrap();
    let mut votes = Vec::new();
    for (slot, (_, samples)) in SLOTS.into_iter().enumerate() {
        let (ours, others) = session.votes()[slot * BLOCK as usize..][..BLOCK as usize].split_at(samples);
        assert!(others.iter().all(|&class| class == -1), "samples that do not count have no vote");
        let ours: Vec<Vote> = ours.iter().map(|&class| class as Vote).collect();
        let counts = &session.counts()[slot * model.classes()..][..model.classes()];
        for (class, &count) in counts.iter().enumerate() {
            let expected = ours.iter().filter(|&&vote| usize::from(vote) == class).count();
            assert_eq!(count, expected as i64, "class {class} of slot {slot}");
        }
        votes.push(ours);
    }
    votes
}

/// Compares host and graph for all ways that noise gets in; returns the share of samples with a vote.
fn check(name: &str, model: &ModelProto, reading: InputOptions) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let reading = InputOptions { image: Some(zoo::IMAGE), ..reading };
    let model = open(folder.path(), model, &reading).unwrap();
    let expected = on_host(&model);
    for noise in [NoiseInput::Noisy, NoiseInput::Bank { blocks: SLOTS.len() }] {
        for cuda_graph in [false, true] {
            assert_eq!(in_graph(&model, noise, cuda_graph), expected, "{name}, {noise:?}, {cuda_graph}");
        }
    }
    let all: Vec<Vote> = expected.concat();
    all.iter().filter(|&&vote| usize::from(vote) < MAX_CLASSES).count() as f64 / all.len() as f64
}

#[test]
fn every_form_of_model_gets_the_votes_of_the_host() {
    let reading = |range, mean: Option<&[f64]>, std: Option<&[f64]>| InputOptions {
        range,
        mean: mean.map(<[f64]>::to_vec),
        std: std.map(<[f64]>::to_vec),
        ..InputOptions::default()
    };
    let plain = InputOptions::default;
    let named = |name: &str| InputOptions { output: Some(name.into()), ..InputOptions::default() };
    for (name, model, reading) in [
        ("plain", zoo::plain(0), plain()),
        ("rewritten", zoo::plain(1), plain()),
        ("reshaped", zoo::reshaped(4), plain()),
        ("channels last", zoo::channels_last(), plain()),
        ("float16", zoo::of_type(ElementType::Float16), plain()),
        ("double", zoo::of_type(ElementType::Double), plain()),
        ("int8", zoo::quantised(), plain()),
        ("bytes", zoo::normalising(&[0.0], &[1.0 / 255.0]), reading(Some([0.0, 255.0]), None, None)),
        (
            "mean and deviation",
            zoo::normalising(&[2.0, 0.5, 1.0], &[0.25, 0.5, 0.125]),
            reading(None, Some(&[0.5, 0.25, 0.125]), Some(&[0.25, 0.5, 0.125])),
        ),
        ("logits among others", zoo::softmax_among_others(), named("scores/logits:0")),
        ("probabilities", zoo::softmax_among_others(), named("probabilities")),
    ] {
        let share = check(name, &model, reading);
        assert!(share > 0.9, "{name}: {share}");
    }
    // Channels last and preprocessed at once.
    check("both", &zoo::channels_last(), reading(Some([-1.0, 1.0]), Some(&[0.1]), Some(&[0.3])));
    for (ir, opset) in [(3, 9), (7, 11), (7, 13), (8, 18), (10, 21)] {
        let mut model = zoo::plain(0);
        model.ir_version = Some(ir);
        if ir == 3 {
            zoo::constants_as_inputs(&mut model);
        }
        model.opset_import[0].version = Some(opset);
        check(&format!("opset {opset}"), &model, InputOptions::default());
    }
}

/// A model of one operator on logits that are the first values of an image, times 4 and rounded to whole numbers:
/// half of them are ties.
fn coarse(operator: Option<&str>) -> ModelProto {
    let mut graph = GraphBuilder::new("coarse");
    let x = zoo::image(&mut graph, 0);
    let flat = graph.flatten(&x).unwrap();
    let bytes = |values: &[i64]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![Dim::symbolic("n"), Dim::Fixed(4)];
    let start = graph.tensor("start", ElementType::Int64, &[1], bytes(&[0])).unwrap();
    let end = graph.tensor("end", ElementType::Int64, &[1], bytes(&[4])).unwrap();
    let axis = graph.tensor("axis", ElementType::Int64, &[1], bytes(&[1])).unwrap();
    let inputs = [&flat, &start, &end, &axis];
    let y = graph.operator("Slice", &inputs, Vec::new(), ElementType::Float, shape.clone());
    let four = zoo::scalar(&mut graph, "four", 4.0);
    let y = zoo::like(&mut graph, "Mul", &[&y, &four]);
    let mut y = zoo::like(&mut graph, "Round", &[&y]);
    if let Some(operator) = operator {
        let one = zoo::scalar(&mut graph, "one", 1.0);
        y = match operator {
            "Div" => graph.operator("Div", &[&one, &y], Vec::new(), ElementType::Float, shape),
            _ => zoo::like(&mut graph, operator, &[&y]),
        };
    }
    zoo::finish(graph, &[("logits", &y)])
}

#[test]
fn ties_infinite_logits_and_those_that_are_no_number_vote_for_nobody() {
    // Whole numbers tie often; 1/0 is infinite; the root and the logarithm of what is below 0 are no numbers.
    for (operator, least, most) in
        [(None, 0.3, 0.95), (Some("Div"), 0.05, 0.7), (Some("Sqrt"), 0.05, 0.9), (Some("Log"), 0.02, 0.9)]
    {
        let share = check(&format!("{operator:?}"), &coarse(operator), InputOptions::default());
        assert!((least..most).contains(&share), "{operator:?}: {share}");
    }
    // Zeros of both signs are a tie.
    let mut graph = GraphBuilder::new("zeros");
    let x = zoo::image(&mut graph, 0);
    let flat = graph.flatten(&x).unwrap();
    let axes = vec![ints("axes", &[1]), int("keepdims", 1)];
    let least = graph.operator(
        "ReduceMin",
        &[&flat],
        axes,
        ElementType::Float,
        vec![Dim::symbolic("n"), Dim::Fixed(1)],
    );
    let signs = ArrayD::from_shape_vec(vec![1, 2], vec![0.0, -0.0]).unwrap();
    let signs = graph.constant("signs", &signs.view());
    let two = vec![Dim::symbolic("n"), Dim::Fixed(2)];
    let y = graph.operator("Mul", &[&least, &signs], Vec::new(), ElementType::Float, two);
    let model = graph.finish(&[("logits", &y)], &ModelMetadata::default()).unwrap();
    assert_eq!(check("zeros", &model, InputOptions::default()), 0.0);
}

#[test]
fn what_can_not_be_extended_or_does_not_fit_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = OnnxRuntime::load().unwrap();
    let plan = SmoothingPlan { noise: NoiseInput::Noisy, slots: 2, votes: false, cuda_graph: false };
    let reading = InputOptions { image: Some(zoo::IMAGE), ..InputOptions::default() };
    for (model, expected) in [
        (zoo::stubborn(2), "it takes exactly 2 inputs at once"),
        (zoo::entangled(0), "its answer depends on the other inputs of a batch"),
    ] {
        let model = open(folder.path(), &model, &reading).unwrap();
        let error = model.smoothing(&runtime, Provider::Cpu, 1, plan, Vec::new()).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let model = open(folder.path(), &zoo::plain(0), &reading).unwrap();
    let bank = SmoothingPlan { noise: NoiseInput::Bank { blocks: 2 }, ..plan };
    let error = model.smoothing(&runtime, Provider::Cpu, 1, bank, vec![0.0; 7]).err().unwrap().to_string();
    assert!(error.contains("a noise bank of 7 values is not one of 2 blocks"), "{error}");
    // Nobody would want to see that many bytes asked for.
    let huge = NoiseBank::new(1, &[(Role::Estimation, 100_000_000)]);
    let noise = Noise::new(Distribution::Gaussian, Sigma::new(SIGMA).unwrap()).unwrap();
    let shared = SharedNoise { noise: &noise, bank: &huge, threads: 1 };
    let made = SmoothingSampler::fastest(&model, &runtime, Provider::Cpu, Some(64), Some(shared));
    let error = made.err().unwrap().to_string();
    assert!(error.contains("a noise bank of 100000000 samples") && error.contains("smaller `n`"), "{error}");
    let none = SmoothingPlan { slots: 0, ..plan };
    let error = model.smoothing(&runtime, Provider::Cpu, 1, none, Vec::new()).err().unwrap().to_string();
    assert!(error.contains("it must have 1 to"), "{error}");

    let mut session = model.smoothing(&runtime, Provider::Cpu, 1, plan, Vec::new()).unwrap();
    assert!(session.votes().is_empty());
    let values = vec![0.0; 65 * zoo::VALUES];
    let one = &values[..zoo::VALUES];
    for (slots, expected) in [
        (vec![Slot::Noisy(&values)], "slot 0: it must have at most 64 samples of 48 values"),
        (vec![Slot::Noisy(one), Slot::Noisy(&values[..50])], "slot 1: it must have at most 64 samples"),
        (vec![Slot::Banked { image: one, block: 0, samples: 1 }], "it is not a slot for Noisy"),
        (vec![Slot::Noisy(one); 3], "3 slots were given, and the plan has 2"),
    ] {
        let error = session.count(&slots).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // A session that refused something still works.
    session.count(&[Slot::Noisy(one)]).unwrap();
    assert_eq!(session.counts().iter().sum::<i64>(), 1);
}

#[test]
fn a_classifier_that_counts_itself_gives_the_votes_of_its_logits() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = OnnxRuntime::load().unwrap();
    let reading = InputOptions { image: Some(zoo::IMAGE), ..InputOptions::default() };
    let model = open(folder.path(), &coarse(None), &reading).unwrap();
    let as_votes = |logits: &[f32]| -> Vec<u16> { logits.chunks(model.classes()).map(vote).collect() };
    let mut sampler = SmoothingSampler::fastest(&model, &runtime, Provider::Cpu, Some(100), None).unwrap();
    assert_eq!((sampler.plan().slots, sampler.noise_source()), (2, NoiseSource::Caller));
    // Fewer than a slot, more than a batch, and not whole slots.
    for count in [1, 64, 100, 128, 300] {
        let batch: Vec<f32> = numbers(count * zoo::VALUES, count as u64);
        let (mut answers, mut logits) = (Answers { votes: vec![7], ..Answers::default() }, Vec::new());
        sampler.votes(Samples::Noisy(&batch), &mut answers).unwrap();
        sampler.classifier_mut().logits(&batch, &mut logits).unwrap();
        assert_eq!(answers.votes[1..], as_votes(&logits), "{count}");
        assert!(answers.logits.is_empty() && (answers.votes.contains(&u16::MAX) || count < 64));
    }

    let noise = Noise::new(Distribution::Gaussian, Sigma::new(SIGMA).unwrap()).unwrap();
    let bank = NoiseBank::new(8, &[(Role::Selection, 100), (Role::Estimation, 500)]);
    let shared = SharedNoise { noise: &noise, bank: &bank, threads: 2 };
    let mut banked =
        SmoothingSampler::fastest(&model, &runtime, Provider::Cpu, Some(128), Some(shared)).unwrap();
    assert_eq!(banked.noise_source(), NoiseSource::Engine);
    let error = banked.votes(Samples::Noisy(&[0.0; zoo::VALUES]), &mut Answers::default()).unwrap_err();
    assert!(error.to_string().contains("adds the noise itself"), "{error}");
    let images = [image(0), image(1)];
    let pieces = [
        (0, Role::Selection, 1, 36),
        (1, Role::Estimation, 7, 52),
        (1, Role::Estimation, 0, 64),
        (0, Role::Selection, 0, 64),
        (0, Role::Estimation, 3, 1),
    ];
    let (mut noisy, mut asked) = (Vec::new(), Vec::new());
    for &(number, role, block, samples) in &pieces {
        let key = NoiseMode::Shared.key(8, role, number, block);
        let start = noisy.len();
        noisy.resize(start + samples * zoo::VALUES, 0.0);
        noise.add(&key, &images[number as usize], &mut noisy[start..]);
        asked.push(KeyedSamples { image: &images[number as usize], key, samples });
    }
    let (mut kept, mut sent) = (Answers::default(), Answers::default());
    banked.votes(Samples::Keyed(&asked), &mut kept).unwrap();
    sampler.votes(Samples::Noisy(&noisy), &mut sent).unwrap();
    assert_eq!(kept.votes, sent.votes);
    let error = sampler.votes(Samples::Keyed(&asked), &mut sent).unwrap_err().to_string();
    assert!(error.contains("it has no noise to add"), "{error}");
    let other = KeyedSamples { key: NoiseMode::Independent.key(8, Role::Estimation, 1, 0), ..asked[0] };
    let error = banked.votes(Samples::Keyed(&[other]), &mut kept).unwrap_err().to_string();
    assert!(error.contains("its noise is not in the noise bank"), "{error}");
}

/// Certificates of the same image as three inputs.
fn certify(instances: Instances, settings: &Settings, mode: NoiseMode, threads: usize) -> Vec<Certificate> {
    let mut certifier = Certifier::new(instances, settings.clone(), 128).unwrap();
    certifier.set_noise_mode(mode);
    certifier.set_noise_threads(threads);
    let inputs = (0..3).map(|index| Input { index, label: None, image: image(0) });
    let mut certificates = Vec::new();
    certifier
        .certify_all(
            inputs,
            |_| {},
            |certificate| {
                certificates.push(Certificate { index: 0, seconds: 0.0, ..certificate });
                Ok(())
            },
        )
        .unwrap();
    certificates
}

#[test]
fn certificates_are_those_of_the_host_whoever_counts_and_wherever_the_noise_is() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = OnnxRuntime::load().unwrap();
    let reading = InputOptions { image: Some(zoo::IMAGE), ..InputOptions::default() };
    let model = open(folder.path(), &coarse(None), &reading).unwrap();
    for stop in ["fixed", "radius:0.1,0.3"] {
        let settings = Settings {
            n0: 100,
            n: 1000,
            stop: stop.parse().unwrap(),
            ..Settings::new(Sigma::new(SIGMA).unwrap(), 4)
        };
        let (noise, bank) = settings.shared_noise().unwrap();
        let shared = SharedNoise { noise: &noise, bank: &bank, threads: 2 };
        let counting = |shared| -> Instances {
            let made = SmoothingSampler::fastest(&model, &runtime, Provider::Cpu, Some(192), shared);
            vec![Box::new(made.unwrap())]
        };
        let host = || -> Instances { vec![Box::new(model.classifier(&runtime, Provider::Cpu, 1).unwrap())] };
        for mode in [NoiseMode::Independent, NoiseMode::Shared] {
            let expected = certify(host(), &settings, mode, 0);
            assert_eq!(certify(counting(None), &settings, mode, 0), expected, "{stop}, {mode}");
            assert_eq!(certify(counting(None), &settings, mode, 2), expected, "{stop}, {mode}");
            let is_same = expected.iter().all(|certificate| *certificate == expected[0]);
            assert_eq!(is_same, mode == NoiseMode::Shared, "one image three times, {stop}, {mode}");
            if mode == NoiseMode::Shared {
                assert_eq!(certify(counting(Some(shared)), &settings, mode, 2), expected, "{stop}, kept");
            }
        }
    }
}
