use std::{ptr, slice, time::Duration};

use mithridate_runtime::{
    backend::{Classifier, InputOptions, MAX_VALUES, OnnxModel, OnnxRuntime},
    embed::FrameCertifier,
};

use crate::{
    border::guarded,
    error::{Failure, Status},
    options::Options,
};

/// Largest accepted number of threads.
const MAX_THREADS: u32 = 1024;

/// A loaded model. Only one thread at a time may use it; different certifiers are independent.
pub struct Certifier {
    frames: FrameCertifier,
    /// Whether a call panicked and may have left it inconsistent.
    broken: bool,
}

/// The certificate of one frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Certificate {
    /// Index of the class, from 0; -1 if no sample voted for a class, such as when the time limit was too short.
    pub class_index: i64,
    /// Certified l2 radius in the units of the frame, rounded down; 0 for an abstention.
    pub radius: f64,
    /// Lower bound on the probability of the class under noise, at confidence 1 - alpha, rounded down.
    pub p_lower: f64,
    /// Number of selection samples, which selected the class.
    pub selection_samples: u64,
    /// Number of estimation samples, from which the bound was computed.
    pub samples: u64,
    /// Number of the frame, from 0. It is part of the key of the frame's noise.
    pub frame: u64,
    /// Time from the call to its return, in microseconds.
    pub microseconds: u64,
    /// Whether there is no certificate.
    pub abstained: bool,
}

/// Loads a model, tests the noise and allocates all memory. Later calls allocate memory only to report an error.
///
/// A certificate is valid only if the model's answer to a sample does not depend on the other samples of its batch.
/// This is tested when the model is loaded, and later with one sample of one frame in 16. With `options.batch` 1 it is
/// certain for every model. The model is loaded in this process; use `rscert inspect` to try an untrusted model in a
/// separate process.
///
/// On success free `*certifier` with `mithridate_free()`. On failure it is null.
///
/// # Safety
/// `options` points to options whose strings are null or end with a zero byte; `certifier` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mithridate_load(options: *const Options, certifier: *mut *mut Certifier) -> Status {
    guarded(|| {
        if certifier.is_null() {
            return Err(Failure::argument("certifier is null; give the address of a pointer"));
        }
        // SAFETY: it is not null, and the caller promises that it points to a pointer.
        unsafe { certifier.write(ptr::null_mut()) };
        // SAFETY: null is checked, and the caller promises that else it points to options.
        let options = unsafe { options.as_ref() }.ok_or_else(|| Failure::argument("options is null"))?;
        // SAFETY: promised by the caller.
        let frames = unsafe { load(options) }?;
        let loaded = Box::into_raw(Box::new(Certifier { frames, broken: false }));
        // SAFETY: as above.
        unsafe { certifier.write(loaded) };
        Ok(())
    })
}

/// # Safety
/// The strings in `options` are null or end with a zero byte.
unsafe fn load(options: &Options) -> Result<FrameCertifier, Failure> {
    // SAFETY: promised by the caller.
    let (path, library, provider) = unsafe { options.names() }?;
    if !(1..=MAX_THREADS).contains(&options.threads) {
        let threads = options.threads;
        return Err(Failure::argument(format!("options.threads is {threads}; use 1 to {MAX_THREADS}")));
    }
    let runtime = match library {
        Some(library) => OnnxRuntime::load_file(&library)?,
        None => OnnxRuntime::load()?,
    };
    let reading = InputOptions {
        sigma: (options.sigma > 0.0).then_some(options.sigma),
        keep_batch: options.batch == 1,
        ..InputOptions::default()
    };
    let model = OnnxModel::open(&runtime, &path, &reading)?;
    let settings = options.settings(&model)?;
    let most = MAX_VALUES / model.image_shape().iter().product::<usize>().max(1);
    let batch = options.batch as usize;
    if !(1..=most).contains(&batch) {
        return Err(Failure::argument(format!("options.batch is {batch}; use 1 to {most} for this model")));
    }
    let classifier = model.classifier(&runtime, provider, options.threads as usize)?;
    // A model with a fixed batch size gets batches of that size.
    let batch = classifier.fixed_batch().unwrap_or(batch);
    Ok(FrameCertifier::new(Box::new(classifier.bind(batch)?), settings)?)
}

/// Certifies the next frame within `deadline_ms` milliseconds from now. `image` has `length` values, channels by rows by
/// columns, in the units of the data set on which the model was trained (from 0 to 1 for images).
///
/// Stops early after `options.max_samples` estimation samples or at `options.enough_radius`. The certificate is valid
/// whenever sampling stops: with probability at least 1 - alpha, the smoothed classifier returns the same class for
/// every frame within the certified radius.
///
/// # Safety
/// `certifier` comes from `mithridate_load()`, has not been freed and is not in use by another thread; `image` points to
/// `length` floats; `certificate` points to a certificate, which is written on success only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mithridate_certify(
    certifier: *mut Certifier,
    image: *const f32,
    length: usize,
    deadline_ms: f64,
    certificate: *mut Certificate,
) -> Status {
    // SAFETY: null is checked, and the caller promises that else it is a certifier that nobody else uses.
    let Some(certifier) = (unsafe { certifier.as_mut() }) else {
        return guarded(|| Err(Failure::argument("certifier is null")));
    };
    if certifier.broken {
        return guarded(|| {
            Err(Failure::new(Status::InternalError, "an earlier call failed by a fault; free the certifier"))
        });
    }
    // Cleared again when the call ends without a panic.
    certifier.broken = true;
    let frames = &mut certifier.frames;
    let mut ended = false;
    let status = guarded(|| {
        // SAFETY: promised by the caller.
        let result = unsafe { certify(frames, image, length, deadline_ms) };
        ended = true;
        let result = result?;
        if certificate.is_null() {
            return Err(Failure::argument("certificate is null"));
        }
        // SAFETY: it is not null, and the caller promises that it points to a certificate.
        unsafe { certificate.write(result) };
        Ok(())
    });
    certifier.broken = !ended;
    status
}

/// # Safety
/// `image` is null or points to `length` floats.
unsafe fn certify(
    frames: &mut FrameCertifier,
    image: *const f32,
    length: usize,
    deadline_ms: f64,
) -> Result<Certificate, Failure> {
    if image.is_null() {
        return Err(Failure::argument("image is null"));
    }
    // Checked before a slice is made, because an impossible length would be undefined behaviour.
    if length != frames.input_len() {
        let expected = frames.input_len();
        return Err(Failure::argument(format!(
            "the image has {length} values and the model takes {expected}"
        )));
    }
    if deadline_ms.is_nan() || deadline_ms < 0.0 {
        return Err(Failure::argument(format!(
            "deadline_ms is {deadline_ms}; give a number of milliseconds from 0"
        )));
    }
    // SAFETY: it is not null, and the caller promises the length.
    let image = unsafe { slice::from_raw_parts(image, length) };
    // A time too large for a duration means no limit.
    let within = Duration::try_from_secs_f64(deadline_ms / 1000.0).unwrap_or(Duration::MAX);
    let frame = frames.certify(image, within)?;
    Ok(Certificate {
        class_index: frame.class.map_or(-1, |class| class as i64),
        radius: frame.radius.unwrap_or(0.0),
        p_lower: frame.p_lower,
        selection_samples: frame.selection_samples,
        samples: frame.samples,
        frame: frame.frame,
        microseconds: frame.time.as_micros() as u64,
        abstained: frame.radius.is_none(),
    })
}

/// Number of values in a frame, channels times rows times columns; 0 for a null pointer.
///
/// # Safety
/// `certifier` is null, or comes from `mithridate_load()` and has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mithridate_input_length(certifier: *const Certifier) -> usize {
    // SAFETY: null is checked, and the caller promises the rest.
    unsafe { certifier.as_ref() }.map_or(0, |certifier| certifier.frames.input_len())
}

/// Number of classes; 0 for a null pointer.
///
/// # Safety
/// `certifier` is null, or comes from `mithridate_load()` and has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mithridate_classes(certifier: *const Certifier) -> usize {
    // SAFETY: null is checked, and the caller promises the rest.
    unsafe { certifier.as_ref() }.map_or(0, |certifier| certifier.frames.classes())
}

/// Seed of the noise, with which the noise of a frame can be repeated; 0 for a null pointer. Whoever provides the
/// frames must not know it.
///
/// # Safety
/// `certifier` is null, or comes from `mithridate_load()` and has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mithridate_seed(certifier: *const Certifier) -> u64 {
    // SAFETY: null is checked, and the caller promises the rest.
    unsafe { certifier.as_ref() }.map_or(0, |certifier| certifier.frames.settings().seed)
}

/// Frees a certifier; does nothing for a null pointer.
///
/// # Safety
/// `certifier` is null, or comes from `mithridate_load()`, has not been freed and is not in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mithridate_free(certifier: *mut Certifier) {
    if certifier.is_null() {
        return;
    }
    guarded(|| {
        // SAFETY: it came from a box, and the caller promises that nobody uses it any more.
        drop(unsafe { Box::from_raw(certifier) });
        Ok(())
    });
}
