//! How many samples each stopping rule takes, and what radius it costs.
//!
//! ```text
//! rscert certify --model M --data D --sigma 0.25 --max 40 --keep-votes --out run.jsonl
//! cargo run --release -p mithridate-runtime --example stopping_rules -- run.jsonl
//! cargo run --release -p mithridate-runtime --example stopping_rules -- --probabilities 0.5
//! ```
//!
//! The first form takes runs of the rule `fixed` with all votes kept. A vote depends on nothing but its key, so any other
//! rule, with the same seed, would have counted the first of the same votes: what it would have done is read off without
//! running the model again. The second form draws votes with known probabilities at a σ, and sets the samples beside the
//! least that any rule needs which has to lose no more.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{env, error::Error, path::Path};

use mithridate_runtime::{
    certify::{Decision, Procedure, Settings, StoppingRule, Vote, Votes},
    evidence::{KeptVotes, Record, read_evidence, votes_path},
    noise::{BLOCK, keyed_stream},
    statistics::{SequenceForm, clopper_pearson_lower, mean_down},
    units::{Alpha, Sigma},
};
use rand_distr::Distribution;
use statrs::distribution::{Binomial, DiscreteCDF};

type Outcome = Result<(u64, f64), Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--probabilities", sigma] => probabilities(sigma.parse()?),
        [] => Err("give evidence files made with --keep-votes, or --probabilities SIGMA".into()),
        _ => arguments.iter().try_for_each(|run| recorded(Path::new(run))),
    }
}

/// Rules to compare, for a σ: radii up to 2σ, and widths as shares of σ.
fn rules(sigma: f64) -> Vec<(String, SequenceForm)> {
    let curve = format!("radius:{},{},{},{}", 0.5 * sigma, sigma, 1.5 * sigma, 2.0 * sigma);
    let mut rules = vec![("fixed".to_owned(), SequenceForm::Looks)];
    for form in [SequenceForm::Looks, SequenceForm::Geometric, SequenceForm::Betting] {
        rules.push((curve.clone(), form));
    }
    for share in [0.1, 0.2] {
        for form in [SequenceForm::Looks, SequenceForm::Geometric, SequenceForm::Betting] {
            rules.push((format!("precision:{}", share * sigma), form));
        }
        rules.push((format!("loss:{}", share * sigma), SequenceForm::Looks));
    }
    rules
}

/// Samples and radius of an input whose votes come in one after the other.
fn stop(
    procedure: &Procedure,
    selection: &Votes,
    class: usize,
    mut hits_until: impl FnMut(u64) -> u64,
) -> Outcome {
    let budget = procedure.budget(selection)?;
    let is_adaptive =
        matches!(procedure.settings().stop, StoppingRule::Radius(_) | StoppingRule::Precision(_));
    let mut samples = if is_adaptive { BLOCK.min(budget) } else { budget };
    while samples < budget && !procedure.is_decided(hits_until(samples), samples)? {
        samples = (samples + BLOCK).min(budget);
    }
    let mut estimation = vec![0; selection.by_class().len()];
    estimation[class] = hits_until(samples);
    let Decision { radius, .. } = procedure.decide(selection, &estimation.into(), samples)?;
    Ok((samples, radius.unwrap_or(0.0)))
}

/// What each rule would have done in a run.
fn recorded(path: &Path) -> Result<(), Box<dyn Error>> {
    let evidence = read_evidence(path)?;
    let settings = &evidence.header.settings;
    if settings.stop != StoppingRule::Fixed || !evidence.header.keeps_votes {
        return Err(format!("{} is no run of the rule fixed with --keep-votes", path.display()).into());
    }
    let mut kept = KeptVotes::open(&votes_path(path))?;
    let mut inputs: Vec<(&Record, usize, Vec<u64>)> = Vec::new();
    for record in &evidence.records {
        let Some(class) = record.class else { continue };
        let votes = kept.of(record)?;
        inputs.push((record, class, running_hits(&votes, class)));
    }
    println!(
        "{}: {}, {} inputs, σ {}, α {}, n {}",
        path.display(),
        evidence.header.model.file,
        inputs.len(),
        settings.sigma,
        settings.alpha,
        settings.n
    );
    println!(
        "  {:<34} {:<9} {:>9} {:>7} {:>8} {:>10} {:>9}",
        "rule", "sequence", "samples", "fewer", "ACR", "most lost", "given up"
    );
    let mut full: Vec<f64> = Vec::new();
    for (rule, sequence) in rules(settings.sigma.get()) {
        let procedure = Procedure::new(Settings { stop: rule.parse()?, sequence, ..settings.clone() })?;
        let outcomes = inputs
            .iter()
            .map(|(record, class, hits)| {
                stop(&procedure, &record.selection, *class, |samples| hits[samples as usize])
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mean = outcomes.iter().map(|outcome| outcome.0 as f64).sum::<f64>() / outcomes.len() as f64;
        let radii = || inputs.iter().zip(&outcomes);
        let acr = mean_down(radii().map(
            |((record, class, _), outcome)| {
                if record.label == Some(*class) { outcome.1 } else { 0.0 }
            },
        ));
        if rule == "fixed" {
            full = outcomes.iter().map(|outcome| outcome.1).collect();
        }
        let lost =
            full.iter().zip(&outcomes).fold(0.0_f64, |lost, (full, outcome)| lost.max(full - outcome.1));
        // Radii asked about that all samples would certify.
        let given_up = match &procedure.settings().stop {
            StoppingRule::Radius(radii) => {
                let lacks = |&(full, outcome): &(&f64, &(u64, f64))| {
                    radii.iter().filter(|&&radius| outcome.1 < radius && *full >= radius).count()
                };
                full.iter().zip(&outcomes).map(|pair| lacks(&pair)).sum::<usize>().to_string()
            }
            _ => String::new(),
        };
        println!(
            "  {rule:<34} {sequence:<9} {mean:>9.0} {:>6.1}x {acr:>8.4} {lost:>10.4} {given_up:>9}",
            settings.n as f64 / mean
        );
        if let (StoppingRule::Radius(radii), SequenceForm::Betting) = (&procedure.settings().stop, sequence) {
            let mut least = 0.0;
            for (.., hits) in &inputs {
                least += wald(hits[settings.n as usize], radii, settings)?;
            }
            println!("  {:<44} {:>9.0}", "least to certify these (Wald)", least / inputs.len() as f64);
        }
    }
    Ok(())
}

/// The mean number of samples that no rule can do without which, at the same α, certifies as likely as n samples do the
/// largest of the radii that they certify, for an input of which `hits` of n samples are for its class: kl(w, α) / kl(p, q) with
/// p the share of hits, q the probability that the radius stands for, w the chance that n samples certify it, and kl
/// the divergence of one coin from another (Wald 1945). It counts on p being just that share.
fn wald(hits: u64, radii: &[f64], settings: &Settings) -> Result<f64, Box<dyn Error>> {
    let (n, alpha) = (settings.n, settings.alpha.get());
    let certified = |hits: u64| -> Result<f64, Box<dyn Error>> {
        Ok(settings.radius(clopper_pearson_lower(hits, n, settings.alpha)?).unwrap_or(0.0))
    };
    let full = certified(hits)?;
    let Some(&radius) = radii.iter().rev().find(|&&radius| radius <= full) else { return Ok(0.0) };
    let (mut below, mut q) = (0.5, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(below, q);
        let is_enough = settings.radius(middle).is_some_and(|certified| certified >= radius);
        *(if is_enough { &mut q } else { &mut below }) = middle;
    }
    let (mut few, mut enough) = (0, hits);
    while enough - few > 1 {
        let middle = u64::midpoint(few, enough);
        *(if certified(middle)? >= radius { &mut enough } else { &mut few }) = middle;
    }
    let p = hits as f64 / n as f64;
    let power = Binomial::new(p, n)?.sf(enough - 1);
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    let divergence = |p: f64, q: f64| part(p, q) + part(1.0 - p, 1.0 - q);
    Ok((divergence(power, alpha) / divergence(p, q)).min(n as f64))
}

/// The element at index k is the number of votes for `class` among the first k of `votes`.
fn running_hits(votes: &[Vote], class: usize) -> Vec<u64> {
    let counted = votes.iter().scan(0, |hits, &vote| {
        *hits += u64::from(usize::from(vote) == class);
        Some(*hits)
    });
    std::iter::once(0).chain(counted).collect()
}

/// Repetitions of each probability.
const REPETITIONS: u64 = 200;

/// Mean samples of each rule for inputs with a known probability of their class, and the least that would do.
fn probabilities(sigma: Sigma) -> Result<(), Box<dyn Error>> {
    let plain = Settings::new(sigma, 0);
    let rules = rules(sigma.get());
    println!(
        "σ {sigma}, α {}, n0 {}, n {}, {REPETITIONS} repetitions: mean samples; \"least\" loses as much as precision and loss may",
        plain.alpha, plain.n0, plain.n
    );
    println!(
        "p of the class, then {}",
        rules.iter().map(|(rule, form)| format!("{rule} ({form})")).collect::<Vec<_>>().join(", ")
    );
    for p in [0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999, 0.99999, 1.0] {
        print!("{p:<8}");
        for share in [0.1, 0.2] {
            print!(" least:{}={}", share * sigma.get(), least(p, share * sigma.get(), &plain)?);
        }
        for (rule, sequence) in &rules[1..] {
            let procedure =
                Procedure::new(Settings { stop: rule.parse()?, sequence: *sequence, ..plain.clone() })?;
            let mut samples = 0;
            for repetition in 0..REPETITIONS {
                samples += drawn(&procedure, p, repetition)?.0;
            }
            print!(" {:.0}", samples as f64 / REPETITIONS as f64);
        }
        println!();
    }
    Ok(())
}

/// An input of which each sample votes for class 0 with probability p, the others for class 1; class 0 is the one that is
/// certified, also where it is not the likelier one.
fn drawn(procedure: &Procedure, p: f64, repetition: u64) -> Outcome {
    let mut random = keyed_stream("stopping rules", &[p.to_bits(), repetition]);
    let n0 = procedure.settings().n0;
    let selected = rand_distr::Binomial::new(n0, p)?.sample(&mut random).max(n0 / 2 + 1);
    let block = rand_distr::Binomial::new(BLOCK, p)?;
    let (mut hits, mut samples) = (0, 0);
    stop(procedure, &vec![selected, n0 - selected].into(), 0, |until| {
        while samples < until {
            if until - samples >= BLOCK {
                hits += block.sample(&mut random);
                samples += BLOCK;
            } else {
                hits += rand_distr::Binomial::new(until - samples, p)
                    .expect("p is a probability")
                    .sample(&mut random);
                samples = until;
            }
        }
        hits
    })
}

/// The least number of samples, chosen by one who knows p, that loses no more than `loss` of the radius of n samples.
fn least(p: f64, loss: f64, settings: &Settings) -> Result<u64, Box<dyn Error>> {
    let radius = |samples: u64| -> Result<f64, Box<dyn Error>> {
        let hits = ((p * samples as f64) as u64).min(samples);
        let bound = clopper_pearson_lower(hits, samples, Alpha::new(settings.alpha.get())?)?;
        Ok(settings.radius(bound).unwrap_or(0.0))
    };
    let full = radius(settings.n)?;
    let (mut few, mut enough) = (0, settings.n);
    while enough - few > 1 {
        let middle = u64::midpoint(few, enough);
        if full - radius(middle)? <= loss {
            enough = middle;
        } else {
            few = middle;
        }
    }
    Ok(enough)
}
