//! Inputs at which numbers lie so far apart that the noise is lost: refused by a run and by frames.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mithridate_runtime::{
    backend::LinearClassifier,
    certify::{Certifier, Input, Settings},
    embed::FrameCertifier,
    units::Sigma,
};
use ndarray::array;

/// Whether a value is positive.
fn model() -> LinearClassifier {
    LinearClassifier::new(array![[1.0], [-1.0]], array![0.0, 0.0])
}

fn settings() -> Settings {
    Settings { n: 1000, ..Settings::new(Sigma::new(0.25).unwrap(), 7) }
}

/// What a run and a frame say of an input.
fn said(image: f32) -> [Result<(), String>; 3] {
    let mut run = Certifier::new(vec![Box::new(model())], settings(), 64).unwrap();
    let input = Input { index: 5, label: None, image: vec![image] };
    let certified = run.certify_one(&input).map(|_| ()).map_err(|error| error.to_string());
    let predicted =
        run.predict_all(std::iter::once(input), |_| {}, |_| Ok(())).map_err(|error| error.to_string());
    let mut frames = FrameCertifier::new(Box::new(model()), settings()).unwrap();
    frames.set_next_frame(5);
    let frame = frames.certify(&[image], Duration::MAX).map(|_| ()).map_err(|error| error.to_string());
    // The next frame is fine again.
    assert!(frames.certify(&[0.4], Duration::MAX).unwrap().radius.is_some());
    [certified, predicted, frame]
}

#[test]
fn inputs_that_swallow_the_noise_are_refused() {
    // 2^26, where single precision goes in steps of 8: every noisy sample would be the input itself.
    for result in said(67_108_864.0) {
        assert_eq!(
            result.unwrap_err(),
            "value 0 of input 5 is 67108864, numbers of that size are 8 apart in single precision, and rounding to them \
             would remove or change noise of sigma 0.25; scale the inputs down, or give a sigma of at least 256"
        );
    }
    for result in said(-131_072.0) {
        assert!(result.unwrap_err().contains("are 0.015625 apart in single precision"));
    }
    // The largest that is fine.
    assert_eq!(said(131_071.0), [Ok(()), Ok(()), Ok(())]);
}

#[test]
fn inputs_that_are_no_finite_numbers_are_refused() {
    for (value, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        for result in said(value) {
            let expected =
                format!("value 0 of input 5 is {name}, which is not a finite number; correct the data");
            assert_eq!(result.unwrap_err(), expected);
        }
    }
}
