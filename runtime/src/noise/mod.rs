//! Noise that depends only on its key.
//!
//! Every sample of a certification run belongs to a block of [`BLOCK`] samples. Every block has its own random stream,
//! keyed by the seed of the run, the role of the samples, the index of the input and the index of the block. So the
//! noise does not depend on batch size, threads, order, sharding or resuming, and anybody who knows the key can draw it
//! again.

mod bank;
mod definition;
mod distribution;
mod error;
mod expected;
mod key;
mod mode;
mod noisy;
mod self_test;
mod stream;

pub use bank::NoiseBank;
pub use distribution::{Distribution, GRID};
pub use error::NoiseError;
pub use key::{BLOCK, NoiseKey, Role};
pub use mode::{NoiseMode, SHARED_INPUT};
pub use noisy::Noise;
pub use self_test::{FALSE_ALARM_RATE, SelfTestError, Test, check_noise, check_noise_at};
pub use stream::keyed_stream;

/// A random seed from the operating system, for runs without a given seed.
///
/// # Errors
/// If the random generator of the operating system fails.
pub fn seed_from_os() -> Result<u64, std::io::Error> {
    getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))
}
