use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::*;
use crate::backend::VoteSampler;
use crate::{
    certify::{Certifier, CertifyError, Input, Settings, Timings},
    noise::NoiseMode,
    units::Sigma,
};

/// Three classes of two values: the two values and a constant, changed by what `Flaw` says.
struct Flawed {
    flaw: Flaw,
    fixed: Option<usize>,
    /// Rows answered so far.
    rows: u64,
    largest_batch: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    None,
    /// All logits have an offset, and the mean over the batch is added to the first.
    Mean {
        offset: f32,
    },
    /// A class far below the others, and the mean over the batch.
    Padding,
    /// The mean over the batch where an input reaches beyond this.
    Beyond(f32),
    /// One in this number of rows gets another answer.
    Random(u64),
    /// The answers of a batch of at least this number of rows are in reverse order.
    Reversed(usize),
    /// The largest logit as a 1, the others 0, after the mean over the batch was added.
    OneHot,
    /// Logits that rounding of this size was added to, by the size of the batch.
    Rounding(f32),
    /// In batches another class for the inputs near this second value, by the smallest margin, and gaps of a million for the
    /// others.
    NearTies(f32),
}

impl Classifier for Flawed {
    fn input_len(&self) -> usize {
        2
    }

    fn classes(&self) -> usize {
        3
    }

    fn fixed_batch(&self) -> Option<usize> {
        self.fixed
    }

    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        let rows = batch.len() / 2;
        self.largest_batch.fetch_max(rows as u64, Ordering::Relaxed);
        let mean = batch.iter().step_by(2).sum::<f32>() / rows as f32;
        logits.clear();
        for row in batch.chunks(2) {
            self.rows += 1;
            let mut answer = [row[0], row[1], 0.25];
            match self.flaw {
                Flaw::None | Flaw::Reversed(_) => {}
                Flaw::Mean { offset } => {
                    answer[0] += 0.05 * mean;
                    answer = answer.map(|logit| logit + offset);
                }
                Flaw::Padding => {
                    answer[0] += 0.05 * mean;
                    answer[2] = -1e9;
                }
                Flaw::Beyond(far) => answer[0] += if row[0].abs() > far { mean } else { 0.0 },
                Flaw::Random(rows) => {
                    if self.rows.is_multiple_of(rows) {
                        answer.rotate_left(1);
                    }
                }
                Flaw::OneHot => {
                    answer[0] += 0.2 * mean;
                    let most = answer.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    answer = answer.map(|logit| f32::from(u8::from(logit == most)));
                }
                Flaw::NearTies(value) => {
                    if (row[1] - value).abs() < 2.0 {
                        answer = if rows > 1 { [0.0, 0.1, 0.0] } else { [0.1, 0.0, 0.0] };
                    } else {
                        answer[0] += 1e6;
                    }
                }
                Flaw::Rounding(size) => answer[0] += size * (rows % 7) as f32 / 7.0,
            }
            logits.extend(answer);
        }
        if let Flaw::Reversed(most) = self.flaw
            && rows >= most
        {
            let last = logits[3 * rows - 3..].to_vec();
            logits.copy_within(..3 * rows - 3, 3);
            logits[..3].copy_from_slice(&last);
        }
        Ok(())
    }
}

fn model(flaw: Flaw, fixed: Option<usize>) -> (Box<dyn VoteSampler>, Arc<AtomicU64>) {
    let largest_batch = Arc::new(AtomicU64::new(0));
    (Box::new(Flawed { flaw, fixed, rows: 0, largest_batch: largest_batch.clone() }), largest_batch)
}

fn run(
    flaw: Flaw,
    fixed: Option<usize>,
    batch: usize,
    noise_threads: usize,
) -> Result<(Timings, u64), CertifyError> {
    let settings = Settings { n: 4000, ..Settings::new(Sigma::new(0.5).unwrap(), 3) };
    let (first, largest) = model(flaw, fixed);
    let mut certifier = Certifier::new(vec![first, model(flaw, fixed).0], settings, batch)?;
    certifier.set_noise_threads(noise_threads);
    let inputs = (0..20).map(|index| Input { index, label: None, image: vec![index as f32 / 20.0, 0.5] });
    certifier.certify_all(inputs, |_| {}, |_| Ok(()))?;
    Ok((certifier.timings(), largest.load(Ordering::Relaxed)))
}

#[test]
fn answers_that_depend_on_the_batch_or_change_end_the_run() {
    for (flaw, name) in [
        (Flaw::Mean { offset: 0.0 }, "mean"),
        (Flaw::Mean { offset: 4096.0 }, "mean and offset"),
        (Flaw::Mean { offset: 1e6 }, "mean and an offset that rounds most of it away"),
        (Flaw::Padding, "padding"),
        (Flaw::Beyond(1.4), "far values"),
        (Flaw::Random(30), "random"),
        (Flaw::Reversed(16), "other rows"),
        (Flaw::OneHot, "one hot"),
    ] {
        for (fixed, batch, noise_threads) in [(None, 256, 0), (None, 32, 1), (Some(24), 24, 0)] {
            let error = run(flaw, fixed, batch, noise_threads).err().unwrap_or_else(|| {
                panic!("{name} with batches of {batch} was certified");
            });
            let text = error.to_string();
            assert!(
                matches!(error, CertifyError::Backend(BackendError::Dependent { .. }))
                    && text.contains("sample")
                    && text.ends_with("certify it with `batch` 1"),
                "{name}: {text}"
            );
        }
    }
}

/// A model that answers differently in batches for one input, which is not the first of the run.
#[test]
fn one_input_that_is_answered_otherwise_is_found() {
    // With few samples an input, several inputs are done before the first are answered again.
    for (n, verifies) in [(200, false), (2000, false), (2000, true)] {
        let settings = Settings { n, ..Settings::new(Sigma::new(0.5).unwrap(), 3) };
        let mut certifier = Certifier::new(vec![model(Flaw::NearTies(20.0), None).0], settings, 64).unwrap();
        if verifies {
            certifier.verify_votes(99);
        }
        let inputs = (0..10).map(|index| Input {
            index,
            label: None,
            image: vec![0.1, if index == 7 { 20.0 } else { 0.5 }],
        });
        let mut handed_on = Vec::new();
        let result = certifier.certify_all(
            inputs,
            |_| {},
            |certificate| {
                handed_on.push(certificate.index);
                Ok(())
            },
        );
        let error = result.err().unwrap_or_else(|| panic!("certified, {verifies}")).to_string();
        assert!(error.contains("of input 7 gets another answer alone"), "{error}");
        // No certificate of that input is left for a run that is resumed.
        assert!(handed_on.iter().all(|&index| index < 7), "{handed_on:?}");
    }
}

/// After a long run a few near ties are normal, but not if all of them belong to one input.
#[test]
fn near_ties_of_one_input_are_found_after_a_long_run() {
    for workers in [1, 3] {
        let settings = Settings { n0: 64, n: 640, ..Settings::new(Sigma::new(0.5).unwrap(), 3) };
        let models = (0..workers).map(|_| model(Flaw::NearTies(20.0), None).0).collect();
        let mut certifier = Certifier::new(models, settings, 64).unwrap();
        let inputs = (0..4000).map(|index| Input {
            index,
            label: None,
            image: vec![0.1, if index == 3999 { 20.0 } else { 0.5 }],
        });
        let mut done = 0;
        let result = certifier.certify_all(
            inputs,
            |_| {},
            |_| {
                done += 1;
                Ok(())
            },
        );
        let error = result.expect_err("certified").to_string();
        assert!(
            error.contains("of input 3999 gets another answer") && error.contains("of this input"),
            "{error}"
        );
        assert!(done < 4000);
    }
}

/// After a long run an answer or two may jump, but not two of one input, nor the only one of an input.
#[test]
fn jumps_of_one_input_are_found_after_a_long_run() {
    let new = || Tally {
        rounding: Rounding::new(SINGLE),
        for_each_tie: TIES,
        compared: 500_000,
        ties: 0,
        jumps: 0,
        inputs: BTreeMap::new(),
    };
    let sample = |input| Sample {
        input,
        index: input,
        role: Role::Estimation,
        number: 0,
        vote: 0,
        has_logits: true,
        in_other: false,
    };
    let mut check = {
        let mut tally = new();
        move |input, answer: [f32; 2]| tally.check(&sample(input), &[1.0, 0.0], &answer, Company::Alone)
    };
    assert!(check(7, [1.0, 0.0]).is_ok());
    assert!(check(7, [0.0, 1.0]).is_ok());
    let error = check(7, [0.0, 1.0]).unwrap_err().to_string();
    assert!(error.contains("its logits differ by"), "{error}");
    // The first and only answer to an input.
    assert!(check(8, [0.0, 1.0]).is_err());
}

#[test]
fn as_many_near_ties_are_allowed_as_chance_makes() {
    // P[X > 1] is 2.5e-6 of 5 samples at 1/2000; of 24 it is 6.9e-5, and P[X > 2] 2.5e-7. Of 200 at 1/100 P[X > 9] is about
    // 4e-5 and P[X > 10] 7e-6.
    for (compared, for_each_tie, most) in [(1, 2000, 1), (5, 2000, 1), (24, 2000, 2), (200, 100, 10)] {
        assert_eq!(most_by_chance(compared, for_each_tie), most, "{compared}");
    }
}

#[test]
fn in_batches_of_one_nothing_is_mixed_and_random_answers_end_the_run() {
    for flaw in [Flaw::Mean { offset: 4096.0 }, Flaw::Padding, Flaw::OneHot, Flaw::Reversed(2)] {
        let (timings, largest) = run(flaw, None, 1, 0).unwrap();
        assert_eq!(largest, 1);
        assert!(timings.compared > 230, "{timings:?}");
    }
    let text = run(Flaw::Random(30), None, 1, 0).unwrap_err().to_string();
    assert!(text.ends_with("export it in inference mode"), "{text}");
}

#[test]
fn rounding_ends_no_run() {
    for flaw in [Flaw::None, Flaw::Rounding(1e-5), Flaw::Rounding(-1e-4)] {
        for (fixed, batch) in [(None, 64), (None, 100), (Some(1), 7), (Some(48), 7)] {
            let (timings, _) = run(flaw, fixed, batch, 0).unwrap();
            // 20 inputs of 63 blocks each, and the first blocks: 160, with a deviation of 12, and 140.
            assert!((230..370).contains(&timings.compared), "{timings:?}");
        }
    }
}

#[test]
fn the_same_samples_are_chosen_whatever_the_batch() {
    let piece = |input, index, role, block, secret| {
        let key = NoiseMode::Independent.key(7, role, index, block);
        chosen(&Piece { input, index, image: vec![0.0].into(), key, samples: 64 }, secret).collect::<Vec<_>>()
    };
    for role in [Role::Selection, Role::Estimation] {
        // Many of the first block of the first input, a few of that of every other.
        assert_eq!(piece(0, 5, role, 0, None).len(), 32);
        assert_eq!(piece(1, 5, role, 0, None).len(), 2);
        assert_eq!(piece(1, 5, role, 3, Some(1)).len(), 4);
        // The samples that a replay compares are unpredictable.
        assert_ne!(piece(1, 5, role, 3, Some(1)), piece(1, 5, role, 3, Some(2)));
        assert!(piece(0, 5, role, 0, None).is_sorted_by(|before, after| before.0 < after.0));
    }
    let of_blocks =
        |count| -> Vec<_> { (1..=count).map(|block| piece(1, 5, Role::Estimation, block, None)).collect() };
    let all = of_blocks(20_000);
    assert!(all.iter().all(|chosen| chosen.len() <= 1));
    let chosen: Vec<(usize, bool)> = all.concat();
    // 2,500 expected, with a deviation of 47, and half of them.
    assert!((2250..2750).contains(&chosen.len()), "{}", chosen.len());
    let in_other = chosen.iter().filter(|&&(_, in_other)| in_other).count();
    assert!((1100..1400).contains(&in_other), "{in_other}");
    assert!((0..64).all(|position| chosen.iter().any(|&(other, _)| other == position)));
    assert_eq!(all[..50], of_blocks(50));
    // Inputs with shared noise have different samples compared.
    let shared = |index| {
        (0..200)
            .map(|block| {
                let key = NoiseMode::Shared.key(7, Role::Estimation, index, block);
                let piece = Piece { input: 1, index, image: vec![0.0].into(), key, samples: 64 };
                super::chosen(&piece, None).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    assert_ne!(shared(1), shared(2));
}

#[test]
fn a_run_without_comparison_answers_nothing_again() {
    let settings = Settings { n: 1000, ..Settings::new(Sigma::new(0.5).unwrap(), 3) };
    let mut certifier = Certifier::new(vec![model(Flaw::OneHot, None).0], settings, 64).unwrap();
    certifier.leave_comparison_out();
    certifier.certify_one(&Input { index: 0, label: None, image: vec![0.1, 0.5] }).unwrap();
    assert_eq!(certifier.timings().compared, 0);
}
