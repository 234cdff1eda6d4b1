//! Checks, with many generated images, whether rows of output can be scores of classes.

use super::{OnnxClassifier, probe::rows};
use crate::backend::{BackendError, Classifier};

/// Number of images that are run first. If their rows are sorted, all images are run.
const FEW: usize = 8;
const MANY: usize = 64;
/// With at least this number of classes, rows that are all sorted are not a coincidence. If a classifier orders the
/// scores of all images in the same way, and all orders are equally likely, then this order is sorted, up or down, with
/// probability 2/7! = 0.0004.
const SURE_CLASSES: usize = 7;
/// Spread of the difference of two neighbouring scores, as a share of its mean, from which on it should change its sign for
/// some of [`MANY`] images: a normal one of just this spread keeps it for all with (1 − Φ(−1/0.65))⁶⁴ = 0.017, a wider one
/// more rarely. The size of a normal value with mean 0, which the difference of the better and the worse of two is, has a
/// spread of 0.76.
const SPREAD: f64 = 0.65;

/// Relative difference below which two scores are equal except for rounding.
const FLAT: f32 = 1e-5;

/// Why rows are not scores of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strange {
    /// The smallest value belongs to the best class, as with negative logarithms of probabilities.
    Reversed(&'static str),
    /// Each row is sorted.
    Sorted,
    /// Each row has length 1.
    UnitLength,
}

/// Generated images with values in data-set units, of all brightnesses, contrasts and sizes of structure. Some values
/// are outside \[0, 1\].
pub(super) fn varied_images(count: usize, len: usize) -> Vec<f32> {
    let mut state = 0x5851_f42d_4c95_7f2d_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    let mut images = Vec::with_capacity(count * len);
    for number in 0..count {
        let (base, contrast) = (next(), if number % 4 == 3 { 2.0 } else { 1.0 });
        // Length of a run of equal values: from one value to an eighth of an image.
        let run = 1 + (next() * next() * len as f32 / 8.0) as usize;
        let share = if number % 3 == 0 { 1.0 } else { next() };
        let mut value = 0.0;
        for at in 0..len {
            if at % run == 0 {
                value = base + contrast * share * (next() - base);
            }
            images.push(value);
        }
    }
    images
}

/// Rows of output for varied images: for all of them if `all` is set or if the first few rows are sorted or equal,
/// otherwise for the first few.
pub(super) fn varied_rows(
    classifier: &mut OnnxClassifier,
    classes: usize,
    batch: usize,
    all: bool,
) -> Result<Vec<f32>, BackendError> {
    let images = varied_images(MANY, classifier.input_len());
    let few = FEW.next_multiple_of(batch).min(MANY.next_multiple_of(batch));
    let mut run = |from: usize, to: usize| {
        // The last batch of a model with a fixed batch size is filled up with the first images.
        let len = classifier.input_len();
        let values: Vec<f32> =
            (from..to).flat_map(|at| images[at % MANY * len..][..len].iter().copied()).collect();
        rows(classifier, &values, batch)
    };
    let mut found = run(0, few)?;
    let is_same = found.chunks(classes).all(|row| row == &found[..classes]);
    if all || is_same || is_sorted(&found, classes) {
        let total = MANY.next_multiple_of(batch);
        if total > few {
            found.extend(run(few, total)?);
        }
    }
    Ok(found)
}

/// The reason why rows are not scores of classes, if there is one.
pub(super) fn strange(rows: &[f32], classes: usize) -> Option<Strange> {
    let all = |test: &dyn Fn(&[f32]) -> bool| rows.chunks(classes).all(test);
    let near = |sum: f32, expected: f32| (sum - expected).abs() < 1e-2;
    let total = |row: &[f32], of: fn(f32) -> f32| row.iter().map(|&value| of(value)).sum::<f32>();
    if !rows.iter().all(|value| value.is_finite() || *value == f32::INFINITY) {
        // Nothing can be concluded from values that are not numbers.
        return None;
    }
    if all(&|row| row.iter().all(|&value| value >= 0.0) && near(total(row, |value| (-value).exp()), 1.0)) {
        return Some(Strange::Reversed("logarithms of probabilities with their sign reversed"));
    }
    if all(&|row| {
        row.iter().all(|value| (-1.0..=0.0).contains(value)) && near(total(row, |value| value), -1.0)
    }) {
        return Some(Strange::Reversed("probabilities with their sign reversed"));
    }
    // For two classes these are probabilities too.
    let others = classes as f32 - 1.0;
    if classes > 2
        && all(&|row| {
            row.iter().all(|value| (0.0..=1.0).contains(value)) && near(total(row, |value| value), others)
        })
    {
        return Some(Strange::Reversed("1 minus the probabilities"));
    }
    if rows.len() / classes >= MANY && is_sorted(rows, classes) && no_accident(rows, classes) {
        return Some(Strange::Sorted);
    }
    let is_probability =
        |row: &[f32]| row.iter().all(|&value| value >= 0.0) && near(total(row, |value| value), 1.0);
    (classes > 2
        && all(&|row| (total(row, |value| value * value) - 1.0).abs() < 1e-3)
        && !all(&is_probability))
    .then_some(Strange::UnitLength)
}

/// Whether all rows fall, or all rise, from the first score to the last.
fn is_sorted(rows: &[f32], classes: usize) -> bool {
    rows.chunks(classes).all(|row| row.is_sorted_by(|a, b| a >= b))
        || rows.chunks(classes).all(<[f32]>::is_sorted)
}

/// Whether rows that are all sorted are unlikely to be so by chance. With few classes, the same order for all images is
/// common. Then the differences of neighbouring scores must vary so much that one of them should change its sign for
/// some image.
fn no_accident(rows: &[f32], classes: usize) -> bool {
    // Scores that are equal except for rounding have no order either.
    let is_flat = |row: &[f32]| (row[classes - 1] - row[0]).abs() <= FLAT * row[0].abs();
    if rows.chunks(classes).all(|row| row == &rows[..classes] || is_flat(row)) {
        return false;
    }
    if classes >= SURE_CLASSES {
        return true;
    }
    // Probabilities are a non-linear function of logits that makes small values smaller, so differences of logarithms
    // are tested too.
    let scales: [fn(f32) -> f64; 2] = [f64::from, |value| f64::from(value).ln()];
    let is_positive = rows.iter().all(|&value| value > 0.0);
    (1..classes).any(|class| {
        scales[..=usize::from(is_positive)].iter().all(|scale| {
            let differences: Vec<f64> =
                rows.chunks(classes).map(|row| (scale(row[class]) - scale(row[class - 1])).abs()).collect();
            let count = differences.len() as f64;
            let mean = differences.iter().sum::<f64>() / count;
            let variance = differences.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            mean > 0.0 && variance.sqrt() >= SPREAD * mean
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(classes: usize, row: impl Fn(&mut Vec<f32>)) -> Vec<f32> {
        let values = varied_images(MANY, classes);
        values
            .chunks(classes)
            .flat_map(|values| {
                let mut values = values.to_vec();
                row(&mut values);
                values
            })
            .collect()
    }

    fn softmax(row: &mut [f32]) {
        let sum: f32 = row.iter().map(|value| value.exp()).sum();
        for value in row.iter_mut() {
            *value = value.exp() / sum;
        }
    }

    #[test]
    fn honest_rows_are_nothing_strange() {
        for classes in [2, 3, 5, 10] {
            for rows in [
                table(classes, |_| ()),
                table(classes, |row| softmax(row)),
                // One class wins by far, and the others are always in the same order.
                table(classes, |row| {
                    for (value, class) in row.iter_mut().zip(0_u8..) {
                        *value -= 9.0 * f32::from(class);
                    }
                }),
                table(classes, |row| {
                    row[0] += 20.0;
                    softmax(row);
                }),
            ] {
                let found = strange(&rows, classes);
                assert!(
                    found.is_none() || (classes == 10 && found == Some(Strange::Sorted)),
                    "{classes}: {found:?}"
                );
            }
        }
        assert_eq!(strange(&table(3, |row| row[0] = f32::NAN), 3), None);
        // Scores that are equal have no order.
        assert_eq!(
            strange(
                &table(10, |row| {
                    let value = row[0];
                    row.fill(value);
                }),
                10
            ),
            None
        );
        // Rows that are all equal do not count as sorted.
        assert_eq!(
            strange(
                &table(10, |row| for (v, k) in row.iter_mut().zip(0_u8..) {
                    *v = f32::from(k);
                }),
                10
            ),
            None
        );
    }

    #[test]
    fn sorted_rows_are_seen_with_few_classes_too() {
        for classes in [2, 3, 5, 10] {
            let falling = |row: &mut Vec<f32>| row.sort_by(|a, b| b.total_cmp(a));
            let noisy = |row: &mut Vec<f32>| {
                for value in row.iter_mut() {
                    *value = (*value * 7919.0).sin();
                }
            };
            let rows = table(classes, |row| {
                noisy(row);
                falling(row);
            });
            assert_eq!(strange(&rows, classes), Some(Strange::Sorted), "{classes}");
            let rows = table(classes, |row| {
                noisy(row);
                softmax(row);
                row.sort_by(f32::total_cmp);
            });
            let found = strange(&rows, classes);
            assert!(found == Some(Strange::Sorted), "{classes}: {found:?}");
        }
    }

    #[test]
    fn reversed_scores_and_embeddings_are_seen() {
        for classes in [2, 3, 10] {
            let rows = table(classes, |row| {
                softmax(row);
                for value in row.iter_mut() {
                    *value = -value.ln();
                }
            });
            assert!(
                matches!(strange(&rows, classes), Some(Strange::Reversed(text)) if text.contains("logarithms"))
            );
            let rows = table(classes, |row| {
                softmax(row);
                for value in row.iter_mut() {
                    *value = -*value;
                }
            });
            assert!(
                matches!(strange(&rows, classes), Some(Strange::Reversed(text)) if text.starts_with("prob"))
            );
        }
        let rows = table(10, |row| {
            softmax(row);
            for value in row.iter_mut() {
                *value = 1.0 - *value;
            }
        });
        assert_eq!(strange(&rows, 10), Some(Strange::Reversed("1 minus the probabilities")));
        let rows = table(10, |row| {
            let length = row.iter().map(|value| (value - 0.5).powi(2)).sum::<f32>().sqrt();
            for value in row.iter_mut() {
                *value = (*value - 0.5) / length;
            }
        });
        // For an image with one value, all scores of the row are equal.
        let rows: Vec<f32> =
            rows.chunks(10).filter(|row| row.iter().all(|v| v.is_finite())).flatten().copied().collect();
        assert_eq!(strange(&rows, 10), Some(Strange::UnitLength));
    }
}
