//! Frames through the C interface.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString},
    ptr,
};

use anyhow::ensure;
use mithridate::{
    Certificate, Certifier, Status, mithridate_certify, mithridate_default_options, mithridate_free,
    mithridate_last_error, mithridate_load,
};
use mithridate_runtime::certify::StoppingRule;

use super::{
    ALPHA, Case, Claim,
    truth::{SIGMA, value},
};
use crate::models::write_linear;

/// A loaded model.
struct Loaded(*mut Certifier);

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: it comes from mithridate_load and nobody else has it.
        unsafe { mithridate_free(self.0) };
    }
}

fn check(status: Status) -> anyhow::Result<()> {
    // SAFETY: the interface's sentences end with a zero byte and are valid here.
    let sentence = || unsafe { CStr::from_ptr(mithridate_last_error()) }.to_string_lossy().into_owned();
    ensure!(status == Status::Ok, "{}", sentence());
    Ok(())
}

/// Certifies an input as that many frames.
pub fn frames(case: &Case, level: u8, trials: u64) -> anyhow::Result<Vec<Claim>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.onnx");
    write_linear(&path)?;
    let path = CString::new(path.to_string_lossy().into_owned())?;
    let mut options = mithridate_default_options(path.as_ptr());
    (options.sigma, options.alpha, options.n0, options.max_samples) = (SIGMA, ALPHA, 16, 320);
    options.seed = 3000 + u64::from(level);
    if let StoppingRule::Radius(radii) = &case.rule {
        options.enough_radius = radii[0];
    }
    let mut loaded = Loaded(ptr::null_mut());
    // SAFETY: the options name a text that lives, and the other is the address of a pointer.
    check(unsafe { mithridate_load(&raw const options, &raw mut loaded.0) })?;
    let image = [value(level)];
    let mut claims = Vec::new();
    for _ in 0..trials {
        let mut found = Certificate::default();
        // SAFETY: the certifier is loaded and used here alone, and image and certificate live.
        check(unsafe { mithridate_certify(loaded.0, image.as_ptr(), 1, f64::INFINITY, &raw mut found) })?;
        claims.push(Claim {
            class: usize::try_from(found.class_index).ok(),
            p_lower: found.p_lower,
            radius: (!found.abstained).then_some(found.radius),
        });
    }
    Ok(claims)
}
