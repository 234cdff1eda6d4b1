//! How far poison is from the clean images it was made from: in numbers, as a picture, and image by image as files.
//! And what a trained network's report says, and where an interrupted run stands.

mod difference;
mod export;
mod metrics;
mod panel;
mod ssim;
mod summary;
mod words;

pub use difference::{difference_picture, spread};
pub use export::export_images;
pub use metrics::{l2_distance, psnr};
pub use panel::panel;
pub use ssim::ssim;
pub use summary::{Change, PoisonSummary, Range, Similarity, summarize};
pub use words::{interrupted_in_words, poison_in_words, victim_in_words};
