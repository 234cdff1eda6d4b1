use proptest::prelude::*;
use rand_distr::{Binomial, Distribution};

use super::*;
use crate::{noise::keyed_stream, statistics::SequenceForm, units::Sigma};

fn settings(n0: u64, n: u64) -> Settings {
    Settings { n0, n, ..Settings::new(Sigma::new(1.0).unwrap(), 0) }
}

fn with_rule(rule: &str, sigma: f64, n: u64) -> Procedure {
    let settings =
        Settings { n, stop: rule.parse().unwrap(), ..Settings::new(Sigma::new(sigma).unwrap(), 0) };
    Procedure::new(settings).unwrap()
}

fn fixed(selection: Vec<u64>, estimation: Vec<u64>, settings: &Settings) -> Decision {
    Procedure::new(settings.clone())
        .unwrap()
        .decide(&selection.into(), &estimation.into(), settings.n)
        .unwrap()
}

#[test]
fn the_bound_is_for_the_selected_class_also_where_another_wins_the_estimate() {
    let Decision { class, p_lower, radius } = fixed(vec![60, 40], vec![10, 90], &settings(100, 100));
    assert_eq!((class, radius), (Some(0), None));
    assert!(p_lower < 0.1);
}

#[test]
fn samples_without_a_vote_count_against_the_class() {
    let all = fixed(vec![100, 0], vec![1000, 0], &settings(100, 1000));
    let some = fixed(vec![100, 0], vec![900, 0], &settings(100, 1000));
    let same = fixed(vec![100, 0], vec![900, 100], &settings(100, 1000));
    assert!(some.p_lower < all.p_lower);
    assert_eq!(some, same);
}

#[test]
fn a_model_that_never_votes_abstains() {
    let nothing = Decision { class: None, p_lower: 0.0, radius: None };
    assert_eq!(fixed(vec![0, 0], vec![0, 0], &settings(100, 1000)), nothing);
    let radius = with_rule("radius:0.5", 1.0, 1000);
    assert_eq!(radius.decide(&vec![0, 0].into(), &vec![0, 0].into(), 0), Ok(nothing));
}

#[test]
fn ten_unanimous_votes_certify_and_nine_do_not() {
    let Decision { p_lower, radius, .. } = fixed(vec![100, 0], vec![10, 0], &settings(100, 10));
    assert!((p_lower - 0.5012).abs() < 1e-4 && radius.is_some());
    assert_eq!(fixed(vec![100, 0], vec![9, 0], &settings(100, 9)).radius, None);
}

#[test]
fn a_hundred_million_samples_are_no_trouble() {
    let n = 100_000_000;
    let Decision { p_lower, radius, .. } = fixed(vec![100, 0], vec![n, 0], &settings(100, n));
    // α^(1/n) = 1 − 6.9e-8, Φ⁻¹ of that is 5.26768.
    assert!(p_lower <= 0.001_f64.powf(1e-8) && (1.0 - p_lower - 6.907_755e-8).abs() < 1e-13);
    assert!((radius.unwrap() - 5.267_68).abs() < 1e-4, "{radius:?}");
    let Decision { p_lower, radius, .. } =
        fixed(vec![100, 0], vec![50_000_000, 50_000_000], &settings(100, n));
    assert!(p_lower < 0.5 && p_lower > 0.499_8 && radius.is_none());
}

#[test]
fn more_votes_than_samples_are_an_error() {
    let procedure = Procedure::new(settings(100, 10)).unwrap();
    assert!(procedure.decide(&vec![101, 0].into(), &vec![1, 0].into(), 10).is_err());
    assert!(procedure.decide(&vec![100, 0].into(), &vec![9, 2].into(), 10).is_err());
}

/// Samples, in whole blocks, after which a rule stops for an input of which this share of votes is for its class.
fn stops(procedure: &Procedure, share: f64) -> u64 {
    let n = procedure.settings().n;
    (1..=n.div_ceil(BLOCK))
        .map(|block| (block * BLOCK).min(n))
        .find(|&samples| {
            samples == n || procedure.is_decided((share * samples as f64) as u64, samples).unwrap()
        })
        .unwrap()
}

#[test]
fn a_radius_is_decided_the_sooner_the_clearer_the_case() {
    let procedure = with_rule("radius:0.25,0.5,0.75,1.0", 0.5, 100_000);
    let sure = stops(&procedure, 1.0);
    assert!(sure <= 384, "{sure}");
    assert_eq!(stops(&procedure, 0.3), 64);
    // 2σ needs a probability of 0.97725.
    assert!(stops(&procedure, 0.995) < stops(&procedure, 0.985));
    // If the probability is just that of a radius, the rule needs many samples to decide; but n samples will not
    // certify it either.
    let undecided = stops(&procedure, 0.977_25);
    assert!(undecided > 10_000 && undecided < 90_000, "{undecided}");
    for form in [SequenceForm::Looks, SequenceForm::Geometric, SequenceForm::Betting] {
        let settings = Settings { sequence: form, ..procedure.settings().clone() };
        let other = Procedure::new(settings).unwrap();
        assert!(stops(&other, 0.999) < 1000, "{form}");
    }
}

#[test]
fn a_radius_that_n_samples_cannot_certify_is_given_up_at_once() {
    // 4σ; the most that 100,000 samples can certify is 3.8σ.
    let far = with_rule("radius:0.5,2", 0.5, 100_000);
    assert_eq!(stops(&far, 1.0), stops(&with_rule("radius:0.5", 0.5, 100_000), 1.0));
}

#[test]
fn every_form_leaves_a_certificate_when_time_is_up() {
    for form in [SequenceForm::Looks, SequenceForm::Geometric, SequenceForm::Betting] {
        let settings =
            Settings { sequence: form, ..with_rule("deadline:5", 0.5, 100_000).settings().clone() };
        let procedure = Procedure::new(settings).unwrap();
        for hits in [1000, 990] {
            let usable = procedure.usable(hits, 1000);
            let hits = usable - (1000 - hits);
            let votes = vec![hits, usable - hits].into();
            let Decision { p_lower, .. } = procedure.decide(&vec![60, 40].into(), &votes, usable).unwrap();
            assert!(p_lower > 0.95, "{form}: {p_lower}");
        }
    }
}

#[test]
fn the_votes_at_the_stop_prove_what_was_decided() {
    let procedure = with_rule("radius:0.5", 0.5, 100_000);
    let samples = stops(&procedure, 1.0);
    let decided = procedure.decide(&vec![100, 0].into(), &vec![samples, 0].into(), samples).unwrap();
    assert!(decided.radius.unwrap() >= 0.5);
    // A block earlier it does not stop.
    let early = samples - BLOCK;
    let error = procedure.decide(&vec![100, 0].into(), &vec![early, 0].into(), early).unwrap_err();
    assert_eq!(error, StatisticsError::NotAMoment { samples: early });
}

#[test]
fn precision_loses_no_more_than_asked() {
    for (rule, width) in [("precision:0.05", 0.05), ("precision:0.1", 0.1)] {
        let procedure = with_rule(rule, 0.5, 100_000);
        for share in [0.4, 0.55, 0.7, 0.9, 0.99, 1.0] {
            let samples = stops(&procedure, share);
            let hits = (share * samples as f64) as u64;
            let Decision { radius, .. } =
                procedure.decide(&vec![60, 40].into(), &vec![hits, samples - hits].into(), samples).unwrap();
            let full = procedure.radius_after(share, 100_000).unwrap();
            assert!(full - radius.unwrap_or(0.0) <= width, "{rule} {share}: {samples} {radius:?} {full}");
        }
    }
    // The least number for a loss of 0.05 is about 67,000, of 0.1 about 45,000.
    assert!((67_000..75_000).contains(&stops(&with_rule("precision:0.05", 0.5, 100_000), 1.0)));
    assert!((45_000..51_000).contains(&stops(&with_rule("precision:0.1", 0.5, 100_000), 1.0)));
    let relative = with_rule("precision:10%", 0.5, 100_000);
    assert!(stops(&relative, 0.99) < stops(&relative, 0.7));
}

#[test]
fn the_samples_chosen_for_a_loss_are_the_least_that_will_do() {
    let procedure = with_rule("loss:0.05", 0.5, 100_000);
    let budget = |hits: u64| procedure.budget(&vec![hits, 100 - hits].into()).unwrap();
    assert!((67_000..67_100).contains(&budget(100)), "{}", budget(100));
    assert!(budget(60) < budget(90) && budget(90) < budget(99) && budget(99) <= budget(100));
    for hits in [60, 80, 95, 100] {
        let likely = procedure.upper_of_few(hits, 100).unwrap();
        let full = procedure.radius_after(likely, 100_000).unwrap();
        let lost = |samples| full - procedure.radius_after(likely, samples).unwrap();
        assert!(lost(budget(hits)) <= 0.05 && lost(budget(hits) - BLOCK) > 0.05 - 1e-3, "{hits}");
    }
    let decided = procedure.decide(&vec![60, 40].into(), &vec![100, 0].into(), 100);
    assert_eq!(decided, Err(StatisticsError::NotAMoment { samples: 100 }));
}

#[test]
fn a_deadline_may_fall_at_any_moment() {
    let procedure = with_rule("deadline:50", 0.5, 100_000);
    let nothing = procedure.decide(&vec![100, 0].into(), &vec![0, 0].into(), 0).unwrap();
    assert_eq!(nothing, Decision { class: Some(0), p_lower: 0.0, radius: None });
    assert!(procedure.decide(&vec![100, 0].into(), &vec![777, 0].into(), 777).unwrap().radius.is_some());
    let usable = procedure.usable(700, 777);
    assert!(usable < 777 && usable > 600);
    assert!(procedure.decide(&vec![100, 0].into(), &vec![usable - 5, 5].into(), usable).is_ok());
    assert!(procedure.decide(&vec![100, 0].into(), &vec![770, 7].into(), 777).is_err());
}

proptest! {
    #[test]
    fn no_rule_beats_the_fixed_bound_for_as_many_samples(
        rule in 0_usize..4, blocks in 1_u64..400, misses in 0_u64..200
    ) {
        let rule = ["radius:0.3", "precision:0.2", "precision:20%", "deadline:5"][rule];
        let procedure = with_rule(rule, 0.5, 25_600);
        let samples = blocks * BLOCK;
        let hits = samples.saturating_sub(misses);
        let votes = vec![hits, samples - hits].into();
        if let Ok(Decision { p_lower, .. }) = procedure.decide(&vec![60, 40].into(), &votes, samples) {
            prop_assert!(p_lower <= clopper_pearson_lower(hits, samples, Alpha::USUAL).unwrap());
        }
    }
}

#[test]
fn a_radius_that_n_samples_certify_is_hardly_ever_given_up() {
    let procedure = with_rule("radius:1", 0.5, 100_000);
    let n = procedure.settings().n;
    let mut random = keyed_stream("given up", &[]);
    // 2σ needs a probability of 0.97725. Just above it nothing is certain; further above nothing is ever given up.
    for p in [0.9785, 0.979, 0.9795, 0.98, 0.9805, 0.981, 0.982] {
        let block = Binomial::new(BLOCK, p).unwrap();
        let (mut certified, mut given_up) = (0, 0);
        for _ in 0..1000 {
            let (mut hits, mut samples, mut stop) = (0, 0, None);
            while samples < n {
                let more = BLOCK.min(n - samples);
                hits +=
                    if more == BLOCK { block } else { Binomial::new(more, p).unwrap() }.sample(&mut random);
                samples += more;
                if stop.is_none() && (samples == n || procedure.is_decided(hits, samples).unwrap()) {
                    stop = Some((hits, samples));
                }
            }
            let (hits_then, samples_then) = stop.unwrap();
            let votes = vec![hits_then, samples_then - hits_then].into();
            let Decision { radius, .. } =
                procedure.decide(&vec![100, 0].into(), &votes, samples_then).unwrap();
            let at_n =
                procedure.decide(&vec![100, 0].into(), &vec![hits, n - hits].into(), n).unwrap().radius;
            certified += u32::from(at_n >= Some(1.0));
            given_up += u32::from(at_n >= Some(1.0) && radius < Some(1.0));
        }
        let figures =
            format!("p {p}: of 1000 {certified} certified by n samples, of these {given_up} given up");
        println!("{figures}");
        assert!(given_up <= 20, "{figures}");
    }
}
