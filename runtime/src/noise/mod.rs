//! Noise that depends on nothing but its key.
//!
//! Every sample of a certification run belongs to a block of [`BLOCK`] samples, and every block has a random stream
//! of its own, keyed by the seed of the run, what the sample is used for, the index of the input and the number of
//! the block. So a vote does not depend on batch size, threads, order, sharding or resuming, and anybody who knows
//! the key can draw the same noise again.

mod bank;
mod distribution;
mod double_double;
mod gaussian;
mod key;
mod mode;
mod noisy;
mod quantized;
mod self_test;
mod stream;
mod uniform;

pub use bank::NoiseBank;
pub use distribution::Distribution;
pub use key::{BLOCK, NoiseKey, Role};
pub use mode::{NoiseMode, SHARED_INPUT};
pub use noisy::{Noise, NoiseError};
pub use quantized::{GRID, off_grid};
pub use self_test::{FALSE_ALARM_RATE, SelfTestError, Test, check_noise, check_noise_at};
pub use stream::keyed_stream;

/// A seed from the operating system, for runs that were not given one.
///
/// # Errors
/// If the operating system has no randomness to give.
pub fn seed_from_os() -> Result<u64, std::io::Error> {
    getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))
}
