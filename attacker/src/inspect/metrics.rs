/// Peak signal-to-noise ratio of two images in decibels, for values up to 255; `None` for equal images.
///
/// # Formula
/// 10 log₁₀(255² / MSE), with the mean squared error over all values of all channels.
///
/// ```
/// use mithridate_attacker::inspect::psnr;
///
/// // Every value off by 25: 20 log₁₀(255 / 25).
/// assert!((psnr(&[0, 100, 255], &[25, 75, 230]).unwrap() - 20.1720).abs() < 1e-4);
/// assert_eq!(psnr(&[1, 2], &[1, 2]), None);
/// ```
pub fn psnr(clean: &[u8], poisoned: &[u8]) -> Option<f64> {
    let squares = squared_error(clean, poisoned);
    (squares > 0).then(|| 10.0 * (255.0 * 255.0 * clean.len() as f64 / squares as f64).log10())
}

/// ℓ2 distance of two images, in units of \[0, 1\].
pub fn l2_distance(clean: &[u8], poisoned: &[u8]) -> f64 {
    (squared_error(clean, poisoned) as f64).sqrt() / 255.0
}

fn squared_error(clean: &[u8], poisoned: &[u8]) -> u64 {
    clean.iter().zip(poisoned).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Images that another program can make too: a ramp with texture, and changes of up to 25 that repeat every 51.
    pub fn pair([channels, height, width]: [usize; 3]) -> (Vec<u8>, Vec<u8>) {
        (0..channels * height * width)
            .map(|i| {
                let (channel, place) = (i / (height * width), i % (height * width));
                let hash = (i * i * 31 + i * 17) % 64;
                let clean = (6 * (place % width) + 4 * (place / width) + 40 * channel + hash) % 256;
                let change = ((i * 7919 + 13) % 51) as i64 - 25;
                (clean as u8, (clean as i64 + change).clamp(0, 255) as u8)
            })
            .unzip()
    }

    #[test]
    fn agrees_with_another_program() {
        // `peak_signal_noise_ratio(a, b, data_range=255)` of scikit-image 0.26.0 on these pairs.
        for (shape, expected) in [
            ([1, 28, 28], 24.942_985_546_578_534),
            ([3, 32, 32], 25.005_279_659_326_59),
            ([1, 14, 20], 24.803_462_196_735_737),
        ] {
            let (clean, poisoned) = pair(shape);
            let found = psnr(&clean, &poisoned).unwrap();
            assert!((found - expected).abs() < 1e-10, "{shape:?}: {found}");
        }
    }

    #[test]
    fn a_uniform_change_has_closed_forms() {
        for change in [1, 8, 25, 255] {
            let (clean, poisoned) = (vec![0; 784], vec![change; 784]);
            let expected = 20.0 * (255.0 / f64::from(change)).log10();
            assert!((psnr(&clean, &poisoned).unwrap() - expected).abs() < 1e-12);
            // 28 = √784.
            assert!((l2_distance(&clean, &poisoned) - 28.0 * f64::from(change) / 255.0).abs() < 1e-12);
        }
        assert_eq!(l2_distance(&[3, 4], &[3, 4]), 0.0);
    }
}
