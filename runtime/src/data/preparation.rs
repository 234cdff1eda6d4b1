use serde::{Deserialize, Serialize};

/// Resizing and cropping of PNG and JPEG images before anything else. Afterwards all images must have the same size.
///
/// ```
/// use mithridate_runtime::data::Preparation;
/// // As classifiers of ImageNet are tested.
/// let preparation = Preparation { resize: Some(256), crop: Some(224) };
/// assert_eq!(preparation.to_string(), "resize 256, crop 224");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// Length of the shorter side after resizing, in pixels; the longer side is scaled alike and rounded down. Linear
    /// interpolation, and averaging over the area of a new pixel if the image shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<u32>,
    /// Side of the central square crop after resizing, in pixels. If it can't be centred exactly, it lies half a pixel
    /// towards the left or top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<u32>,
}

impl Preparation {
    /// Whether images are neither resized nor cropped.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Preparation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps = [("resize", self.resize), ("crop", self.crop)];
        let words: Vec<String> =
            steps.iter().filter_map(|(name, side)| side.map(|side| format!("{name} {side}"))).collect();
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}
