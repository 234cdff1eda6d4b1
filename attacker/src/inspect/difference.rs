/// The difference of two images as a picture: 128 (grey) plus `factor` times the difference of each byte.
pub fn difference_picture(clean: &[u8], poisoned: &[u8], factor: u8) -> Vec<u8> {
    let magnified = |(&before, &after): (&u8, &u8)| {
        let change = i32::from(after) - i32::from(before);
        (128 + i32::from(factor) * change).clamp(0, 255) as u8
    };
    clean.iter().zip(poisoned).map(magnified).collect()
}

/// At most `wanted` numbers below `count`, evenly spread.
pub fn spread(count: usize, wanted: usize) -> Vec<usize> {
    let shown = wanted.min(count);
    (0..shown).map(|number| number * count / shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_is_no_change_and_the_range_of_a_byte_is_kept() {
        assert_eq!(difference_picture(&[10, 10, 10, 0], &[10, 12, 0, 255], 5), [128, 138, 78, 255]);
    }

    #[test]
    fn chosen_numbers_are_spread_evenly() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(2, 6), [0, 1]);
    }
}
