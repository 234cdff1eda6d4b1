//! The difference between poison and the clean images: as numbers, as a picture, and as image files. Also reports of
//! trained networks and the state of interrupted runs, as text.

mod difference;
mod export;
mod metrics;
mod panel;
mod ssim;
mod summary;
mod words;

pub(crate) use difference::{difference_picture, spread};
pub use export::export_images;
pub use metrics::{l2_distance, psnr};
pub use panel::panel;
pub use ssim::ssim;
pub use summary::{HistogramBin, MeanAndMax, MeanAndMin, PoisonSummary, summarize};
pub use words::{interrupted_in_words, poison_in_words, victim_in_words};
