use crate::{
    data::levels,
    random::{Domain, Purpose, Random},
};

/// The random baseline: adds ε or −ε to every pixel, each with probability ½, and clips to the pixel range.
///
/// `clean` are the bytes of the images. Returns the bytes of the poisoned images in the same order. `epsilon` is ε in
/// \[0, 1\], and `seed` chooses the signs.
pub fn random_signs(clean: &[u8], epsilon: f64, seed: u64) -> Vec<u8> {
    let step = levels(epsilon);
    let signs = Random::new(Domain::Attack, seed).coins(Purpose::Signs, 0, clean.len());
    clean
        .iter()
        .zip(signs)
        .map(|(&pixel, up)| if up { pixel.saturating_add(step) } else { pixel.saturating_sub(step) })
        .collect()
}

/// Share of the watermark in the blend, before it is clipped to ε.
const OPACITY: f64 = 0.3;

/// The watermark baseline: blends every image with one of another class, chosen at random, and clips the change to
/// ±ε.
///
/// `clean` are the bytes of N images of `size` bytes each; `others` are the images of other classes to choose from, at
/// least one. Returns the bytes of the poisoned images in the same order.
pub fn watermark(clean: &[u8], others: &[&[u8]], size: usize, epsilon: f64, seed: u64) -> Vec<u8> {
    let most = f64::from(levels(epsilon));
    let count = clean.len() / size.max(1);
    let marks = Random::new(Domain::Attack, seed).indices(Purpose::Watermark, 0, others.len(), count);
    clean
        .chunks(size.max(1))
        .zip(marks)
        .flat_map(|(image, mark)| {
            image.iter().zip(others[mark as usize]).map(|(&pixel, &mark)| {
                let change = OPACITY * (f64::from(mark) - f64::from(pixel));
                // Both images lie in the pixel range, so every blend of them does too.
                (f64::from(pixel) + change.clamp(-most, most).round()) as u8
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_moves_by_epsilon_unless_the_range_ends() {
        let clean: Vec<u8> = (0..=255).cycle().take(5120).collect();
        let noisy = random_signs(&clean, 0.1, 3);
        let mut ups = 0;
        for (&before, &after) in clean.iter().zip(&noisy) {
            let (before, after) = (i32::from(before), i32::from(after));
            assert!(after == (before + 25).min(255) || after == (before - 25).max(0));
            ups += i32::from(after > before);
        }
        assert!((2300..2800).contains(&ups), "{ups}");
    }

    #[test]
    fn a_watermark_is_the_blend_where_that_is_within_epsilon() {
        let clean = [0_u8, 100, 200, 255, 0, 100, 200, 255];
        let (dark, bright) = ([0_u8; 4], [255_u8; 4]);
        let marked = watermark(&clean, &[&dark, &bright], 4, 0.5, 1);
        // 0.3 of the way to the mark, no more than 127 steps.
        let towards = |mark: u8| {
            [0_u8, 100, 200, 255].map(|p| {
                let change = 0.3 * (f64::from(mark) - f64::from(p));
                (f64::from(p) + change.round()) as u8
            })
        };
        for image in marked.chunks(4) {
            assert!(image == towards(0) || image == towards(255), "{image:?}");
        }
        let small = watermark(&clean, &[&bright], 4, 0.1, 1);
        assert_eq!(small[..4], [25, 125, 217, 255]);
    }
}
