use crate::{
    statistics::{
        binomial::{deviance, stirling_error},
        clopper_pearson::{MARGIN, bisect},
    },
    units::Alpha,
};

/// ln π.
const LN_PI: f64 = 1.144_729_885_849_400_2;
const LN_TWO: f64 = core::f64::consts::LN_2;

/// ln Γ(n + ½) − n ln n + n − ½ ln 2π.
fn half_stirling_error(n: u64) -> f64 {
    if n == 0 {
        return -0.5 * LN_TWO;
    }
    if n < 24 {
        // Γ(n + ½) = √π · ½ · 3/2 · … · (n − ½).
        let ln_gamma: f64 = 0.5 * LN_PI + (1..=n).map(|k| (k as f64 - 0.5).ln()).sum::<f64>();
        let n = n as f64;
        return ln_gamma - n * n.ln() + n - 0.5 * (LN_PI + LN_TWO);
    }
    let n = n as f64;
    let s = 1.0 / (n * n);
    -(1.0 / 24.0 - s * (7.0 / 2880.0 - s * (31.0 / 40_320.0 - s * 127.0 / 215_040.0))) / n
}

/// Logarithm of the wealth of a gambler who bets against the hypothesis that a hit has probability `p` (`q` = 1 − p).
/// The gambler starts with 1 and bets before each sample as if a hit had probability (hits + ½) / (samples + 1),
/// counted up to then (Krichevsky and Trofimov).
///
/// # Formula
/// ln B(H + ½, F + ½) − ln π − H ln p − F ln q for H `hits` and F misses, written as deviances: these are not negative,
/// so nothing cancels.
pub(super) fn ln_wealth(hits: u64, samples: u64, p: f64, q: f64) -> f64 {
    let misses = samples - hits;
    let total = samples as f64;
    let part = |x: u64, mean: f64| if x == 0 { mean } else { deviance(x as f64, mean) };
    let regret =
        0.5 * (LN_TWO - LN_PI - total.ln()) + half_stirling_error(hits) + half_stirling_error(misses)
            - stirling_error(samples);
    part(hits, total * p) + part(misses, total * q) + regret
}

/// The smallest p below the share of hits that the wealth does not reject at level α, rounded down. Up to that share the
/// wealth falls as p grows.
pub(super) fn lower(hits: u64, samples: u64, alpha: Alpha) -> f64 {
    if hits == 0 {
        return 0.0;
    }
    let target = -alpha.get().ln() + MARGIN;
    let share = hits as f64 / samples as f64;
    let miss_share = (samples - hits) as f64 / samples as f64;
    let bound = if share > 0.5 {
        1.0 - bisect(miss_share, 1.0, |q| ln_wealth(hits, samples, 1.0 - q, q) >= target)
    } else {
        bisect(share, 0.0, |p| ln_wealth(hits, samples, p, 1.0 - p) >= target)
    };
    bound.next_down().clamp(0.0, 1.0)
}
