//! No rule, noise, mode or way gives false certificates more often than α; procedures that are wrong are found out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use mithridate_adversary::shares::{Share, all, all_wrong, refuses_mixing, trials};

#[test]
fn no_share_of_false_certificates_is_above_alpha() {
    let shares = all(trials(), |_| {}).unwrap();
    let above: Vec<&Share> = shares.iter().filter(|share| share.is_above()).collect();
    assert!(above.is_empty(), "{above:#?}");
    // Where nothing is certified, nothing can be false.
    for half in ["fixed", "radius", "precision", "loss", "deadline"] {
        let certified: u64 =
            shares.iter().filter(|share| share.name.starts_with(half)).map(|share| share.certified).sum();
        assert!(certified > 0, "{half}");
    }
    // The classical bound takes most of what it may.
    let fixed = shares.iter().filter(|share| share.name.starts_with("fixed, gaussian") && share.level > 128);
    assert!(fixed.into_iter().all(|share| share.wrong > 0), "{shares:#?}");
}

#[test]
fn procedures_that_are_wrong_are_found_out() {
    let shares = all_wrong(trials()).unwrap();
    for name in [
        "the samples that chose the class used again",
        "answers mixed over the batch",
        "the best of ten seeds",
    ] {
        assert!(shares.iter().any(|share| share.name == name && share.is_above()), "{name}: {shares:#?}");
    }
}

#[test]
fn a_model_that_mixes_its_batch_is_stopped() {
    for sentence in refuses_mixing().unwrap() {
        let sentence = sentence.expect("it is certified");
        let words = sentence.replace('`', "");
        assert!(words.contains("sample ") && words.contains("batch 1"), "{sentence}");
    }
}
