use ndarray::array;

use super::*;
use crate::{
    backend::LinearClassifier,
    certify::{Certifier, Decision, Input, Procedure},
    evidence::example_header,
    units::{Alpha, Sigma},
};

/// Number of repetitions of the test that chooses among seeds.
const REPEATS: u64 = 12;

/// Distances to the decision boundary in units of σ: from a probability of ½ to almost 1.
const DISTANCES: [f32; 8] = [0.0, 0.02, 0.1, 0.3, 0.7, 1.2, 2.0, 3.5];

fn header(stop: &str, mode: NoiseMode, n: u64) -> Header {
    let mut header = example_header();
    header.settings = Settings {
        n,
        alpha: Alpha::new(0.05).unwrap(),
        stop: stop.parse().unwrap(),
        ..Settings::new(Sigma::new(1.0).unwrap(), 1)
    };
    header.noise.mode = mode;
    header
}

/// Certificates of images of one pixel at these distances.
fn certified(
    settings: &Settings,
    mode: NoiseMode,
    inputs: impl Iterator<Item = (u64, f32)>,
) -> Vec<Certificate> {
    // The logits differ by twice the noisy pixel, so its sign decides the vote.
    let model = LinearClassifier::new(array![[1.0], [-1.0]], array![0.0, 0.0]);
    let mut certifier = Certifier::new(vec![Box::new(model)], settings.clone(), 64).unwrap();
    certifier.set_noise_mode(mode);
    let mut certificates = Vec::new();
    let inputs = inputs.map(|(index, pixel)| Input { index, label: Some(0), image: vec![pixel] });
    certifier
        .certify_all(
            inputs,
            |_| {},
            |certificate| {
                certificates.push(certificate);
                Ok(())
            },
        )
        .unwrap();
    certificates
}

fn run(header: &Header, pixels: &[f32]) -> Vec<Record> {
    let inputs = (0..).zip(pixels.iter().copied());
    let certificates = certified(&header.settings, header.noise.mode, inputs);
    certificates.into_iter().map(|certificate| Record::new(certificate, header)).collect()
}

fn compare(header: &Header, records: &[Record], pixels: &[f32], seed: u64) -> FreshComparison {
    let pairs: Vec<(&Record, Certificate)> = records
        .iter()
        .map(|record| {
            let settings = fresh_settings(header, record, seed);
            let input = (record.index, pixels[record.index as usize]);
            (record, certified(&settings, header.noise.mode, std::iter::once(input)).remove(0))
        })
        .collect();
    FreshComparison::new(header, &pairs, seed).unwrap()
}

#[test]
fn an_honest_run_is_compatible_whatever_the_rule() {
    for stop in ["fixed", "loss:0.1", "radius:0.25", "precision:5%", "deadline:1000"] {
        for mode in [NoiseMode::Independent, NoiseMode::Shared] {
            let mut header = header(stop, mode, 1000);
            let (mut small, mut all) = (0, 0);
            for seed in 0..25 {
                header.settings.seed = seed;
                let found = compare(&header, &run(&header, &DISTANCES), &DISTANCES, 1000 + seed);
                assert!(found.is_compatible(), "{stop}, {mode:?}, seed {seed}: {found:?}");
                assert_eq!(found.surplus_p_value.is_some(), mode == NoiseMode::Independent);
                all += found.inputs.len();
                small += found.inputs.iter().filter(|input| input.p_value <= 0.1).count();
            }
            // At most a tenth of 200 plus four standard deviations; inputs that share noise depend on each other.
            let most = if mode == NoiseMode::Shared { 60 } else { 37 };
            assert!(all == 200 && small <= most, "{stop}, {mode:?}: {small} of {all}");
        }
    }
}

/// A record with forged votes, and class, bound and radius that follow from them.
fn forged(record: &Record, hits: u64, header: &Header) -> Record {
    let procedure = Procedure::new(header.settings.clone()).unwrap();
    let estimation: Votes = vec![hits, record.samples - hits].into();
    let Decision { class, p_lower, radius } =
        procedure.decide(&record.selection, &estimation, record.samples).unwrap();
    Record {
        estimation,
        class,
        p_lower,
        radius: radius.unwrap_or(0.0),
        abstained: radius.is_none(),
        ..record.clone()
    }
}

#[test]
fn votes_that_are_not_the_models_are_found() {
    let header = header("fixed", NoiseMode::Independent, 1000);
    let records = run(&header, &DISTANCES);
    // Φ(0.3) = 0.618: 618 of 1000, and 900 in the forgery.
    let mut one = records.clone();
    one[3] = forged(&records[3], 900, &header);
    let found = compare(&header, &one, &DISTANCES, 77);
    assert!(!found.is_compatible());
    assert_eq!(found.differing().map(|input| input.index).collect::<Vec<_>>(), [3]);
    assert!(found.inputs[3].bound_p_value.unwrap() < 1e-12, "{:?}", found.inputs[3]);
    assert!(found.inputs[4].bound_p_value.unwrap() > 1e-4, "{:?}", found.inputs[4]);
    // Votes that are worse than the model's are also found.
    one[3] = forged(&records[3], 400, &header);
    assert!(!compare(&header, &one, &DISTANCES, 78).is_compatible());
    // Selection votes for another class.
    let mut other = records.clone();
    other[6].selection = vec![20, 80].into();
    other[6].class = Some(1);
    assert!(!compare(&header, &other, &DISTANCES, 79).is_compatible());
    // A difference of a fraction of a standard deviation is compatible with chance; several on every input are not.
    let coins = [0.0_f32; 40];
    let records = run(&header, &coins);
    let better = |by: u64| -> Vec<Record> {
        records
            .iter()
            .map(|record| {
                let hits = record.estimation.by_class()[0];
                let mut record = Record { class: Some(0), selection: vec![60, 40].into(), ..record.clone() };
                record.estimation = vec![hits + by, 1000 - hits - by].into();
                record
            })
            .collect()
    };
    assert!(compare(&header, &better(1), &coins, 80).is_compatible());
    let found = compare(&header, &better(45), &coins, 80);
    assert!(found.is_too_good() && !found.is_compatible(), "{:?}", found.surplus_p_value);
}

#[test]
fn votes_too_good_for_a_run_that_stopped_early_are_found() {
    let header = header("precision:5%", NoiseMode::Independent, 10_000);
    let mut records = run(&header, &DISTANCES);
    let samples = records[1].samples;
    // Φ(0.02) is hardly more than a half.
    records[1].class = Some(0);
    records[1].estimation = vec![samples - samples / 10, samples / 10].into();
    let found = compare(&header, &records, &DISTANCES, 5);
    assert_eq!(found.differing().map(|input| input.index).collect::<Vec<_>>(), [1], "{found:?}");
}

/// The best of 34 seeds for inputs whose class has probability ½: the p-value of all inputs together is on average below
/// a half of that for the first seed.
#[test]
fn a_seed_chosen_among_a_few_shows_in_the_probability_of_all_inputs_together() {
    let coins = [0.0_f32; 30];
    let mut header = header("fixed", NoiseMode::Independent, 300);
    let (mut chosen, mut honest) = (0.0, 0.0);
    for repeat in 0..REPEATS {
        let mut runs: Vec<(Vec<Record>, Header)> = (0..34)
            .map(|seed| {
                header.settings.seed = 100 * repeat + seed;
                (run(&header, &coins), header.clone())
            })
            .collect();
        let hits = |records: &[Record]| -> f64 { records.iter().map(|record| record.p_lower).sum() };
        let first = compare(&runs[0].1, &runs[0].0, &coins, 9000 + repeat);
        runs.sort_by(|left, right| hits(&right.0).total_cmp(&hits(&left.0)));
        let best = compare(&runs[0].1, &runs[0].0, &coins, 9000 + repeat);
        chosen += best.surplus_p_value.unwrap() / REPEATS as f64;
        honest += first.surplus_p_value.unwrap() / REPEATS as f64;
    }
    // The mean p-value of honest runs is about ½, within four standard deviations of the mean of 12 uniform numbers.
    assert!(honest > 0.17 && chosen < 0.25 && chosen < honest / 2.0, "chosen {chosen}, honest {honest}");
}

#[test]
fn what_has_no_samples_is_compatible() {
    let mut header = header("deadline:1000", NoiseMode::Independent, 1000);
    let mut records = run(&header, &DISTANCES);
    records[0] = Record {
        samples: 0,
        estimation: Votes::none(2),
        p_lower: 0.0,
        radius: 0.0,
        radii: None,
        abstained: true,
        ..records[0].clone()
    };
    assert!(compare(&header, &records, &DISTANCES, 3).is_compatible());
    header.recertification = Some(crate::evidence::Recertification {
        from: String::new(),
        from_model_sha256: String::new(),
        alpha: Alpha::USUAL,
        alpha_change: Alpha::USUAL,
        seed: 9,
        n: 1000,
        replayed: 1000,
    });
    header.settings.stop = StoppingRule::Fixed;
    assert!(compare(&header, &records[..1], &DISTANCES, 3).is_compatible());
}

#[test]
fn levels_are_those_of_clopper_and_pearson() {
    // Without a hit in ten samples, P[X ≤ 0] at probability 0.9 is 0.1^10.
    let level = bound_p_value(0.9, 0, 10).unwrap();
    assert!((level / 0.1_f64.powi(10) - 1.0).abs() < 1e-4, "{level}");
    let level = bound_p_value(0.5, 2, 16).unwrap();
    let expected = (1.0 + 16.0 + 120.0) / 65536.0;
    assert!((level / expected - 1.0).abs() < 1e-4, "{level} {expected}");
    assert_eq!(bound_p_value(0.5, 16, 16), Ok(1.0));
}
