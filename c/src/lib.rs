//! The C interface: load a model once, certify frame after frame under a deadline.
//!
//! Functions return a [`Status`] and leave a sentence for [`mithridate_last_error`]; no panic crosses the border. The
//! header is `include/mithridate.h`, a program that uses it is in `examples/embed-c`.

#![allow(unsafe_code)]

mod border;
mod certifier;
mod error;
mod options;

pub use border::mithridate_last_error;
pub use certifier::{
    Certificate, Certifier, mithridate_certify, mithridate_classes, mithridate_free, mithridate_input_length,
    mithridate_load, mithridate_seed,
};
pub use error::Status;
pub use options::{Options, mithridate_default_options};

use std::ffi::c_char;

/// Version of this library, such as "0.1.0"; valid as long as the program runs.
#[unsafe(no_mangle)]
pub extern "C" fn mithridate_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
