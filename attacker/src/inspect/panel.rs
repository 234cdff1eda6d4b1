use mithridate_runtime::report::{Histogram, PictureTable};

use super::{PoisonSummary, difference_picture, spread};
use crate::{
    Error,
    data::TrainingSet,
    poison::{PoisonSet, classes_in_words},
};

/// A picture as an SVG element: `images` clean images spread over the set, their poisoned versions and the differences,
/// and below them the histogram of changes.
///
/// # Errors
/// [`Error::Figure`] if images have neither 1 nor 3 channels.
pub fn panel(
    set: &PoisonSet,
    training: &TrainingSet,
    summary: &PoisonSummary,
    images: usize,
) -> Result<String, Error> {
    // The largest factor for which no difference leaves the range of a byte.
    let factor = (127 / summary.largest_change.max(1)).max(1);
    let columns = spread(set.len(), images)
        .into_iter()
        .map(|number| {
            let index = set.manifest.origin.indices[number];
            let (clean, poisoned) = (training.data.pixels(index), set.pixels(number));
            let difference = difference_picture(clean, poisoned, factor);
            (index.to_string(), vec![clean.to_vec(), poisoned.to_vec(), difference])
        })
        .collect();
    let total = summary.values().max(1) as f64;
    let shares =
        summary.histogram.iter().map(|change| (i64::from(change.steps), change.values as f64 / total));
    PictureTable {
        title: format!(
            "Poison for {}: {} training images",
            classes_in_words(&summary.target_classes),
            summary.images
        ),
        heading: "training image".into(),
        rows: vec!["clean".into(), "poisoned".into(), format!("difference × {factor}")],
        shape: summary.shape,
        columns,
        histogram: Histogram {
            x_label: "change of a pixel value, in steps of 1/255".into(),
            y_label: "share of pixel values".into(),
            shares: shares.collect(),
        },
        caption: caption(summary, factor),
    }
    .to_svg()
    .map_err(|error| Error::Figure(error.to_string()))
}

fn caption(summary: &PoisonSummary, factor: u8) -> String {
    let PoisonSummary { epsilon, largest_change, l2, .. } = summary;
    let mut text = format!(
        "No pixel value is changed by more than {largest_change}/255 (ε = {epsilon}), labels not at all. In the \
         differences grey is none, brighter is more, {factor} times as large as it is. ℓ₂ norm of an image's change: \
         mean {:.2}, largest {:.2}.",
        l2.mean, l2.max
    );
    if let Some(ratio) = summary.psnr {
        text.push_str(&format!(" PSNR: mean {:.1} dB, smallest {:.1} dB.", ratio.mean, ratio.min));
    }
    if let Some(similarity) = summary.ssim {
        text.push_str(&format!(" SSIM: mean {:.3}, smallest {:.3}.", similarity.mean, similarity.min));
    }
    text
}
