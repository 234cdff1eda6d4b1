/// Side of the window, in pixels.
const WINDOW: usize = 11;
/// Standard deviation of the weights of the window, in pixels.
const SIGMA: f64 = 1.5;
/// (K₁ L)² and (K₂ L)² for K₁ = 0.01, K₂ = 0.03, L = 255.
const C1: f64 = 6.5025;
const C2: f64 = 58.5225;

/// Structural similarity of two images (Wang, Bovik, Sheikh and Simoncelli, *Image quality assessment: from error
/// visibility to structural similarity*, 2004), values up to 255, `shape` channels × height × width: 1 for equal
/// images. `None` if a side is shorter than the window of 11 pixels.
///
/// It is the mean over all windows within the image, with Gaussian weights of σ = 1.5 pixels, averaged over the
/// channels.
///
/// # Formula
/// (2 μₓ μᵧ + C₁)(2 σₓᵧ + C₂) / ((μₓ² + μᵧ² + C₁)(σₓ² + σᵧ² + C₂)) in each window.
pub fn ssim(clean: &[u8], poisoned: &[u8], shape: [usize; 3]) -> Option<f64> {
    let [channels, height, width] = shape;
    if channels == 0 || height < WINDOW || width < WINDOW {
        return None;
    }
    let area = height * width;
    let sum: f64 = clean
        .chunks_exact(area)
        .zip(poisoned.chunks_exact(area))
        .map(|(a, b)| ssim_of_channel(a, b, height, width))
        .sum();
    Some(sum / channels as f64)
}

fn ssim_of_channel(clean: &[u8], poisoned: &[u8], height: usize, width: usize) -> f64 {
    let mean = |value: fn(f64, f64) -> f64| {
        let plane: Vec<f64> =
            clean.iter().zip(poisoned).map(|(&a, &b)| value(f64::from(a), f64::from(b))).collect();
        blur(&plane, height, width)
    };
    let (mean_x, mean_y) = (mean(|x, _| x), mean(|_, y| y));
    let (mean_xx, mean_yy, mean_xy) = (mean(|x, _| x * x), mean(|_, y| y * y), mean(|x, y| x * y));
    let windows = mean_x.len();
    let sum: f64 = (0..windows)
        .map(|at| {
            let (x, y) = (mean_x[at], mean_y[at]);
            let (xx, yy, xy) = (mean_xx[at] - x * x, mean_yy[at] - y * y, mean_xy[at] - x * y);
            (2.0 * x * y + C1) * (2.0 * xy + C2) / ((x * x + y * y + C1) * (xx + yy + C2))
        })
        .sum();
    sum / windows as f64
}

/// Weighted mean of each window within the plane, (height − 10) × (width − 10).
fn blur(plane: &[f64], height: usize, width: usize) -> Vec<f64> {
    let weights: Vec<f64> =
        (0..WINDOW).map(|at| (-0.5 * ((at as f64 - 5.0) / SIGMA).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let weigh = |value: &dyn Fn(usize) -> f64| {
        weights.iter().enumerate().map(|(at, weight)| weight / total * value(at)).sum::<f64>()
    };
    let (rows, columns) = (height - WINDOW + 1, width - WINDOW + 1);
    let along: Vec<f64> = (0..height * columns)
        .map(|at| {
            let start = at / columns * width + at % columns;
            weigh(&|offset| plane[start + offset])
        })
        .collect();
    (0..rows * columns).map(|at| weigh(&|offset| along[at + offset * columns])).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::metrics::tests::pair, *};

    #[test]
    fn agrees_with_another_program() {
        // `structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`
        // of scikit-image 0.26.0, a channel at a time, and the same from `scipy.signal.convolve2d(…, mode="valid")`.
        for (shape, expected) in [
            ([1, 28, 28], 0.827_421_244_174_786),
            ([3, 32, 32], 0.890_591_847_018_411),
            ([1, 11, 11], 0.757_195_699_794_117),
            ([1, 14, 20], 0.804_193_565_030_972),
        ] {
            let (clean, poisoned) = pair(shape);
            let found = ssim(&clean, &poisoned, shape).unwrap();
            assert!((found - expected).abs() < 1e-12, "{shape:?}: {found}");
        }
    }

    #[test]
    fn flat_images_have_a_closed_form() {
        // Without variance only the means are left: (2 a b + C₁) / (a² + b² + C₁).
        let (a, b) = (vec![100; 400], vec![140; 400]);
        let expected = (2.0 * 100.0 * 140.0 + C1) / (100.0 * 100.0 + 140.0 * 140.0 + C1);
        assert!((ssim(&a, &b, [1, 20, 20]).unwrap() - expected).abs() < 1e-9);
        assert!((ssim(&a, &a, [1, 20, 20]).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn images_smaller_than_the_window_have_none() {
        assert_eq!(ssim(&[0; 100], &[0; 100], [1, 10, 10]), None);
        assert_eq!(ssim(&[0; 200], &[0; 200], [1, 10, 20]), None);
    }
}
