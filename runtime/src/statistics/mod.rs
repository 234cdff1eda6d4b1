//! The statistics behind a certificate: lower bounds on a probability from votes, certified radii from bounds, and
//! intervals and tests for the comparison of runs. All arithmetic is in `f64`, and every number that a claim depends on
//! is rounded towards the weaker claim: bounds and radii down, p-values up.

pub(crate) mod binomial;
mod bootstrap;
mod clopper_pearson;
mod equal_odds;
mod norm;
mod paired;
mod predicted;
mod radius;
mod rounding;
mod sequence;
mod two_samples;

pub use bootstrap::relative_drop;
pub use clopper_pearson::{MAX_TRIALS, StatisticsError, clopper_pearson_lower};
pub use equal_odds::equal_odds_p_value;
pub use norm::{Norm, Radii};
pub use paired::{Interval, paired_difference};
pub(crate) use predicted::likely_hits;
pub use radius::certified_radius;
pub(crate) use radius::quantile_down;
pub use rounding::{mean_down, round_down};
pub use sequence::{ConfidenceSequence, SequenceForm, UnknownForm};
pub use two_samples::{combined_p_value, difference_p_value, excess_p_value};
