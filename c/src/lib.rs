//! The C interface: load a model once, then certify frames, each within a time limit; or run a job, what a sub-command
//! of `rscert` does.
//!
//! Functions return a [`Status`]; after a failure [`mithridate_last_error`] returns a message. No panic leaves the
//! library. The header is `include/mithridate.h`, example programs are in `examples/embed-c`.

#![allow(unsafe_code)]

mod border;
mod certifier;
mod error;
mod job;
mod options;

pub use border::mithridate_last_error;
pub use certifier::{
    Certificate, Certifier, mithridate_certify, mithridate_classes, mithridate_free, mithridate_input_length,
    mithridate_load, mithridate_seed,
};
pub use error::Status;
pub use job::{Observer, mithridate_free_text, mithridate_run_job};
pub use options::{Options, mithridate_default_options};

use std::ffi::c_char;

/// Version of this library, such as "0.1.0". The string is valid as long as the program runs.
#[unsafe(no_mangle)]
pub extern "C" fn mithridate_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
