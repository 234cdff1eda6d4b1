//! Binomial probabilities to full precision for any number of trials, after Loader, *Fast and accurate computation
//! of binomial probabilities* (2000).

/// ln n! − (n + ½) ln n + n − ½ ln 2π for n from 1 to 15; index 0 is not used.
const STIRLING_ERROR: [f64; 16] = [
    0.0,
    0.081_061_466_795_327_258_22,
    0.041_340_695_955_409_294_094,
    0.027_677_925_684_998_339_149,
    0.020_790_672_103_765_093_112,
    0.016_644_691_189_821_192_163,
    0.013_876_128_823_070_747_999,
    0.011_896_709_945_891_770_095,
    0.010_411_265_261_972_096_497,
    0.009_255_462_182_712_732_917_7,
    0.008_330_563_433_362_871_256_5,
    0.007_573_675_487_951_840_794_9,
    0.006_942_840_107_209_529_865_7,
    0.006_408_994_188_004_207_068_4,
    0.005_951_370_112_758_847_735_6,
    0.005_554_733_551_962_801_371,
];

const LN_TWO_PI: f64 = 1.837_877_066_409_345_3;

/// The error of Stirling's formula for ln n!, n ≥ 1.
pub(super) fn stirling_error(n: u64) -> f64 {
    if n < 16 {
        return STIRLING_ERROR[n as usize];
    }
    let n = n as f64;
    let s = 1.0 / (n * n);
    (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s / 1188.0)))) / n
}

/// x ln(x / m) + m − x for x, m > 0, without cancellation where x is near m.
pub(super) fn deviance(x: f64, m: f64) -> f64 {
    if (x - m).abs() < 0.1 * (x + m) {
        let v = (x - m) / (x + m);
        let mut sum = (x - m) * v;
        let mut power = 2.0 * x * v;
        for j in 1..1000 {
            power *= v * v;
            let next = sum + power / f64::from(2 * j + 1);
            if next == sum {
                return sum;
            }
            sum = next;
        }
    }
    x * (x / m).ln() + m - x
}

/// ln P\[X = k\] for X binomial with n trials and probability p, q = 1 − p; 0 < k, 0 < p, q.
pub(super) fn ln_probability(k: u64, n: u64, p: f64, q: f64) -> f64 {
    let (x, total) = (k as f64, n as f64);
    if k == n {
        // ln p, precise also for p near 1.
        return total * if p > 0.5 { (-q).ln_1p() } else { p.ln() };
    }
    let rest = (n - k) as f64;
    let stirling = stirling_error(n) - stirling_error(k) - stirling_error(n - k);
    let spread = LN_TWO_PI + x.ln() + (rest / total).ln();
    stirling - deviance(x, total * p) - deviance(rest, total * q) - 0.5 * spread
}

/// Upper bound on ln P\[X ≥ k\] for X ~ Bin(n, p) with q = 1 − p, up to rounding (a few 1e-12 at n = 1e8).
///
/// Sums the terms from k upwards, each computed from the one before, and bounds the remainder by a geometric series. The
/// number of terms is a few standard deviations of X, more if p > k / n.
pub(crate) fn ln_upper_tail(k: u64, n: u64, p: f64, q: f64) -> f64 {
    let odds = p / q;
    let (mut term, mut sum) = (1.0_f64, 1.0_f64);
    for j in k..n {
        let ratio = (n - j) as f64 / (j + 1) as f64 * odds;
        term *= ratio;
        sum += term;
        if ratio < 1.0 {
            let rest = term * ratio / (1.0 - ratio);
            if rest <= sum * 1e-16 {
                sum += rest;
                break;
            }
        }
        if sum > 1e280 {
            // Only reached where the tail is near 1, and callers need no more precision there.
            return 0.0;
        }
    }
    ln_probability(k, n, p, q) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_few_trials_are_the_counted_ones() {
        // 16 fair coins: P[X >= 12] = (1820 + 560 + 120 + 16 + 1) / 65536.
        let tail = ln_upper_tail(12, 16, 0.5, 0.5).exp();
        assert!((tail - 2517.0 / 65536.0).abs() < 1e-15, "{tail}");
        let all = ln_upper_tail(16, 16, 0.5, 0.5).exp();
        assert!((all - 1.0 / 65536.0).abs() < 1e-19, "{all}");
    }

    #[test]
    fn one_success_or_more_is_the_complement_of_none() {
        for p in [1e-12_f64, 1e-3, 0.2] {
            let expected = -(1000.0 * (-p).ln_1p()).exp_m1();
            let tail = ln_upper_tail(1, 1000, p, 1.0 - p).exp();
            assert!((tail / expected - 1.0).abs() < 1e-12, "{p}: {tail} {expected}");
        }
    }
}
