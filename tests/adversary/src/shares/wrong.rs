//! Procedures that are wrong on purpose. A count that does not find them out would be worth nothing.

use mithridate_runtime::{
    backend::{Classifier, vote},
    certify::{Certifier, Input, Settings, StoppingRule, Votes},
    noise::{BLOCK, Distribution, NoiseKey, Role},
    statistics::clopper_pearson_lower,
};

use super::{
    Claim, LEVELS, Share,
    mixing::Mixing,
    settings,
    truth::{claim, classifier, value},
    ways::count,
};

/// The votes of n samples of an input.
fn votes(settings: &Settings, input: u64, level: u8) -> anyhow::Result<Votes> {
    let noise = settings.noise()?;
    let mut model = classifier();
    let (mut by_class, mut left) = (vec![0_u64; 2], settings.n);
    let (mut noisy, mut logits) = (Vec::new(), Vec::new());
    for block in 0.. {
        let samples = left.min(BLOCK);
        if samples == 0 {
            break;
        }
        noisy.resize(samples as usize, 0.0);
        noise.add(
            &NoiseKey { seed: settings.seed, role: Role::Estimation, input, block },
            &[value(level)],
            &mut noisy,
        );
        model.logits(&noisy, &mut logits)?;
        for row in logits.chunks(2) {
            if let Some(votes) = by_class.get_mut(usize::from(vote(row))) {
                *votes += 1;
            }
        }
        left -= samples;
    }
    Ok(by_class.into())
}

/// A known fault of published tools: the samples that chose the class are counted again for its bound.
pub fn reused_selection(trials: u64) -> anyhow::Result<Vec<Share>> {
    let mut shares = Vec::new();
    let settings = settings(StoppingRule::Fixed, Distribution::Gaussian, 77)?;
    for level in LEVELS {
        let mut claims = Vec::new();
        for input in 0..trials {
            let votes = votes(&settings, input, level)?;
            let class = votes.winner().unwrap_or(0);
            let p_lower = clopper_pearson_lower(votes.by_class()[class], settings.n, settings.alpha)?;
            claims.push(claim(&settings, class, p_lower));
        }
        let name = "the samples that chose the class used again".into();
        shares.push(count(name, Distribution::Gaussian, level, &claims));
    }
    Ok(shares)
}

/// The most favourable of ten seeds.
pub fn best_of_seeds(trials: u64) -> anyhow::Result<Vec<Share>> {
    let mut shares = Vec::new();
    for level in LEVELS {
        let mut claims = Vec::new();
        for input in 0..trials {
            let mut best: Option<Claim> = None;
            for seed in 0..10 {
                let settings = settings(StoppingRule::Fixed, Distribution::Gaussian, seed)?;
                let hits = votes(&settings, input, level)?.by_class()[0];
                let tried = claim(&settings, 0, clopper_pearson_lower(hits, settings.n, settings.alpha)?);
                if best.is_none_or(|best| tried.p_lower > best.p_lower) {
                    best = Some(tried);
                }
            }
            claims.extend(best);
        }
        shares.push(count("the best of ten seeds".into(), Distribution::Gaussian, level, &claims));
    }
    Ok(shares)
}

/// A model whose answers depend on the others of the batch, certified all the same.
pub fn mixed_batches(trials: u64) -> anyhow::Result<Vec<Share>> {
    let mut shares = Vec::new();
    for level in LEVELS {
        let settings = settings(StoppingRule::Fixed, Distribution::Gaussian, 88)?;
        let mut certifier = Certifier::new(vec![Box::new(Mixing(classifier()))], settings, 64)?;
        // By it this model would be found out first.
        certifier.leave_comparison_out();
        let mut claims = Vec::new();
        for index in 0..trials {
            let input = Input { index, label: None, image: vec![value(level)] };
            claims.push(Claim::from(&certifier.certify_one(&input)?));
        }
        shares.push(count("answers mixed over the batch".into(), Distribution::Gaussian, level, &claims));
    }
    Ok(shares)
}
