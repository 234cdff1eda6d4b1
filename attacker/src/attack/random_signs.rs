use crate::{
    poison::levels,
    random::{Purpose, Random},
};

/// The random baseline: every pixel moved by ε up or down, by the toss of a coin, and kept within the pixel range.
/// Bytes in, bytes out.
pub fn random_signs(clean: &[u8], epsilon: f64, seed: u64) -> Vec<u8> {
    let step = levels(epsilon);
    let signs = Random::new(seed).coins(Purpose::Signs, 0, clean.len());
    clean
        .iter()
        .zip(signs)
        .map(|(&pixel, up)| if up { pixel.saturating_add(step) } else { pixel.saturating_sub(step) })
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
}
