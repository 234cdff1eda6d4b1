//! The statistics behind a certificate: bounds on a probability from votes, radii from bounds, and intervals for
//! differences between runs. All in `f64`; whatever a claim rests on is rounded towards the weaker claim.

mod binomial;
mod bootstrap;
mod clopper_pearson;
mod paired;
mod radius;

pub use bootstrap::relative_drop;
pub use clopper_pearson::{MAX_TRIALS, StatisticsError, clopper_pearson_lower};
pub use paired::{Interval, paired_difference};
pub use radius::{certified_radius, round_down};
