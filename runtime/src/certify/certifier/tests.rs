use std::sync::Mutex;

use ndarray::array;

use super::*;
use crate::{
    backend::{Answers, LinearClassifier, VoteSampler},
    certify::StoppingRule,
    noise::Distribution,
    units::Sigma,
};

fn model() -> LinearClassifier {
    LinearClassifier::new(array![[1.0, 0.5], [-1.0, 0.0], [0.0, -2.0]], array![0.0, 0.1, 0.0])
}

fn inputs(count: u64) -> impl Iterator<Item = Input> {
    (0..count).map(|index| Input { index: 3 * index, label: Some(0), image: vec![0.1 * index as f32, 0.3] })
}

fn run(workers: usize, batch: usize, count: u64) -> Vec<Certificate> {
    let settings = Settings { n0: 70, n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
    let mut certifier = Certifier::new(
        (0..workers).map(|_| Box::new(model()) as Box<dyn VoteSampler>).collect(),
        settings,
        batch,
    )
    .unwrap();
    let (mut certificates, mut samples) = (Vec::new(), 0);
    certifier
        .certify_all(
            inputs(count),
            |done| samples += done,
            |certificate| {
                certificates.push(Certificate { seconds: 0.0, ..certificate });
                Ok(())
            },
        )
        .unwrap();
    assert_eq!(samples, count * 970);
    assert_eq!(certifier.timings().samples, samples);
    certificates
}

#[test]
fn certificates_depend_on_neither_batch_nor_workers() {
    let reference = run(1, 64, 7);
    assert_eq!(reference.iter().map(|c| c.index).collect::<Vec<_>>(), [0, 3, 6, 9, 12, 15, 18]);
    for (workers, batch) in [(1, 1), (1, 100), (2, 64), (3, 1000), (4, 257)] {
        assert_eq!(run(workers, batch, 7), reference, "{workers} workers, batch {batch}");
    }
}

#[test]
fn an_input_is_certified_alike_alone_and_among_others() {
    let settings = Settings { n0: 70, n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
    let mut certifier = Certifier::new(vec![Box::new(model())], settings, 128).unwrap();
    let alone = certifier.certify_one(&inputs(5).last().unwrap()).unwrap();
    assert_eq!(Certificate { seconds: 0.0, ..alone }, run(2, 128, 5)[4]);
}

#[test]
fn the_share_of_votes_is_the_closed_form_for_a_linear_model() {
    use statrs::distribution::{ContinuousCDF, Normal};
    let model = LinearClassifier::new(array![[1.0, 2.0], [-1.0, 0.0]], array![0.2, 0.0]);
    let sigma = Sigma::new(0.7).unwrap();
    let settings = Settings { n: 200_000, ..Settings::new(sigma, 5) };
    let mut certifier = Certifier::new(vec![Box::new(model)], settings, 512).unwrap();
    let image = vec![-0.1, 0.3];
    // Difference of weights (2, 2), of biases 0.2.
    let margin: f64 = 2.0 * -0.1 + 2.0 * 0.3 + 0.2;
    let exact = Normal::standard().cdf(margin / (0.7 * 8.0_f64.sqrt()));
    let certificate = certifier.certify_one(&Input { index: 0, label: None, image }).unwrap();
    let share = certificate.estimation.by_class()[0] as f64 / 200_000.0;
    let error = (exact * (1.0 - exact) / 200_000.0).sqrt();
    assert!((share - exact).abs() < 4.0 * error, "{share} {exact}");
    assert!(certificate.p_lower < exact);
}

#[test]
fn an_input_of_the_wrong_size_is_named() {
    let settings = Settings::new(Sigma::new(0.5).unwrap(), 1);
    let mut certifier = Certifier::new(vec![Box::new(model())], settings, 64).unwrap();
    let error = certifier.certify_one(&Input { index: 4, label: None, image: vec![0.0; 3] }).unwrap_err();
    assert_eq!(error.to_string(), "input 4 has 3 values and the model takes 2");
}

/// A model that fails, and one whose logits are all NaN.
struct Broken(bool);

impl Classifier for Broken {
    fn input_len(&self) -> usize {
        1
    }
    fn classes(&self) -> usize {
        2
    }
    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        if self.0 {
            return Err(BackendError::Run { batch: batch.len(), problem: "out of memory".into() });
        }
        logits.clear();
        logits.resize(2 * batch.len(), f32::NAN);
        Ok(())
    }
}

#[test]
fn a_failing_engine_ends_the_run_with_its_words() {
    // Any of the instances may fail first; each does on a whole batch.
    let settings = Settings { n0: 128, ..Settings::new(Sigma::new(0.5).unwrap(), 1) };
    let models: Instances = vec![Box::new(Broken(true)), Box::new(Broken(true))];
    let mut certifier = Certifier::new(models, settings, 64).unwrap();
    let error = certifier.certify_one(&Input { index: 0, label: None, image: vec![0.0] }).unwrap_err();
    assert_eq!(error.to_string(), "the model failed on a batch of 64 inputs: out of memory");
}

/// A model with memory for a limited number of inputs at once.
struct SmallMemory(Box<dyn Classifier>, usize);

impl Classifier for SmallMemory {
    fn input_len(&self) -> usize {
        self.0.input_len()
    }
    fn classes(&self) -> usize {
        self.0.classes()
    }
    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        let count = batch.len() / self.input_len();
        if count > self.1 {
            return Err(BackendError::OutOfMemory { batch: count, problem: "full".into() });
        }
        self.0.logits(batch, logits)
    }
}

#[test]
fn too_little_memory_halves_the_batch_and_leaves_the_votes() {
    let settings = Settings { n0: 70, n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
    let mut certifier =
        Certifier::new(vec![Box::new(SmallMemory(Box::new(model()), 10))], settings, 64).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let list = heard.clone();
    let notices: Notices = Arc::new(move |text| list.lock().unwrap().push(text.to_owned()));
    certifier.on_notice(&notices);
    let certificate = certifier.certify_one(&inputs(3).last().unwrap()).unwrap();
    assert_eq!(Certificate { seconds: 0.0, ..certificate }, run(1, 64, 3)[2]);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard[2].contains("a batch of 16 inputs (full); continuing with batches of 8"), "{heard:?}");
}

#[test]
fn no_memory_for_a_single_input_ends_the_run() {
    let settings = Settings::new(Sigma::new(0.5).unwrap(), 1);
    let mut certifier =
        Certifier::new(vec![Box::new(SmallMemory(Box::new(model()), 0))], settings, 64).unwrap();
    let error = certifier.certify_one(&inputs(1).last().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the memory of the machine or device is too small for a batch of 1 inputs: full"
    );
}

/// A model that panics.
struct Panicking;

impl Classifier for Panicking {
    fn input_len(&self) -> usize {
        1
    }
    fn classes(&self) -> usize {
        2
    }
    fn logits(&mut self, _: &[f32], _: &mut Vec<f32>) -> Result<(), BackendError> {
        panic!("a defect of the model")
    }
}

#[test]
fn a_panicking_model_ends_the_run_with_an_error() {
    let settings = Settings::new(Sigma::new(0.5).unwrap(), 1);
    let models: Instances = vec![Box::new(Panicking), Box::new(Panicking)];
    let mut certifier = Certifier::new(models, settings.clone(), 64).unwrap();
    let error = certifier.certify_one(&Input { index: 0, label: None, image: vec![0.0] }).unwrap_err();
    assert!(error.to_string().ends_with("its thread ended unexpectedly"), "{error}");
    let models: Instances = vec![Box::new(Panicking), Box::new(model())];
    assert!(Certifier::new(models, settings, 64).is_err(), "instances of different models");
}

#[test]
fn logits_that_are_not_numbers_certify_nothing() {
    let settings = Settings { n: 1000, ..Settings::new(Sigma::new(0.5).unwrap(), 1) };
    let mut certifier = Certifier::new(vec![Box::new(Broken(false))], settings, 64).unwrap();
    let certificate = certifier.certify_one(&Input { index: 0, label: Some(0), image: vec![0.0] }).unwrap();
    assert_eq!((certificate.class, certificate.radius), (None, None));
    assert_eq!(certificate.estimation.total(), 0);
}

/// A model that takes exactly five inputs at once.
struct FixedBatch(Box<dyn Classifier>);

impl Classifier for FixedBatch {
    fn input_len(&self) -> usize {
        self.0.input_len()
    }
    fn classes(&self) -> usize {
        self.0.classes()
    }
    fn fixed_batch(&self) -> Option<usize> {
        Some(5)
    }
    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        assert_eq!(batch.len(), 5 * self.input_len());
        self.0.logits(batch, logits)
    }
}

#[test]
fn a_fixed_batch_gives_the_same_votes() {
    let settings = Settings { n0: 70, n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
    let mut certifier = Certifier::new(vec![Box::new(FixedBatch(Box::new(model())))], settings, 100).unwrap();
    let certificate = certifier.certify_one(&inputs(3).last().unwrap()).unwrap();
    assert_eq!(Certificate { seconds: 0.0, ..certificate }, run(1, 64, 3)[2]);
}

/// A classifier of one value: the first class above `boundary`.
fn threshold(boundary: f32) -> LinearClassifier {
    LinearClassifier::new(array![[1.0], [-1.0]], array![-boundary, boundary])
}

fn share(settings: Settings, boundary: f32, image: f32) -> (f64, Certificate) {
    let n = settings.n;
    let mut certifier = Certifier::new(vec![Box::new(threshold(boundary))], settings, 512).unwrap();
    let input = Input { index: 0, label: None, image: vec![image] };
    let certificate = certifier.certify_one(&input).unwrap();
    (certificate.estimation.by_class()[0] as f64 / n as f64, certificate)
}

#[test]
fn under_uniform_noise_the_radius_nears_the_distance_to_the_boundary() {
    let sigma = Sigma::new(0.5).unwrap();
    let settings = Settings { n: 200_000, distribution: Distribution::Uniform, ..Settings::new(sigma, 5) };
    let (share, certificate) = share(settings, 0.0, 0.4);
    let half_width = 0.5 * 3.0_f64.sqrt();
    let exact = (0.4 + half_width) / (2.0 * half_width);
    assert!((share - exact).abs() < 4.0 * (exact * (1.0 - exact) / 2e5).sqrt(), "{share} {exact}");
    let radius = certificate.radius.unwrap();
    assert!(radius < 0.4 && radius > 0.39, "{radius}");
}

#[test]
fn on_the_grid_the_share_is_that_of_the_rounded_gaussian() {
    use statrs::distribution::{ContinuousCDF, Normal};
    let sigma = Sigma::new(0.1).unwrap();
    let settings =
        Settings { n: 200_000, distribution: Distribution::QuantizedGaussian, ..Settings::new(sigma, 5) };
    // Level 120, the boundary between the levels 100 and 101: noise of at least −19 levels, that is −19.5 unrounded.
    let (share, certificate) = share(settings, 100.5 / 255.0, 120.0 / 255.0);
    let exact = Normal::standard().cdf(19.5 / 25.5);
    assert!((share - exact).abs() < 4.0 * (exact * (1.0 - exact) / 2e5).sqrt(), "{share} {exact}");
    // Level 101 is the last of this class: the claim is about levels, 19 of which lie within 19.5 / 255.
    let radius = certificate.radius.unwrap();
    assert!(radius < 19.5 / 255.0 && radius > 19.0 / 255.0, "{radius}");
}

#[test]
fn an_image_off_the_grid_is_refused_under_noise_on_the_grid() {
    let sigma = Sigma::new(0.5).unwrap();
    let settings = Settings { distribution: Distribution::QuantizedGaussian, ..Settings::new(sigma, 1) };
    let mut certifier = Certifier::new(vec![Box::new(model())], settings.clone(), 64).unwrap();
    let input = Input { index: 4, label: None, image: vec![1.0, 0.3] };
    assert_eq!(
        certifier.certify_one(&input).unwrap_err().to_string(),
        "value 1 of input 4 is 0.3, which is not k/255 for a whole k from 0 to 255; noise on that grid \
         (`exact_noise`) is for 8-bit images"
    );
    let tiny = Settings { sigma: Sigma::new(0.001).unwrap(), ..settings };
    assert!(Certifier::new(vec![Box::new(model())], tiny, 64).is_err());
}

#[test]
fn predictions_depend_on_neither_batch_nor_workers() {
    let settings = Settings { n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
    let predict = |workers: usize, batch| {
        let mut certifier = Certifier::new(
            (0..workers).map(|_| Box::new(model()) as Box<dyn VoteSampler>).collect(),
            settings.clone(),
            batch,
        )
        .unwrap();
        let mut predictions = Vec::new();
        let keep = |prediction| {
            predictions.push(Prediction { seconds: 0.0, ..prediction });
            Ok(())
        };
        certifier.predict_all(inputs(7), |_| {}, keep).unwrap();
        predictions
    };
    let reference = predict(1, 64);
    assert_eq!(reference.len(), 7);
    assert!(reference.iter().all(|prediction| prediction.votes.total() == 900));
    for (workers, batch) in [(1, 1), (2, 100), (3, 1000)] {
        assert_eq!(predict(workers, batch), reference, "{workers} workers, batch {batch}");
    }
    // Prediction samples are never selection or estimation samples.
    assert_ne!(reference[0].votes, run(1, 64, 1)[0].estimation);
}

/// Certificates with one stopping rule for inputs of which some are easy and others hard.
fn run_rule(
    rule: &str,
    n: u64,
    workers: usize,
    batch: usize,
    noise_threads: usize,
) -> (Vec<Certificate>, u64) {
    let settings = Settings { n, stop: rule.parse().unwrap(), ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
    let mut certifier = Certifier::new(
        (0..workers).map(|_| Box::new(model()) as Box<dyn VoteSampler>).collect(),
        settings,
        batch,
    )
    .unwrap();
    certifier.set_noise_threads(noise_threads);
    let mut certificates = Vec::new();
    let keep = |certificate| {
        certificates.push(Certificate { seconds: 0.0, ..certificate });
        Ok(())
    };
    certifier.certify_all(inputs(15), |_| {}, keep).unwrap();
    (certificates, certifier.timings().samples)
}

#[test]
fn every_rule_gives_the_same_however_the_work_is_split() {
    for rule in ["fixed", "radius:0.2,0.4,0.8", "precision:0.1", "precision:10%", "loss:0.1"] {
        let (reference, _) = run_rule(rule, 3000, 1, 1, 0);
        assert_eq!(reference.len(), 15);
        for (workers, batch, noise_threads) in [(1, 64, 1), (2, 100, 0), (2, 700, 2), (4, 256, 1)] {
            let (split, _) = run_rule(rule, 3000, workers, batch, noise_threads);
            assert_eq!(
                split, reference,
                "{rule}: {workers} workers, batch {batch}, {noise_threads} for noise"
            );
        }
    }
}

#[test]
fn an_adaptive_rule_runs_far_fewer_samples() {
    let (fixed, all) = run_rule("fixed", 50_000, 2, 64, 0);
    let (decided, few) = run_rule("radius:0.2,0.4,0.8", 50_000, 2, 64, 0);
    assert!(4 * few < all, "{few} of {all}");
    let used: u64 = decided.iter().map(|certificate| certificate.samples).sum();
    assert!(used <= few);
    for (fixed, decided) in fixed.iter().zip(&decided) {
        assert_eq!(fixed.class, decided.class);
        // The same selection samples choose the class, and the bound uses the first of the same estimation samples.
        assert_eq!(fixed.selection, decided.selection);
        assert!(decided.samples <= fixed.samples);
    }
}

#[test]
fn a_deadline_ends_each_input_with_what_is_proved_by_then() {
    let settings = Settings {
        n: 1_000_000_000,
        stop: "deadline:30".parse().unwrap(),
        ..Settings::new(Sigma::new(0.5).unwrap(), 11)
    };
    let mut certifier =
        Certifier::new(vec![Box::new(model()), Box::new(model())], settings.clone(), 64).unwrap();
    let mut certificates = Vec::new();
    let keep = |certificate| {
        certificates.push(certificate);
        Ok(())
    };
    certifier.certify_all(inputs(3), |_| {}, keep).unwrap();
    assert_eq!(certificates.len(), 3);
    for certificate in certificates {
        assert!(certificate.samples < settings.n);
        // The same number of samples gives the same votes at any other time.
        if certificate.samples > 0 {
            let again = Settings { n: certificate.samples, stop: StoppingRule::Fixed, ..settings.clone() };
            let mut certifier = Certifier::new(vec![Box::new(model())], again, 64).unwrap();
            let input = inputs(3).find(|input| input.index == certificate.index).unwrap();
            let again = certifier.certify_one(&input).unwrap();
            assert_eq!((again.selection, again.estimation), (certificate.selection, certificate.estimation));
            assert!(again.p_lower >= certificate.p_lower);
        }
    }
}

#[test]
fn no_batch_is_begun_when_time_is_up() {
    use std::time::Instant;

    use crate::certify::forward::{Forward, forward};
    let (mut answers, mut batch) = (Answers::default(), 2);
    let late = Forward { notices: None, until: Some(Instant::now()), stop: None };
    forward(&mut model(), &[0.0; 8], &mut batch, &mut answers, &late, |_, _| Ok(())).unwrap();
    assert!(answers.votes.is_empty());
    let free = Forward { notices: None, until: None, stop: None };
    forward(&mut model(), &[0.0; 8], &mut batch, &mut answers, &free, |_, _| Ok(())).unwrap();
    assert_eq!(answers.votes.len(), 4);
}

#[test]
fn kept_votes_are_those_that_were_counted() {
    let settings = Settings { n: 900, ..Settings::new(Sigma::new(0.5).unwrap(), 11) };
    let mut certifier = Certifier::new(vec![Box::new(model()), Box::new(model())], settings, 100).unwrap();
    certifier.keep_votes();
    let mut seen = 0;
    let check = |certificate: Certificate, votes: Option<Vec<Vote>>| {
        let votes = votes.unwrap();
        assert_eq!(votes.len(), 900);
        for (class, &count) in certificate.estimation.by_class().iter().enumerate() {
            assert_eq!(votes.iter().filter(|&&vote| usize::from(vote) == class).count() as u64, count);
        }
        seen += 1;
        Ok(())
    };
    certifier.certify_with_votes(inputs(4), |_| {}, check).unwrap();
    assert_eq!(seen, 4);
}
