//! Noise that depends on nothing but its key.
//!
//! Every sample of a certification run belongs to a block of [`BLOCK`] samples, and every block has a random stream
//! of its own, keyed by the seed of the run, what the sample is used for, the index of the input and the number of
//! the block. So a vote does not depend on batch size, threads, order, sharding or resuming, and anybody who knows
//! the key can draw the same noise again.

mod gaussian;
mod stream;

pub use gaussian::{BLOCK, NoiseKey, Role, add_gaussian};
pub use stream::keyed_stream;

/// What the evidence file says of how noise was made; a change of any step changes this text.
pub const GENERATOR: &str = "sha256-keyed xoshiro256++, ziggurat normal, block 64, v1";

/// A seed from the operating system, for runs that were not given one.
///
/// # Errors
/// If the operating system has no randomness to give.
pub fn seed_from_os() -> Result<u64, std::io::Error> {
    getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))
}
